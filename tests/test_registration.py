"""The task's entry: M4SER's pipeline for its models, and whatever was registered before for all others."""

import numpy as np
import pytest
from transformers import (
    AudioClassificationPipeline,
    AutoModelForAudioClassification,
    HubertConfig,
    HubertForSequenceClassification,
    Wav2Vec2FeatureExtractor,
    pipeline,
)
from transformers.pipelines import PIPELINE_REGISTRY

from m4ser import M4SERPipeline
from m4ser.registration import TASK, register


class ForeignPipeline(AudioClassificationPipeline):
    """As another library would register it."""


class AutoForeignModel:
    """An auto class that knows no M4SER."""

    @classmethod
    def from_pretrained(cls, *args, **kwargs):
        raise ValueError("not a foreign model")


@pytest.fixture(scope="module")
def foreign_model():
    config = HubertConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, num_labels=2
    )
    return HubertForSequenceClassification(config)


@pytest.fixture
def entry(monkeypatch):
    """entry(): the class of the task now; the registry is restored afterwards."""
    monkeypatch.setattr(PIPELINE_REGISTRY, "supported_tasks", dict(PIPELINE_REGISTRY.supported_tasks))
    return lambda: PIPELINE_REGISTRY.supported_tasks[TASK]["impl"]


def classifier(model):
    return pipeline(TASK, model=model, feature_extractor=Wav2Vec2FeatureExtractor())


def test_foreign_entry_serves_foreign_models(entry, tiny_folder, foreign_model):
    PIPELINE_REGISTRY.register_pipeline(TASK, ForeignPipeline, pt_model=AutoForeignModel, type="audio")
    register()
    classify = classifier(foreign_model)
    assert type(classify) is ForeignPipeline
    assert len(classify(np.zeros(16000, np.float32))) == 2
    assert type(pipeline(TASK, model=tiny_folder)) is M4SERPipeline
    # The foreign class's own record, by which it saves itself, is untouched.
    assert ForeignPipeline._registered_impl[TASK]["impl"] is ForeignPipeline


def test_registering_twice_wraps_once(entry, foreign_model):
    once = entry()
    register()
    assert entry() is once and once.former is AudioClassificationPipeline
    assert type(classifier(foreign_model)) is AudioClassificationPipeline


def test_former_entry_by_path(entry, foreign_model):
    path = "transformers.pipelines.audio_classification.AudioClassificationPipeline"
    models = (AutoModelForAudioClassification,)
    PIPELINE_REGISTRY.supported_tasks[TASK] = {"impl": path, "pt": models, "default": {}, "type": "audio"}
    register()
    assert entry().former is AudioClassificationPipeline
    assert PIPELINE_REGISTRY.supported_tasks[TASK]["pt"] == models


def test_former_entry_gets_the_processor_it_loads(entry, foreign_model):
    class ProcessorPipeline(ForeignPipeline):
        _load_processor = None

    processor = object()
    for former, expected in ((ForeignPipeline, None), (ProcessorPipeline, processor)):
        PIPELINE_REGISTRY.supported_tasks[TASK] = {"impl": former, "pt": (), "default": {}, "type": "audio"}
        register()
        classify = entry()(
            model=foreign_model, processor=processor, feature_extractor=Wav2Vec2FeatureExtractor(), task=TASK
        )
        assert type(classify) is former and classify.processor is expected


def test_foreign_models_need_their_feature_extractor(entry, foreign_model):
    with pytest.raises(ValueError, match=r"has no feature extractor; save one beside it, or give feature_extractor="):
        pipeline(TASK, model=foreign_model)
