"""Every loss of the paper, a pure function each, and the objective that they make up (eq. 22).

Each is a mean over what is valid; where the arguments want the paper's sums, the scaling of losses makes them
(`m4ser.training.loss_scaling`). `OBJECTIVES` is the one table of losses: the trainer, the scaling over processes and
accumulated batches, the logs, the curves and the report iterate it. A loss that only one system has comes from its
network as `auxiliary_losses` of the output and needs no entry.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

IGNORED = -100  # labels that no loss counts
# Arguments that weigh losses, and the paper's symbols for them (eq. 22).
WEIGHT_SYMBOLS = {
    "auxiliary_weight": "α",
    "detection_weight": "β",
    "adversarial_weight": "γ",
    "contrastive_weight": "λ",
}


def emotion_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """L_ER (eq. 19): cross-entropy of logits (B, e) against labels (B,)."""
    return F.cross_entropy(_full_precision(logits), labels)


def error_detection_loss(aed_logits: Tensor, aed_labels: Tensor) -> Tensor:
    """L_AED (eq. 3): cross-entropy of (B, n, 3) against labels (B, n), -100 where there is no label."""
    return _token_loss(aed_logits, aed_labels)


def error_correction_loss(aec_logits: Tensor, correction_ids: Tensor) -> Tensor:
    """L_AEC (eq. 7): cross-entropy of (K, c, vocabulary) against targets (K, c), -100 after their end.

    Zero, with a gradient, where a batch has no CHANGE (K = 0).
    """
    return _token_loss(aec_logits, correction_ids)


def recognition_loss(logits: Tensor, frame_mask: Tensor, character_labels: Tensor) -> Tensor:
    """Compute L_CTC, connectionist temporal classification (Graves et al. 2006), of each recording: (B,).

    Zero, with a gradient, where a recording has no characters, or more than its frames can hold.

    Args:
        logits: (B, m, characters), character 0 the blank. frame_mask: (B, m), True where valid.
        character_labels: (B, c), -100 after a transcript's end.
    """
    lengths = (character_labels != IGNORED).sum(-1)
    log_probabilities = _full_precision(logits).log_softmax(-1).transpose(0, 1)
    targets = character_labels.clamp(min=1)
    losses = F.ctc_loss(log_probabilities, targets, frame_mask.sum(-1), lengths, reduction="none", zero_infinity=True)
    return losses * (lengths > 0)


def _token_loss(logits: Tensor, labels: Tensor) -> Tensor:
    total = F.cross_entropy(
        _full_precision(logits.flatten(0, 1)), labels.flatten(), ignore_index=IGNORED, reduction="sum"
    )
    return total / (labels != IGNORED).sum().clamp(min=1)


def contrastive_loss(
    embeddings: Tensor, labels: Tensor, temperature: float = 0.07, include_self: bool = False
) -> Tensor:
    """L_LCL (eq. 21): label-based contrastive loss by cosine similarity.

    Args:
        embeddings: (B, d). labels: (B,). temperature: tau.
        include_self: read A(i) literally as "the set of all samples", i among them; by default it leaves i out, as
            in supervised contrastive learning (Khosla et al. 2020, the paper's [36]).

    Returns:
        The mean over the anchors that have a positive; zero, with a gradient, where none has.
    """
    normalized = F.normalize(_full_precision(embeddings), dim=-1)
    return supervised_contrastive_loss(normalized @ normalized.T / temperature, labels, include_self)


def supervised_contrastive_loss(similarity: Tensor, labels: Tensor, include_self: bool = False) -> Tensor:
    """Compute the loss of [`contrastive_loss`] from any similarity (B, B), by the temperature divided."""
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    if not include_self:
        # Far below any cosine over tau, yet finite: a batch of one has no other sample, and -inf would give NaN.
        similarity = similarity.masked_fill(itself, -1e9)
    log_probability = similarity.log_softmax(-1)
    positives = (labels[:, None] == labels) & ~itself
    count = positives.sum(-1)
    per_anchor = -(log_probability.masked_fill(~positives, 0.0)).sum(-1) / count.clamp(min=1)
    return per_anchor.sum() / (count > 0).sum().clamp(min=1)


def discriminator_loss(speech_logits: Tensor, text_logits: Tensor, invariant_logits: Tensor, mask: Tensor) -> Tensor:
    """Compute what D minimizes, minus L_GAN (eq. 20), so that speech goes to 1, text to 0 and the invariant off 0.5.

    Args:
        speech_logits, text_logits, invariant_logits: (B, m), before the sigmoid. mask: (B, m), True where valid.
    """
    # log(sigmoid(x)) overflows in half precision; -log(sigmoid(x)) = softplus(-x) does not.
    modalities = F.softplus(-_full_precision(speech_logits)) + F.softplus(_full_precision(text_logits))
    return _frame_mean(modalities, mask) - generator_loss(invariant_logits, mask)


def generator_loss(invariant_logits: Tensor, mask: Tensor) -> Tensor:
    """L_G (second term of eq. 20): least, 2 ln 2 = 1.386, where D gives the invariant frames 0.5.

    Args:
        invariant_logits: (B, m), before the sigmoid. mask: (B, m), True where valid.
    """
    logits = _full_precision(invariant_logits)
    return _frame_mean(F.softplus(-logits) + F.softplus(logits), mask)


def _full_precision(values: Tensor) -> Tensor:
    """Half precision to float32; float64 stays, for the tests."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _frame_mean(values: Tensor, mask: Tensor) -> Tensor:
    return (values * mask).sum() / mask.sum().clamp(min=1)


@dataclass(frozen=True)
class LossInputs:
    """The inputs of the losses of one batch.

    Args:
        output: [`EmotionOutput`] of the network's forward; with D, M4SER's, which has the representations.
        batch: of [`M4SERCollator`], with "all_labels", the labels of all processes, and "frame_lengths" (B,).
        options: the weights of `WEIGHT_SYMBOLS`, `temperature` and `contrastive_include_self` as attributes.
        gather: function from the rows of this process to those of all, between which the contrastive loss compares.
        discriminator: D, where the network is trained against one.
    """

    output: Any
    batch: Mapping[str, Any]
    options: Any
    gather: Callable[[Tensor], Tensor] = lambda rows: rows
    discriminator: nn.Module | None = None

    @cached_property
    def invariant_logits(self) -> Tensor:
        """D of the invariant representation (B, m), as line 25 of Alg. 1 has it.

        D is frozen, yet the gradient flows through it to the representation.
        """
        assert self.discriminator is not None
        self.discriminator.requires_grad_(False)
        logits = self.discriminator(self.output.invariant)
        self.discriminator.requires_grad_(True)
        return logits


@dataclass(frozen=True)
class Objective:
    """One loss.

    Args:
        name: in the logs. title: of its curve.
        count: function from a batch to how many things the loss is a mean over, a scalar.
        compute: the loss of a batch, or None where the network or the options leave it out.
        weights: the arguments whose product weighs it in the joint loss.
        task: the auxiliary task that it trains. trains_discriminator: D minimizes it, on its own, not the network.
        expectation: a mean in the paper, too, not a sum. gathered: each process computes it over the recordings of
            all, and counts them all.
    """

    name: str
    title: str
    count: Callable[[Mapping[str, Any]], Tensor]
    compute: Callable[[LossInputs], Tensor | None]
    weights: tuple[str, ...] = ()
    task: str | None = None
    trains_discriminator: bool = False
    expectation: bool = False
    gathered: bool = False

    def weight(self, options: Any) -> float:
        """Return the product of its weights in `options`."""
        product = 1.0
        for name in self.weights:
            product *= getattr(options, name)
        return product


def recordings(batch: Mapping[str, Any]) -> Tensor:
    """Count the recordings of a batch."""
    return batch["labels"].new_tensor(len(batch["labels"]))


def tagged_tokens(batch: Mapping[str, Any]) -> Tensor:
    """Count the tokens of hypotheses that have a tag."""
    return (batch["aed_labels"] != IGNORED).sum()


def replacement_tokens(batch: Mapping[str, Any]) -> Tensor:
    """Count the tokens of replacements, their ends included."""
    return (batch["correction_ids"] != IGNORED).sum()


def transcribed(batch: Mapping[str, Any]) -> Tensor:
    """Count the recordings that have a transcript to recognize."""
    labels = batch.get("recognition_labels")
    return recordings(batch) * 0 if labels is None else (labels != IGNORED).any(-1).sum()


def frames(batch: Mapping[str, Any]) -> Tensor:
    """Count the valid frames."""
    return batch["frame_lengths"].sum()


def anchors(batch: Mapping[str, Any]) -> Tensor:
    """Count the recordings, of all processes, that have another one of their emotion."""
    same = (batch["all_labels"][:, None] == batch["all_labels"]).sum(-1)
    return (same > 1).sum()


def _emotion(inputs: LossInputs) -> Tensor:
    return emotion_loss(inputs.output.logits, inputs.batch["labels"])


def _contrastive(inputs: LossInputs) -> Tensor | None:
    if not inputs.options.contrastive_weight:
        return None
    embeddings = inputs.gather(inputs.output.embeddings)
    options = inputs.options
    return contrastive_loss(
        embeddings, inputs.batch["all_labels"], options.temperature, options.contrastive_include_self
    )


def _error_detection(inputs: LossInputs) -> Tensor | None:
    logits = getattr(inputs.output, "aed_logits", None)
    return None if logits is None else error_detection_loss(logits, inputs.batch["aed_labels"])


def _error_correction(inputs: LossInputs) -> Tensor | None:
    logits = getattr(inputs.output, "aec_logits", None)
    return None if logits is None else error_correction_loss(logits, inputs.batch["correction_ids"])


def _recognition(inputs: LossInputs) -> Tensor | None:
    logits = getattr(inputs.output, "recognition_logits", None)
    if logits is None:
        return None
    batch = inputs.batch
    losses = recognition_loss(logits, inputs.output.frame_mask, batch["recognition_labels"])
    return losses.sum() / transcribed(batch).clamp(min=1)


def _generator(inputs: LossInputs) -> Tensor | None:
    if inputs.discriminator is None:
        return None
    return generator_loss(inputs.invariant_logits, inputs.output.frame_mask)


def _discriminator(inputs: LossInputs) -> Tensor | None:
    """D's loss on detached representations, so that nothing of it reaches the network."""
    if inputs.discriminator is None:
        return None
    output = inputs.output
    streams = [stream.detach() for stream in (output.speech_specific, output.text_specific, output.invariant)]
    speech, text, invariant = inputs.discriminator(torch.cat(streams)).chunk(3)
    return discriminator_loss(speech, text, invariant, output.frame_mask)


OBJECTIVES: dict[str, Objective] = {
    objective.name: objective
    for objective in (
        Objective("emotion", "emotion, L_ER", recordings, _emotion),
        Objective("contrastive", "contrastive, L_LCL", anchors, _contrastive, ("contrastive_weight",), gathered=True),
        Objective(
            "error_detection",
            "error detection, L_AED",
            tagged_tokens,
            _error_detection,
            ("auxiliary_weight", "detection_weight"),
            task="detection",
        ),
        Objective(
            "error_correction",
            "error correction, L_AEC",
            replacement_tokens,
            _error_correction,
            ("auxiliary_weight",),
            task="correction",
        ),
        Objective(
            "recognition",
            "recognition, L_CTC",
            transcribed,
            _recognition,
            ("recognition_weight",),
            task="recognition",
        ),
        Objective("generator", "generator, L_G", frames, _generator, ("adversarial_weight",), expectation=True),
        Objective(
            "discriminator",
            "discriminator, -L_GAN",
            frames,
            _discriminator,
            trains_discriminator=True,
            expectation=True,
        ),
    )
}


def objective_of(name: str) -> Objective:
    """Return a loss by its name: an entry of `OBJECTIVES`, or a system's own, a mean over recordings of weight 1."""
    if name in OBJECTIVES:
        return OBJECTIVES[name]
    return Objective(name, name.replace("_", " "), recordings, lambda inputs: _own_losses(inputs)[name])


def _own_losses(inputs: LossInputs) -> dict[str, Tensor]:
    return {name: loss.mean() for name, loss in (inputs.output.auxiliary_losses or {}).items()}


def check_objective(options: Any, tasks: tuple[str, ...] | list[str] = ()) -> None:
    """Refuse, before anything is trained, a table that cannot train the auxiliary `tasks` of a network.

    Raises:
        ValueError: a task that no loss trains, or a loss weighed by an argument that `options` lack.
    """
    if untrained := sorted(set(tasks) - {objective.task for objective in OBJECTIVES.values()}):
        raise ValueError(f"No loss trains the auxiliary task {untrained[0]}: add one to m4ser.losses.OBJECTIVES.")
    for objective in OBJECTIVES.values():
        if missing := [name for name in objective.weights if not hasattr(options, name)]:
            raise ValueError(
                f"The loss {objective.name} is weighed by {missing[0]}, which is no argument: add it to "
                "m4ser.training.arguments.ObjectiveArguments."
            )


def compute_losses(inputs: LossInputs) -> dict[str, Tensor]:
    """Return each loss of a batch that the output, the batch and the options allow, by name, the system's own last.

    Raises:
        ValueError: a loss of the system bears the name of one of `OBJECTIVES`.
    """
    own = _own_losses(inputs)
    if taken := sorted(own.keys() & OBJECTIVES.keys()):
        raise ValueError(f"The system's loss {taken[0]} has the name of a loss of every system: give it another.")
    losses = {name: objective.compute(inputs) for name, objective in OBJECTIVES.items()}
    return {name: loss for name, loss in losses.items() if loss is not None} | own


def joint_loss(losses: Mapping[str, Tensor], options: Any) -> Tensor:
    """Eq. 22: L_ER + α (β L_AED + L_AEC) + γ L_G + λ L_LCL, over the losses that are there and train the network.

    Args:
        losses: values by name. options: the weights of `WEIGHT_SYMBOLS` as attributes.
    """
    objectives = [objective_of(name) for name in losses]
    terms = [
        objective.weight(options) * losses[objective.name]
        for objective in objectives
        if not objective.trains_discriminator
    ]
    return reduce(torch.add, terms)
