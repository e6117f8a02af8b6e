"""A saved model's representations of its test recordings: the vectors behind Figs. 9 to 11 and Table VII."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import send_to_device
from torch import nn
from transformers import BatchFeature

from m4ser.data.loading import load_dataset
from m4ser.data.schema import OWN_TEXT, DataError
from m4ser.environment import compute_device
from m4ser.evaluation.report.runs import Run
from m4ser.evaluation.run_data import pick, run_partition
from m4ser.model.audio_m4ser import load_audio
from m4ser.model.base_m4ser import load_model
from m4ser.model.processing_m4ser import load_processor

BATCH = 8
ATTENTIONS = ("text_query_cme", "speech_query_cme", "text_specific")
STREAMS = ("speech_specific", "text_specific", "invariant")


@dataclass(frozen=True)
class Vectors:
    """Of n test recordings.

    Args:
        labels: (n,), class indices. embeddings: (n, d), eq. 17.
        streams: {name of STREAMS: (n, d)}, the mean over time of each that the network has.
    """

    labels: np.ndarray
    embeddings: np.ndarray
    streams: dict[str, np.ndarray]


@dataclass(frozen=True)
class Weights:
    """How much the hidden features weigh in one recording, before and after cross-modal learning, scaled to 0..1.

    The paper accumulates the features of a step "into one dimension" without saying how. Here it is their Euclidean
    norm: their sum is the same at every step after a layer norm. A word has the mean of its tokens.

    Args:
        speech: (m,), H_S, over frames. text: (w,), H_T, over words.
        speech_attended: (w,), eq. 8's H_S^spe, the speech that each word attended to.
        text_attended: (w,), the text as speech attends to it. Eq. 10 has a row for each frame; by its attention, each
            frame's norm is spread over the words it comes from.
        words: of the text, unless the tokenizer cuts it. seconds: of the recording. prediction: the emotion.
    """

    speech: np.ndarray
    text: np.ndarray
    speech_attended: np.ndarray
    text_attended: np.ndarray
    words: list[str]
    seconds: float
    prediction: str


@dataclass(frozen=True)
class AttentionMaps:
    """The attention between the frames and the tokens of one recording, mean over heads.

    Args:
        weights: by name, "text_query_cme" (n, m), "speech_query_cme" and "text_specific" (m, n): queries, keys.
        tokens: of the text. seconds: of the recording. prediction: the emotion.
    """

    weights: dict[str, np.ndarray]
    tokens: list[str]
    seconds: float
    prediction: str


class RunEncoder:
    """A run's model, and the recordings that the run was tested on.

    Raises:
        DataError: the dataset is not the run's, or the run has no weights.
    """

    def __init__(self, run: Run, dataset: str | Path):
        _, splits = run_partition(run.results, load_dataset(dataset))
        self.rows = pick(splits, "test", dataset)
        if run.predictions is not None and set(self.rows["id"]) != set(run.predictions):
            raise DataError(f"{dataset} is not the dataset that {run.folder} was tested on.")
        if not (run.folder / "config.json").is_file():
            raise DataError(f"{run.folder} has no saved model; give the folder that training wrote.")
        self.column = run.results["config"]["data"]["text_column"]
        if self.column == OWN_TEXT:
            raise DataError(f"{run.folder} predicts from what it transcribes itself: its figures need a text column.")
        self.model = load_model(run.folder).eval().to(compute_device())
        self.processor = load_processor(run.folder)

    def vectors(self) -> Vectors:
        """Encode all test recordings."""
        embeddings = []
        streams: dict[str, list[torch.Tensor]] = {name: [] for name in STREAMS}
        for start in range(0, len(self.rows), BATCH):
            rows = self.rows[start : start + BATCH]
            output = self._forward(self._recordings(rows["audio"]), rows[self.column])
            embeddings.append(output["embeddings"])
            mask = output["frame_mask"].unsqueeze(-1)
            for name in output.keys() & streams.keys():
                streams[name].append((output[name] * mask).sum(1) / mask.sum(1))
        found = {name: torch.cat(parts).numpy() for name, parts in streams.items() if parts}
        return Vectors(np.array(self.rows["emotion"]), torch.cat(embeddings).numpy(), found)

    def _recordings(self, audio: Sequence[Any]) -> list[np.ndarray] | None:
        """Load recordings; none of a network of text alone."""
        return None if self.model.speech_encoder is None else [load_audio(one) for one in audio]

    def weights(self, row: Mapping[str, Any], column: str) -> Weights:
        """Compute the curves of one test recording under a text, the column `hypothesis` or `transcript`."""
        samples = load_audio(row["audio"])
        modules = {"speech": self.model.speech_encoder, "speech_attended": self.model.fusion.text_query_cme}
        with _outputs_of(modules) as states:
            output = self._forward_eagerly(samples, row[column])
        words, members = self._words(row[column])
        # A frame's features come from the tokens by its weights over them (eq. 10).
        shares = output["attentions"]["text_specific"][-1][0].mean(0)
        spread = _norms(output["text_specific"][0]) @ shares.numpy()

        def over_words(tokens: np.ndarray) -> np.ndarray:
            return _scaled(np.array([tokens[chosen].mean() for chosen in members]))

        return Weights(
            speech=_scaled(_norms(states["speech"][0][0])),
            text=over_words(_norms(output["text_hidden_states"][0])),
            speech_attended=over_words(_norms(states["speech_attended"][0])),
            text_attended=over_words(spread),
            words=words,
            seconds=self._seconds(samples),
            prediction=self._prediction(output),
        )

    def attention_maps(self, row: Mapping[str, Any], column: str) -> AttentionMaps:
        """Compute the attention maps of one test recording under a text, `hypothesis` or `transcript`."""
        samples = load_audio(row["audio"])
        output = self._forward_eagerly(samples, row[column])
        weights = {name: output["attentions"][name][-1][0].mean(0).numpy() for name in ATTENTIONS}
        return AttentionMaps(weights, self._tokens(row[column]), self._seconds(samples), self._prediction(output))

    def _words(self, text: str | None) -> tuple[list[str], list[list[int]]]:
        """Return the words of a text and the indices of each one's tokens; the special tokens where it has no word."""
        text = text or ""
        spans = self.processor.tokenizer(text, truncation=True, return_offsets_mapping=True)["offset_mapping"]
        words, members = [], []
        for word in re.finditer(r"\S+", text):
            chosen = [number for number, (start, end) in enumerate(spans) if start < word.end() and end > word.start()]
            if chosen:
                words.append(word[0])
                members.append(chosen)
        return (words, members) if words else (self._tokens(text), [[number] for number in range(len(spans))])

    def _tokens(self, text: str | None) -> list[str]:
        tokenizer = self.processor.tokenizer
        return tokenizer.convert_ids_to_tokens(tokenizer(text or "", truncation=True)["input_ids"])

    def _seconds(self, samples: np.ndarray) -> float:
        return len(samples) / self.processor.feature_extractor.sampling_rate

    def _prediction(self, output: Mapping[str, Any]) -> str:
        return self.model.config.id2label[int(output["logits"].argmax())]

    def _forward_eagerly(self, samples: np.ndarray, text: str | None) -> dict[str, Any]:
        """Run the network on one recording with its attention maps, which only eager attention has."""
        former = self.model.config._attn_implementation
        self.model.set_attn_implementation("eager")
        try:
            return self._forward([samples], [text], output_attentions=True)
        finally:
            self.model.set_attn_implementation(former)

    @torch.no_grad()
    def _forward(
        self, recordings: Sequence[np.ndarray] | None, texts: Sequence[str | None], **options: Any
    ) -> dict[str, Any]:
        """Return what the network outputs, on the CPU, without what it does not have."""
        return to_cpu(dict(self.model(**self._inputs(recordings, texts), **options)))

    def _inputs(self, recordings: Sequence[np.ndarray] | None, texts: Sequence[str | None]) -> BatchFeature:
        """Return the network's inputs on its device."""
        rate = self.processor.feature_extractor.sampling_rate
        inputs = self.processor(recordings, [text or "" for text in texts], sampling_rate=rate)
        return inputs.to(self.model.device)


@contextmanager
def _outputs_of(modules: Mapping[str, nn.Module]) -> Iterator[dict[str, Any]]:
    """Keep what these modules return in a forward of this context, on the CPU, by the names given."""
    found: dict[str, Any] = {}

    def keep(name: str) -> Callable[..., None]:
        return lambda _module, _inputs, output: found.update({name: to_cpu(output)})

    with ExitStack() as hooks:
        for name, module in modules.items():
            hooks.callback(module.register_forward_hook(keep(name)).remove)
        yield found


def to_cpu(value: Any) -> Any:
    """Bring tensors to the CPU, in whatever tuples and dicts they are."""
    return send_to_device(value, "cpu")


def _norms(states: torch.Tensor) -> np.ndarray:
    """Return the Euclidean norms (steps,) of states (steps, d)."""
    return states.norm(dim=-1).numpy().astype(np.float64)


def _scaled(curve: np.ndarray) -> np.ndarray:
    """Scale a curve to 0..1; a constant one is 0."""
    return (curve - curve.min()) / max(np.ptp(curve), np.finfo(float).tiny)


def warping_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Measure dynamic time warping between two curves: the least mean distance along a path that leaves nothing out.

    The paper names neither a distance nor what it divides by. Here steps cost the absolute difference, and the least
    total is divided by the lengths' sum (Sakoe and Chiba 1978, symmetric form), so that long recordings are
    comparable to short ones: 0 for the same curve, at most 1 for curves in 0..1.

    Args:
        first: (m,). second: (n,).
    """
    rows = np.abs(np.subtract.outer(first, second)).tolist()
    previous = [0.0] + [np.inf] * len(second)
    for row in rows:
        current = [np.inf]
        for j, step in enumerate(row):
            # In the symmetric form a diagonal step counts twice, as it moves on in both curves.
            current.append(min(previous[j + 1] + step, current[j] + step, previous[j] + 2 * step))
        previous = current
    return previous[-1] / (len(first) + len(second))
