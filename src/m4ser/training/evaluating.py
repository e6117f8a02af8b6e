"""The scores of a split while training, and at its end."""

from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import nn
from torch.utils.data import DataLoader

from m4ser.evaluation.metrics import evaluate_predictions
from m4ser.training.loaders import to_device
from m4ser.training.own_hypotheses import OwnHypotheses

NETWORK_INPUTS = ("input_values", "attention_mask", "input_ids", "text_attention_mask", "speech_hidden_states")


@torch.no_grad()
def evaluate(
    model: nn.Module, loader: DataLoader, accelerator: Accelerator, own_hypotheses: OwnHypotheses | None = None
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Compute the scores of a split, [`evaluate_predictions`] and `loss`, the mean cross-entropy, and its rows.

    Args:
        own_hypotheses: where the network predicts from what it transcribes itself.

    Returns:
        The scores, and for each recording a dict of `id`, `label`, `prediction` and `probabilities`.
    """
    model.eval()
    network = accelerator.unwrap_model(model, keep_torch_compile=False)
    names = [*NETWORK_INPUTS, *network.extra_inputs]
    rows: list[dict[str, Any]] = []
    for batch in loader:
        batch = to_device(batch, accelerator.device)
        if own_hypotheses is not None:
            batch = own_hypotheses.for_evaluation(network, batch)
        logits = model(**{name: batch[name] for name in names if name in batch}).logits.float()
        columns = batch["ids"], batch["labels"].tolist(), logits.argmax(-1).tolist(), logits.softmax(-1).tolist()
        losses = torch.nn.functional.cross_entropy(logits, batch["labels"], reduction="none").tolist()
        fields = ("id", "label", "prediction", "probabilities", "loss")
        rows.extend(dict(zip(fields, row, strict=True)) for row in zip(*columns, losses, strict=True))
    rows = gather_object(rows)
    scores = evaluate_predictions(
        [row["prediction"] for row in rows], [row["label"] for row in rows], len(rows[0]["probabilities"])
    )
    return {**scores, "loss": sum(row["loss"] for row in rows) / len(rows)}, rows
