"""A saved folder carries its own code: it answers the same where m4ser is not installed."""

import numpy as np
import pytest
import soundfile
from transformers import (
    AudioClassificationPipeline,
    AutoModel,
    AutoModelForAudioClassification,
    AutoProcessor,
    HubertConfig,
    Wav2Vec2FeatureExtractor,
    pipeline,
)

from m4ser import M4SERModel, M4SERPipeline, M4SERProcessor
from tests.isolated_process import ask, logits_here, run_outside

TEXT = "ask not what your country can do for you"


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("recording") / "noise.wav"
    soundfile.write(path, 0.3 * np.random.default_rng(0).standard_normal(16000), 16000)
    return str(path)


@pytest.fixture(scope="module")
def asked(tiny_folder, recording, tmp_path_factory):
    """What the process without m4ser answered, and where it saved what it had loaded."""
    copy = tmp_path_factory.mktemp("copy")
    return ask(tiny_folder, recording, TEXT, copy, HF_HOME=str(tmp_path_factory.mktemp("home"))), copy


def test_m4ser_is_indeed_out_of_reach(tmp_path):
    code = """
try:
    import m4ser.model.modeling_m4ser
except ImportError:
    print("true")
"""
    assert run_outside(code, HF_HOME=str(tmp_path)) is True


def test_both_auto_classes_give_the_same_bits(tiny_folder, recording, asked):
    expected = logits_here(tiny_folder, recording, TEXT)
    assert asked[0]["logits"] == [expected, expected]
    assert asked[0]["module"].startswith("transformers_modules.")


def test_the_pipeline_gives_the_same_answer(tiny_folder, recording, asked):
    classify = M4SERPipeline.from_pretrained(tiny_folder)
    assert asked[0]["answer"] == classify({"path": recording, "text": TEXT}, return_transcript=True)


def test_what_was_loaded_there_saves_and_loads_again_there_and_here(tiny_folder, recording, asked, tmp_path):
    expected = logits_here(tiny_folder, recording, TEXT)
    again = ask(asked[1], recording, TEXT, tmp_path / "second", HF_HOME=str(tmp_path / "home"))
    assert again["logits"] == [expected, expected]
    assert again["answer"] == asked[0]["answer"]
    assert logits_here(asked[1], recording, TEXT) == expected


def test_where_m4ser_is_imported_nothing_needs_to_be_trusted(tiny_folder):
    assert type(AutoModel.from_pretrained(tiny_folder)) is M4SERModel
    assert type(AutoModelForAudioClassification.from_pretrained(tiny_folder)) is M4SERModel
    assert type(AutoProcessor.from_pretrained(tiny_folder)) is M4SERProcessor
    assert type(M4SERPipeline.from_pretrained(tiny_folder)) is M4SERPipeline


@pytest.mark.parametrize("trust", [{}, {"trust_remote_code": True}])
def test_the_task_needs_no_trust_either_and_gives_the_same_bits(tiny_folder, recording, asked, caplog, trust):
    classify = pipeline("audio-classification", model=tiny_folder, top_k=4, **trust)
    assert type(classify) is M4SERPipeline
    assert classify({"path": recording, "text": TEXT}, return_transcript=True) == asked[0]["answer"]
    assert "not supported" not in caplog.text


def test_the_task_takes_a_model_and_its_processor(tiny_folder, recording):
    model, processor = M4SERModel.from_pretrained(tiny_folder), M4SERProcessor.from_pretrained(tiny_folder)
    parts = {"processor": processor, "feature_extractor": processor.feature_extractor}
    assert type(pipeline("audio-classification", model=model, **parts)) is M4SERPipeline


def test_the_task_is_transformers_own_for_any_other_model(recording):
    config = HubertConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, num_labels=2
    )
    model = AutoModelForAudioClassification.from_config(config)
    classify = pipeline("audio-classification", model=model, feature_extractor=Wav2Vec2FeatureExtractor())
    assert type(classify) is AudioClassificationPipeline
    assert len(classify(np.zeros(16000, np.float32))) == 2
