"""A training that starts from a trained model has its weights, its config and its tokenizer."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from m4ser import M4SERModel, M4SERProcessor
from m4ser.data.builders.writing import write_dataset
from m4ser.data.schema import DataError
from m4ser.training.arguments import parse_arguments
from m4ser.training.loop import train
from m4ser.training.setup import build_experiment
from tests.tiny_corpus import LABELS, SMALL, utterances, write_tiny_corpus

OTHER_LABELS = ("angry", "joyful", "neutral", "sad")  # as many as before


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_tiny_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def other_corpus(tmp_path_factory):
    """Another emotion, and words that the source's tokenizer was not trained on."""
    folder = tmp_path_factory.mktemp("other")
    rows = (replace(row, emotion=OTHER_LABELS[LABELS.index(row.emotion)], transcript="vexing") for row in utterances())
    write_dataset(rows, OTHER_LABELS, folder, title="Other", description="Noises.")
    return folder


@pytest.fixture(scope="module")
def source(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("source") / "run"
    argv = [SMALL, "--dataset", str(corpus), "--learning_rate", "0.01", "--asr_model_id", "tiny/asr"]
    train(parse_arguments([*argv, "--normalization", "basic", "--output_dir", str(folder)]))
    return folder


def arguments(corpus, source, *more):
    return parse_arguments(["--dataset", str(corpus), "--output_dir", "unused", "--init_from", str(source), *more])


def test_equal_labels_give_the_logits_of_the_source(corpus, source, capsys):
    experiment = build_experiment(arguments(corpus, source))
    former, processor = M4SERModel.from_pretrained(source).eval(), M4SERProcessor.from_pretrained(source)
    assert experiment.processor.tokenizer.get_vocab() == processor.tokenizer.get_vocab()
    assert experiment.processor.asr_model_id == "tiny/asr"
    inputs = processor([[0.1, -0.1] * 1000], ["The KNIGHT was great"], sampling_rate=16_000)
    again = experiment.processor([[0.1, -0.1] * 1000], ["The KNIGHT was great"], sampling_rate=16_000)
    with torch.no_grad():
        assert torch.equal(experiment.model.eval()(**again).logits, former(**inputs).logits)
    assert "head" not in capsys.readouterr().out


def test_other_labels_keep_every_weight_but_the_head(other_corpus, source, capsys):
    model = build_experiment(arguments(other_corpus, source)).model
    former, weights = load_file(source / "model.safetensors"), model.state_dict()
    assert former.keys() == weights.keys()
    assert {name for name in former if not torch.equal(former[name], weights[name])} == {
        "classifier.weight",
        "classifier.bias",
    }
    spread = pytest.approx(model.config.initializer_range, rel=0.5)
    assert not weights["classifier.bias"].any() and weights["classifier.weight"].std() == spread
    assert tuple(model.config.label2id) == OTHER_LABELS
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "head" in line]
    assert "the dataset has angry, joyful, neutral, sad: the emotion head is new" in line


def test_temperature_of_the_source_is_not_taken(corpus, source, tmp_path):
    """It was fitted to weights that the training changes."""
    shutil.copytree(source, tmp_path / "calibrated")
    path = tmp_path / "calibrated" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "calibration_temperature": 2.5}))
    assert build_experiment(arguments(corpus, tmp_path / "calibrated")).model.config.calibration_temperature == 1


def test_fields_of_the_config_may_be_changed(corpus, source):
    changes = '{"classifier_dropout": 0.1, "text_config": {"hidden_dropout_prob": 0.3}}'
    config = build_experiment(arguments(corpus, source, "--config", changes)).model.config
    assert (config.classifier_dropout, config.text_config.hidden_dropout_prob) == (0.1, 0.3)
    assert config.text_config.hidden_size == 16


def test_it_replaces_the_network_of_config_files(corpus, source, tmp_path):
    file = tmp_path / "corpus.yaml"
    file.write_text("speech_encoder: facebook/hubert-base-ls960\ntext_encoder: any/bert\nepochs: 7\n")
    given = parse_arguments(
        [SMALL, str(file), "--dataset", str(corpus), "--output_dir", "x", "--init_from", str(source)]
    )
    assert (given.model.preset, given.model.speech_encoder, given.training.epochs) == (None, None, 7)


@pytest.mark.parametrize("option", ["preset", "speech_encoder", "text_encoder"])
def test_another_network_is_refused(corpus, source, option):
    with pytest.raises(ValueError, match=f"--init_from brings its own network; leave --{option} out"):
        arguments(corpus, source, f"--{option}", "base")


def test_what_cannot_be_started_from_is_refused(corpus, source, tmp_path):
    with pytest.raises(ValueError, match=r"run is a model of the system m4ser, not sams"):
        build_experiment(arguments(corpus, source, "--system", "sams"))
    with pytest.raises(ValueError, match=r"There is no --init_from .*nowhere: no such folder"):
        build_experiment(arguments(corpus, tmp_path / "nowhere"))
    with pytest.raises(ValueError, match=r"--init_from org/nothing is neither a run's folder nor a model's Hub id"):
        build_experiment(arguments(corpus, "org/nothing"))
    with pytest.raises(ValueError, match="--config does not fit the weights of"):
        build_experiment(arguments(corpus, source, "--config", '{"modalities": ["text"]}'))
    with pytest.raises(ValueError, match="--config does not fit the weights of"):
        build_experiment(arguments(corpus, source, "--config", '{"intermediate_size": 24}'))


def test_cut_adaptation_resumes_to_the_same_weights(other_corpus, source, tmp_path):
    """Few shots of another corpus, after the source: the second reading of Table IX."""
    argv = ["--dataset", str(other_corpus), "--init_from", str(source), "--shots", "1", "--batch_size", "2"]
    argv += ["--learning_rate", "1e-3", "--keep_checkpoints", "1", "--selection_metric", "last"]
    for folder, epochs in (("whole", "2"), ("cut", "1")):
        train(parse_arguments([*argv, "--epochs", epochs, "--output_dir", str(tmp_path / folder)]))
    resumed = [*argv, "--epochs", "2", "--output_dir", str(tmp_path / "cut"), "--resume", "true"]
    results = train(parse_arguments(resumed))
    assert results["protocol"] == "held_out, 1 shots" and results["config"]["model"]["init_from"] == str(source)
    weights = [(tmp_path / folder / "model.safetensors").read_bytes() for folder in ("whole", "cut")]
    assert weights[0] == weights[1]
    other = json.loads((source / "results.json").read_text())["config"]["training"]["output_dir"] + "/."
    with pytest.raises(DataError, match="belong to another run: init_from was"):
        train(parse_arguments([*resumed, "--init_from", other]))
