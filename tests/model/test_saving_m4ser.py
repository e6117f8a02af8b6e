"""A folder holds the former model or the new one, at whatever moment the process that saves is killed."""

import multiprocessing
import os
import random
import signal
import stat
import time
from pathlib import Path

import pytest

from m4ser import M4SERModel, M4SERProcessor
from m4ser.model import saving_m4ser
from m4ser.model.saving_m4ser import saved_together, unfinished_path
from tests.tiny import randomize, tiny_model
from tests.tiny_corpus import tiny_processor

LABELS = ({0: "angry", 1: "happy", 2: "neutral", 3: "sad"}, {0: "sad", 1: "neutral", 2: "happy", 3: "angry"})
HIDDEN = 3600  # seconds for which what a killed process left may be another's


@pytest.fixture(scope="module")
def workers():
    """Processes that have imported everything when they start."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.model.test_saving_m4ser"])
    return context


def model(seed, labels=0):
    """Models of one shape: only their weights, and where they differ their labels, tell them apart."""
    return randomize(tiny_model(id2label=LABELS[labels]), seed)


def state(folder):
    """The weights and the labels that a folder's model loads with."""
    loaded = M4SERModel.from_pretrained(folder)
    return loaded.fingerprint(), loaded.config.id2label[0]


def save(folder, seed, labels, renames=None):
    """Save a model; killed before so many renames."""
    saved = model(seed, labels)
    replace, done = os.replace, []

    def counted(source, target):
        if len(done) == renames:
            os.kill(os.getpid(), signal.SIGKILL)
        done.append(target)
        replace(source, target)

    os.replace = counted
    saved.save_pretrained(folder)


def save_on_and_on(folder):
    both = model(0), model(1)
    while True:
        for one in both:
            one.save_pretrained(folder)


@pytest.mark.parametrize("labels", [0, 1], ids=["weights alone", "weights and config"])
def test_killed_between_renames(labels, workers, tmp_path, monkeypatch):
    """Where the config changes, too, there is a moment at which nothing loads, and none with a mixture."""
    former, new = (model(0).fingerprint(), "angry"), (model(1).fingerprint(), LABELS[labels][0])
    renamed = []
    with monkeypatch.context() as patch:
        patch.setattr(saving_m4ser.os, "replace", lambda *paths: renamed.append(os.rename(*paths)))
        for number in (0, labels):
            del renamed[:]
            model(number, number).save_pretrained(tmp_path / "counted")

    def after(renames):
        folder = tmp_path / str(renames)
        model(0).save_pretrained(folder)
        worker = workers.Process(target=save, args=(folder, 1, labels, renames))
        worker.start()
        worker.join()
        assert worker.exitcode == (0 if renames == len(renamed) else -signal.SIGKILL)
        return folder

    assert state(after(0)) == former
    assert state(after(len(renamed))) == new
    for renames in (1, len(renamed) - 1):
        folder = after(renames)
        if not labels:
            assert state(folder) == former
            continue
        with pytest.raises(OSError, match=r"no file named model\.safetensors"):
            state(folder)
        assert len(list(folder.glob(".saved.*/**/model.safetensors"))) == 2  # neither is lost


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.soak)])
def test_killed_at_random_moments(kills, workers, tmp_path):
    states = {(model(seed).fingerprint(), "angry") for seed in (0, 1)}
    model(0).save_pretrained(tmp_path)
    draw, seen = random.Random(0), set()
    for _ in range(kills):
        before = (tmp_path / "model.safetensors").stat().st_mtime_ns
        worker = workers.Process(target=save_on_and_on, args=(tmp_path,))
        worker.start()
        while (tmp_path / "model.safetensors").stat().st_mtime_ns == before and worker.is_alive():
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.2))
        worker.kill()
        worker.join()
        assert worker.exitcode == -signal.SIGKILL
        seen.add(state(tmp_path))
    assert seen <= states


def test_failed_save_keeps_former_model(tmp_path, monkeypatch):
    model(0).save_pretrained(tmp_path)
    files = {path: path.read_bytes() for path in tmp_path.iterdir()}
    changed = model(1)
    monkeypatch.setattr(type(changed.config), "to_json_file", lambda *_, **__: Path("/dev/full").write_text("full"))
    with pytest.raises(OSError, match="No space left"):
        changed.save_pretrained(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == files


def test_other_files_stay_and_former_shards_go(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    model(0).save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    model(1).save_pretrained(tmp_path)
    assert [path.name for path in tmp_path.glob("*.safetensors*")] == ["model.safetensors"]
    assert state(tmp_path)[0] == model(1).fingerprint()
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert not list(tmp_path.glob(".*"))
    model(0).save_pretrained(tmp_path, max_shard_size="20KB")  # of which the one file would be loaded
    assert state(tmp_path)[0] == model(0).fingerprint()


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_permissions_are_the_umasks(umask, mode, tmp_path):
    former = os.umask(umask)
    try:
        model(0).save_pretrained(tmp_path)
        tiny_processor().save_pretrained(tmp_path)
    finally:
        os.umask(former)
    assert {oct(stat.S_IMODE(path.stat().st_mode)) for path in tmp_path.iterdir()} == {oct(mode)}


def test_processor_is_saved_as_a_whole(tmp_path):
    tiny_processor(asr_model_id="org/former").save_pretrained(tmp_path)
    files = tiny_processor(asr_model_id="org/new").save_pretrained(tmp_path)
    assert files == [str(tmp_path / "processor_config.json")]
    assert M4SERProcessor.from_pretrained(tmp_path).asr_model_id == "org/new"
    assert not list(tmp_path.glob(".*"))


def test_graph_never_meets_the_weights_of_another(tmp_path, monkeypatch):
    """Large ONNX graphs keep their weights in a file beside them."""

    def save_graph(number):
        with saved_together(tmp_path) as folder:
            for name in ("model.onnx", "model.onnx.data"):
                (folder / name).write_text(f"{name} {number}")

    save_graph(0)
    (tmp_path / "config.json").write_text("{}")
    replace = os.replace
    states = []

    def watched(source, target):
        replace(source, target)
        states.append({path.name: path.read_text()[-1] for path in tmp_path.glob("model.onnx*")})

    monkeypatch.setattr(saving_m4ser.os, "replace", watched)
    save_graph(1)
    assert states == [{"model.onnx.data": "0"}, {"model.onnx.data": "1"}, {"model.onnx.data": "1", "model.onnx": "1"}]
    assert (tmp_path / "config.json").read_text() == "{}"


def test_what_killed_processes_left_goes_once_it_is_old(tmp_path):
    old, young, other = (tmp_path / f".{name}.tmp" for name in ("a.json.1", "a.json.2", "b.json.3"))
    folder = tmp_path / ".a.json.4.tmp"
    for path in (old, young, other):
        path.write_text("")
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "weights").write_text("")
    long_ago = time.time() - HIDDEN - 60
    for path in (old, other, folder / "data", folder):
        os.utime(path, (long_ago, long_ago))
    unfinished_path(tmp_path / "a.json")
    assert {path.name for path in tmp_path.iterdir()} == {young.name, other.name, folder.name}
    os.utime(folder / "data" / "weights", (long_ago, long_ago))
    unfinished_path(Path(tmp_path, "a.json"))
    assert not folder.exists()
