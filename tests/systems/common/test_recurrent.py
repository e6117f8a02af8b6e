"""The LSTM in both directions: torch's own on each row alone, and the same in ONNX."""

import pytest
import torch

from m4ser.systems.common.recurrent import BidirectionalLSTM


@pytest.fixture
def layers():
    torch.manual_seed(0)
    return BidirectionalLSTM(5, 3, num_layers=2).eval()


def masks(lengths, steps):
    return torch.arange(steps) < torch.tensor(lengths)[:, None]


def test_rows_match_torch_alone(layers):
    states, lengths = torch.randn(3, 7, 5), [7, 4, 1]
    found = layers(states, masks(lengths, 7))
    for row, length, one in zip(states, lengths, found, strict=True):
        expected = row[None, :length]
        for layer in layers.layers:
            expected, _ = layer(expected)
        torch.testing.assert_close(one[:length], expected[0], atol=1e-6, rtol=0)
        assert not one[length:].any()


def test_row_without_valid_steps_is_zero(layers):
    assert not layers(torch.randn(2, 3, 5), masks([3, 0], 3))[1].any()


def test_exported_graph_matches(layers, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the export extra")
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("steps")}
    example = torch.randn(2, 9, 5), masks([9, 5], 9)
    program = torch.export.export(layers, example, dynamic_shapes={"states": axes, "mask": axes}, strict=False)
    torch.onnx.export(program, f=tmp_path / "lstm.onnx", dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(str(tmp_path / "lstm.onnx"))
    states, mask = torch.randn(3, 17, 5), masks([17, 6, 1], 17)
    (found,) = session.run(None, {"states": states.numpy(), "mask": mask.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), layers(states, mask), atol=1e-6, rtol=0)
