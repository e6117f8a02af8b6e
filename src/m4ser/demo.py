"""The whole chain on the synthetic corpus: build, train, compare, save, load in a new process, ask."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import datasets
import soundfile

from m4ser.data.synthetic import SAMPLING_RATE, SIZES, best_accuracy, write_corpus
from m4ser.evaluation.metrics import evaluate_predictions
from m4ser.evaluation.report import comparison
from m4ser.model.audio_m4ser import load_audio
from m4ser.training.arguments import Arguments, DataArguments, ModelArguments, TrainingArguments
from m4ser.training.loop import train

RUNS = {
    "M4SER": {},
    "speech only": {"modalities": ["speech"]},
    "text only": {"modalities": ["text"], "auxiliary_tasks": []},
}

ASK = """
import json, sys
from transformers import AutoModel, AutoProcessor, pipeline

run, recording, hypothesis = sys.argv[1:]
model = AutoModel.from_pretrained(run, trust_remote_code=True)
processor = AutoProcessor.from_pretrained(run, trust_remote_code=True)
logits = model(**processor(recording, hypothesis)).logits
classify = pipeline("audio-classification", model=run, trust_remote_code=True)
answer = classify({"path": recording, "text": hypothesis}, return_correction=True)
assert max(item["score"] for item in answer["scores"]) == logits.softmax(-1).max()
print(json.dumps(answer))
"""


def run_demo(output_dir, sizes=SIZES, epochs=12):
    """Run everything into `output_dir`; prints what it does and finds.

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

    print("\n3. Speakers that no model has heard:\n")
    print(comparison(runs))
    scores = majority(corpus)
    print(
        "Always the most frequent emotion: WA {weighted_accuracy:.3f}, UA {unweighted_accuracy:.3f}".format(**scores)
    )

    print("\n4. Loaded back in a new process, through AutoModel and AutoProcessor, and asked:\n")
    ask(runs[0], corpus["test"][0], output_dir)


def train_one(name, config, output_dir, epochs):
    """Train one network of the demo; returns its folder."""
    run = output_dir / name.replace(" ", "_")
    arguments = Arguments(
        ModelArguments(preset="tiny", config=config),
        DataArguments(dataset=str(output_dir / "corpus"), normalization="basic"),
        training=TrainingArguments(
            output_dir=str(run), name=name, epochs=epochs, learning_rate=1e-3, schedule="linear", warmup_steps=40
        ),
    )
    train(arguments)
    return run


def majority(corpus):
    """Scores of always answering what the training split holds most of."""
    answer, _ = Counter(corpus["train"]["emotion"]).most_common(1)[0]
    references = corpus["test"]["emotion"]
    return evaluate_predictions([answer] * len(references), references, corpus["test"].features["emotion"].num_classes)


def ask(run, row, output_dir):
    """Put one row of the test split to a saved model, in a process of its own."""
    recording = output_dir / f"{row['id']}.wav"
    soundfile.write(recording, load_audio(row["audio"]), SAMPLING_RATE)
    command = [sys.executable, "-c", ASK, str(run), str(recording), row["hypothesis"]]
    answer = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    print(f"recording   {recording} ({row['duration']:.1f} s)")
    for item in answer["scores"]:
        print(f"            {item['label']:8} {item['score']:.3f}")
    print(f"heard       {row['hypothesis']}")
    print(f"errors      {answer['marked']}")
    print(f"corrected   {answer['correction']}")
    print(f"human text  {row['transcript']}")
