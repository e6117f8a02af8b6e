"""A pipeline and an ASR model that several modules share."""

import pytest

from m4ser import M4SERPipeline
from tests.tiny_whisper import save_tiny_whisper


@pytest.fixture(scope="session")
def classify(tiny_folder):
    return M4SERPipeline.from_pretrained(tiny_folder)


@pytest.fixture(scope="session")
def whisper(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whisper")
    save_tiny_whisper(folder)
    return str(folder)
