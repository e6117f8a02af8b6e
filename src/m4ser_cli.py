"""The `m4ser` command: the parser only, so that `m4ser --help` does not wait for the import of torch."""

import io
import json
import logging
import os
import sys
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

app = typer.Typer(
    help="Emotion from speech and the ASR hypothesis of it.", no_args_is_help=True, pretty_exceptions_enable=False
)
logger = logging.getLogger("m4ser")

# What brings a library, and the others that the command needs.
EXTRAS = {
    **dict.fromkeys(("uvicorn", "fastapi", "prometheus_client", "python_multipart"), "'m4ser[serve]'"),
    **dict.fromkeys(("sklearn", "scipy", "matplotlib"), "'m4ser[report]'"),
}
Model = Annotated[str, typer.Option(help="Folder of a run, or Hub id.")]
Asr = Annotated[
    str | None,
    typer.Option(help="ASR model, where there is no text: folder or Hub id; the model's own by default."),
]
Device = Annotated[str | None, typer.Option(help="As cuda:1 or cpu; the first GPU by default.")]
Inputs = Annotated[
    list[str],
    typer.Argument(
        help="Recordings, folders of them, addresses, or - for a piped one; with --output also lists (CSV, TSV, JSON "
        "lines with a column path), Parquet files and datasets."
    ),
]
TextsFile = Annotated[Path | None, typer.Option(help="JSON lines of `m4ser transcribe`, instead of one text.")]
PredictBatchSize = Annotated[
    int | None,
    typer.Option("--batch_size", "--batch-size", min=1, help="Recordings or windows at once: 1; with --output 16."),
]
Timeline = Annotated[bool, typer.Option("--timeline", help="The emotions over time, in recordings of any length.")]
Rttm = Annotated[
    Path | None, typer.Option(help="Who speaks when, of a diarization tool: the timeline is cut by speaker.")
]
Srt = Annotated[Path | None, typer.Option(help="Write the timeline of one recording as SubRip subtitles, too.")]
Vtt = Annotated[Path | None, typer.Option(help="The same as WebVTT, with the times of words where they are known.")]
Window = Annotated[
    str | None, typer.Option(help="Of the timeline: seconds, 5 by default; or segments, of the ASR model.")
]
NumWorkers = Annotated[
    int, typer.Option("--num_workers", "--num-workers", min=0, help="Processes that decode, with --output.")
]
ShardSize = Annotated[
    int, typer.Option("--shard_size", "--shard-size", min=1, help="Recordings of a Parquet file of the folder.")
]
AbstainBelow = Annotated[
    float | None,
    typer.Option("--abstain_below", "--abstain-below", min=0, max=1, help="No label where the best score is lower."),
]
Backend = Annotated[
    str, typer.Option(help="torch; onnx, for the model's own model.onnx; or an ONNX file of `m4ser export`.")
]
Dtype = Annotated[
    Literal["auto", "float32", "bfloat16"],
    typer.Option(help="auto is the model's own; bfloat16 is fast where the processor computes in it."),
]
Output = Annotated[
    Path | None,
    typer.Option(
        help="Write a table instead: a folder of Parquet files for any number of recordings, which several processes "
        "share and the same command goes on with; or a .csv, .jsonl or .parquet file."
    ),
]


def main() -> None:
    """Run a command; an error that the user can correct becomes one sentence and exit code 1."""
    warnings.formatwarning = lambda message, *_: f"m4ser: {message}\n"
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files may hold what the terminal cannot show
    try:
        app(prog_name="m4ser")
    except (ValueError, OSError, ModuleNotFoundError) as error:
        if logger.isEnabledFor(logging.DEBUG):
            raise
        if isinstance(error, ModuleNotFoundError):
            needed = EXTRAS.get(error.name or "", error.name)
            sys.exit(f"m4ser: this command needs {error.name}: pip install {needed}")
        sys.exit(f"m4ser: {' '.join(str(error).split())}")


def show_version(wanted: bool) -> None:
    """Print the version, from the installation, which does not import the package."""
    if wanted:
        print(f"m4ser {version('m4ser')}")
        raise typer.Exit


@app.callback()
def configure(
    debug: Annotated[
        bool, typer.Option("--debug", help="Log what is done, and show the traceback of an error.")
    ] = False,
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=show_version, is_eager=True)
    ] = False,
) -> None:
    """Set up logging before the command runs."""
    logging.basicConfig(format="%(asctime)s %(name)s: %(message)s", datefmt="%H:%M:%S")
    logger.setLevel(logging.DEBUG if debug else logging.WARNING)
    if not sys.stderr.isatty():  # bars would fill a log; said before the libraries are imported, which read it then
        for library in ("HUB", "DATASETS"):
            os.environ.setdefault(f"HF_{library}_DISABLE_PROGRESS_BARS", "1")


@app.command()
def demo(
    output_dir: Annotated[Path, typer.Option("--output_dir", help="Where the corpus and the models go.")] = Path(
        "runs/demo"
    ),
) -> None:
    """Build the synthetic corpus, train M4SER on it, reload it in a new process and run inference."""
    from m4ser.demo import run_demo

    run_demo(output_dir)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="The folder to start from, new or not.")],
    recordings: Annotated[Path | None, typer.Option(help="Folder of the recordings, if another; they stay.")] = None,
) -> None:
    """Write a folder to start from: a manifest of your recordings, a config, and a README of the next steps."""
    from m4ser.starter import write_starter

    print(write_starter(folder, recordings))


@app.command()
def predict(
    inputs: Inputs,
    model: Model,
    text: Annotated[str | None, typer.Option(help="The hypothesis, one for all of them.")] = None,
    hypotheses: TextsFile = None,
    asr: Asr = None,
    batch_size: PredictBatchSize = None,
    abstain_below: AbstainBelow = None,
    timeline: Timeline = False,
    window: Window = None,
    hop: Annotated[float | None, typer.Option(help="Seconds from window to window, if they are to overlap.")] = None,
    rttm: Rttm = None,
    srt: Srt = None,
    vtt: Vtt = None,
    correct: Annotated[bool, typer.Option("--correct", help="The corrected hypothesis, too.")] = False,
    backend: Backend = "torch",
    dtype: Dtype = "auto",
    device: Device = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a recording.")] = False,
    output: Output = None,
    embeddings: Annotated[bool, typer.Option("--embeddings", help="In the table, the embedding, too.")] = False,
    num_workers: NumWorkers = 1,
    shard_size: ShardSize = 1000,
    engine: Annotated[Literal["local", "ray"], typer.Option(help="ray: a cluster, of RAY_ADDRESS or new.")] = "local",
    workers: Annotated[int, typer.Option(min=1, help="Processes of the engine ray that have the model.")] = 1,
) -> None:
    """Predict the emotion of each recording; exit code 1 if one of them could not be used.

    With --output DIR any number of recordings: killed and typed again, it goes on; several commands, or processes of
    `accelerate launch -m m4ser_cli predict ...`, share the work.
    """
    windows: dict[str, Any] = {"window": window, "hop": hop, "rttm": rttm, "srt": srt, "vtt": vtt}
    if output is not None:
        from m4ser.inference.bulk import Job, ScoringOptions, score_inputs

        if timeline or as_json or any(value is not None for value in windows.values()):
            raise ValueError("A table has a row a recording: leave out --json and what is of a timeline.")
        options = ScoringOptions(correct, embeddings, abstain_below or 0.0, batch_size or 16, num_workers)
        job = Job(model, backend, dtype, device, asr, options)
        score_inputs(job, inputs, output, text, hypotheses, shard_size, workers if engine == "ray" else None)
        return
    if embeddings or engine == "ray":
        raise ValueError("--embeddings and --engine are of a table: add --output.")
    from m4ser.inference.predicting import find_recordings, load_pipeline, predict_rows, read_texts, timeline_options
    from m4ser.inference.printing import print_rows

    recordings = find_recordings(inputs)
    cut = timeline_options(recordings, timeline, **windows)
    if hypotheses is not None and (text is not None or cut):
        raise ValueError("--hypotheses gives each recording one text: leave --text and --timeline out.")
    texts = text if hypotheses is None else read_texts(hypotheses, recordings)
    classify = load_pipeline(model, backend, dtype, asr, device)
    rows = predict_rows(
        classify, recordings, texts, cut, correct, batch_size=batch_size or 1, abstain_below=abstain_below
    )
    raise typer.Exit(int(print_rows(rows, len(recordings), as_json, srt, vtt)))


@app.command()
def serve(
    model: Model,
    asr: Asr = None,
    host: Annotated[str, typer.Option(help="Address of this machine; 0.0.0.0 for all of them.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8000,
    device: Device = None,
    batch_size: Annotated[int, typer.Option("--batch_size", "--batch-size", min=1, help="Recordings at once.")] = 8,
    max_megabytes: Annotated[
        float, typer.Option("--max_megabytes", "--max-megabytes", min=0, help="Of an upload.")
    ] = 25,
    max_seconds: Annotated[
        float, typer.Option("--max_seconds", "--max-seconds", min=0, help="Of a recording that is transcribed.")
    ] = 600,
    max_requests: Annotated[
        int, typer.Option("--max_requests", "--max-requests", min=1, help="At once; more get status 503.")
    ] = 64,
) -> None:
    """Serve a model over HTTP: /predict, and /v1/audio/transcriptions in the shape of OpenAI's API, with emotions."""
    from m4ser.serving.server import run_server

    run_server(model, asr, device, batch_size, (max_megabytes, max_seconds, max_requests), host, port)


# The options of these are not typer's: what is behind the name goes on as it is.
PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


@app.command(context_settings=PASSED_ON)
def build(context: typer.Context) -> None:
    """Build a dataset: m4ser build NAME --help, where NAME is manifest (your own recordings), iemocap, meld ..."""
    from m4ser.corpora import build as build_corpus

    build_corpus(context.args)


@app.command(context_settings=PASSED_ON)
def transcribe(context: typer.Context) -> None:
    """Transcribe a dataset or a folder of recordings into a hypotheses file."""
    from m4ser.asr.command import main as transcribe_all

    sys.argv[0] = "m4ser transcribe"
    transcribe_all(context.args)


@app.command(context_settings=PASSED_ON)
def train(context: typer.Context) -> None:
    """Train a system: m4ser train CONFIG ... --dataset DATASET --output_dir RUN, as train.py does."""
    from m4ser.training.main import main as train_runs

    sys.argv[0] = "m4ser train"
    train_runs(context.args)


@app.command()
def evaluate(
    run: Annotated[str, typer.Argument(help="Folder of a run, or Hub id.")],
    dataset: Annotated[str, typer.Option(help="Folder of a builder, or Hub id.")],
    split: Annotated[str, typer.Option(help="train, validation or test, as the run's protocol has it.")] = "test",
    batch_size: Annotated[int, typer.Option("--batch_size", "--batch-size", min=1, help="Recordings at once.")] = 8,
) -> None:
    """Score a model on a split of a dataset, as JSON: accuracies, and how far its confidence is from them (ECE).

    The split is that of the run: its protocol, fold, shots and text. A dataset that is not the run's, and a model
    without results.json, are scored on the dataset's own splits; `evaluated_on` says which.
    """
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
) -> None:
    """Write the network as one ONNX graph, or two where it transcribes, for inputs and batches of any length.

    `m4ser predict --backend onnx` runs model.onnx in the model's folder, `--backend FILE` any other.
    """
    from m4ser.export import export_onnx

    print(export_onnx(run, output, int8))


@app.command()
def wer(
    dataset: Annotated[str, typer.Argument(help="Folder of a builder, or Hub id.")],
    hypotheses: Annotated[Path | None, typer.Option(help="JSON lines instead of the dataset's hypotheses.")] = None,
    asr: Annotated[str | None, typer.Option(help="Whisper model whose table of spellings is used.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Score a dataset's ASR hypotheses: word error rates overall and by split, session, emotion and speaker."""
    from m4ser.data.builders.hypotheses import read_hypotheses
    from m4ser.evaluation import transcripts

    rows = transcripts.load_texts(dataset, None if hypotheses is None else read_hypotheses(hypotheses))
    rates = transcripts.word_error_rates(rows, asr=asr)
    if as_json:
        print(json.dumps(rates, indent=1))
        return
    print(transcripts.word_error_table(rates))
    print(f"\n{transcripts.describe_normalizer(rows, asr)} {transcripts.PUBLISHED}")


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Folders of finished runs, or folders of such folders.")],
    output_dir: Annotated[Path, typer.Option("--output_dir", help="Where the report goes.")],
    dataset: Annotated[list[str] | None, typer.Option(help="For representations, and tests by speakers.")] = None,
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
    split: Annotated[str, typer.Option(help="train, validation or test, as the run's protocol has it.")] = "test",
    recordings: Annotated[int, typer.Option(min=1, help="The first so many of the split.")] = 100,
) -> None:
    """Measure a model's inference time of a recording, as JSON, and write it to RUN/latency.json for the report."""
    from m4ser.evaluation.latency import measure_latency

    print(json.dumps(measure_latency(run, dataset, split, recordings), indent=1))


@app.command()
def robustness(
    run: Annotated[str, typer.Argument(help="Folder of a run, or Hub id.")],
    dataset: Annotated[str, typer.Option(help="Folder of a builder, or Hub id.")],
    split: Annotated[str, typer.Option(help="train, validation or test, as the run's protocol has it.")] = "test",
    batch_size: Annotated[int, typer.Option("--batch_size", "--batch-size", min=1, help="Recordings at once.")] = 8,
    output: Annotated[Path | None, typer.Option(help="JSON file; RUN/robustness.json by default.")] = None,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0,
) -> None:
    """Measure how noise, rooms, telephones and word errors change a model's predictions; write it beside the run."""
    from m4ser.evaluation.robustness.suite import robustness_of, summarize
    from m4ser.run_folder import ROBUSTNESS, write_measured

    output = output or Path(run) / ROBUSTNESS
    if not output.parent.is_dir():
        raise ValueError(f"There is no folder {output.parent} for the results; give --output FILE.")
    results = robustness_of(run, dataset, split, batch_size, seed)
    write_measured(output.parent, output.name, results, run)
    print(summarize(results))


@app.command()
def doctor(
    model: Annotated[str | None, typer.Option(help="Folder of a run, or Hub id: what it would download.")] = None,
) -> None:
    """Check the installation: packages, device, the models in the cache, and what would be downloaded."""
    from m4ser.doctor import findings

    for name, finding in findings(model):
        print(f"{name}: {finding}")


if __name__ == "__main__":
    main()
