"""Tiny networks and batches: random, but with the real HuBERT's strides and both of its normalizations."""

import numpy as np
import torch

from m4ser import M4SERConfig, M4SERModel

HEADS = 4
WIDTH = 24
VOCABULARY = 40
SPEECH_NORMS = ("group", "layer")
BOS, EOS = 1, 2


def tiny_config(norm="group", **overrides):
    """All of HuBERT's seven strides (a frame sees 400 samples); three widths that differ, so none can be mixed up."""
    fields = {
        "speech_config": {
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 40,
            "conv_dim": [8] * 7,
            "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
            "conv_stride": [5, 2, 2, 2, 2, 2, 2],
            "num_feat_extract_layers": 7,
            "feat_extract_norm": norm,
            "do_stable_layer_norm": norm == "layer",
            "num_conv_pos_embeddings": 8,
            "num_conv_pos_embedding_groups": 2,
        },
        "text_config": {
            "vocab_size": VOCABULARY,
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "max_position_embeddings": 64,
        },
        "hidden_size": WIDTH,
        "num_attention_heads": HEADS,
        "intermediate_size": 36,
        "correction_intermediate_size": 28,
        "max_correction_length": 5,
        "correction_bos_token_id": BOS,
        "correction_eos_token_id": EOS,
    }
    return M4SERConfig.preset("tiny", **{**fields, **overrides})


def tiny_model(norm="group", **overrides):
    """In eval mode; every weight random, so that no bias, norm or slope can be left out unseen."""
    torch.manual_seed(0)
    return randomize(M4SERModel(tiny_config(norm, **overrides))).eval()


@torch.no_grad()
def randomize(module, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in sorted(module.named_parameters()):
        spread = torch.randn(parameter.shape, generator=generator)
        scale = name.lower().endswith(("norm.weight", "original0"))
        parameter.copy_(1 + 0.2 * spread if scale else spread / max(4, parameter.shape[-1]) ** 0.5)
    return module


def recordings(samples, tokens, seed=0):
    """Rows of random samples, token ids ([CLS] and [SEP] around words), tags, and a replacement for each CHANGE."""
    rng = np.random.default_rng(seed)
    rows = []
    for index, (length, count) in enumerate(zip(samples, tokens, strict=True)):
        tags = rng.integers(0, 3, count)
        tags[-1] = -100
        changes = np.flatnonzero(tags == 2).tolist()
        rows.append(
            {
                "wave": rng.standard_normal(length),
                "ids": [BOS, *rng.integers(3, VOCABULARY, count - 2).tolist(), EOS],
                "label": index % 4,
                "tags": tags.tolist(),
                "changes": changes,
                "replacements": [[*rng.integers(3, VOCABULARY, rng.integers(0, 4)).tolist(), EOS] for _ in changes],
            }
        )
    return rows


def collate(rows, more_samples=0, more_tokens=0, dtype=torch.float32):
    """The batch that the collator would make. What lies in the padding is noise: nobody may look at it."""
    rng = np.random.default_rng(1)
    samples = max(len(row["wave"]) for row in rows) + more_samples
    tokens = max(len(row["ids"]) for row in rows) + more_tokens
    replacements = [ids for row in rows for ids in row["replacements"]]
    longest = max(map(len, replacements), default=1)

    def mask(lengths, longest):
        return torch.tensor([[step < length for step in range(longest)] for length in lengths]).long()

    waves = [np.concatenate([row["wave"], rng.standard_normal(samples - len(row["wave"]))]) for row in rows]
    ids = [row["ids"] + rng.integers(3, VOCABULARY, tokens - len(row["ids"])).tolist() for row in rows]
    positions = [(index, position) for index, row in enumerate(rows) for position in row["changes"]]
    return {
        "input_values": torch.tensor(np.array(waves), dtype=dtype),
        "attention_mask": mask([len(row["wave"]) for row in rows], samples),
        "input_ids": torch.tensor(ids),
        "text_attention_mask": mask([len(row["ids"]) for row in rows], tokens),
        "labels": torch.tensor([row["label"] for row in rows]),
        "aed_labels": torch.tensor([row["tags"] + [-100] * (tokens - len(row["tags"])) for row in rows]),
        "correction_positions": torch.tensor(positions, dtype=torch.long).reshape(-1, 2),
        "correction_ids": torch.tensor(
            [ids + [-100] * (longest - len(ids)) for ids in replacements], dtype=torch.long
        ).reshape(-1, longest),
    }


INPUTS = ("input_values", "attention_mask", "input_ids", "text_attention_mask")


def plain_inputs(batch):
    return {name: batch[name] for name in INPUTS}


def training_inputs(batch):
    """What makes the network compute both auxiliary tasks too."""
    corrections = {name: batch[name] for name in ("correction_positions", "correction_ids")}
    return {**plain_inputs(batch), "detect_errors": True, **corrections}
