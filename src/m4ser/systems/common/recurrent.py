"""Recurrent layers in both directions over sequences of different lengths."""

import torch
from torch import nn

# PyTorch's gates in the order of ONNX: LSTM has input, forget, candidate, output; GRU reset, update, new.
ONNX_GATES: dict[str, tuple[int, ...]] = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2)}
# PyTorch's GRU resets the hidden state after its product with the weights, not before.
ONNX_ATTRIBUTES: dict[str, dict[str, int]] = {"LSTM": {}, "GRU": {"linear_before_reset": 1}}


class BidirectionalLayer(nn.Module):
    """An LSTM or GRU layer in each direction over the valid steps, which come first in a row; its padding is zeros.

    Each direction runs over padded rows, the backward one over rows whose valid steps are reversed: with packed
    sequences, PyTorch trains several times slower on a CPU.

    Args:
        kind: `nn.LSTM` or `nn.GRU`. input_size, hidden_size: the output's width is twice `hidden_size`.
    """

    def __init__(self, kind: type[nn.LSTM] | type[nn.GRU], input_size: int, hidden_size: int):
        super().__init__()
        self.forwards = kind(input_size, hidden_size, batch_first=True)
        self.backwards = kind(input_size, hidden_size, batch_first=True)

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return (B, k, 2 * hidden_size) of states (B, k, d) with mask (B, k), bool."""
        if torch.compiler.is_exporting():
            return self._exported(states, mask) * mask[..., None]
        steps = torch.arange(mask.shape[1], device=mask.device)
        # The order that reverses the valid steps also puts them back.
        order = torch.where(mask, mask.sum(1, keepdim=True) - 1 - steps, steps)[..., None]
        forwards, _ = self.forwards(states)
        backwards, _ = self.backwards(states.take_along_dim(order, dim=1))
        return torch.cat([forwards, backwards.take_along_dim(order, dim=1)], dim=-1) * mask[..., None]

    def _exported(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Emit ONNX's own operator: torch.export fixes the number of steps of PyTorch's.

        https://onnx.ai/onnx/operators/onnx__LSTM.html, https://onnx.ai/onnx/operators/onnx__GRU.html
        """
        kind, size = self.forwards.mode, self.forwards.hidden_size
        biases = torch.cat([self._stacked("bias_ih_l0"), self._stacked("bias_hh_l0")], dim=1)
        steps = states.transpose(0, 1)
        weights = self._stacked("weight_ih_l0"), self._stacked("weight_hh_l0")
        output = torch.onnx.ops.symbolic(
            kind,
            (steps, *weights, biases, mask.sum(1).int()),
            attrs={"hidden_size": size, "direction": "bidirectional", **ONNX_ATTRIBUTES[kind]},
            dtype=states.dtype,
            shape=(steps.shape[0], 2, steps.shape[1], size),
        )
        return output.permute(2, 0, 1, 3).flatten(2)

    def _stacked(self, name: str) -> torch.Tensor:
        order = ONNX_GATES[self.forwards.mode]
        weights = [getattr(direction, name) for direction in (self.forwards, self.backwards)]
        return torch.stack([torch.cat([weight.chunk(len(order))[gate] for gate in order]) for weight in weights])


class BidirectionalLSTM(nn.Module):
    """LSTM layers in both directions, each on the one before; as [`BidirectionalLayer`].

    Args:
        input_size, hidden_size, num_layers: the output's width is twice `hidden_size`. dropout: between the layers.
    """

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, dropout: float = 0.0):
        super().__init__()
        sizes = [input_size, *[2 * hidden_size] * (num_layers - 1)]
        self.layers = nn.ModuleList(BidirectionalLayer(nn.LSTM, size, hidden_size) for size in sizes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return (B, k, 2 * hidden_size) of states (B, k, d) with mask (B, k), bool."""
        for number, layer in enumerate(self.layers):
            states = layer(self.dropout(states) if number else states, mask)
        return states
