"""The network as an ONNX graph, and the pipeline with that graph in the network's place.

export_onnx("runs/ravdess", "runs/ravdess/model.onnx")
classify = OnnxPipeline.from_pretrained("runs/ravdess")
"""

import logging
import warnings
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from transformers import AutoConfig, AutoModel, AutoProcessor

from m4ser.model.modeling_m4ser import M4SEROutput
from m4ser.model.pipeline_m4ser import M4SERPipeline

FILE = "model.onnx"
OUTPUTS = ("logits", "embeddings")
NOT_INSTALLED = "ONNX needs more than m4ser itself: pip install 'm4ser[export]'."
# A file of Protocol Buffers ends at 2 GB; beyond that the weights lie beside the graph.
LARGEST_FILE = 1.8e9


def export_onnx(model, output, int8=False):
    """Write the whole inference graph, from the processor's inputs to `logits` and `embeddings`, as ONNX.

    The number of recordings, of samples and of tokens are free; a model of one modality has that one's inputs only.

    Args:
        model: folder of a saved model, or Hub id. output: path of the file.
        int8: store the weights of matrix products in 8 bits, and compute those products so (ONNX Runtime's dynamic
            quantization). Convolutions stay as they are.

    Returns:
        `output`, a `Path`.

    Raises:
        ValueError: there is no such model, or what writes ONNX is not installed.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError as error:
        raise ValueError(NOT_INSTALLED) from error
    try:
        graph = InferenceGraph(AutoModel.from_pretrained(model, dtype=torch.float32))
    except OSError as error:
        raise _no_model(model, error) from error
    output = Path(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    exact = output.with_suffix(".exact.onnx") if int8 else output
    inputs = graph.example_inputs()
    with _quietly():
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
            program = onnx.load(exact)
            # The exporter's notes on shapes inside the graph are at odds with those that the quantizer works out.
            del program.graph.value_info[:]
            quantize_dynamic(program, output, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul", "Gemm"])
            for file in exact.parent.glob(f"{exact.name}*"):
                file.unlink()
    return output


@contextmanager
def _quietly():
    """Without what the exporter and the quantizer say about torchvision and themselves: nothing to act on."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


class InferenceGraph(nn.Module):
    """What is exported: a model's forward without labels, auxiliary tasks and everything that asks for a length."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        if model.speech_encoder is not None:
            # Only training masks spans of frames; that a recording is long enough for it need not be asked here.
            model.speech_encoder.encoder.config.mask_time_length = 0
        self.eval()

    def forward(self, input_values=None, attention_mask=None, input_ids=None, text_attention_mask=None):
        if input_values is not None:
            # Padding changes no answer, and with it every recording is known to be longer than one frame.
            padding = (0, 2 * self.model.speech_encoder.receptive_field)
            input_values, attention_mask = F.pad(input_values, padding), F.pad(attention_mask, padding)
        output = self.model(input_values, attention_mask, input_ids, text_attention_mask)
        return tuple(output[name] for name in OUTPUTS)

    def example_inputs(self):
        """Two recordings of one second and as many texts, one of each padded."""
        inputs = {}
        if self.model.speech_encoder is not None:
            samples = torch.ones(2, 16000, dtype=torch.long)
            samples[1, 12000:] = 0
            inputs |= {"input_values": torch.randn(2, 16000), "attention_mask": samples}
        if self.model.text_encoder is not None:
            tokens = torch.ones(2, 9, dtype=torch.long)
            tokens[1, 5:] = 0
            # Two tensors: of one that came in twice the graph would know one input.
            inputs |= {"input_ids": tokens.clone(), "text_attention_mask": tokens}
        return inputs

    def dynamic_shapes(self):
        """The axes that are free, by input."""
        batch = torch.export.Dim("batch")
        shapes = {}
        if self.model.speech_encoder is not None:
            samples = {0: batch, 1: torch.export.Dim("samples")}
            shapes |= {"input_values": samples, "attention_mask": samples}
        if self.model.text_encoder is not None:
            tokens = {0: batch, 1: torch.export.Dim("tokens", max=self.model.text_encoder.max_length)}
            shapes |= {"input_ids": tokens, "text_attention_mask": tokens}
        return shapes


class OnnxNetwork(nn.Module):
    """An exported graph that answers as [`M4SERModel`] does, on the CPU; it detects and corrects nothing.

    Args:
        path: the ONNX file. config: the model's [`M4SERConfig`].

    Raises:
        ValueError: there is no such file, or ONNX Runtime is not installed.
    """

    text_encoder = error_corrector = None
    name_or_path = ""
    device = torch.device("cpu")
    dtype = torch.float32

    def __init__(self, path, config):
        super().__init__()
        try:
            import onnxruntime
        except ImportError as error:
            raise ValueError(NOT_INSTALLED) from error
        if not Path(path).is_file():
            raise ValueError(f"There is no ONNX file {path}: write it with `m4ser export`.")
        self.config = config
        self.session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        self.names = [item.name for item in self.session.get_inputs()]

    def forward(self, **inputs):
        """The processor's inputs to `logits` and `embeddings`; those of a modality that the graph lacks are left."""
        # A feature extractor's mask is of 32 bits, a tokenizer's of 64.
        given = {name: inputs[name] for name in self.names}
        given = {name: (value.float() if value.is_floating_point() else value.long()) for name, value in given.items()}
        answers = self.session.run(list(OUTPUTS), {name: value.numpy() for name, value in given.items()})
        return M4SEROutput(**{name: torch.from_numpy(answer) for name, answer in zip(OUTPUTS, answers, strict=True)})

    def can_generate(self):
        return False


class OnnxPipeline(M4SERPipeline):
    """[`M4SERPipeline`] that asks ONNX Runtime."""

    @classmethod
    def from_pretrained(cls, name_or_path, path=None, **kwargs):
        """The pipeline of a saved model with an exported graph.

        Args:
            name_or_path: the model's folder, or Hub id, for its processor and config.
            path: the ONNX file; model.onnx in that folder by default.

        Raises:
            ValueError: there is no such model or file, or ONNX Runtime is not installed.
        """
        try:
            config = AutoConfig.from_pretrained(name_or_path)
            processor = AutoProcessor.from_pretrained(name_or_path)
        except OSError as error:
            raise _no_model(name_or_path, error) from error
        network = OnnxNetwork(path or Path(name_or_path) / FILE, config)
        return cls(model=network, processor=processor, task="audio-classification", **kwargs)


def _no_model(name, error):
    return ValueError(f"There is no model {str(name)!r}: {str(error).splitlines()[0]}")
