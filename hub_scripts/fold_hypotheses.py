"""Make hypotheses with a network's own CTC head, of each recording by a head that was not trained on its speaker.

python hub_scripts/fold_hypotheses.py configs/ravdess.yaml configs/recognition/speech_recognition.yaml \
    --protocol speakers --fold 1 --dataset data/ravdess --output_dir runs/recognition --output hypotheses.jsonl

On recordings that a head was trained on, it makes fewer errors than on others, and error detection and correction
would learn from too few. So the training recordings are transcribed in the folds of the protocol `speakers` within
them, and the validation and test recordings by a head that was trained on all training recordings; nothing is learned
from those. All but --output are options of train.py. Typed again, it goes on where it stopped. Build the dataset again
with --hypotheses hypotheses.jsonl.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import datasets

from m4ser.data.builders.builder_cli import run
from m4ser.evaluation.protocols import partition
from m4ser.files import whole_file
from m4ser.model.audio_m4ser import load_audio
from m4ser.model.pipeline_m4ser import M4SERPipeline
from m4ser.training.arguments import Arguments, parse_arguments
from m4ser.training.runs import runs, train_groups
from m4ser.training.setup import load_corpus

PROTOCOL = "speakers"
BATCH = 16  # recordings that are transcribed at once


def main() -> None:
    """Train, transcribe, and write the hypotheses file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="the JSON lines file to write")
    options, further = parser.parse_known_args()
    lines = list(hypotheses(parse_arguments(further)))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(options.output) as unfinished:
        unfinished.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    print(f"{len(lines)} hypotheses in {options.output}. Build the dataset again with --hypotheses {options.output}.")


def hypotheses(arguments: Arguments) -> Iterator[dict[str, str]]:
    """Yield {"id", "hypothesis", "asr_model_id"} of every recording of the partition that the arguments name.

    Raises:
        DataError: fewer training speakers than folds.
    """
    folder = Path(arguments.training.output_dir)
    parts = load_corpus(arguments.data, arguments.training.seed, encodes_text=False).splits
    training, written = datasets.DatasetDict({"train": parts["train"]}), folder / "training_recordings"
    if not written.exists():
        parts["train"].to_parquet(written / "data" / "train-00000-of-00001.parquet")
    in_folds = replace(arguments.data, dataset=str(written), protocol=PROTOCOL, fold="all")
    experiments = {"folds": replace(arguments, data=in_folds), "whole": arguments}
    experiments = {
        name: replace(one, training=replace(one.training, output_dir=str(folder / name)))
        for name, one in experiments.items()
    }
    for _ in train_groups(experiments):
        pass
    for fold, member in enumerate(runs(experiments["folds"]), start=1):
        yield from transcribe(member.training.output_dir, partition(training, PROTOCOL, fold).splits["test"])
    (whole,) = runs(experiments["whole"])
    for split in ("validation", "test"):
        if split in parts:
            yield from transcribe(whole.training.output_dir, parts[split])


def transcribe(run: str, rows: datasets.Dataset) -> Iterator[dict[str, str]]:
    """Yield the lines of a split's recordings, transcribed by a run's own head."""
    pipeline = M4SERPipeline.from_pretrained(run, asr="self")
    for start in range(0, len(rows), BATCH):
        batch = rows.select(range(start, min(start + BATCH, len(rows))))
        waveforms = [load_audio(audio, name=id) for id, audio in zip(batch["id"], batch["audio"], strict=True)]
        texts = pipeline.transcribe(waveforms, BATCH)
        for id, text in zip(batch["id"], texts, strict=True):
            yield {"id": id, "hypothesis": text, "asr_model_id": run}


if __name__ == "__main__":
    sys.argv[0] = "fold_hypotheses.py"
    run(main)
