"""The same table from a Ray cluster of two workers on this machine, one of which is killed."""

import threading
import time

import numpy as np
import pandas as pd
import psutil
import pytest
import soundfile

from m4ser.inference.bulk import Job, Summary, score
from m4ser.inference.recordings import list_recordings

ray = pytest.importorskip("ray", reason="needs Ray: pip install 'm4ser[ray]'")
pytestmark = pytest.mark.slow
COUNT = 60


@pytest.fixture
def cluster():
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def kill_a_worker(output, killed):
    """Kill one of the actors as soon as a shard is written."""
    while not list(output.glob("shard-*")):
        time.sleep(0.005)
    for process in psutil.process_iter(["cmdline"]):
        if any("ShardScorer" in word for word in process.info["cmdline"] or ()):
            killed.append(len(list(output.glob("shard-*"))))
            process.kill()
            return


def test_actors_share_the_shards_and_take_over(cluster, tiny_folder, tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "clips").mkdir()
    for index in range(COUNT):
        samples = 0.3 * rng.standard_normal(int(16000 * rng.uniform(0.2, 1)))
        soundfile.write(tmp_path / "clips" / f"{index:02d}.wav", samples, 16000)
    job = Job(str(tiny_folder), device="cpu")
    recordings = list(list_recordings([str(tmp_path / "clips")]))
    killed = []
    killer = threading.Thread(target=kill_a_worker, args=(tmp_path / "ray", killed), daemon=True)
    killer.start()
    assert score(job, recordings, tmp_path / "ray", 1, ray_workers=2) == Summary(COUNT, 0)
    killer.join(10)
    assert killed and killed[0] < COUNT
    score(job, recordings, tmp_path / "local", 1)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "ray"), pd.read_parquet(tmp_path / "local"))
