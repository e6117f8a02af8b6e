"""Protocols of evaluation: which recordings may train a model and which may judge it."""

import hashlib
from itertools import combinations

from m4ser.data.schema import DataError

# A dialogue or session heard in training gives away the emotion around a test utterance, a speaker the voice.
DISJOINT_COLUMNS = ("speaker", "session", "dialogue")
EXAMPLES_NAMED = 3


def check_disjoint(dataset_dict, columns=DISJOINT_COLUMNS):
    """Refuse splits that share a speaker, a session, a dialogue or an identical recording.

    Args:
        dataset_dict: a `datasets.DatasetDict` with the columns of `m4ser.data.schema`, audio undecoded.
        columns: the columns whose values must not occur in two splits. One that is absent or entirely None is
            skipped; a corpus that shares speakers by design (MELD) is checked on the columns it promises.

    Raises:
        DataError: naming what is shared, between which splits, with examples.
    """
    for column in columns:
        _refuse_shared(column, {name: _values(split, column) for name, split in dataset_dict.items()})
    recordings = {name: _recordings(split) for name, split in dataset_dict.items()}
    _refuse_shared("recording", recordings)


def _values(split, column):
    """The column's values, each with how an error should call it."""
    if column not in split.column_names:
        return {}
    return {value: str(value) for value in split.unique(column) if value is not None}


def _recordings(split):
    """The hash of each recording's bytes, with the id an error should call it by."""
    if "audio" not in split.column_names:
        return {}
    # Row by row: a corpus's audio may be larger than the memory.
    rows = split.select_columns([name for name in ("id", "audio") if name in split.column_names])
    return {
        hashlib.sha256(row["audio"]["bytes"]).digest(): str(row.get("id", row["audio"].get("path")))
        for row in rows
        if row["audio"] is not None and row["audio"].get("bytes") is not None
    }


def _refuse_shared(what, values_by_split):
    for (first, values), (second, others) in combinations(values_by_split.items(), 2):
        shared = sorted(values[value] for value in values.keys() & others.keys())
        if shared:
            examples = ", ".join(shared[:EXAMPLES_NAMED]) + (", ..." if len(shared) > EXAMPLES_NAMED else "")
            raise DataError(
                f"The splits {first!r} and {second!r} share {len(shared)} {what}(s) ({examples}); "
                f"put each {what} into one split only, or the test will flatter the model."
            )
