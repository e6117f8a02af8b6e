"""Predictions for recordings that are named on the command line, one row each."""

import logging
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from m4ser.data.builders.hypotheses import read_hypotheses
from m4ser.environment import multiplies_bfloat16
from m4ser.inference.recordings import files_in, is_list
from m4ser.inference.speakers import Turn, predict_turns, read_rttm, turns_of
from m4ser.model.asr_m4ser import OWN_ASR
from m4ser.model.audio_m4ser import AudioError
from m4ser.model.pipeline_m4ser import M4SERPipeline
from m4ser.model.windowing_m4ser import aggregate, check_window
from m4ser.onnx_pipeline import OnnxPipeline
from m4ser.progress import track
from m4ser.sources import refuse_missing

logger = logging.getLogger(__name__)

STANDARD_INPUT = "-"
# What else of the pipeline's outputs is in a row, under its name there.
OUTPUT_NAMES = {"text": "transcript", "words": "words", "correction": "correction", "warning": "warning"}
WINDOW = 5.0  # seconds of a timeline's windows
SEGMENTS = "segments"  # instead of seconds: of speech, as the ASR model finds them


def find_recordings(paths: Sequence[str]) -> list[str]:
    """List the recordings: folders give those in them by their suffix, all else is taken as it is.

    Raises:
        ValueError: there is none.
    """
    for path in paths:
        if is_list(path):
            raise ValueError(f"{path} is a list or a dataset of recordings: say where its scores go, --output DIR.")
    recordings = [
        recording for path in paths for recording in (files_in(Path(path)) if Path(path).is_dir() else [path])
    ]
    if not recordings:
        raise ValueError(f"There is no recording in {', '.join(paths)}.")
    logger.info("%d recordings", len(recordings))
    return recordings


def load_pipeline(
    model: str,
    backend: str = "torch",
    dtype: str = "auto",
    asr: str | None = None,
    device: str | None = None,
    allow_addresses: bool = True,
) -> M4SERPipeline:
    """Load the pipeline of a model.

    Args:
        model: folder or Hub id. backend: "torch", "onnx" for the model's own graph, or an ONNX file.
        dtype: of the backend torch. asr: folder or Hub id of an ASR model, instead of the model's own.
        device: of the backend torch, as "cuda:1"; the first one that there is by default.
        allow_addresses: as of [`M4SERPipeline`].

    Raises:
        ValueError: there is no such model or file, or a dtype or device was given for ONNX.
    """
    refuse_missing(model, "model")
    if asr not in (None, OWN_ASR):
        refuse_missing(asr, "ASR model")
    if backend == "torch":
        classify = M4SERPipeline.from_pretrained(
            model, dtype=dtype, asr=asr, device=device, allow_addresses=allow_addresses
        )
        if classify.dtype == torch.bfloat16 and classify.device.type == "cpu" and not multiplies_bfloat16():
            warnings.warn("This processor does not multiply bfloat16: --dtype float32 is faster here.", stacklevel=2)
        return classify
    if dtype != "auto":
        raise ValueError("--dtype is of the backend torch: an ONNX graph was written in a precision of its own.")
    return OnnxPipeline.from_pretrained(
        model, None if backend == "onnx" else backend, asr=asr, allow_addresses=allow_addresses
    )


def read_texts(hypotheses: Path, recordings: Sequence[str]) -> list[str | None]:
    """Read the text of each recording from a hypotheses file; None of those that it has none of, which are counted.

    A recording finds its hypothesis by its path without extension, or the end of it.

    Raises:
        DataError: no such file, a malformed one, or one that has no hypothesis of these recordings.
    """
    found = read_hypotheses(hypotheses)
    names = [Path(recording).with_suffix("").as_posix() for recording in recordings]
    texts = [found.columns(name).get("hypothesis") for name in names]
    found.check()
    if missing := texts.count(None):
        example = recordings[texts.index(None)]
        warnings.warn(
            f"{hypotheses} has no text of {missing} of {len(texts)} recordings, such as {example}.", stacklevel=2
        )
    return texts


def timeline_options(
    recordings: Sequence[str],
    timeline: bool = False,
    window: float | str | None = None,
    hop: float | None = None,
    rttm: Path | None = None,
    srt: Path | None = None,
    vtt: Path | None = None,
) -> dict[str, Any] | None:
    """Return how timelines are cut, by the options of the command line; None for no timeline.

    Raises:
        ValueError: options that contradict each other. DataError: as of [`read_rttm`], or a recording has no turns.
    """
    if not (timeline or rttm or srt or vtt):
        if window is not None or hop is not None:
            raise ValueError("--window and --hop are of a timeline: add --timeline.")
        return None
    if (srt or vtt) and len(recordings) > 1:
        raise ValueError(f"--srt and --vtt are one recording's subtitles, not those of {len(recordings)}.")
    window = WINDOW if window is None else seconds_or_segments(window)
    if rttm is None:
        return {"window": window, "hop": hop}
    if window == SEGMENTS:
        raise ValueError("The turns of --rttm are not cut into segments: give --window in seconds.")
    if hop is not None:
        raise ValueError("The turns of --rttm are not cut into windows that overlap: leave --hop out.")
    check_window(window, hop)
    turns = read_rttm(rttm)
    for recording in recordings:
        turns_of(recording, turns)
    return {"window": window, "turns": turns}


def seconds_or_segments(window: float | str) -> float | str:
    """Return a window of the command line as a number, or "segments".

    Raises:
        ValueError: it is neither.
    """
    try:
        return window if window == SEGMENTS else float(window)
    except ValueError:
        raise ValueError(f"--window is a number of seconds, or {SEGMENTS}, not {window}.") from None


def predict_rows(
    classify: M4SERPipeline,
    recordings: Sequence[str],
    text: str | Sequence[str | None] | None = None,
    windows: dict[str, Any] | None = None,
    correct: bool = False,
    **options: Any,
) -> Iterator[dict[str, Any]]:
    """Predict for each recording, in their order.

    Args:
        recordings: paths, addresses, or "-" for standard input.
        text: the hypothesis of all of them, or one for each; None where it is to be transcribed.
        windows: as of [`timeline_options`], for a timeline. correct: correct the texts.
        options: of the pipeline.

    Yields:
        {"path", "label", "scores" {label: score}, "calibrated"}, with "text", the hypothesis that was used, where the
        network takes one, its "words" with their times where the network transcribed it, and its "correction"; with
        "timeline" where there are `windows`, whose entries have all this then, and "text" where they do not overlap;
        and with "warning" where the recording is silent or too short; or {"path", "error"}.

    Raises:
        ValueError: the model cannot correct.
    """
    if correct and not classify.model.can_correct:
        raise ValueError("--correct needs a model that was trained to correct, on the backend torch.")
    options["abstain_below"] = options.get("abstain_below") or 0.0  # so that there is a label
    options["return_correction"] = correct
    texts = [text] * len(recordings) if isinstance(text, str | None) else text
    inputs = ({**_source(recording), "text": own} for recording, own in zip(recordings, texts, strict=True))
    if windows is None:
        takes_text = "text" in classify.model.config.modalities
        outputs = classify(inputs, return_transcript=takes_text, **options)
    else:
        outputs = (_predict_timeline(classify, source, **windows, **options) for source in inputs)
    for recording, output in zip(recordings, outputs, strict=True):
        yield _row(recording, output, classify.model.config.is_calibrated)


def _source(recording: str) -> dict[str, Any]:
    if recording == STANDARD_INPUT:
        return {"bytes": sys.stdin.buffer.read(), "path": "standard input"}
    return {"path": recording}


def _predict_timeline(
    classify: M4SERPipeline,
    source: dict[str, Any],
    window: float | str,
    hop: float | None = None,
    turns: Mapping[str, Sequence[Turn]] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Predict one recording's timeline, with progress in its seconds."""
    entries = []
    try:
        if turns is None:
            timeline = classify.timeline(source, window, hop, **options)
        else:
            own = {name: value for name, value in source.items() if name != "text"}
            assert not isinstance(window, str)  # as of `timeline_options`
            timeline = predict_turns(classify, own, turns_of(source["path"], turns), window, **options)
        with track(None, "second", source["path"]) as progress:
            for entry in timeline:
                entries.append(entry)
                progress.update(max(0, round(entry["end"] - progress.n)))
        output = {**aggregate(entries, options["abstain_below"]), "timeline": entries}
        if hop is None or hop == window:
            output["transcript"] = " ".join(filter(None, (entry["text"] for entry in entries)))
        return output
    except AudioError as error:
        return {"error": str(error)}


def _row(recording: str, output: dict[str, Any], is_calibrated: bool) -> dict[str, Any]:
    if "error" in output:
        return {"path": recording, **output}
    row = {"path": recording, **_label_and_scores(output), "calibrated": is_calibrated}
    row |= {name: output[source] for name, source in OUTPUT_NAMES.items() if source in output}
    if "timeline" in output:
        row["timeline"] = [{**entry, **_label_and_scores(entry)} for entry in output["timeline"]]
    return row


def _label_and_scores(output: dict[str, Any]) -> dict[str, Any]:
    return {"label": output["label"], "scores": {item["label"]: item["score"] for item in output["scores"]}}
