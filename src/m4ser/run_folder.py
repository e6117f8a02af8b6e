"""The folder of a run: the names of its files, and the one module that writes and reads them.

=====================  ==================================================================================
results.json           scores by split, and all it takes to repeat the run; there once a run has finished
predictions.csv        id, split, label and prediction of each held-out recording, and its probabilities
metrics.csv            the losses of each step; there once a training has begun
validation.csv         the validation scores of each epoch
losses.png             both as curves
latency.json           inference time of a recording (`m4ser latency`)
robustness.json        robustness criteria (`m4ser robustness`)
confusion_matrix.png   for the model card
model.onnx             the network as one graph (`m4ser export`); of a network that transcribes, what follows the
model.frames.onnx      speech encoder, and the speech encoder with the CTC head
summary.json           beside several runs: mean and standard deviation over folds and seeds
checkpoints/           what a training resumes from; removed when results.json is written
=====================  ==================================================================================

The model itself (config.json, model.safetensors, the processor's files) is written by transformers.
"""

import csv
import io
import json
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from m4ser.escaping import escape_csv, unescape_csv
from m4ser.files import file_digest, write_whole

RESULTS = "results.json"
PREDICTIONS = "predictions.csv"
METRICS = "metrics.csv"
VALIDATION = "validation.csv"
LOSS_CURVES = "losses.png"
LATENCY = "latency.json"
ROBUSTNESS = "robustness.json"
CONFUSION_MATRIX = "confusion_matrix.png"
ONNX = "model.onnx"
FRAMES_ONNX = "model.frames.onnx"
SUMMARY = "summary.json"
CHECKPOINTS = "checkpoints"
WEIGHTS = "*.safetensors"
# What was made of a model's weights, and what a training leaves besides: of no other weights is any of it true.
GRAPHS = (ONNX, f"{ONNX}.data", FRAMES_ONNX, f"{FRAMES_ONNX}.data")
DERIVED = (LATENCY, ROBUSTNESS, CONFUSION_MATRIX, *GRAPHS)
RECORDS = (PREDICTIONS, METRICS, VALIDATION, LOSS_CURVES)
WEIGHTS_DIGEST = "weights_sha256"

# The scores of a split: weighted accuracy (plain accuracy), unweighted accuracy (mean recall), weighted F1.
MEASURES = ("weighted_accuracy", "unweighted_accuracy", "weighted_f1")
# The columns of metrics.csv that are no losses.
PROGRESS_COLUMNS = ("step", "epoch", "learning_rate", "seconds", "invariant_probability")
REQUIRED = ("name", "protocol", "labels", "seed", "seconds", "splits", "config")


def is_finished(folder: str | Path) -> bool:
    """Tell whether a folder holds a finished run."""
    return (Path(folder) / RESULTS).is_file()


def holds_run(folder: str | Path) -> bool:
    """Tell whether a folder holds a run, finished or not, or a model."""
    return any((Path(folder) / name).exists() for name in (RESULTS, METRICS, CHECKPOINTS, "config.json"))


def read_results(folder: str | Path) -> dict[str, Any]:
    """Read the results of a finished run.

    Returns:
        What results.json holds: at least `name`, `protocol`, `labels`, `seed`, `seconds`, `config` (the arguments by
        group) and `splits` with the scores of `test`, or of a run that tested nothing those of `validation`: MEASURES
        in 0..1, `n`, and usually `confusion_matrix`.

    Raises:
        ValueError: naming a run that is missing, unfinished or malformed.
    """
    path = Path(folder) / RESULTS
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        _check_results(results)
    except OSError as error:
        raise ValueError(f"{folder}: there is no {RESULTS}; give the folder of a finished run.") from error
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path}: not a finished run with a test split ({error!r}); evaluate it again.") from error
    return results


def _check_results(results: Any) -> None:
    """Raise KeyError, TypeError or ValueError where results lack a part, or one is not what it has to be."""
    for name in REQUIRED:
        results[name]
    kinds = {"name": str, "protocol": str, "labels": list, "seed": int, "seconds": int | float, "splits": dict}
    for name, kind in kinds.items():
        if not isinstance(results[name], kind):
            raise TypeError(f"{name} is {results[name]!r:.80}")
    for name in ("parameters", "epochs", "best_epoch", "training_seconds"):  # which a baseline has not
        if not isinstance(results.get(name), int | float | None):
            raise TypeError(f"{name} is {results[name]!r:.80}")
    labels, data = results["labels"], results["config"]["data"]
    if not all(isinstance(name, str) for name in (*labels, data["dataset"])) or len(set(labels)) < len(labels):
        raise TypeError("its labels and dataset are no names")
    results["splits"]["test" if "test" in results["splits"] else "validation"]
    for split, scores in results["splits"].items():
        if not all(0 <= scores[name] <= 1 for name in MEASURES) or not isinstance(scores["n"], int):
            raise ValueError(f"the scores of {split} are not from 0 to 1")
        matrix = np.array(scores.get("confusion_matrix") or np.zeros((len(labels),) * 2, int))
        if matrix.shape != (len(labels),) * 2 or matrix.dtype.kind != "i":
            raise ValueError(f"the confusion matrix of {split} is not of its labels")


def read_tested_results(folder: str | Path) -> dict[str, Any]:
    """Read the results of a finished run that has test scores.

    Raises:
        ValueError: as of `read_results`, or the run tested nothing.
    """
    results = read_results(folder)
    if "test" not in results["splits"]:
        raise ValueError(f"{folder}: its dataset has no test split, so that there are no test figures of this run.")
    return results


def write_results(folder: str | Path, results: Mapping[str, Any]) -> None:
    """Write results.json, completely or not at all: from now on the run counts as finished."""
    write_json(folder, RESULTS, results)


def update_results(folder: str | Path, **entries: Any) -> None:
    """Add entries to the results of a finished run, or replace them.

    Raises:
        ValueError: as of `read_results`.
    """
    write_results(folder, {**read_results(folder), **entries})


def discard_results(folder: str | Path) -> None:
    """Remove results.json and what was made of the weights, because the run in this folder goes on."""
    for name in (RESULTS, *DERIVED):
        (Path(folder) / name).unlink(missing_ok=True)


def discard_run(folder: str | Path) -> None:
    """Remove a run, because another one begins in its folder; files that are no run's stay."""
    discard_results(folder)
    for path in [*(Path(folder) / name for name in RECORDS), *Path(folder).glob(WEIGHTS)]:
        path.unlink(missing_ok=True)
    shutil.rmtree(Path(folder) / CHECKPOINTS, ignore_errors=True)


def weights_digest(folder: str | Path) -> str | None:
    """Return the SHA-256 of the weights in a folder, or None where there are none."""
    digests = [file_digest(path) for path in sorted(Path(folder).glob(WEIGHTS))]
    return "-".join(digests) or None


def write_measured(folder: str | Path, name: str, content: Mapping[str, Any], run: str | Path) -> dict[str, Any]:
    """Write JSON of what was measured with the weights of a run, bound to them by their digest; return its content."""
    bound = {**content, WEIGHTS_DIGEST: weights_digest(run)}
    write_json(folder, name, bound)
    return bound


def read_measured(folder: str | Path, name: str) -> Any:
    """Read what was measured with the weights in this folder; None where the file is not there.

    Raises:
        ValueError: it was measured with other weights, or is not JSON.
    """
    found = read_json(folder, name)
    if not isinstance(found, dict | None):
        raise ValueError(f"{Path(folder) / name}: no measurement; measure it again, or remove the file.")
    if found is not None and found.get(WEIGHTS_DIGEST) not in (None, weights_digest(folder)):
        raise ValueError(f"{Path(folder) / name}: measured with other weights; measure it again, or remove the file.")
    return found


def write_json(folder: str | Path, name: str, content: Any) -> None:
    """Write one of the folder's JSON files, completely or not at all."""
    write_whole(Path(folder) / name, json.dumps(content, indent=1))


def read_json(folder: str | Path, name: str) -> Any:
    """Read one of the folder's JSON files; None where it is not there.

    Raises:
        ValueError: naming a file that is not JSON.
    """
    path = Path(folder) / name
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON ({error}); write it again or remove it.") from error


def write_predictions(
    folder: str | Path, rows_by_split: Mapping[str, Iterable[Mapping[str, Any]]], labels: Sequence[str]
) -> None:
    """Write predictions.csv: what the model predicts on each held-out recording, in the order of their ids.

    Texts as of [`escape_csv`].

    Args:
        rows_by_split: rows with `id`, and `label` and `prediction` as class indices; with `probabilities` (e,), too,
            where the model gives any.
        labels: (e,), the classes' names.
    """
    rows_by_split = {split: sorted(rows, key=lambda row: row["id"]) for split, rows in rows_by_split.items()}
    probabilistic = any("probabilities" in row for rows in rows_by_split.values() for row in rows)
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    names = [escape_csv(label) for label in labels]
    writer.writerow(["id", "split", "label", "prediction", *(names if probabilistic else ())])
    for split, rows in rows_by_split.items():
        for row in rows:
            probabilities = [round(probability, 6) for probability in row.get("probabilities", ())]
            writer.writerow(
                [escape_csv(row["id"]), split, names[row["label"]], names[row["prediction"]], *probabilities]
            )
    write_whole(Path(folder) / PREDICTIONS, text.getvalue())


def read_predictions(
    folder: str | Path, labels: Sequence[str], split: str = "test"
) -> dict[str, tuple[int, int]] | None:
    """Read the predictions of a split.

    Returns:
        {id: (label, prediction)} as class indices, or None where there is no predictions.csv.

    Raises:
        ValueError: naming a malformed file.
    """
    path = Path(folder) / PREDICTIONS
    if not path.is_file():
        return None
    index = {name: number for number, name in enumerate(labels)}
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["split"] == split]
        names = [unescape_csv(row["id"]) for row in rows]
        classes = [[index[unescape_csv(row[name])] for name in ("label", "prediction")] for row in rows]
        found = {name: (label, prediction) for name, (label, prediction) in zip(names, classes, strict=True)}
    except (KeyError, TypeError, ValueError, AttributeError, csv.Error) as error:
        raise ValueError(f"{path}: not a table of predictions ({error!r}); evaluate the run again.") from error
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise ValueError(f"{path}: {repeated[0]!r} is there more than once; evaluate the run again.")
    return found


def read_columns(folder: str | Path, name: str, required: Iterable[str]) -> dict[str, np.ndarray]:
    """Read METRICS or VALIDATION as arrays by column; a value that was not logged is NaN.

    Raises:
        ValueError: naming a file that is missing or no table of numbers.
    """
    path = Path(folder) / name
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        columns = {name: np.array([float(row[name] or "nan") for row in rows]) for name in rows[0]}
    except OSError as error:
        raise ValueError(f"{path}: there is no such file; give the folder of a finished run.") from error
    except (IndexError, TypeError, ValueError, AttributeError, csv.Error) as error:
        raise ValueError(f"{path}: not a table of numbers ({error}); was the run cut short?") from error
    if missing := [name for name in required if name not in columns]:
        raise ValueError(f"{path}: the columns {', '.join(missing)} are missing; was the run cut short?")
    return columns


def find_folders(path: str | Path) -> tuple[list[Path], list[Path]]:
    """Return the folders of finished runs and those of unfinished trainings, in a folder or below it, sorted."""
    path = Path(path)
    finished = [path] if (path / RESULTS).exists() else sorted(file.parent for file in path.rglob(RESULTS))
    begun = {file.parent for file in path.rglob(METRICS)}
    return finished, sorted(folder for folder in begun if not (folder / RESULTS).exists())
