"""The card says what was measured, and nothing is pushed without it."""

import json
import shutil

import pytest
from huggingface_hub import ModelCard

from m4ser.hub.models import write_card
from m4ser.run_folder import read_results
from tests.conftest import ROOT

TEMPLATE = ROOT / "model_card.md"


@pytest.fixture
def run(tiny_run, tmp_path):
    shutil.copy(tiny_run / "results.json", tmp_path)
    return tmp_path


def test_card_holds_test_scores(run):
    write_card(run, "org/m4ser-x", TEMPLATE)
    card, results = ModelCard.load(run / "README.md"), read_results(run)
    scores = results["splits"]["test"]
    assert {item.metric_type: item.metric_value for item in card.data.eval_results} == {
        name: round(scores[name], 4) for name in ("weighted_accuracy", "unweighted_accuracy", "weighted_f1")
    }
    assert {(item.dataset_name, item.dataset_split) for item in card.data.eval_results} == {("corpus", "test")}
    assert card.data.pipeline_tag == "audio-classification" and card.data.license == "apache-2.0"
    for label, row in zip(results["labels"], scores["confusion_matrix"], strict=True):
        assert f"| **{label}** | {' | '.join(map(str, row))} |\n" in card.text
    assert f"{scores['n']} recordings, protocol `held_out`, seed 0" in card.text
    assert f"{results['parameters']:,} parameters" in card.text
    assert 'model="org/m4ser-x"' in card.text
    assert results["protocol_description"] in card.text
    assert "The weights: `apache-2.0`." in card.text
    assert "Of the test recordings, " in card.text and " % have transcripts that" in card.text
    assert "calibrated" not in card.text and "![" not in card.text
    assert not {"{{", "}}", "{%"} & set(card.text.split())


def test_card_shows_matrix_and_calibration(run):
    results = read_results(run)
    before, after = {"expected_calibration_error": 0.28825}, {"expected_calibration_error": 0.0781}
    results["calibration"] = {"temperature": 2.229, "splits": {"test": {"before": before, "after": after}}}
    (run / "results.json").write_text(json.dumps(results))
    (run / "confusion_matrix.png").touch()
    card = write_card(run, "org/m4ser-x", TEMPLATE, license="cc-by-nc-sa-4.0")
    assert card.data.license == "cc-by-nc-sa-4.0" and "The weights: `cc-by-nc-sa-4.0`." in card.text
    assert "a temperature of 2.23" in card.text
    assert "is\n0.078, and was\n0.288 before." in card.text
    assert "![Confusion matrix](confusion_matrix.png)" in card.text


def test_labels_and_names_are_no_markup(run):
    results = read_results(run)
    results["labels"][0] = "<script>alert(1)</script>|"
    (run / "results.json").write_text(json.dumps(results))
    write_card(run, "org/m4ser-x", TEMPLATE, dataset="![x](http://tracker)")
    card = (run / "README.md").read_text().partition("\n---\n")[2]
    assert "<script" not in card and "![x]" not in card
    assert "&lt;script>alert(1)&lt;/script>\\|" in card


def test_card_names_corpus_by_folder_name_or_hub_id(run, tiny_run):
    write_card(run, "org/m4ser-x", TEMPLATE)
    assert str(tiny_run.parent) not in (run / "README.md").read_text()
    write_card(run, "org/m4ser-x", TEMPLATE, dataset="org/m4ser-synthetic")
    assert "Test split of org/m4ser-synthetic" in (run / "README.md").read_text()


def test_unfinished_run_has_no_card(tmp_path):
    with pytest.raises(ValueError, match=r"there is no results\.json; give the folder of a finished run"):
        write_card(tmp_path, "org/m4ser-x", TEMPLATE)
    (tmp_path / "results.json").write_text(json.dumps({"splits": {"validation": {}}}))
    with pytest.raises(ValueError, match="not a finished run with a test split"):
        write_card(tmp_path, "org/m4ser-x", TEMPLATE)
    assert not (tmp_path / "README.md").exists()
