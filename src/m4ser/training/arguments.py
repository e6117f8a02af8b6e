"""What a training run is told: dataclasses, filled from a YAML file and the command line, in that order."""

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import yaml
from transformers import HfArgumentParser

from m4ser.evaluation.protocols import PROTOCOLS
from m4ser.model.configuration_m4ser import MODALITIES, PRESETS

SELECTION_METRICS = ("unweighted_accuracy", "weighted_accuracy", "weighted_f1")


@dataclass
class ModelArguments:
    """The network: a preset from scratch, or pretrained encoders for its modalities."""

    preset: str = field(default="base", metadata={"help": f"size of a model from scratch: {', '.join(PRESETS)}"})
    speech_encoder: str | None = field(default=None, metadata={"help": "pretrained speech encoder, folder or Hub id"})
    text_encoder: str | None = field(default=None, metadata={"help": "pretrained text encoder, folder or Hub id"})
    config: dict | str | None = field(default=None, metadata={"help": "fields of M4SERConfig to change, as JSON"})

    def __post_init__(self):
        self.config = json.loads(self.config) if isinstance(self.config, str) else dict(self.config or {})


@dataclass
class DataArguments:
    """The corpus and how its text is read."""

    dataset: str | None = field(default=None, metadata={"help": "folder of a builder, or Hub id"})
    protocol: str = field(default="held_out", metadata={"help": f"who is tested: {', '.join(PROTOCOLS)}"})
    fold: int | None = field(default=None, metadata={"help": "of a protocol with folds, from 1"})
    text_column: str = field(default="hypothesis", metadata={"help": "hypothesis, or transcript (Table VI)"})
    normalization: str = field(default="none", metadata={"help": "of both texts: none or basic"})
    vocabulary_size: int = field(default=512, metadata={"help": "of the tokenizer trained for a preset"})
    asr_model_id: str | None = field(default=None, metadata={"help": "recogniser that made the hypotheses"})
    augment_speed: float = field(default=0.0, metadata={"help": "largest change of speed, 0.1 for 10 %%"})
    augment_noise: float = field(default=0.0, metadata={"help": "share of recordings with noise"})
    augment_crop: float = field(default=0.0, metadata={"help": "largest share cut off a recording"})
    augment_mask: float = field(default=0.0, metadata={"help": "share of the hypothesis's tokens that are hidden"})


@dataclass
class ObjectiveArguments:
    """The weights of eq. 22; the defaults are Table I's."""

    alpha: float = field(default=0.1, metadata={"help": "weight of both auxiliary tasks"})
    beta: float = field(default=3.0, metadata={"help": "weight of error detection within them"})
    gamma: float = field(default=0.01, metadata={"help": "weight of the adversarial loss; 0 builds no discriminator"})
    lambda_: float = field(default=0.1, metadata={"help": "weight of the contrastive loss"})
    temperature: float = field(default=0.07, metadata={"help": "tau of the contrastive loss"})


@dataclass
class TrainingArguments:
    """The run; the defaults are Table I's and Sec. IV-B's."""

    output_dir: str | None = field(default=None, metadata={"help": "folder of the run"})
    name: str | None = field(default=None, metadata={"help": "of the run in tables; the folder's by default"})
    epochs: int = 100
    batch_size: int = field(default=16, metadata={"help": "recordings a device and step"})
    learning_rate: float = 1e-5
    schedule: str = field(default="constant", metadata={"help": "of both optimizers; a name of transformers"})
    warmup_steps: int = 0
    weight_decay: float = 0.0
    max_grad_norm: float = field(default=1.0, metadata={"help": "0 for no clipping"})
    gradient_accumulation_steps: int = 1
    mixed_precision: str = field(default="no", metadata={"help": "no, bf16 or fp16"})
    selection_metric: str = field(
        default="unweighted_accuracy", metadata={"help": f"chooses the best epoch: {', '.join(SELECTION_METRICS)}"}
    )
    resume: bool = field(default=False, metadata={"help": "go on from the last checkpoint in output_dir"})
    seed: int = 0

    def __post_init__(self):
        if self.selection_metric not in SELECTION_METRICS:
            raise ValueError(
                f"selection_metric is one of {', '.join(SELECTION_METRICS)}, not {self.selection_metric}."
            )


@dataclass
class Arguments:
    """All four together."""

    model: ModelArguments = field(default_factory=ModelArguments)
    data: DataArguments = field(default_factory=DataArguments)
    objective: ObjectiveArguments = field(default_factory=ObjectiveArguments)
    training: TrainingArguments = field(default_factory=TrainingArguments)

    def __post_init__(self):
        if not self.data.dataset:
            raise ValueError("No data set: give --dataset FOLDER, as one of datasets_builders makes it.")
        if not self.training.output_dir:
            raise ValueError("Nowhere to write: give --output_dir FOLDER.")
        given = {"speech": self.model.speech_encoder, "text": self.model.text_encoder}
        missing = [name for name in self.model.config.get("modalities", MODALITIES) if given[name] is None]
        if missing and any(given.values()):
            raise ValueError(f"Give {missing[0]}_encoder too, or no encoder at all for a preset from scratch.")

    def as_dict(self):
        return {group.name: asdict(getattr(self, group.name)) for group in fields(self)}


GROUPS = (ModelArguments, DataArguments, ObjectiveArguments, TrainingArguments)


def parse_arguments(argv):
    """Read `[CONFIG.yaml ...] [--name value ...]`: each file on top of those before it, then the command line.

    Raises:
        ValueError: a config file that is not there, or a name in it that no argument has.
    """
    parser = HfArgumentParser(GROUPS, description="Train M4SER (Alg. 1).")
    parser.add_argument("configs", nargs="*", help="YAML files of the arguments below, such as configs/ravdess.yaml")
    given, unknown = parser.parse_known_args(argv)
    if unknown:
        raise ValueError(f"There is no option {unknown[0]}; see train.py --help.")
    known = {item.name for group in GROUPS for item in fields(group)}
    values = {}
    for path in given.configs:
        values = _merge(values, read_config(Path(path), known))
    if given.config is not None:
        values = _merge(values, {"config": json.loads(given.config)})
    parser.set_defaults(**values)
    model, *groups, _ = parser.parse_args_into_dataclasses(argv)
    model.config = values.get("config", {})
    return Arguments(model, *groups)


def read_config(path, known):
    """A YAML file's arguments, each of which must be `known`."""
    if not path.is_file():
        raise ValueError(f"There is no config file {path}.")
    values = yaml.safe_load(path.read_text()) or {}
    unknown = sorted(set(values) - known)
    if unknown:
        raise ValueError(f"{path}: there is no argument {', '.join(unknown)}; see train.py --help.")
    return values


def _merge(base, changes):
    """Mappings are merged key by key; lists and values are replaced."""
    merged = dict(base)
    for key, value in changes.items():
        nested = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = _merge(base[key], value) if nested else value
    return merged
