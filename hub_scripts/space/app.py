"""A page that hears a recording and shows what it heard: scores, a timeline, and the text with its errors marked.

    python hub_scripts/space/app.py --model runs/ravdess

On the Hub, as a Space, the variable M4SER_MODEL of its settings names the model; m4ser need not be installed.
"""

import argparse
import os
import re

import gradio as gr
import pandas as pd
from transformers import pipeline

WINDOW, HOP = 2.0, 1.0  # seconds
MARKS = re.compile(r"\[([^\]]*)\]|~([^~]*)~")
NOTHING_SAID = "Nothing was transcribed: this answer comes from the voice alone."


def hear(classify, path, text=None):
    """Ask a pipeline about a recording.

    Args:
        classify: an M4SER pipeline. path: of the recording. text: what was said; by default it is transcribed, where
            the model names a recognizer.

    Returns:
        {emotion: score}; a table of start, end (seconds), emotion, score and text; and the text in pieces, each with
        "wrong", "not said" or None.

    Raises:
        ValueError: a recording that cannot be used, in one sentence.
    """
    options = {"return_correction": classify.model.error_corrector is not None, "return_transcript": True}
    timeline = {"window": WINDOW, "hop": HOP, **options}
    if text and text.strip():
        whole = classify({"path": path, "text": text}, **options)
        said = [whole.get("marked", whole["transcript"])]
        # One text does not say what was said when: the timeline is that of the voice.
        stretches = classify({"path": path, "text": ""}, **timeline)["timeline"]
    else:
        whole = classify({"path": path}, **timeline)
        stretches = whole["timeline"]
        said = [stretch.get("marked", stretch["text"]) for stretch in stretches]
    table = pd.DataFrame(
        [
            (round(stretch["start"], 1), round(stretch["end"], 1), item["label"], item["score"], stretch["text"])
            for stretch in stretches
            for item in stretch["scores"]
        ],
        columns=["start", "end", "emotion", "score", "text"],
    )
    return {item["label"]: item["score"] for item in whole["scores"]}, table, pieces(" ".join(said))


def pieces(marked):
    """A text whose errors are marked, [wrong] and ~not said~, in pieces that say which they are."""
    found, end = [], 0
    for mark in MARKS.finditer(marked):
        wrong, dropped = mark.groups()
        found += [(marked[end : mark.start()], None), (dropped or wrong or "…", "not said" if dropped else "wrong")]
        end = mark.end()
    found.append((marked[end:], None))
    return [(text, kind) for text, kind in found if text.strip()] or [(NOTHING_SAID, None)]


def steps(table):
    """A timeline with a point at each start and one just before each end, which lines join to steps."""
    return pd.concat([table.assign(seconds=table["start"]), table.assign(seconds=table["end"] - 0.01)])


def page(classify):
    """The page as `gradio.Blocks`."""

    def answer(path, text):
        if path is None:
            raise gr.Error("Record something, or upload a recording.")
        try:
            scores, table, said = hear(classify, path, text)
        except ValueError as error:
            raise gr.Error(str(error)) from error
        return scores, steps(table), said

    with gr.Blocks(title="M4SER") as blocks:
        gr.Markdown("# Emotion from the voice and from what was said")
        with gr.Row():
            with gr.Column():
                recording = gr.Audio(sources=["upload", "microphone"], type="filepath", label="Recording")
                text = gr.Textbox(label="What was said", placeholder="left empty, it is transcribed where possible")
                button = gr.Button("Listen", variant="primary")
            scores = gr.Label(label="Emotion", elem_id="scores")
        timeline = gr.LinePlot(
            x="seconds",
            y="score",
            color="emotion",
            y_lim=[0, 1],
            label="Timeline",
            x_title="seconds",
            y_title="score",
            elem_id="timeline",
        )
        said = gr.HighlightedText(
            label="Text, with the errors that were found",
            color_map={"wrong": "orange", "not said": "red"},
            elem_id="said",
        )
        button.click(answer, [recording, text], [scores, timeline, said], api_name="hear")
        gr.Markdown("Scores say how a recording sounds to a model, not what a person feels.")
    return blocks


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=os.environ.get("M4SER_MODEL"), help="folder of a run, or Hub id")
    parser.add_argument("--asr", help="recognizer where there is no text; the model's own by default")
    parser.add_argument("--port", type=int, default=7860)
    arguments = parser.parse_args()
    if not arguments.model:
        parser.error("no model: give --model, or set M4SER_MODEL in the Space's settings")
    asr = {} if arguments.asr is None else {"asr": arguments.asr}
    classify = pipeline("audio-classification", model=arguments.model, trust_remote_code=True, **asr)
    # The theme's own fonts would be fetched from elsewhere.
    theme = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"])
    page(classify).launch(server_name=os.environ.get("GRADIO_SERVER_NAME"), server_port=arguments.port, theme=theme)


if __name__ == "__main__":
    main()
