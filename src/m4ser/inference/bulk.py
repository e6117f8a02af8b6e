"""Scoring to a file, or to a folder of shards that any number of processes share and a killed one goes on with."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from m4ser.claims import Claim, Observer
from m4ser.data.schema import DataError
from m4ser.escaping import escape_csv
from m4ser.files import whole_file
from m4ser.inference.predicting import load_pipeline
from m4ser.inference.recordings import Recording, list_recordings, with_hypotheses
from m4ser.inference.scorer import Scorer, ScoringOptions
from m4ser.inference.shards import ShardFolder, write_table
from m4ser.processes import connect, disconnect, fail
from m4ser.progress import track

FILE_SUFFIXES = (".csv", ".jsonl", ".parquet")
SHARD_SIZE = 1000
POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Job:
    """A model and how it scores, of which any process, on any machine, makes the same [`Scorer`].

    Args:
        model, backend, dtype, device, asr: as of [`load_pipeline`]. options: of the table.
    """

    model: str
    backend: str = "torch"
    dtype: str = "auto"
    device: str | None = None
    asr: str | None = None
    options: ScoringOptions = field(default_factory=ScoringOptions)

    def scorer(self) -> Scorer:
        """Load the model."""
        return Scorer(load_pipeline(self.model, self.backend, self.dtype, self.asr, self.device), self.options)

    def identity(self, scorer: Scorer) -> dict[str, Any]:
        """Return what the rows depend on besides the recordings."""
        options = {name: value for name, value in asdict(self.options).items() if name != "num_workers"}
        named = {"model": self.model, "backend": self.backend, "dtype": self.dtype, "asr": self.asr}
        return {**named, "weights": scorer.weights, **options}


@dataclass(frozen=True)
class Summary:
    """How many recordings were scored, and how many of them are rows with an error."""

    recordings: int
    errors: int

    def describe(self, output: Path) -> str:
        """Return it as a sentence."""
        if not self.errors:
            return f"{self.recordings} recordings are scored in {output}."
        return f"{self.errors} of {self.recordings} recordings could not be used: see the column error in {output}."


def score_inputs(
    job: Job,
    inputs: Sequence[str],
    output: Path,
    text: str | None = None,
    hypotheses: Path | None = None,
    shard_size: int = SHARD_SIZE,
    ray_workers: int | None = None,
) -> None:
    """Score what is named on a command line, as [`score`] does, and say how many; some with an error end the command.

    Args:
        inputs: as of [`list_recordings`]. text: of all of them. hypotheses: a file with the text of each.
        shard_size, ray_workers: as of [`score`].

    Raises:
        DataError: as of [`score`], or a list, dataset or hypotheses file that cannot be read.
    """
    if text is not None and hypotheses is not None:
        raise DataError("--hypotheses gives each recording a text of its own: leave --text out.")
    recordings = list_recordings(inputs)
    if hypotheses is not None:
        recordings = with_hypotheses(recordings, hypotheses)
    if text is not None:
        recordings = (replace(recording, text=text) for recording in recordings)
    summary = score(job, recordings, output, shard_size, ray_workers)
    is_main = connect().is_main_process
    disconnect()
    if summary.errors:
        fail(f"m4ser: {summary.describe(output)}")
    if is_main:
        print(summary.describe(output))


def score(
    job: Job,
    recordings: Iterable[Recording],
    output: Path,
    shard_size: int = SHARD_SIZE,
    ray_workers: int | None = None,
) -> Summary:
    """Score recordings to a file by its suffix, or to a folder of shards, which the processes of this command share.

    Args:
        ray_workers: score on a Ray cluster, in so many processes of its own.

    Raises:
        DataError: no recording; several processes for one file; a folder of something else.
    """
    state = connect()
    is_shared = state.num_processes > 1 or ray_workers is not None
    if output.suffix in FILE_SUFFIXES and is_shared:
        raise DataError(f"{output} is one file, which one process writes; give several a folder: --output DIR.")
    here = job
    if job.backend == "torch" and job.device is None:
        here = replace(job, device="cpu" if ray_workers else str(state.device))
    with here.scorer() as scorer:
        if output.suffix in FILE_SUFFIXES:
            return score_to_file(scorer, recordings, output)
        shards = ShardFolder.plan(output, recordings, job.identity(scorer), shard_size)
        if ray_workers is None:
            return score_shards(scorer, shards, state.is_main_process)
    from m4ser.inference.ray_engine import score_on_ray

    return score_on_ray(job, shards, ray_workers)


def score_shards(scorer: Scorer, shards: ShardFolder, is_main: bool = True) -> Summary:
    """Score the shards that no other process has until all are written, whoever wrote them.

    Args:
        is_main: of the processes of one command, the one that shows progress.

    Returns:
        Of all shards, those that were written before included.
    """
    observer, held = Observer(), dict[int, Claim]()
    left = [shard for shard in range(len(shards)) if not shards.is_written(shard)]

    def claimed() -> Iterator[tuple[int, list[Recording]]]:
        for shard in left:
            if shard not in held and not shards.is_written(shard) and (claim := observer.claim(shards.claimed(shard))):
                held[shard] = claim
                if shards.is_written(shard):  # while it was claimed
                    held.pop(shard).release()
                else:
                    yield shard, shards.read(shard)

    with track(sum(map(shards.size, left)), "recording", "Scoring", disable=not is_main) as progress:
        try:
            while left:
                done = []
                for shard, table in scorer.score_all(claimed(), progress.update):
                    shards.write(shard, table)
                    held.pop(shard).release()
                    done.append(shard)
                by_others = [shard for shard in left if shard not in done and shards.is_written(shard)]
                progress.update(sum(map(shards.size, by_others)))
                left = [shard for shard in left if shard not in done and shard not in by_others]
                if left and not done:
                    time.sleep(POLL_SECONDS)
        finally:
            for claim in held.values():
                claim.release()
    return Summary(shards.recordings, shards.errors())


def score_shard(scorer: Scorer, shards: ShardFolder, shard: int, observer: Observer) -> None:
    """Score and write a shard, unless it is written or another process has it."""
    if shards.is_written(shard) or (claim := observer.claim(shards.claimed(shard))) is None:
        return
    with claim:
        if not shards.is_written(shard):  # while it was claimed
            shards.write(shard, scorer.score(shards.read(shard)))


def score_to_file(scorer: Scorer, recordings: Iterable[Recording], path: Path) -> Summary:
    """Score to one CSV (texts as of [`escape_csv`]), JSON lines or Parquet file, by its suffix, when all is done.

    Raises:
        DataError: no recording, or a CSV that is to hold embeddings.
    """
    if path.suffix == ".csv" and scorer.options.embeddings:
        raise DataError("A CSV file has no column for embeddings; give --output FILE.parquet, or .jsonl.")
    with track(None, "recording", "Scoring") as progress:
        tables = list(_tables(scorer, recordings, progress.update))
    if not tables:
        raise DataError("There is no recording in what was given.")
    table = pa.concat_tables(tables)
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(table, path)
    column = table.column("error")
    return Summary(len(table), len(table) - column.null_count)


def _tables(scorer: Scorer, recordings: Iterable[Recording], on_scored: Callable[[int], Any]) -> Iterator[pa.Table]:
    iterator = iter(recordings)
    while block := list(islice(iterator, SHARD_SIZE)):
        yield scorer.score(block, on_scored)


def _write(table: pa.Table, path: Path) -> None:
    if path.suffix == ".parquet":
        write_table(path, [table], table.schema)
        return
    frame = table.to_pandas()
    with whole_file(path) as unfinished:
        if path.suffix == ".csv":
            frame.map(escape_csv).to_csv(unfinished, index=False)
        else:
            frame.to_json(unfinished, orient="records", lines=True, force_ascii=False)
