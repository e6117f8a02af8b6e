"""Texts of others in tables: no formula in a spreadsheet, no markup in Markdown."""

import re
from typing import Any

# How a text begins that a spreadsheet computes: https://owasp.org/www-community/attacks/CSV_Injection
FORMULA = re.compile(r"[=+\-@\t\r\n]")
MARKUP = re.compile(r"([\\`|\[\]])")


def escape_csv(value: Any) -> Any:
    """Return a value for a CSV file: a text that a spreadsheet would compute gets a "'" before it.

    So does a text that begins with "'", so that [`unescape_csv`] returns every text.
    """
    if isinstance(value, str) and (FORMULA.match(value) or value.startswith("'")):
        return f"'{value}"
    return value


def unescape_csv(text: str) -> str:
    """Return the text that [`escape_csv`] escaped."""
    return text.removeprefix("'")


def escape_markdown(text: str) -> str:
    """Return a text on one line of Markdown, or of a table in it, without markup, HTML and control characters."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return MARKUP.sub(r"\\\1", " ".join(printable.split()).replace("<", "&lt;"))
