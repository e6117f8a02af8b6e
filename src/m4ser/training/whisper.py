"""Training a network whose speech encoder is Whisper's."""

from accelerate import PartialState

from m4ser.model.base_m4ser import EmotionModel
from m4ser.model.whisper_encoder_m4ser import has_whisper, longest_seconds
from m4ser.training.arguments import DataArguments, TrainingArguments


def freeze_whisper(model: EmotionModel, options: TrainingArguments) -> None:
    """Freeze Whisper's encoder, unless the arguments say how it is trained; its sinusoidal positions at any rate.

    Each recording costs a window of 30 s, and its gradients twice that again. The output of a frozen encoder, but not
    of a trained one, can be decoded by Whisper's own decoder.
    """
    if not has_whisper(model.config) or model.speech_encoder is None:
        return
    encoder = model.speech_encoder.encoder
    encoder.embed_positions.requires_grad_(False)  # as Whisper has them; loading makes them trainable
    if not options.lora_rank and not any(part.startswith("speech_encoder") for part in options.rates):
        encoder.requires_grad_(False)
        PartialState().print(
            """Whisper's encoder is frozen: --learning_rates '{"speech_encoder.encoder": 1e-5}' trains it."""
        )


def check_length(model: EmotionModel, arguments: DataArguments) -> None:
    """Refuse to train on longer recordings than the speech encoder takes.

    Raises:
        ValueError: saying what is set instead.
    """
    longest = longest_seconds(model.config) * (1 - arguments.augment_speed)  # before a recording is slowed down
    if arguments.max_seconds > longest:
        raise ValueError(
            f"Whisper encodes {longest_seconds(model.config):g} s: set --max_seconds to {longest:g} or less, not "
            f"{arguments.max_seconds:g}."
        )
