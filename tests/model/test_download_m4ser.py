"""Downloads have bounds, whatever a server does; a real one on this machine does all of it."""

import os
import socketserver
import tempfile
import threading
import time
from contextlib import suppress
from itertools import repeat
from pathlib import Path

import numpy as np
import pytest

from m4ser import M4SERPipeline
from m4ser.model import download_m4ser
from m4ser.model.audio_m4ser import AudioError, load_audio, stream_audio
from m4ser.model.download_m4ser import download
from m4ser.model.loading_m4ser import load_recording
from tests.assertions import wav

PAUSE = 0.05  # seconds between two bytes of a slow server
OK = b"HTTP/1.1 200 OK\r\n"
BODY = wav(np.linspace(-0.5, 0.5, 1000))


def redirect(location):
    return b"HTTP/1.1 302 Found\r\nLocation: " + location.encode() + b"\r\n"


def drip(data):
    for position in range(len(data)):
        yield data[position : position + 1]
        time.sleep(PAUSE)


RESPONSES = {
    "/good": lambda: [OK, b"Content-Length: %d\r\n\r\n" % len(BODY), BODY],
    "/unannounced": lambda: [OK, b"\r\n", BODY],
    "/moved": lambda: [redirect("/good"), b"\r\n"],
    "/endless": lambda: [OK, b"\r\n", *repeat(bytes(2**16), 10_000)],
    "/chunks": lambda: [
        OK,
        b"Transfer-Encoding: chunked\r\n\r\n",
        *repeat(b"10000\r\n" + bytes(2**16) + b"\r\n", 10_000),
    ],
    "/slow_body": lambda: [OK, b"\r\n", *drip(bytes(400))],
    "/slow_headers": lambda: [OK, *drip(b"X-A: b\r\n" * 50)],
    "/slow_status": lambda: drip(b"HTTP/1.1 200 " + b"O" * 400),
    "/slow_redirects": lambda: [*drip(redirect("/slow_redirects?")), b"\r\n"],
    "/silent": lambda: [time.sleep(20 * PAUSE + 1) or b""],
    "/continue": lambda: repeat(b"HTTP/1.1 100 Continue\r\n\r\n", 10_000_000),
    "/endless_redirect": lambda: [redirect("/good"), b"\r\n", *repeat(bytes(2**16), 10_000)],
    "/loop": lambda: [redirect("/loop"), b"\r\n"],
    "/to_file": lambda: [redirect("file:///etc/passwd"), b"\r\n"],
    "/to_ftp": lambda: [redirect("ftp://127.0.0.1/a.wav"), b"\r\n"],
    "/to_data": lambda: [redirect("data:audio/wav;base64,AAAA"), b"\r\n"],
    "/lying": lambda: [OK, b"Content-Length: 999999999999\r\n\r\n", BODY],
    "/longer": lambda: [OK, b"Content-Length: %d\r\n\r\n" % (len(BODY) + 1), BODY],
    "/cut": lambda: [OK, b"Content-Length: %d\r\n\r\n" % len(BODY), BODY[: len(BODY) // 2]],
    "/cut_chunk": lambda: [OK, b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n", BODY],
    "/nonsense": lambda: [b"\x16\x03\x01\x00\xff"],
    "/gone": lambda: [b"HTTP/1.1 404 Not Found\r\n\r\n"],
}
REFUSED = {
    "endless": "larger than",
    "chunks": "larger than",
    "lying": "larger than",
    "slow_body": "longer than 0.5 s|timed out",
    "slow_headers": "longer than 0.5 s|timed out",
    "slow_status": "longer than 0.5 s|timed out",
    "slow_redirects": "longer than 0.5 s|timed out",
    "silent": "timed out",
    "continue": "longer than 0.5 s|timed out|too many",
    "loop": "infinite loop",
    "to_file": "not allowed",
    "to_ftp": "redirects to ftp://127.0.0.1/a.wav, which is not an http",
    "to_data": "not allowed",
    "longer": "ended 1 bytes too early",
    "cut": "bytes too early",
    "cut_chunk": "IncompleteRead",
    "nonsense": "",
    "gone": "HTTP Error 404",
}


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        path = self.rfile.readline().split()[1].decode().partition("?")[0]
        while self.rfile.readline().strip():
            pass
        with suppress(OSError):  # the client has had enough
            for data in RESPONSES[path]():
                self.wfile.write(data)


class Server(socketserver.ThreadingTCPServer):
    daemon_threads, block_on_close = True, False


@pytest.fixture(scope="module")
def address():
    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """The folder of temporary files, which is empty at the end, and so are the process's open files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path
    assert not list(tmp_path.iterdir())
    if (files := Path("/proc/self/fd")).is_dir():
        with os.scandir(files) as opened:
            links = [os.readlink(entry.path) for entry in opened if os.path.islink(entry.path)]
        assert not [link for link in links if link.startswith(str(tmp_path))]


@pytest.fixture
def tight(monkeypatch):
    """Tight bounds."""
    monkeypatch.setattr(download_m4ser, "MAX_BYTES", 2**20)
    monkeypatch.setattr(download_m4ser, "MAX_SECONDS", 0.5)


@pytest.mark.parametrize("path", ["good", "unannounced", "moved", "endless_redirect"])
def test_recording_is_downloaded(address, path):
    with download(f"{address}/{path}") as file:
        assert file.read() == BODY
    np.testing.assert_array_equal(load_audio(f"{address}/{path}"), load_audio(BODY))
    np.testing.assert_array_equal(np.concatenate(list(stream_audio(f"{address}/{path}"))), load_audio(BODY))


@pytest.mark.parametrize("path", REFUSED)
def test_bounds_hold_in_one_sentence(address, tight, path):
    started = time.monotonic()
    with pytest.raises(AudioError, match=rf"^{address}/{path}: cannot be downloaded \(.*({REFUSED[path]})") as refused:
        load_audio(f"{address}/{path}")
    assert time.monotonic() - started < 3
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "address", ["http://", "http://[", "http://a b/", "http://127.0.0.1:x/", "https://127.0.0.1:9/"]
)
def test_malformed_and_closed_addresses(address):
    with pytest.raises(AudioError, match="cannot be downloaded"):
        load_audio(address)


def test_damaged_download_leaves_no_file(address, monkeypatch):
    monkeypatch.setitem(RESPONSES, "/page", lambda: [OK, b"\r\n<html>Not found</html>"])
    with pytest.raises(AudioError, match="page: not an audio file"):
        load_audio(f"{address}/page")


class TestAddressesForbidden:
    SENTENCE = "good: addresses are not downloaded here; give the recording itself."

    def test_by_functions(self, address):
        for load in (load_audio, stream_audio):
            for source in (f"{address}/good", {"path": f"{address}/good"}):
                with pytest.raises(AudioError, match=self.SENTENCE):
                    load(source, allow_addresses=False)
        assert load_recording(f"{address}/good", 16000, allow_addresses=False).error.endswith(self.SENTENCE)

    def test_by_pipeline(self, address, tiny_folder):
        classify = M4SERPipeline.from_pretrained(tiny_folder, allow_addresses=False)
        sources = [f"{address}/good", {"path": f"{address}/good"}, {"audio": {"path": f"{address}/good"}}]
        for options in ({}, {"window": 1}):
            for output in classify(sources, **options):
                assert output["error"].endswith(self.SENTENCE)
            with pytest.raises(AudioError, match=self.SENTENCE):
                classify(sources[0], **options)
