"""The `m4ser` command."""

import json
import sys
import warnings
from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(help="Emotion from the voice and from what a recognizer heard.", no_args_is_help=True)
AUDIO_SUFFIXES = {".wav", ".flac", ".ogg", ".mp3"}


def main():
    """Run a command; what a user can put right becomes one sentence and exit code 1."""
    warnings.formatwarning = lambda message, *_: f"m4ser: {message}\n"
    try:
        app(prog_name="m4ser")
    except (ValueError, OSError) as error:
        sys.exit(f"m4ser: {' '.join(str(error).split())}")
    except ModuleNotFoundError as error:
        sys.exit(f"m4ser: this command needs {error.name}: pip install {error.name}")


@app.command()
def demo(
    output_dir: Annotated[Path, typer.Option("--output_dir", help="Where the corpus and the models go.")] = Path(
        "runs/demo"
    ),
):
    """Build the synthetic corpus, train M4SER on it, load it back and ask it about a recording."""
    from m4ser.demo import run_demo

    run_demo(output_dir)


@app.command()
def predict(
    paths: Annotated[list[str], typer.Argument(help="Recordings, folders of them, addresses, or - for a piped one.")],
    model: Annotated[str, typer.Option(help="Folder of a run, or Hub id.")],
    text: Annotated[str | None, typer.Option(help="The hypothesis; transcribed where the model can.")] = None,
    batch_size: Annotated[int, typer.Option("--batch_size", "--batch-size", min=1, help="Recordings at once.")] = 1,
    abstain_below: Annotated[
        float | None,
        typer.Option(
            "--abstain_below", "--abstain-below", min=0, max=1, help="No label where the best score is lower."
        ),
    ] = None,
    timeline: Annotated[
        bool, typer.Option("--timeline", help="What is heard when, in recordings of any length.")
    ] = False,
    window: Annotated[float, typer.Option(help="Seconds of the timeline that are heard at once.")] = 5.0,
    hop: Annotated[float | None, typer.Option(help="Seconds from window to window, if they are to overlap.")] = None,
    backend: Annotated[
        str, typer.Option(help="torch; onnx, for the model's own model.onnx; or an ONNX file of `m4ser export`.")
    ] = "torch",
    dtype: Annotated[
        Literal["auto", "float32", "bfloat16"],
        typer.Option(help="auto is the model's own; bfloat16 is fast where the processor computes in it."),
    ] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a recording.")] = False,
):
    """Name the emotion of each recording; exit code 1 if one of them could not be used."""
    from tqdm import tqdm

    recordings = [recording for path in paths for recording in _recordings(path)]
    if not recordings:
        raise ValueError(f"There is no recording in {', '.join(paths)}.")
    inputs = ({**_source(recording), "text": text} for recording in recordings)
    classify = _load(model, backend, dtype)
    options = {"batch_size": batch_size, "abstain_below": abstain_below or 0.0}
    if timeline:
        answers = (_timeline(classify, item, {**options, "window": window, "hop": hop}) for item in inputs)
    else:
        answers = classify(inputs, **options)
    failed = False
    # Shown on a terminal only; what is printed goes above it.
    with tqdm(total=len(recordings), unit="recording", disable=None, leave=False) as progress:
        for recording, answer in zip(recordings, answers, strict=True):
            row = _row(recording, answer)
            failed |= "error" in row
            progress.write(
                json.dumps(row) if as_json else _readable(row),
                file=sys.stderr if "error" in row and not as_json else sys.stdout,
            )
            progress.update()
    raise typer.Exit(int(failed))


def _load(model, backend, dtype):
    if backend == "torch":
        from m4ser import M4SERPipeline

        return M4SERPipeline.from_pretrained(model, dtype=dtype)
    if dtype != "auto":
        raise ValueError("--dtype is of the backend torch: an ONNX graph was written in a precision of its own.")
    from m4ser.export import OnnxPipeline

    return OnnxPipeline.from_pretrained(model, None if backend == "onnx" else backend)


def _recordings(path):
    if Path(path).is_dir():
        return sorted(str(file) for file in Path(path).rglob("*") if file.suffix.lower() in AUDIO_SUFFIXES)
    return [path]


def _source(recording):
    if recording == "-":
        return {"bytes": sys.stdin.buffer.read(), "path": "standard input"}
    return {"path": recording}


def _timeline(classify, source, options):
    """The answer to one recording with its timeline, while the seconds that have been heard are counted."""
    from tqdm import tqdm

    from m4ser import AudioError
    from m4ser.model.windowing_m4ser import aggregate

    entries = []
    try:
        with tqdm(desc=source["path"], unit=" s", disable=None, leave=False) as heard:
            for entry in classify.timeline(source, **options):
                entries.append(entry)
                heard.update(round(entry["end"] - heard.n))
        return {**aggregate(entries, options["abstain_below"]), "timeline": entries}
    except AudioError as refusal:
        return {"error": str(refusal)}


def _row(recording, answer):
    """What a recording's line of JSON holds."""
    if "error" in answer:
        return {"path": recording, **answer}
    row = {"path": recording, **_named(answer)}
    if "timeline" in answer:
        row["timeline"] = [{**entry, **_named(entry)} for entry in answer["timeline"]]
    return row


def _named(answer):
    return {"label": answer["label"], "scores": {item["label"]: item["score"] for item in answer["scores"]}}


def _readable(row):
    """A line for a recording, or for each entry of its timeline."""
    if "error" in row:
        return f"{row['path']}\t{row['error']}"
    lines = [f"{row['path']}\t{_scores(row)}"]
    for entry in row.get("timeline", ()):
        lines.append(f"{row['path']}\t{entry['start']:.2f}\t{entry['end']:.2f}\t{_scores(entry)}\t{entry['text']}")
    return "\n".join(lines)


def _scores(row):
    scores = "  ".join(f"{label} {score:.3f}" for label, score in row["scores"].items())
    return scores if row["label"] else f"abstains: {scores}"


@app.command()
def evaluate(
    run: Annotated[str, typer.Argument(help="Folder of a run, or Hub id.")],
    dataset: Annotated[str, typer.Option(help="Folder of a builder, or Hub id.")],
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    batch_size: Annotated[int, typer.Option("--batch_size", "--batch-size", min=1, help="Recordings at once.")] = 8,
) -> None:
    """Score a model on a split of a dataset, as JSON: accuracies, and how far its confidence is from them (ECE)."""
    from m4ser.evaluation.scoring import score_split

    print(json.dumps(score_split(run, dataset, split, batch_size), indent=1))


@app.command()
def calibrate(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    dataset: Annotated[str, typer.Option(help="The dataset it was trained on: folder of a builder, or Hub id.")],
    batch_size: Annotated[int, typer.Option("--batch_size", "--batch-size", min=1, help="Recordings at once.")] = 8,
) -> None:
    """Calibrate a model's scores to probabilities: fit a temperature on the run's validation split.

    The temperature goes into RUN/config.json, which predict, evaluate and the pipeline apply; the expected
    calibration error before and after goes into RUN/results.json and is printed.
    """
    from m4ser.evaluation.calibration import calibrate_run

    print(json.dumps(calibrate_run(run, dataset, batch_size), indent=1))


@app.command()
def export(
    run: Annotated[str, typer.Argument(help="Folder of a run, or Hub id.")],
    output: Annotated[Path | None, typer.Option(help="ONNX file; model.onnx in the run's folder by default.")] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="Matrix products in 8 bits: smaller, and a little off.")
    ] = False,
):
    """Write the network as one ONNX graph, for recordings, texts and batches of any length.

    `m4ser predict --backend onnx` asks model.onnx in the model's folder, `--backend FILE` any other.
    """
    from m4ser.export import FILE, export_onnx

    if output is None and not Path(run).is_dir():
        raise ValueError(f"{run} is no folder here: say where the graph goes with --output FILE.")
    print(export_onnx(run, output or Path(run) / FILE, int8))


@app.command()
def wer(
    dataset: Annotated[str, typer.Argument(help="Folder of a builder, or Hub id.")],
    hypotheses: Annotated[Path | None, typer.Option(help="JSON lines instead of the dataset's hypotheses.")] = None,
    asr: Annotated[str | None, typer.Option(help="Whisper model whose table of spellings is used.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Score a dataset's ASR hypotheses: word error rates overall and by split, session, emotion and speaker."""
    from m4ser.data.builders.builder_cli import read_hypotheses
    from m4ser.evaluation import transcripts

    rows = transcripts.load_texts(dataset, None if hypotheses is None else read_hypotheses(hypotheses))
    rates = transcripts.word_error_rates(rows, normalize=transcripts.whisper_normalizer(asr))
    if as_json:
        print(json.dumps(rates, indent=1))
        return
    print(transcripts.word_error_table(rates))
    spellings = "" if asr else "; British spellings count as errors unless --asr names a Whisper model with its table"
    print(f"\nTexts as Whisper's English normalizer leaves them{spellings}. {transcripts.PUBLISHED}")


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Folders of finished runs, or folders of such folders.")],
    output_dir: Annotated[Path, typer.Option("--output_dir", help="Where the report goes.")],
    dataset: Annotated[list[str] | None, typer.Option(help="Dataset of the runs; draws representations, too.")] = None,
) -> None:
    """Write the paper's tables and figures with these runs beside them: a page, Markdown, CSV, SVG and PNG."""
    from m4ser.evaluation.paper import write_report

    print(write_report(runs, output_dir, dataset or ()))


@app.command()
def baselines(
    dataset: Annotated[str, typer.Option(help="Folder of a builder, or Hub id.")],
    protocol: Annotated[str, typer.Option(help="Which recordings are tested, in all of its folds.")] = "held_out",
    output_dir: Annotated[
        Path | None, typer.Option("--output_dir", help="Write each baseline as a run below this folder.")
    ] = None,
) -> None:
    """Train and test simple classifiers on a dataset, as JSON: majority, words (TF-IDF), voice (MFCC and SVM).

    With --output_dir, `m4ser report` compares them with the networks.
    """
    from m4ser.evaluation.baselines import run_baselines

    reports = run_baselines(dataset, protocol, output_dir)
    print(json.dumps(reports if len(reports) > 1 else reports[0], indent=2))


@app.command()
def latency(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    dataset: Annotated[str, typer.Option(help="Folder of a builder, or Hub id.")],
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    recordings: Annotated[int, typer.Option(min=1, help="The first so many of the split.")] = 100,
) -> None:
    """Measure a model's inference time of a recording, as JSON, and write it to RUN/latency.json for the report."""
    from m4ser.evaluation.latency import measure_latency

    print(json.dumps(measure_latency(run, dataset, split, recordings), indent=1))


@app.command()
def robustness(
    run: Annotated[str, typer.Argument(help="Folder of a run, or Hub id.")],
    dataset: Annotated[str, typer.Option(help="Folder of a builder, or Hub id.")],
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    batch_size: Annotated[int, typer.Option("--batch_size", "--batch-size", min=1, help="Recordings at once.")] = 8,
    output: Annotated[Path | None, typer.Option(help="JSON file; RUN/robustness.json by default.")] = None,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0,
) -> None:
    """Measure how noise, rooms, telephones and word errors change a model's predictions; write it beside the run."""
    from m4ser.evaluation.robustness.suite import robustness_of, summarize
    from m4ser.run_folder import ROBUSTNESS, write_json

    output = output or Path(run) / ROBUSTNESS
    if not output.parent.is_dir():
        raise ValueError(f"There is no folder {output.parent} for the results; give --output FILE.")
    results = robustness_of(run, dataset, split, batch_size, seed)
    write_json(output.parent, output.name, results)
    print(summarize(results))


@app.command()
def doctor(
    model: Annotated[str | None, typer.Option(help="Folder of a run, or Hub id: what it would download.")] = None,
):
    """What is installed, what M4SER computes on, which models are in the cache, and what would be downloaded."""
    from m4ser.doctor import findings

    for name, finding in findings(model):
        print(f"{name}: {finding}")
