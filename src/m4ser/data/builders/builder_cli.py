"""Code that all dataset builders share: command line, files of lines, recordings, and errors."""

import argparse
import io
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import numpy as np
import soundfile
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from m4ser.data.schema import SAMPLING_RATE, DataError
from m4ser.data.tokenizer import with_prefix_space
from m4ser.model.audio_m4ser import AudioError, stream_audio
from m4ser.model.inputs_m4ser import valid_unicode
from m4ser.processes import fail
from m4ser.progress import hide_bars_of_libraries

Item = TypeVar("Item")
Result = TypeVar("Result")
ITEMS_PER_BLOCK, ITEMS_PER_CALL = 512, 16
# Formats that soundfile reads everywhere; others become FLAC.
KEPT_FORMATS = {"FLAC", "WAV", "OGG", "MP3"}
# Of one utterance. What is longer is a whole session, or a small file that holds days of silence.
MAX_SECONDS = 3600


def argument_parser(description: str, raw_data: str | None) -> argparse.ArgumentParser:
    """Return the parser of a builder. `raw_data` says what --data_dir holds; None where a builder needs none."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    if raw_data:
        parser.add_argument("--data_dir", type=Path, required=True, help=raw_data)
        parser.add_argument("--hypotheses", type=Path, help="JSON lines with id (or file) and hypothesis")
        parser.add_argument(
            "--allow_missing_text",
            action="store_true",
            help="build although more than 1 %% of a split has no hypothesis while other recordings do",
        )
    parser.add_argument("--output_dir", type=Path, required=True, help="where the dataset goes")
    parser.add_argument("--tokenizer", help="a tokenizer's id or folder: adds the AED and AEC label columns")
    return parser


def add_release_arguments(parser: argparse.ArgumentParser, label_sets: Sequence[str]) -> None:
    """Add the arguments of builders of published corpora; the first label set is the default."""
    parser.add_argument("--labels", choices=label_sets, default=label_sets[0], help="which classes")
    parser.add_argument(
        "--allow_partial", action="store_true", help="build from a release that differs from the published one"
    )


def run(main: Callable[[], None]) -> None:
    """Run a builder: what is wrong with the data becomes one message and exit code 1."""
    hide_bars_of_libraries()
    try:
        main()
    except (ValueError, OSError) as error:
        fail(f"error: {error}")


def load_tokenizer(name: str | None) -> PreTrainedTokenizerBase | None:
    """Load the tokenizer of --tokenizer, if any."""
    if name is None:
        return None
    try:
        return with_prefix_space(AutoTokenizer.from_pretrained(name, trust_remote_code=False))
    except (OSError, ValueError) as error:
        raise DataError(f"No tokenizer at {name!r}: {error}") from error


def numbered_lines(path: Path) -> list[tuple[int, str]]:
    """Read the lines of a text file that are not empty, numbered from 1."""
    lines = enumerate(read_text(path).split("\n"), start=1)  # not splitlines: JSON may hold U+2028
    return [(number, line) for number, line in lines if line.strip()]


def json_object(line: str) -> dict:
    """Parse a line of a JSON lines file. Raises DataError where it holds something else than an object."""
    try:
        row = json.loads(line)
        if isinstance(row, dict):
            row = {name: valid_unicode(value) if isinstance(value, str) else value for name, value in row.items()}
        json.dumps(row, ensure_ascii=False).encode()  # half of a surrogate pair can be written nowhere
    except (ValueError, RecursionError) as error:
        raise DataError(f"not JSON ({error})") from error
    if not isinstance(row, dict):
        raise DataError("not a JSON object")
    return row


def read_text(path: Path) -> str:
    """Read a UTF-8 file (with or without a byte order mark)."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"Cannot read {path}: it is not in UTF-8; save it as UTF-8 ({error}).") from error
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error}.") from error


def read_recording(path: Path) -> tuple[bytes, str, float]:
    """Read a recording as (bytes of an audio file, its name, seconds).

    Kept as it is where it already is 16 kHz mono, else made into 16 kHz mono FLAC of 16 bits.

    Raises:
        AudioError: naming the file, where it cannot be read as audio, or is longer than an hour.
    """
    audio = np.concatenate(list(stream_audio(path, max_seconds=MAX_SECONDS)))
    seconds = len(audio) / SAMPLING_RATE
    info = soundfile.info(path)
    if (info.samplerate, info.channels) == (SAMPLING_RATE, 1) and info.format in KEPT_FORMATS:
        return path.read_bytes(), path.name, seconds
    return encode_flac(audio), f"{path.stem}.flac", seconds


def read_video(path: Path) -> np.ndarray:
    """Read the first audio stream of a video as 16-bit integers of shape (samples,), 16 kHz mono.

    Raises:
        AudioError: naming the file, where no sound can be decoded, or it is longer than an hour. DataError: PyAV is
            not installed.
    """
    try:
        import av
    except ImportError as error:
        raise DataError("PyAV reads the sound of videos: pip install m4ser[video].") from error
    # As 16 bits, because the mix of many channels to one is scaled to stay within -1..1 for integers alone.
    resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLING_RATE)
    frames, seconds = [], 0.0
    try:
        with av.open(path) as container:
            for packet in container.demux(container.streams.audio[0]):
                with suppress(av.FFmpegError):  # a damaged packet costs its own 20 ms, as in ffmpeg
                    for frame in packet.decode():
                        frames += resampler.resample(frame)
                        seconds += frame.samples / frame.sample_rate
                if seconds > MAX_SECONDS:
                    raise AudioError(f"{path}: its sound is longer than {MAX_SECONDS:g} s; cut it.")
            frames += resampler.resample(None)
    except AudioError:
        raise
    except (av.FFmpegError, IndexError, ValueError) as error:  # IndexError: no audio stream
        raise AudioError(f"{path}: no sound can be read from it ({error}); fetch it again or leave it out.") from error
    if not frames:
        raise AudioError(f"{path}: it holds no sound; fetch it again or leave it out.")
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def encode_flac(audio: np.ndarray) -> bytes:
    """Encode samples of shape (samples,) at 16 kHz, in -1..1 or 16-bit integers, as a FLAC file of 16 bits."""
    buffer = io.BytesIO()
    soundfile.write(buffer, audio, SAMPLING_RATE, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def map_in_processes(function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """Yield a function's result for each item, in order, computed on all cores; no more than a block ahead.

    Args:
        function: of a module, so that other processes find it.
    """
    blocks = [items[start : start + ITEMS_PER_BLOCK] for start in range(0, len(items), ITEMS_PER_BLOCK)]
    with ProcessPoolExecutor() as pool:
        for block in blocks:
            yield from pool.map(function, block, chunksize=ITEMS_PER_CALL)
