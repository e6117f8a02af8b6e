"""Simple classifiers on a dataset, the scores that a network has to beat: `m4ser baselines`.

Each is trained on `train` and scored on `test`, with the same settings for any dataset. Where an output folder is
given, each is a run, too, fold by fold, which `m4ser report` compares with the networks.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import numpy as np
from transformers.audio_utils import mel_filter_bank

from m4ser.data.loading import load_dataset
from m4ser.data.schema import SAMPLING_RATE, DataError
from m4ser.environment import command, hardware, versions
from m4ser.evaluation.metrics import evaluate_predictions
from m4ser.evaluation.protocols import FOLDLESS, PROTOCOLS, check_disjoint, fold_count, partition
from m4ser.model.audio_m4ser import load_audio
from m4ser.run_folder import MEASURES, write_predictions, write_results

try:
    from scipy.fft import dct
    from sklearn.dummy import DummyClassifier
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC
except ImportError as error:
    raise ValueError("The baselines need scikit-learn and scipy: pip install 'm4ser[report]'.") from error

SEED = 0
# Of what was tried on RAVDESS's actors 1-20 in folds by actor, this did best: frames of 128 ms every 32 ms, long
# enough to tell the harmonics of the voice apart (UAR .49; frames of 25 ms .42).
FRAME, HOP, MELS, CEPSTRA = 2048, 512, 128, 40
PERCENTILES = (5, 25, 50, 75, 95)
SVM_COST = 10
FLOOR_DB = 80
LIBRARIES = ("datasets", "numpy", "scipy", "scikit-learn")


class Fold(NamedTuple):
    """One fold of a protocol; `number` is None where the protocol has none."""

    name: str
    number: int | None
    description: str
    splits: Mapping[str, datasets.Dataset]


def run_baselines(
    dataset: str | Path, protocol: str = "held_out", output_dir: str | Path | None = None
) -> list[dict[str, Any]]:
    """Train and score every baseline in every fold of a protocol.

    Args:
        dataset: folder or Hub id. output_dir: where each baseline is written as a run, if anywhere.

    Returns:
        Of each fold: the recordings by split, each baseline's MEASURES and seconds, and what they were measured with.

    Raises:
        DataError: no such dataset or protocol, or no train and test split.
    """
    reports = []
    for fold in folds(load_dataset(dataset), protocol):
        scores = score_baselines(fold.splits)
        if output_dir is not None:
            for name, scored in scores.items():
                write_run(output_dir, dataset, protocol, fold, name, scored)
        reports.append(_report(dataset, fold, scores))
    return reports


def folds(corpus: datasets.DatasetDict, protocol: str) -> Iterator[Fold]:
    """Yield each fold of a protocol. No epoch is chosen here, so that held_out needs no validation split.

    Raises:
        DataError: no such protocol, or the dataset lacks what it needs.
    """
    if protocol == "held_out":
        if not {"train", "test"} <= corpus.keys():
            raise DataError(f"The dataset has the splits {', '.join(corpus)}; the baselines need train and test.")
        check_disjoint(corpus)
        yield Fold(protocol, None, "The dataset's own splits, no speaker in two of them.", corpus)
        return
    numbers = (
        [None] if protocol in FOLDLESS or protocol not in PROTOCOLS else range(1, fold_count(corpus, protocol) + 1)
    )
    for number in numbers:
        parts = partition(corpus, protocol, number)
        yield Fold(parts.name, number, parts.description, parts.splits)


def _report(dataset: str | Path, fold: Fold, scores: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "dataset": Path(dataset).resolve().name,
        "protocol": fold.name,
        "recordings": {name: len(split) for name, split in fold.splits.items()},
        "classes": fold.splits["train"].features["emotion"].num_classes,
        "baselines": {
            name: {**{measure: scored["scores"][measure] for measure in MEASURES}, "seconds": scored["seconds"]}
            for name, scored in scores.items()
        },
        "seed": SEED,
        "hardware": hardware(),
        "versions": versions(LIBRARIES),
    }


def write_run(
    output_dir: str | Path, dataset: str | Path, protocol: str, fold: Fold, name: str, scored: Mapping[str, Any]
) -> None:
    """Write a baseline as a run: results.json and predictions.csv, without what only a network has.

    Args:
        scored: of `score_baselines`.
    """
    prefix = "" if fold.number is None else f"fold{fold.number}_"
    folder = Path(output_dir) / re.sub(r"\W+", "_", name).strip("_") / f"{prefix}seed{SEED}"
    folder.mkdir(parents=True, exist_ok=True)
    labels = fold.splits["train"].features["emotion"].names
    columns = fold.splits["test"]["id"], scored["references"], scored["predictions"]
    rows = [dict(zip(("id", "label", "prediction"), row, strict=True)) for row in zip(*columns, strict=True)]
    write_predictions(folder, {"test": rows}, labels)
    write_results(
        folder,
        {
            "name": name,
            "labels": labels,
            "protocol": fold.name,
            "protocol_description": fold.description,
            "seed": SEED,
            "seconds": scored["seconds"],
            "hardware": hardware(),
            "command": command(),
            "splits": {"test": scored["scores"]},
            "config": {"data": {"dataset": str(dataset), "protocol": protocol}},
        },
    )


def score_baselines(splits: Mapping[str, datasets.Dataset]) -> dict[str, dict[str, Any]]:
    """Train and score each baseline; a text column without any text has none.

    Returns:
        By the baseline's name: `scores` as of `evaluate_predictions`, `seconds`, `predictions` and `references`.
    """
    found = {"majority": _score(DummyClassifier(), texts("hypothesis"), splits)}
    for column in ("hypothesis", "transcript"):
        if any(splits["train"][column]):
            found[f"TF-IDF + logistic regression, {column}"] = _score(text_classifier(), texts(column), splits)
    found["MFCC statistics + SVM"] = _score(speech_classifier(), speech_features, splits)
    return found


def _score(
    classifier: Any, features: Callable[[datasets.Dataset], Any], splits: Mapping[str, datasets.Dataset]
) -> dict[str, Any]:
    start = time.perf_counter()
    classifier.fit(features(splits["train"]), splits["train"]["emotion"])
    predictions = classifier.predict(features(splits["test"])).tolist()
    seconds = time.perf_counter() - start
    references = list(splits["test"]["emotion"])
    classes = splits["train"].features["emotion"].num_classes
    return {
        "scores": evaluate_predictions(predictions, references, classes),
        "seconds": round(seconds, 2),
        "predictions": predictions,
        "references": references,
    }


def text_classifier() -> Any:
    """Return logistic regression on TF-IDF of words."""
    # One-letter words count too: ASR models leave many, and a corpus of nothing else has a vocabulary.
    words = TfidfVectorizer(token_pattern=r"\S+")
    return make_pipeline(words, LogisticRegression(class_weight="balanced", max_iter=1000, random_state=SEED))


def speech_classifier() -> Any:
    """Return a support vector machine on standardized features."""
    return make_pipeline(StandardScaler(), SVC(C=SVM_COST, class_weight="balanced", random_state=SEED))


def texts(column: str) -> Callable[[datasets.Dataset], list[str]]:
    """Return a function that gives a split's texts, empty where there is none."""
    return lambda split: [text or "" for text in split[column]]


def speech_features(split: datasets.Dataset) -> np.ndarray:
    """Compute statistics over time of MFCCs and their slopes: (recordings, 14 * CEPSTRA)."""
    return np.stack([statistics(mfcc(load_audio(audio))) for audio in split["audio"]])


def statistics(frames: np.ndarray) -> np.ndarray:
    """Compute mean, standard deviation and percentiles of frames (time, CEPSTRA) and of their slopes."""
    frames = np.concatenate([frames, np.gradient(frames, axis=0)], axis=1)
    return np.concatenate([frames.mean(0), frames.std(0), *np.percentile(frames, PERCENTILES, axis=0)])


def mfcc(samples: np.ndarray) -> np.ndarray:
    """Compute mel-frequency cepstral coefficients (Davis and Mermelstein 1980) of 16 kHz samples: (time, CEPSTRA)."""
    # At least two frames, so that there is a slope.
    samples = np.pad(samples, (0, max(0, FRAME + HOP - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(samples, FRAME)[::HOP] * np.hanning(FRAME)
    filters = mel_filter_bank(FRAME // 2 + 1, MELS, 0, SAMPLING_RATE / 2, SAMPLING_RATE, norm=None, mel_scale="htk")
    power = np.abs(np.fft.rfft(frames)) ** 2 @ filters
    floor = max(power.max() * 10 ** (-FLOOR_DB / 10), np.finfo(float).tiny)
    return dct(np.log(np.maximum(power, floor)), norm="ortho")[:, :CEPSTRA]
