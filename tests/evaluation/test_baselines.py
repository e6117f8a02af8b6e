"""The baselines on a dataset whose labels are known, and their MFCCs."""

import importlib
import json
import sys
from dataclasses import replace

import numpy as np
import pytest

from m4ser.data.builders.builder_cli import encode_flac
from m4ser.data.builders.writing import write_dataset
from m4ser.data.schema import DataError, Utterance
from m4ser.evaluation.baselines import CEPSTRA, MELS, mfcc, run_baselines, speech_features
from m4ser.evaluation.report.runs import find_runs


def utterances(split, count=12):
    """A low tone that says "oh" is sad, a high one that says "hey" happy; the transcripts are missing."""
    generator = np.random.default_rng(len(split))
    for i in range(count):
        emotion, pitch, word = [("sad", 150, "oh"), ("happy", 900, "hey"), ("happy", 950, "hey")][i % 3]
        tone = 0.3 * np.sin(2 * np.pi * pitch * np.arange(4000) / 16000) + 0.01 * generator.standard_normal(4000)
        yield Utterance(f"{split} {i}", encode_flac(tone), "tone.flac", emotion, 0.25, split, None, word)


@pytest.fixture
def tones(tmp_path):
    rows = [*utterances("train"), *utterances("test")]
    write_dataset(rows, ["sad", "happy"], tmp_path / "tones", title="Tones", description="Tones.")
    return tmp_path / "tones"


def test_speech_and_text_are_classified(tones):
    (report,) = run_baselines(tones)
    assert report["dataset"] == "tones" and report["recordings"] == {"train": 12, "test": 12}
    unweighted = {name: scores["unweighted_accuracy"] for name, scores in report["baselines"].items()}
    assert unweighted == {
        "majority": 0.5,
        "TF-IDF + logistic regression, hypothesis": 1,
        "MFCC statistics + SVM": 1,
    }
    assert report["baselines"]["majority"]["weighted_accuracy"] == pytest.approx(2 / 3)
    assert json.loads(json.dumps(report)) == report


def test_baselines_are_runs_of_the_report(tones, tmp_path):
    (report,) = run_baselines(tones, output_dir=tmp_path / "runs")
    groups, _ = find_runs([tmp_path / "runs"])
    assert [group.name for group in groups] == [
        "MFCC statistics + SVM",
        "TF-IDF + logistic regression, hypothesis",
        "majority",
    ]
    for group in groups:
        assert group.values("weighted_f1") == [report["baselines"][group.name]["weighted_f1"]]
        assert len(group.first.predictions) == 12 and group.corpus == "tones" and not group.is_network


def test_every_fold_of_a_protocol(tmp_path):
    rows = [replace(row, speaker=f"speaker {i % 5}") for i, row in enumerate(utterances("train", 30))]
    rows += [replace(row, speaker="speaker 5") for row in utterances("test")]
    write_dataset(rows, ["sad", "happy"], tmp_path / "tones", title="Tones", description="Tones.")
    reports = run_baselines(tmp_path / "tones", "speakers", tmp_path / "runs")
    assert [report["protocol"] for report in reports] == [f"speakers, fold {fold} of 6" for fold in range(1, 7)]
    groups, _ = find_runs([tmp_path / "runs"])
    assert all(len(group.runs) == 6 and group.missing == [] for group in groups)
    assert sum(len(run.predictions) for run in groups[0].runs) == 42


def test_missing_test_split_and_unknown_protocol_are_refused(tmp_path):
    write_dataset(utterances("train"), ["sad", "happy"], tmp_path / "tones", title="Tones", description="Tones.")
    with pytest.raises(DataError, match="need train and test"):
        run_baselines(tmp_path / "tones")
    with pytest.raises(DataError, match="There is no protocol 'all'"):
        run_baselines(tmp_path / "tones", "all")


def test_missing_extra_is_named(monkeypatch):
    monkeypatch.delitem(sys.modules, "m4ser.evaluation.baselines")
    monkeypatch.setitem(sys.modules, "sklearn.svm", None)
    with pytest.raises(ValueError, match=r"pip install 'm4ser\[report\]'"):
        importlib.import_module("m4ser.evaluation.baselines")


def test_loudness_changes_first_coefficient_only():
    noise = np.random.default_rng(0).standard_normal(16000)
    quiet, loud = mfcc(noise), mfcc(10 * noise)
    assert quiet.shape == (28, CEPSTRA)
    np.testing.assert_allclose(quiet[:, 1:], loud[:, 1:], atol=1e-6)
    # The log power rises by ln 100 in every band: sqrt(MELS) ln 100 in an orthonormal cosine transform.
    np.testing.assert_allclose(loud[:, 0] - quiet[:, 0], np.sqrt(MELS) * np.log(100))


def test_silence_and_one_sample_have_finite_features():
    rows = {"audio": [{"array": np.zeros(16000), "sampling_rate": 16000}, {"array": [0.5], "sampling_rate": 16000}]}
    features = speech_features(rows)
    assert features.shape == (2, 14 * CEPSTRA) and np.isfinite(features).all()
