"""The speakers of the test recordings, as a dataset knows them."""

import datasets
import pytest

from m4ser.evaluation.report.speakers import FEWEST, clusters, known_speakers
from tests.finished_runs import finished_run, groups_of, make_predictions


@pytest.fixture
def groups(tmp_path):
    return groups_of(finished_run(tmp_path / "run"), finished_run(tmp_path / "fewer", make_predictions(24)))


def write_dataset(folder, **columns):
    datasets.Dataset.from_dict(columns).to_parquet(str(folder / "data" / "test.parquet"))
    return folder


def test_speakers_of_tested_recordings_are_found(groups, tmp_path):
    ids = sorted(make_predictions(50))  # ten of which no run was tested on
    speakers = [f"speaker{number % FEWEST}" for number in range(50)]
    found = known_speakers(groups, write_dataset(tmp_path / "data", id=ids, speaker=speakers))
    assert found == dict(zip(ids[:40], speakers[:40], strict=True))
    assert clusters([ids[3], ids[0]], found) == ["speaker3", "speaker0"]
    assert clusters(ids, None) is None


@pytest.mark.parametrize("reason", ["few", "unknown", "other recordings", "no column"])
def test_nothing_is_known_where_a_speaker_is_missing_or_they_are_few(groups, tmp_path, reason):
    ids = sorted(make_predictions(40))
    speakers = [f"speaker{number % FEWEST}" for number in range(40)]
    if reason == "few":
        speakers = [f"speaker{number % (FEWEST - 1)}" for number in range(40)]
    elif reason == "unknown":
        speakers[7] = None
    elif reason == "other recordings":
        ids[7] = "another"
    columns = {"id": ids} if reason == "no column" else {"id": ids, "speaker": speakers}
    assert known_speakers(groups, write_dataset(tmp_path / "data", **columns)) is None
