"""Build a dataset that trains on one corpus and tests on another (Tables VIII and IX), from two built datasets:

python datasets_builders/cross_corpus.py --source data/iemocap --target data/meld --output_dir data/iemocap-to-meld
python datasets_builders/cross_corpus.py --source data/meld --target data/iemocap --output_dir data/meld-to-iemocap
python datasets_builders/cross_corpus.py --source data/iemocap --target data/meld --shots 5 \
    --output_dir data/iemocap-to-meld-5-shots

`train` is the whole source. Of the target, about 30 % of the recordings are `validation` and the others `test`: whole
dialogues, or where there are none whole speakers, as --seed draws them, so that nobody's words are in both. The
emotions are those that both corpora have, MELD's by IEMOCAP's names: joy is happy, anger angry, sadness sad, and so
on; excited is happy, as in the paper's four classes, where the other corpus has no such class. With --shots, so many
recordings an emotion of the target's validation part join the training, each emotion alike; the test part stays the
same for any number of them. The paper says neither how it split nor whether it learned from the shots together with
the source, as here, or after it.

The folder's name, SOURCE-to-TARGET or SOURCE-to-TARGET-K-shots, tells `m4ser report` which row it is.
"""

import argparse
import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, cast

import datasets

from m4ser.data.builders.builder_cli import load_tokenizer
from m4ser.data.builders.card import summary
from m4ser.data.builders.writing import write_dataset
from m4ser.data.loading import load_dataset, merge_splits
from m4ser.data.schema import DataError, Utterance

VALIDATION = 0.3  # Sec. V-G
# Of corpora that name a class otherwise, by IEMOCAP's names.
SYNONYMS = {
    "anger": "angry",
    "disgust": "disgusted",
    "excited": "happy",
    "fear": "fearful",
    "joy": "happy",
    "sadness": "sad",
    "surprise": "surprised",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True, help="built dataset that trains")
    parser.add_argument("--target", type=Path, required=True, help="built dataset that is tested")
    parser.add_argument("--shots", type=int, default=0, help="recordings an emotion of the target that train, too")
    parser.add_argument("--seed", type=int, default=0, help="draws the split of the target and the shots")
    parser.add_argument("--output_dir", type=Path, required=True, help="where the dataset goes")
    parser.add_argument("--tokenizer", help="a tokenizer's id or folder: adds the AED and AEC label columns")
    arguments = parser.parse_args()
    source, target = (merge_splits(load_dataset(path)) for path in (arguments.source, arguments.target))
    names = [path.resolve().name for path in (arguments.source, arguments.target)]
    source, target = with_shared_names(source, target)
    theirs = target.features["emotion"].names
    labels = [name for name in source.features["emotion"].names if name in theirs]
    if len(labels) < 2:
        raise DataError(f"{names[0]} and {names[1]} share {len(labels)} emotions; build them with the same --labels.")
    split = split_target(target, labels, arguments.shots, random.Random(arguments.seed))
    statistics = write_dataset(
        chain(utterances(source, names[0], labels), utterances(target, names[1], labels, split)),
        labels,
        arguments.output_dir,
        title=f"{names[0]} to {names[1]}",
        description=f"Trains on {names[0]}, validates and tests on {names[1]}, of which {arguments.shots} recordings "
        f"an emotion train, too. Seed {arguments.seed}.",
        tokenizer=load_tokenizer(arguments.tokenizer),
    )
    print(summary(labels, statistics))


def with_shared_names(source: datasets.Dataset, target: datasets.Dataset) -> tuple[datasets.Dataset, datasets.Dataset]:
    """Rename the emotions that only one of both has to their synonyms; two of the same name become one."""
    shared = set(source.features["emotion"].names) & set(target.features["emotion"].names)
    return rename_emotions(source, shared), rename_emotions(target, shared)


def rename_emotions(rows: datasets.Dataset, kept: Collection[str]) -> datasets.Dataset:
    """Return the rows with SYNONYMS of all emotions that are not in `kept`."""
    names = rows.features["emotion"].names
    renamed = [name if name in kept else SYNONYMS.get(name, name) for name in names]
    labels = datasets.ClassLabel(names=list(dict.fromkeys(renamed)))
    emotions = [labels.str2int(renamed[emotion]) for emotion in rows["emotion"]]
    return rows.remove_columns("emotion").add_column("emotion", emotions, feature=labels)


def split_target(rows: datasets.Dataset, labels: Sequence[str], shots: int, draw: random.Random) -> dict[int, str]:
    """Return {index: "train", "validation" or "test"} of the rows with a shared emotion."""
    names = rows.features["emotion"].names
    emotions = [names[emotion] for emotion in rows["emotion"]]
    members: dict[str, list[int]] = {}
    column = next((name for name in ("dialogue", "speaker") if all(rows[name])), "id")
    for index, group in enumerate(rows[column]):
        if emotions[index] in labels:
            members.setdefault(group, []).append(index)
    groups = sorted(members)
    draw.shuffle(groups)
    wanted = VALIDATION * sum(map(len, members.values()))
    split: dict[int, str] = {}
    for group in groups:
        # Whole groups, until the next one would lead further away from 30 %.
        enough = len(split) + len(members[group]) / 2 > wanted
        if enough and split:
            break
        split.update(dict.fromkeys(members[group], "validation"))
    by_emotion = {label: [index for index in sorted(split) if emotions[index] == label] for label in labels}
    for label, found in by_emotion.items():
        if len(found) < shots:
            raise DataError(f"The target's validation part has {len(found)} recordings of {label}, not {shots}.")
        split.update(dict.fromkeys(draw.sample(found, shots), "train"))
    return {index: split.get(index, "test") for group in groups for index in members[group]}


def utterances(
    rows: datasets.Dataset, corpus: str, labels: Sequence[str], split: Mapping[int, str] | None = None
) -> Iterator[Utterance]:
    """Yield the rows with a shared emotion, in `train` where no split is given."""
    names = rows.features["emotion"].names
    for index, row in enumerate(rows):
        if names[row["emotion"]] not in labels:
            continue
        part = "train" if split is None else split[index]
        # A shot is of a dialogue whose others validate: its group is dropped, since that much is wanted here.
        known = () if split and part == "train" else ("session", "dialogue")
        yield Utterance(
            id=f"{corpus}-{row['id']}",
            audio=row["audio"] and row["audio"]["bytes"],
            path=row["audio"] and row["audio"]["path"],
            emotion=names[row["emotion"]],
            duration=row["duration"],
            split=part,
            transcript=row["transcript"],
            hypothesis=row["hypothesis"],
            asr_model_id=row.get("asr_model_id"),
            word_confidences=row.get("word_confidences"),
            speaker=row["speaker"] and f"{corpus}-{row['speaker']}",
            **cast(dict[str, Any], {name: row[name] and f"{corpus}-{row[name]}" for name in known}),
        )
