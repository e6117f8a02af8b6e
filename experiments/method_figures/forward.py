"""One forward of a trained model, with everything that the figures show of it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from m4ser import M4SERPipeline
from m4ser.data.loading import load_dataset
from m4ser.model.audio_m4ser import load_audio
from m4ser.model.correction_m4ser import CHANGE
from m4ser.model.fusion_m4ser import resample
from m4ser.model.modeling_m4ser import M4SERModel

CANDIDATES = 4  # tokens shown at each step of a correction
MOST_COMPARED = 60  # recordings
Candidates = list[tuple[str, float]]  # tokens with their probabilities, the best first


@dataclass(frozen=True)
class Forward:
    """What the network computed from one recording of m frames and its hypothesis of n tokens.

    Args:
        samples: (samples,), 16 kHz. tokens: n. labels: e emotions. emotion: as annotated. marked, corrected: the text
            as the pipeline gives it.
        states: arrays by name, each (steps, d): "speech" and "text" from the encoders, "aligned" the text by frame,
            "combined", "speech_specific", "text_specific", "invariant", and the masks "speech_mask" and "text_mask".
        attention: (queries, keys) by part, means over heads. tags: (n, 3), probabilities. scores: (e,).
        replacements: by the index of a CHANGE, the candidates of each step.
    """

    samples: np.ndarray
    tokens: list[str]
    labels: list[str]
    emotion: str
    marked: str
    corrected: str
    states: dict[str, np.ndarray]
    attention: dict[str, np.ndarray]
    tags: np.ndarray
    scores: np.ndarray
    replacements: dict[int, list[Candidates]]

    @property
    def seconds(self) -> float:
        """Length of the recording."""
        return len(self.samples) / 16_000


@torch.no_grad()
def run_forward(run: Path, dataset: str) -> Forward:
    """Run the network on the first test recording of a dataset."""
    rows = load_dataset(dataset)["test"]
    row = rows[0]
    samples = load_audio(row["audio"])
    classify = M4SERPipeline.from_pretrained(run)
    model, processor = classify.model, classify.processor
    output = classify({"raw": samples, "sampling_rate": 16_000, "text": row["hypothesis"]}, return_correction=True)
    model.set_attn_implementation("eager")
    inputs = processor(samples, row["hypothesis"], sampling_rate=16_000)
    states = _keep_outputs(model)
    result = model(**inputs, detect_errors=True, output_attentions=True)
    states |= {name: result[name] for name in ("speech_specific", "text_specific", "invariant")}
    states |= {name: states[name].sigmoid() for name in ("speech_mask", "text_mask")}  # eq. 15
    fusion = [name for name in result.attentions if "encoder" not in name]
    return Forward(
        samples=samples,
        tokens=processor.tokenizer.convert_ids_to_tokens(inputs["input_ids"][0]),
        labels=[model.config.id2label[index] for index in range(model.config.num_emotions)],
        emotion=rows.features["emotion"].names[row["emotion"]],
        marked=output["marked"],
        corrected=output["correction"],
        states={name: value[0].numpy() for name, value in states.items()},
        attention={name: result.attentions[name][0][0].mean(0).numpy() for name in fusion},
        tags=result.aed_logits[0].softmax(-1).numpy(),
        scores=result.logits[0].softmax(-1).numpy(),
        replacements=_replacements(model, processor.tokenizer, inputs, states["text"], result.aed_logits[0]),
    )


def _keep_outputs(model: M4SERModel) -> dict[str, Tensor]:
    """Return a dict that the next forward fills with what its output does not have."""
    kept: dict[str, Tensor] = {}
    generator = model.fusion.generator

    def keep_inputs(_: Any, inputs: tuple[Tensor, ...]) -> None:
        kept["speech"], kept["text"] = inputs[:2]
        kept["aligned"] = resample(inputs[1], inputs[3], inputs[2])

    def keep(name: str) -> Callable[..., None]:
        return lambda _module, _inputs, output: kept.update({name: output})

    model.fusion.register_forward_pre_hook(keep_inputs)
    model.fusion.combination.register_forward_hook(keep("combined"))
    generator.speech_attention.mask.register_forward_hook(keep("speech_mask"))
    generator.text_attention.mask.register_forward_hook(keep("text_mask"))
    return kept


def _replacements(
    model: M4SERModel, tokenizer: Any, inputs: Any, text: Tensor, aed_logits: Tensor
) -> dict[int, list[Candidates]]:
    """Decode every CHANGE greedily, as the model does, and keep the best candidates of each step."""
    decoder, found = model.error_corrector, {}
    mask = inputs["text_attention_mask"].bool()
    for position in (aed_logits.argmax(-1)[:-1] == CHANGE).nonzero().flatten().tolist():
        ids, steps = [decoder.bos_token_id], []
        while len(steps) < decoder.max_length and (not steps or ids[-1] != decoder.eos_token_id):
            logits = decoder(torch.tensor([ids]), text[:, position], text, mask, model.get_input_embeddings())
            probabilities, candidates = logits[0, -1].softmax(-1).topk(CANDIDATES)
            names = tokenizer.convert_ids_to_tokens(candidates)
            steps.append(list(zip(names, probabilities.tolist(), strict=True)))
            ids.append(int(candidates[0]))
        found[position] = steps
    return found


@torch.no_grad()
def test_embeddings(run: Path, dataset: str) -> tuple[np.ndarray, list[str]]:
    """Return the embeddings (N, d) of test recordings, in the order of their emotions, and these emotions."""
    rows = load_dataset(dataset)["test"]
    rows = rows.select(range(min(MOST_COMPARED, len(rows)))).sort("emotion")
    names = rows.features["emotion"].names
    classify = M4SERPipeline.from_pretrained(run)
    inputs = ({"bytes": row["audio"]["bytes"], "text": row["hypothesis"]} for row in rows)
    outputs = classify(inputs, return_embeddings=True)
    embeddings = np.stack([np.asarray(output["embeddings"]) for output in outputs])
    return embeddings, [names[emotion] for emotion in rows["emotion"]]
