"""Hypotheses that the network itself makes of the recordings of a batch, by its CTC head as it is now.

What it trains on is then what it predicts from, errors included (`--text_column own`). The errors on recordings that
the head has learned are fewer than on others; hub_scripts/fold_hypotheses.py makes hypotheses without that.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from m4ser.data.augmentation import Augmentation
from m4ser.data.collator import hide_tokens, label_tensors
from m4ser.data.labels import aligned_labels
from m4ser.model.recognition_m4ser import with_own_texts

INPUTS = ("input_values", "attention_mask", "speech_hidden_states")


@dataclass
class OwnHypotheses:
    """Replaces the hypotheses of batches, and their labels.

    Args:
        tokenizer: the text encoder's. max_correction_length, rewrite: as of [`aligned_labels`].
        augmentation: what hides tokens in training.
    """

    tokenizer: PreTrainedTokenizerBase
    max_correction_length: int
    rewrite: bool
    augmentation: Augmentation

    def for_training(self, model: Any, batch: dict[str, Any]) -> dict[str, Any]:
        """Return a batch with the network's own hypotheses, aligned with the transcripts."""
        with evaluating(model), torch.no_grad():
            found = model.transcribe(**{name: batch[name] for name in INPUTS if name in batch})
        texts = [one.text for one in found]
        encoded = self.tokenizer(
            texts, padding=True, truncation=True, return_token_type_ids=False, return_tensors="pt"
        )
        input_ids = encoded["input_ids"]
        hide_tokens(input_ids, batch["ids"], self.augmentation, self.tokenizer)
        length = self.tokenizer.model_max_length
        rows = [
            aligned_labels(self.tokenizer, text, transcript, length, self.max_correction_length, self.rewrite)
            for text, transcript in zip(texts, batch["transcripts"], strict=True)
        ]
        columns = {"input_ids": input_ids, "text_attention_mask": encoded["attention_mask"]}
        columns |= label_tensors(rows, input_ids.shape[1])
        return batch | {name: column.to(batch["labels"].device) for name, column in columns.items()}

    def for_evaluation(self, model: Any, batch: dict[str, Any]) -> dict[str, Any]:
        """Return a batch as the network predicts from it: frames, and the tokens of its own hypotheses."""
        given = {name: batch[name] for name in INPUTS if name in batch}
        inputs, _ = with_own_texts(model, self.tokenizer, given, [None] * len(batch["labels"]))
        return {name: value for name, value in batch.items() if name not in INPUTS} | inputs


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Switch a network to evaluation, and each of its modules back to what it was."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
