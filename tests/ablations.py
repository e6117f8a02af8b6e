"""What each ablation switches off: the modules that are not built and the losses that are not computed.

The one table that the tests of the model, of a training step and of the configs in configs/ablations share. It is
written by hand from the paper's Tables IV, V and VI, and derived from nothing in the source.
"""

from dataclasses import dataclass, field

SPECIFIC = {"fusion.text_query_cme", "fusion.speech_query_cme", "fusion.text_specific"}
INVARIANT = {"fusion.combination", "fusion.generator"}
FUSION = SPECIFIC | INVARIANT
TASKS = {"error_detector", "error_corrector"}
MODULES = {"speech_encoder", "text_encoder", "classifier"} | FUSION | TASKS

ADVERSARIAL = {"generator", "discriminator"}
TASK_LOSSES = {"error_detection", "error_correction"}
LOSSES = {"emotion", "contrastive", "total"} | ADVERSARIAL | TASK_LOSSES
LOSSES_OF_WEIGHT = {"adversarial_weight": ADVERSARIAL, "contrastive_weight": {"contrastive"}}


@dataclass(frozen=True)
class Ablation:
    """One row: its switches in the model's config, and what they take away.

    Attributes:
        modules: Not built, by the first two parts of their names in the state dict.
        losses: Not computed because of the config alone, whatever the weights are.
        zero_weights: Weights of eq. 22 that are 0 as well.
        settings: What else its YAML sets.
    """

    config: dict = field(default_factory=dict)
    modules: set = field(default_factory=set)
    losses: set = field(default_factory=set)
    zero_weights: tuple = ()
    settings: dict = field(default_factory=dict)

    @property
    def missing_losses(self):
        """Losses that a run of its YAML does not compute."""
        return self.losses.union(*(LOSSES_OF_WEIGHT[name] for name in self.zero_weights))

    @property
    def yaml(self):
        """Everything that its YAML sets, but for its name."""
        config = {"config": self.config} if self.config else {}
        return config | dict.fromkeys(self.zero_weights, 0) | self.settings


BOTH = ("adversarial_weight", "contrastive_weight")
GAN, LCL = BOTH
# By the names of configs/ablations.
ABLATIONS = {
    "speech_only": Ablation(
        {"modalities": ["speech"]}, {"text_encoder"} | FUSION | TASKS, TASK_LOSSES | ADVERSARIAL, BOTH
    ),
    "text_only": Ablation(
        {"modalities": ["text"], "auxiliary_tasks": []},
        {"speech_encoder"} | FUSION | TASKS,
        TASK_LOSSES | ADVERSARIAL,
        BOTH,
    ),
    "concat": Ablation(
        {"representations": [], "auxiliary_tasks": []},
        SPECIFIC | {"fusion.generator"} | TASKS,
        TASK_LOSSES | ADVERSARIAL,
        BOTH,
    ),
    "representations_only": Ablation({"auxiliary_tasks": []}, TASKS, TASK_LOSSES, BOTH),
    "without_specific": Ablation({"representations": ["invariant"]}, SPECIFIC, ADVERSARIAL, (GAN,)),
    "without_invariant": Ablation({"representations": ["specific"]}, INVARIANT, ADVERSARIAL, (GAN,)),
    "without_representations": Ablation({"representations": []}, SPECIFIC | {"fusion.generator"}, ADVERSARIAL, (GAN,)),
    "without_detection": Ablation(
        {"auxiliary_tasks": ["correction"], "max_correction_length": 64}, {"error_detector"}, {"error_detection"}
    ),
    "without_correction": Ablation({"auxiliary_tasks": ["detection"]}, {"error_corrector"}, {"error_correction"}),
    "without_auxiliary_tasks": Ablation({"auxiliary_tasks": []}, TASKS, TASK_LOSSES),
    "without_gan": Ablation(zero_weights=(GAN,)),
    "without_contrastive": Ablation(zero_weights=(LCL,)),
    "without_strategies": Ablation(zero_weights=BOTH),
    "human_transcripts": Ablation({"auxiliary_tasks": []}, TASKS, TASK_LOSSES, settings={"text_column": "transcript"}),
}
# Rows without a config of their own.
OTHERS = {
    "whole": Ablation(),
    "text_with_tasks": Ablation({"modalities": ["text"]}, {"speech_encoder"} | FUSION, ADVERSARIAL),
}
