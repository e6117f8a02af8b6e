"""The exported graph gives the network's output, for inputs of any shape."""

import logging
import sys
import warnings

import numpy as np
import pytest
import torch

from m4ser import M4SERModel, M4SERPipeline
from m4ser.export import OnnxNetwork, OnnxPipeline, _without_exporter_messages, export_onnx
from tests.saved_models import SENTENCES, save_tiny_model

onnxruntime = pytest.importorskip("onnxruntime", reason="needs the export extra")
pytest.importorskip("onnxscript", reason="needs the export extra")

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
    "whisper": {"speech_config": WHISPER},
}


@pytest.fixture(scope="module", params=MODELS)
def exported(request, tmp_path_factory):
    """A saved model's folder, with its graph."""
    folder = tmp_path_factory.mktemp("exported")
    save_tiny_model(folder, **MODELS[request.param])
    export_onnx(folder, folder / "model.onnx")
    return folder


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
    for use in (lambda: export_onnx(tiny_folder, tmp_path / "model.onnx"), lambda: OnnxNetwork("x", None)):
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


def test_export_is_silent(tiny_folder, tmp_path, capfd):
    export_onnx(tiny_folder, tmp_path / "model.onnx", int8=True)
    printed = capfd.readouterr().err
    assert "torchvision" not in printed and "pre-processing" not in printed


def test_graph_of_other_weights_is_refused(tmp_path):
    save_tiny_model(tmp_path, modalities=["text"])
    export_onnx(tmp_path)
    OnnxPipeline.from_pretrained(tmp_path)
    model = M4SERModel.from_pretrained(tmp_path)
    with torch.no_grad():
        model.classifier.bias.add_(1)
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"model\.onnx was exported from other weights than those of .* again\."):
        OnnxPipeline.from_pretrained(tmp_path)
    export_onnx(tmp_path)
    OnnxPipeline.from_pretrained(tmp_path)


def test_graphs_of_other_models_and_damaged_ones_are_refused(tmp_path):
    save_tiny_model(tmp_path / "text", modalities=["text"])
    save_tiny_model(tmp_path / "five", modalities=["text"], id2label=dict(enumerate("abcde")))
    graph = export_onnx(tmp_path / "text")
    whole = graph.read_bytes()
    with pytest.raises(ValueError, match=r"another model's graph: its logits .* the config has 5 emotions"):
        OnnxPipeline.from_pretrained(tmp_path / "five", graph)
    save_tiny_model(tmp_path / "speech", modalities=["speech"])
    with pytest.raises(ValueError, match=r"another model's graph: it makes .* of input_ids, text_attention_mask, not"):
        OnnxPipeline.from_pretrained(tmp_path / "speech", graph)
    for content in (b"", whole[: len(whole) // 2], b"\xff" * 1000):
        graph.write_bytes(content)
        with pytest.raises(ValueError, match=r"model\.onnx is (no ONNX|another model's) graph") as refused:
            OnnxPipeline.from_pretrained(tmp_path / "text")
        assert "\n" not in str(refused.value)


def test_graph_reads_no_file_outside_its_folder(tmp_path):
    import onnx

    save_tiny_model(tmp_path / "model", modalities=["text"])
    graph = onnx.load(export_onnx(tmp_path / "model"))
    tensor = next(tensor for tensor in graph.graph.initializer if len(tensor.raw_data) > 1000)
    (tmp_path / "secret").write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret")
    (tmp_path / "model" / "model.onnx").write_bytes(graph.SerializeToString())
    with pytest.raises(ValueError, match=r"model\.onnx is no ONNX graph that can be run") as refused:
        OnnxPipeline.from_pretrained(tmp_path / "model")
    assert "\n" not in str(refused.value)
