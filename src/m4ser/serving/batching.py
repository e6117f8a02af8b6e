"""One network for many requests: a thread scores what waits, as many recordings at once as a batch holds."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from m4ser.inference.scorer import Scorer
from m4ser.model.loading_m4ser import LoadedRecording

Result = TypeVar("Result")
Waiting = tuple[LoadedRecording, "Future[dict[str, Any]]"]


class Batcher:
    """Scores recordings that come one by one, from any number of threads.

    Args:
        scorer: whose `batch_size` is the most that is scored at once.
    """

    def __init__(self, scorer: Scorer):
        self.scorer = scorer
        self._queue: SimpleQueue[Waiting | None] = SimpleQueue()
        self._network = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="batches")
        self._thread.start()

    def score(self, loaded: LoadedRecording) -> dict[str, Any]:
        """Wait for the row of a recording, with the columns of the scorer's table."""
        future: Future[dict[str, Any]] = Future()
        self._queue.put((loaded, future))
        return future.result()

    def alone(self, function: Callable[[], Result]) -> Result:
        """Call a function that uses the network, while no batch does."""
        with self._network:
            return function()

    def close(self) -> None:
        """Score what waits, and end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            batch, is_last = self._gather(first)
            self._score(batch)
            if is_last:
                return

    def _gather(self, first: Waiting) -> tuple[list[Waiting], bool]:
        """Take what waits behind the first, up to a batch; tell whether the end was among it."""
        batch = [first]
        while len(batch) < self.scorer.options.batch_size:
            try:
                waiting = self._queue.get_nowait()
            except Empty:
                break
            if waiting is None:
                return batch, True
            batch.append(waiting)
        return batch, False

    def _score(self, batch: list[Waiting]) -> None:
        try:
            with self._network:
                table = self.scorer.score_loaded([loaded for loaded, _ in batch])
            for (_, future), row in zip(batch, table.to_pylist(), strict=True):
                future.set_result(row)
        except Exception as error:  # goes to each of those who wait, and the next batch is scored
            for _, future in batch:
                future.set_exception(error)
