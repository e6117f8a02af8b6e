"""The throughput benchmark: real systems of the tiny size, and the figures computed from their seconds and labels."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks import throughput
from benchmarks.throughput import SystemProcess, agreement, compare, run_in_turn, save_model, speeds, write_clips


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("throughput")
    save_model("tiny", folder / "model")
    return folder


def test_systems_classify_files_in_turn(folder):
    clips = write_clips(folder, 3)
    names = "m4ser fp32", "m4ser bf16"
    systems = {name: SystemProcess(sys.executable, name, folder) for name in names}
    seconds, labels = run_in_turn(systems, clips, [1, 2])
    for system in systems.values():
        system.stop()
    assert set(seconds) == set(labels) == {(name, batch) for name in names for batch in (1, 2)}
    assert all(len(found) == 3 and set(found) <= {"angry", "happy", "neutral", "sad"} for found in labels.values())
    assert labels["m4ser fp32", 1] == labels["m4ser fp32", 2]  # batching changes no label


def test_against_transformers(capsys):
    """From the command to the report, HuBERT base included."""
    throughput.main(["--clips", "2", "--batches", "1", "--preset", "tiny", "--modes", "m4ser fp32", "m4ser bf16"])
    report = json.loads(capsys.readouterr().out)
    assert sum(name.startswith("recordings/s") for name in report["figures"]) == 3
    assert {name.split(" / ")[1]: goal for name, goal in report["at_least"].items()} == {
        "transformers": 1.2,
        "m4ser fp32": 1.8,
    }
    assert report["figures"]["same labels, m4ser fp32, batch 1"] == 1


def test_hypotheses_have_two_words_per_second(tmp_path):
    path, text, seconds = write_clips(tmp_path, 1)[0]
    assert len(text.split()) == round(2 * seconds) and Path(path).stat().st_size == pytest.approx(
        32_000 * seconds, rel=0.01
    )


def test_speed_is_over_all_chunks():
    found = speeds({("m4ser fp32", 8): [1.0, 3.0]}, [2.0, 6.0])
    assert found == {"recordings/s, m4ser fp32, batch 8": 0.5, "real-time factor, m4ser fp32, batch 8": 0.5}


def test_goal_is_set_for_a_mode_with_the_same_labels():
    modes = ["m4ser fp32", "m4ser bf16", "m4ser int8"]
    labels = {(mode, 1): ["sad", "happy"] for mode in modes}
    labels |= {("m4ser int8", 1): ["sad", "sad"], ("transformers", 1): ["x", "y"], ("transformers", 8): ["x", "y"]}
    same = agreement(labels, modes)
    assert same == {f"same labels, {mode}, batch 1": share for mode, share in zip(modes, (1, 1, 0.5), strict=True)}
    seconds = {
        ("m4ser fp32", 1): [8.0, 8.0],
        ("m4ser bf16", 1): [4.0, 4.0],
        ("m4ser int8", 1): [1.0, 1.0],
        ("transformers", 1): [6.0, 5.0],
        ("transformers", 8): [9.0, 9.0],
    }
    ratios, goals = compare(seconds, same, modes)
    assert ratios == {
        "m4ser fp32 / transformers": pytest.approx((6 / 8 + 5 / 8) / 2),
        "m4ser bf16 / transformers": 1.375,
        "m4ser int8 / transformers": 5.5,
        "m4ser fp32 / m4ser fp32": 1.0,
        "m4ser bf16 / m4ser fp32": 2.0,
        "m4ser int8 / m4ser fp32": 8.0,
    }
    assert goals == {"m4ser bf16 / transformers": 1.2, "m4ser bf16 / m4ser fp32": 1.8}


def test_system_that_cannot_start(tmp_path):
    with pytest.raises(RuntimeError, match=r"m4ser fp32 has died; to see its error, run: .*systems\.py"):
        SystemProcess(sys.executable, "m4ser fp32", tmp_path / "nowhere").classify([("a.wav", "", 1.0)], 1)
