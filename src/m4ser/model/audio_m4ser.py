"""Any recording, in any of the forms it comes in, to 16 kHz mono float32 samples, or one clear error.

The one module that decodes, resamples and checks audio: for the builders, the commands and the pipeline.
It travels to the Hub with the weights, so it needs numpy alone until a file is decoded or resampled.
"""

import io
import math
from collections.abc import Iterable, Iterator
from http.client import HTTPException
from pathlib import Path
from textwrap import shorten
from typing import IO, TYPE_CHECKING, Any, TypeAlias

import numpy as np

from .download_m4ser import ADDRESSES, download

try:
    import soundfile
except (ImportError, OSError):  # OSError: the Python package is there, the libsndfile library is not
    soundfile = None
try:
    import soxr
except ImportError:
    soxr = None

if TYPE_CHECKING:
    import torch

AudioSource: TypeAlias = (
    "str | Path | bytes | bytearray | io.BufferedIOBase | dict[str, Any] | list[Any] | np.ndarray | torch.Tensor"
)
# Of files that are decoded, as folders are searched for them.
AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".mp3"})
AUDIO_KEYS = ("bytes", "array", "raw", "path")  # of a row, any of which holds the recording
# 7.1 surround. An array with more rows is a batch or a spectrogram, and averaging those would be wrong.
MAX_CHANNELS = 8
SAMPLES_PER_READ = 2**20  # of all channels together, of which there may be 1,024
# What is loaded as a whole: four hours take 0.9 GB at 16 kHz, and half a megabyte of FLAC can hold days of silence.
MAX_WHOLE_SECONDS = 4 * 3600
# Hz. Outside of them is no recording of speech, but a damaged or hostile header: at 1 Hz a megabyte lasts 12 days.
MIN_RATE, MAX_RATE = 1_000, 768_000
# Full scale of 32-bit integers as floats, twice. Statistics of samples far beyond it overflow in float32.
LOUDEST = 2.0**32


class AudioError(ValueError):
    """A recording that cannot be used; the message names it and says what to do."""


def load_audio(
    source: AudioSource,
    sampling_rate: float | None = None,
    target_sampling_rate: int = 16000,
    name: str | None = None,
    max_seconds: float = MAX_WHOLE_SECONDS,
    allow_addresses: bool = True,
) -> np.ndarray:
    """Load one recording as float32 mono samples in -1..1, shape (samples,), at `target_sampling_rate` Hz.

    Silence, a constant and clips as short as one sample are returned as they are: the processor pads them.

    Args:
        source: a path or an http(s) address; the bytes of a wav, flac, ogg or mp3 file; a `datasets` row
            {"bytes", "path"}; {"array" or "raw", "sampling_rate"}; or samples as a numpy array, list or torch tensor
            of shape (samples,), (samples, channels) or (channels, samples), where the shorter axis is the channels.
            Floats are taken as they are, integers are divided by their type's range.
        sampling_rate: Hz of samples that do not carry their own rate; files do. From 1 to 768 kHz, as the target.
        name: what to call the recording in an error, where `source` has no path.
        max_seconds: a longer recording is refused, before all of it is decoded; four hours by default.
        allow_addresses: whether an address is downloaded, of at most 2 GiB and for at most 10 minutes, or refused: it
            may be one inside the network of whoever runs this for others.

    Raises:
        AudioError: nothing there, not audio, empty, NaN, infinite or beyond any scale, too long, or without a usable
            sampling rate.
    """
    name, rate, blocks = _open(source, sampling_rate, name, allow_addresses)
    blocks = _limit(blocks, max_seconds, rate, name, "cut it, or use a timeline of windows")
    return np.concatenate(list(_resample(blocks, rate, target_sampling_rate, name)))


def has_audio(source: Any) -> bool:
    """Tell whether one input, as `load_audio` takes it, has a recording in it, usable or not."""
    if isinstance(source, dict):
        return any(source.get(key) is not None for key in AUDIO_KEYS)
    return source is not None


def stream_audio(
    source: AudioSource,
    sampling_rate: float | None = None,
    target_sampling_rate: int = 16000,
    name: str | None = None,
    max_seconds: float = math.inf,
    allow_addresses: bool = True,
) -> Iterator[np.ndarray]:
    """Load one recording in blocks (samples,): of a file of any length, a minute is held at a time.

    Takes and raises the same as [`load_audio`], but damage inside a file, or a length beyond `max_seconds`, only when
    it is reached.
    """
    name, rate, blocks = _open(source, sampling_rate, name, allow_addresses)
    blocks = _limit(blocks, max_seconds, rate, name, "cut it")
    return _resample(blocks, rate, target_sampling_rate, name)


def _open(
    source: Any, sampling_rate: float | None, name: str | None, allow_addresses: bool
) -> tuple[str, float, Iterator[np.ndarray]]:
    """Return a recording's name, its rate in Hz, and its samples: one or more finite float32 blocks (samples,)."""
    if isinstance(source, dict):
        source, sampling_rate, name = _unpack(source, sampling_rate, name)
    if isinstance(source, (str, Path)):
        name = name or str(source) or "an empty path"
        is_address = str(source).startswith(ADDRESSES)
        source = _fetch(str(source), name, allow_addresses) if is_address else _open_file(source, name)
    name = name or "the recording"
    if isinstance(source, (bytes, bytearray)):
        source = io.BytesIO(source)
    if hasattr(source, "readinto"):  # a file
        blocks = _decode(source, name)
        sampling_rate = next(blocks)
    else:
        samples = _to_float(_to_array(source, name), name)
        blocks = iter([_to_mono(samples, name)] if samples.size else [])
    return name, _check_rate(sampling_rate, name), _check(blocks, name)


def _unpack(
    row: dict[str, Any], sampling_rate: float | None, name: str | None
) -> tuple[Any, float | None, str | None]:
    name = name or row.get("path")
    if row.get("sampling_rate") is not None:
        sampling_rate = row["sampling_rate"]
    for key in AUDIO_KEYS:
        if row.get(key) is not None:
            return row[key], sampling_rate, name
    name = name or "the recording"
    raise AudioError(f"{name}: no audio in it; give 'bytes', 'path', or 'array' and 'sampling_rate'.")


def _fetch(address: str, name: str, allow_addresses: bool) -> IO[bytes]:
    if not allow_addresses:
        raise AudioError(f"{name}: addresses are not downloaded here; give the recording itself.")
    try:
        return download(address)
    except (OSError, ValueError, HTTPException) as error:
        reason = shorten(str(error), 200)  # parts of it are the server's
        raise AudioError(f"{name}: cannot be downloaded ({reason}); check the address and the connection.") from error


def _open_file(path: str | Path, name: str) -> io.BufferedIOBase:
    try:
        file = Path(path).open("rb")  # noqa: SIM115  it is closed where it has been decoded
    except IsADirectoryError as error:
        raise AudioError(f"{name}: this is a folder; give the recordings in it one by one.") from error
    except FileNotFoundError as error:
        raise AudioError(f"{name}: there is no such file; check the path.") from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise AudioError(f"{name!r} cannot be read ({error}); check its name and permissions.") from error
    if file.seekable():
        return file
    with file:  # a pipe
        return io.BytesIO(file.read())


def _decode(file: IO[bytes], name: str) -> Iterator[Any]:
    """Yield the rate of an audio file, then its samples, float32 blocks of shape (samples,)."""
    with file:
        if soundfile is None:
            raise AudioError(f"{name}: install soundfile to decode audio files (pip install soundfile).")
        if file.seek(0, io.SEEK_END) == 0:
            raise AudioError(f"{name}: the file is empty; record it again or leave it out.")
        file.seek(0)
        try:
            with soundfile.SoundFile(file) as recording:
                yield recording.samplerate
                # In blocks, because the length in the header of a streamed or damaged file may be astronomical.
                frames = max(1, SAMPLES_PER_READ // recording.channels)
                while len(block := recording.read(frames, dtype="float32", always_2d=True)):
                    yield _mean(block, axis=1)
        except soundfile.SoundFileError as error:
            raise AudioError(
                f"{name}: not an audio file that can be decoded, or damaged; convert it to wav, flac, ogg or mp3."
            ) from error


def _check(blocks: Iterable[np.ndarray], name: str) -> Iterator[np.ndarray]:
    """Yield the same blocks; refuse where there is none or one holds what is no sample."""
    block = None
    for block in blocks:
        if not -LOUDEST <= block.min() <= block.max() <= LOUDEST:  # NaN is in no order
            raise AudioError(
                f"{name}: the recording holds NaN or infinite samples, or such beyond any scale; export it again or "
                "leave it out."
            )
        yield block
    if block is None:
        raise AudioError(f"{name}: the recording holds no samples; record it again or leave it out.")


def _to_array(source: Any, name: str) -> np.ndarray:
    if hasattr(source, "detach"):  # a torch tensor: numpy knows neither gradients, devices nor bfloat16
        source = source.detach().cpu()
        source = source.float() if source.is_floating_point() else source
    try:
        samples = np.asarray(source)
    except ValueError as error:  # a ragged list
        raise AudioError(f"{name}: the samples do not form an array; give one list of numbers.") from error
    if samples.dtype.kind not in "iuf" and samples.size:
        raise AudioError(
            f"{name}: samples of type {samples.dtype} are not audio; give a path, bytes, or floats in -1..1."
        )
    return samples


def _to_float(samples: np.ndarray, name: str) -> np.ndarray:
    if samples.dtype.kind == "f" or samples.size == 0:
        with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite, which is refused later
            return samples.astype(np.float32)
    if samples.dtype.itemsize > 4:
        raise AudioError(f"{name}: {samples.dtype} samples have no known full scale; give int16 or floats in -1..1.")
    full_scale = 2 ** (8 * samples.dtype.itemsize - 1)
    silence = full_scale if samples.dtype.kind == "u" else 0
    return ((samples.astype(np.float64) - silence) / full_scale).astype(np.float32)


def _to_mono(samples: np.ndarray, name: str) -> np.ndarray:
    if samples.ndim == 1:
        return samples
    if samples.ndim != 2 or min(samples.shape) > MAX_CHANNELS:
        raise AudioError(f"{name}: an array of shape {samples.shape} is not one recording; give (samples,).")
    return _mean(samples, axis=0 if samples.shape[0] < samples.shape[1] else 1)


def _mean(channels: np.ndarray, axis: int) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):  # what is infinite is refused later
        return channels.mean(axis=axis)


def _check_rate(sampling_rate: Any, name: str) -> float:
    if sampling_rate is None:
        raise AudioError(f"{name}: samples without a sampling rate; pass sampling_rate in Hz.")
    try:
        rate = float(sampling_rate)
    except (TypeError, ValueError, OverflowError):
        rate = math.nan
    if not MIN_RATE <= rate <= MAX_RATE:
        raise AudioError(
            f"{name}: {sampling_rate!r} is not a sampling rate of speech; give {MIN_RATE} to {MAX_RATE} Hz, as 16000."
        )
    return rate


def _limit(
    blocks: Iterable[np.ndarray], max_seconds: float, rate: float, name: str, advice: str
) -> Iterator[np.ndarray]:
    """Yield the same blocks; refuse what is longer."""
    length = 0
    for block in blocks:
        length += len(block)
        if length > max_seconds * rate:
            raise AudioError(f"{name}: the recording is longer than {max_seconds:g} s; {advice}.")
        yield block


def _resample(
    blocks: Iterator[np.ndarray], rate: float, target_sampling_rate: float, name: str
) -> Iterator[np.ndarray]:
    """Return the blocks at the target rate: bit by bit what soxr makes of the whole."""
    target_rate = _check_rate(target_sampling_rate, name)
    if rate == target_rate:
        return blocks
    if soxr is None:
        raise AudioError(f"{name}: install soxr to resample from {rate:g} to {target_rate:g} Hz (pip install soxr).")
    return _resample_blocks(blocks, rate, target_rate)


def _resample_blocks(blocks: Iterable[np.ndarray], rate: float, target_rate: float) -> Iterator[np.ndarray]:
    stream, count = soxr.ResampleStream(rate, target_rate, num_channels=1), 0
    for block in blocks:
        resampled = stream.resample_chunk(block)
        count += len(resampled)
        yield resampled
    rest = stream.resample_chunk(block[:0], last=True)
    # A clip shorter than half a target sample rounds to nothing: its first sample stands for it.
    yield rest if count or len(rest) else block[:1]
