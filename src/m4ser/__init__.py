"""M4SER: emotion from the voice and from what an imperfect recogniser heard.

Importing m4ser registers it with AutoConfig, AutoModel, AutoModelForAudioClassification and AutoProcessor.
"""

from transformers import AutoConfig, AutoModel, AutoModelForAudioClassification, AutoProcessor

from .model import AudioError, M4SERConfig, M4SERModel, M4SEROutput, M4SERPipeline, M4SERProcessor

__version__ = "0.1.0"
__all__ = [
    "AudioError",
    "DataError",
    "M4SERConfig",
    "M4SERModel",
    "M4SEROutput",
    "M4SERPipeline",
    "M4SERProcessor",
]

AutoConfig.register("m4ser", M4SERConfig, exist_ok=True)
AutoModel.register(M4SERConfig, M4SERModel, exist_ok=True)
AutoModelForAudioClassification.register(M4SERConfig, M4SERModel, exist_ok=True)
AutoProcessor.register(M4SERConfig, M4SERProcessor, exist_ok=True)


def __getattr__(name):
    """DataError comes with the data sets' libraries, whose import takes a second: only whoever names it waits."""
    if name == "DataError":
        from .data.schema import DataError

        return DataError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
