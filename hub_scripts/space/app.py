"""A page that predicts the emotions of a recording: scores, a timeline, the text with its errors, and attention maps.

    python hub_scripts/space/app.py --model runs/ravdess

On the Hub, as a Space, the variable M4SER_MODEL of its settings names the model; m4ser need not be installed.
"""

import argparse
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from transformers import AudioClassificationPipeline, PreTrainedModel, pipeline

WINDOW, HOP = 2.0, 1.0  # seconds
# Of one visitor's recording and text, of those who wait, and how long uploads are kept (seconds).
MAX_SECONDS, MAX_FILE_SIZE, MAX_CHARACTERS = 600, "50mb", 5000
MAX_WAITING, KEPT_SECONDS = 32, 3600
MARKS = re.compile(r"\[([^\]]*)\]|~([^~]*)~")
NO_TEXT = "Nothing was transcribed: this prediction comes from speech alone."
ATTENTION = "text_query_cme"
WRONG, DELETED = "wrong", "not said"


def predict(
    classify: AudioClassificationPipeline, path: str, text: str | None = None
) -> tuple[dict[str, float], pd.DataFrame, list[tuple[str, str | None]], str, Figure | None]:
    """Predict the emotions of a recording.

    Args:
        classify: an M4SER pipeline. path: of the recording. text: what was said; by default it is transcribed, where
            the model names an ASR model.

    Returns:
        {emotion: score}; a table of start, end (seconds), emotion, score and text; the text in pieces, each with
        "wrong", "not said" or None; the corrected text, empty of a model without correction; and where there is a
        `text`, the figure of the attention between it and speech.

    Raises:
        ValueError: a recording that cannot be used, in one sentence.
    """
    options = {"return_correction": classify.model.can_correct, "return_transcript": True}
    timeline = {"window": WINDOW, "hop": HOP, **options}
    figure = None
    if text and text.strip():
        whole = classify({"path": path, "text": text}, **options)
        parts = [whole | {"text": whole["transcript"]}]
        # One text does not say what was said when: the timeline is predicted from speech alone.
        entries = classify({"path": path, "text": ""}, **timeline)["timeline"]
        figure = draw_attention(classify, path, text)
    else:
        whole = classify({"path": path}, **timeline)
        parts = entries = whole["timeline"]
    marked = " ".join(part.get("marked", part["text"]) for part in parts)
    corrected = " ".join(part.get("correction", "") for part in parts).strip()
    table = pd.DataFrame(
        [
            (round(entry["start"], 1), round(entry["end"], 1), item["label"], item["score"], entry["text"])
            for entry in entries
            for item in entry["scores"]
        ],
        columns=["start", "end", "emotion", "score", "text"],
    )
    scores = {item["label"]: item["score"] for item in whole["scores"]}
    return scores, table, split_marks(marked), corrected, figure


def split_marks(marked: str) -> list[tuple[str, str | None]]:
    """Split a text with marked errors, [wrong] and ~not said~, into (piece, kind of error or None)."""
    pieces, end = [], 0
    for mark in MARKS.finditer(marked):
        wrong, deleted = mark.groups()
        pieces += [(marked[end : mark.start()], None), (deleted or wrong or "…", DELETED if deleted else WRONG)]
        end = mark.end()
    pieces.append((marked[end:], None))
    return [(text, kind) for text, kind in pieces if text.strip()] or [(NO_TEXT, None)]


@torch.no_grad()
def draw_attention(classify: AudioClassificationPipeline, path: str, text: str) -> Figure | None:
    """Draw how much each token attends to each frame of speech, the mean over the heads.

    Returns:
        The figure; None of a model without this attention, as one of a single modality.
    """
    model, processor = classify.model, classify.processor
    rate = processor.feature_extractor.sampling_rate
    inputs = processor(path, text, sampling_rate=rate).to(model.device, model.dtype)
    with eager_fusion(model):
        attentions = model(**inputs, output_attentions=True).attentions
    if ATTENTION not in attentions:
        return None
    (layer,) = attentions[ATTENTION]  # (1, heads, n tokens, m frames)
    weights = layer[0].float().mean(0).cpu().numpy()
    tokens = processor.tokenizer.convert_ids_to_tokens(inputs["input_ids"][0].tolist())
    figure = Figure(figsize=(11, 1.5 + 0.22 * len(tokens)), layout="constrained")
    axes = figure.subplots()
    extent = (0, inputs["input_values"].shape[1] / rate, len(tokens) - 0.5, -0.5)
    image = axes.imshow(weights, aspect="auto", extent=extent, interpolation="nearest")
    axes.set_yticks(range(len(tokens)), tokens)
    axes.set(title="Attention of the text's tokens to the frames of speech", xlabel="seconds", ylabel="token")
    figure.colorbar(image, label="attention weight")
    return figure


@contextmanager
def eager_fusion(model: PreTrainedModel) -> Iterator[None]:
    """Switch the fusion, but not the encoders, to the attention that has maps: the encoders' would take gigabytes."""
    configs = {"": model.config, **{name: getattr(model.config, name) for name in model.config.sub_configs}}
    implementations = {name: config._attn_implementation for name, config in configs.items()}
    model.set_attn_implementation({**implementations, "": "eager"})
    try:
        yield
    finally:
        model.set_attn_implementation(implementations)


def steps(table: pd.DataFrame) -> pd.DataFrame:
    """Return a timeline with a point at each start and one just before each end, which lines join to steps."""
    return pd.concat([table.assign(seconds=table["start"]), table.assign(seconds=table["end"] - 0.01)])


def page(classify: AudioClassificationPipeline) -> gr.Blocks:
    """Build the page."""

    def run(path: str | None, text: str) -> Any:
        if path is None:
            gr.Warning("Record something, or upload a recording.")
            return gr.skip()
        if len(text or "") > MAX_CHARACTERS:
            raise gr.Error(f"The text is longer than {MAX_CHARACTERS} characters: shorten it, or leave it empty.")
        try:
            scores, table, pieces, corrected, figure = predict(classify, path, text)
        except ValueError as error:
            # Visitors have no business with the folder of the upload.
            raise gr.Error(str(error).replace(path, Path(path).name)) from error
        return scores, steps(table), pieces, corrected, gr.Plot(figure, visible=figure is not None)

    with gr.Blocks(title="M4SER", delete_cache=(KEPT_SECONDS, KEPT_SECONDS)) as blocks:
        gr.Markdown("# Emotion from the voice and from what was said")
        with gr.Row():
            with gr.Column():
                recording = gr.Audio(sources=["upload", "microphone"], type="filepath", label="Recording")
                text = gr.Textbox(label="What was said", placeholder="left empty, it is transcribed where possible")
                button = gr.Button("Predict", variant="primary")
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
        pieces = gr.HighlightedText(
            label="Text, with the errors that were found",
            color_map={WRONG: "orange", DELETED: "red"},
            elem_id="text",
        )
        corrected = gr.Textbox(
            label="Corrected text", interactive=False, elem_id="correction", visible=classify.model.can_correct
        )
        # Its label would cover the top of the figure, which has a title.
        attention = gr.Plot(show_label=False, elem_id="attention", visible=False)
        button.click(run, [recording, text], [scores, timeline, pieces, corrected, attention], api_name="predict")
        gr.Markdown("Scores say how a recording sounds to a model, not what a person feels.")
    return blocks.queue(max_size=MAX_WAITING, default_concurrency_limit=1)


def main() -> None:
    """Load the model and serve the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=os.environ.get("M4SER_MODEL"), help="folder of a run, or Hub id")
    parser.add_argument("--asr", help="ASR model where there is no text; the model's own by default")
    parser.add_argument("--port", type=int, default=7860)
    arguments = parser.parse_args()
    if not arguments.model:
        parser.error("no model: give --model, or set M4SER_MODEL in the Space's settings")
    asr = {} if arguments.asr is None else {"asr": arguments.asr}
    classify = pipeline(
        "audio-classification",
        model=arguments.model,
        trust_remote_code=True,
        allow_addresses=False,
        max_seconds=MAX_SECONDS,
        **asr,
    )
    if classify.has_asr:  # loaded now: what is wrong with it is for the log, not for visitors
        classify.transcribe([np.zeros(classify.processor.feature_extractor.sampling_rate, np.float32)])
    # The theme's own fonts would be fetched from elsewhere.
    theme = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"])
    page(classify).launch(
        server_name=os.environ.get("GRADIO_SERVER_NAME"),
        server_port=arguments.port,
        theme=theme,
        max_file_size=MAX_FILE_SIZE,
    )


if __name__ == "__main__":
    main()
