"""The Space: what it shows is what the pipeline answers, and a browser that is given a recording shows it."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager

import pandas as pd
import pytest

from m4ser import M4SERPipeline
from tests.conftest import ROOT
from tests.tiny_whisper import save_tiny_whisper

pytestmark = pytest.mark.browser
TEXT = "dogs are sitting by the door"


@pytest.fixture(scope="module")
def recording(shared_data):
    return next((shared_data / "ravdess16k").rglob("*.flac"))


@contextmanager
def served(*arguments):
    """The address of the app, run as a user runs it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    settings = {"HF_HUB_OFFLINE": "1", "GRADIO_ANALYTICS_ENABLED": "False", "NO_PROXY": "127.0.0.1,localhost"}
    command = [sys.executable, "hub_scripts/space/app.py", *map(str, arguments), "--port", str(port)]
    server = subprocess.Popen(command, cwd=ROOT, env=os.environ | settings)
    try:
        for _ in range(600):
            assert server.poll() is None, "the app ended"
            try:
                urllib.request.urlopen(address, timeout=5).close()
                break
            except OSError:
                time.sleep(0.5)
        yield address
    finally:
        server.terminate()
        server.wait(timeout=60)


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs the browser extra")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    assert chromium, "the browser tests need chromium: apt-get install chromium"
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


def test_a_recording_is_uploaded_and_the_answer_read_from_the_page(tiny_run, recording, browser):
    row = {"path": str(recording), "text": TEXT}
    expected = M4SERPipeline.from_pretrained(tiny_run)(row, return_correction=True)
    with served("--model", tiny_run) as address:
        tab = browser.new_page(viewport={"width": 1200, "height": 1000})
        tab.set_default_timeout(120_000)
        tab.goto(address)
        tab.get_by_role("button", name="Listen").click()
        tab.get_by_text("Record something, or upload a recording.").wait_for()
        show(tab, recording, TEXT)
        shown = tab.locator("#scores").inner_text().split("\n")
        for item in expected["scores"]:
            assert shown[shown.index(f"{item['score']:.0%}", shown.index(item["label"]))], shown
        assert shown[1] == expected["scores"][0]["label"]
        for word in TEXT.split():
            assert word in tab.locator("#said").inner_text()
        legend = tab.locator("#timeline svg").text_content()
        assert all(item["label"] in legend for item in expected["scores"])


def show(tab, recording, text):
    """Upload a recording, say what was said in it, and wait for the answer."""
    tab.locator("input[type=file]").first.set_input_files(recording)
    tab.locator("#scores").wait_for()
    tab.get_by_label("What was said").fill(text)
    tab.get_by_role("button", name="Listen").click()
    tab.locator("#scores h2").wait_for()


class TestHear:
    @pytest.fixture(scope="class")
    def app(self):
        pytest.importorskip("gradio", reason="needs the demo extra")
        from hub_scripts.space import app

        return app

    def test_a_text_of_ones_own_counts_for_the_whole_and_the_timeline_is_the_voices(self, app, tiny_run, recording):
        classify = M4SERPipeline.from_pretrained(tiny_run)
        scores, table, said = app.hear(classify, str(recording), TEXT)
        answer = classify({"path": str(recording), "text": TEXT}, return_correction=True)
        assert scores == {item["label"]: item["score"] for item in answer["scores"]}
        assert said == app.pieces(answer["marked"])
        assert set(table["emotion"]) == set(scores) and set(table["text"]) == {""}
        assert table.groupby("start")["score"].sum().tolist() == pytest.approx([1] * table["start"].nunique())

    def test_without_a_text_the_recognizer_is_asked(self, app, tiny_run, recording, tmp_path):
        save_tiny_whisper(tmp_path)
        classify = M4SERPipeline.from_pretrained(tiny_run, asr=str(tmp_path))
        scores, table, said = app.hear(classify, str(recording), " ")
        answer = classify({"path": str(recording)}, window=app.WINDOW, hop=app.HOP)
        assert scores == {item["label"]: item["score"] for item in answer["scores"]}
        assert table["text"].iloc[0] == answer["timeline"][0]["text"] != ""
        assert said != [(app.NOTHING_SAID, None)]

    def test_where_nothing_was_heard_it_says_so(self, app, tiny_run, recording):
        _, _, said = app.hear(M4SERPipeline.from_pretrained(tiny_run), str(recording))
        assert said == [(app.NOTHING_SAID, None)]

    def test_what_cannot_be_used_is_one_sentence(self, app, tiny_run, tmp_path):
        with pytest.raises(ValueError, match="there is no such file"):
            app.hear(M4SERPipeline.from_pretrained(tiny_run), str(tmp_path / "gone.wav"))

    def test_the_timelines_lines_are_steps(self, app):
        table = pd.DataFrame({"start": [0.0, 1.0], "end": [1.0, 1.5], "emotion": ["sad"] * 2, "score": [0.2, 0.7]})
        points = app.steps(table).sort_values("seconds")
        assert points["seconds"].tolist() == pytest.approx([0, 0.99, 1, 1.49])
        assert points["score"].tolist() == [0.2, 0.2, 0.7, 0.7]

    def test_marks_become_pieces(self, app):
        assert app.pieces("he ~was~ [knot] ill") == [
            ("he ", None),
            ("was", "not said"),
            ("knot", "wrong"),
            (" ill", None),
        ]
        assert app.pieces("[] so") == [("…", "wrong"), (" so", None)]
        assert app.pieces("") == [(app.NOTHING_SAID, None)]
