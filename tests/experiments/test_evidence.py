"""The table over folds and seeds on a corpus of noises: each row's rate is chosen once, and then kept."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from experiments import evidence
from m4ser.evaluation.report.runs import find_runs
from m4ser.run_folder import RESULTS
from m4ser.training import runs
from tests.tiny_corpus import SMALL, write_tiny_corpus

ROWS = {"full": "full", "concat": "concat baseline"}


@pytest.fixture
def options(tmp_path, monkeypatch):
    (tmp_path / "table.yaml").write_text(f"full:\nconcat: {evidence.CONFIGS}/ablations/concat.yaml\n")
    monkeypatch.setattr(evidence, "TABLE", tmp_path / "table.yaml")  # two rows instead of ten
    monkeypatch.setattr(evidence, "FACTORS", (1.0, 40.0))
    for module in (evidence, runs):
        monkeypatch.setattr(module, "fold_count", lambda *_: 2)  # of six
    small = yaml.safe_load(Path(SMALL).read_text())
    model = ["--vocabulary_size", "60", "--config", json.dumps(small["config"])]
    paths = ["--dataset", str(write_tiny_corpus(tmp_path / "corpus")), "--output_dir", str(tmp_path / "runs")]
    return [*paths, "--epochs", "1", "--seeds", "3", "4", *model]


def test_rate_is_chosen_and_results_alone_are_resumed_from(options, tmp_path, capsys, monkeypatch):
    evidence.main(options)
    printed = capsys.readouterr().out
    trained = tmp_path / "runs"
    for row, name in ROWS.items():
        scores = {}
        for rate in ("0.0005", "0.02"):
            results = json.loads((trained / f"{row}_at_{rate}" / "fold1_seed3" / RESULTS).read_text())
            assert results["config"]["training"]["learning_rate"] == float(rate)
            scores[rate] = results["splits"]["validation"]["unweighted_accuracy"]
        best = max(scores, key=scores.get)  # of equal ones the first
        shown = [f"**{100 * score:.1f}**" if rate == best else f"{100 * score:.1f}" for rate, score in scores.items()]
        assert f"| {row} | {' | '.join(shown)} |" in printed

        (group,) = find_runs([trained / f"{row}_at_{best}"])[0]
        assert group.name == name
        assert {(run.fold[0], run.results["seed"]) for run in group.runs} == {(1, 3), (1, 4), (2, 3), (2, 4)}
        [other] = set(scores) - {best}
        assert [path.name for path in (trained / f"{row}_at_{other}").glob("fold*")] == ["fold1_seed3"]
        assert f"| {name} |" in printed
    assert "| full | concat baseline |" in printed

    for path in trained.rglob("*"):
        if path.is_file() and path.name not in {RESULTS, "predictions.csv"}:
            path.unlink()
    shutil.move(trained, tmp_path / "kept")
    options[options.index("--output_dir") + 1] = str(tmp_path / "kept")
    monkeypatch.setattr(runs, "train", lambda arguments: pytest.fail("trained again"))
    evidence.main(options)
    tables = printed.index("| validation UA")
    assert capsys.readouterr().out == printed[tables:]
