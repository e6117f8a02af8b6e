"""The card says what was measured, and nothing is pushed without it."""

import json
import shutil

import pytest
from huggingface_hub import ModelCard

from m4ser.hub import read_results, write_card
from tests.conftest import ROOT

TEMPLATE = ROOT / "model_card.md"


@pytest.fixture
def run(tiny_run, tmp_path):
    shutil.copy(tiny_run / "results.json", tmp_path)
    return tmp_path


def test_the_card_holds_the_runs_test_scores(run):
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
    assert not {"{{", "}}", "{%"} & set(card.text.split())


def test_a_corpus_in_a_folder_goes_by_its_name_and_one_on_the_hub_by_its_id(run, tiny_run):
    write_card(run, "org/m4ser-x", TEMPLATE)
    assert str(tiny_run.parent) not in (run / "README.md").read_text()
    write_card(run, "org/m4ser-x", TEMPLATE, dataset="org/m4ser-synthetic")
    assert "Test split of org/m4ser-synthetic" in (run / "README.md").read_text()


def test_a_run_without_test_scores_gets_no_card(tmp_path):
    with pytest.raises(ValueError, match="no test results: finish its training"):
        write_card(tmp_path, "org/m4ser-x", TEMPLATE)
    (tmp_path / "results.json").write_text(json.dumps({"splits": {"validation": {}}}))
    with pytest.raises(ValueError, match="no test results: finish its training"):
        write_card(tmp_path, "org/m4ser-x", TEMPLATE)
    assert not (tmp_path / "README.md").exists()
