"""Files are written completely or not at all, and digests depend on content and names."""

import hashlib
import os

import pytest
import torch
from safetensors.torch import save_file

from m4ser.files import file_digest, folder_digest, weights_written_to, write_whole


def test_text_replaces_file(tmp_path):
    path = tmp_path / "a.txt"
    write_whole(path, "first\r\n")
    write_whole(path, "é\n")
    assert path.read_bytes() == "é\n".encode()
    assert os.listdir(tmp_path) == ["a.txt"]


def test_failed_write_keeps_former_file(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    write_whole(path, "former")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_whole(path, "new")
    assert path.read_text() == "former"


def test_file_digest_is_sha256(tmp_path):
    content = os.urandom((1 << 20) + 7)  # more than one read
    (tmp_path / "a").write_bytes(content)
    assert file_digest(tmp_path / "a") == hashlib.sha256(content).hexdigest()


def test_folder_digest_depends_on_names_and_content(tmp_path):
    def digest(files):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        (folder / "below").mkdir(parents=True)  # left out
        for name, content in files.items():
            (folder / name).write_text(content)
        return folder_digest(folder)

    first = digest({"a": "1", "b": "2"})
    assert first == digest({"b": "2", "a": "1"})
    assert len({first, digest({"a": "2", "b": "1"}), digest({"a": "1", "c": "2"}), digest({"a": "1"})}) == 4


def test_refusal_to_write_weights_is_the_systems(tmp_path):
    with pytest.raises(OSError, match=r"run could not be written: .*No such file"), weights_written_to("run"):
        save_file({"a": torch.zeros(2)}, tmp_path / "nowhere" / "a.safetensors")
