"""transformers' common tests run by `make test-native`; other runs do not import them."""

import re
import sys
from pathlib import Path

import pytest

from tests.native.source_release import FOLDER, PACKAGE, import_tests


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers that transformers' tests bear; its own configuration is not in the release."""
    for path in FOLDER.glob("test_*_common.py"):
        for name in set(re.findall(r"@(?:pytest\.)?mark\.(\w+)", path.read_text(encoding="utf-8"))):
            config.addinivalue_line("markers", f"{name}: transformers' own")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the folder out unless it is selected by its marker."""
    if config.getoption("markexpr") != "native":
        return True
    if PACKAGE not in sys.modules:
        import_tests()
    return None
