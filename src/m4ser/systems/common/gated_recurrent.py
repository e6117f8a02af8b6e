"""Gated recurrent units over sequences of different lengths."""

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

DIRECTIONS = ("", "_reverse")  # as torch names the weights


class BidirectionalGRU(nn.Module):
    """A GRU layer in both directions over the valid steps, which come first in a row; its padding is zeros.

    Args:
        input_size, hidden_size: the output's width is twice `hidden_size`.
    """

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__()
        self.layer = nn.GRU(input_size, hidden_size, batch_first=True, bidirectional=True)

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return (B, k, 2 * hidden_size) of states (B, k, d) with mask (B, k), bool."""
        run = _exported if torch.compiler.is_exporting() else _packed
        return run(self.layer, states, mask) * mask[..., None]


def _packed(layer: nn.GRU, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    # A row without a valid step counts as one of padding, which the mask removes afterwards.
    lengths = mask.sum(1).clamp(min=1).cpu()
    packed = pack_padded_sequence(states, lengths, batch_first=True, enforce_sorted=False)
    output, _ = pad_packed_sequence(layer(packed)[0], batch_first=True, total_length=states.shape[1])
    return output


def _exported(layer: nn.GRU, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Emit ONNX's own GRU: torch.export fixes the number of steps of PyTorch's.

    https://onnx.ai/onnx/operators/onnx__GRU.html
    """

    def stacked(name: str) -> torch.Tensor:
        return torch.stack([_gates(getattr(layer, f"{name}_l0{direction}")) for direction in DIRECTIONS])

    biases = torch.cat([stacked("bias_ih"), stacked("bias_hh")], dim=1)
    steps = states.transpose(0, 1)
    inputs = (steps, stacked("weight_ih"), stacked("weight_hh"), biases, mask.sum(1).int())
    output = torch.onnx.ops.symbolic(
        "GRU",
        inputs,
        # PyTorch resets the hidden state after its product with the weights, not before.
        attrs={"hidden_size": layer.hidden_size, "direction": "bidirectional", "linear_before_reset": 1},
        dtype=states.dtype,
        shape=(steps.shape[0], len(DIRECTIONS), steps.shape[1], layer.hidden_size),
    )
    return output.permute(2, 0, 1, 3).flatten(2)


def _gates(weight: torch.Tensor) -> torch.Tensor:
    """Reorder PyTorch's gates (reset, update, new) as ONNX has them (update, reset, new)."""
    reset, update, new = weight.chunk(3)
    return torch.cat([update, reset, new])
