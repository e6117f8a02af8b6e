"""Rows of a dataset to one padded batch."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from m4ser.data.augmentation import Augmentation
from m4ser.model.audio_m4ser import load_audio
from m4ser.model.recognition_m4ser import character_labels

if TYPE_CHECKING:
    from m4ser.model.processing_m4ser import M4SERProcessor

IGNORED = -100


class M4SERCollator:
    """Decode, process and pad rows; gather all CHANGE positions of the batch into one list.

    Args:
        processor: an [`M4SERProcessor`].
        augmentation: what happens to a training recording and its hypothesis.
        max_seconds: of a longer recording only a window is taken: the middle, or, with `augmentation`, another part
            each epoch.
        has_speech: whether the network has a speech encoder; for one without, no recording is decoded.
        vocabulary: of its CTC head, where it has one.
    """

    def __init__(
        self,
        processor: "M4SERProcessor",
        augmentation: Augmentation | None = None,
        max_seconds: float | None = None,
        has_speech: bool = True,
        vocabulary: Sequence[str] = (),
    ):
        self.processor = processor
        self.augmentation = augmentation
        self.max_seconds = max_seconds
        self.has_speech = has_speech
        self.vocabulary = vocabulary

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Collate rows with the columns of `m4ser.data.schema`, label columns included.

        Returns:
            The processor's inputs, `token_confidences` (B, n) among them, `labels` (B,), `aed_labels` (B, n),
            `correction_positions` (K, 2) as row and token, `correction_ids` (K, c), `recognition_labels` (B,
            characters), and as lists `ids` and `transcripts`, whose entries may be None, as they are for a recording
            that was cut. Where no row has audio, or the network no speech encoder, `input_values` and
            `attention_mask` are None; where rows have `speech_states` (`m4ser.training.features`), these are
            `speech_hidden_states` (B, m, width), and `attention_mask` (B, m) is theirs.
        """
        rate = self.processor.feature_extractor.sampling_rate
        ids = [row["id"] for row in rows]
        texts = [row["hypothesis"] or "" for row in rows]
        cached = rows[0].get("speech_states") is not None
        has_audio = self.has_speech and not cached and any(row["audio"] is not None for row in rows)
        waveforms = self._waveforms(rows, rate) if has_audio else None
        silence = {"input_values": None, "attention_mask": None}
        confidences = [row.get("word_confidences") for row in rows]
        inputs = self.processor(waveforms, texts, word_confidences=confidences, sampling_rate=rate)
        batch: dict[str, Any] = silence | dict(inputs)
        if cached:
            batch |= _pad_states([row["speech_states"] for row in rows], rows[0]["speech_width"])
        if self.augmentation is not None:
            hide_tokens(batch["input_ids"], ids, self.augmentation, self.processor.tokenizer)
        batch["ids"] = ids
        batch["transcripts"] = [None if self._is_cut(row) else row.get("transcript") for row in rows]
        batch["recognition_labels"] = character_labels(batch["transcripts"], self.vocabulary)
        batch["labels"] = torch.tensor([row["emotion"] for row in rows])
        return batch | label_tensors(rows, batch["input_ids"].shape[1])

    def _is_cut(self, row: dict[str, Any]) -> bool:
        """Tell whether a window of a recording is taken, which says less than its transcript."""
        return self.max_seconds is not None and row.get("duration", 0.0) > self.max_seconds

    def _waveforms(self, rows: Sequence[dict[str, Any]], rate: int) -> list[np.ndarray]:
        waveforms = [load_audio(row["audio"], target_sampling_rate=rate, name=row["id"]) for row in rows]
        pairs = list(zip(waveforms, rows, strict=True))
        if self.max_seconds is not None:
            pairs = [(self._window(waveform, int(self.max_seconds * rate), row["id"]), row) for waveform, row in pairs]
        if self.augmentation is not None:
            return [self.augmentation.waveform(waveform, row["id"]) for waveform, row in pairs]
        return [waveform for waveform, _ in pairs]

    def _window(self, waveform: np.ndarray, length: int, row_id: str) -> np.ndarray:
        spare = max(0, len(waveform) - length)
        start = spare // 2 if self.augmentation is None else self.augmentation.window_start(spare, row_id)
        return waveform[start : start + length]


def hide_tokens(
    input_ids: torch.Tensor, ids: Sequence[str], augmentation: Augmentation, tokenizer: PreTrainedTokenizerBase
) -> None:
    """Mask, in `input_ids` (B, n) itself, the tokens of recordings `ids` that the augmentation hides."""
    if augmentation.mask:
        special = torch.isin(input_ids, torch.tensor(tokenizer.all_special_ids))
        hidden = np.stack([augmentation.hidden_tokens(input_ids.shape[1], row_id) for row_id in ids])
        input_ids[torch.from_numpy(hidden) & ~special] = tokenizer.mask_token_id


def label_tensors(rows: Sequence[Mapping[str, Any]], tokens: int) -> dict[str, torch.Tensor]:
    """Pad the label columns of rows (`m4ser.data.labels`) to `tokens`, all CHANGE positions in one list."""
    positions = [(index, position) for index, row in enumerate(rows) for position in row["correction_positions"]]
    replacements = [replacement for row in rows for replacement in row["correction_ids"]]
    return {
        "aed_labels": _pad([row["aed_labels"] for row in rows], tokens),
        "correction_positions": torch.tensor(positions, dtype=torch.long).reshape(-1, 2),
        "correction_ids": _pad(replacements, max(map(len, replacements), default=1)),
    }


def _pad_states(states: Sequence[bytes], width: int) -> dict[str, torch.Tensor]:
    """Frames that a frozen encoder gave before: (B, m, width) and their mask (B, m)."""
    frames = [torch.from_numpy(np.frombuffer(row, np.float32).reshape(-1, width).copy()) for row in states]
    masks = [torch.ones(len(row), dtype=torch.long) for row in frames]
    return {
        "speech_hidden_states": torch.nn.utils.rnn.pad_sequence(frames, batch_first=True),
        "attention_mask": torch.nn.utils.rnn.pad_sequence(masks, batch_first=True),
    }


def _pad(sequences: Sequence[Sequence[int]], length: int) -> torch.Tensor:
    padded = torch.full((len(sequences), length), IGNORED)
    for row, sequence in zip(padded, sequences, strict=True):
        row[: len(sequence)] = torch.tensor(sequence, dtype=torch.long)
    return padded
