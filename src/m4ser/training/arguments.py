"""The arguments of a training run: dataclasses, filled from a YAML file and the command line, in that order."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from importlib.util import find_spec
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import yaml
from transformers import HfArgumentParser

from m4ser.evaluation.protocols import PROTOCOLS
from m4ser.losses import WEIGHT_SYMBOLS
from m4ser.model.configuration_m4ser import MODALITIES
from m4ser.model.presets_m4ser import PRESETS
from m4ser.systems import SYSTEMS
from m4ser.training.config_files import config_file

MADE_ANEW = ("preset", "speech_encoder", "text_encoder")  # what a network is made of that is not a trained one's
TRACKERS = ("tensorboard", "trackio")
ON_NONFINITE = ("stop", "skip")
PRECISIONS = ("no", "bf16", "fp16")
LOSS_REDUCTIONS = ("mean", "sum")
LAST_EPOCH = "last"
SELECTION_METRICS = ("unweighted_accuracy", "weighted_accuracy", "weighted_f1", LAST_EPOCH)


@dataclass
class ModelArguments:
    """The network: a preset from scratch, pretrained encoders for its modalities, or a trained model."""

    preset: str | None = field(
        default=None, metadata={"help": f"size of a model from scratch: {', '.join(PRESETS)}; by default base"}
    )
    speech_encoder: str | None = field(default=None, metadata={"help": "pretrained speech encoder, folder or Hub id"})
    text_encoder: str | None = field(default=None, metadata={"help": "pretrained text encoder, folder or Hub id"})
    # A mapping once it is read; the other types are what the command line gives.
    config: dict | str | None = field(
        default=None, metadata={"help": "fields of the system's config to change, as JSON"}
    )
    system: str = field(default="m4ser", metadata={"help": f"network to train: {', '.join(SYSTEMS)}"})

    init_from: str | None = field(
        default=None, metadata={"help": "trained model to start from, a run's folder or Hub id, tokenizer included"}
    )

    def __post_init__(self) -> None:
        _choose("system", self.system, SYSTEMS)
        if self.init_from is None:
            self.preset = self.preset or "base"
        elif given := next((name for name in MADE_ANEW if getattr(self, name) is not None), None):
            raise ValueError(f"--init_from brings its own network; leave --{given} out.")
        self.config = _as_mapping(self.config)

    @property
    def fields(self) -> dict[str, Any]:
        """`config` as the mapping that it is."""
        return _as_mapping(self.config)


@dataclass
class DataArguments:
    """The corpus and how its text is normalized."""

    dataset: str = field(default="", metadata={"help": "folder of a builder, or Hub id"})
    protocol: str = field(
        default="held_out", metadata={"help": f"which recordings are tested: {', '.join(PROTOCOLS)}"}
    )
    fold: str | None = field(default=None, metadata={"help": "of a protocol with folds: from 1, or all, one by one"})
    shots: int | None = field(
        default=None, metadata={"help": "train on so many recordings an emotion of the validation split (Table IX)"}
    )
    text_column: str = field(
        default="hypothesis",
        metadata={"help": "hypothesis, transcript (Table VI), or own: what the network transcribes"},
    )
    allow_missing_text: bool = field(
        default=False, metadata={"help": "train although more than 1 %% of a split has no text"}
    )
    normalization: str = field(
        default="none", metadata={"help": "of both texts: none (the tokenizer's own) or basic (a-z, 0-9)"}
    )
    vocabulary_size: int = field(default=512, metadata={"help": "of the tokenizer trained for a preset"})
    asr_model_id: str | None = field(
        default=None, metadata={"help": "ASR model that made the hypotheses; by default what the dataset names"}
    )
    max_seconds: float = field(default=30.0, metadata={"help": "a longer recording is cut to a window of this length"})
    augment_speed: float = field(default=0.0, metadata={"help": "largest change of speed, 0.1 for 10 %%"})
    augment_noise: float = field(default=0.0, metadata={"help": "share of recordings with noise"})
    augment_crop: float = field(default=0.0, metadata={"help": "largest share cut off a recording"})
    augment_mask: float = field(default=0.0, metadata={"help": "share of the hypothesis's tokens that are masked"})

    def __post_init__(self) -> None:
        if self.fold is not None and self.fold != "all":
            if not str(self.fold).isdecimal():
                raise ValueError(f"--fold is a number from 1 or all, not {self.fold}.")
            self.fold = int(self.fold)  # type: ignore[assignment]  # a string to the command line's parser only


def _weight(name: str, default: float, text: str) -> float:
    return field(default=default, metadata={"help": f"{WEIGHT_SYMBOLS[name]} of eq. 22, weight of {text}"})


@dataclass
class ObjectiveArguments:
    """The weights of eq. 22, Table I's by default, and what the losses leave open."""

    auxiliary_weight: float = _weight("auxiliary_weight", 0.1, "both auxiliary tasks")
    detection_weight: float = _weight("detection_weight", 3.0, "error detection within them")
    adversarial_weight: float = _weight("adversarial_weight", 0.01, "the adversarial loss; 0 builds no discriminator")
    contrastive_weight: float = _weight("contrastive_weight", 0.1, "the contrastive loss")
    recognition_weight: float = field(
        default=0.1, metadata={"help": "weight of the CTC loss, where auxiliary_tasks has recognition"}
    )
    temperature: float = field(default=0.07, metadata={"help": "tau of the contrastive loss"})
    contrastive_include_self: bool = field(
        default=False,
        metadata={"help": "read A(i) of eq. 21 literally, as all samples, i among them; by default all but i"},
    )
    loss_reduction: str = field(
        default="mean",
        metadata={"help": "mean, or sum as the paper writes eq. 3, 7, 19 and 21, over the recordings of a step"},
    )

    def __post_init__(self) -> None:
        _choose("loss_reduction", self.loss_reduction, LOSS_REDUCTIONS)


@dataclass
class TrainingArguments:
    """The run; the defaults are Table I's and Sec. IV-B's."""

    output_dir: str = field(default="", metadata={"help": "folder of the run"})
    name: str | None = field(default=None, metadata={"help": "of the run in tables; the folder's by default"})
    epochs: int = 100
    batch_size: int = field(default=16, metadata={"help": "recordings a device and batch"})
    max_batch_seconds: float | None = field(
        default=None, metadata={"help": "most seconds of audio a device and batch, padding included"}
    )
    gradient_accumulation_steps: int = field(default=1, metadata={"help": "batches of one optimizer step"})
    learning_rate: float = 1e-5
    learning_rates: dict | str | None = field(
        default=None,
        metadata={"help": 'of single parts, as JSON: {"speech_encoder": 1e-5, "text_encoder": 0}; 0 freezes a part'},
    )
    lora_rank: int = field(
        default=0,
        metadata={"help": "of adapters trained instead of the encoders (LoRA), merged when saved; needs peft"},
    )
    schedule: str = field(default="constant", metadata={"help": "of both optimizers; a name of transformers"})
    warmup_steps: int = 0
    weight_decay: float = 0.0
    max_grad_norm: float = field(default=1.0, metadata={"help": "0 for no clipping"})
    mixed_precision: str | None = field(
        default=None, metadata={"help": "no, bf16 or fp16; by default what accelerate was launched with"}
    )
    gradient_checkpointing: bool = field(
        default=False, metadata={"help": "compute the encoders' activations again instead of keeping them"}
    )
    cache_features: bool = field(
        default=False,
        metadata={"help": "keep a frozen speech encoder's frames on disk instead of computing them again"},
    )
    num_workers: int = field(default=0, metadata={"help": "processes that load recordings ahead"})
    selection_metric: str = field(
        default="unweighted_accuracy",
        metadata={"help": f"of the validation split, chooses the epoch that is kept: {', '.join(SELECTION_METRICS)}"},
    )
    overwrite: bool = field(default=False, metadata={"help": "begin anew in a folder that holds a run, which is lost"})
    resume: bool = field(default=False, metadata={"help": "resume from the last checkpoint in output_dir"})
    checkpoint_steps: int = field(
        default=0, metadata={"help": "steps between checkpoints; 0 for none within an epoch"}
    )
    checkpoint_epochs: int = field(
        default=1, metadata={"help": "epochs between checkpoints; 0 for none after an epoch"}
    )
    keep_checkpoints: int | None = field(
        default=None,
        metadata={"help": "how many of the newest stay, in a finished run too; by default two until it is finished"},
    )
    on_nonfinite: str = field(default="stop", metadata={"help": "where a loss is NaN or infinite: stop or skip"})
    log_with: list[str] | None = field(default=None, metadata={"help": f"besides CSV: {', '.join(TRACKERS)}"})
    project: str | None = field(default=None, metadata={"help": "of the trackers; the folder's name by default"})
    seed: int = 0
    seeds: list[int] | None = field(default=None, metadata={"help": "several runs, a seed each"})

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "gradient_accumulation_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} is at least 1, not {getattr(self, name)}.")
        if self.lora_rank < 0:
            raise ValueError(f"--lora_rank is at least 1, or 0 for no adapters, not {self.lora_rank}.")
        if self.overwrite and self.resume:
            raise ValueError("--resume keeps the run that is there, --overwrite begins anew: leave one of them out.")
        _choose("selection_metric", self.selection_metric, SELECTION_METRICS)
        _choose("on_nonfinite", self.on_nonfinite, ON_NONFINITE)
        if self.mixed_precision is False:  # how YAML reads an unquoted no
            self.mixed_precision = "no"
        if self.mixed_precision is not None:
            _choose("mixed_precision", self.mixed_precision, PRECISIONS)
        if self.keep_checkpoints is not None and self.keep_checkpoints < 1:
            raise ValueError("keep_checkpoints is at least 1; leave it out to remove them when the run is finished.")
        for tracker in self.log_with or ():
            _choose("log_with", tracker, TRACKERS)
            if find_spec(tracker) is None:
                raise ValueError(f"--log_with {tracker} needs {tracker}: pip install {tracker}.")
        self.learning_rates = _as_mapping(self.learning_rates)

    @property
    def rates(self) -> dict[str, float]:
        """`learning_rates` as the mapping that they are."""
        return _as_mapping(self.learning_rates)


def _as_mapping(given: dict | str | None) -> dict[str, Any]:
    values = json.loads(given) if isinstance(given, str) else given or {}
    if not isinstance(values, dict):
        raise ValueError(f"{values!r} is no mapping of names to values.")
    return values


def _choose(name: str, value: str, choices: Iterable[str]) -> None:
    if value not in choices:
        raise ValueError(f"{name} is one of {', '.join(choices)}, not {value}.")


@dataclass
class Arguments:
    """All four together."""

    model: ModelArguments = field(default_factory=ModelArguments)
    data: DataArguments = field(default_factory=DataArguments)
    objective: ObjectiveArguments = field(default_factory=ObjectiveArguments)
    training: TrainingArguments = field(default_factory=TrainingArguments)

    def __post_init__(self) -> None:
        if not self.data.dataset:
            raise ValueError("No dataset: give --dataset FOLDER, as m4ser build makes it.")
        if not self.training.output_dir:
            raise ValueError("Nowhere to write: give --output_dir FOLDER.")
        given = {"speech": self.model.speech_encoder, "text": self.model.text_encoder}
        missing = [name for name in self.model.fields.get("modalities", MODALITIES) if given[name] is None]
        if missing and any(given.values()):
            raise ValueError(f"Give {missing[0]}_encoder too, or no encoder at all for a preset from scratch.")

    def as_dict(self) -> dict[str, dict[str, Any]]:
        return {group.name: asdict(getattr(self, group.name)) for group in fields(self)}


GROUPS: list[Any] = [ModelArguments, DataArguments, ObjectiveArguments, TrainingArguments]
MAPPINGS = ("config", "learning_rates")


def parse_arguments(argv: Sequence[str]) -> Arguments:
    """Read `[CONFIG.yaml ...] [--name value ...]`: each file on top of those before it, then the command line.

    Raises:
        ValueError: a config file that is not there, or a name in it that no argument has.
    """
    parser = HfArgumentParser(GROUPS, description="Train a system (Alg. 1).")
    parser.add_argument("configs", nargs="*", help="YAML files of the arguments below, such as configs/ravdess.yaml")
    # Taken before this parser sees them (`m4ser.training.main`); here for --help.
    parser.add_argument("--table", help="YAML file of a table's rows, such as configs/tables/table_4.yaml: train each")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    given, unknown = parser.parse_known_args(argv)
    if unknown:
        raise ValueError(f"There is no option {unknown[0]}; see train.py --help.")
    known = {item.name for group in GROUPS for item in fields(group)}
    values: dict[str, Any] = {}
    for path in given.configs:
        values = _merge(values, read_config(config_file(path), known))
    if given.init_from is not None:  # on top of the files, instead of what they make a network of
        values = {name: value for name, value in values.items() if name not in MADE_ANEW}
    for name in MAPPINGS:
        if getattr(given, name) is not None:
            values = _merge(values, {name: _read_json(name, getattr(given, name))})
    _check_kinds(values)
    parser.set_defaults(**values)
    model, data, objective, training, _ = parser.parse_args_into_dataclasses(argv)
    model.config, training.learning_rates = (values.get(name, {}) for name in MAPPINGS)
    return Arguments(model, data, objective, training)


def _read_json(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"--{name} is no JSON: {error}.") from error


def read_config(path: Path, known: Iterable[str]) -> dict[str, Any]:
    """Return a YAML file's arguments, each of which must be `known`."""
    if not path.is_file():
        raise ValueError(f"There is no config file {path}.")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} has no arguments, each as name: value.")
    values = {str(name): value for name, value in values.items()}
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ValueError(f"{path}: there is no argument {', '.join(unknown)}; see train.py --help.")
    return values


def _check_kinds(values: dict[str, Any]) -> None:
    """Refuse what is of another kind than its argument; a string is read as on the command line."""
    for group in GROUPS:
        for name, hint in get_type_hints(group).items():
            kinds = get_args(hint) if get_origin(hint) is UnionType else (hint,)
            if name in values and not any(_is_of_kind(values[name], kind) for kind in (*kinds, str)):
                raise ValueError(f"{name} cannot be {values[name]!r}; see train.py --help.")


def _is_of_kind(value: Any, kind: Any) -> bool:
    if get_origin(kind) is list:
        return isinstance(value, list) and all(_is_of_kind(item, *get_args(kind)) for item in value)
    # YAML reads no as a boolean, and 1 as a number, of which a fold and a rate are one, too.
    accepted = {str: str | int, float: float | int}
    return isinstance(value, accepted.get(kind, kind))


def _merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Mappings are merged key by key; lists and values are replaced."""
    merged = dict(base)
    for key, value in changes.items():
        nested = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = _merge(base[key], value) if nested else value
    return merged
