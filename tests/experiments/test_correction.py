"""The experiment of error correction: its figures against the data's own, its choices against the test split."""

import copy
import json
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from transformers import Wav2Vec2FeatureExtractor

from experiments import correction as experiment
from experiments.correction_counts import word_error_rates
from experiments.correction_data import MEASURED, read_corpora, with_labels
from experiments.correction_sentiment import sentiment_accuracy
from m4ser import M4SERProcessor
from m4ser.data.tokenizer import train_tokenizer
from m4ser.model.modeling_m4ser import Correction
from tests.tiny import tiny_model

WORDS = ("ab", "cd", "ef", "gh", "ij", "kl")


@pytest.fixture(scope="module")
def corpora(shared_data):
    return read_corpora(shared_data)


@pytest.fixture
def small():
    """A processor, a random network that edits at most thresholds, and splits of made-up texts."""
    tokenizer = train_tokenizer([" ".join(WORDS)] * 3, vocab_size=40)
    processor = M4SERProcessor(Wav2Vec2FeatureExtractor(), tokenizer)
    ids = {"correction_bos_token_id": tokenizer.cls_token_id, "correction_eos_token_id": tokenizer.sep_token_id}
    model = tiny_model(modalities=["text"], **ids)
    with torch.no_grad():  # sure of some edits
        model.error_detector.weight.mul_(4)
        model.error_corrector.lm_head.weight.mul_(6)
    torch.manual_seed(0)
    texts = [" ".join(WORDS[index] for index in torch.randint(len(WORDS), (5,))) for _ in range(24)]
    rows = [{"hypothesis": one, "transcript": other} for one, other in pairwise(texts)]
    return model, processor, {"train": rows[:5], "validation": rows[5:14], "test": rows[14:]}


# The data and what is known of it.


def test_the_corpora_are_whole(corpora):
    sizes = {name: [len(rows) for rows in splits.values()] for name, splits in corpora.items()}
    assert sizes["sst"] == [8544, 1101, 2210]
    assert sizes["atis"] == [3867, 967, 800]
    assert all(sizes[name] == [1281, 229, 685] for name in MEASURED[1:])


def test_texts_are_as_published(corpora):
    row = corpora["sst"]["test"][2]
    assert row["hypothesis"].startswith("emerges of something rare an issue movie that so on")
    assert row["transcript"].startswith("Emerges as something rare , an issue movie that 's so honest")


def test_sentiment_accuracies_equal_those_of_the_data(corpora):
    kinds = [(MEASURED[1], "transcript"), *((name, "hypothesis") for name in MEASURED[1:])]
    accuracies = []
    for name, column in kinds:
        texts = {split: [row[column] for row in rows] for split, rows in corpora[name].items()}
        accuracies.append(sentiment_accuracy(corpora[name], texts, texts))
    assert accuracies == pytest.approx([72.1, 69.8, 67.9, 63.4], abs=0.05)


# Choosing and measuring.


def test_sweep_equals_single_thresholds(small):
    model, processor, splits = small
    model.config.correction_threshold = min(experiment.THRESHOLDS)
    corrections = experiment.correct(model, processor, splits["test"])
    texts = set()
    for threshold in experiment.THRESHOLDS:
        model.config.correction_threshold = threshold
        alone = experiment.texts_of(experiment.correct(model, processor, splits["test"]), processor)
        assert experiment.texts_of(corrections, processor, threshold) == alone
        texts.add(tuple(alone))
    assert len(texts) > 3


def test_threshold_ignores_test_split(small):
    model, processor, splits = small
    scores, _ = experiment.measure(copy.deepcopy(model), processor, splits)
    rates = []
    for threshold in experiment.THRESHOLDS:
        model.config.correction_threshold = threshold
        texts = experiment.texts_of(experiment.correct(model, processor, splits["validation"]), processor)
        rates.append(word_error_rates(processor.tokenizer, splits["validation"], texts)["comparison"])
    assert scores["validation"]["corrected"]["comparison"] == min(rates)
    assert scores["threshold"] == max(
        t for t, rate in zip(experiment.THRESHOLDS, rates, strict=True) if rate == min(rates)
    )
    splits["test"] = [row | {"transcript": row["hypothesis"]} for row in splits["test"]]
    assert experiment.measure(model, processor, splits)[0]["threshold"] == scores["threshold"]


def test_tags_are_scored_where_there_is_a_label():
    rows = [{"aed_labels": [0, 2, 1, -100]}, {"aed_labels": [2, 0, -100]}]
    tags = [[0, 2, 2, 1], [2, 2, 0]]
    corrections = [(None, Correction(row, [], [], {})) for row in tags]
    scores = experiment.tag_scores(rows, corrections)
    assert scores["KEEP"] == {"precision": 1, "recall": 0.5, "f1": pytest.approx(2 / 3), "tokens": 2}
    assert scores["DELETE"] == {"precision": 0, "recall": 0, "f1": 0, "tokens": 1}
    assert scores["CHANGE"] == {"precision": 0.5, "recall": 1, "f1": pytest.approx(2 / 3), "tokens": 2}


def test_sequential_decoding_gives_same_text(small):
    model, processor, splits = small
    decoder, calls = model.error_corrector, []
    parallel = experiment.correct(model, processor, splits["test"])
    generate = decoder.generate
    decoder.generate = experiment.one_after_the_other(
        lambda *inputs: calls.append(len(inputs[0])) or generate(*inputs)
    )
    sequential = experiment.correct(model, processor, splits["test"])
    assert set(calls) == {1}
    assert [item.token_ids for _, item in sequential] == [item.token_ids for _, item in parallel]


def test_labels_follow_the_network(small):
    rows = [{"hypothesis": "ab cd", "transcript": "ab cd"}]
    for tasks, positions in ((["detection", "correction"], []), (["correction"], [0])):
        config = SimpleNamespace(auxiliary_tasks=tasks, max_correction_length=9)
        labeled = with_labels(rows, small[1].tokenizer, config)
        assert labeled[0]["correction_positions"] == positions


@pytest.mark.slow
def test_a_quick_run_measures_everything(shared_data, bert_folder, capsys):
    experiment.main(["--quick", "--data", str(shared_data)])
    printed = capsys.readouterr()
    results = json.loads(printed.out)
    assert list(results["corpora"]) == list(MEASURED)
    assert results["command"].endswith("--quick")
    for scores in results["corpora"].values():
        rates = scores["validation"]
        assert rates["corrected"]["comparison"] <= rates["hypothesis"]["comparison"]
        assert set(scores["test"]["corrected"]) == {"comparison", "raw"}
        assert sum(tag["tokens"] for tag in scores["tags"].values()) > 200
    assert {kind for kinds in results["sentiment"].values() for kind in kinds} == {
        "transcript",
        "corrected",
        "hypothesis",
    }
    rates = [cost["word error rate"] for cost in results["decoding"].values()]
    assert rates[0] == rates[1] < rates[2]
    assert "no threshold" in printed.err
