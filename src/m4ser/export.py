"""Export of the network as an ONNX graph, or two where it transcribes; `m4ser.onnx_pipeline` runs them.

```python
export_onnx("runs/ravdess", "runs/ravdess/model.onnx")
```
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from m4ser.model.base_m4ser import EmotionModel, load_model
from m4ser.model.saving_m4ser import saved_together
from m4ser.onnx_pipeline import FRAMES_OUTPUTS, NOT_INSTALLED, OUTPUTS, frames_path
from m4ser.run_folder import ONNX, WEIGHTS_DIGEST, weights_digest
from m4ser.sources import refuse_missing

logger = logging.getLogger(__name__)

# A file of Protocol Buffers ends at 2 GB; beyond that the weights lie beside the graph.
LARGEST_FILE = 1.8e9
# Samples, 17 minutes: PyTorch 2.10 refuses lengths that 32-bit indices do not suffice for.
LONGEST = 2**24


def export_onnx(model: str | Path, output: str | Path | None = None, int8: bool = False) -> Path:
    """Write the whole inference graph, from the processor's inputs to `logits` and `embeddings`, as ONNX.

    The number of recordings, of samples and of tokens are free; a model of one modality has that one's inputs only.
    A model that transcribes becomes two graphs, for its text comes between them: `output` takes the frames of the
    speech encoder, which the graph beside it (model.frames.onnx) makes together with the logits of the CTC head.

    Args:
        model: folder of a saved model, or Hub id. output: path of the file; model.onnx in that folder by default.
        int8: store the weights of matrix products in 8 bits, and compute those products so (ONNX Runtime's dynamic
            quantization). Convolutions stay as they are.

    Returns:
        `output`, a `Path`.

    Raises:
        ValueError: there is no such model, no `output` for one from the Hub, or the packages that write ONNX are not
            installed.
    """
    if output is None and not Path(model).is_dir():
        raise ValueError(f"{model} is no folder here: say where the graph goes with --output FILE.")
    output = Path(model) / ONNX if output is None else Path(output)
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ValueError(NOT_INSTALLED) from error
    refuse_missing(model, "model")
    network = load_model(model, dtype=torch.float32)
    graphs: dict[str, Graph] = {output.name: InferenceGraph(network)}
    if network.can_transcribe:
        graphs = {output.name: FusionGraph(network), frames_path(output).name: FramesGraph(network)}
    logger.info("Exporting %s to %s%s", model, output, " in 8 bits" if int8 else "")
    with saved_together(output.parent) as folder:
        for name, graph in graphs.items():
            write_graph(graph, folder / name, int8)
            bind_to_weights(folder / name, model)
    return output


def write_graph(graph: "Graph", output: Path, int8: bool) -> None:
    """Write a graph to a file, one beyond 2 GB with its weights in another beside it."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    exact = output.with_suffix(".exact.onnx") if int8 else output
    inputs = graph.example_inputs()
    with _without_exporter_messages():
        program = torch.export.export(graph, (), inputs, dynamic_shapes=graph.dynamic_shapes(), strict=False)
        torch.onnx.export(
            program,
            f=exact,
            input_names=list(inputs),
            output_names=list(graph.outputs),
            external_data=4 * graph.model.num_parameters() > LARGEST_FILE,
            dynamo=True,
            verbose=False,
        )
        if int8:
            exact_graph = onnx.load(exact)
            # The exporter's notes on shapes inside the graph are at odds with those that the quantizer works out.
            del exact_graph.graph.value_info[:]
            quantize_dynamic(exact_graph, output, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul", "Gemm"])
            for file in exact.parent.glob(f"{exact.name}*"):
                file.unlink()


def bind_to_weights(path: Path, model: str | Path) -> None:
    """Note in a graph which weights it was made of, where these lie in a folder here."""
    import onnx

    digest = weights_digest(model)
    if digest is not None:
        graph = onnx.load(path, load_external_data=False)
        graph.metadata_props.add(key=WEIGHTS_DIGEST, value=digest)
        onnx.save(graph, path)


@contextmanager
def _without_exporter_messages() -> Iterator[None]:
    """Silence the exporter's and the quantizer's messages about torchvision and themselves: nothing to act on.

    PyTorch's exporter logs by its own logger, ONNX Runtime's quantizer by the root logger; no other is touched.
    """
    exporter, root = logging.getLogger("torch.onnx"), logging.getLogger()
    level = exporter.level
    exporter.setLevel(logging.ERROR)
    root.addFilter(_is_not_of_quantizer)
    try:
        with warnings.catch_warnings():
            for category in (FutureWarning, DeprecationWarning):
                warnings.simplefilter("ignore", category)
            yield
    finally:
        exporter.setLevel(level)
        root.removeFilter(_is_not_of_quantizer)


def _is_not_of_quantizer(record: logging.LogRecord) -> bool:
    return "onnxruntime" not in Path(record.pathname).parts


class Graph(nn.Module):
    """The exported part of a model: its forward, without everything that checks a length."""

    outputs: tuple[str, ...] = OUTPUTS
    model: Any  # an EmotionModel; [`FramesGraph`] takes one that transcribes

    def __init__(self, model: EmotionModel):
        super().__init__()
        self.model = model
        self.eval()

    def pad(self, *samples: torch.Tensor) -> list[torch.Tensor]:
        """Pad waveforms and their mask: this changes no output, and every recording is known to have two frames."""
        assert self.model.speech_encoder is not None  # what has waveforms has it
        return [F.pad(values, (0, 2 * self.model.speech_encoder.receptive_field)) for values in samples]

    def example_inputs(self) -> dict[str, torch.Tensor]:
        """Return two recordings of one second and as many texts, one of each padded."""
        return self.example_speech() | self.example_text()

    def example_speech(self) -> dict[str, torch.Tensor]:
        if self.model.speech_encoder is None:
            return {}
        samples = torch.ones(2, 16000, dtype=torch.long)
        samples[1, 12000:] = 0
        return {"input_values": torch.randn(2, 16000), "attention_mask": samples}

    def example_text(self) -> dict[str, torch.Tensor]:
        if self.model.text_encoder is None:
            return {}
        tokens = torch.ones(2, 9, dtype=torch.long)
        tokens[1, 5:] = 0
        # Two tensors: one that was passed twice would become one input of the graph.
        return {"input_ids": tokens.clone(), "text_attention_mask": tokens}

    def dynamic_shapes(self) -> dict[str, dict[int, Any]]:
        """Return the axes that are free, by input: recordings, and their samples, frames or tokens."""
        batch, steps = torch.export.Dim("batch"), torch.export.Dim("steps", max=LONGEST)
        tokens = torch.export.Dim("tokens", max=self.model.max_text_length)
        return {
            **{name: {0: batch, 1: steps} for name in self.example_speech()},
            **{name: {0: batch, 1: tokens} for name in self.example_text()},
        }


class InferenceGraph(Graph):
    """The whole network: the processor's inputs to logits and embeddings."""

    def forward(
        self,
        input_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        text_attention_mask: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, ...]:
        if input_values is not None and attention_mask is not None:
            input_values, attention_mask = self.pad(input_values, attention_mask)
        output = self.model(input_values, attention_mask, input_ids, text_attention_mask)
        return tuple(output[name] for name in self.outputs)


class FramesGraph(Graph):
    """The speech encoder and the CTC head: waveforms to frames, their mask, and the logits of characters."""

    outputs = FRAMES_OUTPUTS

    def forward(self, input_values: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        frames, mask = self.model.encode_frames(*self.pad(input_values, attention_mask))
        return frames, mask.long(), self.model.recognition_head(frames)

    def example_text(self) -> dict[str, torch.Tensor]:
        return {}


class FusionGraph(Graph):
    """The part behind the speech encoder: frames and tokens to logits and embeddings."""

    def forward(
        self,
        speech_hidden_states: torch.Tensor,
        attention_mask: torch.Tensor,
        input_ids: torch.Tensor | None = None,
        text_attention_mask: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, ...]:
        text = {"input_ids": input_ids, "text_attention_mask": text_attention_mask}
        output = self.model(speech_hidden_states=speech_hidden_states, attention_mask=attention_mask, **text)
        return tuple(output[name] for name in self.outputs)

    def example_speech(self) -> dict[str, torch.Tensor]:
        frames = torch.ones(2, 49, dtype=torch.long)
        frames[1, 37:] = 0
        states = torch.randn(2, 49, self.model.config.speech_config.hidden_size)
        return {"speech_hidden_states": states, "attention_mask": frames}
