"""A table's rows are the pipeline's predictions, in the order of the recordings."""

import numpy as np
import pytest
import soundfile

from m4ser import M4SERPipeline
from m4ser.inference.preparing import batches_by_length
from m4ser.inference.recordings import Recording
from m4ser.inference.scorer import SCORE, Scorer, ScoringOptions


@pytest.fixture(scope="module")
def classify(tiny_folder):
    return M4SERPipeline.from_pretrained(tiny_folder)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Twelve recordings of different lengths with texts, one that is no audio among them."""
    folder, rng = tmp_path_factory.mktemp("recordings"), np.random.default_rng(0)
    found = []
    for index, seconds in enumerate(rng.uniform(0.2, 2, 12)):
        path = folder / f"{index}.wav"
        soundfile.write(path, 0.3 * rng.standard_normal(int(16000 * seconds)), 16000)
        found.append(Recording(f"clip {index}", str(path), text=f"so heart {index}"))
    (folder / "5.wav").write_text("<html>Not found</html>")
    return found


def test_rows_are_the_pipelines_predictions(classify, recordings):
    with Scorer(classify, ScoringOptions(correct=True, embeddings=True, batch_size=3)) as scorer:
        rows = scorer.score(recordings).to_pylist()
    assert [row["id"] for row in rows] == [recording.id for recording in recordings]
    for row, recording in zip(rows, recordings, strict=True):
        if row["id"] == "clip 5":
            filled = {name for name, value in row.items() if value is not None}
            assert filled == {"id", "transcript", "error"} and "5.wav" in row["error"]
            continue
        expected = classify(recording.load(), return_correction=True, return_embeddings=True)
        scores = {item["label"]: item["score"] for item in expected["scores"]}
        assert {label: row[SCORE + label] for label in scores} == pytest.approx(scores, abs=1e-5)
        assert row["label"] == expected["scores"][0]["label"] and row["calibrated"] is False
        assert row["transcript"] == recording.text and row["correction"] == expected["correction"]
        assert row["embedding"] == pytest.approx(expected["embeddings"], abs=1e-4)
        assert row["warning"] is row["error"] is None


def test_workers_change_nothing(classify, recordings):
    tables = []
    for num_workers in (0, 2):
        with Scorer(classify, ScoringOptions(batch_size=1, num_workers=num_workers)) as scorer:
            tables.append(scorer.score(recordings))  # two windows
    assert tables[0].equals(tables[1])


def test_windows_that_overlap_in_time_share_no_memory(classify, recordings):
    """Batches while a table is made, a table that is given up, and then the same table once more."""
    groups = [(key, recordings) for key in range(4)]
    with Scorer(classify, ScoringOptions(batch_size=1)) as scorer:
        expected = scorer.score(recordings)
    with Scorer(classify, ScoringOptions(batch_size=1, num_workers=1)) as scorer:
        batches = None
        for _, table in scorer.score_all(iter(groups)):
            assert table.equals(expected)
            inputs = list(scorer.batches(recordings))
            batches = batches or inputs
            for one, other in zip(inputs, batches, strict=True):
                assert all(one[name].equal(other[name]) for name in other)
        begun = scorer.score_all(iter(groups))
        next(begun)
        begun.close()
        assert scorer.score(recordings).equals(expected)
        assert sorted(scorer._free) == list(range(len(scorer._memories)))


def test_killed_worker_is_one_sentence(classify, recordings):
    with Scorer(classify, ScoringOptions(batch_size=1, num_workers=1)) as scorer:
        scorer.score(recordings)
        (worker,) = scorer._pool._processes.values()
        worker.kill()
        with pytest.raises(OSError, match="was killed, as where memory is short"):
            scorer.score(recordings)


def test_progress_is_reported(classify, recordings):
    done = []
    with Scorer(classify, ScoringOptions(batch_size=1)) as scorer:
        scorer.score(recordings, done.append)
        assert scorer.score([]).num_rows == 0
    assert done == [8, 4]


def test_low_scores_have_no_label(classify, recordings):
    with Scorer(classify, ScoringOptions(abstain_below=1.0)) as scorer:
        assert set(scorer.score(recordings[:3]).column("label").to_pylist()) == {None}


def test_what_is_no_number_is_an_error(classify, recordings, monkeypatch):
    monkeypatch.setattr(classify.model.config, "calibration_temperature", float("nan"))
    with Scorer(classify) as scorer:
        (row,) = scorer.score(recordings[:1]).to_pylist()
    assert row["label"] is None and row["error"].startswith("The model's scores are not finite")


def test_recordings_without_text_are_transcribed(classify, recordings, monkeypatch):
    monkeypatch.setattr(classify, "transcribe", lambda waveforms, batch_size: [str(len(one)) for one in waveforms])
    with Scorer(classify) as scorer:
        rows = scorer.score([Recording("a", recordings[0].source), recordings[1]]).to_pylist()
    assert [row["transcript"] for row in rows] == [str(soundfile.info(recordings[0].source).frames), "so heart 1"]


def test_model_that_cannot_correct_is_named(classify, monkeypatch):
    monkeypatch.setattr(classify.model, "error_corrector", None)
    with pytest.raises(ValueError, match="--correct needs a model that was trained to correct"):
        Scorer(classify, ScoringOptions(correct=True))


def test_batches_are_of_like_length_and_bounded():
    seconds = [1.0, 100.0, 2.0, 90.0, 3.0, 80.0]
    batches = list(batches_by_length(range(6), seconds.__getitem__, 3))
    assert batches == [[1, 3], [5, 4, 2], [0]]  # three of up to 100 s would be 300 s
