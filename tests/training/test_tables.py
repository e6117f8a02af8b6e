"""Every row of a table from one command, each trained once, and each found by the report."""

import os
import subprocess
from pathlib import Path

import pytest

from m4ser.data.schema import DataError
from m4ser.evaluation.paper import write_report
from m4ser.evaluation.paper.figures import sensitivity_lines
from m4ser.evaluation.paper.published import published
from m4ser.evaluation.report.runs import find_runs
from m4ser.evaluation.report.variants import variant_name
from m4ser.systems import SYSTEMS
from m4ser.training.tables import rows, train_table
from tests.finished_runs import finished_run
from tests.tiny_corpus import SMALL, write_tiny_corpus
from tests.warm_python import warm

ROOT = Path(__file__).parents[2]
TABLES = ROOT / "configs" / "tables"
RAVDESS = str(ROOT / "configs" / "ravdess.yaml")
REQUIRED = ["--dataset", "corpus", "--output_dir", "run"]


@pytest.fixture(scope="module")
def argv(tmp_path_factory):
    """A table of three rows, two of which are the same on this corpus."""
    folder = tmp_path_factory.mktemp("tables")
    (folder / "table.yaml").write_text("full:\nconcat: concat.yaml\ntwice: --adversarial_weight 0.01\n")
    (folder / "concat.yaml").write_text((ROOT / "configs" / "ablations" / "concat.yaml").read_text())
    write_tiny_corpus(folder / "corpus")
    return [folder / "table.yaml", SMALL, "--dataset", str(folder / "corpus"), "--keep_checkpoints", "1"]


def test_table_trains_resumes_and_is_reported(argv, tmp_path):
    runs = tmp_path / "runs"
    command = [warm("python"), "train.py", "--table", *map(str, argv), "--output_dir", str(runs)]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    assert f"m4ser report {runs} --output_dir report" in result.stdout
    assert sorted(path.name for path in runs.iterdir()) == ["concat", "full"]

    # A run that was cut has a checkpoint and no results: it goes on from there, and the finished one is not touched.
    files = {name: runs / name / "seed0" / "results.json" for name in ("concat", "full")}
    before = {name: (file.read_text(), file.stat().st_mtime_ns) for name, file in files.items()}
    scores = {
        name: summary["splits"] for name, summary in train_table(argv[0], [*argv[1:], "--output_dir", str(runs)])
    }
    assert {name: file.stat().st_mtime_ns for name, file in files.items()} == {n: at for n, (_, at) in before.items()}
    files["concat"].unlink()
    steps = (runs / "concat" / "seed0" / "metrics.csv").read_text()
    again = dict(train_table(argv[0], [*argv[1:], "--output_dir", str(runs)]))
    assert {name: summary["splits"] for name, summary in again.items()} == scores
    assert (runs / "concat" / "seed0" / "metrics.csv").read_text() == steps  # seconds included: no step was repeated
    assert files["full"].stat().st_mtime_ns == before["full"][1]

    groups, unfinished = find_runs([runs])
    assert {group.variant for group in groups} == {"full", "concat"} and not unfinished
    report = write_report([runs], tmp_path / "report").with_suffix(".md").read_text()
    for line in ("| M4SER (full) |", "| A (3) speech & text + concat |"):
        (row,) = [row for row in report.splitlines() if row.startswith(line)]
        assert not row.endswith("| - |")

    other = [SMALL, "--dataset", str(tmp_path / "another"), "--output_dir", str(runs)]
    with pytest.raises(DataError, match="seed0 is finished, but its dataset was"):
        list(train_table(argv[0], other))


@pytest.mark.parametrize("number", ["IV", "V", "VI", "VIII", "IX"])
def test_report_knows_every_row_of_the_tables(number):
    table = TABLES / f"table_{dict(IV=4, V=5, VI=6, VIII=8, IX=9)[number]}.yaml"
    variants = [variant_name(row.as_dict()) for row in rows(table, [RAVDESS, *REQUIRED]).values()]
    assert len(set(variants)) == len(variants)
    assert set(variants) == {row["variant"] for row in published()[number]}


@pytest.mark.parametrize("corpus", ["ravdess", "iemocap"])
def test_report_draws_every_row_of_figure_7(corpus, tmp_path):
    config = str(ROOT / "configs" / f"{corpus}.yaml")
    found = rows(TABLES / "figure_7.yaml", [config, "--dataset", "corpus", "--output_dir", str(tmp_path)])
    for arguments in found.values():
        finished_run(Path(arguments.training.output_dir), config=arguments.as_dict())
    groups, _ = find_runs([tmp_path])
    lines = sensitivity_lines(groups)
    values = {
        weight: [group.first.results["config"]["objective"][weight] for group in members]
        for weight, members in lines.items()
    }
    thousandths = [0.001, 0.01, 0.1, 1]
    assert values == {
        "auxiliary_weight": thousandths,
        "detection_weight": [1.5, 3, 4.5, 6],
        "adversarial_weight": thousandths,
        "contrastive_weight": thousandths,
    }
    assert len(found) == 13  # the corpus's own four weights are one run


def test_tables_share_rows():
    every = [rows(path, [RAVDESS, *REQUIRED]) for path in sorted(TABLES.iterdir())]
    for table in every:
        for name, arguments in table.items():
            assert arguments.training.output_dir == f"run/{name}"
            assert all(other.get(name, arguments) == arguments for other in every)


def test_options_go_to_every_row():
    found = rows(TABLES / "table_6.yaml", [RAVDESS, *REQUIRED, "--epochs", "2", "--seeds", "0", "1"])
    assert [(row.training.epochs, row.training.seeds) for row in found.values()] == [(2, [0, 1])] * 2


@pytest.mark.parametrize(
    "text, options, message",
    [
        ("a: nowhere.yaml", [], r"row a: There is no config file .*nowhere.yaml"),
        ("a: --gama 0", [], "row a: There is no option --gama"),
        ("a: --adversarial_weight '0", [], "row a: No closing quotation"),
        (
            "a: --adversarial_weight 0",
            ["--adversarial_weight", "1"],
            "row a: the row sets adversarial_weight itself; leave --adversarial_weight out",
        ),
        ("a: one.yaml", ["--contrastive_weight=1"], "row a: the row sets contrastive_weight itself"),
        ("a/b: --adversarial_weight 0", [], "a row's name is that of its folder"),
        ("- a", [], "is no table"),
        ("a: {adversarial_weight: 0}", [], "is no table"),
        ("", [], "is no table"),
    ],
)
def test_invalid_tables_are_refused(text, options, message, tmp_path):
    (tmp_path / "one.yaml").write_text("contrastive_weight: 0")
    (tmp_path / "table.yaml").write_text(text)
    with pytest.raises(ValueError, match=message):
        rows(tmp_path / "table.yaml", [*REQUIRED, *options])


def test_missing_table_or_dataset():
    with pytest.raises(ValueError, match=r"There is no table nowhere\.yaml"):
        rows("nowhere.yaml", REQUIRED)
    with pytest.raises(ValueError, match="row human_transcripts: No dataset: give --dataset FOLDER"):
        rows(TABLES / "table_6.yaml", [])


def test_row_for_each_system(tmp_path):
    (tmp_path / "table.yaml").write_text('full:\n"{system}-b": --system {system} --contrastive_weight 0\n')
    found = rows(tmp_path / "table.yaml", [SMALL, *REQUIRED])
    others = [name for name in SYSTEMS if name != "m4ser"]
    assert list(found) == ["full", *(f"{name}-b" for name in others)]
    assert [row.model.system for row in found.values()] == ["m4ser", *others]


@pytest.mark.parametrize("own_comes_first", [True, False])
def test_own_row_of_a_system_counts(own_comes_first, tmp_path):
    lines = [
        "'{system}': --system {system} --contrastive_weight 0\n",
        "sams: --system sams --contrastive_weight 0.5\n",
    ]
    (tmp_path / "table.yaml").write_text("".join(lines[::-1] if own_comes_first else lines))
    found = rows(tmp_path / "table.yaml", [SMALL, *REQUIRED])
    assert set(found) == {name for name in SYSTEMS if name != "m4ser"}
    weights = {name: row.objective.contrastive_weight for name, row in found.items()}
    assert weights.pop("sams") == 0.5 and set(weights.values()) == {0}


@pytest.mark.parametrize("name", ["systems", "systems_as_published"])
def test_tables_of_systems_hold_every_system(name):
    found = rows(TABLES / f"{name}.yaml", [str(ROOT / "configs" / "iemocap.yaml"), *REQUIRED])
    assert {row.model.system for row in found.values()} == set(SYSTEMS)
    variants = {variant_name(row.as_dict()) for row in found.values()}
    assert variants >= {"full", *(SYSTEMS[name].title for name in SYSTEMS if name != "m4ser")}
