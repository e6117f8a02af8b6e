"""Recognition of what is said, by a CTC head (Graves et al. 2006) on the speech encoder, in the same pass."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerBase

IGNORED = -100  # labels that no loss counts
# Unicode's categories of letters, the marks on them, and numbers.
SPOKEN = "LMN"
PAUSE = 0.5  # seconds without a word that end a segment of speech
APOSTROPHES = "'\u2019\u02bc"


@dataclass
class Word:
    """A word and its times in seconds."""

    text: str
    start: float
    end: float


@dataclass
class Transcription:
    """The text of a recording, and its words in their order."""

    text: str
    words: list[Word]


class RecognitionHead(nn.Module):
    """Frames of the speech encoder to the characters of a vocabulary.

    Args:
        width: of a frame. vocabulary: what each id stands for, in lower case; nothing ("") for the blank, which is
            the first, and for tokens that are not spoken.
    """

    def __init__(self, width: int, vocabulary: Sequence[str], dropout: float = 0.0):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.lm_head = nn.Linear(width, len(vocabulary))

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Return logits (B, m, characters) of frames (B, m, width)."""
        return self.lm_head(self.dropout(frames))


def vocabulary_of(transcripts: Iterable[str | None]) -> list[str]:
    """Return the blank and the characters of transcripts: letters and digits of any script, apostrophe and space."""
    characters = {character for text in transcripts for character in spoken(text or "")}
    return ["", *sorted(characters | {" "})]


def spoken(text: str) -> str:
    """Return a text in lower case without punctuation; whitespace becomes one space."""
    text = "".join("'" if character in APOSTROPHES else character for character in text.lower())
    kept = (char if char == "'" or unicodedata.category(char)[0] in SPOKEN else " " for char in text)
    return " ".join("".join(kept).split())


def character_labels(
    transcripts: Sequence[str | None], vocabulary: Sequence[str], device: torch.device | None = None
) -> torch.Tensor:
    """Return the labels (B, c) of transcripts: their characters' ids in the vocabulary, -100 after the end.

    Characters that the vocabulary lacks are left out; None has no labels.
    """
    ids = {character: index for index, character in enumerate(vocabulary) if character}
    rows = [[ids[character] for character in spoken(text or "") if character in ids] for text in transcripts]
    labels = torch.full((len(rows), max([1, *map(len, rows)])), IGNORED, device=device)
    for row, indices in zip(labels, rows, strict=True):
        row[: len(indices)] = torch.tensor(indices, device=device)
    return labels


def decode(
    logits: torch.Tensor, frame_mask: torch.Tensor, vocabulary: Sequence[str], frame_seconds: float
) -> list[Transcription]:
    """Decode greedily: the best character of each frame, repetitions joined, blanks left out.

    Args:
        logits: (B, m, characters). frame_mask: (B, m), True where valid. frame_seconds: from a frame to the next.
    """
    best = logits.argmax(-1)
    rows = zip(best.tolist(), frame_mask.sum(-1).tolist(), strict=True)
    return [_transcription(ids[:count], vocabulary, frame_seconds) for ids, count in rows]


def _transcription(ids: Sequence[int], vocabulary: Sequence[str], frame_seconds: float) -> Transcription:
    words: list[Word] = []
    is_open = False
    position = 0
    for token, run in groupby(ids):
        start, position = position, position + len(list(run))
        character = vocabulary[token]
        if character.isspace():
            is_open = False
        elif character and is_open:
            words[-1].text += character
            words[-1].end = position * frame_seconds
        elif character:
            words.append(Word(character, start * frame_seconds, position * frame_seconds))
            is_open = True
    return Transcription(" ".join(word.text for word in words), words)


@torch.no_grad()
def with_own_texts(
    model: Any, tokenizer: PreTrainedTokenizerBase, inputs: Mapping[str, torch.Tensor], texts: Sequence[str | None]
) -> tuple[dict[str, torch.Tensor], list[Transcription]]:
    """Transcribe the recordings that have no text; the speech encoder runs once for that and for the forward.

    Args:
        model: that can transcribe. inputs: of the processor, whose tokens do not count.
        texts: of the recordings; None of those to transcribe.

    Returns:
        The inputs of `forward`, frames instead of waveforms, and the transcriptions, without words where a text was
        given.
    """
    frames, mask = model.encode_frames(inputs["input_values"], inputs["attention_mask"])
    own = model.transcribe(speech_hidden_states=frames, attention_mask=mask)
    found = [one if text is None else Transcription(text, []) for one, text in zip(own, texts, strict=True)]
    return frame_inputs(tokenizer, frames, mask, [one.text for one in found]), found


def frame_inputs(
    tokenizer: PreTrainedTokenizerBase, frames: torch.Tensor, mask: torch.Tensor, texts: Sequence[str]
) -> dict[str, torch.Tensor]:
    """Return the inputs of `forward` for frames (B, m, d_S), their mask (B, m), and texts."""
    encoded = tokenizer(
        list(texts), padding=True, truncation=True, return_token_type_ids=False, return_tensors="pt"
    ).to(frames.device)
    tokens = {"input_ids": encoded["input_ids"], "text_attention_mask": encoded["attention_mask"]}
    return {"speech_hidden_states": frames, "attention_mask": mask.long(), **tokens}


def split_at_pauses(words: Sequence[Word]) -> list[list[Word]]:
    """Return the words in segments, a new one after each pause of `PAUSE` seconds."""
    segments: list[list[Word]] = []
    for word in words:
        if segments and word.start - segments[-1][-1].end < PAUSE:
            segments[-1].append(word)
        else:
            segments.append([word])
    return segments


def has_recognition_head(encoder_id: str) -> bool:
    """Tell whether a checkpoint of a speech encoder holds a CTC head, as `HubertForCTC` has."""
    config = AutoConfig.from_pretrained(encoder_id, trust_remote_code=False)
    return any(name.endswith("ForCTC") for name in config.architectures or ())


def checkpoint_vocabulary(encoder_id: str) -> tuple[list[str], int]:
    """Return what each id of a CTC checkpoint's vocabulary stands for, and which one is the blank.

    Raises:
        ValueError: the checkpoint has no tokenizer of characters.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(encoder_id, trust_remote_code=False)
        ids, delimiter = tokenizer.get_vocab(), tokenizer.word_delimiter_token
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise ValueError(
            f"{encoder_id} has a CTC head and no vocabulary for it; give recognition_vocabulary in the config for a "
            "new head."
        ) from error
    special = set(tokenizer.all_special_tokens) - {delimiter}
    vocabulary = [""] * (max(ids.values()) + 1)
    for token, index in ids.items():
        vocabulary[index] = " " if token == delimiter else "" if token in special else token.lower()
    return vocabulary, tokenizer.pad_token_id


def blank_first(items: Any, blank: int) -> Any:
    """Return a vocabulary, or the rows of a weight for it, with the blank exchanged for what is first."""
    order = list(range(len(items)))
    order[0], order[blank] = order[blank], order[0]
    return [items[index] for index in order] if isinstance(items, list) else items[order]
