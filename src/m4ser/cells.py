"""Strangers' texts in the cells of tables: no formula in a spreadsheet, no markup in Markdown."""

import html
import re
from typing import Any

# What makes a spreadsheet compute a cell: https://owasp.org/www-community/attacks/CSV_Injection
FORMULA = re.compile(r"[=+\-@\t\r\n]")
MARKUP = re.compile(r"([\\`|\[\]])")


def csv_cell(value: Any) -> Any:
    """Return what a CSV file holds of a value: of a text that a spreadsheet would compute, "'" and the text.

    A text that begins with "'" gets another one, so that [`read_csv_cell`] gives every text back.
    """
    if isinstance(value, str) and (FORMULA.match(value) or value.startswith("'")):
        return f"'{value}"
    return value


def read_csv_cell(cell: str) -> str:
    """Return the text of which [`csv_cell`] made a cell."""
    return cell.removeprefix("'")


def markdown_cell(text: str) -> str:
    """Return a text for a line or cell of Markdown, as which it reads: no markup, HTML, line or control character."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return MARKUP.sub(r"\\\1", html.escape(" ".join(printable.split()), quote=False))
