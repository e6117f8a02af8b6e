"""A table of scores: recordings are decoded in other processes while the network runs, and batched by length."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from m4ser.inference.recordings import Recording
from m4ser.model.marking_m4ser import decode_words
from m4ser.model.pipeline_m4ser import LoadedRecording, M4SERPipeline, load_recording

SCORE = "score_"  # before the name of an emotion
WINDOW_BATCHES = 8  # that are sorted by length together
# A batch of the longest recordings is smaller: attention takes memory by the square of the length.
MAX_BATCH_SECONDS = 240
NOT_FINITE = "The model's scores are not finite: its weights are damaged, or overflow in this dtype."


def ignore(_: int) -> None:
    """Take no notice of progress."""


Window = list[tuple[Recording, LoadedRecording]]


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
        self._rate: int = self.processor.feature_extractor.sampling_rate
        self._takes_speech = "speech" in self.model.config.modalities
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> "Scorer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes that decode."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

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
        size = WINDOW_BATCHES * self.options.batch_size
        windows = [recordings[start : start + size] for start in range(0, len(recordings), size)]
        tables = []
        for window in self._load(windows):
            tables.append(self.score_window(window))
            on_scored(len(window))
        return pa.concat_tables([self.schema.empty_table(), *tables])

    def _load(self, windows: Sequence[Sequence[Recording]]) -> Iterator[Window]:
        """Yield the windows with their recordings decoded, by the workers as many windows ahead as there are."""
        settings = self._rate, self._takes_speech
        if not self.options.num_workers or (self._pool is None and len(windows) == 1):  # not worth the start
            yield from (load_window(window, *settings) for window in windows)
            return
        if self._pool is None:
            # Not forked: the threads and devices of PyTorch do not survive it.
            self._pool = ProcessPoolExecutor(self.options.num_workers, get_context("spawn"))
        ahead: deque[Future[Window]] = deque()
        for window in windows:
            ahead.append(self._pool.submit(load_window, window, *settings))
            if len(ahead) > self.options.num_workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()

    def score_window(self, window: Window) -> pa.Table:
        self._transcribe([loaded for _, loaded in window])
        columns: dict[str, list[Any]] = {name: [None] * len(window) for name in self.schema.names}
        for index, (recording, loaded) in enumerate(window):
            columns["id"][index] = recording.id
            columns["warning"][index], columns["error"][index] = loaded.warning, loaded.error
            columns["transcript"][index] = recording.text if loaded.error else loaded.text
        usable = [index for index, (_, loaded) in enumerate(window) if loaded.error is None]
        for batch in batches_by_length(
            usable, lambda index: len(window[index][1].waveform) / self._rate, self.options
        ):
            for name, values in self._score_batch([window[index][1] for index in batch]).items():
                for index, value in zip(batch, values, strict=True):
                    columns[name][index] = value
        return pa.table(columns, self.schema)

    def _transcribe(self, recordings: Sequence[LoadedRecording]) -> None:
        without = [recording for recording in recordings if recording.text is None]
        texts = self._classify.transcribe([recording.waveform for recording in without], self.options.batch_size)
        for recording, text in zip(without, texts, strict=True):
            recording.text = text

    @torch.inference_mode()
    def _score_batch(self, batch: Sequence[LoadedRecording]) -> Mapping[str, Sequence[Any]]:
        """Return the columns of a batch."""
        waveforms = [recording.waveform for recording in batch] if self._takes_speech else None
        features = self.processor(waveforms, [recording.text for recording in batch], sampling_rate=self._rate)
        inputs = features.to(self.model.device, self.model.dtype)
        output = self.model(**inputs)
        logits = output.logits.float() / self.model.config.calibration_temperature
        finite = logits.isfinite().all(-1).tolist()
        scores = logits.softmax(-1).cpu().numpy()
        best = [self.labels[row.argmax()] if row.max() >= self.options.abstain_below else None for row in scores]
        columns: dict[str, Sequence[Any]] = {"label": best, "calibrated": [self._is_calibrated] * len(batch)}
        columns |= {SCORE + label: scores[:, index].tolist() for index, label in enumerate(self.labels)}
        if self.options.correct:
            corrections = self.model.correct(
                inputs["input_ids"], inputs["text_attention_mask"], output.text_hidden_states
            )
            columns["correction"] = [decode_words(self.processor.tokenizer, one.token_ids) for one in corrections]
        if self.options.embeddings:
            columns["embedding"] = output.embeddings.float().tolist()
        if not all(finite):
            columns = {name: _where(finite, values) for name, values in columns.items()}
            columns["error"] = [None if ok else NOT_FINITE for ok in finite]
        return columns

    @property
    def _is_calibrated(self) -> bool:
        config = self.model.config
        return config.calibrated_weights is not None or config.calibration_temperature != 1


def load_window(recordings: Sequence[Recording], rate: int, takes_speech: bool) -> Window:
    """Decode recordings; the samples of what cannot be used, or is not needed, are left out."""
    window = []
    for recording in recordings:
        loaded = load_recording(recording.load(), rate, takes_speech)
        if not takes_speech and loaded.text is not None:
            loaded = replace(loaded, waveform=np.zeros(1, np.float32))
        window.append((recording, loaded))
    return window


def batches_by_length(
    indices: Sequence[int], seconds: Callable[[int], float], options: ScoringOptions
) -> Iterator[list[int]]:
    """Yield batches of like lengths, of at most `batch_size` and, when padded, `MAX_BATCH_SECONDS`; longest first."""
    batch: list[int] = []
    for index in sorted(indices, key=lambda index: -seconds(index)):
        longest = seconds(batch[0]) if batch else 0.0
        if batch and (len(batch) == options.batch_size or longest * (len(batch) + 1) > MAX_BATCH_SECONDS):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _where(kept: Sequence[bool], values: Sequence[Any]) -> Sequence[Any]:
    return [value if keep else None for keep, value in zip(kept, values, strict=True)]
