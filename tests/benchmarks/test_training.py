"""The benchmark of a training step: what it compares, and that little is padded."""

import json

import torch

from benchmarks.training import CORPORA, GOALS, main, make_batch, padding
from m4ser import M4SERConfig


def test_little_is_padded():
    assert all(1.0 < padding(*shape) <= GOALS[f"padding {name}"] for name, shape in CORPORA.items())


def test_every_figure_with_its_goal(capsys):
    main(["--preset", "tiny", "--rounds", "1"])
    report = json.loads(capsys.readouterr().out)
    assert report["at_most"] == GOALS and set(report["met"]) == set(GOALS) < set(report["figures"])
    seconds = {name: report["figures"][f"seconds a step, {name}"] for name in ("full", "concat")}
    assert report["figures"]["full / concat"] == seconds["full"] / seconds["concat"]  # one round is its own median
    assert report["met"]["full / concat"] == (report["figures"]["full / concat"] <= 1.35)


def test_the_batch_has_errors_to_correct():
    batch = make_batch(M4SERConfig.preset("tiny"), "cpu")
    rows, positions = batch["correction_positions"].unbind(-1)
    assert (batch["aed_labels"][rows, positions] == 2).all()
    assert (batch["aed_labels"] == 2).sum() == len(rows) == len(batch["correction_ids"])
    assert torch.equal(batch["attention_mask"].sum(-1), torch.full((4,), 80_000))
