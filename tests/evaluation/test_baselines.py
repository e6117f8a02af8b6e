"""The baselines on a dataset whose answers are known, and their MFCCs against an independent filter bank."""

import json
from dataclasses import replace

import numpy as np
import pytest
from transformers.audio_utils import mel_filter_bank

from m4ser.data.builders.builder_cli import encode_flac
from m4ser.data.builders.writing import write_dataset
from m4ser.data.schema import DataError, Utterance
from m4ser.evaluation.baselines import CEPSTRA, FRAME, MELS, main, mel_filters, mfcc, voice_features
from m4ser.evaluation.report.runs import find_runs


def utterances(split, count=12):
    """A low tone that says "oh" is sad, a high one that says "hey" happy; the transcripts are missing."""
    generator = np.random.default_rng(len(split))
    for i in range(count):
        emotion, pitch, word = [("sad", 150, "oh"), ("happy", 900, "hey"), ("happy", 950, "hey")][i % 3]
        tone = 0.3 * np.sin(2 * np.pi * pitch * np.arange(4000) / 16000) + 0.01 * generator.standard_normal(4000)
        yield Utterance(f"{split} {i}", encode_flac(tone), "tone.flac", emotion, 0.25, split, None, word)


def test_what_the_voice_and_the_words_tell_is_found(tmp_path, capsys):
    rows = [*utterances("train"), *utterances("test")]
    write_dataset(rows, ["sad", "happy"], tmp_path / "tones", title="Tones", description="Tones.")
    main(["--dataset", str(tmp_path / "tones")])
    report = json.loads(capsys.readouterr().out)
    assert report["dataset"] == "tones" and report["recordings"] == {"train": 12, "test": 12}
    unweighted = {name: scores["unweighted_accuracy"] for name, scores in report["baselines"].items()}
    assert unweighted == {
        "majority": 0.5,
        "TF-IDF + logistic regression, hypothesis": 1,
        "MFCC statistics + SVM": 1,
    }
    assert report["baselines"]["majority"]["weighted_accuracy"] == pytest.approx(2 / 3)


def test_each_baseline_is_a_run_that_the_report_reads(tmp_path, capsys):
    rows = [*utterances("train"), *utterances("test")]
    write_dataset(rows, ["sad", "happy"], tmp_path / "tones", title="Tones", description="Tones.")
    main(["--dataset", str(tmp_path / "tones"), "--output_dir", str(tmp_path / "runs")])
    groups, _ = find_runs([tmp_path / "runs"])
    assert [group.name for group in groups] == [
        "MFCC statistics + SVM",
        "TF-IDF + logistic regression, hypothesis",
        "majority",
    ]
    printed = json.loads(capsys.readouterr().out)["baselines"]
    for group in groups:
        assert group.values("weighted_f1") == [printed[group.name]["weighted_f1"]]
        assert len(group.first.predictions) == 12 and group.corpus == "tones" and not group.is_network


def test_every_fold_of_a_protocol(tmp_path, capsys):
    rows = [replace(row, speaker=f"speaker {i % 5}") for i, row in enumerate(utterances("train", 30))]
    rows += [replace(row, speaker="speaker 5") for row in utterances("test")]
    write_dataset(rows, ["sad", "happy"], tmp_path / "tones", title="Tones", description="Tones.")
    options = ["--dataset", str(tmp_path / "tones"), "--protocol", "speakers", "--output_dir", str(tmp_path / "runs")]
    main(options)
    assert [report["protocol"] for report in json.loads(capsys.readouterr().out)] == [
        f"speakers, fold {fold} of 6" for fold in range(1, 7)
    ]
    groups, _ = find_runs([tmp_path / "runs"])
    assert all(len(group.runs) == 6 and group.missing == [] for group in groups)
    assert sum(len(run.predictions) for run in groups[0].runs) == 42


def test_a_dataset_without_a_test_split_is_refused(tmp_path):
    write_dataset(utterances("train"), ["sad", "happy"], tmp_path / "tones", title="Tones", description="Tones.")
    with pytest.raises(DataError, match="need train and test"):
        main(["--dataset", str(tmp_path / "tones")])


def test_the_mel_filters_are_those_of_the_htk_scale():
    expected = mel_filter_bank(FRAME // 2 + 1, MELS, 0, 8000, 16000, norm=None, mel_scale="htk")
    np.testing.assert_allclose(mel_filters(), expected, atol=1e-6)


def test_loudness_changes_only_the_first_coefficient():
    noise = np.random.default_rng(0).standard_normal(16000)
    quiet, loud = mfcc(noise), mfcc(10 * noise)
    assert quiet.shape == (28, CEPSTRA)
    np.testing.assert_allclose(quiet[:, 1:], loud[:, 1:], atol=1e-6)
    # The log power rises by ln 100 in every band: sqrt(MELS) ln 100 in an orthonormal cosine transform.
    np.testing.assert_allclose(loud[:, 0] - quiet[:, 0], np.sqrt(MELS) * np.log(100))


def test_silence_and_one_sample_have_finite_features():
    rows = {"audio": [{"array": np.zeros(16000), "sampling_rate": 16000}, {"array": [0.5], "sampling_rate": 16000}]}
    features = voice_features(rows)
    assert features.shape == (2, 14 * CEPSTRA) and np.isfinite(features).all()
