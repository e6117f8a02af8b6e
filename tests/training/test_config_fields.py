"""A misspelt field of the config stops the start."""

import pytest

from m4ser import M4SERConfig
from m4ser.model.configuration_m4ser import refuse_unknown_fields
from m4ser.training.arguments import parse_arguments
from m4ser.training.setup import build_experiment
from tests.tiny_corpus import SMALL, write_tiny_corpus


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"modalitys": ["speech"]}, "M4SERConfig has no field modalitys; did you mean modalities?"),
        (
            {"text_config": {"hidden_dropout": 0.2}},
            "BertConfig has no field hidden_dropout; did you mean hidden_dropout_prob?",
        ),
        ({"qqqqqqqq": 1}, "M4SERConfig has no field qqqqqqqq."),
    ],
)
def test_unknown_fields_are_named(fields, message):
    with pytest.raises(ValueError) as raised:
        refuse_unknown_fields(M4SERConfig(**fields), fields)
    assert str(raised.value) == message


def test_presets_know_their_fields():
    assert M4SERConfig.preset("tiny", modalities=["text"], text_config={"vocab_size": 99}).text_config.vocab_size == 99
    with pytest.raises(ValueError, match="M4SERConfig has no field modalitys; did you mean modalities"):
        M4SERConfig.preset("tiny", modalitys=["text"])
    with pytest.raises(ValueError, match="BertConfig has no field vocabulary_size; did you mean vocab_size"):
        M4SERConfig.preset("tiny", text_config={"vocabulary_size": 99})


def test_known_fields_pass():
    fields = {
        "modalities": ["speech"],
        "max_correction_length": 4,
        "id2label": {0: "a"},
        "speech_config": {"model_type": "wav2vec2", "apply_spec_augment": False},
        "text_config": {"hidden_dropout_prob": 0.2},
    }
    refuse_unknown_fields(M4SERConfig(**fields), fields)


@pytest.mark.parametrize("option", ["--config", "the corpus's file"])
def test_training_does_not_start(option, tmp_path):
    config = tmp_path / "more.yaml"
    config.write_text("config: {modalitys: [speech]}\n")
    more = ["--config", '{"modalitys": ["speech"]}'] if option == "--config" else []
    files = [SMALL] if more else [SMALL, str(config)]
    corpus = write_tiny_corpus(tmp_path / "corpus")
    with pytest.raises(ValueError, match="has no field modalitys; did you mean modalities"):
        build_experiment(parse_arguments([*files, "--dataset", str(corpus), "--output_dir", "unused", *more]))
