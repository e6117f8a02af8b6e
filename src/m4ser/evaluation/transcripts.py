"""Word error rates of a dataset's hypotheses, overall and by what is known of a recording: `m4ser wer`."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets

from m4ser.data.builders.hypotheses import Hypotheses
from m4ser.data.loading import load_dataset, merge_splits
from m4ser.data.schema import DataError
from m4ser.data.word_errors import ENGLISH, corpus_normalizer, normalizer_name
from m4ser.evaluation.metrics import word_error_rate

TEXTS = ("hypothesis", "transcript")
COLUMNS = ("split", "session", "emotion", "speaker")
# Sec. IV-B; the paper does not say how it normalized.
PUBLISHED = "The paper: 20.48 % on IEMOCAP (openai/whisper-medium.en), 37.87 % on MELD (openai/whisper-large-v2)."


def word_error_rates(
    dataset: datasets.Dataset | datasets.DatasetDict,
    by: Sequence[str] = COLUMNS,
    normalize: Callable[[str], str] | None = None,
    asr: str | Path | None = None,
) -> dict[str, Any]:
    """Compute word error rates of `hypothesis` against `transcript`; recordings that lack one of them are left out.

    Args:
        dataset: a `Dataset` or `DatasetDict` with the columns of `m4ser.data.schema`; the audio is not read.
        by: columns to group by. One that is absent or entirely None is left out.
        normalize: a function on both texts; Whisper's normalizer by default, the English one or the basic one by the
            letters of all transcripts (`corpus_normalizer`). asr: id or folder of a Whisper model whose table of
            spellings the English one takes.

    Returns:
        {"overall": score, column: {value: score}}; a score is {"wer", "words", "recordings"}, where `words` are those
        of the transcripts and `wer` is errors over words, None without a word.

    Raises:
        DataError: no recording has both texts.
    """
    if isinstance(dataset, dict):
        dataset = merge_splits(dataset, [*TEXTS, *by])
    normalize = normalize or corpus_normalizer(_scored_transcripts(dataset), asr)
    pairs = [
        None if hypothesis is None or transcript is None else (normalize(hypothesis), normalize(transcript))
        for hypothesis, transcript in zip(dataset["hypothesis"], dataset["transcript"], strict=True)
    ]
    if not any(pairs):
        raise DataError(
            "No recording has both a hypothesis and a transcript: give --hypotheses, or build it with them."
        )
    rates: dict[str, Any] = {"overall": _score([pair for pair in pairs if pair])}
    for column in by:
        groups: dict[Any, list[tuple[str, str]]] = {}
        for value, pair in zip(_names(dataset, column), pairs, strict=True):
            if pair and value is not None:
                groups.setdefault(value, []).append(pair)
        if groups:
            rates[column] = {value: _score(members) for value, members in groups.items()}
    return rates


def describe_normalizer(dataset: datasets.Dataset, asr: str | Path | None = None) -> str:
    """Return a sentence on how `word_error_rates` normalizes the texts of a dataset."""
    name = normalizer_name(_scored_transcripts(dataset))
    spellings = "; British spellings count as errors unless --asr names a Whisper model with its table"
    return f"Texts as Whisper's {name} normalizer leaves them{spellings if name == ENGLISH and not asr else ''}."


def load_texts(dataset: str | Path, hypotheses: Hypotheses | None = None) -> datasets.Dataset:
    """Load all splits of a dataset without their audio, as one `Dataset`.

    Args:
        dataset: folder or Hub id. hypotheses: of a file, instead of the dataset's own.

    Raises:
        DataError: no such dataset, or no recording that has one of the hypotheses.
    """
    rows = merge_splits(load_dataset(dataset), [*TEXTS, *COLUMNS, "id"])
    if hypotheses is None:
        return rows
    given = [hypotheses.columns(id).get("hypothesis") for id in rows["id"]]
    hypotheses.check()
    return rows.remove_columns("hypothesis").add_column("hypothesis", given, feature=datasets.Value("string"))


def word_error_table(rates: Mapping[str, Any]) -> str:
    """Return `word_error_rates` as a Markdown table."""
    lines = ["| by | | WER | words | recordings |", "|---|---|---:|---:|---:|", _line("overall", "", rates["overall"])]
    for column, groups in rates.items():
        if column != "overall":
            lines += [_line(column, value, score) for value, score in groups.items()]
    return "\n".join(lines)


def _scored_transcripts(dataset: datasets.Dataset) -> list[str]:
    """Return the transcripts of the recordings that have a hypothesis, too."""
    pairs = zip(dataset["hypothesis"], dataset["transcript"], strict=True)
    return [transcript for hypothesis, transcript in pairs if None not in (hypothesis, transcript)]


def _names(rows: datasets.Dataset, column: str) -> list[Any]:
    """Return the values of a column, classes by their names; None throughout where there is no such column."""
    if column not in rows.column_names:
        return [None] * len(rows)
    values, feature = rows[column], rows.features[column]
    return [feature.names[value] for value in values] if isinstance(feature, datasets.ClassLabel) else values


def _score(pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    hypotheses, transcripts = zip(*pairs, strict=True)
    words = sum(len(transcript.split()) for transcript in transcripts)
    rate = word_error_rate(hypotheses, transcripts) if words else None
    return {"wer": rate, "words": words, "recordings": len(pairs)}


def _line(column: str, value: Any, score: Mapping[str, Any]) -> str:
    rate = "" if score["wer"] is None else f"{100 * score['wer']:.2f} %"
    return f"| {column} | {value} | {rate} | {score['words']} | {score['recordings']} |"
