"""Figs. 9 to 11 and Table VII from a model that was trained, and the distance of Table VII by hand."""

import numpy as np
import pytest
import torch

pytest.importorskip("matplotlib", reason="needs the report extra")

from m4ser.data.schema import DataError
from m4ser.evaluation.paper import write_report
from m4ser.evaluation.paper.representation_figures import both_texts, representations
from m4ser.evaluation.paper.representations import RunEncoder, warping_distance
from m4ser.evaluation.report.runs import find_runs
from m4ser.model.audio_m4ser import load_audio


@pytest.fixture(scope="module")
def corpus(tiny_run):
    return tiny_run.parent / "corpus"


@pytest.fixture(scope="module")
def groups(tiny_run):
    return find_runs([tiny_run])[0]


@pytest.fixture(scope="module")
def encoder(groups, corpus):
    return RunEncoder(groups[0].first, corpus)


def test_warping_by_hand():
    assert warping_distance([0.0, 1.0, 0.0], [0.0, 0.0, 1.0, 1.0, 0.0]) == 0
    # Everything is one apart: each of the four steps that leave the first curve and the second costs 1, over 4.
    assert warping_distance([0.0, 0.0], [1.0, 1.0]) == 1
    # (0, 0) twice 0, then one step to the peak at .5 that stays: .5 twice on the diagonal, over 2 + 2.
    assert warping_distance([0.0, 1.0], [0.0, 0.5]) == pytest.approx(0.25)


def test_warping_is_the_least_over_all_paths():
    first, second = np.random.default_rng(0).random((2, 5))

    def least(i, j):
        if i == j == 0:
            return 2 * abs(first[0] - second[0])
        step, ways = abs(first[i] - second[j]), []
        if i:
            ways.append(least(i - 1, j) + step)
        if j:
            ways.append(least(i, j - 1) + step)
        if i and j:
            ways.append(least(i - 1, j - 1) + 2 * step)
        return min(ways)

    assert warping_distance(first, second) == pytest.approx(least(4, 4) / 10)


def test_vectors_are_the_networks_on_each_recording_alone(encoder):
    found = encoder.vectors()
    assert found.embeddings.shape == (12, encoder.model.config.hidden_size) and len(found.labels) == 12
    row = encoder.rows[7]
    inputs = encoder.processor(load_audio(row["audio"]), row["hypothesis"], sampling_rate=16_000)
    with torch.no_grad():
        output = encoder.model(**inputs)
    np.testing.assert_allclose(found.embeddings[7], output.embeddings[0], atol=1e-4)
    np.testing.assert_allclose(found.streams["invariant"][7], output.invariant[0].mean(0), atol=1e-4)


def test_the_curves_are_those_of_the_network(encoder):
    row = encoder.rows[both_texts(encoder.rows)[0]]
    asr, human = encoder.weights(row, "hypothesis"), encoder.weights(row, "transcript")
    assert asr.tokens[0] == "[CLS]" and asr.tokens[-1] == "[SEP]" and len(asr.text) == len(asr.tokens)
    assert len(asr.speech) == len(asr.speech_specific) == len(asr.text_specific)
    for curve in (asr.speech, asr.text, asr.speech_specific, asr.text_specific):
        assert curve.min() == 0 and curve.max() == 1
    np.testing.assert_array_equal(asr.speech, human.speech)  # H_S does not depend on the text
    assert not np.array_equal(asr.speech_specific, human.speech_specific)
    assert asr.seconds == pytest.approx(row["duration"], abs=1e-3)


def test_attention_maps_are_distributions_over_keys(encoder):
    row = encoder.rows[0]
    before = encoder.model.config._attn_implementation
    maps = encoder.attention_maps(row, "hypothesis")
    frames, tokens = maps.weights["text_specific"].shape
    assert tokens == len(maps.tokens) and maps.weights["speech_query_cme"].shape == (frames, tokens)
    assert maps.weights["text_query_cme"].shape == (tokens, frames)
    for weights in maps.weights.values():
        np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
    assert encoder.model.config._attn_implementation == before
    assert maps.seconds == pytest.approx(row["duration"], abs=1e-3)
    assert maps.prediction == encoder.weights(row, "hypothesis").prediction


def test_figures_and_table_of_a_trained_run(groups, corpus):
    plots, (table,) = representations(groups, corpus)
    assert [plot.key for plot in plots] == ["fig9-corpus", "fig10-corpus", "fig11-corpus", "attention-corpus"]
    assert all(plot.png.startswith(b"\x89PNG") and plot.sources for plot in plots)
    assert "without_gan.yaml" in plots[1].caption  # the panel that is not there
    assert [row[0].split(",")[0] for row in table.rows] == ["paper", "paper", *["corpus"] * 3]
    assert all(0 <= entry.value <= 1 for row in table.rows[2:] for entry in row[1:])
    again, _ = representations(groups, corpus)
    assert [plot.svg for plot in again] == [plot.svg for plot in plots]


def test_other_dataset_is_refused(groups, tiny_run, corpus, tmp_path):
    with pytest.raises(DataError, match="There is no dataset"):
        representations(groups, tmp_path / "corpus")
    with pytest.raises(ValueError, match="No run given was tested on"):
        write_report([tiny_run], tmp_path / "report", [tmp_path / "elsewhere"])
