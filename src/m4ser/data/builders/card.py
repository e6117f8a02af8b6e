"""The dataset card: README.md of a dataset's folder, and its page on the Hub."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import yaml

from m4ser.data.alignment import CHANGE, DELETE, KEEP
from m4ser.data.labels import LabelStatistics
from m4ser.data.schema import Utterance
from m4ser.data.word_errors import corpus_normalizer, count_word_errors
from m4ser.escaping import escape_markdown

FINDINGS_NAMED = 3  # of each kind, in the card


@dataclass
class SplitStatistics:
    """Counts of one split: utterances by emotion, seconds, speakers, hypotheses, pairs of texts, labels if any."""

    emotions: Counter = field(default_factory=Counter)
    seconds: float = 0.0
    speakers: set = field(default_factory=set)
    with_hypothesis: int = 0
    transcripts: list[str] = field(default_factory=list)
    hypotheses: list[str] = field(default_factory=list)
    labels: LabelStatistics | None = None

    def add(self, utterance: Utterance, row: Mapping) -> None:
        """Count an utterance; `row` is what was written of it."""
        self.emotions[utterance.emotion] += 1
        self.seconds += utterance.duration
        self.speakers |= {utterance.speaker} - {None}
        self.with_hypothesis += utterance.hypothesis is not None
        if utterance.transcript is not None and utterance.hypothesis is not None:
            self.transcripts.append(utterance.transcript)
            self.hypotheses.append(utterance.hypothesis)
        if self.labels is not None:
            self.labels.add(row)

    def word_error_rate(self, normalize: Callable[[str], str]) -> float | None:
        """Return the word error rate of the normalized texts, as `m4ser wer` does; None without words to compare."""
        hypotheses, transcripts = (list(map(normalize, texts)) for texts in (self.hypotheses, self.transcripts))
        errors, words = count_word_errors(hypotheses, transcripts)
        return errors / words if words else None


def dataset_card(
    title: str,
    description: str,
    license_id: str | None,
    labels: Sequence[str],
    statistics: Mapping[str, SplitStatistics],
    findings: Mapping[str, Sequence[str]],
    content_hash: str,
) -> str:
    """Return the text of README.md: a YAML header that names the files, then counts by split and what was found.

    `load_dataset` keeps a copy of a folder by its name and this header, and does not see that files change: the
    content's hash in it makes it read a rebuilt dataset anew.
    """
    header = {
        "pretty_name": title,
        "task_categories": ["audio-classification"],
        "tags": ["speech-emotion-recognition", "asr-error-correction"],
        "configs": [
            {
                "config_name": "default",
                "description": f"content {content_hash}",
                "data_files": [{"split": split, "path": f"data/{split}-*"} for split in statistics],
            }
        ],
    }
    if license_id:
        header["license"] = license_id
    tables = _tables(labels, statistics)
    parts = [
        f"---\n{yaml.safe_dump(header, sort_keys=False)}---",
        f"# {escape_markdown(title)}",
        description,
        *tables,
        "Word error rate (WER): of `hypothesis` against `transcript`, as `m4ser wer` counts it.",
    ]
    if len(tables) > 1:
        parts.append(
            "KEEP, DELETE and CHANGE: shares of the hypotheses' tokens, [CLS] included. Target: what a CHANGE is "
            "replaced by, in tokens, its end included."
        )
    if findings:
        parts += ["## What was found in the raw data", _findings(findings), "All of it is in report.json."]
    return "\n\n".join(parts) + "\n"


def summary(
    labels: Sequence[str],
    statistics: Mapping[str, SplitStatistics],
    findings: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> str:
    """Return what a builder prints in the end: the card's tables, and what was found."""
    return "\n\n".join([*_tables(labels, statistics), *([_findings(findings)] if findings else [])])


def _tables(labels: Sequence[str], statistics: Mapping[str, SplitStatistics]) -> list[str]:
    """Count utterances by split and emotion, and where there is something labeled, the labels by split."""
    normalize = corpus_normalizer(text for one in statistics.values() for text in one.transcripts)
    tables = [
        _table(
            ["split", *map(escape_markdown, labels), "utterances", "minutes", "speakers", "hypotheses", "WER"],
            [
                [split, *_entries(split_statistics, labels, normalize)]
                for split, split_statistics in statistics.items()
            ],
        )
    ]
    labeled = {split: one.labels for split, one in statistics.items() if one.labels is not None and one.labels.tags}
    if labeled:
        names = ["split", "tokens", "KEEP", "DELETE", "CHANGE", "targets", "median", "95 %", "longest", "cut"]
        tables.append(_table(names, [[split, *_label_entries(one)] for split, one in labeled.items()]))
    return tables


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _entries(statistics: SplitStatistics, labels: Sequence[str], normalize: Callable[[str], str]) -> list[str]:
    wer = statistics.word_error_rate(normalize)
    return [
        *(str(statistics.emotions[label]) for label in labels),
        str(statistics.emotions.total()),
        f"{statistics.seconds / 60:.1f}",
        str(len(statistics.speakers)) if statistics.speakers else "",
        str(statistics.with_hypothesis),
        "" if wer is None else f"{100 * wer:.1f} %",
    ]


def _label_entries(labels: LabelStatistics) -> list[str]:
    return [
        str(labels.tags.total()),
        *(f"{100 * labels.share(tag):.1f} %" for tag in (KEEP, DELETE, CHANGE)),
        str(labels.target_lengths.total()),
        *(str(labels.length_at(share)) for share in (0.5, 0.95, 1)),
        str(labels.truncated),
    ]


def _findings(findings: Mapping[str, Sequence[str]]) -> str:
    """Return a line a kind: how many there are, and the first of them."""
    lines = []
    for kind, items in findings.items():
        first = ", ".join(map(escape_markdown, items[:FINDINGS_NAMED])) + (
            ", ..." if len(items) > FINDINGS_NAMED else ""
        )
        lines.append(f"- {kind}: {len(items)}" + (f" ({first})" if items else ""))
    return "\n".join(lines)
