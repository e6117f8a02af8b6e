"""Layers in both directions: torch's own on each row alone, and the same in ONNX."""

import pytest
import torch
from torch import nn

from m4ser.systems.common.recurrent import BidirectionalLayer, BidirectionalLSTM


@pytest.fixture(params=["LSTM", "GRU"])
def layers(request):
    torch.manual_seed(0)
    if request.param == "LSTM":
        return BidirectionalLSTM(5, 3, num_layers=2).eval()
    return BidirectionalLayer(nn.GRU, 5, 3).eval()


def masks(lengths, steps):
    return torch.arange(steps) < torch.tensor(lengths)[:, None]


def bidirectional(layer):
    """Torch's own layer of both directions, with the weights of this one."""
    forwards = layer.forwards
    other = type(forwards)(forwards.input_size, forwards.hidden_size, batch_first=True, bidirectional=True)
    weights = dict(forwards.named_parameters())
    weights |= {f"{name}_reverse": weight for name, weight in layer.backwards.named_parameters()}
    other.load_state_dict(weights)
    return other


def test_rows_match_torch_alone(layers):
    states, lengths = torch.randn(3, 7, 5), [7, 4, 1]
    found = layers(states, masks(lengths, 7))
    for row, length, one in zip(states, lengths, found, strict=True):
        expected = row[None, :length]
        for layer in getattr(layers, "layers", [layers]):
            expected, _ = bidirectional(layer)(expected)
        torch.testing.assert_close(one[:length], expected[0], atol=1e-6, rtol=0)
        assert not one[length:].any()


def test_row_without_valid_steps_is_zero(layers):
    assert not layers(torch.randn(2, 3, 5), masks([3, 0], 3))[1].any()


def test_exported_graph_matches(layers, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the export extra")
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("steps")}
    example = torch.randn(2, 9, 5), masks([9, 5], 9)
    program = torch.export.export(layers, example, dynamic_shapes={"states": axes, "mask": axes}, strict=False)
    torch.onnx.export(program, f=tmp_path / "recurrent.onnx", dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(str(tmp_path / "recurrent.onnx"))
    states, mask = torch.randn(3, 17, 5), masks([17, 6, 1], 17)
    (found,) = session.run(None, {"states": states.numpy(), "mask": mask.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), layers(states, mask), atol=1e-6, rtol=0)
