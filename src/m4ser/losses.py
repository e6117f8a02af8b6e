"""Every loss of the paper, a pure function each. Token and frame losses are means over what is valid."""

import torch
import torch.nn.functional as F


def emotion_loss(logits, labels):
    """L_ER (eq. 19): cross-entropy of logits (B, e) against labels (B,)."""
    return F.cross_entropy(_full_precision(logits), labels)


def error_detection_loss(aed_logits, aed_labels):
    """L_AED (eq. 3): cross-entropy of (B, n, 3) against labels (B, n), -100 where there is no label."""
    return _token_loss(aed_logits, aed_labels)


def error_correction_loss(aec_logits, correction_ids):
    """L_AEC (eq. 7): cross-entropy of (K, c, vocabulary) against targets (K, c), -100 after their end.

    Zero, with a gradient, where a batch has no CHANGE (K = 0).
    """
    return _token_loss(aec_logits, correction_ids)


def _token_loss(logits, labels):
    total = F.cross_entropy(
        _full_precision(logits.flatten(0, 1)), labels.flatten(), ignore_index=-100, reduction="sum"
    )
    return total / (labels != -100).sum().clamp(min=1)


def contrastive_loss(embeddings, labels, temperature=0.07, include_self=False):
    """L_LCL (eq. 21): label-based contrastive loss by cosine similarity.

    Args:
        embeddings: (B, d). labels: (B,). temperature: tau.
        include_self: read A(i) literally as "the set of all samples", i among them; by default it leaves i out, as
            in supervised contrastive learning (Khosla et al. 2020, the paper's [36]).

    Returns:
        The mean over the anchors that have a positive; zero, with a gradient, where none has.
    """
    normalized = F.normalize(_full_precision(embeddings), dim=-1)
    similarity = normalized @ normalized.T / temperature
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    if not include_self:
        # Far below any cosine over tau, yet finite: a batch of one has no other sample, and -inf would give NaN.
        similarity = similarity.masked_fill(itself, -1e9)
    log_probability = similarity.log_softmax(-1)
    positives = (labels[:, None] == labels) & ~itself
    count = positives.sum(-1)
    per_anchor = -(log_probability.masked_fill(~positives, 0.0)).sum(-1) / count.clamp(min=1)
    return per_anchor.sum() / (count > 0).sum().clamp(min=1)


def discriminator_loss(speech_logits, text_logits, invariant_logits, mask):
    """What D minimizes: minus L_GAN (eq. 20), so that speech goes to 1, text to 0 and the invariant off 0.5.

    Args:
        speech_logits, text_logits, invariant_logits: (B, m), before the sigmoid. mask: (B, m), True where valid.
    """
    # log(sigmoid(x)) overflows in half precision; -log(sigmoid(x)) = softplus(-x) does not.
    told_apart = F.softplus(-_full_precision(speech_logits)) + F.softplus(_full_precision(text_logits))
    return _frame_mean(told_apart, mask) - generator_loss(invariant_logits, mask)


def generator_loss(invariant_logits, mask):
    """L_G (second term of eq. 20): least, 2 ln 2 = 1.386, where D gives the invariant frames 0.5.

    Args:
        invariant_logits: (B, m), before the sigmoid. mask: (B, m), True where valid.
    """
    logits = _full_precision(invariant_logits)
    return _frame_mean(F.softplus(-logits) + F.softplus(logits), mask)


def spaces_loss(space_logits, space_distances, labels):
    """What trains the two spaces of each modality of SAMS: emotions from the own, semantics from the other's.

    Args:
        space_logits: (2, B, e). space_distances: (2, B). labels: (B,).
    """
    return sum(emotion_loss(logits, labels) for logits in space_logits) + space_distances.mean(-1).sum()


def _full_precision(values):
    """Half precision to float32; float64 stays, for the tests."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _frame_mean(values, mask):
    return (values * mask).sum() / mask.sum().clamp(min=1)


def network_losses(output, batch, weights, gather=lambda rows: rows):
    """Each loss of the network's step that its output, the batch and the weights allow, by name.

    Args:
        output: [`M4SEROutput`]. batch: mapping with "labels" and, for the auxiliary tasks, "aed_labels" (B, n) and
            "correction_ids" (K, c). weights: as of [`joint_loss`], and `temperature`. gather: function from the rows
            of this process to those of all, between which the contrastive loss compares.
    """
    losses = {"emotion": emotion_loss(output.logits, batch["labels"])}
    if weights.contrastive_weight:
        compared = gather(output.embeddings), gather(batch["labels"])
        losses["contrastive"] = contrastive_loss(*compared, weights.temperature)
    if output.aed_logits is not None:
        losses["error_detection"] = error_detection_loss(output.aed_logits, batch["aed_labels"])
    if output.aec_logits is not None:
        losses["error_correction"] = error_correction_loss(output.aec_logits, batch["correction_ids"])
    if getattr(output, "space_logits", None) is not None:
        losses["spaces"] = spaces_loss(output.space_logits, output.space_distances, batch["labels"])
    return losses


def joint_loss(losses, weights):
    """Eq. 22: L_ER + alpha (beta L_AED + L_AEC) + gamma L_G + lambda L_LCL, over the losses that are there.

    Args:
        losses: values by name. weights: `auxiliary_weight`, `detection_weight`, `adversarial_weight` and `contrastive_weight` as attributes.
    """
    factors = {
        "emotion": 1.0,
        "error_detection": weights.auxiliary_weight * weights.detection_weight,
        "error_correction": weights.auxiliary_weight,
        "generator": weights.adversarial_weight,
        "contrastive": weights.contrastive_weight,
        "spaces": 1.0,
    }
    return sum(factors[name] * value for name, value in losses.items())
