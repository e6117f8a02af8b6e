"""The part of scoring that other processes do: recordings decoded, and made into batches of like lengths."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from m4ser.inference.recordings import Recording
from m4ser.inference.shared_memory import SharedMemory
from m4ser.model.loading_m4ser import LoadedRecording, load_recording
from m4ser.model.processing_m4ser import M4SERProcessor
from m4ser.model.windowing_m4ser import MAX_SECONDS

# A batch of the longest recordings is smaller: attention takes memory by the square of the length.
MAX_BATCH_SECONDS = 240
MASKS = ("attention_mask", "text_attention_mask")
NOTHING = np.zeros(0, np.float32)

# Which recordings, and the processor's arrays of them, or where these lie in a shared memory.
Batch = tuple[list[int], dict[str, Any]]


@dataclass
class Prepared:
    """Recordings that are loaded, in their order, and their batches; no batches where some are to be transcribed."""

    recordings: Sequence[Recording]
    loaded: list[LoadedRecording]
    batches: list[Batch] = field(default_factory=list)

    @property
    def without_text(self) -> list[LoadedRecording]:
        """Those that are to be transcribed."""
        return [recording for recording in self.loaded if recording.text is None]

    def move_to(self, memory: SharedMemory) -> None:
        """Leave the batches' arrays in a memory that another process has, too."""
        stored = iter(memory.store([array for _, inputs in self.batches for array in inputs.values()]))
        self.batches = [(batch, {name: next(stored) for name in inputs}) for batch, inputs in self.batches]

    def load_from(self, memory: SharedMemory) -> None:
        """Find the batches' arrays there."""
        arrays = memory.load([stored for _, inputs in self.batches for stored in inputs.values()])
        self.batches = [(batch, {name: next(arrays) for name in inputs}) for batch, inputs in self.batches]


class Preparer:
    """Loads recordings and makes the network's inputs of them, in any process.

    Args:
        processor: the model's. takes_speech: whether the network has a speech encoder. batch_size: of recordings.
        needs_texts: whether recordings have to be transcribed first; where not, the network does it itself.
        max_seconds: a longer recording is refused.
    """

    def __init__(
        self,
        processor: M4SERProcessor,
        takes_speech: bool,
        batch_size: int,
        needs_texts: bool = True,
        max_seconds: float = MAX_SECONDS,
    ):
        self.needs_texts, self._max_seconds = needs_texts, max_seconds
        self._processor, self._takes_speech, self._batch_size = processor, takes_speech, batch_size
        self._rate: int = processor.feature_extractor.sampling_rate

    def prepare(self, recordings: Sequence[Recording]) -> Prepared:
        """Load recordings, and batch them where all have texts."""
        options: dict[str, Any] = {"takes_speech": self._takes_speech, "max_seconds": self._max_seconds}
        loaded = [load_recording(recording.load(), self._rate, **options) for recording in recordings]
        prepared = Prepared(recordings, loaded)
        if not self.needs_texts or not prepared.without_text:
            prepared.batches = self.batches(loaded)
            for recording in loaded:
                recording.waveform = NOTHING  # it is in the batches
        return prepared

    def batches(self, loaded: Sequence[LoadedRecording]) -> list[Batch]:
        """Return the batches of those that can be used; all of these have texts, where the network needs them."""
        usable = [index for index, recording in enumerate(loaded) if recording.error is None]
        grouped = batches_by_length(usable, lambda index: len(loaded[index].waveform) / self._rate, self._batch_size)
        return [(batch, self._process([loaded[index] for index in batch])) for batch in grouped]

    def _process(self, batch: Sequence[LoadedRecording]) -> dict[str, Any]:
        waveforms = [recording.waveform for recording in batch] if self._takes_speech else None
        texts = [recording.text or "" for recording in batch]
        inputs = dict(self._processor(waveforms, texts, sampling_rate=self._rate, return_tensors="np"))
        # In bytes: as it is, the samples' mask is as large as the samples on the way from another process.
        return {name: values.astype(np.uint8) if name in MASKS else values for name, values in inputs.items()}


def batches_by_length(indices: Sequence[int], seconds: Callable[[int], float], batch_size: int) -> Iterator[list[int]]:
    """Yield batches of like lengths, of at most `batch_size` and, when padded, `MAX_BATCH_SECONDS`; longest first."""
    batch: list[int] = []
    for index in sorted(indices, key=lambda index: -seconds(index)):
        longest = seconds(batch[0]) if batch else 0.0
        if batch and (len(batch) == batch_size or longest * (len(batch) + 1) > MAX_BATCH_SECONDS):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


# Of a worker's process: what it prepares with, and where it leaves the batches.
_preparer: Preparer | None = None
_memories: Sequence[SharedMemory] = ()


def initialize(preparer: Preparer, memories: Sequence[SharedMemory]) -> None:
    """Give a worker's process what it prepares with, and the memories that it shares."""
    global _preparer, _memories
    _preparer, _memories = preparer, memories


def prepare(recordings: Sequence[Recording], memory: int | None) -> Prepared:
    """Prepare recordings in a worker's process; their batches are in the memory of that index, if any."""
    assert _preparer is not None
    prepared = _preparer.prepare(recordings)
    if memory is not None:
        prepared.move_to(_memories[memory])
    return prepared
