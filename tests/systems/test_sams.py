"""SAMS on tiny encoders: what supervises what, padding, and a run that is trained, reported and loaded elsewhere."""

import csv
import math
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModel

from m4ser.evaluation.calibration import calibrate_run
from m4ser.evaluation.report.runs import find_runs
from m4ser.systems.sams import SAMSConfig, SAMSModel
from m4ser.training.arguments import parse_arguments
from m4ser.training.loop import train
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


LABELS = torch.tensor([0, 3])


def test_padding_changes_nothing(model, batch):
    batch["attention_mask"][1, 2500:] = 0
    batch["text_attention_mask"][1, 4:] = 0
    both = model(**batch, labels=LABELS)
    assert both.logits.shape == (2, 4) and both.embeddings.shape == (2, 2 * WIDTH)
    assert both.auxiliary_losses["spaces"].shape == (2,)
    alone = model(
        input_values=batch["input_values"][1:, :2500],
        attention_mask=batch["attention_mask"][1:, :2500],
        input_ids=batch["input_ids"][1:, :4],
        text_attention_mask=batch["text_attention_mask"][1:, :4],
        labels=LABELS[1:],
    )
    torch.testing.assert_close(alone.logits[0], both.logits[1], atol=1e-5, rtol=1e-4)
    alone, both = alone.auxiliary_losses["spaces"], both.auxiliary_losses["spaces"]
    torch.testing.assert_close(alone[0], both[1], atol=1e-5, rtol=1e-4)


def moved(model):
    """The modules of the model, as far as a dot, that have a gradient other than zero."""
    names = [name for name, value in model.named_parameters() if value.grad is not None and value.grad.any()]
    return {".".join(name.split(".")[: 2 if "spaces" in name else 1]) for name in names}


def test_spaces_loss_by_hand(model, batch, monkeypatch):
    """Both own spaces guess, ln 4 each; each learned space is orthogonal to its target, or its opposite."""
    for classifier in (model.speech_classifier, model.text_classifier):
        torch.nn.init.zeros_(classifier.weight)
        torch.nn.init.zeros_(classifier.bias)
    axis, fused = torch.eye(WIDTH)[:2], torch.zeros(2, WIDTH)
    monkeypatch.setattr(model.speech_spaces, "forward", lambda *_: [axis, axis.flip(0), fused])
    monkeypatch.setattr(model.text_spaces, "forward", lambda *_: [axis, -axis, fused])
    loss = model(**batch, labels=LABELS).auxiliary_losses["spaces"]
    torch.testing.assert_close(loss, torch.full((2,), 2 * math.log(4) + 1 + 2), atol=1e-5, rtol=0)


def test_learned_spaces_do_not_move_their_targets(model, batch, monkeypatch):
    """Without the emotion loss, only the distances are left: they train the learned spaces and what is before them."""
    monkeypatch.setattr("m4ser.systems.sams.F.cross_entropy", lambda *_, **__: torch.zeros(2))
    model(**batch, labels=LABELS).auxiliary_losses["spaces"].sum().backward()
    assert moved(model) == {"speech_encoder", "text_encoder", "speech_spaces.learned", "text_spaces.learned"}


def test_own_spaces_predict_and_their_interaction_is_fused(model, batch, monkeypatch):
    monkeypatch.setattr("m4ser.systems.sams._distance", lambda *_: torch.zeros(2))
    model(**batch, labels=LABELS).auxiliary_losses["spaces"].sum().backward()
    sides = ("speech", "text")
    own = {f"{side}_{part}" for side in sides for part in ("encoder", "spaces.own", "classifier")}
    assert moved(model) == own
    model.zero_grad()
    model(**batch).logits.square().sum().backward()
    spaces = {f"{side}_spaces.{part}" for side in sides for part in ("own", "learned", "interaction")}
    assert moved(model) == {"speech_encoder", "text_encoder", "classifier", *spaces}


def test_one_modality_is_refused():
    with pytest.raises(ValueError, match="cannot be built from text alone"):
        SAMSConfig(modalities=["text"])


def test_it_builds_none_of_m4ser(model):
    assert not hasattr(model, "fusion") and model.error_detector is None and model.error_corrector is None


def test_precomputed_frames_take_the_waveforms_role(model, batch):
    frames, mask = model.speech_encoder.encode(batch["input_values"], batch["attention_mask"])
    text = {name: batch[name] for name in ("input_ids", "text_attention_mask")}
    found = model(speech_hidden_states=frames, attention_mask=mask.long(), **text)
    torch.testing.assert_close(found.logits, model(**batch).logits)


def test_misspelled_arguments_are_refused(model, batch):
    with pytest.raises(TypeError, match="input_idz"):
        model(**batch, input_idz=batch["input_ids"])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sams")
    corpus, config = write_tiny_corpus(folder / "corpus"), str(ROOT / "configs" / "systems" / "sams.yaml")
    argv = [SMALL, config, "--dataset", str(corpus), "--output_dir", str(folder / "run")]
    train(parse_arguments(argv))
    return folder / "run"


def test_run_has_its_losses_and_its_row(run):
    with (run / "metrics.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row.keys() == {"step", "epoch", "emotion", "spaces", "total", "learning_rate", "seconds"}
    assert float(row["total"]) == pytest.approx(float(row["emotion"]) + float(row["spaces"]), rel=1e-5)
    (group,), _ = find_runs([run])
    assert (group.variant, group.name) == ("SAMS", "SAMS")


def test_calibrated_run_is_still_sams(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    temperature = calibrate_run(tmp_path / "run", str(run.parent / "corpus"))["temperature"]
    model = AutoModel.from_pretrained(tmp_path / "run")
    assert type(model) is SAMSModel and model.config.calibration_temperature == temperature


def test_unknown_system_is_refused():
    with pytest.raises(ValueError, match=r"system is one of m4ser, .*sams, .*not nonsense"):
        parse_arguments(["--system", "nonsense", "--dataset", "corpus", "--output_dir", "run"])
