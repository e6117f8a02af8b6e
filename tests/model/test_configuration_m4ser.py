"""The configuration: sizes by name, partial changes, round trips, and what it refuses."""

import pytest
from transformers import AutoConfig, BertConfig, HubertConfig, Wav2Vec2Config

from m4ser import M4SERConfig
from m4ser.model import configuration_m4ser
from m4ser.model.configuration_m4ser import EmotionConfig

PRESETS = ("base", "large", "tiny")
# Encoder sizes of facebook/hubert-base-ls960, facebook/hubert-large-ls960-ft and google-bert/bert-base-uncased.
PUBLISHED = {
    "base": (768, 12, 12, 3072, "group", False, False),
    "large": (1024, 24, 16, 4096, "layer", True, True),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_presets_have_the_published_sizes(name):
    config = M4SERConfig.preset(name)
    speech, text = config.speech_config, config.text_config
    assert PUBLISHED[name] == (
        speech.hidden_size,
        speech.num_hidden_layers,
        speech.num_attention_heads,
        speech.intermediate_size,
        speech.feat_extract_norm,
        speech.conv_bias,
        speech.do_stable_layer_norm,
    )
    assert (text.hidden_size, text.num_hidden_layers, text.vocab_size) == (768, 12, 30_522)
    # Table I, and Fig. 2(c)'s single layer.
    assert (config.hidden_size, config.num_attention_heads, config.classifier_dropout) == (768, 12, 0.5)
    assert config.correction_intermediate_size == 2048
    assert config.num_labels == 4


@pytest.mark.parametrize("name", PRESETS)
def test_specaugment_and_layerdrop_are_off_by_default(name):
    assert M4SERConfig.preset(name).speech_config.layerdrop == 0
    assert M4SERConfig.preset(name).speech_config.mask_time_prob == 0
    given = M4SERConfig.preset(name, speech_config={"layerdrop": 0.1, "mask_time_prob": 0.05}).speech_config
    assert (given.layerdrop, given.mask_time_prob) == (0.1, 0.05)


@pytest.mark.parametrize("name", PRESETS)
def test_partial_override_keeps_the_preset(name):
    preset = M4SERConfig.preset(name)
    changed = M4SERConfig.preset(name, text_config={"vocab_size": 77}, hidden_dropout=0.3)
    assert changed.text_config.vocab_size == 77
    assert changed.hidden_dropout == 0.3
    assert changed.text_config.to_dict() == {**preset.text_config.to_dict(), "vocab_size": 77}
    assert changed.speech_config.to_dict() == preset.speech_config.to_dict()
    assert M4SERConfig.preset(name).to_dict() == preset.to_dict()  # the preset itself is left alone


def test_encoders_as_objects_and_dicts():
    text = BertConfig(hidden_size=48, num_attention_heads=2)
    config = M4SERConfig(speech_config={"model_type": "wav2vec2", "hidden_size": 96}, text_config=text)
    assert isinstance(config.speech_config, Wav2Vec2Config)
    assert config.speech_config.hidden_size == 96
    assert config.text_config is text
    assert isinstance(M4SERConfig().speech_config, HubertConfig)


CHANGES = {
    "base": {},
    "labels": {"id2label": {0: "calm", 1: "joy", 2: "fear", 3: "rage", 4: "awe"}},
    "ablation": {"modalities": ["text"], "representations": [], "auxiliary_tasks": ["detection"]},
    "encoders": {"speech_config": {"model_type": "wav2vec2", "hidden_size": 96}, "hidden_dropout": 0.2},
}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_round_trip(changes, tmp_path):
    config = M4SERConfig.preset("tiny", **changes)
    config.save_pretrained(tmp_path)
    loaded = AutoConfig.from_pretrained(tmp_path)
    assert isinstance(loaded, M4SERConfig)
    assert loaded.to_diff_dict() == config.to_diff_dict()
    assert loaded.id2label == config.id2label
    assert loaded.speech_config.to_dict() == config.speech_config.to_dict()
    assert loaded.text_config.to_dict() == config.text_config.to_dict()


def test_label_maps():
    config = M4SERConfig(id2label={"0": "calm", "1": "joy"})  # as JSON has them
    assert config.id2label == {0: "calm", 1: "joy"}
    assert config.label2id == {"calm": 0, "joy": 1}
    assert config.num_labels == 2
    assert M4SERConfig().label2id == {"angry": 0, "happy": 1, "neutral": 2, "sad": 3}


def test_lists_have_one_order():
    config = M4SERConfig(modalities=["text", "speech"], auxiliary_tasks=("correction", "detection"))
    assert config.modalities == ["speech", "text"]
    assert config.auxiliary_tasks == ["detection", "correction"]
    assert config.is_multimodal
    assert not M4SERConfig(modalities=["text"]).is_multimodal


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"modalities": ["speech", "video"]}, "modalities knows speech, text; it cannot hold 'video'."),
        ({"representations": ["shared"]}, "representations knows specific, invariant; it cannot hold 'shared'."),
        (
            {"auxiliary_tasks": ["aed"]},
            "auxiliary_tasks knows detection, correction, recognition; it cannot hold 'aed'.",
        ),
        ({"modalities": []}, 'modalities is empty: give ["speech"], ["text"] or both.'),
        ({"calibration_temperature": 0.0}, "calibration_temperature is a number from 0.001 to 1000, not 0.0."),
        ({"num_attention_heads": 5}, "hidden_size (768) must be a multiple of num_attention_heads (5)."),
    ],
)
def test_invalid_arguments_are_refused(fields, sentence):
    with pytest.raises(ValueError) as error:
        M4SERConfig(**fields)
    assert str(error.value) == sentence


def test_unknown_preset_is_refused():
    with pytest.raises(ValueError) as error:
        M4SERConfig.preset("huge")
    assert str(error.value) == "There is no preset 'huge': choose one of base, large, tiny."


def test_known_task_is_not_on_by_default(monkeypatch):
    monkeypatch.setattr(configuration_m4ser, "AUXILIARY_TASKS", ("detection", "correction", "diarization"))
    assert M4SERConfig().auxiliary_tasks == ["detection", "correction"]
    assert M4SERConfig(auxiliary_tasks=["diarization"]).auxiliary_tasks == ["diarization"]
    with pytest.raises(ValueError, match="auxiliary_tasks knows detection, correction, diarization"):
        M4SERConfig(auxiliary_tasks=["nonsense"])


def test_config_without_an_init_keeps_the_fields():
    class Config(EmotionConfig):
        model_type = "toy"

    assert Config(hidden_size=24, num_attention_heads=4).hidden_size == 24
    assert Config.preset("tiny").speech_config.hidden_size == 96


@pytest.mark.parametrize("changes", [{}, {"representations": ["specific"]}, {"modalities": ["speech"]}])
def test_only_the_whole_fusion_is_adversarial(changes):
    assert M4SERConfig(**changes).is_adversarial == (not changes)
    assert not EmotionConfig().is_adversarial


def test_only_one_label_a_recording():
    assert (
        M4SERConfig.preset("tiny", problem_type="single_label_classification").problem_type
        == "single_label_classification"
    )
    with pytest.raises(ValueError, match="problem_type is single_label_classification, or left out"):
        M4SERConfig.preset("tiny", problem_type="regression")
