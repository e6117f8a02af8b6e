"""M4SER: emotion from the voice and from what an imperfect recognizer heard.

Importing m4ser registers it with AutoConfig, AutoModel, AutoModelForAudioClassification, AutoProcessor and
`pipeline("audio-classification")`.
"""

from .model import AudioError, M4SERConfig, M4SERModel, M4SEROutput, M4SERPipeline, M4SERProcessor
from .registration import register

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

register()


def __getattr__(name):
    """DataError comes with the datasets' libraries, whose import takes a second: only whoever names it waits."""
    if name == "DataError":
        from .data.schema import DataError

        return DataError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
