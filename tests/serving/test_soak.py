"""A server that gets good and bad uploads for long: its memory stays, its scores are right, its folders empty."""

import io
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import openai
import psutil
import pytest
import soundfile

from m4ser import M4SERPipeline
from tests.assertions import noise, scores, wav

pytestmark = pytest.mark.soak
UPLOADS, AT_ONCE = 200, 8
MEBIBYTES = 64  # of growth from the first half of the uploads to the second


def silence(seconds):
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros(16000 * seconds, np.int16), 16000, format="FLAC")
    return buffer.getvalue()


BAD = {
    b"": "file is empty",
    b"<html>Not found</html>": "not an audio file",
    wav(np.full(1000, np.nan), subtype="FLOAT"): "NaN",
    wav(np.zeros(1000), rate=1): "not a sampling rate",
    silence(3600): "longer than 120 s",
    bytes(2**21): "larger than 1 MB",
}


@pytest.fixture
def server(tiny_folder, tmp_path):
    """(process, address) of a server whose temporary files go to tmp_path/temporary."""
    (tmp_path / "temporary").mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "m4ser_cli", "serve", "--model", str(tiny_folder), "--port", port]
    environment = os.environ | {
        "TMPDIR": str(tmp_path / "temporary"),
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
    }
    process = subprocess.Popen([*command, "--max_megabytes", "1"], env=environment)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", int(port))) == 0:
                break
        time.sleep(0.1)
    yield psutil.Process(process.pid), f"http://127.0.0.1:{port}"
    process.terminate()
    assert process.wait(60) == 0


def test_mixed_uploads(server, tiny_folder, tmp_path):
    process, address = server
    client = openai.OpenAI(base_url=address, api_key="none", max_retries=0)
    good = [wav(noise(8000 + 1600 * seed, seed)) for seed in range(10)]
    classify = M4SERPipeline.from_pretrained(tiny_folder)
    expected = [scores(classify({"bytes": data, "text": "so heart"})) for data in good]
    bad = list(BAD.items())

    def send(index):
        data, sentence = (good[index // 2 % len(good)], None) if index % 2 else bad[index // 2 % len(bad)]
        try:
            headers = {"Content-Type": "multipart/form-data"}
            response = client.post(
                "/predict",
                cast_to=object,
                body={"text": "so heart"},
                files={"file": ("a.wav", data)},
                options={"headers": headers},
            )
        except openai.APIStatusError as error:
            return sentence is not None and sentence in error.message
        return response["scores"] == pytest.approx(expected[index // 2 % len(good)], abs=1e-5)

    memory = []
    for first in range(0, UPLOADS, UPLOADS // 2):
        with ThreadPoolExecutor(AT_ONCE) as pool:
            assert all(pool.map(send, range(first, first + UPLOADS // 2)))
        memory.append(process.memory_info().rss / 2**20)
    assert memory[1] - memory[0] < MEBIBYTES
    assert not list(Path(tmp_path / "temporary").iterdir())
