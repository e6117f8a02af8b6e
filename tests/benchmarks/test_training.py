"""The benchmark of a training step: what it compares, and how much is padded."""

import json

import torch
from accelerate import Accelerator

from benchmarks.synthetic_inputs import random_lengths
from benchmarks.training import BATCH, GOALS, RATIOS, RECORDINGS, main, make_batches, make_steps, padding
from m4ser import M4SERConfig, M4SERModel


def test_padding_meets_its_goals():
    assert all(
        1.0 < padding(random_lengths(name, count)) <= GOALS[f"padding {name}"] for name, count in RECORDINGS.items()
    )


def test_every_figure_with_its_goal(capsys):
    main(["--preset", "tiny", "--rounds", "1"])
    report = json.loads(capsys.readouterr().out)
    figures = report["figures"]
    assert report["at_most"] == GOALS and set(report["met"]) == set(GOALS) < set(figures)
    assert report["met"]["full / concat"] == (figures["full / concat"] <= 1.35)
    for ratio, (one, other) in RATIOS.items():  # one round is its own median
        assert figures[ratio] == figures[f"seconds a step, {one}"] / figures[f"seconds a step, {other}"]
    for name in {name for pair in RATIOS.values() for name in pair}:
        assert figures[f"recordings a second, {name}"] == BATCH / figures[f"seconds a step, {name}"]
        assert figures[f"megabytes, {name}"] > 0


def test_batch_has_errors_to_correct():
    batch, _ = make_batches(M4SERModel(M4SERConfig.preset("tiny")), "cpu")
    rows, positions = batch["correction_positions"].unbind(-1)
    assert batch["input_ids"].shape == (4, 20) and batch["correction_ids"].shape == (12, 3)
    assert (batch["aed_labels"][rows, positions] == 2).all() and (batch["aed_labels"] == 2).sum() == 12
    assert torch.equal(batch["attention_mask"].sum(-1), torch.full((4,), 80_000))


def test_cached_states_are_those_of_the_recordings():
    model = M4SERModel(M4SERConfig.preset("tiny")).eval()
    names = ("input_values", "attention_mask", "speech_hidden_states")
    batches = make_batches(model, "cpu")
    assert batches[1]["input_values"] is None and torch.equal(batches[1]["input_ids"], batches[0]["input_ids"])
    with torch.no_grad():
        frames = [model.encode_speech(*(batch.get(name) for name in names))[0] for batch in batches]
    torch.testing.assert_close(*frames, rtol=1e-4, atol=1e-5)


def test_steps_do_what_their_names_say():
    """Attention in a trained speech encoder runs once a step, or twice; in a frozen one once, or never."""
    steps = make_steps("tiny", Accelerator(cpu=True))
    frozen = steps["states cached"].args[0].model
    before = {name: weight.clone() for name, weight in frozen.state_dict().items()}
    runs = []
    for model in (steps["full"].args[0].model, frozen):
        model.speech_encoder.encoder.encoder.layers[0].attention.register_forward_pre_hook(lambda *_: runs.append(1))
    counts = {}
    for name in ("full", "activations recomputed", "frozen speech encoder", "states cached"):
        runs.clear()
        steps[name]()
        counts[name] = len(runs)
    assert list(counts.values()) == [1, 2, 1, 0]
    changed = {name for name, weight in frozen.state_dict().items() if not torch.equal(weight, before[name])}
    assert "classifier.weight" in changed
    assert not any(name.startswith("speech_encoder.encoder.") for name in changed)
