"""M4SER made known to transformers, so that it loads like any other model."""

from transformers import (
    AudioClassificationPipeline,
    AutoConfig,
    AutoModel,
    AutoModelForAudioClassification,
    AutoProcessor,
)
from transformers.pipelines import PIPELINE_REGISTRY

from .model import M4SERPipeline, M4SERProcessor
from .model.base_m4ser import EmotionModel
from .systems import SYSTEMS

TASK = "audio-classification"


class AudioClassification(AudioClassificationPipeline):
    """What makes the pipeline of `pipeline("audio-classification")`: M4SER's own for its models, for others theirs.

    transformers chooses a pipeline by its task alone, unless it is to run the code in the model's repository. Nothing
    is ever an instance of this class.
    """

    _load_processor = None  # where there is one: M4SER needs it, and the others of this task do without

    def __new__(cls, model, processor=None, **kwargs):
        if not isinstance(model, EmotionModel):
            return AudioClassificationPipeline(model=model, **kwargs)
        if processor is None:
            raise ValueError(
                f"The model {model.name_or_path!r} has no processor; save one beside it, or give processor=."
            )
        return M4SERPipeline(model=model, processor=processor, **kwargs)


def register():
    """Register every system with the auto classes and the task; more than once is as good as once."""
    for model in SYSTEMS.values():
        config = model.config_class
        AutoConfig.register(config.model_type, config, exist_ok=True)
        AutoModel.register(config, model, exist_ok=True)
        AutoModelForAudioClassification.register(config, model, exist_ok=True)
        AutoProcessor.register(config, M4SERProcessor, exist_ok=True)
    PIPELINE_REGISTRY.supported_tasks[TASK]["impl"] = AudioClassification
