"""What simple classifiers make of a dataset: the figures that the network has to beat.

python -m m4ser.evaluation.baselines --dataset data/ravdess
python -m m4ser.evaluation.baselines --dataset data/iemocap --protocol loso --output_dir runs/baselines

Each is trained on `train` and scored on `test`, with the same settings for any dataset; the result is JSON. With
`--output_dir` each is a run, too, fold by fold, which `m4ser report` sets beside the network's.
"""

import argparse
import json
import re
import sys
import time
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import datasets
import numpy as np
from scipy.fft import dct
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from m4ser.data.schema import DataError
from m4ser.environment import hardware
from m4ser.evaluation.metrics import evaluate_predictions, unweighted_accuracy, weighted_accuracy, weighted_f1
from m4ser.evaluation.protocols import PROTOCOLS, check_disjoint, partition
from m4ser.model.audio_m4ser import load_audio
from m4ser.run_folder import write_predictions, write_results

SEED = 0
SAMPLING_RATE = 16000
# Of what was tried on RAVDESS's actors 1-20 in folds by actor, this did best: frames of 128 ms every 32 ms, long
# enough to tell the harmonics of the voice apart (UAR .49; frames of 25 ms .42).
FRAME, HOP, MELS, CEPSTRA = 2048, 512, 128, 40
PERCENTILES = (5, 25, 50, 75, 95)
SVM_COST = 10
FLOOR_DB = 80


def main(arguments=None):
    """Print the baselines of the dataset on the command line as JSON, a list of folds where there are several."""
    parser = argparse.ArgumentParser(description="Simple classifiers on a built dataset.")
    parser.add_argument("--dataset", type=Path, required=True, help="the folder of a built dataset")
    parser.add_argument("--protocol", default="held_out", choices=PROTOCOLS, help="who is tested; all of its folds")
    parser.add_argument("--output_dir", type=Path, help="write each baseline as a run below this folder")
    options = parser.parse_args(arguments)
    corpus = datasets.load_dataset(str(options.dataset))
    if not {"train", "test"} <= corpus.keys():
        raise DataError(f"{options.dataset} has the splits {', '.join(corpus)}; the baselines need train and test.")
    reports = []
    for parts in folds(corpus, options.protocol):
        scores = baselines(parts.splits)
        if options.output_dir:
            for name, scored in scores.items():
                write_run(options, parts, name, scored)
        reports.append(report(options, parts, scores))
    print(json.dumps(reports if len(reports) > 1 else reports[0], indent=2))


def folds(corpus, protocol):
    """Each [`Partition`] of a protocol. Nothing is chosen here, so that held_out needs no validation split."""
    if protocol == "held_out":
        check_disjoint(corpus)
        description = "The dataset's own splits, no speaker in two of them."
        yield SimpleNamespace(name=protocol, description=description, splits=corpus)
        return
    if protocol == "official":
        yield partition(corpus, protocol)
        return
    fold, count = 1, 1
    while fold <= count:
        parts = partition(corpus, protocol, fold)
        count = int(parts.name.split()[-1])  # "loso, fold 1 of 5"
        yield parts
        fold += 1


def report(options, parts, scores):
    numbers = ("weighted_accuracy", "unweighted_accuracy", "weighted_f1", "seconds")
    return {
        "dataset": options.dataset.resolve().name,
        "protocol": parts.name,
        "recordings": {name: len(split) for name, split in parts.splits.items()},
        "classes": parts.splits["train"].features["emotion"].num_classes,
        "baselines": {name: {number: scored[number] for number in numbers} for name, scored in scores.items()},
        "seed": SEED,
        "hardware": hardware(),
        "versions": {name: version(name) for name in ("datasets", "numpy", "scipy", "scikit-learn")},
    }


def write_run(options, parts, name, scored):
    """A baseline in the files that training leaves: results.json and predictions.csv, without a network's."""
    labels = parts.splits["train"].features["emotion"].names
    fold = f"fold{parts.name.split()[-3]}_" if ", fold" in parts.name else ""
    folder = options.output_dir / re.sub(r"\W+", "_", name).strip("_") / f"{fold}seed{SEED}"
    folder.mkdir(parents=True, exist_ok=True)
    columns = parts.splits["test"]["id"], scored["references"], scored["predictions"]
    rows = [dict(zip(("id", "label", "prediction"), row, strict=True)) for row in zip(*columns, strict=True)]
    write_predictions(folder, {"test": rows}, labels)
    results = {
        "name": name,
        "labels": labels,
        "protocol": parts.name,
        "protocol_description": parts.description,
        "seed": SEED,
        "seconds": scored["seconds"],
        "hardware": hardware(),
        "command": " ".join(sys.argv),
        "splits": {"test": evaluate_predictions(scored["predictions"], scored["references"], len(labels))},
        "config": {"data": {"dataset": str(options.dataset), "protocol": options.protocol}},
    }
    write_results(folder, results)


def baselines(splits):
    """The scores of each baseline by its name; a text column without any text has none."""
    scores = {"majority": score(DummyClassifier(), texts("hypothesis"), splits)}
    for column in ("hypothesis", "transcript"):
        if any(splits["train"][column]):
            scores[f"TF-IDF + logistic regression, {column}"] = score(text_classifier(), texts(column), splits)
    scores["MFCC statistics + SVM"] = score(voice_classifier(), voice_features, splits)
    return scores


def score(classifier, features, splits):
    """Train on `train`, answer `test`; `features` makes a classifier's input of a split. Times are seconds."""
    start = time.perf_counter()
    classifier.fit(features(splits["train"]), splits["train"]["emotion"])
    predictions = classifier.predict(features(splits["test"])).tolist()
    seconds = time.perf_counter() - start
    references = splits["test"]["emotion"]
    return {
        "weighted_accuracy": weighted_accuracy(predictions, references),
        "unweighted_accuracy": unweighted_accuracy(predictions, references),
        "weighted_f1": weighted_f1(predictions, references),
        "seconds": round(seconds, 2),
        "predictions": predictions,
        "references": list(references),
    }


def text_classifier():
    # One-letter words count too: recognizers leave many, and a corpus of nothing else has a vocabulary.
    words = TfidfVectorizer(token_pattern=r"\S+")
    return make_pipeline(words, LogisticRegression(class_weight="balanced", max_iter=1000, random_state=SEED))


def voice_classifier():
    return make_pipeline(StandardScaler(), SVC(C=SVM_COST, class_weight="balanced", random_state=SEED))


def texts(column):
    """A function that gives a split's texts, empty where there is none."""
    return lambda split: [text or "" for text in split[column]]


def voice_features(split):
    """Statistics over time of MFCCs and their slopes: (recordings, 14 * CEPSTRA)."""
    return np.stack([statistics(mfcc(load_audio(audio))) for audio in split["audio"]])


def statistics(frames):
    """Mean, standard deviation and percentiles of frames (time, CEPSTRA) and of their slopes."""
    frames = np.concatenate([frames, np.gradient(frames, axis=0)], axis=1)
    return np.concatenate([frames.mean(0), frames.std(0), *np.percentile(frames, PERCENTILES, axis=0)])


def mfcc(samples):
    """Mel-frequency cepstral coefficients (Davis and Mermelstein 1980) of 16 kHz samples: (time, CEPSTRA)."""
    # At least two frames, so that there is a slope.
    samples = np.pad(samples, (0, max(0, FRAME + HOP - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(samples, FRAME)[::HOP] * np.hanning(FRAME)
    power = np.abs(np.fft.rfft(frames)) ** 2 @ mel_filters()
    floor = max(power.max() * 10 ** (-FLOOR_DB / 10), np.finfo(float).tiny)
    return dct(np.log(np.maximum(power, floor)), norm="ortho")[:, :CEPSTRA]


def mel_filters():
    """Triangles of equal width on the mel scale up to 8 kHz: (FRAME / 2 + 1, MELS)."""
    frequencies = np.fft.rfftfreq(FRAME, 1 / SAMPLING_RATE)
    highest = 2595 * np.log10(1 + SAMPLING_RATE / 2 / 700)
    corners = 700 * (10 ** (np.linspace(0, highest, MELS + 2) / 2595) - 1)
    low, center, high = corners[:-2], corners[1:-1], corners[2:]
    rising = (frequencies[:, None] - low) / (center - low)
    falling = (high - frequencies[:, None]) / (high - center)
    return np.maximum(0, np.minimum(rising, falling))


if __name__ == "__main__":
    main()
