"""Which row of the paper's tables a run belongs to: read from what it was built of, not from its name."""

from dataclasses import dataclass, replace

from m4ser.systems import SYSTEMS

MODALITIES = ("speech", "text")
REPRESENTATIONS = ("specific", "invariant")
TASKS = ("detection", "correction")


@dataclass(frozen=True)
class Variant:
    """What is switched on in a network: the columns by which Tables IV, V and VI tell their rows apart."""

    modalities: tuple = MODALITIES
    representations: tuple = REPRESENTATIONS
    tasks: tuple = TASKS
    adversarial: bool = True
    contrastive: bool = True
    text: str = "hypothesis"


FULL = Variant()
CONCAT = Variant(representations=(), tasks=(), adversarial=False, contrastive=False)
ONE_MODALITY = Variant(representations=(), tasks=(), adversarial=False, contrastive=False)
VARIANTS = {
    FULL: "full",
    replace(ONE_MODALITY, modalities=("speech",)): "speech only",
    replace(ONE_MODALITY, modalities=("text",)): "text only",
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
}


def variant_name(config):
    """The variant that a run's `config` describes: a value of VARIANTS, a rival, or None where the paper has no such.

    Args:
        config: what results.json holds under "config": the arguments by group.
    """
    if "model" not in config:
        return None  # a baseline, which is no network
    if (system := config["model"]["system"]) != "m4ser":
        return SYSTEMS[system].title
    model, objective, text = config["model"]["config"], config["objective"], config["data"]["text_column"]
    modalities = _chosen(model, "modalities", MODALITIES)
    both = len(modalities) == 2
    representations = _chosen(model, "representations", REPRESENTATIONS) if both else ()
    return VARIANTS.get(
        Variant(
            modalities,
            representations,
            _chosen(model, "auxiliary_tasks", TASKS) if "text" in modalities else (),
            objective["adversarial_weight"] > 0 and len(representations) == 2,
            objective["contrastive_weight"] > 0,
            text if "text" in modalities else "hypothesis",
        )
    )


def _chosen(model, field, everything):
    given = model.get(field, everything)
    return tuple(item for item in everything if item in given)
