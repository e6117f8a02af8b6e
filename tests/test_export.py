"""The exported graphs give the network's output, for inputs of any shape."""

import logging
import os
import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock

from m4ser import M4SERConfig, M4SERModel, M4SERPipeline
from m4ser.export import _without_exporter_messages, export_onnx
from m4ser.inference.scorer import Scorer
from m4ser.model.pipeline_m4ser import LoadedRecording
from m4ser.model.processing_m4ser import load_processor
from m4ser.onnx_pipeline import OnnxNetwork, OnnxPipeline
from m4ser.run_folder import WEIGHTS_DIGEST, weights_digest
from tests.saved_models import SENTENCES, save_tiny_model

onnx = pytest.importorskip("onnx", reason="needs the export extra")
pytest.importorskip("onnxruntime", reason="needs the export extra")
pytest.importorskip("onnxscript", reason="needs the export extra")

RECOGNITION = ["detection", "correction", "recognition"]
WHISPER = {
    "model_type": "whisper",
    "d_model": 16,
    "encoder_layers": 1,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
    "num_mel_bins": 16,
    "max_source_positions": 100,
}
# HuBERT-base's GroupNorm averages over padding, unless it is kept from that; HuBERT-large's layer norm does not.
MODELS = {
    "group norm": {"norm": "group"},
    "layer norm, speech only": {"norm": "layer", "modalities": ["speech"]},
    "text only": {"modalities": ["text"]},
    "recognition": {"auxiliary_tasks": RECOGNITION},
    "recognition, speech only": {"auxiliary_tasks": RECOGNITION, "modalities": ["speech"]},
    "whisper": {"speech_config": WHISPER},
}


@pytest.fixture(scope="session")
def export_once(tmp_path_factory):
    """export_once(name): a folder with a model of `MODELS` and its graphs; all processes of the tests share it.

    An export takes half a minute. Whoever changes something takes a copy.
    """
    shared = tmp_path_factory.getbasetemp()
    shared = shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared

    def exported(name):
        folder = shared / f"exported, {name}"
        with FileLock(f"{folder}.lock"):
            if not (folder / "model.onnx").exists():
                save_tiny_model(folder, **MODELS[name])
                export_onnx(folder)
        return folder

    return exported


@pytest.fixture(params=MODELS)
def exported(request, export_once):
    return export_once(request.param)


@pytest.fixture
def copy(export_once, tmp_path):
    """copy(name): the same model and graphs in a folder of the test's own."""
    return lambda name: Path(shutil.copytree(export_once(name), tmp_path / "copy"))


def add_to_bias(folder, layer):
    """Change one of the weights of the model in a folder."""
    model = M4SERModel.from_pretrained(folder)
    with torch.no_grad():
        model.get_submodule(layer).bias.add_(1)
    model.save_pretrained(folder)


def bind(graph, folder):
    """Have a graph say that it was made of the weights in a folder."""
    content = onnx.load(graph)
    (made_of,) = (item for item in content.metadata_props if item.key == WEIGHTS_DIGEST)
    made_of.value = weights_digest(folder)
    onnx.save(content, graph)


def random_inputs(generator):
    """1 to 4 recordings of up to 1.25 s, every fifth batch shorter than a frame, with 2 to 60 tokens each."""
    batch, tokens = generator.integers(1, 5), generator.integers(2, 61)
    samples = generator.integers(1, 400 if generator.random() < 0.2 else 20000)
    masks = [
        torch.from_numpy(np.arange(longest) < generator.integers(shortest, longest + 1, (batch, 1))).long()
        for shortest, longest in ((1, samples), (2, tokens))
    ]
    return {
        "input_values": torch.from_numpy(generator.standard_normal((batch, samples), dtype=np.float32)),
        "attention_mask": masks[0],
        "input_ids": torch.from_numpy(generator.integers(3, 40, (batch, tokens))),
        "text_attention_mask": masks[1],
    }


def test_random_shapes_match_network(exported):
    model = M4SERModel.from_pretrained(exported).eval()
    network, generator = OnnxNetwork(exported / "model.onnx", model.config), np.random.default_rng(0)
    for _ in range(50):
        inputs = random_inputs(generator)
        with torch.no_grad():
            expected = model(**inputs)
        output = network(**inputs)
        torch.testing.assert_close(output.logits, expected.logits, atol=1e-4, rtol=0)
        torch.testing.assert_close(output.embeddings, expected.embeddings, atol=1e-4, rtol=0)


def test_pipeline_matches_network(exported):
    rows = [
        {"raw": np.random.default_rng(seed).standard_normal(100 + 5000 * seed), "sampling_rate": 16000, "text": text}
        for seed, text in enumerate(SENTENCES)
    ]
    expected = M4SERPipeline.from_pretrained(exported)(rows, batch_size=2)
    for output, one in zip(OnnxPipeline.from_pretrained(exported)(rows, batch_size=2), expected, strict=True):
        scores, others = ({item["label"]: item["score"] for item in items} for items in (output, one))
        assert scores == pytest.approx(others, abs=1e-5)


@pytest.fixture
def transcribing(export_once):
    """A saved model that transcribes, with its two graphs."""
    return export_once("recognition")


@pytest.fixture(scope="module")
def waveforms():
    rng = np.random.default_rng(0)
    return [rng.standard_normal(length).astype(np.float32) for length in (8000, 16000, 300, 5000)]


def test_two_graphs_transcribe_as_the_network(transcribing, waveforms):
    model = M4SERModel.from_pretrained(transcribing).eval()
    network = OnnxNetwork(transcribing / "model.onnx", model.config)
    inputs = load_processor(transcribing)(waveforms, [""] * len(waveforms), sampling_rate=16000)
    samples = inputs["input_values"], inputs["attention_mask"]
    states, found_mask = network.encode_frames(*samples)
    frames, mask = model.encode_frames(*samples)
    longest, width = mask.shape[1], model.config.speech_config.hidden_size
    torch.testing.assert_close(states[:, :longest, :width][mask], frames[mask], atol=1e-4, rtol=0)
    logits = model.recognition_head(frames)
    torch.testing.assert_close(states[:, :longest, width:][mask], logits[mask], atol=1e-4, rtol=0)
    assert found_mask[:, :longest].equal(mask) and not found_mask[:, longest:].any()
    expected = model.transcribe(*samples)
    assert network.transcribe(*samples) == network.transcribe(None, found_mask, states) == expected
    assert any(one.text for one in expected)


def test_pipeline_of_graphs_transcribes_itself_in_one_pass(transcribing, waveforms):
    classify, expected = OnnxPipeline.from_pretrained(transcribing), M4SERPipeline.from_pretrained(transcribing)
    assert classify.transcribes_itself
    calls = []
    graph = classify.model.frames_graph
    classify.model.frames_graph = lambda **inputs: calls.append(1) or graph(**inputs)
    found = classify(waveforms, batch_size=2, return_transcript=True)
    assert len(calls) == 2
    for one, other in zip(found, expected(waveforms, batch_size=2, return_transcript=True), strict=True):
        assert (one["transcript"], one.get("words")) == (other["transcript"], other.get("words"))
        scores, others = ({item["label"]: item["score"] for item in output["scores"]} for output in (one, other))
        assert scores == pytest.approx(others, abs=1e-5)


def test_given_text_is_kept_by_graphs_that_transcribe(transcribing, waveforms):
    row = {"raw": waveforms[0], "sampling_rate": 16000, "text": SENTENCES[0]}
    classify, expected = OnnxPipeline.from_pretrained(transcribing), M4SERPipeline.from_pretrained(transcribing)
    found, other = (one(row, return_transcript=True) for one in (classify, expected))
    assert found["transcript"] == SENTENCES[0]
    assert found["scores"][0]["score"] == pytest.approx(other["scores"][0]["score"], abs=1e-5)
    assert Scorer(classify).score_loaded([LoadedRecording(waveforms[0])])["transcript"].to_pylist() == (
        expected.transcribe(waveforms[:1])
    )


def test_eight_bits_transcribe(transcribing, waveforms, tmp_path, capfd):
    graph = export_onnx(transcribing, tmp_path / "int8.onnx", int8=True)
    printed = capfd.readouterr().err
    assert "torchvision" not in printed and "pre-processing" not in printed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["int8.frames.onnx", "int8.onnx"]
    for name in ("", ".frames"):
        exact = transcribing / f"model{name}.onnx"
        assert (tmp_path / f"int8{name}.onnx").stat().st_size < exact.stat().st_size
    found = OnnxPipeline.from_pretrained(transcribing, graph)(waveforms[0], return_transcript=True)
    assert isinstance(found["transcript"], str)


def test_graphs_of_other_weights_or_characters_are_refused(copy):
    folder = copy("recognition")
    save_tiny_model(folder, auxiliary_tasks=RECOGNITION, recognition_vocabulary=["", "a", " "])
    with pytest.raises(ValueError, match=r"frames\.onnx is another model's .* config has 3 characters"):
        OnnxPipeline.from_pretrained(folder)
    save_tiny_model(folder, **MODELS["recognition"])
    add_to_bias(folder, "recognition_head.lm_head")
    bind(folder / "model.onnx", folder)
    with pytest.raises(ValueError, match=r"model\.frames\.onnx was exported from other weights"):
        OnnxPipeline.from_pretrained(folder)
    bind(folder / "model.frames.onnx", folder)
    OnnxPipeline.from_pretrained(folder)
    (folder / "model.frames.onnx").unlink()
    with pytest.raises(ValueError, match=r"There is no ONNX file .*model\.frames\.onnx"):
        OnnxPipeline.from_pretrained(folder)


def test_graph_scores_are_calibrated(exported):
    classify = OnnxPipeline.from_pretrained(exported)
    row = {"raw": np.random.default_rng(0).standard_normal(16000), "sampling_rate": 16000, "text": ""}
    sharp = classify(row)[0]["score"]
    classify.model.config.calibration_temperature = 10.0
    assert classify(row)[0]["score"] < sharp


def test_correction_needs_network(exported):
    with pytest.raises(ValueError, match="return_correction needs a model"):
        OnnxPipeline.from_pretrained(exported)(np.zeros(16000), return_correction=True)


def test_missing_files_are_named(tiny_folder, tmp_path):
    with pytest.raises(ValueError, match=r"There is no ONNX file .*model\.onnx: write it with `m4ser export`"):
        OnnxPipeline.from_pretrained(tiny_folder)
    with pytest.raises(ValueError, match=f"There is no model {tmp_path}/gone: no such folder"):
        OnnxPipeline.from_pretrained(f"{tmp_path}/gone")
    with pytest.raises(ValueError, match=f"There is no model {tmp_path}/gone: no such folder"):
        export_onnx(f"{tmp_path}/gone", tmp_path / "model.onnx")


def test_missing_extra_is_named(tiny_folder, tmp_path, monkeypatch):
    for package in ("onnxruntime", "onnxscript"):
        monkeypatch.setitem(sys.modules, package, None)
    for use in (lambda: export_onnx(tiny_folder, tmp_path / "model.onnx"), lambda: OnnxNetwork("x", M4SERConfig())):
        with pytest.raises(ValueError, match=r"pip install 'm4ser\[export\]'"):
            use()


def test_only_the_exporters_messages_are_silenced(caplog):
    exporter, own = logging.getLogger("torch.onnx._internal"), logging.getLogger("m4ser.test")
    caplog.set_level(logging.WARNING)
    levels = [logging.getLogger(name).level for name in (None, "torch.onnx", "m4ser.test")]
    with _without_exporter_messages():
        assert not exporter.isEnabledFor(logging.WARNING) and exporter.isEnabledFor(logging.ERROR)
        own.warning("of this package")
        logging.warning("of the program")
        quantizer = {"pathname": "/venv/onnxruntime/quantization/quantize.py"}
        logging.getLogger().handle(logging.makeLogRecord({"msg": "of the quantizer", **quantizer}))
        with pytest.warns(UserWarning, match="of the program"):
            warnings.warn("of the program", stacklevel=1)
    logging.warning("afterwards")
    assert caplog.messages == ["of this package", "of the program", "afterwards"]
    assert [logging.getLogger(name).level for name in (None, "torch.onnx", "m4ser.test")] == levels
    assert exporter.isEnabledFor(logging.WARNING)


def test_graph_of_other_weights_is_refused(copy):
    folder = copy("text only")
    OnnxPipeline.from_pretrained(folder)
    add_to_bias(folder, "classifier")
    with pytest.raises(ValueError, match=r"model\.onnx was exported from other weights than those of .* again\."):
        OnnxPipeline.from_pretrained(folder)
    export_onnx(folder)
    OnnxPipeline.from_pretrained(folder)


def test_graphs_of_other_models_and_damaged_ones_are_refused(copy, tmp_path):
    folder = copy("text only")
    graph = folder / "model.onnx"
    whole = graph.read_bytes()
    save_tiny_model(tmp_path / "five", modalities=["text"], id2label=dict(enumerate("abcde")))
    with pytest.raises(ValueError, match=r"another model's graph: its logits .* the config has 5 emotions"):
        OnnxPipeline.from_pretrained(tmp_path / "five", graph)
    save_tiny_model(tmp_path / "speech", modalities=["speech"])
    with pytest.raises(ValueError, match=r"another model's graph: it makes .* of input_ids, text_attention_mask, not"):
        OnnxPipeline.from_pretrained(tmp_path / "speech", graph)
    for content in (b"", whole[: len(whole) // 2], b"\xff" * 1000):
        graph.write_bytes(content)
        with pytest.raises(ValueError, match=r"model\.onnx is (no ONNX|another model's) graph") as refused:
            OnnxPipeline.from_pretrained(folder)
        assert "\n" not in str(refused.value)


def test_graph_reads_no_file_outside_its_folder(copy, tmp_path):
    folder = copy("text only")
    graph = onnx.load(folder / "model.onnx")
    tensor = next(tensor for tensor in graph.graph.initializer if len(tensor.raw_data) > 1000)
    (tmp_path / "secret").write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret")
    (folder / "model.onnx").write_bytes(graph.SerializeToString())
    with pytest.raises(ValueError, match=r"model\.onnx is no ONNX graph that can be run") as refused:
        OnnxPipeline.from_pretrained(folder)
    assert "\n" not in str(refused.value)
