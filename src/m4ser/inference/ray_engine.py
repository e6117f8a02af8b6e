"""Scoring on a Ray cluster: each actor of a pool loads the model once, and takes one shard after the other."""

import logging
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from m4ser.claims import Observer
from m4ser.data.schema import DataError
from m4ser.inference.bulk import Job, Summary, score_shard
from m4ser.inference.shards import ShardFolder
from m4ser.progress import track


class ShardScorer:
    """An actor of the pool: a [`Scorer`] on one folder of shards."""

    def __init__(self, job: Job, folder: str, start: str):
        os.chdir(start)  # where the command was typed, from which paths lead
        self._scorer, self._shards, self._observer = job.scorer(), ShardFolder(folder), Observer()

    def __call__(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Score and write the shards of a batch {"shard": numbers}, unless they are; return their sizes."""
        for shard in batch["shard"]:
            score_shard(self._scorer, self._shards, int(shard), self._observer)
        return {"recordings": np.array([self._shards.size(int(shard)) for shard in batch["shard"]])}


def score_on_ray(job: Job, shards: ShardFolder, workers: int) -> Summary:
    """Score the shards that are not written on a pool of actors.

    On the cluster of RAY_ADDRESS, or a new one on this machine. The shards, the recordings and the model have to be on
    a file system that all of its machines share, or on the Hub. The shard of an actor that dies is scored by another.

    Args:
        workers: actors, each of which has a GPU where the cluster has one.

    Raises:
        DataError: Ray is not installed. OSError: an actor failed.
    """
    try:
        import ray  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise DataError("--engine ray needs Ray: pip install 'm4ser[ray]'.") from error
    ray.init(ignore_reinit_error=True, log_to_driver=False, logging_level=logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False  # there is our own
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    gpus = 1 if ray.cluster_resources().get("GPU", 0) else 0
    folder = str(shards.folder.resolve())
    while left := [shard for shard in range(len(shards)) if not shards.is_written(shard)]:
        pool = ray.data.ActorPoolStrategy(size=min(workers, len(left)))
        options: dict[str, Any] = {"compute": pool, "batch_size": 1, "num_gpus": gpus}
        scored = ray.data.from_items([{"shard": shard} for shard in left]).map_batches(
            ShardScorer, fn_constructor_args=(job, folder, os.getcwd()), **options
        )
        try:
            with track(sum(map(shards.size, left)), "recording", "Scoring") as progress:
                for row in scored.iter_rows():
                    progress.update(int(row["recordings"]))
        except ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[-1]
            raise OSError(
                f"Scoring on Ray failed; all machines need to see {folder} and the recordings ({reason})."
            ) from error
    return Summary(shards.recordings, shards.errors())
