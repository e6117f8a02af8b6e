"""SAMS on tiny encoders: what supervises what, padding, and a run that is trained, reported and loaded elsewhere."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from transformers import AutoModel

from m4ser.evaluation.calibration import calibrate_run
from m4ser.evaluation.report.runs import find_runs
from m4ser.systems.sams import SAMSConfig, SAMSModel
from m4ser.training.arguments import parse_arguments
from m4ser.training.loop import train
from tests.isolated_process import ask, logits_here
from tests.tiny import HEADS, VOCABULARY, WIDTH, randomize, tiny_config
from tests.tiny_corpus import SMALL, write_tiny_corpus

ROOT = Path(__file__).parents[2]


@pytest.fixture
def model():
    encoders = tiny_config()
    sizes = {"hidden_size": WIDTH, "num_attention_heads": HEADS, "intermediate_size": 36}
    torch.manual_seed(0)
    config = SAMSConfig(speech_config=encoders.speech_config, text_config=encoders.text_config, **sizes)
    return randomize(SAMSModel(config)).eval()


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(3, VOCABULARY, (2, 7), generator=generator)
    inputs = {"input_values": torch.randn(2, 4000, generator=generator), "attention_mask": torch.ones(2, 4000).long()}
    return {**inputs, "input_ids": ids, "text_attention_mask": torch.ones_like(ids)}


def test_shapes_and_that_padding_changes_nothing(model, batch):
    batch["attention_mask"][1, 2500:] = 0
    batch["text_attention_mask"][1, 4:] = 0
    both = model(**batch)
    assert both.logits.shape == (2, 4) and both.embeddings.shape == (2, 2 * WIDTH)
    assert both.space_logits.shape == (2, 2, 4) and both.space_distances.shape == (2, 2)
    alone = model(
        input_values=batch["input_values"][1:, :2500],
        attention_mask=batch["attention_mask"][1:, :2500],
        input_ids=batch["input_ids"][1:, :4],
        text_attention_mask=batch["text_attention_mask"][1:, :4],
    )
    torch.testing.assert_close(alone.logits[0], both.logits[1], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(alone.space_distances[:, 0], both.space_distances[:, 1], atol=1e-5, rtol=1e-4)


def moved(model):
    """The parts of the model, as far as a dot, that have a gradient other than zero."""
    names = [name for name, value in model.named_parameters() if value.grad is not None and value.grad.any()]
    return {".".join(name.split(".")[: 2 if "spaces" in name else 1]) for name in names}


def test_what_is_learnt_of_the_other_modality_does_not_move_that(model, batch):
    speech_from_text, text_from_speech = model(**batch).space_distances
    speech_from_text.sum().backward(retain_graph=True)
    assert moved(model) == {"speech_encoder", "speech_spaces.learnt"}
    model.zero_grad()
    text_from_speech.sum().backward()
    assert moved(model) == {"text_encoder", "text_spaces.learnt"}


def test_the_own_spaces_tell_the_emotion_and_their_interaction_is_fused(model, batch):
    output = model(**batch)
    output.space_logits[0].sum().backward(retain_graph=True)
    assert moved(model) == {"speech_encoder", "speech_spaces.own", "speech_classifier"}
    model.zero_grad()
    output.logits.square().sum().backward()
    spaces = {f"{side}_spaces.{part}" for side in ("speech", "text") for part in ("own", "learnt", "interaction")}
    assert moved(model) == {"speech_encoder", "text_encoder", "classifier", *spaces}


def test_a_config_cannot_ask_for_parts_of_m4ser():
    config = SAMSConfig(representations=["invariant"], auxiliary_tasks=["detection"], modalities=["text"])
    assert (config.modalities, config.representations, config.auxiliary_tasks) == (["speech", "text"], [], [])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sams")
    corpus, config = write_tiny_corpus(folder / "corpus"), str(ROOT / "configs" / "rivals" / "sams.yaml")
    argv = [SMALL, config, "--dataset", str(corpus), "--output_dir", str(folder / "run")]
    train(parse_arguments(argv))
    return folder / "run"


def test_a_run_has_its_losses_and_its_row(run):
    with (run / "metrics.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row.keys() == {"step", "epoch", "emotion", "spaces", "total", "learning_rate", "seconds"}
    assert float(row["total"]) == pytest.approx(float(row["emotion"]) + float(row["spaces"]), rel=1e-5)
    (group,), _ = find_runs([run])
    assert (group.variant, group.name) == ("SAMS", "SAMS")


def test_a_run_answers_the_same_where_m4ser_is_not_installed(run, tmp_path):
    soundfile.write(tmp_path / "noise.wav", 0.3 * np.random.default_rng(0).standard_normal(16000), 16000)
    recording, text = str(tmp_path / "noise.wav"), "the night was great"
    assert type(AutoModel.from_pretrained(run)) is SAMSModel
    expected = logits_here(run, recording, text)
    answered = ask(run, recording, text, tmp_path / "copy", HF_HOME=str(tmp_path / "home"))
    assert answered["logits"] == [expected, expected]


def test_a_calibrated_run_is_still_sams(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    temperature = calibrate_run(tmp_path / "run", str(run.parent / "corpus"))["temperature"]
    model = AutoModel.from_pretrained(tmp_path / "run")
    assert type(model) is SAMSModel and model.config.calibration_temperature == temperature


def test_an_unknown_rival():
    with pytest.raises(ValueError, match="rival is one of sams, not mmer"):
        parse_arguments(["--rival", "mmer", "--dataset", "corpus", "--output_dir", "run"])
