"""Tables from runs whose every number is known."""

from statistics import stdev

import numpy as np
import pytest

from m4ser.evaluation.paper.tables import ablation_table, cost_table, system_table, text_table, transfer_table
from m4ser.evaluation.report.result_tables import comparison_table, protocol_table, results_table
from m4ser.evaluation.report.runs import find_runs
from m4ser.evaluation.report.table import Entry, pooled
from m4ser.evaluation.significance import bootstrap_intervals
from tests.finished_runs import answers, finished_run


def groups_of(*folders):
    return find_runs(folders)[0]


def entries(table, first):
    """The row whose first entry is `first`, by column; a number as it is printed."""
    (row,) = (row for row in table.rows if row[0] == first)
    return dict(zip(table.columns, map(str, row), strict=True))


def part(tested, fold, count=5):
    """Every fifth recording: what one fold tests."""
    return {name: answer for number, (name, answer) in enumerate(tested.items()) if number % count == fold - 1}


def five_folds(folder, tested, seeds=(0,), **changes):
    for seed in seeds:
        for fold in range(1, 6):
            name = f"loso, fold {fold} of 5"
            finished_run(folder / f"fold{fold}_seed{seed}", part(tested, fold), protocol=name, seed=seed, **changes)
    return folder


def test_a_group_is_its_mean_and_spread_over_runs_and_the_interval_of_all_its_recordings(tmp_path):
    tested = answers(60)
    (group,) = groups_of(five_folds(tmp_path / "full", tested))
    row = entries(results_table("corpus", [group]), "full")
    scores = [100 * run.scores["weighted_accuracy"] for run in group.runs]
    labels, predictions = pooled(group)
    assert sorted(zip(labels, predictions[0], strict=True)) == sorted(tested.values())
    low, high = 100 * bootstrap_intervals(labels, predictions, 4)[0]
    assert row["WA"] == f"{np.mean(scores):.1f} ± {stdev(scores):.1f} [{low:.1f}, {high:.1f}]"
    assert row["runs"] == "5 of 5 folds, 1 seed" and row["test recordings"] == "60"
    assert row["row of the paper"] == "full" and row["protocol"] == "loso"


def test_without_predictions_the_place_of_the_interval_says_so(tmp_path):
    table = results_table("corpus", groups_of(finished_run(tmp_path / "bare", predictions=False)))
    assert "[" not in entries(table, "bare")["WA"]
    assert "No interval for bare" in " ".join(table.notes)


def test_every_number_names_its_files(tmp_path):
    tested = answers()
    groups = groups_of(five_folds(tmp_path / "full", tested), finished_run(tmp_path / "other", tested))
    for make in (results_table, protocol_table, ablation_table, cost_table, text_table, comparison_table):
        for row in make("corpus", groups).rows:
            for entry in row:
                if isinstance(entry, Entry) and entry.value is not None:
                    assert "results.json" in entry.source or "He et al." in entry.source


def test_pairs_on_the_same_recordings_are_tested_and_others_are_named(tmp_path):
    better, worse = answers(200, 0.9), answers(200, 0.4, seed=1)
    groups = groups_of(
        finished_run(tmp_path / "better", better),
        finished_run(tmp_path / "worse", worse),
        finished_run(tmp_path / "elsewhere", answers(24)),
        finished_run(tmp_path / "bare", better, predictions=False),
    )
    table = comparison_table("corpus", groups)
    row = entries(table, "better")
    wa = [100 * np.mean([label == told for label, told in tested.values()]) for tested in (better, worse)]
    assert row["against"] == "worse" and row["recordings"] == "200"
    assert row["WA difference"] == f"{wa[0] - wa[1]:+.1f}"
    assert float(row["p (WA)"]) < 0.001 and float(row["p (UA)"]) < 0.001
    assert len(table.rows) == 1 and "elsewhere, bare" in table.notes[-1]


def test_the_full_model_that_most_can_be_compared_with_is_the_measure(tmp_path):
    """Two full models of a run each; the first was tested on recordings of its own."""
    elsewhere, here = answers(24), answers(200, 0.9)
    off = {"model": {"config": {"auxiliary_tasks": []}}}
    groups = groups_of(
        finished_run(tmp_path / "alone", elsewhere),
        finished_run(tmp_path / "full", here),
        finished_run(tmp_path / "ablation", answers(200, 0.4, seed=1), config=off),
    )
    table = comparison_table("corpus", groups)
    assert [row[:3] for row in table.rows] == [["full", "ablation", "200"]] and "alone" in table.notes[-1]


def test_protocols_stand_beside_each_other(tmp_path):
    tested = answers(60)
    held_out = finished_run(tmp_path / "held_out")
    loso = five_folds(tmp_path / "loso", tested)
    groups = groups_of(held_out, loso)
    row = entries(protocol_table("corpus", groups), "full")
    assert list(row)[1:] == ["paper", "loso", "improvised", "script_disjoint", "held_out"]
    assert row["paper"] == row["improvised"] == "-" and "±" in row["loso"]
    assert row["held_out"] == f"{100 * groups[0].first.scores['unweighted_accuracy']:.1f}"
    assert protocol_table("corpus", groups_of(held_out)).columns == ["system", "held_out"]


def test_ours_stands_under_the_published_rows_of_its_corpus(tmp_path):
    iemocap = {"data": {"dataset": "data/iemocap"}}
    (group,) = groups_of(finished_run(tmp_path / "mine", config=iemocap, protocol="paper, fold 1 of 5"))
    table = system_table("II", [group])
    assert table.ours == [False] * 10 + [True]
    assert entries(table, "M4SER")["WA"] == "79.2" and entries(table, "MMER")["year"] == "2023"
    row = entries(table, "ours: mine")
    assert row["modality"] == "S+T(ASR)" and "epoch chosen on the test data" in row["protocol"]
    assert row["UA"] == f"{100 * group.first.scores['unweighted_accuracy']:.1f}"
    assert "published figures only" in system_table("III", [group]).notes[-1]


def test_an_ablation_finds_its_row_and_the_others_stay_open(tmp_path):
    off = {"model": {"config": {"auxiliary_tasks": []}}}
    groups = groups_of(finished_run(tmp_path / "full"), finished_run(tmp_path / "anyhow", config=off))
    table = ablation_table("corpus", groups)
    assert len(table.rows) == 13 and sum(table.ours) == 2
    row = entries(table, "C (3) w/o AED & AEC")
    assert row["IEMOCAP WA"] == "77.3" and row["MELD W-F1"] == "62.6" and row["our run"] == "anyhow"
    assert entries(table, "D (1) w/o GAN")["corpus WA"] == "-"


def test_two_runs_of_one_row_are_two_lines(tmp_path):
    groups = groups_of(finished_run(tmp_path / "small"), finished_run(tmp_path / "large"))
    assert [row[-1] for row in ablation_table("corpus", groups).rows if row[0] == "M4SER (full)"] == ["small", "large"]


def test_a_sweep_over_weights_is_no_row(tmp_path):
    """Fig. 7's runs are the full network, too."""
    full = finished_run(tmp_path / "full")
    swept = finished_run(tmp_path / "adversarial_weight_1", config={"objective": {"adversarial_weight": 1.0}})
    table = ablation_table("corpus", groups_of(full, swept))
    assert [row[-1] for row in table.rows if row[0] == "M4SER (full)"] == ["full"]


def test_cost_in_the_units_of_table_v(tmp_path):
    run = finished_run(tmp_path / "full")
    (run / "latency.json").write_text('{"milliseconds": 12.34, "spread": 0.56}')
    row = entries(cost_table("corpus", groups_of(run)), "+ AED & AEC (M4SER)")
    assert row["paper: inference (ms)"] == "44.7 ± 0.2" and row["inference (ms)"] == "12.3 ± 0.6"
    assert row["parameters (M)"] == "1.23" and row["training (h)"] == "2.000"
    assert row["hardware"] == "2 threads, x86_64"


def test_human_text_beside_asr(tmp_path):
    human = {"data": {"text_column": "transcript"}, "model": {"config": {"auxiliary_tasks": []}}}
    table = text_table(
        "corpus", groups_of(finished_run(tmp_path / "asr"), finished_run(tmp_path / "gt", config=human))
    )
    assert [(row[1], row[-1]) for row in table.rows] == [("S+T(GT)", "gt"), ("S+T(ASR)", "asr")]


def test_runs_across_corpora_find_their_table(tmp_path):
    plain = finished_run(tmp_path / "plain", config={"data": {"dataset": "data/iemocap-to-meld"}})
    shots = finished_run(tmp_path / "shots", config={"data": {"dataset": "data/iemocap-to-meld-20-shots"}})
    groups = groups_of(plain, shots, finished_run(tmp_path / "other"))
    eight, nine = (transfer_table(number, groups) for number in ("VIII", "IX"))
    assert (
        entries(eight, "Baseline (HuBERT + BERT)")["ME -> IE UA"] == "57.4" and sum(eight.ours) == sum(nine.ours) == 1
    )
    row = entries(nine, "ours: shots")
    assert row["shots"] == "20" and row["ours, from -> to"] == "iemocap -> meld" and row["IE -> ME ACC"] == "-"
    assert row["WA"] == f"{100 * groups[1].first.scores['weighted_accuracy']:.1f}"
    assert transfer_table("IX", groups[2:]).notes[-1].endswith("cross_corpus.py built with --shots.")


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        (Entry(None), "-"),
        (Entry(61.54), "61.5"),
        (Entry(1.0, 0.25), "1.0 ± 0.2"),
        (Entry(1, 2, 0, 3), "1.0 ± 2.0 [0.0, 3.0]"),
    ],
)
def test_cells(entry, text):
    assert str(entry) == text
