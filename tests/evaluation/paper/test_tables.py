"""The paper's tables with runs beside them whose every number is known."""

from m4ser import run_folder
from m4ser.evaluation.metrics import evaluate_predictions
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
    (group,) = groups_of(
        finished_run(tmp_path / "mine", recordings_of("IEMOCAP"), config=iemocap, protocol="paper, fold 1 of 5")
    )
    table = system_table("II", [group])
    assert table.ours == [False] * 10 + [True]
    assert entries(table, "M4SER")["WA"] == "79.2" and entries(table, "MMER")["year"] == "2023"
    row = entries(table, "ours: mine")
    assert row["modality"] == "S+T(ASR)" and "epoch chosen on the test data" in row["protocol"]
    assert row["UA"] == f"{100 * group.first.scores['unweighted_accuracy']:.1f}"
    assert "published figures only" in system_table("III", [group]).notes[-1]


def recordings_of(corpus, prefix=""):
    """Predictions on recordings with the ids of a corpus's builder."""
    ids = {"IEMOCAP": "Ses01F_impro01_F{:03d}", "MELD": "test_dia{}_utt0", "MELD dev": "dev_dia{}_utt0"}[corpus]
    return {f"{prefix}{ids.format(number)}": pair for number, pair in enumerate(make_predictions().values())}


def on(folder, corpus, labels, prefix="", **config):
    """A run on a corpus of these classes; `config` goes into its data and model."""
    tested = recordings_of(corpus, prefix)
    rows = [{"id": name, "label": label, "prediction": found} for name, (label, found) in tested.items()]
    truth, predicted = zip(*tested.values(), strict=True)
    splits = {"test": evaluate_predictions(predicted, truth, len(labels))}
    groups = {"model": config.get("model", {}), "data": {"dataset": f"data/{folder.name}", **config.get("data", {})}}
    finished_run(folder, predictions=False, config=groups, labels=list(labels), splits=splits)
    run_folder.write_predictions(folder, {"test": rows}, labels)
    return folder


SEVEN = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")
FOUR = ("angry", "happy", "neutral", "sad")
SIX = ("angry", "excited", "frustrated", "happy", "neutral", "sad")


def test_only_comparable_runs_stand_as_ours(tmp_path):
    text_only = {"modalities": ["text"], "auxiliary_tasks": []}
    groups = groups_of(
        on(tmp_path / "meld", "MELD", SEVEN),
        on(tmp_path / "friends", "MELD", SEVEN),  # whatever the folder is called
        on(tmp_path / "iemocap", "IEMOCAP", FOUR),
        on(tmp_path / "iemocap-to-meld", "MELD", FOUR, prefix="meld-"),
        on(tmp_path / "meld4", "MELD", FOUR),
        on(tmp_path / "meld-text", "MELD", SEVEN, model={"config": text_only}, data={"text_column": "transcript"}),
        on(tmp_path / "meld-human", "MELD", SEVEN, data={"text_column": "transcript"}),
        on(tmp_path / "meld-shots", "MELD", SEVEN, data={"shots": 20}),
        on(tmp_path / "meld-dev", "MELD dev", SEVEN),
        on(tmp_path / "iemocap6", "IEMOCAP", SIX),
        finished_run(tmp_path / "ravdess"),
    )
    two, three = system_table("II", groups), system_table("III", groups)
    assert [row[0] for row in two.rows[10:]] == ["ours: iemocap"]
    assert [row[0] for row in three.rows[8:]] == ["ours: meld", "ours: friends"]
    assert two.notes[-1] == (
        "Not comparable, and left out: iemocap6 on iemocap6 (its 6 classes are not the table's 4)."
    )
    for reason in (
        "iemocap-to-meld on iemocap-to-meld (the dataset iemocap-to-meld is not MELD alone, its 4 classes are",
        "meld4 on meld4 (its 4 classes are not the table's 7)",
        "meld-text on meld-text (text only)",
        "meld-human on meld-human (human transcripts instead of ASR hypotheses)",
        "meld-shots on meld-shots (trained on 20 recordings an emotion)",
        "meld-dev on meld-dev (other recordings are tested)",
    ):
        assert reason in three.notes[-1]
    assert "ravdess" not in three.notes[-1]


def test_ablation_names_the_protocol_of_each_row(tmp_path):
    groups = groups_of(
        finished_run(tmp_path / "one", protocol="loso, fold 1 of 5"),
        finished_run(tmp_path / "other", protocol="paper, fold 1 of 5"),
    )
    rows = [row for row in ablation_table("corpus", groups).rows if row[0] == "M4SER (full)"]
    assert [row[-2] for row in rows] == [
        "loso, 1 of 5 folds, 1 seed",
        "paper, 1 of 5 folds, 1 seed; epoch chosen on the test data",
    ]
    assert text_table("corpus", groups).columns[-2:] == ["our protocol", "our run"]


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
