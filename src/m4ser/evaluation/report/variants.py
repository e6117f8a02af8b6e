"""The variant of the network that a run trained, such as "w/o GAN": from what it was built of, not from its name."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from m4ser.data.schema import OWN_TEXT
from m4ser.model.configuration_m4ser import (
    AUXILIARY_TASKS,
    DEFAULT_AUXILIARY_TASKS,
    MODALITIES,
    REPRESENTATIONS,
    M4SERConfig,
)
from m4ser.systems import SYSTEMS

FIELDS = ("modalities", "representations", "auxiliary_tasks")


@dataclass(frozen=True)
class Variant:
    """The parts that are switched on in a network: the columns by which Tables IV, V and VI tell their rows apart."""

    modalities: tuple[str, ...] = MODALITIES
    representations: tuple[str, ...] = REPRESENTATIONS
    tasks: tuple[str, ...] = DEFAULT_AUXILIARY_TASKS
    adversarial: bool = True
    contrastive: bool = True
    text: str = "hypothesis"


FULL = Variant()
CONCAT = Variant(representations=(), tasks=(), adversarial=False, contrastive=False)
VARIANTS = {
    FULL: "full",
    replace(CONCAT, modalities=("speech",)): "speech only",
    replace(CONCAT, modalities=("text",)): "text only",
    CONCAT: "concat",
    replace(FULL, representations=("invariant",), adversarial=False): "w/o MSR",
    replace(FULL, representations=("specific",), adversarial=False): "w/o MIR",
    replace(FULL, representations=(), adversarial=False): "w/o MSR & MIR",
    replace(FULL, tasks=("correction",)): "w/o AED",
    replace(FULL, tasks=("detection",)): "w/o AEC",
    replace(FULL, tasks=()): "w/o AED & AEC",
    replace(FULL, adversarial=False): "w/o GAN",
    replace(FULL, contrastive=False): "w/o LCL",
    replace(FULL, adversarial=False, contrastive=False): "w/o GAN & LCL",
    replace(FULL, tasks=(), adversarial=False, contrastive=False): "+ MSR & MIR",
    replace(FULL, tasks=(), text="transcript"): "human transcripts",
    replace(CONCAT, modalities=("speech",), tasks=("recognition",)): "speech only + recognition",
    replace(FULL, tasks=AUXILIARY_TASKS): "+ recognition",
    replace(FULL, tasks=AUXILIARY_TASKS, text=OWN_TEXT): "+ recognition, own hypotheses",
}


def variant_name(config: Mapping[str, Any]) -> str | None:
    """Name the variant that a run's `config` describes.

    Args:
        config: the arguments by group, as results.json holds them.

    Returns:
        A value of VARIANTS, or the title of another system; None of a baseline and of a network that has no name.

    Raises:
        ValueError: a system that this installation does not know.
    """
    if "model" not in config:
        return None  # a baseline, which is no network
    system = config["model"].get("system", M4SERConfig.model_type)
    if system not in SYSTEMS:
        raise ValueError(f"There is no system {system!r}; it was trained where m4ser.systems had it.")
    if system != M4SERConfig.model_type:
        return SYSTEMS[system].title
    given, objective, text = config["model"]["config"] or {}, config["objective"], config["data"]["text_column"]
    model = M4SERConfig(**{name: given[name] for name in FIELDS if name in given})
    has_text = "text" in model.modalities
    return VARIANTS.get(
        Variant(
            tuple(model.modalities),
            tuple(model.representations) if model.is_multimodal else (),
            tuple(task for task in model.auxiliary_tasks if has_text or task == "recognition"),
            objective["adversarial_weight"] > 0 and model.is_adversarial,
            objective["contrastive_weight"] > 0,
            text if has_text else "hypothesis",
        )
    )
