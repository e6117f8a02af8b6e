"""The whole chain on the synthetic corpus: build, train, compare, save, reload in a new process, predict."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
import soundfile

from m4ser.data.synthetic import SAMPLING_RATE, SIZES, best_accuracy, write_corpus
from m4ser.evaluation.metrics import evaluate_predictions
from m4ser.evaluation.report import comparison
from m4ser.model.audio_m4ser import load_audio
from m4ser.training.arguments import Arguments, DataArguments, ModelArguments, TrainingArguments
from m4ser.training.loop import train

RUNS: dict[str, dict[str, Any]] = {
    "M4SER": {},
    "speech only": {"modalities": ["speech"]},
    "text only": {"modalities": ["text"], "auxiliary_tasks": []},
}

PREDICT_IN_NEW_PROCESS = """
import json, sys
from transformers import AutoModel, AutoProcessor, pipeline

run, recording, hypothesis = sys.argv[1:]
model = AutoModel.from_pretrained(run, trust_remote_code=True)
processor = AutoProcessor.from_pretrained(run, trust_remote_code=True)
logits = model(**processor(recording, hypothesis)).logits
classify = pipeline("audio-classification", model=run, trust_remote_code=True)
output = classify({"path": recording, "text": hypothesis}, return_correction=True)
assert max(item["score"] for item in output["scores"]) == logits.softmax(-1).max()
print(json.dumps(output))
"""


def run_demo(output_dir: str | Path, sizes: Mapping[str, int] = SIZES, epochs: int = 12) -> None:
    """Run everything into `output_dir`, and print the steps and results.

    Args:
        sizes: utterances by split. epochs: of each training.
    """
    output_dir = Path(output_dir)
    print("1. The corpus: two hidden dimensions, one in the voice, one in the words.")
    write_corpus(output_dir / "corpus", sizes=sizes)
    corpus = datasets.load_dataset(str(output_dir / "corpus"))
    print({split: len(rows) for split, rows in corpus.items()}, "utterances; best possible accuracy", best_accuracy())

    print("\n2. Training, all five losses.")
    runs = [train_one(name, config, output_dir, epochs) for name, config in RUNS.items()]

    print("\n3. Results on speakers that are not in the training split:\n")
    print(comparison(runs))
    scores = majority(corpus)
    print(
        "Always the most frequent emotion: WA {weighted_accuracy:.3f}, UA {unweighted_accuracy:.3f}".format(**scores)
    )

    print("\n4. Reloaded in a new process through AutoModel and AutoProcessor; a prediction:\n")
    predict_in_new_process(runs[0], corpus["test"][0], output_dir)


def train_one(name: str, config: dict[str, Any], output_dir: Path, epochs: int) -> Path:
    """Train one network of the demo; return its folder."""
    run = output_dir / name.replace(" ", "_")
    arguments = Arguments(
        ModelArguments(preset="tiny", config=config),
        DataArguments(dataset=str(output_dir / "corpus"), normalization="basic"),
        training=TrainingArguments(
            output_dir=str(run),
            overwrite=True,
            name=name,
            epochs=epochs,
            learning_rate=1e-3,
            schedule="linear",
            warmup_steps=40,
        ),
    )
    train(arguments)
    return run


def majority(corpus: datasets.DatasetDict) -> dict[str, Any]:
    """Compute the scores of always predicting the most frequent emotion of the training split."""
    emotion, _ = Counter(corpus["train"]["emotion"]).most_common(1)[0]
    references = corpus["test"]["emotion"]
    return evaluate_predictions(
        [emotion] * len(references), references, corpus["test"].features["emotion"].num_classes
    )


def predict_in_new_process(run: Path, row: Mapping[str, Any], output_dir: Path) -> None:
    """Predict one row of the test split with a saved model, in a process of its own, and print the prediction."""
    recording = output_dir / f"{row['id']}.wav"
    soundfile.write(recording, load_audio(row["audio"]), SAMPLING_RATE)
    command = [sys.executable, "-c", PREDICT_IN_NEW_PROCESS, str(run), str(recording), row["hypothesis"]]
    output = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    print(f"recording   {recording} ({row['duration']:.1f} s)")
    for item in output["scores"]:
        print(f"            {item['label']:8} {item['score']:.3f}")
    print(f"hypothesis  {row['hypothesis']}")
    print(f"errors      {output['marked']}")
    print(f"corrected   {output['correction']}")
    print(f"human text  {row['transcript']}")
