"""A frozen speech encoder runs once: its frames are kept on disk and read in every epoch."""

import hashlib

import datasets
import torch

from m4ser.data.collator import M4SERCollator
from m4ser.model.base_m4ser import EmotionModel
from m4ser.model.processing_m4ser import M4SERProcessor
from m4ser.systems import SYSTEMS
from m4ser.training.arguments import Arguments

FROZEN = ("speech_encoder", "speech_encoder.encoder")
BATCH = 8


def check_cacheable(arguments: Arguments) -> None:
    """Refuse where the frames would not be the same in every epoch.

    Raises:
        ValueError: the encoder learns, the recordings change from epoch to epoch, or the system needs more of a
            recording than its frames.
    """
    system = SYSTEMS[arguments.model.system]
    if system.needs_waveforms:
        raise ValueError(f"{system.title} needs the waveforms in every epoch: leave cache_features out.")
    data, rates = arguments.data, arguments.training.rates
    if not any(rates.get(part) == 0 for part in FROZEN):
        raise ValueError(
            "cache_features keeps the frames of a frozen speech encoder: freeze it with "
            """--learning_rates '{"speech_encoder.encoder": 0}'."""
        )
    changing = [name for name in ("speed", "noise", "crop") if getattr(data, f"augment_{name}")]
    if changing:
        raise ValueError(f"cache_features encodes each recording once: leave augment_{changing[0]} out.")


def add_speech_states(
    corpus: datasets.DatasetDict,
    model: EmotionModel,
    processor: M4SERProcessor,
    max_seconds: float,
    device: torch.device | str,
) -> datasets.DatasetDict:
    """Return the corpus with each recording's frames: `speech_states`, float32 bytes, and `speech_width`, their width.

    `datasets` keeps them in its cache, by what they depend on: the recordings, the weights, the window.
    """
    assert model.speech_encoder is not None  # `check_cacheable`
    encoder = model.speech_encoder.eval().to(device)
    weights = hashlib.sha256()
    for _, tensor in sorted(encoder.encoder.state_dict().items()):
        weights.update(tensor.cpu().contiguous().view(torch.uint8).numpy())
    collate = M4SERCollator(processor, max_seconds=max_seconds)

    @torch.no_grad()
    def encode(columns: dict[str, list]) -> dict[str, list]:
        rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        batch = collate(rows)
        states, mask = encoder.encode(batch["input_values"].to(device), batch["attention_mask"].to(device))
        frames = [row[: int(length)].float().cpu().numpy() for row, length in zip(states, mask.sum(-1), strict=True)]
        return {"speech_states": [row.tobytes() for row in frames], "speech_width": [states.shape[-1]] * len(rows)}

    # Older transformers draw random numbers here: those after it would depend on what the cache has.
    with torch.random.fork_rng(devices=[]):
        return datasets.DatasetDict(
            {
                split: rows.map(
                    encode,
                    batched=True,
                    batch_size=BATCH,
                    new_fingerprint=datasets.fingerprint.Hasher.hash(
                        (rows._fingerprint, weights.hexdigest(), max_seconds)
                    ),
                    features=datasets.Features(
                        {
                            **rows.features,
                            "speech_states": datasets.Value("large_binary"),
                            "speech_width": datasets.Value("int32"),
                        }
                    ),
                    desc="Encoding speech",
                )
                for split, rows in corpus.items()
            }
        )
