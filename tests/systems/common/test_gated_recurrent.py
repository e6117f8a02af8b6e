"""The GRU in both directions: torch's own on each row alone, and the same in ONNX."""

import pytest
import torch

from m4ser.systems.common.gated_recurrent import BidirectionalGRU


@pytest.fixture
def gru():
    torch.manual_seed(0)
    return BidirectionalGRU(5, 3).eval()


def masks(lengths, steps):
    return torch.arange(steps) < torch.tensor(lengths)[:, None]


def test_rows_match_torch_alone(gru):
    states, lengths = torch.randn(3, 7, 5), [7, 4, 1]
    for row, length, one in zip(states, lengths, gru(states, masks(lengths, 7)), strict=True):
        expected, _ = gru.layer(row[None, :length])
        torch.testing.assert_close(one[:length], expected[0], atol=1e-6, rtol=0)
        assert not one[length:].any()


def test_row_without_valid_steps_is_zero(gru):
    assert not gru(torch.randn(2, 3, 5), masks([3, 0], 3))[1].any()


def test_exported_graph_matches(gru, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the export extra")
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("steps")}
    example = torch.randn(2, 9, 5), masks([9, 5], 9)
    program = torch.export.export(gru, example, dynamic_shapes={"states": axes, "mask": axes}, strict=False)
    torch.onnx.export(program, f=tmp_path / "gru.onnx", dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(str(tmp_path / "gru.onnx"))
    states, mask = torch.randn(3, 17, 5), masks([17, 6, 1], 17)
    (found,) = session.run(None, {"states": states.numpy(), "mask": mask.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), gru(states, mask), atol=1e-6, rtol=0)
