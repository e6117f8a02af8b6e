"""The paper's tables with runs beside them whose every number is known."""

from m4ser.evaluation.paper.tables import ablation_table, cost_table, system_table, text_table, transfer_table
from m4ser.evaluation.report.table import Entry
from tests.finished_runs import entries, finished_run, groups_of, make_predictions


def test_every_number_names_its_source(tmp_path):
    tested = make_predictions()
    groups = groups_of(finished_run(tmp_path / "full", tested), finished_run(tmp_path / "other", tested))
    for make in (ablation_table, cost_table, text_table):
        for row in make("corpus", groups).rows:
            for entry in row:
                if isinstance(entry, Entry) and entry.value is not None:
                    assert "results.json" in entry.source or "He et al." in entry.source


def test_own_runs_follow_published_rows(tmp_path):
    iemocap = {"data": {"dataset": "data/iemocap"}}
    (group,) = groups_of(finished_run(tmp_path / "mine", config=iemocap, protocol="paper, fold 1 of 5"))
    table = system_table("II", [group])
    assert table.ours == [False] * 10 + [True]
    assert entries(table, "M4SER")["WA"] == "79.2" and entries(table, "MMER")["year"] == "2023"
    row = entries(table, "ours: mine")
    assert row["modality"] == "S+T(ASR)" and "epoch chosen on the test data" in row["protocol"]
    assert row["UA"] == f"{100 * group.first.scores['unweighted_accuracy']:.1f}"
    assert "published figures only" in system_table("III", [group]).notes[-1]


def test_ablation_fills_its_row(tmp_path):
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


def test_sweep_over_weights_is_not_a_row(tmp_path):
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


def test_shots_after_the_source_are_in_table_9(tmp_path):
    data = {"data": {"dataset": "data/iemocap-to-meld", "shots": 5}}
    adapted = finished_run(tmp_path / "adapted", config={**data, "model": {"init_from": "runs/iemocap"}})
    alone = finished_run(tmp_path / "alone", config=data)
    groups = groups_of(adapted, alone)
    assert not any(transfer_table("VIII", groups).ours)
    nine = transfer_table("IX", groups)
    for name, way in (("adapted", "then the shots"), ("alone", "the shots alone")):
        row = entries(nine, f"ours: {name}")
        assert (row["shots"], row["ours, from -> to"]) == ("5", f"iemocap -> meld, {way}")
