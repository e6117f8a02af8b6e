"""The figures of the method: all of them are drawn, twice alike, and show what the network computed."""

import re

import numpy as np
import pytest
import torch

from experiments.method_figures.__main__ import main
from experiments.method_figures.forward import run_forward
from m4ser import M4SERPipeline
from m4ser.data.loading import load_dataset
from tests.documents import ROOT


@pytest.fixture(scope="module")
def corpus(tiny_run):
    return str(tiny_run.parent / "corpus")


@pytest.fixture(scope="module")
def forward(tiny_run, corpus):
    return run_forward(tiny_run, corpus)


def test_all_figures_of_the_pages_are_drawn_and_the_same_again(tiny_run, corpus, tmp_path):
    for name in ("one", "two"):
        main(["--run", str(tiny_run), "--dataset", corpus, "--output_dir", str(tmp_path / name)])
    pages = (ROOT / "docs" / "method.md").read_text() + (ROOT / "README.md").read_text()
    shown = set(re.findall(r"figures/method/([a-z]+\.svg)", pages))
    drawn = {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()}
    assert set(drawn) == shown == {path.name for path in (ROOT / "docs" / "figures" / "method").iterdir()}
    assert drawn == {path.name: path.read_bytes() for path in (tmp_path / "two").iterdir()}


def test_forward_is_the_pipelines(forward, tiny_run, corpus):
    row = load_dataset(corpus)["test"][0]
    classify = M4SERPipeline.from_pretrained(tiny_run)
    expected = classify({"bytes": row["audio"]["bytes"], "text": row["hypothesis"]})
    found = dict(zip(forward.labels, forward.scores.tolist(), strict=True))
    assert found == pytest.approx({item["label"]: item["score"] for item in expected}, abs=1e-5)


def test_states_belong_together(forward):
    frames, tokens = len(forward.states["speech"]), len(forward.tokens)
    assert forward.states["text"].shape[0] == tokens == len(forward.tags)
    assert {forward.states[name].shape for name in ("aligned", "combined", "invariant", "speech_mask")} == {
        forward.states["speech"].shape
    }
    assert forward.attention["text_query_cme"].shape == (tokens, frames)
    assert forward.attention["speech_query_cme"].shape == forward.attention["text_specific"].shape == (frames, tokens)
    assert all(np.allclose(weights.sum(-1), 1, atol=1e-5) for weights in forward.attention.values())


def test_replacements_are_the_models(forward, tiny_run, corpus):
    row = load_dataset(corpus)["test"][0]
    classify = M4SERPipeline.from_pretrained(tiny_run)
    inputs = classify.processor(text=row["hypothesis"])
    with torch.no_grad():
        (correction,) = classify.model.correct(inputs["input_ids"], inputs["text_attention_mask"])
    tokens = classify.processor.tokenizer.convert_ids_to_tokens
    best = {
        position: [candidates[0][0] for candidates in steps if candidates[0][0] != "[SEP]"]
        for position, steps in forward.replacements.items()
    }
    assert best == {position: tokens(ids) for position, ids in correction.replacements.items()}
