"""`m4ser init` writes a folder whose README works as it stands, and overwrites nothing."""

import csv
import json
import re
import shlex
import sys
from pathlib import Path

import pandas as pd
import pytest
import soundfile

import m4ser_cli
from m4ser import DataError
from m4ser.starter import EMOTIONS, guess_emotion, write_starter
from tests.tiny_whisper import save_tiny_whisper

SMALL = (Path(__file__).parent / "small.yaml").read_text(encoding="utf-8")
TONE = [0.0, 0.5, 0.0, -0.5]


@pytest.fixture
def recordings(tmp_path):
    """Twelve recordings in folders of two emotions, whose names need quotes in a shell."""
    for index in range(12):
        folder = tmp_path / "my recordings" / ("Calm", "happy ones")[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / f"{index}.wav", TONE * (1000 + 300 * index), 16_000)
    return tmp_path / "my recordings"


def read_rows(manifest):
    with manifest.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_rows(manifest, rows):
    with manifest.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def make_quick(folder):
    """Leave the config's training as it is, but for its length and the size of the network."""
    config = folder / "config.yaml"
    assert "epochs: 45" in config.read_text() and "dataset: data" in config.read_text()
    settings = re.sub(r"^config:(.|\n)*|^epochs: .*\n|^preset: .*\n", "", config.read_text(), flags=re.MULTILINE)
    config.write_text(settings + SMALL)


def run(command, monkeypatch):
    """Run a command of the README in this process, which saves the seconds that the imports take."""
    name, *arguments = shlex.split(command)
    assert name == "m4ser"
    monkeypatch.setattr(sys, "argv", ["m4ser", *arguments])
    try:
        m4ser_cli.main()
    except SystemExit as stop:
        assert not stop.code, (command, stop.code)


def commands_of(folder, whisper):
    text = (folder / "README.md").read_text(encoding="utf-8").replace("openai/whisper-small", str(whisper))
    blocks = re.findall(r"```\n(.*?)```", text, re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def test_steps_of_readme_work(recordings, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")  # of the report
    folder = tmp_path / "study"
    monkeypatch.chdir(tmp_path)
    run("m4ser init study --recordings 'my recordings'", monkeypatch)
    rows = read_rows(folder / "manifest.csv")
    assert sorted(row["emotion"] for row in rows) == ["calm"] * 6 + ["happy"] * 6
    for index, row in enumerate(rows):
        row |= {"speaker": f"speaker {index % 4}", "transcript": f"it is number {index}"}
    write_rows(folder / "manifest.csv", rows)
    make_quick(folder)
    save_tiny_whisper(tmp_path / "whisper")
    cd, *commands = commands_of(folder, tmp_path / "whisper")
    assert len(commands) == 9 and shlex.split(cd) == ["cd", str(folder)]
    monkeypatch.chdir(folder)
    for command in commands:
        run(command, monkeypatch)
    results = json.loads((folder / "runs" / "first" / "results.json").read_text())
    assert results["splits"]["test"]["n"] > 0
    assert (folder / "report" / "report.html").is_file()
    scores = pd.read_parquet(folder / "scores")
    assert len(scores) == 12 and {"score_calm", "score_happy"} <= set(scores.columns)


def test_steps_without_speakers_and_texts(recordings, monkeypatch):
    """In the folder of the recordings themselves."""
    write_starter(recordings)
    assert read_rows(recordings / "manifest.csv")[0]["path"] == "Calm/0.wav"
    make_quick(recordings)
    monkeypatch.chdir(recordings)
    readme = (recordings / "README.md").read_text()
    build = "m4ser build manifest --data_dir manifest.csv --output_dir data"
    train = "m4ser train config.yaml ablations/speech_only"
    assert f"{build}\n" in readme and "`--stratify`" in readme and f"`{train}`" in readme
    run(f"{build} --stratify", monkeypatch)
    run(train, monkeypatch)
    assert "test" in json.loads((recordings / "runs" / "first" / "results.json").read_text())["splits"]


def test_command_says_what_it_wrote(recordings, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = "m4ser init study --recordings 'my recordings'"
    run(command, monkeypatch)
    wrote, following = capsys.readouterr().out.splitlines()
    assert wrote.startswith("study has the manifest.csv of 12 recordings. The emotions of 12 are guessed from names")
    assert following == "Next: the steps in study/README.md."
    monkeypatch.setattr(sys, "argv", shlex.split(command))
    with pytest.raises(SystemExit, match=r"m4ser: study has a manifest\.csv already, and nothing was written: .*\.$"):
        m4ser_cli.main()


@pytest.mark.parametrize(
    ("path", "emotion"),
    [
        ("angry/1.wav", "angry"),
        ("OAF_Fear/OAF_back_fear.wav", "fear"),
        ("happy/ann/sad_story.wav", "happy"),  # folders before names
        ("speaker 1/take2-NEUTRAL.flac", "neutral"),
        ("angry_happy/1.wav", ""),
        ("madagascar/unhappy.wav", ""),  # words, not parts of them
    ],
)
def test_emotion_is_guessed_from_names(path, emotion):
    assert guess_emotion(Path(path)) == emotion
    assert emotion in EMOTIONS | {""}


def test_nothing_is_guessed_or_in_part(tmp_path):
    for name in ("a", "b"):
        soundfile.write(tmp_path / f"{name}.wav", TONE, 16_000)
    assert "Fill in its column emotion." in write_starter(tmp_path / "one", tmp_path)
    soundfile.write(tmp_path / "sad.wav", TONE, 16_000)
    assert "The emotions of 1 are guessed" in write_starter(tmp_path / "two", tmp_path)
    assert "fill in the other 2." in (tmp_path / "two" / "README.md").read_text()


def test_nothing_is_overwritten(recordings, tmp_path):
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / "config.yaml").write_text("mine")
    with pytest.raises(DataError, match=r"has a config\.yaml already, and nothing was written"):
        write_starter(folder, recordings)
    assert [path.name for path in folder.iterdir()] == ["config.yaml"]
    assert (folder / "config.yaml").read_text() == "mine"


def test_folders_without_recordings_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"no recording \(\.flac, \.mp3, \.ogg, \.wav\) in"):
        write_starter(tmp_path)
    with pytest.raises(DataError, match=r"There is no folder .*gone"):
        write_starter(tmp_path / "study", tmp_path / "gone")
    assert not list(tmp_path.iterdir())
