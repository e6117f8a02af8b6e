"""Hypotheses files: which hypothesis is whose, by which ASR model, and how sure that is of its words."""

import os
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from m4ser.data.builders.builder_cli import json_object, numbered_lines
from m4ser.data.schema import DataError
from m4ser.model.confidence_m4ser import check_word_confidences


@dataclass
class Hypotheses:
    """A file's hypotheses and what it says of them, by ids; keeps account of the recordings that they are given to."""

    path: Path | None = None
    texts: dict[str, str] = field(default_factory=dict)
    asr_models: dict[str, str | None] = field(default_factory=dict)
    word_confidences: dict[str, list[float] | None] = field(default_factory=dict)
    _ids_by_name: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    _owners: dict[str, str] = field(default_factory=dict)  # by a hypothesis's id, the recording's
    _unmatched: str | None = None

    def add(self, id: str, text: str, asr_model: str | None, word_confidences: list[float] | None) -> None:
        """Add a hypothesis, or replace that of the same id."""
        if id not in self.texts:
            self._ids_by_name[_components(id)[-1]].append(id)
        self.texts[id], self.asr_models[id], self.word_confidences[id] = text, asr_model, word_confidences

    def columns(self, *names: str) -> dict[str, Any]:
        """Return what a recording's row has of its hypothesis; an empty dict where the file has none.

        Args:
            names: what the recording may be called: its id, then its path without extension, if that is another.

        A name and an id are the same, or the end of the other in whole folders: "Angry/03a01Wa" is "03a01Wa" too. The
        longest end counts.

        Returns:
            `hypothesis`, `asr_model_id` and `word_confidences`; the last two may be None.

        Raises:
            DataError: two hypotheses fit the recording equally, or it is the second that one fits.
        """
        id = next((name for name in names if name in self.texts), None) or self._find_by_end(*names)
        if id is None:
            self._unmatched = self._unmatched or names[0]
            return {}
        if self._owners.setdefault(id, names[0]) != names[0]:
            raise DataError(
                f"{self.path}: the hypothesis {id!r} fits both {self._owners[id]!r} and {names[0]!r}; give it the id "
                "of one of them."
            )
        return {
            "hypothesis": self.texts[id],
            "asr_model_id": self.asr_models[id],
            "word_confidences": self.word_confidences[id],
        }

    def check(self) -> None:
        """Refuse a file that matched no recording, and print how many of its hypotheses did where not all did.

        Raises:
            DataError: naming an id of either side.
        """
        if self.path is None:
            return
        unused = [id for id in self.texts if id not in self._owners]
        if not self._owners:
            example = f", such as that of {unused[0]!r}," if unused else ""
            unmatched = f" such as {self._unmatched!r}" if self._unmatched else ""
            raise DataError(
                f"{self.path}: none of its {len(self.texts)} hypotheses{example} belongs to a recording of this "
                f"dataset{unmatched}; the ids have to be the same, or to end in the same folders and name."
            )
        if unused:
            print(
                f"{len(self._owners)} of {len(self.texts)} hypotheses in {self.path} belong to a recording of this "
                f"dataset; {unused[0]!r}, for one, does not.",
                file=sys.stderr,
            )

    def _find_by_end(self, *names: str) -> str | None:
        """Return the id that shares the most folders with one of the names, if any shares an end."""
        shared = {
            id: max(_shared_end(_components(id), _components(name)) for name in names)
            for name in names
            for id in self._ids_by_name.get(_components(name)[-1], ())
        }
        longest = max(shared.values(), default=0)
        found = [id for id, length in shared.items() if length == longest > 0]
        if len(found) > 1:
            raise DataError(
                f"{self.path}: {found[0]!r} and {found[1]!r} both fit the recording {names[0]!r}; give one of them "
                "its id."
            )
        return found[0] if found else None


def read_hypotheses(path: Path | None) -> Hypotheses:
    """Read a hypotheses file; a `file` stands for itself without its extension, and None for a file without lines.

    Raises:
        DataError: no such file, or a line that is not an object with `id` or `file` and a `hypothesis` string, and
            where it has an `asr_model_id`, a string too, and where it has `word_confidences`, a number from 0 to 1 for
            each word.
    """
    hypotheses = Hypotheses(path)
    for number, line in numbered_lines(path) if path else ():
        try:
            row = json_object(line)
        except DataError as error:
            raise DataError(f"{path}, line {number}: {error}") from error
        key, hypothesis = row.get("id") or row.get("file"), row.get("hypothesis")
        if not (key and isinstance(key, str) and isinstance(hypothesis, str)):
            raise DataError(f"{path}, line {number}: needs an id (or file) and a hypothesis, both strings")
        asr_model = row.get("asr_model_id")
        if not isinstance(asr_model, str | None):
            raise DataError(f"{path}, line {number}: its asr_model_id is no string")
        word_confidences = row.get("word_confidences")
        try:
            check_word_confidences(hypothesis, word_confidences)
        except ValueError as error:
            raise DataError(f"{path}, line {number}: {error}") from error
        id = key if row.get("id") else os.path.splitext(key)[0]
        hypotheses.add(id, hypothesis, asr_model, word_confidences)
    return hypotheses


def _components(name: str) -> list[str]:
    return name.replace("\\", "/").split("/")


def _shared_end(one: list[str], other: list[str]) -> int:
    """Return the length of the shorter path where it is the end of the other, else 0."""
    length = min(len(one), len(other))
    return length if one[-length:] == other[-length:] else 0
