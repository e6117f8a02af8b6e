"""Real ASR errors for `experiments.correction`: hypotheses and what was said.

SST (sentences of film reviews) and ATIS (flight enquiries) were synthesized, mixed with noise and transcribed; MOSI
(opinions on video) was transcribed by three systems, each of which counts as a corpus of its own here.
"""

import json

from m4ser.data.labels import aligned_labels
from m4ser.data.tokenizer import basic_normalizer

SYSTEMS = ("iflytek", "ibm", "speechbrain")
MEASURED = ("sst", *(f"mosi {system}" for system in SYSTEMS))
_SPLITS = {"train": "train", "valid": "validation", "dev": "validation", "test": "test"}


def read_corpora(folder, limit=None):
    """The rows of each corpus by split: {"sst", "atis", "mosi iflytek", ...: {"train", "validation", "test": [...]}}.

    Args:
        folder: holds phonemebert_cc0 and mosi_asr. limit: at most so many rows a split.

    Returns:
        Rows as `M4SERCollator` takes them, without audio and emotion, both texts normalized by `basic_normalizer`;
        those of MOSI have a `sentiment`, from -3 to 3.
    """
    corpora = {name: {} for name in ("sst", "atis")}
    for name, splits in corpora.items():
        for file_split in ("train", "valid", "test"):
            lines = _read_lines(folder / "phonemebert_cc0" / f"{name}_{file_split}.jsonl")
            splits[_SPLITS[file_split]] = [_row(line, line["asr"]) for line in lines[:limit]]
    lines = _read_lines(folder / "mosi_asr" / "mosi_asr.jsonl")
    for system in SYSTEMS:
        splits = corpora[f"mosi {system}"] = {"train": [], "validation": [], "test": []}
        for line in lines:
            row = _row(line, line[f"asr_{system}"]) | {"sentiment": line["sentiment"]}
            splits[_SPLITS[line["split"]]].append(row)
        corpora[f"mosi {system}"] = {split: rows[:limit] for split, rows in splits.items()}
    return corpora


def with_labels(rows, tokenizer, config):
    """The rows with the targets that a network of this config learns from (`aligned_labels`)."""
    limits = tokenizer.model_max_length, config.max_correction_length
    rewrite = "detection" not in config.auxiliary_tasks
    return [row | aligned_labels(tokenizer, row["hypothesis"], row["transcript"], *limits, rewrite) for row in rows]


def normalize(text):
    return " ".join(basic_normalizer().normalize_str(text).split())


def _read_lines(path):
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _row(line, hypothesis):
    texts = {"hypothesis": normalize(hypothesis), "transcript": normalize(line["gold"])}
    return {"id": line["id"], "audio": None, "emotion": 0, **texts}
