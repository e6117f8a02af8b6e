"""The columns of every m4ser dataset, one row of it, and the error for data that cannot be used."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import datasets

from m4ser.model.confidence_m4ser import check_word_confidences

SAMPLING_RATE = 16_000
OWN_TEXT = "own"  # instead of a column with texts: what the network itself transcribes
SPLITS = ("train", "validation", "test")
ROWS_PER_BATCH = 64  # as a dataset is written and copied: a corpus may be larger than the memory

_TEXT = datasets.Value("string")
_FEATURES = {
    "id": _TEXT,
    "audio": datasets.Audio(sampling_rate=SAMPLING_RATE, decode=False),
    "transcript": _TEXT,
    "hypothesis": _TEXT,
    "asr_model_id": _TEXT,
    "word_confidences": datasets.List(datasets.Value("float32")),
    "emotion": None,  # a ClassLabel with the corpus's own names
    "speaker": _TEXT,
    "session": _TEXT,
    "dialogue": _TEXT,
    "split": _TEXT,
    "duration": datasets.Value("float32"),
}
COLUMNS = tuple(_FEATURES)
NO_COLUMNS: Mapping = MappingProxyType({})


class DataError(ValueError):
    """Data that cannot be used; the message says which and what to do."""


@dataclass(frozen=True)
class Utterance:
    """One row. `audio` holds the bytes of an audio file named `path`; `duration` is in seconds.

    `transcript` is a human's, `hypothesis` that of the ASR model `asr_model_id`, and `word_confidences`, from 0 to 1,
    how sure that is of each word, as whitespace separates them; None means that there is none. A row of text alone has
    neither `audio` nor `path`, and may last 0 s. `extra` holds the columns that only its corpus has.
    """

    id: str
    audio: bytes | None
    path: str | None
    emotion: str
    duration: float
    split: str = "train"
    transcript: str | None = None
    hypothesis: str | None = None
    asr_model_id: str | None = None
    word_confidences: Sequence[float] | None = None
    speaker: str | None = None
    session: str | None = None
    dialogue: str | None = None
    extra: Mapping[str, object] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        text_alone = self.audio is None and self.path is None
        for name in ("id", "emotion") if text_alone else ("id", "audio", "path", "emotion"):
            if not getattr(self, name):
                raise DataError(f"Utterance {self.id!r} has an empty {name}.")
        if not (math.isfinite(self.duration) and (self.duration > 0 or (text_alone and self.duration == 0))):
            raise DataError(f"Utterance {self.id!r} lasts {self.duration} s; it must be longer than 0 s.")
        if self.split not in SPLITS:
            raise DataError(f"Utterance {self.id!r} is in split {self.split!r}; choose from {', '.join(SPLITS)}.")
        try:
            check_word_confidences(self.hypothesis, self.word_confidences)
        except ValueError as error:
            raise DataError(f"Utterance {self.id!r}: {error}.") from error


def features(labels: Sequence[str], extra: Mapping = NO_COLUMNS) -> datasets.Features:
    """Return the type of each column. Audio is never decoded, nor encoded, by `datasets`: both need torchcodec."""
    return datasets.Features({**_FEATURES, "emotion": datasets.ClassLabel(names=list(labels)), **extra})
