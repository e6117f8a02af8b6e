"""The dataset card: what a reader of the folder, or of its page on the Hub, needs to know."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import jiwer
import yaml

from m4ser.data.tokenizer import basic_normalizer


@dataclass
class SplitStatistics:
    """What one split holds: utterances by emotion, seconds, speakers, and its pairs of texts."""

    emotions: Counter = field(default_factory=Counter)
    seconds: float = 0.0
    speakers: set = field(default_factory=set)
    transcripts: list[str] = field(default_factory=list)
    hypotheses: list[str] = field(default_factory=list)

    def add(self, utterance) -> None:
        self.emotions[utterance.emotion] += 1
        self.seconds += utterance.duration
        self.speakers |= {utterance.speaker} - {None}
        if utterance.transcript is not None and utterance.hypothesis is not None:
            normalize = basic_normalizer().normalize_str
            self.transcripts.append(normalize(utterance.transcript))
            self.hypotheses.append(normalize(utterance.hypothesis))

    @property
    def word_error_rate(self) -> float | None:
        """Of the normalised texts; None without words to compare."""
        if not any(transcript.strip() for transcript in self.transcripts):
            return None
        return jiwer.wer(self.transcripts, self.hypotheses)


def dataset_card(
    title: str,
    description: str,
    license_id: str | None,
    labels: Sequence[str],
    statistics: Mapping[str, SplitStatistics],
) -> str:
    """The text of README.md: a YAML header that names the files, then counts by split and emotion."""
    header = {
        "pretty_name": title,
        "task_categories": ["audio-classification"],
        "tags": ["speech-emotion-recognition", "asr-error-correction"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": f"data/{split}-*"} for split in statistics],
            }
        ],
    }
    if license_id:
        header["license"] = license_id
    rows = [["split", *labels, "utterances", "minutes", "speakers", "WER"]]
    rows.append(["---"] * len(rows[0]))
    rows += [[split, *_cells(split_statistics, labels)] for split, split_statistics in statistics.items()]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return (
        f"---\n{yaml.safe_dump(header, sort_keys=False)}---\n\n# {title}\n\n{description}\n\n{table}\n\n"
        "Word error rate (WER): of `hypothesis` against `transcript`, lower-case, without punctuation.\n"
    )


def _cells(statistics: SplitStatistics, labels: Sequence[str]) -> list[str]:
    wer = statistics.word_error_rate
    return [
        *(str(statistics.emotions[label]) for label in labels),
        str(statistics.emotions.total()),
        f"{statistics.seconds / 60:.1f}",
        str(len(statistics.speakers)) if statistics.speakers else "",
        "" if wer is None else f"{100 * wer:.1f} %",
    ]
