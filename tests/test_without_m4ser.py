"""A saved folder carries its own code: it predicts the same where m4ser is not installed."""

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
from m4ser.model.configuration_m4ser import AUXILIARY_TASKS
from tests.isolated_process import logits_here, predict_isolated, run_isolated
from tests.saved_models import save_tiny_model

TEXT = "ask not what your country can do for you"


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("recording") / "noise.wav"
    soundfile.write(path, 0.3 * np.random.default_rng(0).standard_normal(16000), 16000)
    return str(path)


@pytest.fixture(scope="module")
def isolated(tiny_folder, recording, tmp_path_factory):
    """The output of the process without m4ser, and where it saved what it had loaded."""
    copy = tmp_path_factory.mktemp("copy")
    return predict_isolated(tiny_folder, recording, TEXT, copy, HF_HOME=str(tmp_path_factory.mktemp("home"))), copy


def test_m4ser_cannot_be_imported(tmp_path):
    code = """
try:
    import m4ser.model.modeling_m4ser
except ImportError:
    print("true")
"""
    assert run_isolated(code, HF_HOME=str(tmp_path)) is True


def test_auto_classes_give_same_bits(tiny_folder, recording, isolated):
    expected = logits_here(tiny_folder, recording, TEXT)
    assert isolated[0]["logits"] == [expected, expected]
    assert isolated[0]["module"].startswith("transformers_modules.")


def test_pipeline_gives_same_prediction(tiny_folder, recording, isolated):
    classify = M4SERPipeline.from_pretrained(tiny_folder)
    assert isolated[0]["prediction"] == classify({"path": recording, "text": TEXT}, return_transcript=True)


def test_saved_copy_loads_there_and_here(tiny_folder, recording, isolated, tmp_path):
    expected = logits_here(tiny_folder, recording, TEXT)
    again = predict_isolated(isolated[1], recording, TEXT, tmp_path / "second", HF_HOME=str(tmp_path / "home"))
    assert again["logits"] == [expected, expected]
    assert again["prediction"] == isolated[0]["prediction"]
    assert logits_here(isolated[1], recording, TEXT) == expected


def test_network_transcribes_itself_there(recording, tmp_path):
    save_tiny_model(tmp_path, auxiliary_tasks=AUXILIARY_TASKS)
    code = """
from transformers import pipeline

classify = pipeline("audio-classification", model=sys.argv[1], trust_remote_code=True)
print(json.dumps(classify(sys.argv[2], return_transcript=True)))
"""
    found = run_isolated(code, tmp_path, recording, HF_HOME=str(tmp_path / "home"))
    assert found == M4SERPipeline.from_pretrained(tmp_path)(recording, return_transcript=True)
    assert found["transcript"] and [word["text"] for word in found["words"]] == found["transcript"].split()


def test_importing_m4ser_needs_no_trust(tiny_folder):
    assert type(AutoModel.from_pretrained(tiny_folder)) is M4SERModel
    assert type(AutoModelForAudioClassification.from_pretrained(tiny_folder)) is M4SERModel
    assert type(AutoProcessor.from_pretrained(tiny_folder)) is M4SERProcessor
    assert type(M4SERPipeline.from_pretrained(tiny_folder)) is M4SERPipeline


@pytest.mark.parametrize("trust", [{}, {"trust_remote_code": True}])
def test_task_needs_no_trust(tiny_folder, recording, isolated, caplog, trust):
    classify = pipeline("audio-classification", model=tiny_folder, top_k=4, **trust)
    assert type(classify) is M4SERPipeline
    assert classify({"path": recording, "text": TEXT}, return_transcript=True) == isolated[0]["prediction"]
    assert "not supported" not in caplog.text


def test_task_takes_model_and_processor(tiny_folder, recording):
    model, processor = M4SERModel.from_pretrained(tiny_folder), M4SERProcessor.from_pretrained(tiny_folder)
    for more in ({}, {"feature_extractor": processor.feature_extractor}):
        classify = pipeline("audio-classification", model=model, processor=processor, **more)
        assert type(classify) is M4SERPipeline and len(classify({"path": recording, "text": TEXT})) == 4


def test_task_is_transformers_own_for_other_models(recording):
    config = HubertConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, num_labels=2
    )
    model = AutoModelForAudioClassification.from_config(config)
    classify = pipeline("audio-classification", model=model, feature_extractor=Wav2Vec2FeatureExtractor())
    assert type(classify) is AudioClassificationPipeline
    assert len(classify(np.zeros(16000, np.float32))) == 2
