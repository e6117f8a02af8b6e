"""Export of the network as an ONNX graph, and the pipeline that runs that graph instead of the network.

export_onnx("runs/ravdess", "runs/ravdess/model.onnx")
classify = OnnxPipeline.from_pretrained("runs/ravdess")
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
from transformers import AutoConfig

from m4ser.model.base_m4ser import EmotionModel, EmotionOutput, load_model
from m4ser.model.configuration_m4ser import EmotionConfig
from m4ser.model.inputs_m4ser import first_line
from m4ser.model.pipeline_m4ser import M4SERPipeline
from m4ser.model.processing_m4ser import load_processor
from m4ser.model.saving_m4ser import saved_together
from m4ser.run_folder import ONNX, WEIGHTS_DIGEST, weights_digest
from m4ser.sources import refuse_missing

logger = logging.getLogger(__name__)

# By modality, as the processor names them.
INPUTS = {"speech": ("input_values", "attention_mask"), "text": ("input_ids", "text_attention_mask")}
OUTPUTS = ("logits", "embeddings")
NOT_INSTALLED = "ONNX needs more than m4ser itself: pip install 'm4ser[export]'."
# A file of Protocol Buffers ends at 2 GB; beyond that the weights lie beside the graph.
LARGEST_FILE = 1.8e9


def export_onnx(model: str | Path, output: str | Path | None = None, int8: bool = False) -> Path:
    """Write the whole inference graph, from the processor's inputs to `logits` and `embeddings`, as ONNX.

    The number of recordings, of samples and of tokens are free; a model of one modality has that one's inputs only.

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
    graph = InferenceGraph(load_model(model, dtype=torch.float32))
    logger.info("Exporting %s to %s%s", model, output, " in 8 bits" if int8 else "")
    with saved_together(output.parent) as folder:
        write_graph(graph, folder / output.name, int8)
        bind_to_weights(folder / output.name, model)
    return output


def write_graph(graph: "InferenceGraph", output: Path, int8: bool) -> None:
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
            output_names=list(OUTPUTS),
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


class InferenceGraph(nn.Module):
    """The exported graph: a model's forward without labels, auxiliary tasks and everything that checks a length."""

    def __init__(self, model: EmotionModel):
        super().__init__()
        self.model = model
        self.eval()

    def forward(
        self,
        input_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        text_attention_mask: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, ...]:
        if input_values is not None and attention_mask is not None and self.model.speech_encoder is not None:
            # Padding changes no output, and with it every recording is known to be longer than one frame.
            padding = (0, 2 * self.model.speech_encoder.receptive_field)
            input_values, attention_mask = F.pad(input_values, padding), F.pad(attention_mask, padding)
        output = self.model(input_values, attention_mask, input_ids, text_attention_mask)
        return tuple(output[name] for name in OUTPUTS)

    def example_inputs(self) -> dict[str, torch.Tensor]:
        """Return two recordings of one second and as many texts, one of each padded."""
        inputs: dict[str, torch.Tensor] = {}
        if self.model.speech_encoder is not None:
            samples = torch.ones(2, 16000, dtype=torch.long)
            samples[1, 12000:] = 0
            inputs |= {"input_values": torch.randn(2, 16000), "attention_mask": samples}
        if self.model.text_encoder is not None:
            tokens = torch.ones(2, 9, dtype=torch.long)
            tokens[1, 5:] = 0
            # Two tensors: one that was passed twice would become one input of the graph.
            inputs |= {"input_ids": tokens.clone(), "text_attention_mask": tokens}
        return inputs

    def dynamic_shapes(self) -> dict[str, dict[int, Any]]:
        """Return the axes that are free, by input."""
        batch = torch.export.Dim("batch")
        shapes: dict[str, dict[int, Any]] = {}
        if self.model.speech_encoder is not None:
            samples = {0: batch, 1: torch.export.Dim("samples")}
            shapes |= {"input_values": samples, "attention_mask": samples}
        if self.model.text_encoder is not None:
            tokens = {0: batch, 1: torch.export.Dim("tokens", max=self.model.max_text_length)}
            shapes |= {"input_ids": tokens, "text_attention_mask": tokens}
        return shapes


class OnnxNetwork(nn.Module):
    """An exported graph as a [`PipelineModel`], on the CPU and in float32; it detects and corrects no errors.

    Args:
        path: the ONNX file. config: the model's config.

    Attributes:
        weights_digest: of the weights that the graph was made of, None where it is not known.

    Raises:
        ValueError: there is no such file, it is damaged or another model's graph, or ONNX Runtime is not installed.
    """

    def __init__(self, path: str | Path, config: EmotionConfig):
        super().__init__()
        try:
            import onnxruntime
        except ImportError as error:
            raise ValueError(NOT_INSTALLED) from error
        if not Path(path).is_file():
            raise ValueError(f"There is no ONNX file {path}: write it with `m4ser export`.")
        self.config = config
        self.extra_inputs = ()  # a graph has the processor's four alone
        self.name_or_path = str(path)
        try:
            self.session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # of ONNX Runtime, which has many and no common one
            raise ValueError(f"{path} is no ONNX graph that can be run: {first_line(error)}") from error
        self.weights_digest = self.session.get_modelmeta().custom_metadata_map.get(WEIGHTS_DIGEST)
        self.names = [item.name for item in self.session.get_inputs()]
        self._refuse_other_model()

    def _refuse_other_model(self) -> None:
        """Refuse a graph with other inputs, outputs or emotions than the model's."""
        inputs = [name for modality in self.config.modalities for name in INPUTS[modality]]
        outputs = {item.name: item.shape for item in self.session.get_outputs()}
        if sorted(self.names) != sorted(inputs) or not set(OUTPUTS) <= outputs.keys():
            raise ValueError(
                f"{self.name_or_path} is another model's graph: it makes {', '.join(outputs)} of "
                f"{', '.join(self.names)}, not {', '.join(OUTPUTS)} of {', '.join(inputs)}."
            )
        if outputs["logits"][-1:] != [self.config.num_emotions]:
            raise ValueError(
                f"{self.name_or_path} is another model's graph: its logits have the shape {outputs['logits']}, and "
                f"the config has {self.config.num_emotions} emotions."
            )

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype:
        return torch.float32

    @property
    def can_correct(self) -> bool:
        return False

    @property
    def can_transcribe(self) -> bool:
        return False

    @property
    def max_text_length(self) -> int | None:
        return None

    def can_generate(self) -> bool:
        return False

    def forward(self, **inputs: torch.Tensor) -> EmotionOutput:
        """Compute `logits` and `embeddings` of the processor's inputs; the graph's own modalities are used."""
        # A feature extractor's mask is of 32 bits, a tokenizer's of 64.
        given = {name: inputs[name] for name in self.names}
        given = {name: (value.float() if value.is_floating_point() else value.long()) for name, value in given.items()}
        try:
            outputs = self.session.run(list(OUTPUTS), {name: value.numpy() for name, value in given.items()})
        except Exception as error:  # as above
            raise ValueError(f"{self.name_or_path} cannot be run: {first_line(error)}") from error
        logits, embeddings = outputs
        return EmotionOutput(logits=torch.from_numpy(logits), embeddings=torch.from_numpy(embeddings))


class OnnxPipeline(M4SERPipeline):
    """[`M4SERPipeline`] that runs in ONNX Runtime."""

    @classmethod
    def from_pretrained(
        cls, name_or_path: str | Path, path: str | Path | None = None, **kwargs: Any
    ) -> "OnnxPipeline":
        """Load the pipeline of a saved model with an exported graph.

        Args:
            name_or_path: the model's folder, or Hub id, for its processor and config.
            path: the ONNX file; model.onnx in that folder by default. kwargs: of the pipeline.

        Raises:
            ValueError: there is no such model or file, the file is of other weights than the model's, or ONNX Runtime
                is not installed.
        """
        refuse_missing(name_or_path, "model")
        try:
            config = AutoConfig.from_pretrained(name_or_path, trust_remote_code=False)
        except Exception as error:  # of transformers and Python, each in its own way
            raise ValueError(f"There is no model {str(name_or_path)!r}: {first_line(error)}") from error
        if not isinstance(config, EmotionConfig):
            raise ValueError(f"The model {str(name_or_path)!r} is a {config.model_type}, none that m4ser trains.")
        processor = load_processor(name_or_path)
        path = path or Path(name_or_path) / ONNX
        network = OnnxNetwork(path, config)
        own = weights_digest(name_or_path)
        if own and network.weights_digest and network.weights_digest != own:
            raise ValueError(
                f"{path} was exported from other weights than those of {name_or_path}; "
                f"run `m4ser export {name_or_path}` again."
            )
        return cls(model=network, processor=processor, task="audio-classification", **kwargs)
