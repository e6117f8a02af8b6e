"""The handler of Inference Endpoints, as that service calls it: in a process without m4ser."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from m4ser import M4SERPipeline

FOLDER = Path(__file__).parents[2] / "hub_scripts" / "endpoint"
REQUESTS = """
import base64, json, sys
sys.modules["m4ser"] = None  # every import of it fails from here on
sys.path.insert(0, sys.argv[1])
from handler import EndpointHandler
handle = EndpointHandler(sys.argv[2])
audio = open(sys.argv[3], "rb").read()
parameters = {"text": "so heart", "top_k": 2}
requests = [
    {"inputs": audio, "parameters": parameters},
    {"inputs": base64.b64encode(audio).decode(), "parameters": parameters},
    {"inputs": b"<html>", "parameters": parameters},
    {"inputs": "no base64!"},
    {},
    {"inputs": audio, "parameters": {"topk": 2}},
    *({"inputs": inputs} for inputs in ("/etc/passwd", "/etc/hostnam", "http://127.0.0.1/", {"path": "/etc/passwd"})),
    *({"inputs": audio, "parameters": {name: 1}} for name in ("num_workers", "batch_size", "window", "sampling_rate")),
    {"inputs": audio, "parameters": {"top_k": "many"}},
    {"inputs": audio, "parameters": ["top_k"]},
]
print(json.dumps([handle(request) for request in requests]))
"""


@pytest.fixture(scope="module")
def responses(tiny_folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("endpoint") / "a.wav"
    soundfile.write(path, 0.3 * np.random.default_rng(0).standard_normal(16000), 16000)
    command = [sys.executable, "-c", REQUESTS, FOLDER, tiny_folder, path]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    expected = M4SERPipeline.from_pretrained(tiny_folder)({"path": str(path), "text": "so heart"}, top_k=2)
    return expected, json.loads(result.stdout.splitlines()[-1])


def test_files_and_base64_are_predicted(responses):
    expected, (as_body, in_json, *_) = responses
    assert as_body == in_json
    assert [(item["label"], pytest.approx(item["score"], abs=1e-6)) for item in expected] == [
        (item["label"], item["score"]) for item in as_body
    ]


def test_bad_requests_get_a_sentence(responses):
    _, (_, _, html, text, nothing, option, *hostile) = responses
    assert all(set(response) == {"error"} for response in (html, text, nothing, option))
    assert "inputs is an audio file" in nothing["error"] and "topk" in option["error"]
    assert [set(response) for response in hostile] == [{"error"}] * 10
    *paths, dictionary = (response["error"] for response in hostile[:4])
    assert all("not base64" in error or "not an audio file" in error for error in paths)
    assert "inputs is an audio file" in dictionary
    assert all("There is no parameter" in response["error"] for response in hostile[4:8])
    assert [response["error"] for response in hostile[8:]] == [
        "The parameter top_k is not a str.",
        'parameters is an object, such as {"top_k": 2}.',
    ]
