"""The records of a run: live progress, logs in CSV, results and loss curves."""

import csv
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from tqdm.auto import tqdm

from m4ser import run_folder
from m4ser.environment import command, hardware, versions
from m4ser.evaluation.protocols import Partition, shared_transcripts
from m4ser.evaluation.report import plot_losses
from m4ser.files import write_whole
from m4ser.progress import on_terminal
from m4ser.training.arguments import LAST_EPOCH, Arguments
from m4ser.training.state import Progress, TrainingState

KEPT_LAST = " Instead of the best epoch by validation, the last one is kept."
SHOWN_SCORES = {"WA": "weighted_accuracy", "UA": "unweighted_accuracy", "WF1": "weighted_f1"}
LIBRARIES = ("m4ser", "torch", "transformers", "datasets", "accelerate")


class RunLog:
    """The records of a run as it goes on: a bar on a terminal, a line an epoch, metrics.csv, validation.csv, trackers.

    Silent on all processes but the first.

    Args:
        output_dir: of the run. progress: where it resumes. total_steps: of the whole run.
    """

    def __init__(
        self,
        output_dir: Path,
        progress: Progress,
        total_steps: int,
        arguments: Arguments,
        accelerator: Accelerator,
    ):
        self._accelerator = accelerator
        self._epochs = arguments.training.epochs
        self._name = arguments.training.name or output_dir.name
        self._steps, self._done = total_steps, progress.step
        self._started = time.monotonic()
        self._losses: Counter[str] = Counter()  # summed over the steps of the epoch so far, of this start of the run
        self._files: list[CsvLog] = []
        if accelerator.is_main_process:
            output_dir.mkdir(parents=True, exist_ok=True)
            if progress.epoch < self._epochs:  # whatever is there, this run has not finished
                run_folder.discard_results(output_dir)
            self._files = [
                CsvLog(output_dir / run_folder.METRICS, "step", progress.step),
                CsvLog(output_dir / run_folder.VALIDATION, "epoch", progress.epoch),
            ]
        self._bar = tqdm(
            total=total_steps,
            initial=progress.step,
            unit="step",
            disable=not (accelerator.is_local_main_process and on_terminal()),
            dynamic_ncols=True,
        )
        self._bar.set_description(f"epoch {progress.epoch + 1}/{self._epochs}")
        if arguments.training.log_with:
            accelerator.init_trackers(arguments.training.project or output_dir.name)

    def step(
        self,
        state: TrainingState,
        window: Sequence[Mapping[str, Any]],
        losses: dict[str, float] | None,
        seconds: float,
    ) -> None:
        """Log one optimizer step; `losses` is None where it was skipped."""
        progress = state.progress
        self._bar.update()
        if losses is None:
            return
        recordings = self._accelerator.num_processes * sum(len(batch["ids"]) for batch in window)
        row = {
            "step": progress.step,
            "epoch": progress.epoch + 1,
            **losses,
            "learning_rate": state.network.scheduler.get_last_lr()[0],
            "seconds": round(seconds, 4),
        }
        shown_losses = {name: losses[name] for name in ("emotion", "total")}
        self._losses.update({"steps": 1, "recordings": recordings, "seconds": seconds, **shown_losses})
        shown = {"L_ER": losses["emotion"], "total": losses["total"], "D(H_inv)": losses.get("invariant_probability")}
        figures = {name: f"{value:.3f}" for name, value in shown.items() if value is not None}
        self._bar.set_postfix(figures | {"samples/s": f"{recordings / seconds:.1f}"}, refresh=False)
        self._accelerator.log({name: value for name, value in row.items() if name != "step"}, step=progress.step)
        if self._files:
            self._files[0].append(row)

    def epoch(self, progress: Progress, scores: Mapping[str, Any]) -> None:
        """Log the scores of the validation split after an epoch."""
        scores = {name: value for name, value in scores.items() if isinstance(value, (int, float))}
        self._bar.set_description(f"epoch {min(progress.epoch + 1, self._epochs)}/{self._epochs}")
        if self._accelerator.is_main_process:
            self._bar.write(self._describe(progress, scores), file=sys.stderr)
        self._losses.clear()
        self._accelerator.log({f"validation/{name}": value for name, value in scores.items()}, step=progress.step)
        if self._files:
            self._files[1].append({"step": progress.step, "epoch": progress.epoch, **scores})

    def _describe(self, progress: Progress, scores: Mapping[str, Any]) -> str:
        """Return the line of an epoch: mean losses, validation scores, rate and the time that is left."""
        line = [f"{self._name}: epoch {progress.epoch}/{self._epochs}"]
        if steps := self._losses["steps"]:
            line += [f"L_ER {self._losses['emotion'] / steps:.3f}", f"total {self._losses['total'] / steps:.3f}"]
        line.append("validation " + " ".join(f"{title} {scores[name]:.3f}" for title, name in SHOWN_SCORES.items()))
        if self._losses["seconds"]:
            line.append(f"{self._losses['recordings'] / self._losses['seconds']:.1f} recordings/s")
        if done := progress.step - self._done:
            left = (self._steps - progress.step) * (time.monotonic() - self._started) / done
            line.append(f"{tqdm.format_interval(left)} left")
        return ", ".join(line)

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
        for tracker in self._accelerator.trackers:  # end_training() would take the processes apart, too
            tracker.finish()
        for file in self._files:
            file.close()


class CsvLog:
    """Rows of named values appended to a file, each on disk before the next step begins.

    Args:
        path: the file. counter: the column that counts steps or epochs. done: how many of them were done when the
            run was cut; rows beyond, written after the checkpoint that it resumes from, are dropped.
    """

    def __init__(self, path: Path, counter: str, done: int = 0):
        rows = read_rows(path) if done and path.is_file() else []
        kept = [row for row in rows if int(row[counter]) <= done]
        text = StringIO(newline="")
        if kept:
            writer = csv.DictWriter(text, list(kept[0]))
            writer.writeheader()
            writer.writerows(kept)
        write_whole(path, text.getvalue())
        self._names = list(kept[0]) if kept else None
        self._file = path.open("a", newline="", buffering=1)

    def append(self, row: Mapping[str, Any]) -> None:
        """Add a row.

        Raises:
            ValueError: it has other columns than the rows before it.
        """
        if self._names is not None and (other := sorted(set(row) ^ set(self._names))):
            raise ValueError(f"{self._file.name}: {other[0]} is not in every row; log the same losses in each step.")
        writer = csv.DictWriter(self._file, self._names or list(row))
        if self._names is None:
            self._names = list(row)
            writer.writeheader()
        writer.writerow(row)

    def close(self) -> None:
        self._file.close()


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return a CSV file's rows as dicts, without one that a kill has cut short."""
    with path.open(newline="") as file:
        return [row for row in csv.DictReader(file) if None not in row.values()]


def write_results(
    output_dir: Path,
    arguments: Arguments,
    progress: Progress,
    accelerator: Accelerator,
    parameters: int,
    labels: Sequence[str],
    splits: Mapping[str, Mapping[str, Any]],
    test_seconds: float | None,
    partition: Partition,
    begun: float,
) -> dict[str, Any]:
    """Write results.json, the scores by split with all it takes to repeat them, and losses.png; return the results.

    Its `seconds` are the wall time since the run has `begun` by `time.monotonic`; `test_seconds` that of the test
    split's evaluation, None where nothing is tested.
    """
    training = arguments.training
    is_last = training.selection_metric == LAST_EPOCH
    if accelerator.is_main_process and find_spec("matplotlib"):
        plot_losses(output_dir, output_dir / run_folder.LOSS_CURVES)
    results = {
        "name": training.name or output_dir.name,
        "labels": labels,
        "protocol": partition.name,
        "protocol_description": partition.description + (KEPT_LAST if is_last else ""),
        "selection_metric": training.selection_metric,
        "shared_transcripts": shared_transcripts(partition.splits),
        "seed": training.seed,
        "epochs": progress.epoch,
        "best_epoch": progress.best_epoch,
        "steps": progress.step,
        "skipped_steps": progress.skipped,
        "parameters": parameters,
        "seconds": round(time.monotonic() - begun, 1),
        "training_seconds": round(progress.training_seconds, 1),
        "test_seconds": None if test_seconds is None else round(test_seconds, 2),
        "processes": accelerator.num_processes,
        "precision": accelerator.mixed_precision,
        "hardware": hardware(),
        "threads": torch.get_num_threads(),
        "versions": versions(LIBRARIES),
        "command": command(),
        "splits": splits,
        "config": arguments.as_dict(),
    }
    if accelerator.is_main_process:
        run_folder.write_results(output_dir, results)
    accelerator.wait_for_everyone()
    return results
