"""The `m4ser` command as a user types it: results on stdout, one sentence on stderr, and an exit code."""

import csv
import io
import json
import logging
import os
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest
import soundfile

import m4ser_cli
from m4ser import M4SERModel, M4SERPipeline, __version__
from m4ser.evaluation.scoring import score_split
from tests.tiny_whisper import save_tiny_whisper
from tests.warm_python import warm

TEXT = "ask not what your country can do for you"
COMMANDS = [
    "demo",
    "init",
    "predict",
    "serve",
    "build",
    "transcribe",
    "train",
    "evaluate",
    "calibrate",
    "export",
    "wer",
    "report",
    "baselines",
    "latency",
    "robustness",
    "doctor",
]


@pytest.fixture(scope="module")
def recordings(shared_data, tmp_path_factory):
    """A folder with two recordings, one of them in a subfolder, and files that are none."""
    folder = tmp_path_factory.mktemp("recordings")
    (folder / "deeper").mkdir()
    shutil.copy(shared_data / "asr_speech" / "librivox_ss01_0880.wav", folder / "deeper" / "b.WAV")
    shutil.copy(shared_data / "asr_speech" / "jfk.flac", folder / "a.flac")
    (folder / "broken.wav").write_text("<html>Not found</html>")
    (folder / "notes.txt").write_text("no recording")
    return folder


@pytest.fixture
def m4ser(monkeypatch, capsys):
    """m4ser(*arguments): the command in this process, which saves the seconds that the imports take."""

    def run(*arguments):
        monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # put back afterwards
        monkeypatch.setattr(sys, "argv", ["m4ser", *map(str, arguments)])
        try:
            m4ser_cli.main()
            code = 0
        except SystemExit as stop:
            if isinstance(stop.code, str):  # what Python itself does with it
                print(stop.code, file=sys.stderr)
            code = 1 if isinstance(stop.code, str) else stop.code or 0
        printed = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, code, printed.out, printed.err)

    yield run
    logging.getLogger("m4ser").setLevel(logging.NOTSET)


@pytest.fixture
def batch_shapes(monkeypatch):
    """The shape of `input_values` at each forward of a model."""
    forward, shapes = M4SERModel.forward, []

    def recorded(self, *args, **kwargs):
        shapes.append(tuple(kwargs["input_values"].shape))
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(M4SERModel, "forward", recorded)
    return shapes


def error_sentence(result):
    """The error of a command that failed with one line."""
    assert result.returncode == 1 and "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("m4ser: ")]
    assert len(lines) == 1 and result.stdout == ""
    return lines[0]


def test_installed_command_predicts_around_broken_file(tiny_run, recordings, tmp_path):
    gone = tmp_path / "gone.wav"
    m4ser = warm("m4ser")
    result = subprocess.run(
        [
            m4ser,
            "predict",
            recordings,
            gone,
            recordings / "a.flac",
            "--model",
            tiny_run,
            "--json",
            "--batch_size",
            "2",
        ],
        capture_output=True,
        text=True,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        timeout=300,
    )
    assert result.returncode == 1 and "Traceback" not in result.stderr
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    files = [
        recordings / "a.flac",
        recordings / "broken.wav",
        recordings / "deeper/b.WAV",
        gone,
        recordings / "a.flac",
    ]
    assert [row["path"] for row in rows] == list(map(str, files))
    assert [set(row) for row in rows if "error" in row] == [{"path", "error"}] * 2
    assert "broken.wav: not an audio file" in rows[1]["error"] and "no such file" in rows[3]["error"]
    classify = M4SERPipeline.from_pretrained(tiny_run)
    for row in (rows[0], rows[2], rows[4]):
        expected = {item["label"]: item["score"] for item in classify(row["path"])}
        assert row["scores"] == pytest.approx(expected, abs=1e-5)
        assert row["label"] == max(expected, key=expected.get)
    warning = "m4ser: No text and no ASR model were given: M4SER predicts from speech alone."
    assert f"{warning} Give an ASR model (asr=, m4ser predict --asr ID), or each" in result.stderr


def test_predict_prints_lines_for_people(m4ser, tiny_run, recordings):
    file = recordings / "a.flac"
    result = m4ser("predict", file, "--model", tiny_run, "--text", TEXT)
    assert result.returncode == 0
    path, scores, text = result.stdout.strip().split("\t")
    assert path == str(file) and len(scores.split()) == 2 * 4 and text == TEXT
    result = m4ser("predict", recordings, "--model", tiny_run, "--text", TEXT)
    assert result.returncode == 1 and len(result.stdout.splitlines()) == 2
    assert f"{recordings / 'broken.wav'}\t" in result.stderr


def test_predict_abstains(m4ser, tiny_run, recordings):
    command = "predict", recordings / "a.flac", "--model", tiny_run, "--text", TEXT, "--abstain-below"
    row = json.loads(m4ser(*command, "1", "--json").stdout)
    assert row["label"] is None and sum(row["scores"].values()) == pytest.approx(1)
    assert json.loads(m4ser(*command, "0", "--json").stdout)["label"] == max(row["scores"], key=row["scores"].get)
    assert "\tabstains: " in m4ser(*command, "1").stdout
    assert m4ser(*command, "2").returncode == 2


def test_predict_takes_standard_input(m4ser, tiny_run, recordings, monkeypatch):
    options = ("--model", tiny_run, "--text", TEXT, "--json")
    expected = json.loads(m4ser("predict", recordings / "a.flac", *options).stdout)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO((recordings / "a.flac").read_bytes())))
    assert json.loads(m4ser("predict", "-", *options).stdout) == {**expected, "path": "-"}
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    result = m4ser("predict", "-", *options)
    assert result.returncode == 1 and json.loads(result.stdout)["error"].startswith(
        "standard input: the file is empty"
    )


def test_predict_timeline(m4ser, tiny_run, recordings, batch_shapes, monkeypatch):
    options = ("--model", tiny_run, "--timeline", "--window", 4, "--hop", 2, "--batch-size", 2)
    result = m4ser("predict", recordings, *options, "--json")
    assert [size for size, _ in batch_shapes] == [2, 2, 1, 1]  # jfk's five windows, and the short one's
    jfk, broken, short = map(json.loads, result.stdout.splitlines())
    assert result.returncode == 1 and "not an audio file" in broken["error"]
    times = [(entry["start"], entry["end"]) for entry in jfk["timeline"]]  # 11 s
    assert times == [(0, 2), (2, 4), (4, 6), (6, 8), (8, 11)]
    expected = M4SERPipeline.from_pretrained(tiny_run)(str(recordings / "a.flac"), window=4, hop=2)
    scores = [{item["label"]: item["score"] for item in part["scores"]} for part in (expected, *expected["timeline"])]
    for part, of_pipeline in zip((jfk, *jfk["timeline"]), scores, strict=True):
        assert part["scores"] == pytest.approx(of_pipeline, abs=1e-5)
        assert part["label"] == max(of_pipeline, key=of_pipeline.get)
    assert len(short["timeline"]) == 1 and short["timeline"][0]["scores"] == pytest.approx(short["scores"])

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    shown = m4ser("predict", recordings / "a.flac", *options)
    assert shown.returncode == 0 and "recording" in shown.stderr and "second" in shown.stderr
    lines = [line.split("\t") for line in shown.stdout.splitlines()]
    assert [line[1:3] for line in lines[1:]] == [[f"{start:.2f}", f"{end:.2f}"] for start, end in times]


def test_too_long_recording_names_timeline(m4ser, tiny_run, tmp_path):
    soundfile.write(tmp_path / "long.flac", np.zeros(121 * 8000), 8000)
    result = m4ser("predict", tmp_path / "long.flac", "--model", tiny_run)
    assert result.returncode == 1 and "longer than 120 s; cut it, or use a timeline" in result.stderr
    result = m4ser("predict", tmp_path / "long.flac", "--model", tiny_run, "--timeline", "--window", 60)
    assert result.returncode == 0 and len(result.stdout.splitlines()) == 1 + 3


def test_predict_in_half_precision(m4ser, tiny_run, recordings):
    predict = "predict", recordings / "a.flac", "--model", tiny_run, "--text", TEXT, "--json"
    output, expected = (json.loads(m4ser(*predict, *more).stdout) for more in (("--dtype", "bfloat16"), ()))
    assert output["scores"] == pytest.approx(expected["scores"], abs=0.05)
    assert output["scores"] != pytest.approx(expected["scores"], abs=1e-6)
    refused = m4ser(*predict, "--dtype", "bfloat16", "--backend", "onnx")
    assert "--dtype is of the backend torch" in error_sentence(refused)


def test_export_and_predict_with_backend(m4ser, tiny_run, recordings, tmp_path):
    """In 8 bits: the graph is smaller than the weights were, and a little off; test_export has the exact one."""
    pytest.importorskip("onnxscript", reason="needs the export extra")
    file = tmp_path / "graphs" / "int8.onnx"
    assert "say where the graph goes with --output" in error_sentence(m4ser("export", "org/m4ser-x"))
    predict = "predict", recordings / "a.flac", "--model", tiny_run, "--text", TEXT, "--json"
    assert f"There is no ONNX file {tiny_run}/model.onnx" in error_sentence(m4ser(*predict, "--backend", "onnx"))
    result = m4ser("export", tiny_run, "--output", file, "--int8")
    assert (result.returncode, result.stdout.strip().splitlines()[-1]) == (0, str(file)), result.stderr
    assert file.stat().st_size < 0.7 * (tiny_run / "model.safetensors").stat().st_size
    assert list(file.parent.iterdir()) == [file]
    output, expected = (json.loads(m4ser(*predict, *more).stdout) for more in (("--backend", file), ()))
    assert output == expected | {"scores": pytest.approx(expected["scores"], abs=0.05)}
    assert output["scores"] != pytest.approx(expected["scores"], abs=1e-6)


def test_predict_transcribes_with_models_asr_model(m4ser, tiny_run, recordings, tmp_path):
    shutil.copytree(tiny_run, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints"))
    save_tiny_whisper(tmp_path / "whisper")
    settings = tmp_path / "run" / "processor_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"asr_model_id": str(tmp_path / "whisper")}))
    result = m4ser("predict", recordings / "deeper", "--model", tmp_path / "run", "--json")
    expected = M4SERPipeline.from_pretrained(tmp_path / "run")(recordings / "deeper" / "b.WAV")
    assert json.loads(result.stdout)["scores"] == pytest.approx({item["label"]: item["score"] for item in expected})
    assert "from speech alone" not in result.stderr


def test_predict_takes_hypotheses_file(m4ser, tiny_run, recordings, tmp_path):
    file, second = tmp_path / "hypotheses.jsonl", recordings / "deeper" / "b.WAV"
    rows = [{"id": "a", "hypothesis": TEXT}, {"file": "deeper/b.WAV", "hypothesis": "so heart"}]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = "predict", recordings / "a.flac", second, "--model", tiny_run, "--json", "--hypotheses", file
    result = m4ser(*command)
    assert result.returncode == 0 and "m4ser: " not in result.stderr
    classify = M4SERPipeline.from_pretrained(tiny_run)
    for row, text in zip(map(json.loads, result.stdout.splitlines()), (TEXT, "so heart"), strict=True):
        expected = {item["label"]: item["score"] for item in classify(row["path"], text=text)}
        assert row["scores"] == pytest.approx(expected, abs=1e-5)

    file.write_text(json.dumps(rows[0]))
    with pytest.warns(UserWarning, match=f"has no text of 1 of 2 recordings, such as {second}"):
        assert m4ser(*command).returncode == 0
    file.write_text(json.dumps({"id": "elsewhere", "hypothesis": TEXT}))
    assert "none of its 1 hypotheses" in error_sentence(m4ser(*command))
    assert "leave --text and --timeline out" in error_sentence(m4ser(*command, "--timeline"))


def test_predict_transcribes_with_given_asr_model(m4ser, tiny_run, recordings, tmp_path):
    save_tiny_whisper(tmp_path / "whisper")
    file = recordings / "deeper" / "b.WAV"
    result = m4ser("predict", file, "--model", tiny_run, "--asr", tmp_path / "whisper", "--json")
    expected = M4SERPipeline.from_pretrained(tiny_run, asr=str(tmp_path / "whisper"))(file)
    assert json.loads(result.stdout)["scores"] == pytest.approx({item["label"]: item["score"] for item in expected})
    assert result.returncode == 0 and "from speech alone" not in result.stderr
    refused = m4ser("predict", file, "--model", tiny_run, "--asr", tmp_path / "gone")
    assert f"There is no ASR model {tmp_path / 'gone'}: no such folder" in error_sentence(refused)


def test_calibrated_temperature_is_used(m4ser, tiny_run, tmp_path):
    run, corpus = tmp_path / "run", tiny_run.parent / "corpus"
    shutil.copytree(tiny_run, run, ignore=shutil.ignore_patterns("checkpoints"))
    result = m4ser("calibrate", run, "--dataset", corpus)
    assert result.returncode == 0, result.stderr
    calibration = json.loads(result.stdout)
    assert json.loads((run / "results.json").read_text())["calibration"] == calibration
    scores = json.loads(m4ser("evaluate", run, "--dataset", corpus).stdout)
    after = calibration["splits"]["test"]["after"]["expected_calibration_error"]
    assert scores["expected_calibration_error"] == pytest.approx(after, abs=1e-5)
    assert "there is no results.json" in error_sentence(m4ser("calibrate", corpus, "--dataset", corpus))


def test_evaluate_prints_scores(m4ser, tiny_run):
    corpus = tiny_run.parent / "corpus"
    result = m4ser("evaluate", tiny_run, "--dataset", corpus, "--split", "validation")
    assert result.returncode == 0
    assert json.loads(result.stdout) == score_split(tiny_run, str(corpus), "validation")
    with pytest.warns(UserWarning, match=f"The split train is what {tiny_run} was trained on"):
        result = m4ser("evaluate", tiny_run, "--dataset", corpus, "--split", "train")
    assert json.loads(result.stdout)["evaluated_on"]["training_recordings"] is True


def test_report_writes_page_and_tables(m4ser, tiny_run, tmp_path):
    pytest.importorskip("matplotlib")
    result = m4ser("report", tiny_run, "--output_dir", tmp_path / "report")
    assert result.returncode == 0 and result.stdout.strip() == str(tmp_path / "report" / "report.html")
    assert "Results on corpus" in (tmp_path / "report" / "report.html").read_text()
    with open(tmp_path / "report" / "report.csv", newline="") as file:
        ours = [row for row in csv.DictReader(file) if row["table"] == "results-corpus" and row["column"] == "WA"]
    accuracy = json.loads((tiny_run / "results.json").read_text())["splits"]["test"]["weighted_accuracy"]
    assert [float(row["value"]) for row in ours] == [pytest.approx(100 * accuracy)]


def test_doctor_names_installed_packages(m4ser):
    result = m4ser("doctor")
    found = dict(line.split(": ", 1) for line in result.stdout.splitlines())
    assert result.returncode == 0
    assert found["m4ser"] == __version__ and found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert {"torch", "transformers", "datasets", "soundfile", "device", "decodes wav, flac, ogg, mp3"} <= set(found)
    assert "would be downloaded: org/gone" in m4ser("doctor", "--model", "org/gone").stdout


def test_baselines_and_latency_print_json(m4ser, tiny_run, tmp_path):
    corpus, run = tiny_run.parent / "corpus", tmp_path / "run"
    result = m4ser("baselines", "--dataset", corpus, "--output_dir", tmp_path / "baselines")
    assert result.returncode == 0, result.stderr
    assert set(json.loads(result.stdout)["baselines"]) >= {"majority", "MFCC statistics + SVM"}
    assert (tmp_path / "baselines" / "majority" / "seed0" / "results.json").is_file()
    shutil.copytree(tiny_run, run, ignore=shutil.ignore_patterns("checkpoints"))
    result = m4ser("latency", run, "--dataset", corpus, "--recordings", "2")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout).items() <= json.loads((run / "latency.json").read_text()).items()


def test_version(m4ser):
    assert m4ser("--version").stdout == f"m4ser {__version__}\n"


def test_shell_completes_commands():
    """As the script that `m4ser --show-completion bash` prints calls it."""
    command = warm("m4ser")
    completion = {"_M4SER_COMPLETE": "complete_bash", "COMP_WORDS": "m4ser pre", "COMP_CWORD": "1"}
    result = subprocess.run([command], capture_output=True, text=True, env=os.environ | completion, timeout=300)
    assert result.stdout.split() == ["predict"]


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_of_every_command(m4ser, command):
    result = m4ser(*command.split(), "--help")
    assert result.returncode == 0 and f"usage: m4ser {command}".strip() in result.stdout.lower()


def test_user_errors_are_one_sentence(m4ser, tiny_run, recordings, tmp_path):
    corpus, gone = tiny_run.parent / "corpus", tmp_path / "gone"
    assert f"There is no recording in {tmp_path}" in error_sentence(m4ser("predict", tmp_path, "--model", tiny_run))
    assert f"There is no model {gone}: no such folder" in error_sentence(m4ser("predict", recordings, "--model", gone))
    assert "There is no model 'org/gone'" in error_sentence(m4ser("predict", recordings, "--model", "org/gone"))
    assert f"There is no dataset {gone}" in error_sentence(m4ser("evaluate", tiny_run, "--dataset", gone))
    window = ("predict", recordings, "--model", tiny_run, "--timeline", "--window")
    assert "window is a length of 0.1 to 120 seconds" in error_sentence(m4ser(*window, 0))
    assert "hop is a length of 0.1 seconds to" in error_sentence(m4ser(*window, 2, "--hop", 3))
    assert "add --timeline" in error_sentence(m4ser("predict", recordings, "--model", tiny_run, "--window", 2))
    assert "add --timeline" in error_sentence(m4ser("predict", recordings, "--model", tiny_run, "--hop", 2))
    assert "no split 'dev'" in error_sentence(m4ser("evaluate", tiny_run, "--dataset", corpus, "--split", "dev"))
    assert str(gone) in error_sentence(m4ser("report", gone, "--output_dir", tmp_path))


def test_debug_shows_traceback_and_log(m4ser, tiny_run, recordings, tmp_path, caplog):
    broken = ("predict", recordings, "--model", "org/gone")
    assert "There is no model" in error_sentence(m4ser(*broken))
    assert not caplog.messages
    with pytest.raises(ValueError, match="There is no model"):
        m4ser("--debug", *broken)
    assert "Loading the model org/gone" in caplog.text
    caplog.clear()
    assert m4ser("--debug", "predict", recordings / "a.flac", "--model", tiny_run, "--text", TEXT).returncode == 0
    assert "Predicting with M4SERModel in torch.float32 on cpu" in caplog.text
    assert "Predicted for a batch of 1" in caplog.text


def test_installed_command_debugs_on_stderr(tmp_path):
    m4ser = warm("m4ser")
    command = [m4ser, "--debug", "evaluate", tmp_path / "gone", "--dataset", tmp_path / "gone"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert result.returncode == 1 and result.stderr.startswith("Traceback") and "ValueError: " in result.stderr


def test_usage_errors_exit_with_two(m4ser, tiny_run, recordings):
    assert m4ser("predict", recordings).returncode == 2
    assert m4ser("predict", recordings, "--model", tiny_run, "--batch-size", "0").returncode == 2


def test_missing_library_names_what_brings_it(m4ser, tiny_run, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "m4ser.serving.server", raising=False)
    said = error_sentence(m4ser("serve", "--model", tiny_run))
    assert said == "m4ser: this command needs uvicorn: pip install 'm4ser[serve]'"


def test_unknown_builder_is_one_sentence(m4ser):
    said = error_sentence(m4ser("build", "timit"))
    assert said.startswith("m4ser: There is no builder 'timit': choose from cross_corpus, iemo")


def test_table_and_timeline_contradict(m4ser, tiny_run, recordings, tmp_path):
    result = m4ser("predict", recordings, "--model", tiny_run, "--timeline", "--output", tmp_path / "scores")
    said = error_sentence(result)
    assert said == "m4ser: A table has a row a recording: leave out --json and what is of a timeline."
    said = error_sentence(m4ser("predict", recordings, "--model", tiny_run, "--embeddings"))
    assert said == "m4ser: --embeddings and --engine are of a table: add --output."
