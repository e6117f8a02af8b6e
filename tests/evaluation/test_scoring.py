"""A saved model on a split: what the pipeline answers, scored."""

import json

import datasets
import pytest

from m4ser import DataError, M4SERPipeline
from m4ser.data.schema import Utterance, write_dataset
from m4ser.data.synthetic import EMOTIONS
from m4ser.evaluation.metrics import evaluate_predictions
from m4ser.evaluation.scoring import score_split


@pytest.fixture
def corpus(tiny_run):
    return str(tiny_run.parent / "corpus")


def write_rows(folder, emotion="angry", audio=b"not audio"):
    row = Utterance(id="clip 7", audio=audio, path="clip.wav", emotion=emotion, duration=1.0, split="test")
    write_dataset([row], [emotion], folder, title="Rows", description="One row.")
    return str(folder)


@pytest.mark.parametrize("text_column", ["hypothesis", "transcript"])
def test_the_scores_are_those_of_the_pipelines_answers_one_by_one(tiny_run, corpus, text_column):
    classify, rows = M4SERPipeline.from_pretrained(tiny_run), datasets.load_dataset(corpus, split="test")
    answers = [classify({**row["audio"], "text": row[text_column]})[0]["label"] for row in rows]
    expected = evaluate_predictions([EMOTIONS.index(label) for label in answers], rows["emotion"][:], len(EMOTIONS))
    assert score_split(tiny_run, corpus, "test", batch_size=5, text_column=text_column) == expected
    assert expected["n"] == 12


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_runs_own_results_are_found_again(tiny_run, corpus, split):
    results = json.loads((tiny_run / "results.json").read_text())["splits"][split]
    assert score_split(tiny_run, corpus, split).items() <= results.items()


def test_what_is_not_there_is_named(tiny_run, corpus, tmp_path):
    with pytest.raises(DataError, match="no split 'dev' of a data set"):
        score_split(tiny_run, corpus, "dev")
    with pytest.raises(DataError, match=f"data set '{tmp_path}/gone'"):
        score_split(tiny_run, f"{tmp_path}/gone")
    with pytest.raises(DataError, match="has no column heard"):
        score_split(tiny_run, corpus, text_column="heard")
    with pytest.raises(ValueError, match=f"There is no model '{tmp_path}/gone'"):
        score_split(f"{tmp_path}/gone", corpus)


def test_a_row_that_cannot_be_used_is_named(tiny_run, tmp_path):
    with pytest.raises(DataError, match=r"clip 7: clip\.wav: not an audio file"):
        score_split(tiny_run, write_rows(tmp_path / "broken"))


def test_emotions_that_the_model_does_not_know_are_named(tiny_run, tmp_path):
    with pytest.raises(DataError, match="does not know calm; it knows angry, happy, neutral, sad"):
        score_split(tiny_run, write_rows(tmp_path / "strange", emotion="calm"))
