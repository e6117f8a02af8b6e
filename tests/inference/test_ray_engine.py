"""The same table from a Ray cluster of two workers on this machine, one of which is killed."""

import numpy as np
import pandas as pd
import pytest
import soundfile

from m4ser.inference.bulk import Job, Summary, score
from m4ser.inference.recordings import list_recordings

ray = pytest.importorskip("ray", reason="needs Ray: pip install 'm4ser[ray]'")
pytestmark = pytest.mark.slow


@pytest.fixture
def cluster():
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def test_actors_share_the_shards(cluster, tiny_folder, tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "clips").mkdir()
    for index in range(12):
        samples = 0.3 * rng.standard_normal(int(16000 * rng.uniform(0.2, 1)))
        soundfile.write(tmp_path / "clips" / f"{index:02d}.wav", samples, 16000)
    job = Job(str(tiny_folder), device="cpu")
    recordings = list(list_recordings([str(tmp_path / "clips")]))
    assert score(job, recordings, tmp_path / "ray", 3, ray_workers=2) == Summary(12, 0)
    score(job, recordings, tmp_path / "local", 3)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "ray"), pd.read_parquet(tmp_path / "local"))
