"""Registration of all systems with transformers, so that they load like any other model."""

from importlib import import_module
from typing import Any, ClassVar

from transformers import AutoConfig, AutoModel, AutoModelForAudioClassification, AutoProcessor, Pipeline
from transformers.pipelines import PIPELINE_REGISTRY

from .model import M4SERPipeline, M4SERProcessor
from .model.base_m4ser import EmotionModel
from .systems import SYSTEMS

TASK = "audio-classification"


class PipelineDispatcher:
    """Entry of a task that makes M4SER's pipeline for its models, and for all others what the former entry makes.

    transformers chooses a pipeline by its task alone, unless it is to run the code in the model's repository. Nothing
    is ever an instance of this class; it is subclassed together with the former entry ([`dispatcher`]), whose
    `_load_*` flags transformers looks up.
    """

    former: ClassVar[type[Pipeline]]

    def __new__(cls, model: Any, processor: Any = None, **kwargs: Any) -> Any:
        if not isinstance(model, EmotionModel):
            if cls.former._load_feature_extractor and kwargs.get("feature_extractor") is None:
                raise ValueError(
                    f"The model {model.name_or_path!r} has no feature extractor; save one beside it, or give "
                    "feature_extractor=."
                )
            if cls.former._load_processor is not False:
                kwargs["processor"] = processor
            return cls.former(model=model, **kwargs)
        if processor is None:
            raise ValueError(
                f"The model {model.name_or_path!r} has no processor; save one beside it, or give processor=."
            )
        return M4SERPipeline(model=model, processor=processor, **kwargs)


def dispatcher(former: type[Pipeline]) -> type[Pipeline]:
    """Return the entry that hands over to `former` for models that are not m4ser's."""
    # None: load it where there is one. M4SER needs a processor, and the others of this task a feature extractor.
    attributes = {
        "former": former,
        "_load_processor": former._load_processor or None,
        "_load_feature_extractor": None if former._load_feature_extractor else former._load_feature_extractor,
    }
    return type(former.__name__, (PipelineDispatcher, former), attributes)


def register() -> None:
    """Register every system with the auto classes and the task; more than once is the same as once."""
    for model in SYSTEMS.values():
        config = model.config_class
        AutoConfig.register(config.model_type, config, exist_ok=True)
        AutoModel.register(config, model, exist_ok=True)
        AutoModelForAudioClassification.register(config, model, exist_ok=True)
        AutoProcessor.register(config, M4SERProcessor, exist_ok=True)
    entry = PIPELINE_REGISTRY.supported_tasks[TASK]
    former = _resolve(entry["impl"])
    if issubclass(former, PipelineDispatcher):
        return
    models = tuple(dict.fromkeys((*entry["pt"], AutoModelForAudioClassification)))
    # A new entry: the former one may belong to a class that was registered with it.
    PIPELINE_REGISTRY.supported_tasks[TASK] = {**entry, "impl": dispatcher(former), "pt": models}


def _resolve(entry: type[Pipeline] | str) -> type[Pipeline]:
    """Return the class of an entry, which newer releases of transformers name by its path."""
    if not isinstance(entry, str):
        return entry
    module, name = entry.rsplit(".", 1)
    return getattr(import_module(module), name)
