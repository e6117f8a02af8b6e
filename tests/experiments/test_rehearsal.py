"""The rehearsal: what is typed is what the pages say, what it is typed on is as published, and failures are seen."""

import json
import random
import time
from collections import Counter
from pathlib import Path

import pytest
import torch
import yaml
from transformers import AutoModel, BertModel, HubertModel

from experiments.fake_releases import write_meld_csvs, write_ravdess
from experiments.rehearsal.commands import LEFT_OUT, steps
from experiments.rehearsal.page import page
from experiments.rehearsal.published import bert, hubert
from experiments.rehearsal.stage import SENTENCES, TAGS, change_config, first_dialogues, with_tags
from experiments.rehearsal.steps import Outcome, Step, run, sizes_written
from m4ser.corpora import meld, ravdess
from tests.documents import commands

PATH = {"PATH": "/usr/bin:/bin"}


def test_every_command_of_the_pages_is_typed():
    typed = {step.command for step in steps(is_partial=False)}
    assert len(commands()) > 40
    assert [command for command in commands() if command not in typed and command not in LEFT_OUT] == []
    assert set(LEFT_OUT) <= set(commands())


def test_partial_releases_change_builders_alone():
    pairs = zip(steps(is_partial=False), steps(is_partial=True), strict=True)
    changed = [(whole.command, part.command) for whole, part in pairs if whole != part]
    assert len(changed) == 5
    assert all(part == f"{whole} --allow_partial" and "datasets_builders" in whole for whole, part in changed)


@pytest.mark.parametrize(("files", "kind"), [(hubert, HubertModel), (bert, BertModel)])
def test_published_layouts_load(files, kind, tmp_path):
    """Under their old names, every weight finds its parameter, but for the heads and a pooler of pretraining."""
    for name, content in files().items():
        (tmp_path / name).write_bytes(content)
    model, loading = AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert type(model) is kind
    assert not loading["missing_keys"] and all(key.startswith("cls.") for key in loading["unexpected_keys"])
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())


def test_hubert_has_the_weight_norm_of_old(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(hubert()["pytorch_model.bin"])
    state = torch.load(tmp_path / "pytorch_model.bin", weights_only=True)
    assert {name.rpartition(".")[2] for name in state if "pos_conv_embed" in name} == {"weight_g", "weight_v", "bias"}
    assert json.loads(hubert()["preprocessor_config.json"])["return_attention_mask"] is False


def test_meld_csvs_have_the_published_counts(tmp_path):
    paths = write_meld_csvs(tmp_path, 1.0, SENTENCES)
    counts = [Counter(row.emotion for row in meld.read_rows(path, corpus)) for corpus, path in paths.items()]
    assert {emotion: tuple(count[emotion] for count in counts) for emotion in meld.PUBLISHED} == meld.PUBLISHED


def test_first_dialogues(tmp_path):
    (tmp_path / "part").mkdir()
    whole = write_meld_csvs(tmp_path, 1.0, SENTENCES)
    part = first_dialogues(tmp_path, tmp_path / "part", 0.1)
    for corpus, path in part.items():
        rows, all_rows = meld.read_rows(path, corpus), meld.read_rows(whole[corpus], corpus)
        assert rows == all_rows[: len(rows)]
        assert rows[-1].dialogue == int(0.1 * all_rows[-1].dialogue)


def test_ravdess_release(tmp_path):
    folder = write_ravdess(tmp_path / "ravdess", 0.1, ["well"])
    rows = list(ravdess.read_corpus(folder, None))
    assert len(rows) == 1440
    assert Counter(row.emotion for row in rows) == {
        emotion: 96 if emotion == "neutral" else 192 for emotion in ravdess.EMOTIONS
    }
    assert all("well" in row.hypothesis for row in rows)


def test_tags_stand_before_some_texts():
    texts = with_tags(["Yes."] * 10_000, random.Random(0))
    assert Counter(texts).keys() == {"Yes.", *(f"{tag} Yes." for tag in TAGS)}
    assert texts.count("Yes.") == pytest.approx(9400, abs=100)


def test_change_config(tmp_path):
    path = tmp_path / "corpus.yaml"
    path.write_text("epochs: 45\nconfig: {hidden_dropout: 0.2, hidden_size: 96}\n")
    change_config(path, {"epochs": 1, "config": {"hidden_size": 48}})
    fields = {"hidden_dropout": 0.2, "hidden_size": 48}
    assert yaml.safe_load(path.read_text()) == {"epochs": 1, "config": fields}


def outcome_of(step, tmp_path):
    stage = tmp_path / "stage"
    stage.mkdir(exist_ok=True)
    return run(step, stage, PATH, tmp_path / "log")


def test_step_writes(tmp_path):
    outcome = outcome_of(
        Step("mkdir -p data/one/deep && head -c 300 /dev/zero > data/one/deep/file; echo done"), tmp_path
    )
    assert (outcome.written, outcome.said, outcome.problem) == ({"data/one": 300}, "done", "")


def test_unchanged_files_are_not_written():
    before = {Path("a/b/c"): (10, 1), Path("a/b/d"): (10, 1)}
    assert sizes_written(before, {Path("a/b/c"): (10, 1), Path("a/b/d"): (10, 2), Path("e"): (5, 1)}) == {
        "a/b": 10,
        "e": 5,
    }


@pytest.mark.parametrize(
    ("command", "refused", "problem"),
    [
        ("exit 3", False, "exit code 3"),
        ("kill -9 $$", False, "exit code -9"),
        ("true", True, "was not refused"),
        ("echo 'm4ser: no such file'; exit 1", True, ""),
        ("echo 'm4ser: no such file'; echo 'Traceback (most recent call last)'; exit 1", True, ""),
        ("echo 'Traceback (most recent call last)'; echo 'error: 3'; exit 1", True, "no sentence says why"),
        ("echo RuntimeError; exit 1", True, "no sentence says why"),
    ],
)
def test_what_is_not_as_expected(command, refused, problem, tmp_path):
    outcome = outcome_of(Step(command, refused=refused), tmp_path)
    assert outcome.problem == problem
    if refused and not problem:
        assert outcome.said == "m4ser: no such file"


def test_one_of_two_is_killed(tmp_path):
    """The first one started does not live to write its second result, is started again, and both go on."""
    command = (
        "mkdir -p runs/$$ && touch runs/$$/results.json && sleep 1.5 && mkdir -p runs/$$/b && touch runs/$$/b/end"
    )
    started = time.monotonic()
    outcome = outcome_of(Step(command, copies=2, killed_at=2, output="runs"), tmp_path)
    assert (outcome.problem, len(list((tmp_path / "stage").rglob("end")))) == ("", 2)
    assert time.monotonic() - started < 10


def test_page():
    step = Step("m4ser x | y", copies=2)
    outcomes = [
        Outcome(step, 61.4, {"data/a": 2_000_000, "runs/b": 1_000}, "fine"),
        Outcome(Step("m4ser z", refused=True), 2, {}, "m4ser: there is no z"),
        Outcome(Step("m4ser w"), 1, {}, "oh", "exit code 1"),
    ]
    text = page(outcomes, {"hardware": "2 cores"}, 3_000_000_000)
    assert "| `m4ser x | y` (2 at once) | 1:01 | data/a (2.0 MB), runs/b (0.0 MB) |" in text
    assert "| `m4ser z` | m4ser: there is no z |" in text
    assert "- 3 steps in 1:04 minutes; 3.0 GB on disk at the end" in text
    assert "- steps that did not end as expected: 1" in text
    assert "- `m4ser w`: exit code 1: oh" in text
