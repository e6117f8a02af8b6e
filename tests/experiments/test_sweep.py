"""The sweep on a few recordings: every row is trained at every setting, written, printed and drawn."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from experiments import sweep
from experiments.sweep import Plan, Setting
from m4ser.evaluation.report.runs import find_runs
from m4ser.evaluation.report.variants import variant_name
from tests.tiny_corpus import SMALL


def test_settings_change_one_factor_at_a_time():
    factors = Plan().settings(max_size=3200)
    assert [len(settings) for settings in factors.values()] == [4, 4, 4]  # 10,000 is left out
    for factor, settings in factors.items():
        assert Plan().base in settings
        for setting in settings:
            changed = {name for name, value in vars(setting).items() if value != vars(Plan().base)[name]}
            assert changed <= {factor}
    names = {setting.name for settings in factors.values() for setting in settings}
    assert len(names) == 1 + 3 + 3 + 3


@pytest.mark.parametrize(("size", "epochs"), [(100, 89), (320, 31), (1000, 10), (3200, 3), (10_000, 1), (50_000, 1)])
def test_steps_are_the_same_at_every_size(size, epochs):
    """625 steps of 16: 7, 20, 63, 200 and 625 steps an epoch, and 3,125, which is the least that can be taken."""
    assert Plan().epochs(size) == epochs


def test_corpus_of_a_faster_command_stays(tmp_path, monkeypatch):
    def write_twice(made, **_):
        for folder in (made, tmp_path / "corpus"):
            folder.mkdir()
            (folder / "README.md").write_text(folder.name + folder.parent.name)

    monkeypatch.setattr(sweep, "write_corpus", write_twice)
    sweep.make_corpus(Setting(), {}, tmp_path / "corpus")
    assert (tmp_path / "corpus" / "README.md").read_text() == f"corpus{tmp_path.name}"
    assert list(tmp_path.iterdir()) == [tmp_path / "corpus"]


def test_rows_are_those_of_the_paper(tmp_path):
    options = [*sweep.TRAINING, "--dataset", "corpus"]
    variants = [variant_name(sweep.row_arguments(row, tmp_path, options).as_dict()) for row in sweep.ROWS]
    assert variants == ["full", "concat", "w/o AED & AEC", "w/o GAN & LCL"]


def test_quick_sweep(tmp_path, capsys, monkeypatch):
    for row in ("without_auxiliary_tasks", "without_strategies"):  # two rows instead of four
        monkeypatch.delitem(sweep.ROWS, row)
    config = ["--config", json.dumps(yaml.safe_load(Path(SMALL).read_text())["config"])]
    sweep.main(["--output_dir", str(tmp_path), "--quick", *config])
    printed = capsys.readouterr().out

    results = json.loads((tmp_path / "sweep.json").read_text())
    assert {factor: len(settings) for factor, settings in results["factors"].items()} == {
        "word_error_rate": 1,
        "lost_cues": 1,
        "training_size": 1,
    }
    [wordy], [lossy], [short] = results["factors"].values()
    assert (wordy["word_error_rate"], lossy["lost_cues"], short["training_size"]) == (0.5, 0.5, 20)
    assert wordy["test_word_error_rate"] > lossy["test_word_error_rate"] > 20
    assert [scores["ceiling"] for scores in (wordy, lossy, short)] == pytest.approx([90, 75, 90])
    for scores in (wordy, lossy, short):
        assert list(scores["rows"]) == ["full", "concat"]
        setting = Setting(scores["word_error_rate"], scores["lost_cues"], scores["training_size"])
        groups, _ = find_runs([tmp_path / "runs" / setting.name])
        measured = {group.folder.name: 100 * group.values("unweighted_accuracy")[0] for group in groups}
        assert {row: found["ua"] for row, found in scores["rows"].items()} == pytest.approx(measured)
        assert all(found["low"] <= found["ua"] <= found["high"] for found in scores["rows"].values())

    lines = [line for line in printed.splitlines() if line.startswith("| ")]
    first_row = [f"{row['ua']:.1f} [{row['low']:.1f}, {row['high']:.1f}]" for row in wordy["rows"].values()]
    assert lines[2] == f"| WER {wordy['test_word_error_rate']:.0f} % | 90.0 | {' | '.join(first_row)} |"
    assert [line.split(" | ")[0] for line in lines[3:]] == ["| 50 % of the cues lost", "| 20 recordings"]
    assert "over 40 recordings" in printed and "40 training recordings. 3 steps a run." in printed
    assert "seed 0" in printed
    assert ElementTree.parse(tmp_path / "sweep.svg").getroot().tag.endswith("svg")

    # Run again, it keeps the corpora and runs.
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*") if path.stem != "sweep"}
    sweep.main(["--output_dir", str(tmp_path), "--quick", *config])
    assert {path: path.stat().st_mtime_ns for path in files if path.name != "summary.json"}.items() <= files.items()
