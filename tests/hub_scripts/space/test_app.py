"""The Space: it shows the pipeline's predictions, in a browser too."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
import torch

from m4ser import M4SERPipeline
from m4ser.model.configuration_m4ser import AUXILIARY_TASKS
from tests.conftest import ROOT
from tests.saved_models import save_tiny_model
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


def test_page_shows_prediction(tiny_run, recording, browser):
    row = {"path": str(recording), "text": TEXT}
    expected = M4SERPipeline.from_pretrained(tiny_run)(row, return_correction=True)
    with served("--model", tiny_run) as address:
        tab = browser.new_page(viewport={"width": 1200, "height": 1000})
        tab.set_default_timeout(120_000)
        tab.goto(address)
        tab.get_by_role("button", name="Predict").click()
        tab.get_by_text("Record something, or upload a recording.").wait_for()
        assert tab.get_by_text("Error", exact=True).count() == 0
        show(tab, recording, TEXT)
        shown = tab.locator("#scores").inner_text().split("\n")
        for item in expected["scores"]:
            assert shown[shown.index(f"{item['score']:.0%}", shown.index(item["label"]))], shown
        assert shown[1] == expected["scores"][0]["label"]
        for word in TEXT.split():
            assert word in tab.locator("#text").inner_text()
        assert tab.locator("#correction textarea").input_value() == expected["correction"]
        legend = tab.locator("#timeline svg").text_content()
        assert all(item["label"] in legend for item in expected["scores"])
        tab.locator("#attention img").wait_for()


def show(tab, recording, text):
    """Upload a recording, enter its text, and wait for the prediction."""
    tab.locator("input[type=file]").first.set_input_files(recording)
    tab.locator("#scores").wait_for()
    tab.get_by_label("What was said").fill(text)
    tab.get_by_role("button", name="Predict").click()
    tab.locator("#scores h2").wait_for()


class TestPredict:
    @pytest.fixture(scope="class")
    def app(self):
        pytest.importorskip("gradio", reason="needs the demo extra")
        from hub_scripts.space import app

        return app

    def test_given_text_counts_for_whole_and_timeline_is_from_speech(self, app, tiny_run, recording):
        classify = M4SERPipeline.from_pretrained(tiny_run)
        scores, table, pieces, corrected, _ = app.predict(classify, str(recording), TEXT)
        output = classify({"path": str(recording), "text": TEXT}, return_correction=True)
        assert scores == {item["label"]: item["score"] for item in output["scores"]}
        assert pieces == app.split_marks(output["marked"])
        assert corrected == output["correction"]
        assert set(table["emotion"]) == set(scores) and set(table["text"]) == {""}
        assert table.groupby("start")["score"].sum().tolist() == pytest.approx([1] * table["start"].nunique())

    def test_missing_text_is_transcribed(self, app, tiny_run, recording, tmp_path):
        save_tiny_whisper(tmp_path)
        classify = M4SERPipeline.from_pretrained(tiny_run, asr=str(tmp_path))
        scores, table, pieces, corrected, figure = app.predict(classify, str(recording), " ")
        output = classify({"path": str(recording)}, window=app.WINDOW, hop=app.HOP, return_correction=True)
        assert corrected == " ".join(entry["correction"] for entry in output["timeline"]).strip()
        assert scores == {item["label"]: item["score"] for item in output["scores"]}
        assert table["text"].iloc[0] == output["timeline"][0]["text"] != ""
        assert pieces != [(app.NO_TEXT, None)] and figure is None

    def test_network_transcribes_itself(self, app, recording, tmp_path):
        save_tiny_model(tmp_path, auxiliary_tasks=AUXILIARY_TASKS)
        classify = M4SERPipeline.from_pretrained(tmp_path)
        scores, table, pieces, _, figure = app.predict(classify, str(recording), "")
        output = classify({"path": str(recording)}, window=app.WINDOW, hop=app.HOP, return_correction=True)
        assert scores == {item["label"]: item["score"] for item in output["scores"]}
        assert table["text"].iloc[0] == output["timeline"][0]["text"] != ""
        assert pieces != [(app.NO_TEXT, None)] and figure is None
        pieces, *_, figure = app.predict(classify, str(recording), TEXT)[2:]
        assert "dogs" in "".join(text for text, _ in pieces) and figure is not None

    def test_missing_text_without_asr_model_is_named(self, app, tiny_run, recording):
        _, _, pieces, *_ = app.predict(M4SERPipeline.from_pretrained(tiny_run), str(recording))
        assert pieces == [(app.NO_TEXT, None)]

    def test_figure_is_mean_attention_of_tokens_to_frames(self, app, tiny_run, recording):
        classify = M4SERPipeline.from_pretrained(tiny_run)
        *_, figure = app.predict(classify, str(recording), TEXT)
        inputs = classify.processor(str(recording), TEXT)
        assert classify.model.config._attn_implementation == "sdpa"  # as before
        classify.model.set_attn_implementation("eager")
        with torch.no_grad():
            (attention,) = classify.model(**inputs, output_attentions=True).attentions["text_query_cme"]
        axes, (image,) = figure.axes[0], figure.axes[0].images
        np.testing.assert_allclose(image.get_array(), attention[0].mean(0), atol=1e-6)
        np.testing.assert_allclose(image.get_array().sum(-1), 1, atol=1e-5)
        tokens = classify.processor.tokenizer.convert_ids_to_tokens(inputs["input_ids"][0])
        assert [label.get_text() for label in axes.get_yticklabels()] == tokens
        assert axes.get_xlim() == pytest.approx((0, inputs["input_values"].shape[1] / 16000))

    def test_single_modality_has_no_figure(self, app, recording, tmp_path):
        save_tiny_model(tmp_path, modalities=["speech"])
        classify = M4SERPipeline.from_pretrained(tmp_path)
        assert app.predict(classify, str(recording), TEXT)[-1] is None

    def test_unusable_recording_raises(self, app, tiny_run, tmp_path):
        with pytest.raises(ValueError, match="there is no such file"):
            app.predict(M4SERPipeline.from_pretrained(tiny_run), str(tmp_path / "gone.wav"))

    def test_timeline_lines_are_steps(self, app):
        table = pd.DataFrame({"start": [0.0, 1.0], "end": [1.0, 1.5], "emotion": ["sad"] * 2, "score": [0.2, 0.7]})
        points = app.steps(table).sort_values("seconds")
        assert points["seconds"].tolist() == pytest.approx([0, 0.99, 1, 1.49])
        assert points["score"].tolist() == [0.2, 0.2, 0.7, 0.7]

    def test_split_marks(self, app):
        assert app.split_marks("he ~was~ [knot] ill") == [
            ("he ", None),
            ("was", "not said"),
            ("knot", "wrong"),
            (" ill", None),
        ]
        assert app.split_marks("[] so") == [("…", "wrong"), (" so", None)]
        assert app.split_marks("") == [(app.NO_TEXT, None)]
