"""A run goes to the Hub over HTTP and comes back, with the same bits, to a process that has no m4ser."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import soundfile
import torch
from transformers import AutoProcessor

from m4ser import M4SERModel, M4SERPipeline
from m4ser.data.synthetic import synthesize
from tests.conftest import ROOT
from tests.isolated_process import logits_here, predict_isolated

REPO_ID = "org/m4ser-x"
WITH_M4SER = """
import sys
from transformers import AutoModelForAudioClassification, pipeline
from m4ser import M4SERModel, M4SERPipeline

repo_id, path, text, revision = sys.argv[1:]
assert type(AutoModelForAudioClassification.from_pretrained(repo_id)) is M4SERModel
classify = pipeline("audio-classification", model=repo_id, revision=revision, top_k=4)
assert type(classify) is M4SERPipeline
prediction = classify({"path": path, "text": text})
assert M4SERPipeline.from_pretrained(repo_id)({"path": path, "text": text}) == prediction
print(prediction)
"""


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    spoken = next(synthesize(sizes={"test": 20}))
    path = tmp_path_factory.mktemp("recording") / "spoken.wav"
    soundfile.write(path, spoken.audio, 16000)
    return str(path), spoken.hypothesis


@pytest.fixture(scope="module")
def pushed(push, tiny_run):
    result = push("push_model", tiny_run, REPO_ID)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def tune(folder, recording):
    """One step on one recording, every weight of it."""
    model, processor = M4SERModel.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    model(**processor(*recording), labels=torch.tensor([1])).loss.backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    model.save_pretrained(folder)


def test_pushed_files_are_complete(hub, pushed, tiny_run):
    files = hub.files(REPO_ID)
    assert pushed == f"{hub.endpoint}/{REPO_ID}/commit/{hub.repositories['models', REPO_ID][0][0]}"
    code = {path.name for path in tiny_run.glob("*_m4ser.py")}
    assert {"modeling_m4ser.py", "pipeline_m4ser.py", "audio_m4ser.py"} <= code
    processor = {"processor_config.json", "tokenizer.json", "tokenizer_config.json"}
    described = {"README.md", "results.json", "confusion_matrix.png"}
    assert set(files) == {"model.safetensors", "config.json"} | described | processor | code
    assert files["confusion_matrix.png"].startswith(b"\x89PNG")
    assert files["model.safetensors"] == (tiny_run / "model.safetensors").read_bytes()


def test_no_local_path_is_pushed(hub, pushed, tiny_run):
    results, there = (tiny_run / "results.json").read_text(), json.loads(hub.files(REPO_ID)["results.json"])
    assert str(tiny_run) in results
    assert (there["config"]["data"]["dataset"], there["config"]["training"]["output_dir"]) == ("corpus", "run")
    assert there["splits"] == json.loads(results)["splits"]
    for name, content in hub.files(REPO_ID).items():
        assert str(tiny_run.parent).encode() not in content, name


def test_installed_m4ser_needs_no_trust(typed, pushed, tiny_run, recording):
    result = typed("-c", WITH_M4SER, REPO_ID, *recording, pushed.rpartition("/")[2])
    expected = M4SERPipeline.from_pretrained(tiny_run)(dict(zip(("path", "text"), recording, strict=True)))
    assert (result.returncode, result.stdout.strip()) == (0, str(expected)), result.stderr


def test_pushed_model_reloads_by_revision(hub, pushed, push, tiny_run, recording, tmp_path):
    """Saved as it was loaded and pushed; then tuned and pushed over the first: both are still to be had."""
    remote = hub.environment(tmp_path / "home")
    expected, copy = logits_here(tiny_run, *recording), tmp_path / "copy"
    there = predict_isolated(REPO_ID, *recording, copy, **remote)
    assert there["logits"] == [expected, expected]
    row = dict(zip(("path", "text"), recording, strict=True))
    assert there["prediction"] == M4SERPipeline.from_pretrained(tiny_run)(row, return_transcript=True)

    shutil.copy(tiny_run / "results.json", copy)
    result = push("push_model", copy, "org/m4ser-again")
    assert result.returncode == 0, result.stderr
    assert set(hub.files("org/m4ser-again")) == set(hub.files(REPO_ID))
    assert hub.files("org/m4ser-again")["model.safetensors"] == hub.files(REPO_ID)["model.safetensors"]

    tune(copy, recording)
    result = push("push_model", copy, REPO_ID)
    assert result.returncode == 0, result.stderr
    assert hub.files(REPO_ID)["model.safetensors"] == (copy / "model.safetensors").read_bytes()

    tuned, first = logits_here(copy, *recording), pushed.rpartition("/")[2]
    assert (
        predict_isolated(REPO_ID, *recording, tmp_path / "new", **remote)["logits"]
        == [tuned, tuned]
        != [expected, expected]
    )
    assert predict_isolated(REPO_ID, *recording, tmp_path / "old", first, **remote)["logits"] == [expected, expected]


def test_private_things_stay_here(hub, push, tiny_run, tmp_path):
    """Whatever lies in a run's folder, and wherever a path, a name or a token stands in its records."""
    run, home, token = tmp_path / "run", "/else/a-user", "hf_abcdefghijklmnopqrstuvwxyz"
    shutil.copytree(tiny_run, run)
    secret = f"{home}/a b/data:{token} on host-7:/net/host-7/x"
    results = json.loads((run / "results.json").read_text())
    results["command"] += f' --config \'{{"x": "{home}/c.json"}}\' --token {token} --dataset /net/host-7/data'
    results["notes"] = {secret: [f"read {home}/x and file:///net/host-7/y", f"{home}/a b"]}
    (run / "results.json").write_text(json.dumps(results))
    for name in ("config.json", "processor_config.json", "tokenizer_config.json"):
        settings = json.loads((run / name).read_text())
        (run / name).write_text(json.dumps(settings | {"_name_or_path": f"{home}/bert", "made_of": secret}))
    (run / "latency.json").write_text(json.dumps({"dataset": f"{home}/corpus"}))
    for name in ("secrets.json", "train.log", "upload.py", "optimizer.safetensors", "predictions.csv"):
        (run / name).write_text(secret)
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "state.json").write_text(secret)
    result = push("push_model", run, "org/private")
    assert result.returncode == 0, result.stderr
    files = hub.files("org/private")
    assert {"results.json", "latency.json", "config.json", "model.safetensors"} <= set(files)
    assert not {"secrets.json", "train.log", "upload.py", "optimizer.safetensors", "predictions.csv"} & set(files)
    for name, content in files.items():
        for private in ("a-user", token, "/net/", str(tmp_path), str(tiny_run.parent)):
            assert private.encode() not in content, (name, private)


def test_push_that_is_killed_changes_nothing(hub, pushed, tiny_run, recording, tmp_path):
    copy, before = tmp_path / "copy", list(hub.repositories["models", REPO_ID])
    shutil.copytree(tiny_run, copy)
    tune(copy, recording)
    hub.open_for_uploads.clear()
    command = [sys.executable, "hub_scripts/push_model.py", str(copy), "--repo_id", REPO_ID]
    environment = os.environ | hub.environment(tmp_path / "home")
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL) as process:
        assert hub.is_uploading.wait(120)
        process.kill()
    hub.open_for_uploads.set()
    assert hub.repositories["models", REPO_ID] == before


def test_unfinished_run_is_refused(hub, refusal, tiny_folder):
    said = refusal("push_model", tiny_folder, "org/unmeasured")
    assert said == f"error: {tiny_folder}: there is no results.json; give the folder of a finished run."
    assert ("models", "org/unmeasured") not in hub.repositories


def test_missing_permission_is_named(hub, refusal, tiny_run):
    said = refusal("push_model", tiny_run, "org/not-mine")
    assert said.startswith(f"error: org/not-mine was not pushed to {hub.endpoint}: ") and "401 Unauthorized" in said
    assert ("models", "org/not-mine") not in hub.repositories


def test_invalid_repository_name_is_refused(refusal, tiny_run):
    assert refusal("push_model", tiny_run, "not a name").startswith("error: Repo id must use alphanumeric chars")
