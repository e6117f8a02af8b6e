"""A saved model's representations of its test recordings: the vectors behind Figs. 9 to 11 and Table VII."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from m4ser.data.loading import load_dataset
from m4ser.data.schema import DataError
from m4ser.evaluation.protocols import partition
from m4ser.evaluation.report.runs import Run
from m4ser.model.audio_m4ser import load_audio
from m4ser.model.modeling_m4ser import M4SERModel
from m4ser.model.processing_m4ser import M4SERProcessor

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
    """The norm of the hidden features over time in one recording, each curve scaled to 0..1.

    The paper accumulates the features of a step "into one dimension" without saying how. Here it is their Euclidean
    norm: their sum is the same at every step after a layer norm.

    Args:
        speech, speech_specific, text_specific: (m,), over frames. text: (n,), over `tokens`.
        seconds: of the recording. prediction: the emotion.
    """

    speech: np.ndarray
    text: np.ndarray
    speech_specific: np.ndarray
    text_specific: np.ndarray
    tokens: list[str]
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
        data = run.results["config"]["data"]
        self.rows = partition(load_dataset(dataset), data.get("protocol", "held_out"), data.get("fold")).splits["test"]
        if run.predictions is not None and set(self.rows["id"]) != set(run.predictions):
            raise DataError(f"{dataset} is not the dataset that {run.folder} was tested on.")
        if not (run.folder / "config.json").is_file():
            raise DataError(f"{run.folder} has no saved model; give the folder that training wrote.")
        self.column = data["text_column"]
        self.model = M4SERModel.from_pretrained(run.folder).eval()
        self.processor = M4SERProcessor.from_pretrained(run.folder)

    def vectors(self) -> Vectors:
        """Encode all test recordings."""
        embeddings = []
        streams: dict[str, list[torch.Tensor]] = {name: [] for name in STREAMS}
        for start in range(0, len(self.rows), BATCH):
            rows = self.rows[start : start + BATCH]
            output = self._forward([load_audio(audio) for audio in rows["audio"]], rows[self.column])
            embeddings.append(output["embeddings"])
            mask = output["frame_mask"].unsqueeze(-1)
            for name in output.keys() & streams.keys():
                streams[name].append((output[name] * mask).sum(1) / mask.sum(1))
        found = {name: torch.cat(parts).numpy() for name, parts in streams.items() if parts}
        return Vectors(np.array(self.rows["emotion"]), torch.cat(embeddings).numpy(), found)

    def weights(self, row: Mapping[str, Any], column: str) -> Weights:
        """Compute the curves of one test recording under a text, the column `hypothesis` or `transcript`."""
        samples = load_audio(row["audio"])
        speech: list[torch.Tensor] = []
        hook = self.model.speech_encoder.register_forward_hook(lambda _, __, output: speech.append(output[0]))
        try:
            output = self._forward([samples], [row[column]])
        finally:
            hook.remove()
        return Weights(
            speech=_curve(speech[0][0]),
            text=_curve(output["text_hidden_states"][0]),
            speech_specific=_curve(output["speech_specific"][0]),
            text_specific=_curve(output["text_specific"][0]),
            tokens=self._tokens(row[column]),
            seconds=self._seconds(samples),
            prediction=self._prediction(output),
        )

    def attention_maps(self, row: Mapping[str, Any], column: str) -> AttentionMaps:
        """Compute the attention maps of one test recording under a text, `hypothesis` or `transcript`."""
        samples, former = load_audio(row["audio"]), self.model.config._attn_implementation
        self.model.set_attn_implementation("eager")  # the others have no maps
        try:
            output = self._forward([samples], [row[column]], output_attentions=True)
        finally:
            self.model.set_attn_implementation(former)
        weights = {name: output["attentions"][name][-1][0].mean(0).numpy() for name in ATTENTIONS}
        return AttentionMaps(weights, self._tokens(row[column]), self._seconds(samples), self._prediction(output))

    def _tokens(self, text: str | None) -> list[str]:
        tokenizer = self.processor.tokenizer
        return tokenizer.convert_ids_to_tokens(tokenizer(text or "", truncation=True)["input_ids"])

    def _seconds(self, samples: np.ndarray) -> float:
        return len(samples) / self.processor.feature_extractor.sampling_rate

    def _prediction(self, output: Mapping[str, Any]) -> str:
        return self.model.config.id2label[int(output["logits"].argmax())]

    @torch.no_grad()
    def _forward(
        self, recordings: Sequence[np.ndarray], texts: Sequence[str | None], **options: Any
    ) -> dict[str, Any]:
        rate = self.processor.feature_extractor.sampling_rate
        inputs = self.processor(recordings, [text or "" for text in texts], sampling_rate=rate)
        return dict(self.model(**inputs, **options))  # without what the network does not have


def _curve(states: torch.Tensor) -> np.ndarray:
    """Turn (steps, d) into (steps,) in 0..1."""
    norms = states.norm(dim=-1).numpy().astype(np.float64)
    return (norms - norms.min()) / max(np.ptp(norms), np.finfo(float).tiny)


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
