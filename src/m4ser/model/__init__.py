"""The modules that travel to the Hub with the weights: flat siblings on torch, transformers and numpy only."""

from .audio_m4ser import AudioError
from .configuration_m4ser import M4SERConfig
from .modeling_m4ser import M4SERModel, M4SEROutput
from .pipeline_m4ser import M4SERPipeline
from .processing_m4ser import M4SERProcessor

__all__ = [
    "AudioError",
    "M4SERConfig",
    "M4SERModel",
    "M4SEROutput",
    "M4SERPipeline",
    "M4SERProcessor",
]
