"""Tables from runs whose every number is known."""

from statistics import stdev

import numpy as np
import pytest

from m4ser.evaluation.report.result_tables import all_results_table, comparison_table, protocol_table, results_table
from m4ser.evaluation.report.table import Entry, PValue, folds_won, pooled
from m4ser.evaluation.significance import bootstrap_intervals, permutation_test
from tests.finished_runs import entries, finished_run, five_folds, groups_of, make_predictions


def test_results_show_mean_spread_and_interval(tmp_path):
    tested = make_predictions(60)
    (group,) = groups_of(five_folds(tmp_path / "full", tested))
    row = entries(results_table("corpus", [group]), "full")
    scores = [100 * run.scores["weighted_accuracy"] for run in group.runs]
    _, labels, predictions = pooled(group)
    assert sorted(zip(labels, predictions[0], strict=True)) == sorted(tested.values())
    low, high = 100 * bootstrap_intervals(labels, predictions, 4)[0]
    assert row["WA"] == f"{np.mean(scores):.1f} ± {stdev(scores):.1f} [{low:.1f}, {high:.1f}]"
    assert row["runs"] == "5 of 5 folds, 1 seed" and row["test recordings"] == "60"
    assert row["row of the paper"] == "full" and row["protocol"] == "loso"


def test_recordings_are_counted_once_for_all_seeds(tmp_path):
    tested = make_predictions(60)
    (folds,) = groups_of(five_folds(tmp_path / "folds", tested, seeds=(0, 1)))
    for seed in range(3):
        finished_run(tmp_path / "seeds" / f"seed{seed}", tested, seed=seed)
    table = results_table("corpus", [folds, *groups_of(tmp_path / "seeds")])
    assert [row[4] for row in table.rows] == ["60", "60"]


def test_all_results_have_a_row_for_each_group_of_each_corpus(tmp_path):
    one, other = (groups_of(finished_run(tmp_path / name)) for name in ("one", "other"))
    table = all_results_table({"emodb": one, "ravdess": other})
    assert [row[:4] for row in table.rows] == [
        ["emodb", "one", "held_out", "1 seed"],
        ["ravdess", "other", "held_out", "1 seed"],
    ]
    score = 100 * other[0].first.scores["weighted_accuracy"]
    assert entries(table, "ravdess")["WA"] == f"{score:.1f}" and all(table.ours)


def test_why_nothing_is_compared_is_said(tmp_path):
    groups = groups_of(finished_run(tmp_path / "one"), finished_run(tmp_path / "bare", predictions=False))
    table = comparison_table("corpus", groups)
    assert not table.rows
    assert table.notes == [
        "No pair of runs on corpus can be compared.",
        "Not comparable (other recordings tested, or no predictions.csv): bare.",
    ]


def test_no_interval_without_predictions(tmp_path):
    table = results_table("corpus", groups_of(finished_run(tmp_path / "bare", predictions=False)))
    assert "[" not in entries(table, "bare")["WA"]
    assert "No interval for bare" in " ".join(table.notes)


def test_every_number_names_its_files(tmp_path):
    tested = make_predictions()
    groups = groups_of(five_folds(tmp_path / "full", tested), finished_run(tmp_path / "other", tested))
    for make in (results_table, protocol_table, comparison_table):
        for row in make("corpus", groups).rows:
            for entry in row:
                if isinstance(entry, Entry) and entry.value is not None:
                    assert "results.json" in entry.source


def test_only_pairs_on_same_recordings_are_compared(tmp_path):
    better, worse = make_predictions(200, 0.9), make_predictions(200, 0.4, seed=1)
    groups = groups_of(
        finished_run(tmp_path / "better", better),
        finished_run(tmp_path / "worse", worse),
        finished_run(tmp_path / "elsewhere", make_predictions(24)),
        finished_run(tmp_path / "bare", better, predictions=False),
    )
    table = comparison_table("corpus", groups)
    row = entries(table, "better")
    wa = [100 * np.mean([label == predicted for label, predicted in tested.values()]) for tested in (better, worse)]
    assert row["against"] == "worse" and row["recordings"] == "200"
    assert row["WA difference"] == f"{wa[0] - wa[1]:+.1f}"
    assert row["p (WA)"] == row["p (UA)"] == "< .001"
    assert len(table.rows) == 1 and "elsewhere, bare" in table.notes[-1]


def test_folds_won_are_those_with_higher_ua_over_the_seeds(tmp_path):
    better, even, worse = make_predictions(60, 1.0), make_predictions(60, 1.0), make_predictions(60, 0.0)
    half = {name: (worse if number % 5 < 2 else better)[name] for number, name in enumerate(better)}
    (first,) = groups_of(five_folds(tmp_path / "better", better, seeds=(0, 1)))
    for name, tested, won in (("even", even, "0 of 5"), ("half", half, "2 of 5"), ("worse", worse, "5 of 5")):
        (other,) = groups_of(five_folds(tmp_path / name, tested, seeds=(1, 2)))
        assert folds_won(first, other) == won
    (foldless,) = groups_of(finished_run(tmp_path / "foldless", better))
    assert folds_won(first, foldless) == "-"


def test_speakers_are_resampled_where_they_are_known(tmp_path):
    better, worse = make_predictions(80, 0.9), make_predictions(80, 0.6, seed=1)
    groups = groups_of(finished_run(tmp_path / "better", better), finished_run(tmp_path / "worse", worse))
    speakers = {name: f"speaker{number % 8}" for number, name in enumerate(better)}
    ids, labels, predictions = pooled(groups[0])
    by_speaker = [speakers[name] for name in ids]

    results = results_table("corpus", groups, speakers)
    low, high = 100 * bootstrap_intervals(labels, predictions, 4, by_speaker)[1]
    assert entries(results, "better")["UA"].endswith(f"[{low:.1f}, {high:.1f}]")
    assert "over test speakers" in results.notes[1] and "not independent" not in results.notes[1]
    assert "over test recordings" in results_table("corpus", groups).notes[1]

    compared = comparison_table("corpus", groups, speakers)
    chance = permutation_test(labels, predictions, pooled(groups[1])[2], 4, by_speaker)
    assert entries(compared, "better")["p (UA)"] == f"{chance:.3f}"
    assert "of a speaker exchanged" in compared.notes[0]


def test_reference_is_most_comparable_full_model(tmp_path):
    """Two full models of a run each; the first was tested on recordings of its own."""
    elsewhere, here = make_predictions(24), make_predictions(200, 0.9)
    off = {"model": {"config": {"auxiliary_tasks": []}}}
    groups = groups_of(
        finished_run(tmp_path / "alone", elsewhere),
        finished_run(tmp_path / "full", here),
        finished_run(tmp_path / "ablation", make_predictions(200, 0.4, seed=1), config=off),
    )
    table = comparison_table("corpus", groups)
    assert [row[:3] for row in table.rows] == [["full", "ablation", "200"]] and "alone" in table.notes[-1]


def test_protocols_are_columns(tmp_path):
    tested = make_predictions(60)
    held_out = finished_run(tmp_path / "held_out")
    loso = five_folds(tmp_path / "loso", tested)
    groups = groups_of(held_out, loso)
    row = entries(protocol_table("corpus", groups), "full")
    assert list(row)[1:] == ["paper", "loso", "improvised", "script_disjoint", "held_out"]
    assert row["paper"] == row["improvised"] == "-" and "±" in row["loso"]
    assert row["held_out"] == f"{100 * groups[0].first.scores['unweighted_accuracy']:.1f}"
    assert protocol_table("corpus", groups_of(held_out)).columns == ["system", "held_out"]


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        (Entry(None), "-"),
        (Entry(61.54), "61.5"),
        (PValue(0.0009), "< .001"),
        (PValue(0.0184), "0.018"),
        (Entry(1.0, 0.25), "1.0 ± 0.2"),
        (Entry(1, 2, 0, 3), "1.0 ± 2.0 [0.0, 3.0]"),
    ],
)
def test_entry_as_text(entry, text):
    assert str(entry) == text


def test_missing_baselines_name_the_command(tmp_path):
    groups = groups_of(finished_run(tmp_path / "full"))
    assert "m4ser baselines --dataset DATA" in results_table("corpus", groups).notes[-1]
