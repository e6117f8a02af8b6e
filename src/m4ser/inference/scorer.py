"""A table of scores: recordings are decoded in other processes while the network runs, and batched by length."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import torch
from transformers import BatchFeature

from m4ser.inference.preparing import MASKS, Prepared, Preparer, initialize, prepare
from m4ser.inference.recordings import Recording
from m4ser.inference.shared_memory import SharedMemory
from m4ser.model.loading_m4ser import LoadedRecording
from m4ser.model.marking_m4ser import decode_words
from m4ser.model.pipeline_m4ser import M4SERPipeline

SCORE = "score_"  # before the name of an emotion
WINDOW_BATCHES = 8  # that are sorted by length together
MEMORY_BYTES = 2**25  # of the batches of a window, on their way from a worker; what is larger is copied
NOT_FINITE = "The model's scores are not finite: its weights are damaged, or overflow in this dtype."

Key = TypeVar("Key")
# A window that a worker prepares: its key, whether it is the last, the memory for its batches if any, and itself.
Submitted = tuple[Any, bool, int | None, Future[Prepared]]


def ignore(_: int) -> None:
    """Take no notice of progress."""


@dataclass(frozen=True)
class ScoringOptions:
    """Columns of the table besides label and scores, and how it is computed.

    Args:
        correct: the corrected hypothesis. embeddings: the input of the emotion head (eq. 17).
        abstain_below: no label where the best score is lower.
        batch_size: recordings at once. num_workers: processes that decode; 0 for none but this one.
    """

    correct: bool = False
    embeddings: bool = False
    abstain_below: float = 0.0
    batch_size: int = 16
    num_workers: int = 0


class Scorer:
    """Scores recordings by a model: the same rows whatever the number of processes, of decoding or of scoring.

    ```python
    with Scorer(M4SERPipeline.from_pretrained("runs/mine")) as scorer:
        table = scorer.score([Recording("a.wav", "a.wav"), Recording("b.wav", "b.wav", text="so heart")])
    ```

    Args:
        classify: the model's pipeline, with its ASR model for recordings that have no text. options: of the table.

    Raises:
        ValueError: the model cannot correct.
    """

    def __init__(self, classify: M4SERPipeline, options: ScoringOptions = ScoringOptions()):
        self.model, self.processor = classify.model, classify.processor
        if options.correct and not self.model.can_correct:
            raise ValueError("--correct needs a model that was trained to correct, on the backend torch.")
        self.options = options
        self.labels: list[str] = [self.model.config.id2label[index] for index in range(self.model.config.num_labels)]
        self._classify = classify
        takes_speech = "speech" in self.model.config.modalities
        needs_texts = not classify.transcribes_itself
        longest = classify.longest_seconds
        self._preparer = Preparer(self.processor, takes_speech, options.batch_size, needs_texts, longest)
        self._pool: ProcessPoolExecutor | None = None
        self._memories: list[SharedMemory] = []
        self._free = deque[int]()  # the indices of those that no window is in

    def __enter__(self) -> "Scorer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes that decode."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool, self._memories = None, []

    @property
    def weights(self) -> str:
        """A fingerprint of the model's weights."""
        model = self.model
        return model.fingerprint() if hasattr(model, "fingerprint") else str(model.weights_digest)

    @property
    def schema(self) -> pa.Schema:
        """The table's columns: those of a recording that cannot be used are null but `id`, `transcript`, `error`."""
        fields = [("id", pa.string()), ("label", pa.string())]
        fields += [(SCORE + label, pa.float32()) for label in self.labels]
        fields += [("calibrated", pa.bool_()), ("transcript", pa.string())]
        if self.options.correct:
            fields.append(("correction", pa.string()))
        if self.options.embeddings:
            fields.append(("embedding", pa.list_(pa.float32())))
        return pa.schema([*fields, ("warning", pa.string()), ("error", pa.string())])

    def score(self, recordings: Sequence[Recording], on_scored: Callable[[int], Any] = ignore) -> pa.Table:
        """Score recordings; return a row each, in their order.

        Args:
            on_scored: called with how many more are done.
        """
        ((_, table),) = self.score_all([(None, recordings)], on_scored)
        return table

    def score_all(
        self, groups: Iterable[tuple[Key, Sequence[Recording]]], on_scored: Callable[[int], Any] = ignore
    ) -> Iterator[tuple[Key, pa.Table]]:
        """Score groups of recordings, the first of the next one being decoded while the last of this one are scored.

        Args:
            groups: keys and recordings; taken as late as that allows.

        Yields:
            A key, and the table of its recordings.

        Raises:
            OSError: a worker was killed.
        """
        tables = [self.schema.empty_table()]
        try:
            for key, is_last, window in self._prepared(groups):
                tables.append(self._score_window(window))
                on_scored(len(window.recordings))
                if is_last:
                    yield key, pa.concat_tables(tables)
                    tables = [self.schema.empty_table()]
        except BrokenProcessPool as error:
            raise OSError(
                "A process that decodes recordings was killed, as where memory is short: lower --num_workers or "
                "--batch_size, and type the command again."
            ) from error

    def batches(self, recordings: Sequence[Recording]) -> Iterator[BatchFeature]:
        """Yield the network's inputs for recordings that have texts, in the batches that they are scored in."""
        for _, _, window in self._prepared([(None, recordings)]):
            for _, inputs in window.batches:
                yield self._on_device({name: array.copy() for name, array in inputs.items()})

    def _prepared(self, groups: Iterable[tuple[Key, Sequence[Recording]]]) -> Iterator[tuple[Key, bool, Prepared]]:
        """Yield windows of the groups, with their key and whether they are its last, prepared by workers ahead.

        The arrays of a window are there until the next one.
        """
        size, ahead = WINDOW_BATCHES * self.options.batch_size, deque[Submitted]()
        try:
            for key, recordings in groups:
                starts = range(0, max(1, len(recordings)), size)
                for start in starts:
                    window, is_last = recordings[start : start + size], start == starts[-1]
                    if not self._uses_workers(len(starts)):
                        yield key, is_last, self._preparer.prepare(window)
                        continue
                    ahead.append(self._submit(key, is_last, window))
                    if len(ahead) > self.options.num_workers + 1:
                        yield self._take(ahead[0])
                        self._release(ahead.popleft())
            while ahead:
                yield self._take(ahead[0])
                self._release(ahead.popleft())
        finally:
            for submitted in ahead:
                self._release(submitted)

    def _submit(self, key: Any, is_last: bool, window: Sequence[Recording]) -> Submitted:
        pool = self._workers()
        memory = self._free.popleft() if self._free else None
        return key, is_last, memory, pool.submit(prepare, window, memory)

    def _take(self, submitted: Submitted) -> tuple[Any, bool, Prepared]:
        """Wait for a window that a worker prepares."""
        key, is_last, memory, future = submitted
        prepared = future.result()
        if memory is not None:
            prepared.load_from(self._memories[memory])
        return key, is_last, prepared

    def _release(self, submitted: Submitted) -> None:
        """Free the memory of a window, when no worker writes to it any more."""
        _, _, memory, future = submitted
        if not future.cancel():
            wait([future])
        if memory is not None:
            self._free.append(memory)

    def _uses_workers(self, windows: int) -> bool:
        """Tell whether workers are there, or worth the seconds of their start."""
        return self.options.num_workers > 0 and (self._pool is not None or windows > 1)

    def _workers(self) -> ProcessPoolExecutor:
        if self._pool is None:
            # Not forked: the threads and devices of PyTorch do not survive it.
            spawn, workers = get_context("spawn"), self.options.num_workers
            self._memories = [SharedMemory(spawn, MEMORY_BYTES) for _ in range(workers + 2)]
            self._free = deque(range(len(self._memories)))
            self._pool = ProcessPoolExecutor(workers, spawn, initialize, (self._preparer, self._memories))
        return self._pool

    def score_loaded(self, loaded: Sequence[LoadedRecording]) -> pa.Table:
        """Score recordings that are loaded already; return a row each, in their order, without ids."""
        waits = self._preparer.needs_texts and any(one.text is None for one in loaded)
        batches = [] if waits else self._preparer.batches(loaded)
        return self._score_window(Prepared([Recording("")] * len(loaded), list(loaded), batches))

    def _score_window(self, window: Prepared) -> pa.Table:
        if self._preparer.needs_texts and window.without_text:
            self._transcribe(window.without_text)
            window.batches = self._preparer.batches(window.loaded)
        loaded, count = window.loaded, len(window.loaded)
        scores = np.full((count, len(self.labels)), np.nan, np.float32)  # stays so where there is an error
        extra: dict[str, list[Any]] = {name: [None] * count for name in ("correction", "embedding")}
        for batch, inputs in window.batches:
            scores[batch], found = self._score_batch(self._on_device(inputs), [loaded[index] for index in batch])
            for name, values in found.items():
                for index, value in zip(batch, values, strict=True):
                    extra[name][index] = value
        good = np.asarray(np.isfinite(scores).all(axis=1))
        sure = good & (scores.max(axis=1) >= self.options.abstain_below)
        columns = {
            "id": [recording.id for recording in window.recordings],
            "label": pa.array(np.array(self.labels, object)[scores.argmax(axis=1)], pa.string(), mask=~sure),
            "calibrated": pa.array(np.full(count, self.model.config.is_calibrated), mask=~good),
            "transcript": [
                recording.text if one.error else one.text
                for recording, one in zip(window.recordings, loaded, strict=True)
            ],
            "warning": [one.warning for one in loaded],
            "error": [
                one.error or (None if is_good else NOT_FINITE) for one, is_good in zip(loaded, good, strict=True)
            ],
            **{SCORE + label: pa.array(scores[:, index], mask=~good) for index, label in enumerate(self.labels)},
            **{name: [value if ok else None for value, ok in zip(extra[name], good, strict=True)] for name in extra},
        }
        return pa.table({name: columns[name] for name in self.schema.names}, self.schema)

    def _transcribe(self, recordings: Sequence[LoadedRecording]) -> None:
        texts = self._classify.transcribe([recording.waveform for recording in recordings], self.options.batch_size)
        for recording, text in zip(recordings, texts, strict=True):
            recording.text = text

    def _on_device(self, inputs: Mapping[str, Any]) -> BatchFeature:
        tensors = {name: torch.from_numpy(values) for name, values in inputs.items()}
        tensors |= {name: tensors[name].long() for name in MASKS if name in tensors}
        return BatchFeature(tensors).to(self.model.device, self.model.dtype)

    @torch.inference_mode()
    def _score_batch(
        self, inputs: Mapping[str, Any], loaded: Sequence[LoadedRecording]
    ) -> tuple[np.ndarray, dict[str, Sequence[Any]]]:
        """Return the scores of a batch (B, e), and the other columns that the options name.

        Recordings without a text get the network's own.
        """
        if any(one.text is None for one in loaded):
            texts = [one.text for one in loaded]
            inputs, transcriptions = self._classify.with_texts(inputs, texts)
            for one, transcription in zip(loaded, transcriptions, strict=True):
                one.text = transcription.text
        output = self.model(**inputs)
        logits = output.logits.float() / self.model.config.calibration_temperature
        found: dict[str, Sequence[Any]] = {}
        if self.options.correct:
            corrections = self.model.correct(
                inputs["input_ids"], inputs["text_attention_mask"], output.text_hidden_states
            )
            found["correction"] = [decode_words(self.processor.tokenizer, one.token_ids) for one in corrections]
        if self.options.embeddings:
            found["embedding"] = output.embeddings.float().tolist()
        return logits.softmax(-1).cpu().numpy(), found
