"""A network that reads what it transcribes: its texts, their labels, and a run that predicts the same afterwards."""

import csv
import json
import subprocess
import sys

import datasets
import numpy as np
import pytest
import torch

from m4ser import M4SERPipeline
from m4ser.data.augmentation import Augmentation
from m4ser.data.labels import aligned_labels
from m4ser.data.schema import DataError
from m4ser.evaluation.protocols import partition
from m4ser.evaluation.report.runs import find_runs
from m4ser.evaluation.scoring import score_split
from m4ser.model.recognition_m4ser import character_labels
from m4ser.run_folder import read_results
from m4ser.training.arguments import parse_arguments
from m4ser.training.loop import train
from m4ser.training.own_hypotheses import OwnHypotheses, evaluating
from tests.conftest import ROOT
from tests.tiny import collate, recordings, tiny_model
from tests.tiny_corpus import SMALL, tiny_processor, write_sessions, write_tiny_corpus
from tests.warm_python import warm

OWN = str(ROOT / "configs" / "recognition" / "own_hypotheses.yaml")
RECOGNITION = str(ROOT / "configs" / "recognition" / "recognition.yaml")
TASKS = ["detection", "correction", "recognition"]


@pytest.fixture
def processor():
    return tiny_processor()


@pytest.fixture
def model(processor):
    text = {**tiny_model().config.text_config.to_dict(), "vocab_size": len(processor.tokenizer)}
    return tiny_model(auxiliary_tasks=TASKS, text_config=text)


@pytest.fixture
def batch():
    rows = recordings((4000, 7000, 2500), (7, 4, 9))
    return {**collate(rows), "ids": ["a", "b", "c"], "transcripts": ["the night", None, "the meal was bad"]}


def own(processor, mask=0.0):
    return OwnHypotheses(processor.tokenizer, 5, False, Augmentation(mask=mask))


def test_tokens_and_labels_are_of_the_own_texts(model, processor, batch):
    texts = [one.text for one in model.transcribe(batch["input_values"], batch["attention_mask"])]
    found = own(processor).for_training(model, batch)
    assert any(texts) and found["input_ids"].tolist() == processor.tokenizer(texts, padding=True)["input_ids"]
    positions = []
    for row, (text, transcript) in enumerate(zip(texts, batch["transcripts"], strict=True)):
        expected = aligned_labels(processor.tokenizer, text, transcript, 32, 5)
        tags = found["aed_labels"][row, : len(expected["aed_labels"])].tolist()
        assert tags == expected["aed_labels"]
        positions += [[row, position] for position in expected["correction_positions"]]
    assert found["correction_positions"].tolist() == positions


def test_hidden_tokens_are_masked(model, processor, batch):
    tokenizer = processor.tokenizer
    found = own(processor, mask=1.0).for_training(model, batch)["input_ids"]
    assert set(found.flatten().tolist()) <= set(tokenizer.all_special_ids)


def test_modes_of_modules_are_kept(model, processor, batch):
    model.train()
    model.text_encoder.eval()
    with evaluating(model):
        assert not model.fusion.training
    own(processor).for_training(model, batch)
    assert model.fusion.training and not model.text_encoder.training


def test_evaluation_predicts_as_the_pipeline(model, processor, batch):
    inputs = own(processor).for_evaluation(model, batch)
    texts = [one.text for one in model.transcribe(batch["input_values"], batch["attention_mask"])]
    tokens = processor.tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = model(batch["input_values"], batch["attention_mask"], tokens["input_ids"], tokens["attention_mask"])
        names = ("speech_hidden_states", "attention_mask", "input_ids", "text_attention_mask")
        found = model(**{name: inputs[name] for name in names})
    torch.testing.assert_close(found.logits, expected.logits, atol=1e-6, rtol=1e-5)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_tiny_corpus(tmp_path_factory.mktemp("corpus") / "corpus")


def arguments(config, corpus, folder, *options):
    """Frames of 5 ms: of the tiny corpus's recordings, hardly any is long enough for its text otherwise."""
    frames = json.dumps({"speech_config": {"conv_stride": [80, 1, 1]}})
    given = [SMALL, config, "--config", frames, "--dataset", str(corpus), "--output_dir", str(folder)]
    return parse_arguments([*given, *options])


@pytest.fixture(scope="module")
def run(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("own") / "run"
    train(arguments(OWN, corpus, folder, "--augment_mask", "0.2"))
    return folder


def test_run_logs_its_loss_and_is_in_the_report(run):
    with (run / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(float(row["recognition"]) > 0 for row in rows)
    (group,), _ = find_runs([run])
    assert group.variant == "+ recognition, own hypotheses"


def test_run_predicts_from_its_own_texts_afterwards(run, corpus):
    trained = read_results(run)["splits"]["test"]
    assert score_split(run, corpus)["confusion_matrix"] == trained["confusion_matrix"]
    pipeline = M4SERPipeline.from_pretrained(run)
    assert pipeline.processor.asr_model_id == "self" and pipeline.transcribes_itself


def test_vocabulary_is_of_the_training_transcripts(run):
    vocabulary = json.loads((run / "config.json").read_text())["recognition_vocabulary"]
    assert vocabulary[0] == "" and set("the night was great") <= set(vocabulary)
    assert "z" not in vocabulary and character_labels(["z"], vocabulary).tolist() == [[-100]]


def test_resumed_run_is_the_whole_one(run, corpus, tmp_path):
    options = ("--epochs", "2", "--keep_checkpoints", "1")
    train(arguments(OWN, corpus, tmp_path / "whole", *options))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("m4ser.training.loop.conclude", lambda *_, **__: sys.exit())
        with pytest.raises(SystemExit):
            train(arguments(OWN, corpus, tmp_path / "cut", "--epochs", "1", "--keep_checkpoints", "1"))
    train(arguments(OWN, corpus, tmp_path / "cut", *options, "--resume", "true"))
    whole, cut = ((tmp_path / name / "metrics.csv").read_text().splitlines() for name in ("whole", "cut"))
    assert [line.split(",")[:8] for line in whole] == [line.split(",")[:8] for line in cut]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--text_column", "own"], '--text_column own needs the auxiliary task "recognition"'),
        (["--augment_crop", "0.1", "--config", json.dumps({"auxiliary_tasks": TASKS})], "set --augment_crop"),
        (["--text_column", "mine"], "text_column is one of hypothesis, transcript, own, not 'mine'"),
    ],
)
def test_mistakes_are_one_sentence(corpus, tmp_path, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        train(parse_arguments([SMALL, "--dataset", str(corpus), "--output_dir", str(tmp_path / "run"), *options]))


def test_dataset_without_transcripts_is_refused(tmp_path, corpus):
    import datasets

    for split, rows in datasets.load_dataset(str(corpus)).items():
        empty = rows.remove_columns("transcript").add_column(
            "transcript", [None] * len(rows), feature=datasets.Value("string")
        )
        empty.to_parquet(tmp_path / "data" / f"{split}-00000-of-00001.parquet")
    with pytest.raises(DataError, match='no transcript for the auxiliary task "recognition"'):
        train(arguments(RECOGNITION, tmp_path, tmp_path / "run"))


def test_hypotheses_in_folds(tmp_path):
    """Each recording once; those of a fold by a head that has not been trained on their speakers."""
    corpus = write_sessions(tmp_path / "corpus", 12)
    config = str(ROOT / "configs" / "recognition" / "speech_recognition.yaml")
    command = [
        warm("python"),
        "hub_scripts/fold_hypotheses.py",
        SMALL,
        config,
        "--protocol",
        "speakers",
        "--fold",
        "1",
    ]
    command += ["--dataset", corpus, "--output_dir", tmp_path / "runs", "--output", tmp_path / "own.jsonl"]
    result = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-2000:]
    lines = [json.loads(line) for line in (tmp_path / "own.jsonl").read_text().splitlines()]
    whole = datasets.load_dataset(str(corpus))
    assert sorted(line["id"] for line in lines) == sorted(whole["train"]["id"])
    speakers = dict(zip(whole["train"]["id"], whole["train"]["speaker"], strict=True))
    tested = set(partition(whole, "speakers", 1).splits["test"]["id"])
    for line in lines:
        results = read_results(line["asr_model_id"])
        if line["id"] in tested:
            assert "/whole/" in line["asr_model_id"]
        elif "/folds/" in line["asr_model_id"]:
            inner = datasets.load_dataset(results["config"]["data"]["dataset"])
            trained = partition(inner, "speakers", results["config"]["data"]["fold"]).splits["train"]
            assert speakers[line["id"]] not in set(trained["speaker"])
            assert not tested & set(inner["train"]["id"])
    assert np.mean(["/folds/" in line["asr_model_id"] for line in lines]) > 0.5
