"""A corpus without recordings: its text models are evaluated, calibrated and timed from the text alone."""

from dataclasses import replace

import pytest

from m4ser import AudioError, DataError, M4SERPipeline
from m4ser.data.builders.writing import write_dataset
from m4ser.data.loading import load_dataset
from m4ser.evaluation.calibration import calibrate_run
from m4ser.evaluation.latency import measure_latency
from m4ser.evaluation.paper.representations import RunEncoder
from m4ser.evaluation.report.runs import find_runs
from m4ser.evaluation.robustness.suite import robustness_of
from m4ser.evaluation.scoring import score_split
from m4ser.run_folder import read_results
from m4ser.training.arguments import Arguments, DataArguments, ModelArguments, ObjectiveArguments, TrainingArguments
from m4ser.training.loop import train
from tests.assertions import scores
from tests.tiny_corpus import LABELS, utterances

TEXT = "the night was great"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """As a builder's --text_only writes it."""
    rows = (replace(row, audio=None, path=None, duration=0.0) for row in utterances())
    folder = tmp_path_factory.mktemp("text") / "corpus"
    write_dataset(rows, LABELS, folder, title="Text", description="Words.")
    return folder


@pytest.fixture(scope="module")
def text_run(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("text") / "run"
    network = {"modalities": ["text"], "auxiliary_tasks": []}
    train(
        Arguments(
            ModelArguments(preset="tiny", config=network),
            DataArguments(dataset=str(corpus), vocabulary_size=60),
            ObjectiveArguments(adversarial_weight=0, contrastive_weight=0),
            TrainingArguments(output_dir=str(folder), epochs=1, learning_rate=1e-3),
        )
    )
    return folder


def test_text_run_is_evaluated_and_calibrated(text_run, corpus):
    expected = read_results(text_run)["splits"]
    for split in ("validation", "test"):
        found = score_split(text_run, corpus, split, batch_size=3)
        assert found["confusion_matrix"] == expected[split]["confusion_matrix"]
    calibrated = calibrate_run(text_run, corpus)
    assert calibrated["splits"]["validation"]["n"] == expected["validation"]["n"]


def test_text_run_is_timed_and_drawn(text_run, corpus):
    found = measure_latency(text_run, corpus, recordings=2)
    assert found["utterances"] == 2 and found["seconds_of_audio"] == 0 and found["milliseconds"] > 0
    vectors = RunEncoder(find_runs([text_run])[0][0].first, corpus).vectors()
    assert len(vectors.embeddings) == len(load_dataset(corpus, "test"))


def test_text_alone_and_with_a_recording_score_alike(text_run, shared_data):
    classify, recording = M4SERPipeline.from_pretrained(text_run), str(shared_data / "asr_speech" / "jfk.flac")
    alone = classify({"text": TEXT})
    assert alone == classify({"audio": None, "hypothesis": TEXT}) == classify({"path": recording, "text": TEXT})
    shorter, _ = classify([{"text": TEXT}, {"path": recording, "text": f"{TEXT} {TEXT}"}], batch_size=2)
    assert scores(shorter) == pytest.approx(scores(alone))
    with pytest.raises(AudioError, match="no audio in it"):
        classify({"id": "neither"})
    with pytest.warns(UserWarning, match="A text is empty: M4SER predicts from an empty text"):
        classify({"text": ""})


def test_networks_with_speech_need_recordings(tiny_run, text_run, corpus):
    with pytest.raises(AudioError, match="no audio in it"):
        M4SERPipeline.from_pretrained(tiny_run)({"text": TEXT})
    with pytest.raises(DataError, match="test-0: the recording: no audio in it"):
        score_split(tiny_run, corpus)
    with pytest.raises(DataError, match="has rows without a recording, and robustness is measured on recordings"):
        robustness_of(text_run, corpus)
