"""Hidden states and attention maps of one forward, recorded by hooks that are there for its time only."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

# By part of the network, one tensor a layer; None for a layer that was not selected.
Recorded = dict[str, tuple[torch.Tensor | None, ...]]
# All, none, or the indices of the layers to keep, as transformers' models take them.
Selection = bool | int | list[int]


class OutputRecorder:
    """Collects hidden states and attention maps by part of the network, where requested."""

    def __init__(self, output_hidden_states: Selection, output_attentions: bool):
        self.output_hidden_states = output_hidden_states
        self.output_attentions = output_attentions
        self.hidden_states: dict[str, list[torch.Tensor | None]] = {}
        self.attentions: dict[str, list[torch.Tensor | None]] = {}

    @contextmanager
    def record(
        self,
        layers: dict[str, Sequence[nn.Module]],
        attentions: dict[str, Sequence[nn.Module]],
        encoders: dict[str, nn.Module],
    ) -> Iterator[None]:
        """Record, in this context, what passes through these modules.

        Args:
            layers: the layers of a part, in their order; hidden states are the first one's input and their outputs.
            attentions: the attention modules of a part, whose outputs are the context and its weights.
            encoders: transformers' own models, which return both by themselves.
        """
        with ExitStack() as hooks:
            if self.output_hidden_states is not False:
                for part, modules in layers.items():
                    self._record_layers(hooks, part, modules)
            if self.output_attentions:
                for part, modules in attentions.items():
                    self._record_attentions(hooks, part, modules)
            if self.output_hidden_states is not False or self.output_attentions:
                for part, encoder in encoders.items():
                    self._record_encoder(hooks, part, encoder)
            yield

    def results(self) -> tuple[Recorded | None, Recorded | None]:
        """Return hidden states and attention maps; None for what was not requested."""
        return (
            None if self.output_hidden_states is False else _as_tuples(self.hidden_states),
            _as_tuples(self.attentions) if self.output_attentions else None,
        )

    def _record_layers(self, hooks: ExitStack, part: str, layers: Sequence[nn.Module]) -> None:
        states = self.hidden_states.setdefault(part, [])
        selected = _selected(self.output_hidden_states, len(layers) + 1)

        def keep(state: torch.Tensor) -> None:
            states.append(state if len(states) in selected else None)

        def hook(_module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            if not states:
                keep(inputs[0])
            keep(output[0] if isinstance(output, tuple) else output)

        for layer in layers:
            hooks.callback(layer.register_forward_hook(hook).remove)

    def _record_attentions(self, hooks: ExitStack, part: str, modules: Sequence[nn.Module]) -> None:
        maps = self.attentions.setdefault(part, [])

        def hook(_module: nn.Module, _inputs: tuple[Any, ...], output: Any) -> None:
            if output[1] is not None:
                maps.append(output[1])

        for module in modules:
            hooks.callback(module.register_forward_hook(hook).remove)

    def _record_encoder(self, hooks: ExitStack, part: str, encoder: nn.Module) -> None:
        options = {"output_hidden_states": self.output_hidden_states, "output_attentions": self.output_attentions}

        def request(
            _module: nn.Module, inputs: tuple[Any, ...], arguments: dict[str, Any]
        ) -> tuple[Any, dict[str, Any]]:
            return inputs, {**arguments, **options}

        def hook(_module: nn.Module, _inputs: tuple[Any, ...], output: Any) -> None:
            if self.output_hidden_states is not False:
                self.hidden_states[part] = list(output.hidden_states)
            if self.output_attentions:
                self.attentions[part] = list(output.attentions or ())

        hooks.callback(encoder.register_forward_pre_hook(request, with_kwargs=True).remove)
        hooks.callback(encoder.register_forward_hook(hook).remove)


def _selected(selection: Selection, count: int) -> set[int]:
    if isinstance(selection, bool):
        return set(range(count)) if selection else set()
    indices = [selection] if isinstance(selection, int) else selection
    return {index % count for index in indices if -count <= index < count}


def _as_tuples(recorded: dict[str, list[torch.Tensor | None]]) -> Recorded:
    """Parts without a layer, as without eager attention, are left out."""
    return {part: tuple(tensors) for part, tensors in recorded.items() if tensors}
