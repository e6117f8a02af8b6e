"""The pipeline that runs the graphs of `m4ser export` in ONNX Runtime instead of the network.

classify = OnnxPipeline.from_pretrained("runs/ravdess")
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig

from m4ser.model.base_m4ser import EmotionOutput
from m4ser.model.configuration_m4ser import EmotionConfig
from m4ser.model.inputs_m4ser import first_line
from m4ser.model.pipeline_m4ser import M4SERPipeline
from m4ser.model.processing_m4ser import load_processor
from m4ser.model.recognition_m4ser import Transcription, decode
from m4ser.model.speech_encoder_m4ser import frame_seconds
from m4ser.run_folder import ONNX, WEIGHTS_DIGEST, weights_digest
from m4ser.sources import refuse_missing

# By modality, as the processor names them; "frames" are of a network that transcribes, instead of "speech".
INPUTS = {
    "speech": ("input_values", "attention_mask"),
    "text": ("input_ids", "text_attention_mask"),
    "frames": ("speech_hidden_states", "attention_mask"),
}
OUTPUTS = ("logits", "embeddings")
FRAMES_OUTPUTS = ("frames", "frame_mask", "recognition_logits")
NOT_INSTALLED = "ONNX needs more than m4ser itself: pip install 'm4ser[export]'."


def frames_path(path: str | Path) -> Path:
    """Return where the speech encoder's graph lies: model.frames.onnx beside model.onnx."""
    return Path(path).with_suffix(f".frames{Path(path).suffix}")


def is_recognizing(config: EmotionConfig) -> bool:
    """Tell whether a network of this config has a CTC head, and is exported as two graphs."""
    return "speech" in config.modalities and "recognition" in getattr(config, "auxiliary_tasks", ())


class OnnxGraph:
    """A graph in ONNX Runtime, on the CPU.

    Args:
        path: the ONNX file. inputs, outputs: the names that it has to have.

    Attributes:
        weights_digest: of the weights that the graph was made of, None where it is not known.

    Raises:
        ValueError: there is no such file, it is damaged or another model's graph, or ONNX Runtime is not installed.
    """

    def __init__(self, path: str | Path, inputs: Sequence[str], outputs: Sequence[str]):
        try:
            import onnx
            import onnxruntime
        except ImportError as error:
            raise ValueError(NOT_INSTALLED) from error
        if not Path(path).is_file():
            raise ValueError(f"There is no ONNX file {path}: write it with `m4ser export`.")
        self.path, self.inputs, self.outputs = path, inputs, outputs
        try:
            onnx.checker.check_model(str(path))  # its weights may lie beside it, but ONNX Runtime reads any file
            self.session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # both libraries have many, and no common one
            raise ValueError(f"{path} is no ONNX graph that can be run: {first_line(error)}") from error
        self.weights_digest = self.session.get_modelmeta().custom_metadata_map.get(WEIGHTS_DIGEST)
        names = [item.name for item in self.session.get_inputs()]
        found = [item.name for item in self.session.get_outputs()]
        if sorted(names) != sorted(inputs) or not set(outputs) <= set(found):
            raise ValueError(
                f"{path} is another model's graph: it makes {', '.join(found)} of {', '.join(names)}, not "
                f"{', '.join(outputs)} of {', '.join(inputs)}."
            )

    def refuse_other_width(self, output: str, width: int, what: str) -> None:
        """Refuse a graph whose output has another last axis than the config says.

        Raises:
            ValueError: naming both.
        """
        (shape,) = [item.shape for item in self.session.get_outputs() if item.name == output]
        if shape[-1:] != [width]:
            raise ValueError(
                f"{self.path} is another model's graph: its {output} have the shape {shape}, and the config has "
                f"{width} {what}."
            )

    def __call__(self, **inputs: torch.Tensor) -> list[torch.Tensor]:
        """Compute the outputs of the inputs that the graph has; others are passed over.

        Raises:
            ValueError: the graph cannot be run.
        """
        # A feature extractor's mask is of 32 bits, a tokenizer's of 64.
        given = {name: inputs[name] for name in self.inputs}
        given = {name: value.float() if value.is_floating_point() else value.long() for name, value in given.items()}
        try:
            outputs = self.session.run(list(self.outputs), {name: value.numpy() for name, value in given.items()})
        except Exception as error:  # as above
            raise ValueError(f"{self.path} cannot be run: {first_line(error)}") from error
        return [torch.from_numpy(output) for output in outputs]


class OnnxNetwork(nn.Module):
    """Exported graphs as a [`PipelineModel`], on the CPU and in float32; it detects and corrects no errors.

    Args:
        path: the ONNX file; that of [`frames_path`] has to be there, too, where the network transcribes.
        config: the model's config.

    Raises:
        ValueError: as of [`OnnxGraph`], for either.
    """

    def __init__(self, path: str | Path, config: EmotionConfig):
        super().__init__()
        self.config = config
        self.extra_inputs = ()  # a graph has the processor's four alone
        self.name_or_path = str(path)
        self.frames_graph: OnnxGraph | None = None
        modalities = config.modalities
        if is_recognizing(config):
            modalities = ["frames" if modality == "speech" else modality for modality in modalities]
        self.graph = OnnxGraph(path, [name for modality in modalities for name in INPUTS[modality]], OUTPUTS)
        self.graph.refuse_other_width("logits", config.num_emotions, "emotions")
        if is_recognizing(config):
            self.frames_graph = OnnxGraph(frames_path(path), INPUTS["speech"], FRAMES_OUTPUTS)
            characters = len(config.recognition_vocabulary)
            self.frames_graph.refuse_other_width("recognition_logits", characters, "characters")

    @property
    def graphs(self) -> list[OnnxGraph]:
        return [self.graph] if self.frames_graph is None else [self.graph, self.frames_graph]

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
        return self.frames_graph is not None

    @property
    def max_text_length(self) -> int | None:
        return None

    def can_generate(self) -> bool:
        return False

    def encode_frames(
        self, input_values: torch.Tensor, attention_mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return frames (B, m, d_S + characters) and their mask (B, m): logits of the CTC head stand behind each.

        So they go along to [`transcribe`] and `forward`, and no graph runs twice.
        """
        assert self.frames_graph is not None  # who calls this looks at can_transcribe
        frames, mask, logits = self.frames_graph(input_values=input_values, attention_mask=attention_mask)
        return torch.cat([frames, logits], -1), mask.bool()

    def transcribe(
        self,
        input_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        speech_hidden_states: torch.Tensor | None = None,
    ) -> list[Transcription]:
        """Transcribe recordings as the network does, or the frames that [`encode_frames`] gave before."""
        if speech_hidden_states is None:
            assert input_values is not None and attention_mask is not None  # one of both is given
            speech_hidden_states, attention_mask = self.encode_frames(input_values, attention_mask)
        assert attention_mask is not None  # the frames' own
        logits = speech_hidden_states[..., self.config.speech_config.hidden_size :]
        seconds = frame_seconds(self.config.speech_config)
        return decode(logits, attention_mask, self.config.recognition_vocabulary, seconds)

    def forward(self, **inputs: torch.Tensor) -> EmotionOutput:
        """Compute `logits` and `embeddings` of the processor's inputs; the graph's own modalities are used."""
        if self.can_transcribe:
            if "speech_hidden_states" not in inputs:
                frames, mask = self.encode_frames(inputs["input_values"], inputs["attention_mask"])
                inputs |= {"speech_hidden_states": frames, "attention_mask": mask}
            width = self.config.speech_config.hidden_size
            inputs["speech_hidden_states"] = inputs["speech_hidden_states"][..., :width]
        logits, embeddings = self.graph(**inputs)
        return EmotionOutput(logits=logits, embeddings=embeddings)


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
        for graph in network.graphs:
            if own and graph.weights_digest and graph.weights_digest != own:
                raise ValueError(
                    f"{graph.path} was exported from other weights than those of {name_or_path}; "
                    f"run `m4ser export {name_or_path}` again."
                )
        return cls(model=network, processor=processor, task="audio-classification", **kwargs)
