"""A run belongs to one process, and to nobody once that process has died."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from m4ser import claims
from m4ser.claims import Observer

WORKERS = 4


@pytest.fixture(scope="module")
def spawn():
    return multiprocessing.get_context("spawn")


def hold(folder, ready):
    with Observer().claim(Path(folder)):
        ready.set()
        time.sleep(60)


def race(folders, together, won):
    for folder in folders:
        together.wait()
        claim = Observer().claim(Path(folder))
        together.wait()  # all have tried
        if claim is not None:
            won.put(folder)
            claim.release()


@pytest.fixture
def holder(spawn, tmp_path):
    """Another process that has the folder."""
    ready = spawn.Event()
    process = spawn.Process(target=hold, args=(str(tmp_path), ready))
    process.start()
    assert ready.wait(60)
    yield process
    process.kill()
    process.join()


def test_folder_is_free_again_after_its_run(tmp_path):
    for _ in range(2):
        with Observer().claim(tmp_path / "run") as claim:
            assert claim is not None and Observer().claim(tmp_path / "run") is None
        assert not (tmp_path / "run").exists()  # it was made for the claim, and nothing was written
    (tmp_path / "run").mkdir()
    with Observer().claim(tmp_path / "run"):
        pass
    assert os.listdir(tmp_path / "run") == []


def test_claim_of_a_killed_process_is_taken_over_at_once(holder, tmp_path):
    assert Observer().claim(tmp_path) is None
    holder.kill()
    holder.join()
    assert os.listdir(tmp_path) == [".claim-1"]
    with Observer().claim(tmp_path):
        assert os.listdir(tmp_path) == [".claim-2"]
    assert os.listdir(tmp_path) == []


def test_one_of_many_gets_a_run(spawn, holder, tmp_path):
    """One whose process was killed, then free ones."""
    holder.kill()
    holder.join()
    folders = [str(tmp_path), *(str(tmp_path / str(number)) for number in range(20))]
    together, won = spawn.Barrier(WORKERS), spawn.Queue()
    processes = [spawn.Process(target=race, args=(folders, together, won)) for _ in range(WORKERS)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert sorted(won.get(timeout=5) for _ in folders) == sorted(folders) and won.empty()


def test_counting_proves_life(holder, tmp_path):
    observer = Observer()
    assert observer.claim(tmp_path) is None and not observer.has_counted(tmp_path)
    deadline = time.monotonic() + 3 * claims.BEAT_SECONDS
    while not observer.has_counted(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert observer.has_counted(tmp_path)


@pytest.mark.parametrize(
    "content", ["another-machine 7 token 41\n", ""], ids=["another machine", "killed while writing"]
)
def test_count_that_stands_still_is_abandoned(content, tmp_path, monkeypatch):
    """Where no lock can tell, it takes two minutes; here a second."""
    monkeypatch.setattr(claims, "ABANDONED_SECONDS", 1.0)
    (tmp_path / ".claim-3").write_text(content)
    observer = Observer()
    assert observer.claim(tmp_path) is None
    time.sleep(0.6)
    (tmp_path / ".claim-3").write_text("another-machine 7 token 42\n")
    assert observer.claim(tmp_path) is None
    time.sleep(0.6)
    assert observer.claim(tmp_path) is None  # it counted 0.6 s ago
    time.sleep(0.6)
    with observer.claim(tmp_path):
        assert os.listdir(tmp_path) == [".claim-4"]


@pytest.fixture(params=[signal.default_int_handler, signal.SIG_IGN], ids=["foreground", "background"])
def stopped(request):
    """What a process is stopped by, in the foreground and where a script has started it in the background."""

    def end(*_):
        raise SystemExit

    former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, request.param)
    signal.signal(signal.SIGTERM, end)
    yield SystemExit if request.param == signal.SIG_IGN else KeyboardInterrupt
    for number, handler in former.items():
        signal.signal(number, handler)


def test_process_whose_claim_was_taken_over_stops(tmp_path, monkeypatch, capsys, stopped):
    monkeypatch.setattr(claims, "BEAT_SECONDS", 0.05)
    with pytest.raises(stopped), Observer().claim(tmp_path):
        (tmp_path / ".claim-1").unlink()
        (tmp_path / ".claim-2").write_text("another-machine 7 token 1\n")
        time.sleep(10)
    assert "was taken over by another process" in capsys.readouterr().err
    assert os.listdir(tmp_path) == [".claim-2"]
