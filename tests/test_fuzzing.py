"""Damaged files of every kind: an error that is meant for the user, or a right result; never another exception.

The same seeded properties twice: with few examples in `make test`, with many in `make soak`.
"""

import io
import json
import math
import shutil
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from m4ser import AudioError, DataError, M4SERConfig, M4SERModel, M4SERPipeline
from m4ser.corpora.manifest import read_manifest
from m4ser.data.builders.hypotheses import read_hypotheses
from m4ser.evaluation.paper.report import all_tables
from m4ser.evaluation.report.page import by_corpus
from m4ser.evaluation.report.runs import find_runs
from m4ser.inference.recordings import list_recordings
from m4ser.model.audio_m4ser import load_audio
from m4ser.model.processing_m4ser import load_processor
from m4ser.run_folder import read_columns, read_predictions
from m4ser.training.arguments import parse_arguments
from m4ser.training.checkpoints import read_checkpoint, write_checkpoint
from tests.finished_runs import LABELS, finished_run
from tests.tiny import tiny_config


def examples(few, many):
    return pytest.mark.parametrize("count", [few, pytest.param(many, marks=pytest.mark.soak)])


def fuzz(count, **strategies):
    """Run a property on so many examples, the same ones every time."""

    def run(check):
        options = settings(
            max_examples=count,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            options(given(**strategies)(check))()

    return run


# What tends to break a reader: quotes, separators, null, byte order marks, invalid UTF-8, nesting, half a surrogate.
JUNK = [
    b'"',
    b'"' * 3,
    b",",
    b";\t",
    b"\0",
    b"\r",
    b"\n",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"[" * 5000,
    b"{}",
    b"\\ud800",
]
JUNK += [b"x" * 200_000, b"9" * 5000, b"null", b"1e999", b"NaN", b"&a *a", b"- :", b"!!python/object:os.system {}"]


@st.composite
def damaged(draw, content):
    """Bytes of a file with some changed, put in or cut off; now and then none of them left."""
    content = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(content)))
        kind = draw(st.integers(0, 4))
        if kind == 0:
            content[at : at + 1] = draw(st.binary(max_size=3))
        elif kind in (1, 2):
            content[at:at] = draw(st.sampled_from(JUNK))
        elif kind == 3:
            del content[at : at + draw(st.integers(1, 40))]
        else:
            content[at:] = draw(st.binary(max_size=20))
    return bytes(content)


def flipped(content, start=0, stop=None):
    """Bytes of a file with one bit flipped between start and stop."""
    stop = len(content) if stop is None else stop

    def flip(where):
        changed = bytearray(content)
        changed[where[0]] ^= 1 << where[1]
        return bytes(changed)

    return st.tuples(st.integers(start, stop - 1), st.integers(0, 7)).map(flip)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def leaves(content, path=()):
    """The paths of all values in nested JSON."""
    yield path
    if isinstance(content, (dict, list)):
        for key, value in content.items() if isinstance(content, dict) else enumerate(content):
            yield from leaves(value, (*path, key))


@st.composite
def changed_json(draw, content):
    """JSON with another value somewhere, or one value gone."""
    content = json.loads(json.dumps(content))
    path = draw(st.sampled_from(list(leaves(content))[1:]))
    part = content
    for key in path[:-1]:
        part = part[key]
    if draw(st.booleans()):
        part[path[-1]] = draw(VALUES)
    else:
        del part[path[-1]]
    return content


def encodable(*texts):
    return all(isinstance(text, str) and text.encode() is not None for text in texts if text is not None)


LINES = "".join(
    json.dumps({"id": f"a/{name}", "hypothesis": f"so heart {name}", "asr_model_id": "tiny/asr"}) + "\n"
    for name in ("one", "two", "drei ü")
).encode()
TABLE = b'path,emotion,id,hypothesis\none.wav,sad,1,"so, heart"\ntwo.wav,happy,2,not\nthree.wav,sad,3,\n'
ROWS = b"".join(
    json.dumps({"path": f"{name}.wav", "emotion": "sad", "hypothesis": "so"}).encode() + b"\n"
    for name in ("one", "two", "three")
)


@examples(60, 8000)
def test_hypotheses_files(count, tmp_path):
    path = tmp_path / "hypotheses.jsonl"

    @fuzz(count, content=damaged(LINES) | st.binary(max_size=100))
    def check(content):
        path.write_bytes(content)
        with suppress(DataError):
            found = read_hypotheses(path)
            assert encodable(*found.texts, *found.texts.values(), *found.asr_models.values())


@examples(60, 8000)
@pytest.mark.parametrize(("name", "content"), [("list.csv", TABLE), ("list.jsonl", ROWS)])
def test_manifests_and_lists(count, name, content, tmp_path):
    path = tmp_path / name
    for recording in ("one", "two", "three"):
        (tmp_path / f"{recording}.wav").touch()

    @fuzz(count, content=damaged(content) | st.binary(max_size=100))
    def check(content):
        path.write_bytes(content)
        with suppress(DataError):
            manifest = read_manifest(path)
            assert all(encodable(*row.values()) for row in manifest.rows.values())
        with suppress(DataError):
            for recording in list_recordings([str(path)]):
                assert encodable(recording.id, recording.source, recording.text)


def test_open_quote_takes_no_rows_with_it(tmp_path):
    (tmp_path / "list.csv").write_bytes(TABLE.replace(b'heart"', b"heart"))
    for read in (read_manifest, lambda path: list(list_recordings([str(path)]))):
        with pytest.raises(DataError, match=r"list\.csv.*unexpected end of data"):
            read(tmp_path / "list.csv")


@examples(40, 4000)
def test_configs(count):
    whole = {**tiny_config().to_dict(), "calibration_temperature": 1.5}

    @fuzz(count, content=changed_json(whole))
    def check(content):
        with suppress(ValueError):
            config = M4SERConfig.from_dict(content)
            assert len(set(config.id2label.values())) == config.num_emotions
            assert 0 < config.calibration_temperature < math.inf


@examples(15, 1500)
def test_processors(count, tiny_folder, tmp_path):
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "model"))
    path = folder / "processor_config.json"

    @fuzz(count, content=changed_json(json.loads(path.read_text())))
    def check(content):
        path.write_text(json.dumps(content))
        with suppress(ValueError):
            assert 1000 <= load_processor(folder).feature_extractor.sampling_rate <= 768_000


YAML = b"preset: tiny\nepochs: 3\nbatch_size: 4\nlearning_rates: {text_encoder: 0}\nseeds: [1, 2]\nlog_with: null\n"
REQUIRED = ("--dataset", "corpus", "--output_dir", "run")


@examples(60, 2000)
def test_training_configs(count, tmp_path, capsys):
    path = tmp_path / "run.yaml"

    @fuzz(
        count,
        content=damaged(YAML)
        | changed_json({"epochs": 3, "config": {}, "seeds": [1]}).map(json.dumps).map(str.encode),
    )
    def check(content):
        path.write_bytes(content)
        with suppress(ValueError, SystemExit):  # argparse's own, with the name of the argument
            assert parse_arguments([str(path), *REQUIRED]).training.epochs >= 1


@examples(60, 8000)
def test_results(count, tmp_path):
    folder = finished_run(tmp_path / "run")
    path = folder / "results.json"
    whole = path.read_bytes()

    @fuzz(count, content=changed_json(json.loads(whole)).map(json.dumps).map(str.encode) | damaged(whole))
    def check(content):
        path.write_bytes(content)
        with suppress(ValueError):
            all_tables(by_corpus(find_runs([folder])[0]))


@examples(60, 8000)
def test_predictions_and_curves(count, tmp_path):
    folder = finished_run(tmp_path / "run")
    files = {name: (folder / name).read_bytes() for name in ("predictions.csv", "validation.csv")}

    @fuzz(count, one=damaged(files["predictions.csv"]), other=damaged(files["validation.csv"]))
    def check(one, other):
        (folder / "predictions.csv").write_bytes(one)
        (folder / "validation.csv").write_bytes(other)
        with suppress(ValueError):
            read_predictions(folder, LABELS)
        with suppress(ValueError):
            read_columns(folder, "validation.csv", ["epoch"])


@examples(10, 200)
def test_weights(count, tiny_folder, tmp_path):
    """In the header it is refused, or changes no name; among the numbers, a calibrated model alone notices it."""
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "model"))
    model = M4SERModel.from_pretrained(folder)
    model.config.calibrated_weights, model.config.calibration_temperature = model.fingerprint(), 1.5
    model.save_pretrained(folder)
    path = folder / "model.safetensors"
    whole, weights = path.read_bytes(), load_file(path)
    start = 8 + int.from_bytes(whole[:8], "little")

    @fuzz(count, content=flipped(whole, stop=start))
    def check_header(content):
        path.write_bytes(content)
        with suppress(ValueError, OSError):
            found = M4SERModel.from_pretrained(folder)
            assert found.state_dict().keys() == weights.keys()

    @fuzz(count, content=flipped(whole, start))
    def check_numbers(content):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"fitted to other weights|NaN or infinite"):
            M4SERPipeline.from_pretrained(folder)


@examples(100, 10000)
def test_checkpoints(count, tmp_path):
    tensors = {"network/module/weight": torch.arange(6.0).reshape(2, 3), "network/optimizer/step": torch.tensor(3)}
    values = {"identity": {"seed": 0, "emotions": ["sad"]}, "progress": {"step": 12, "best_score": 0.5}}
    write_checkpoint(tmp_path, 12, tensors, values, keep=2)
    files = {path: path.read_bytes() for path in sorted((tmp_path / "step-00000012").iterdir())}
    assert len(files) == 2

    @fuzz(
        count,
        change=st.one_of(
            *(flipped(content).map(lambda new, path=path: (path, new)) for path, content in files.items())
        ),
    )
    def check(change):
        path, content = change
        path.write_bytes(content)
        with suppress(DataError):
            found, others = read_checkpoint(tmp_path)
            assert others == values and found.keys() == tensors.keys()
            assert all(torch.equal(found[name], tensors[name]) for name in tensors)
        path.write_bytes(files[path])


def encode(kind):
    samples = 0.3 * np.sin(np.arange(2400) / 5)
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, 16000, format=kind)
    return buffer.getvalue()


@examples(50, 8000)
@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
def test_recordings(count, kind):
    content = encode(kind)
    header = flipped(content, stop=64)

    @fuzz(count, content=header | flipped(content) | damaged(content) | st.binary(max_size=64))
    def check(content):
        with suppress(AudioError):
            samples = load_audio(content)
            assert samples.ndim == 1 and len(samples) and samples.dtype == np.float32 and np.isfinite(samples).all()
