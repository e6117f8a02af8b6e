"""Paths of this machine and access tokens are taken out of what goes to the Hub."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

# Where it begins in a text, a path that means nothing elsewhere: absolute, out of the working folder, or file://.
IN_PATH = r"""[^\s"'`,;)\]}>]"""
LOCAL_PATH = re.compile(rf"""(?:^|(?<=[\s=,:;"'`(\[{{]))(?:file:/+|(?:\.\.|~\w*)?/(?!/)|[A-Za-z]:\\){IN_PATH}+""")
# Access tokens of the Hub.
TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{8,}")


def is_local_path(text: str) -> bool:
    """Tell whether a text begins with a path that means nothing elsewhere."""
    return LOCAL_PATH.match(text) is not None


def without_private(settings: Any) -> Any:
    """Return settings as JSON holds them, with the last name of each path that means nothing elsewhere, and no token.

    Those are absolute paths, those that lead out of the working folder, such as "../data", and addresses of files, as
    whole texts, which may have spaces in them, and within texts, such as a command line.
    """
    whole = {text for text in _texts(settings) if is_local_path(text) and _last_name(text)}
    return _neutral(settings, sorted(whole, key=len, reverse=True))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            if name != "command":  # a command line is no path, though it may begin like one
                yield from _texts(item)


def _neutral(value: Any, paths: Sequence[str]) -> Any:
    if isinstance(value, dict):
        return {_neutral(name, paths): _neutral(item, paths) for name, item in value.items()}
    if isinstance(value, list):
        return [_neutral(item, paths) for item in value]
    if not isinstance(value, str):
        return value
    for path in paths:  # and what lies below it
        value = re.sub(rf"{re.escape(path)}(?:/{IN_PATH}*)?(?!{IN_PATH})", lambda found: _last_name(found[0]), value)
    return TOKEN.sub("<token>", LOCAL_PATH.sub(lambda found: _last_name(found[0]), value))


def _last_name(path: str) -> str:
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1]
