"""SAWC: its corrections by hand, and word confidences from a dataset through training to every evaluation."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch

from m4ser import AudioError, M4SERPipeline
from m4ser.data.builders.writing import write_dataset
from m4ser.evaluation.scoring import classify_rows, score_split
from m4ser.systems.sawc import SAWCConfig, SAWCModel, corrected
from m4ser.training.arguments import parse_arguments
from m4ser.training.loop import train
from tests.assertions import noise
from tests.tiny import HEADS, WIDTH, collate, plain_inputs, randomize, recordings, tiny_config
from tests.tiny_corpus import LABELS, SMALL, utterances

ROOT = Path(__file__).parents[2]
SAMPLES, TOKENS = (4000, 2500, 6000), (7, 4, 9)


@pytest.fixture
def model():
    encoders = tiny_config()
    sizes = {"hidden_size": WIDTH, "num_attention_heads": HEADS, "intermediate_size": 36, "recurrent_size": 5}
    torch.manual_seed(0)
    config = SAWCConfig(speech_config=encoders.speech_config, text_config=encoders.text_config, **sizes)
    return randomize(SAWCModel(config)).eval()


def inputs_with_confidences(**padding):
    inputs = plain_inputs(collate(recordings(SAMPLES, TOKENS), **padding))
    confidences = torch.zeros(inputs["input_ids"].shape)  # of padding: nobody may look at it
    for row, count in zip(confidences, TOKENS, strict=True):
        row[:count] = torch.rand(count, generator=torch.Generator().manual_seed(count))
    return {**inputs, "token_confidences": confidences}


def stretched(values, length):
    """Linear interpolation of a row's values at the middles of `length` steps."""
    positions = (np.arange(length) + 0.5) * len(values) / length - 0.5
    return np.interp(positions, np.arange(len(values)), values)


def pooled(pooling, states, factors):
    """Attention over one row's valid states (k, w), by loops in float64, each weight times its factor."""
    hidden, bias = (value.double().numpy() for value in (pooling.hidden.weight, pooling.hidden.bias))
    score = pooling.score.weight[0].double().numpy()
    scores = [score @ np.tanh(hidden @ state + bias) for state in states]
    weights = [np.exp(one) * factor for one, factor in zip(scores, factors, strict=True)]
    return sum(weight * state for weight, state in zip(weights, states, strict=True)) / sum(weights)


@torch.no_grad()
def test_embeddings_are_pooled_by_corrected_weights(model):
    inputs = inputs_with_confidences()
    output = model(**inputs)
    text = model.encode_text(inputs["input_ids"], inputs["text_attention_mask"])
    speech = model.encode_speech(inputs["input_values"], inputs["attention_mask"])
    for row, found in enumerate(output.embeddings.double().numpy()):
        confidences = inputs["token_confidences"][row, : TOKENS[row]].double().numpy()
        vectors = []
        for module, (states, mask) in ((model.speech_pooling, speech), (model.text_pooling, text)):
            valid = states[row : row + 1, : mask[row].sum()]
            recurrent = module.recurrent(valid, torch.ones(valid.shape[:2], dtype=torch.bool))[0].double().numpy()
            is_text = module is model.text_pooling
            factors = confidences if is_text else 2 - stretched(confidences, len(recurrent))
            vectors.append(pooled(module.pooling, recurrent, factors))
        np.testing.assert_allclose(found, np.concatenate(vectors), atol=1e-5)


def test_correction_by_hand():
    weights = torch.tensor([[0.5, 0.25, 0.25], [0.5, 0.5, 0.0]])
    found = corrected(weights, torch.tensor([[0.5, 1.0, 0.0], [0.0, 0.0, 1.0]]))
    torch.testing.assert_close(found, torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.0, 0.0]]))


@torch.no_grad()
def test_certain_words_change_nothing_and_doubtful_ones_do(model):
    inputs = inputs_with_confidences()
    confidences = inputs.pop("token_confidences")
    plain = model(**inputs).logits
    torch.testing.assert_close(model(**inputs, token_confidences=torch.ones_like(confidences)).logits, plain)
    assert (model(**inputs, token_confidences=confidences).logits - plain).abs().amax(-1).min() > 1e-4


@torch.no_grad()
def test_padding_changes_nothing(model):
    output, padded = (
        model(**inputs_with_confidences(**more)) for more in ({}, {"more_samples": 900, "more_tokens": 5})
    )
    torch.testing.assert_close(padded.embeddings, output.embeddings, atol=1e-5, rtol=1e-4)


def test_impossible_width_is_refused():
    with pytest.raises(ValueError, match="recurrent_size is a whole number above 0, not 0"):
        SAWCConfig(recurrent_size=0)


def with_confidences():
    draw = np.random.default_rng(0)
    for row in utterances():
        yield replace(row, word_confidences=draw.uniform(0, 1, len(row.hypothesis.split())).tolist())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sawc")
    write_dataset(with_confidences(), LABELS, folder / "corpus", title="Tiny", description="Noises.")
    argv = [SMALL, str(ROOT / "configs" / "systems" / "sawc.yaml"), "--dataset", str(folder / "corpus")]
    train(parse_arguments([*argv, "--output_dir", str(folder / "run"), "--learning_rate", "0.01", "--epochs", "2"]))
    return folder / "run"


@pytest.fixture
def rows(run):
    return datasets.load_dataset(str(run.parent / "corpus"), split="test")


def trainers_scores(run, rows):
    with (run / "predictions.csv").open(newline="") as file:
        predictions = {row["id"]: row for row in csv.DictReader(file) if row["split"] == "test"}
    return np.array([[float(predictions[id][label]) for label in LABELS] for id in rows["id"]])


@pytest.mark.parametrize("batch_size", [1, 3])
def test_trainer_and_pipeline_predict_alike(run, rows, batch_size):
    classify, expected = M4SERPipeline.from_pretrained(run), trainers_scores(run, rows)
    found, _ = classify_rows(classify, rows, batch_size=batch_size)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    without, _ = classify_rows(classify, rows.remove_columns("word_confidences"), batch_size=batch_size)
    assert np.abs(without - expected).max() > 1e-4


def test_results_of_a_run_are_reproduced(run):
    results = json.loads((run / "results.json").read_text())["splits"]["test"]
    scores = score_split(run, run.parent / "corpus", batch_size=3)
    assert {name: scores[name] for name in ("n", "confusion_matrix")}.items() <= results.items()


def test_transcripts_are_not_corrected(run, rows):
    classify = M4SERPipeline.from_pretrained(run)
    found, _ = classify_rows(classify, rows, "transcript")
    without, _ = classify_rows(classify, rows.remove_columns("word_confidences"), "transcript")
    np.testing.assert_array_equal(found, without)


def test_pipeline_takes_confidences_beside_a_text(run):
    classify = M4SERPipeline.from_pretrained(run)
    recording = {"raw": noise(4000), "sampling_rate": 16_000, "text": "the night"}

    def scores(**more):
        return {item["label"]: item["score"] for item in classify({**recording, **more})}

    assert scores(word_confidences=[1, 1]) == pytest.approx(scores(), abs=1e-6)
    assert scores(word_confidences=[0.9, 0.01]) != pytest.approx(scores(), abs=1e-5)
    with pytest.raises(AudioError, match="the recording: there are 1 word_confidences for 2 words"):
        scores(word_confidences=[0.5])
