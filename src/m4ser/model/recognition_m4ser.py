"""Characters of transcripts, as a CTC head on the speech encoder predicts them."""

from collections.abc import Sequence

import torch

ENGLISH_CHARACTERS = " 'abcdefghijklmnopqrstuvwxyz"
IGNORED = -100  # labels that no loss counts


def character_labels(
    transcripts: Sequence[str | None], characters: str, device: torch.device | None = None
) -> torch.Tensor:
    """Return the labels (B, c) of transcripts: 1 + the index of each character, -100 after the end; 0 is the blank.

    Letters count in lower case, any whitespace as one space; other characters are left out. None has no labels.
    """
    known = {character: 1 + index for index, character in enumerate(characters)}
    texts = [" ".join((text or "").lower().split()) for text in transcripts]
    rows = [[known[character] for character in text if character in known] for text in texts]
    labels = torch.full((len(rows), max([1, *map(len, rows)])), IGNORED, device=device)
    for row, indices in zip(labels, rows, strict=True):
        row[: len(indices)] = torch.tensor(indices, device=device)
    return labels
