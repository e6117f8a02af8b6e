"""LoRA: low-rank changes of the encoders' attention are trained instead of the encoders, and merged when saved.

Hu et al. 2022, https://arxiv.org/abs/2106.09685; the layers are peft's.
"""

from collections.abc import Mapping

from torch import Tensor

from m4ser.model.base_m4ser import EmotionModel

# Query and value, as the speech and text encoders of transformers name them.
TARGETS = r".*\.(q_proj|v_proj|query|value|q_lin|v_lin|query_proj|value_proj|linear_q|linear_v)"
SCALE = 2  # alpha / rank
NAME = "adapter"
BASE = ".base_layer."


def add_adapters(model: EmotionModel, rank: int) -> None:
    """Freeze both encoders, and add adapters to the queries and values of their attention.

    Raises:
        ValueError: peft is not installed, or an encoder has other names.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise ValueError("--lora_rank needs peft: pip install peft.") from error
    config = LoraConfig(r=rank, lora_alpha=SCALE * rank, target_modules=TARGETS)
    for part in (model.speech_encoder, model.text_encoder):
        if part is not None:
            inject_adapter_in_model(config, part.encoder, NAME)


def merge_adapters(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a model's weights under the names that they have without adapters, with what these add to them."""
    merged = {}
    for name, weight in weights.items():
        if ".lora_" in name:
            continue
        layer, is_adapted, kind = name.rpartition(BASE)
        if is_adapted and kind == "weight":
            down, up = (weights[f"{layer}.lora_{side}.{NAME}.weight"] for side in "AB")
            weight = weight + (SCALE * (up.float() @ down.float())).to(weight.dtype)
        merged[name.replace(BASE, ".")] = weight
    return merged
