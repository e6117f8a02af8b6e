"""M4SER: speech emotion recognition from speech and an imperfect ASR hypothesis.

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


def __getattr__(name: str) -> type[ValueError]:
    """Import DataError when it is named: it comes with the libraries of datasets, whose import takes a second."""
    if name == "DataError":
        from .data.schema import DataError

        return DataError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
