"""The Space under requests that no page sends: no file, no address, no endless work, no path in an error."""

import io
import json
import urllib.error
import urllib.request
import uuid

import numpy as np
import pytest

pytest.importorskip("gradio", reason="needs the demo extra")

import soundfile

from tests.assertions import noise, wav
from tests.hub_scripts.space.test_app import served

pytestmark = pytest.mark.browser  # with the tests that have gradio; no browser is needed


@pytest.fixture(scope="module")
def address(tiny_folder):
    with served("--model", tiny_folder) as address:
        yield f"{address}/gradio_api"


def request(url, data=None, content_type="application/json"):
    return urllib.request.urlopen(urllib.request.Request(url, data, {"Content-Type": content_type}), timeout=120)


def upload(address, data, name="a.wav"):
    """Upload a file; return its path there."""
    boundary = uuid.uuid4().hex
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
    body = head.encode() + data + f"\r\n--{boundary}--\r\n".encode()
    return json.load(request(f"{address}/upload", body, f"multipart/form-data; boundary={boundary}"))[0]


def predict(address, recording, text=""):
    """Return the kind of the last event, "complete" or "error", and its data."""
    body = json.dumps({"data": [recording and {**recording, "meta": {"_type": "gradio.FileData"}}, text]}).encode()
    event = json.load(request(f"{address}/call/predict", body))["event_id"]
    *_, kind, data = request(f"{address}/call/predict/{event}").read().decode().strip().splitlines()
    return kind.removeprefix("event: "), data.removeprefix("data: ")


def silence(seconds):
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros(16000 * seconds, np.int16), 16000, format="FLAC")
    return buffer.getvalue()


def test_upload_is_predicted(address):
    kind, data = predict(address, {"path": upload(address, wav(noise(16000)))}, "so heart")
    assert kind == "complete" and "confidences" in data


@pytest.mark.parametrize(
    "recording",
    [
        {"path": "/etc/passwd"},
        {"path": "../../../../etc/passwd"},
        {"path": "/proc/self/environ"},
        {"path": "http://127.0.0.1:9/a.wav"},
        {"path": "a.wav", "url": "http://127.0.0.1:9/a.wav"},
        {"path": "a.wav", "url": "file:///etc/passwd"},
    ],
)
def test_files_and_addresses_are_refused(address, recording):
    try:
        kind, data = predict(address, recording)
    except urllib.error.HTTPError as error:
        kind, data = "error", error.read().decode()
        assert error.code in (400, 403, 422, 500)
    assert kind == "error" and "root:" not in data and "PATH=" not in data


@pytest.mark.parametrize("path", ["/etc/passwd", "../../../etc/passwd", "http://127.0.0.1:9/"])
def test_files_cannot_be_fetched(address, path):
    with pytest.raises(urllib.error.HTTPError) as refused:
        request(f"{address}/file={path}")
    assert refused.value.code in (403, 404)


def test_errors_have_the_name_but_not_the_folder(address):
    for data in (b"<html>Not found</html>", wav(np.full(1000, np.nan), subtype="FLOAT")):
        path = upload(address, data)
        kind, sentence = predict(address, {"path": path})
        assert kind == "error" and "a.wav: " in sentence and path.rpartition("/")[0] not in sentence


def test_length_of_recordings_and_texts_is_limited(address):
    path = upload(address, silence(3600), "a.flac")
    assert "longer than 600 s; cut it." in predict(address, {"path": path})[1]
    assert "longer than 120 s" in predict(address, {"path": path}, "so heart")[1]
    assert "longer than 5000 characters" in predict(address, {"path": path}, "so " * 5000)[1]
    with pytest.raises(urllib.error.HTTPError) as refused:
        upload(address, bytes(51 * 10**6 + 2**22))
    assert refused.value.code == 413
