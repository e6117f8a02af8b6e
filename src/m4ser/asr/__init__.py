"""Transcription by Whisper: batched, cached by content, safe to kill at any time, on any number of processes."""

from m4ser.asr.transcription import transcribe

__all__ = ["transcribe"]
