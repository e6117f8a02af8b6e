"""AED and AEC targets on WordPieces (Sec. III-C and III-D): the edits of `align_texts`, as the model takes them."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import datasets
from datasets.fingerprint import Hasher
from transformers import PreTrainedTokenizerBase

from m4ser.data.alignment import CHANGE, DELETE, EditScript
from m4ser.data.text_alignment import TokenizedText, align_texts

IGNORED = -100  # PyTorch's cross-entropy leaves these out
MAX_LENGTH = 128
MAX_CORRECTION_LENGTH = 16
LABEL_FEATURES = {
    "aed_labels": datasets.List(datasets.Value("int64")),
    "correction_positions": datasets.List(datasets.Value("int64")),
    "correction_ids": datasets.List(datasets.List(datasets.Value("int64"))),
}


def aligned_labels(
    tokenizer: PreTrainedTokenizerBase,
    hypothesis: str | None,
    transcript: str | None,
    max_length: int = MAX_LENGTH,
    max_correction_length: int = MAX_CORRECTION_LENGTH,
    rewrite: bool = False,
) -> dict[str, list]:
    """Label the input tokens [CLS] w_1 ... w_n [SEP] of a hypothesis, of which at most `max_length` stay.

    What is the same in comparison form is KEEP, such as "I'll" and "i'll" (`m4ser.data.text_alignment`).

    Args:
        rewrite: labels for correction without detection (Table IV C(1)), which "correct[s] all errors in each
            utterance from scratch": [CLS] changes into the whole transcript, the other tokens go.

    Returns:
        A dict of lists. "aed_labels" has KEEP, DELETE or CHANGE for [CLS] and each w, and IGNORED for [SEP] and for
        every token where the hypothesis or the transcript is None. "correction_positions" has the index of each
        CHANGE among the input tokens. "correction_ids" has the token ids of each replacement and an EOS ([SEP]), cut
        after `max_correction_length`: one that is too long has no EOS, so that no model learns to end there.
    """
    text = TokenizedText.create(tokenizer, hypothesis or "")
    length = min(len(text.ids) + 2, max_length)
    if hypothesis is None or transcript is None:
        return {"aed_labels": [IGNORED] * length, "correction_positions": [], "correction_ids": []}
    reference = TokenizedText.create(tokenizer, transcript)
    script = _rewriting(text, reference) if rewrite else align_texts(text, reference)
    positions = sorted(index for index in script.corrections if index < length - 1)
    replacements = [[*script.corrections[index], tokenizer.sep_token_id] for index in positions]
    return {
        "aed_labels": [*script.tags[: length - 1], IGNORED],
        "correction_positions": positions,
        "correction_ids": [ids[:max_correction_length] for ids in replacements],
    }


def add_labels(
    dataset: datasets.Dataset | datasets.DatasetDict,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int = MAX_LENGTH,
    max_correction_length: int = MAX_CORRECTION_LENGTH,
    rewrite: bool = False,
) -> datasets.Dataset | datasets.DatasetDict:
    """Add (or replace) the columns of `aligned_labels`. Cached by the tokenizer's content and the arguments."""
    options = (max_length, max_correction_length, rewrite)
    if isinstance(dataset, datasets.DatasetDict):
        return datasets.DatasetDict({name: add_labels(split, tokenizer, *options) for name, split in dataset.items()})

    def label(hypotheses: Sequence[str | None], transcripts: Sequence[str | None]) -> dict[str, list]:
        rows = [
            aligned_labels(tokenizer, hypothesis, transcript, *options)
            for hypothesis, transcript in zip(hypotheses, transcripts, strict=True)
        ]
        return {column: [row[column] for row in rows] for column in LABEL_FEATURES}

    dataset = dataset.remove_columns([column for column in LABEL_FEATURES if column in dataset.column_names])
    texts = dataset.select_columns(["hypothesis", "transcript"])
    content = (texts._fingerprint, _content(tokenizer), *options)
    # On the texts alone, so that the recordings are neither read nor copied.
    labels = texts.map(
        label,
        batched=True,
        input_columns=texts.column_names,
        remove_columns=texts.column_names,
        features=datasets.Features(LABEL_FEATURES),
        new_fingerprint=Hasher.hash(content),
        desc="Aligning",
    )
    return datasets.concatenate_datasets([dataset, labels], axis=1)


@dataclass
class LabelStatistics:
    """Counts of what is to be detected and corrected in rows of label columns.

    tags: labeled tokens, [CLS] among them, by KEEP, DELETE and CHANGE.
    target_lengths: replacements by their length in tokens, EOS included, after the cut.
    truncated: replacements that were cut, hence without EOS.
    """

    tokenizer: PreTrainedTokenizerBase
    tags: Counter = field(default_factory=Counter)
    target_lengths: Counter = field(default_factory=Counter)
    truncated: int = 0

    def add(self, labels: Mapping[str, list]) -> None:
        """Count one row, as `aligned_labels` gives it."""
        self.tags.update(tag for tag in labels["aed_labels"] if tag != IGNORED)
        for ids in labels["correction_ids"]:
            self.target_lengths[len(ids)] += 1
            self.truncated += ids[-1] != self.tokenizer.sep_token_id

    def share(self, tag: int) -> float:
        """Return the share of KEEP, DELETE or CHANGE among the labeled tokens; 0 where there is none."""
        return self.tags[tag] / max(1, self.tags.total())

    def length_at(self, share: float) -> int:
        """Return the length that `share` of the replacements do not exceed, 0.5 the median; 0 where there is none."""
        lengths = sorted(self.target_lengths.elements())
        return lengths[math.ceil(share * len(lengths)) - 1] if lengths else 0


def _rewriting(hypothesis: TokenizedText, reference: TokenizedText) -> EditScript:
    tags = (CHANGE, *[DELETE] * len(hypothesis.ids))
    return EditScript(tags, {0: reference.spoken(0, len(reference.ids))}, kept=0)


def _content(tokenizer: PreTrainedTokenizerBase) -> dict:
    """Return what decides on the token ids; padding and truncation change with every call and don't."""
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    return content | {"truncation": None, "padding": None, "end": tokenizer.sep_token_id}
