"""Real ASR errors for `experiments.correction`: hypotheses and what was said.

SST (sentences of film reviews) and ATIS (flight enquiries) were synthesized, mixed with noise and transcribed; MOSI
(opinions on video) was transcribed by three systems, each of which counts as a corpus of its own here.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from m4ser.data.labels import aligned_labels
from m4ser.model.configuration_m4ser import M4SERConfig

Rows = list[dict[str, Any]]
Splits = dict[str, Rows]
Corpora = dict[str, Splits]
Texts = dict[str, list[str]]  # by split

SYSTEMS = ("iflytek", "ibm", "speechbrain")
MEASURED = ("sst", *(f"mosi {system}" for system in SYSTEMS))
_SPLITS = {"train": "train", "valid": "validation", "dev": "validation", "test": "test"}


def read_corpora(folder: Path, limit: int | None = None) -> Corpora:
    """Read the rows by corpus ("sst", "atis", "mosi iflytek", ...) and split (train, validation, test).

    Args:
        folder: holds phonemebert_cc0 and mosi_asr. limit: at most so many rows a split.

    Returns:
        Rows as `M4SERCollator` takes them, without audio and emotion, both texts as published but for white space;
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


def with_labels(rows: Rows, tokenizer: PreTrainedTokenizerBase, config: M4SERConfig) -> Rows:
    """Return the rows with the targets that a network of this config learns from (`aligned_labels`)."""
    limits = tokenizer.model_max_length, config.max_correction_length
    rewrite = "detection" not in config.auxiliary_tasks
    return [row | aligned_labels(tokenizer, row["hypothesis"], row["transcript"], *limits, rewrite) for row in rows]


def _read_lines(path: Path) -> Rows:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _row(line: Mapping[str, Any], hypothesis: str) -> dict[str, Any]:
    texts = {"hypothesis": " ".join(hypothesis.split()), "transcript": " ".join(line["gold"].split())}
    return {"id": line["id"], "audio": None, "emotion": 0, **texts}
