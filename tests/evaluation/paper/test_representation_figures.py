"""Figs. 9 to 11 and Table VII from a model that was trained, and the distance of Table VII by hand."""

from itertools import pairwise

import numpy as np
import pytest
import torch

pytest.importorskip("matplotlib", reason="needs the report extra")

from m4ser.data.schema import DataError
from m4ser.evaluation.paper import write_report
from m4ser.evaluation.paper.representation_figures import _shared_legend, both_texts, representations
from m4ser.evaluation.paper.representations import RunEncoder, warping_distance
from m4ser.evaluation.report.figures import new_figure
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
    """With other weights of its norms: after one epoch all outputs of a norm are as long, but for rounding."""
    encoder = RunEncoder(groups[0].first, corpus)
    torch.manual_seed(0)
    with torch.no_grad():
        for module in encoder.model.modules():
            if isinstance(module, torch.nn.LayerNorm):
                module.weight.mul_(0.5 + torch.rand_like(module.weight))
    return encoder


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


@pytest.mark.parametrize("panels", [1, 3])
def test_legend_is_whole(panels):
    figure, axes = new_figure(panels, width=3.1, height=2.9)
    names = ["angry", "calm", "disgusted", "fearful", "happy", "neutral", "sad", "surprised"]
    for name in names:
        axes[0].scatter([0], [0], label=name)
    _shared_legend(figure, axes[0])
    (legend,) = figure.legends
    figure.draw_without_rendering()
    assert [text.get_text() for text in legend.get_texts()] == names
    box = legend.get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.width and box.y0 >= 0


def test_vectors_are_the_networks_on_each_recording_alone(encoder):
    found = encoder.vectors()
    assert found.embeddings.shape == (12, encoder.model.config.hidden_size) and len(found.labels) == 12
    row = encoder.rows[7]
    inputs = encoder.processor(load_audio(row["audio"]), row["hypothesis"], sampling_rate=16_000)
    with torch.no_grad():
        output = encoder.model(**inputs)
    np.testing.assert_allclose(found.embeddings[7], output.embeddings[0], atol=1e-4)
    np.testing.assert_allclose(found.streams["invariant"][7], output.invariant[0].mean(0), atol=1e-4)


def test_the_curves_are_those_of_equations_8_and_10(encoder):
    row = encoder.rows[both_texts(encoder.rows)[0]]
    found = encoder.weights(row, "hypothesis")
    assert found.words == row["hypothesis"].split()
    model, inputs = (
        encoder.model,
        encoder.processor(load_audio(row["audio"]), row["hypothesis"], sampling_rate=16_000),
    )
    former = model.config._attn_implementation
    model.set_attn_implementation("eager")  # as the maps need it; another differs by rounding
    with torch.no_grad():
        speech, frames = model.encode_speech(inputs["input_values"], inputs["attention_mask"])
        text, tokens = model.encode_text(inputs["input_ids"], inputs["text_attention_mask"])
        attended = model.fusion.text_query_cme(text, speech, frames)  # eq. 8, (1, n, d)
        by_frame = model.fusion.text_specific(speech, text, tokens)  # eq. 10, (1, m, d)
    model.set_attn_implementation(former)
    maps = encoder.attention_maps(row, "hypothesis").weights["text_specific"]
    spread = (by_frame[0].norm(dim=-1).numpy()[:, None] * maps).sum(0)
    # Each word of this text is a run of tokens that begins with no ##.
    pieces = encoder.processor.tokenizer.convert_ids_to_tokens(inputs["input_ids"][0])[1:-1]
    starts = [number for number, piece in enumerate(pieces) if not piece.startswith("##")] + [len(pieces)]
    for curve, by_token in (
        (found.text, text[0].norm(dim=-1).numpy()),
        (found.speech_attended, attended[0].norm(dim=-1).numpy()),
        (found.text_attended, spread),
    ):
        words = [by_token[1:-1][start:end].mean() for start, end in pairwise(starts)]
        np.testing.assert_allclose(curve, (words - np.min(words)) / np.ptp(words), atol=1e-4)
        assert len(curve) == len(found.words)
    norms = speech[0].norm(dim=-1).numpy()
    np.testing.assert_allclose(found.speech, (norms - norms.min()) / np.ptp(norms), atol=1e-4)


def test_human_text_changes_what_words_attend_to(encoder):
    row = encoder.rows[both_texts(encoder.rows)[0]]
    asr, human = encoder.weights(row, "hypothesis"), encoder.weights(row, "transcript")
    np.testing.assert_array_equal(asr.speech, human.speech)  # H_S does not depend on the text
    assert human.words == row["transcript"].split() != asr.words
    for curve in (asr.speech, asr.text, asr.speech_attended, asr.text_attended):
        assert curve.min() == 0 and curve.max() == 1
    assert asr.seconds == pytest.approx(row["duration"], abs=1e-3)


def test_text_without_a_word_shows_special_tokens(encoder):
    assert encoder.weights({**encoder.rows[0], "hypothesis": ""}, "hypothesis").words == ["[CLS]", "[SEP]"]


def test_inputs_follow_the_models_device(encoder, monkeypatch):
    class Elsewhere:
        device = torch.device("meta")

    monkeypatch.setattr(encoder, "model", Elsewhere())
    inputs = encoder._inputs([np.zeros(1600, np.float32)], ["so"])
    assert {tensor.device.type for tensor in inputs.values()} == {"meta"}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_representations_are_computed_on_the_gpu(encoder, groups, corpus):
    assert encoder.model.device.type == "cuda"
    found = encoder.vectors()
    encoder.model.to("cpu")
    np.testing.assert_allclose(found.embeddings, encoder.vectors().embeddings, atol=1e-3)


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
