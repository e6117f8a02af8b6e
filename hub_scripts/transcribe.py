"""Transcribe a dataset or a folder of recordings, as `m4ser transcribe` does."""

from m4ser.asr.command import main
from m4ser.data.builders.builder_cli import run

if __name__ == "__main__":
    run(main)
