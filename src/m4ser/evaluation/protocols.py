"""Protocols of evaluation: which recordings train a model, which choose its epoch, and which test it.

    parts = partition(load_dataset("data/iemocap"), "loso", fold=3)
    parts.splits["train"], parts.name, parts.description

| protocol | |
|---|---|
| held_out | the dataset's own splits, which share no speaker, session, dialogue or recording |
| official | the dataset's own splits as they were published (MELD): speakers, and some recordings, are in two |
| loso | leave one session out: fold n is tested on session n, the next session chooses the epoch |
| loso_dialogues | leave one session out, and of each other session a tenth, whole dialogues, chooses the epoch |
| paper | leave one session out, and the best epoch is chosen on the test session, as the paper seems to |
| improvised | loso on the improvised recordings alone |
| script_disjoint | loso, and what is said in the test session is said nowhere else |
| speakers | 6 folds of speakers: fold n is tested, the next one chooses the epoch |
"""

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations, pairwise
from typing import Any

import datasets

from m4ser.data.comparison import comparison_form
from m4ser.data.schema import SPLITS, DataError

# A dialogue or session seen in training gives away the emotion around a test utterance, a speaker the voice.
DISJOINT_COLUMNS = ("speaker", "session", "dialogue", "recording")
EXAMPLES_NAMED = 3
SPEAKER_FOLDS = 6
DIALOGUES_HELD_OUT = 0.1  # the share of each training session's recordings


@dataclass(frozen=True)
class Partition:
    """The splits `train`, `validation` and, where anything is tested, `test`, and in words how they came about."""

    name: str
    description: str
    splits: datasets.DatasetDict

    def __post_init__(self) -> None:
        if empty := [name for name, rows in self.splits.items() if len(rows) == 0]:
            raise DataError(f"{self.name} leaves nothing in the split {empty[0]!r}; choose another protocol or fold.")


def partition(corpus: datasets.DatasetDict, protocol: str = "held_out", fold: int | None = None) -> Partition:
    """Split a corpus by a protocol.

    Args:
        corpus: a `datasets.DatasetDict` with the columns of `m4ser.data.schema`, audio undecoded.
        protocol: a key of PROTOCOLS.
        fold: from 1, of the protocols that have folds.

    Raises:
        DataError: no such protocol or fold, a column that the protocol needs is missing, or splits that share what
            they must not.
    """
    if protocol not in PROTOCOLS:
        raise DataError(f"There is no protocol {protocol!r}; choose from {', '.join(PROTOCOLS)}.")
    make = PROTOCOLS[protocol]
    if protocol in FOLDLESS:
        if fold is not None:
            raise DataError(f"The protocol {protocol} has no folds; leave --fold out.")
        return make(corpus)
    return make(datasets.concatenate_datasets(list(corpus.values())), fold)


def held_out(corpus: datasets.DatasetDict) -> Partition:
    """Take the dataset's own splits; refuse those that share a speaker, a session, a dialogue or a recording."""
    splits = _own_splits(corpus)
    check_disjoint(splits)
    speaker_columns = [rows["speaker"] if "speaker" in rows.column_names else [None] for rows in splits.values()]
    knows_speakers = not any(None in column for column in speaker_columns)
    speakers = "no speaker in two of them" if knows_speakers else "whose speakers are unknown and may be in several"
    untested = "" if "test" in splits else " Nothing is tested."
    return Partition("held_out", f"The dataset's own splits, {speakers}.{untested}", splits)


def official(corpus: datasets.DatasetDict) -> Partition:
    """Take the dataset's own splits, whose speakers and sessions may be the same; refuse only shared dialogues."""
    splits = _own_splits(corpus)
    check_disjoint(splits, ["dialogue"])
    recordings = Counter(recording for split in splits.values() for recording in _values(split, "recording"))
    shared = sum(count > 1 for count in recordings.values())
    description = f"The dataset's own splits as published; speakers may be in several, {shared} recordings are."
    return Partition("official", description, splits)


def leave_one_session_out(
    rows: datasets.Dataset, fold: int | None, name: str = "loso", choose_on_test: bool = False
) -> Partition:
    """Test on one session, choose the epoch on the next one, train on the others.

    Args:
        rows: a `Dataset` with the column `session`. fold: from 1, in the order of the sessions' names.
        choose_on_test: choose it on the test session instead, which leaves one session more to train on and flatters
            the model.
    """
    sessions = [[session] for session in sorted(set(_column(rows, "session", name)))]
    name_of_fold, fold, splits = _fold(rows, "session", sessions, fold, name, choose_on_test)
    check_disjoint({split: splits[split] for split in (("train", "test") if choose_on_test else SPLITS)})
    chosen = (
        "the others train; the best epoch was chosen on the test session"
        if choose_on_test
        else "the next one chooses the epoch, the others train"
    )
    description = f"Leave one session out: session {sessions[fold - 1][0]} is tested, {chosen}."
    return Partition(name_of_fold, description, splits)


def loso_dialogues(rows: datasets.Dataset, fold: int | None) -> Partition:
    """Test on one session and train on all others, without the dialogues of each that choose the epoch.

    The dialogues are the same for every seed and fold: drawn from a session, they are about a tenth of its recordings.
    Speakers and sessions of `validation` are those of `train`; with `test` neither shares a speaker or a recording.
    """
    sessions = [[session] for session in sorted(set(_column(rows, "session", "loso_dialogues")))]
    name, fold, splits = _fold(rows, "session", sessions, fold, "loso_dialogues", choose_on_test=True)
    others = splits["train"]
    check_disjoint({"train": others, "test": splits["test"]})
    dialogues = _column(others, "dialogue", "loso_dialogues")
    members: dict[str, dict[str, list[int]]] = {}
    for index, (session, dialogue) in enumerate(zip(others["session"], dialogues, strict=True)):
        members.setdefault(session, {}).setdefault(dialogue, []).append(index)
    drawn = {index for session in sorted(members) for index in _draw_groups(members[session], DIALOGUES_HELD_OUT)}
    splits["train"] = take(others, [index for index in range(len(others)) if index not in drawn])
    splits["validation"] = take(others, sorted(drawn))
    check_disjoint({split: splits[split] for split in SPLITS[:2]}, ["dialogue", "recording"])
    description = (
        f"Leave one session out: session {sessions[fold - 1][0]} is tested, the others train, but for "
        f"{len(set(splits['validation']['dialogue']))} whole dialogues of theirs, {len(drawn)} of {len(others)} "
        "recordings, which choose the epoch."
    )
    return Partition(name, description, splits)


def improvised(rows: datasets.Dataset, fold: int | None) -> Partition:
    """Leave one session out on what was improvised alone, for the scripted plays are the same in every session."""
    kept = [index for index, value in enumerate(_column(rows, "improvised", "improvised")) if value]
    parts = leave_one_session_out(take(rows, kept), fold, "improvised")
    return replace(parts, description=f"{parts.description} Improvised recordings only.")


def script_disjoint(rows: datasets.Dataset, fold: int | None) -> Partition:
    """Leave one session out, without the training and validation recordings whose words the test session has, too."""
    parts = leave_one_session_out(rows, fold, "script_disjoint")
    tested = set(_texts(parts.splits["test"]))
    splits = {"test": parts.splits["test"]}
    for name in ("train", "validation"):
        texts = _texts(parts.splits[name])
        kept = [index for index, text in enumerate(texts) if text is None or text not in tested]
        splits[name] = take(parts.splits[name], kept)
    left_out = sum(len(parts.splits[name]) - len(splits[name]) for name in splits)
    description = f"{parts.description} Without {left_out} recordings whose words the test session has, too."
    return Partition(parts.name, description, datasets.DatasetDict({name: splits[name] for name in SPLITS}))


def speaker_folds(rows: datasets.Dataset, fold: int | None, count: int = SPEAKER_FOLDS) -> Partition:
    """Test on one of `count` groups of speakers, choose the epoch on the next one, train on the others.

    The groups are the same for the same speakers and as equal in recordings as taking the most talkative first makes
    them; among equals, a speaker joins those with fewer of the same sex, where the dataset has a column `sex`. A
    session may be in two splits, when its speakers are.
    """
    speakers = _column(rows, "speaker", "speakers")
    talk = Counter(speakers)
    sex = dict(zip(speakers, rows["sex"], strict=True)) if "sex" in rows.column_names else {}
    if len(talk) < count:
        raise DataError(f"The protocol speakers makes {count} folds, and there are only {len(talk)} speakers.")
    groups: list[list[str]] = [[] for _ in range(count)]
    for speaker in sorted(talk, key=lambda speaker: (-talk[speaker], speaker)):
        min(groups, key=lambda group: _fullness(group, talk, sex, speaker)).append(speaker)
    name, fold, splits = _fold(rows, "speaker", groups, fold, "speakers")
    check_disjoint(splits, ["speaker", "recording"])
    tested = ", ".join(sorted(groups[fold - 1]))
    description = f"Folds of speakers: {tested} are tested, the next fold chooses the epoch, the others train."
    return Partition(name, description, splits)


PROTOCOLS: dict[str, Callable[..., Partition]] = {
    "held_out": held_out,
    "official": official,
    "loso": leave_one_session_out,
    "paper": partial(leave_one_session_out, name="paper", choose_on_test=True),
    "loso_dialogues": loso_dialogues,
    "improvised": improvised,
    "script_disjoint": script_disjoint,
    "speakers": speaker_folds,
}
FOLDLESS = ("held_out", "official")  # the dataset's own splits


def fold_count(corpus: datasets.DatasetDict, protocol: str) -> int:
    """Count the folds that a protocol has on a `datasets.DatasetDict`.

    Raises:
        DataError: no such protocol, it has no folds, or a column that it needs is missing.
    """
    if protocol in FOLDLESS or protocol not in PROTOCOLS:
        with_folds = [name for name in PROTOCOLS if name not in FOLDLESS]
        raise DataError(f"The protocol {protocol} has no folds; choose from {', '.join(with_folds)}.")
    if protocol == "speakers":
        return SPEAKER_FOLDS
    return len(set(_column(datasets.concatenate_datasets(list(corpus.values())), "session", protocol)))


def k_shot(parts: Partition, shots: int, seed: int = 0) -> Partition:
    """Draw `shots` recordings of each emotion from `validation` to learn a new corpus from (Table IX).

    They are drawn by `seed` and become the new `train`; the rest of `validation` still chooses the epoch, and `test`
    stays as it is.

    Raises:
        DataError: an emotion has fewer recordings.
    """
    rows, draw = parts.splits["validation"], random.Random(seed)
    emotions = rows["emotion"]
    drawn: set[int] = set()
    for emotion, name in enumerate(rows.features["emotion"].names):
        members = [index for index, value in enumerate(emotions) if value == emotion]
        if len(members) < shots:
            raise DataError(f"The validation split has only {len(members)} recordings of {name}, not {shots}.")
        drawn.update(draw.sample(members, shots))
    rest = [index for index in range(len(rows)) if index not in drawn]
    splits = {**parts.splits, "train": take(rows, sorted(drawn)), "validation": take(rows, rest)}
    description = f"{parts.description} Of its validation split, {shots} recordings an emotion train (seed {seed})."
    return Partition(f"{parts.name}, {shots} shots", description, datasets.DatasetDict(splits))


def shared_transcripts(splits: datasets.DatasetDict) -> dict[str, float]:
    """Return the share of `validation` and `test` recordings whose words are also said in `train`, in 0..1.

    Words are compared in lower case without punctuation; a recording without a transcript shares nothing. Where a
    large share is scripted, a model may know the emotion of a sentence by heart.
    """
    trained = set(_texts(splits["train"])) - {None}
    held_out = {name: rows for name, rows in splits.items() if name != "train"}
    return {name: sum(text in trained for text in _texts(rows)) / len(rows) for name, rows in held_out.items()}


def take(rows: datasets.Dataset, indices: Sequence[int]) -> datasets.Dataset:
    """Select rows by ascending indices.

    In slices: from rows picked one by one, `datasets` copies every recording once a column is added to them.
    """
    ends = [position for position, (one, other) in enumerate(pairwise(indices), start=1) if other != one + 1]
    runs = [indices[start:stop] for start, stop in pairwise([0, *ends, len(indices)]) if start < stop]
    slices = [rows.select(range(run[0], run[-1] + 1)) for run in runs]
    return datasets.concatenate_datasets(slices) if slices else rows.select(range(0))


def check_disjoint(dataset_dict: Mapping[str, datasets.Dataset], columns: Sequence[str] = DISJOINT_COLUMNS) -> None:
    """Refuse splits that share a speaker, a session, a dialogue or an identical recording.

    Args:
        dataset_dict: a `datasets.DatasetDict` with the columns of `m4ser.data.schema`, audio undecoded.
        columns: the columns whose values must not occur in two splits, "recording" for the audio's bytes. One that is
            absent or entirely None is skipped; a corpus that shares speakers by design (MELD) is checked on the
            columns it promises.

    Raises:
        DataError: naming what is shared, between which splits, with examples.
    """
    for column in columns:
        _refuse_shared(column, {name: _values(split, column) for name, split in dataset_dict.items()})


def _own_splits(corpus: datasets.DatasetDict) -> datasets.DatasetDict:
    missing = [split for split in SPLITS if split not in corpus]
    if missing and missing != ["test"]:
        raise DataError(
            f"The dataset has no {' and no '.join(missing)} split; give --protocol, one of "
            f"{', '.join(name for name in PROTOCOLS if name not in FOLDLESS)}."
        )
    return datasets.DatasetDict({split: corpus[split] for split in SPLITS if split in corpus})


def _column(rows: datasets.Dataset, name: str, protocol: str) -> list[Any]:
    """Return a column's values, none of which may be missing."""
    values = rows[name] if name in rows.column_names else [None]
    if any(value is None for value in values):
        raise DataError(f"The protocol {protocol} needs the {name} of every recording, which this dataset lacks.")
    return values


def _texts(rows: datasets.Dataset) -> list[str | None]:
    """Return the transcripts as they are compared; None where there is none."""
    return [(text and comparison_form(text)) or None for text in rows["transcript"]]


def _fold(
    rows: datasets.Dataset,
    column: str,
    groups: Sequence[Sequence[str]],
    fold: int | None,
    name: str,
    choose_on_test: bool = False,
) -> tuple[str, int, datasets.DatasetDict]:
    """Test one group of a column's values, choose the epoch on the next or the same one: a name, the fold, splits."""
    fewest = 2 if choose_on_test else 3
    if len(groups) < fewest:
        raise DataError(f"The protocol {name} needs at least {fewest} different values of {column}.")
    if fold is None or fold not in range(1, len(groups) + 1):
        raise DataError(f"The protocol {name} has folds 1 to {len(groups)} here; give one of them by --fold.")
    tested, following = groups[fold - 1], groups[fold % len(groups)]
    choosing = tested if choose_on_test else following
    members = {"train": set(rows[column]) - {*tested, *choosing}, "validation": choosing, "test": tested}
    splits = {
        split: take(rows, [index for index, value in enumerate(rows[column]) if value in wanted])
        for split, wanted in members.items()
    }
    return f"{name}, fold {fold} of {len(groups)}", fold, datasets.DatasetDict(splits)


def _draw_groups(members: Mapping[str, Sequence[int]], share: float) -> list[int]:
    """Draw whole groups until the next one would lead further away from a share of all members; always one."""
    groups = sorted(members)
    random.Random(0).shuffle(groups)
    wanted = share * sum(map(len, members.values()))
    drawn: list[int] = []
    for group in groups:
        if drawn and len(drawn) + len(members[group]) / 2 > wanted:
            break
        drawn += members[group]
    return drawn


def _fullness(group: Sequence[str], talk: Mapping[str, int], sex: Mapping[str, str], speaker: str) -> tuple[int, int]:
    """Say how little a group needs a speaker: its recordings, then its members of the speaker's sex."""
    return sum(talk[member] for member in group), sum(sex.get(member) == sex.get(speaker) for member in group)


def _values(split: datasets.Dataset, column: str) -> dict[Any, str]:
    """Return the column's values, each with how an error should call it."""
    if column == "recording":
        return _recordings(split)
    if column not in split.column_names:
        return {}
    return {value: str(value) for value in split.unique(column) if value is not None}


def _recordings(split: datasets.Dataset) -> dict[Any, str]:
    """Return the hash of each recording's bytes, with the id an error should call it by."""
    if "audio" not in split.column_names:
        return {}
    # Row by row: a corpus's audio may be larger than the memory.
    rows = split.select_columns([name for name in ("id", "audio") if name in split.column_names])
    return {
        hashlib.sha256(row["audio"]["bytes"]).digest(): str(row.get("id", row["audio"].get("path")))
        for row in rows
        if row["audio"] is not None and row["audio"].get("bytes") is not None
    }


def _refuse_shared(what: str, values_by_split: Mapping[str, Mapping[Any, str]]) -> None:
    for (first, values), (second, others) in combinations(values_by_split.items(), 2):
        shared = sorted(values[value] for value in values.keys() & others.keys())
        if shared:
            examples = ", ".join(shared[:EXAMPLES_NAMED]) + (", ..." if len(shared) > EXAMPLES_NAMED else "")
            raise DataError(
                f"The splits {first!r} and {second!r} share {len(shared)} {what}(s) ({examples}); "
                f"put each {what} into one split only, or the test will flatter the model."
            )
