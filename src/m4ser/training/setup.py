"""From arguments to what is trained: the corpus with its labels, the processor, the network and its devices."""

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np
import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import set_seed
from transformers import (
    AutoFeatureExtractor,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Wav2Vec2FeatureExtractor,
)

from m4ser.data.coverage import check_coverage, describe_coverage
from m4ser.data.labels import MAX_CORRECTION_LENGTH, add_labels
from m4ser.data.loading import load_dataset
from m4ser.data.schema import OWN_TEXT, DataError
from m4ser.data.tokenizer import check_letters, train_tokenizer, with_normalization, with_prefix_space
from m4ser.environment import multiplies_bfloat16
from m4ser.evaluation.protocols import Partition, k_shot, partition
from m4ser.losses import check_objective
from m4ser.model.asr_m4ser import OWN_ASR
from m4ser.model.base_m4ser import EmotionModel
from m4ser.model.configuration_m4ser import MODALITIES, EmotionConfig, refuse_unknown_fields
from m4ser.model.processing_m4ser import M4SERProcessor
from m4ser.model.recognition_m4ser import has_recognition_head, vocabulary_of
from m4ser.sources import refuse_missing
from m4ser.systems import SYSTEMS
from m4ser.training.adapters import add_adapters
from m4ser.training.arguments import Arguments, DataArguments
from m4ser.training.features import add_speech_states, check_cacheable
from m4ser.training.initial import initial_model, initial_processor
from m4ser.training.whisper import check_length, freeze_whisper


@dataclass
class Experiment:
    """The parts of one run: `corpus` by split, label columns included; `partition` says how it was split."""

    corpus: datasets.DatasetDict
    processor: M4SERProcessor
    model: EmotionModel
    partition: Partition


ASR_COLUMN = "asr_model_id"
COLUMNS_WITH_TEXT = ("hypothesis", "transcript")
TEXT_COLUMNS = (*COLUMNS_WITH_TEXT, OWN_TEXT)
# Arguments that may differ between a run and the one that resumes from its checkpoints.
MUTABLE_ON_RESUME = {
    "output_dir",
    "name",
    "dataset",
    "epochs",
    "resume",
    "overwrite",
    "seeds",
    "fold",
    "checkpoint_steps",
    "checkpoint_epochs",
    "keep_checkpoints",
    "on_nonfinite",
    "log_with",
    "project",
    "num_workers",
    "cache_features",
    "batch_size",
}


def build_accelerator(arguments: Arguments) -> Accelerator:
    """Return Accelerate's view of the machine; it accumulates nothing by itself, for `train_step` does.

    Raises:
        ValueError: another precision than it was launched with, fp16 on a CPU, or it was launched to compile region
            by region.
    """
    options = arguments.training
    launched_precision = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")  # no is its default, and contradicts none
    precision = options.mixed_precision or launched_precision
    if launched_precision not in ("no", precision):
        raise ValueError(
            f"accelerate was launched with --mixed_precision {launched_precision}, train.py was given {precision}: "
            "leave one of them out."
        )
    set_seed(options.seed)
    accelerator = Accelerator(
        cpu=not torch.accelerator.is_available(),  # without it, several processes on a CPU do not know of each other
        mixed_precision=precision,
        log_with=options.log_with,
        project_dir=options.output_dir,
    )
    if accelerator.mixed_precision == "fp16" and accelerator.device.type == "cpu":
        raise ValueError("fp16 needs a GPU; on a CPU, train with --mixed_precision bf16 or no.")
    if accelerator.mixed_precision == "bf16" and accelerator.device.type == "cpu" and not multiplies_bfloat16():
        warnings.warn("This processor does not multiply bf16: --mixed_precision no is faster here.", stacklevel=2)
    if accelerator.state.dynamo_plugin.use_regional_compilation:
        # accelerate takes the list of a weight's parametrizations, which HuBERT's position embedding has, for layers.
        raise ValueError("HuBERT cannot be compiled region by region; leave --dynamo_use_regional_compilation out.")
    return accelerator


def seed_step(seed: int, step: int, accelerator: Accelerator) -> None:
    """Draw dropout from (seed, step, process) alone, so that a resumed run draws what the whole one did."""
    set_seed(int(np.random.SeedSequence((seed, step, accelerator.process_index)).generate_state(1)[0]))


def run_identity(arguments: Arguments, experiment: Experiment, accelerator: Accelerator) -> dict[str, Any]:
    """Return all that a run's checkpoints depend on, as a flat mapping."""
    groups = arguments.as_dict().values()
    identity = {name: value for group in groups for name, value in group.items() if name not in MUTABLE_ON_RESUME}
    return identity | {
        "mixed_precision": accelerator.mixed_precision,
        "recordings a batch": arguments.training.batch_size * accelerator.num_processes,
        "protocol": experiment.partition.name,
        "training recordings": len(experiment.corpus["train"]),
        "emotions": experiment.corpus["train"].features["emotion"].names,
    }


def build_experiment(arguments: Arguments, device: torch.device | str = "cpu") -> Experiment:
    """Load the corpus, make or load the tokenizer, build the network and label the ASR errors.

    Args:
        arguments: [`Arguments`]. device: where features are computed that are to be cached.

    Raises:
        DataError: no such dataset, a split or hypotheses missing, splits that share what they must not.
    """
    for name in ("init_from", "speech_encoder", "text_encoder"):
        if (source := getattr(arguments.model, name)) is not None:
            refuse_missing(source, f"--{name}")
    if arguments.training.cache_features:
        check_cacheable(arguments)
    encodes_text = "text" in arguments.model.fields.get("modalities", MODALITIES)
    parts = load_corpus(arguments.data, arguments.training.seed, encodes_text)
    corpus = parts.splits
    processor = build_processor(arguments, corpus["train"])
    model = build_model(
        arguments, processor.tokenizer, corpus["train"].features["emotion"].names, corpus["train"]["transcript"]
    )
    refuse_unknown_fields(model.config, arguments.model.fields)
    check_parts(model, arguments.training.rates)
    check_length(model, arguments.data)
    check_objective(arguments.objective, getattr(model.config, "auxiliary_tasks", ()))
    check_recognition(arguments, model, corpus["train"])
    corpus = add_error_labels(corpus, processor.tokenizer, model.config)
    if arguments.training.cache_features:
        corpus = add_speech_states(corpus, model, processor, arguments.data.max_seconds, device)
    return Experiment(corpus, processor, model, parts)


def add_error_labels(
    corpus: datasets.DatasetDict, tokenizer: PreTrainedTokenizerBase, config: EmotionConfig
) -> datasets.DatasetDict:
    """Add the label columns of the auxiliary tasks, as long as the network's; a system without tasks ignores them."""
    rewrite = "detection" not in getattr(config, "auxiliary_tasks", ("detection",))
    length = getattr(config, "max_correction_length", MAX_CORRECTION_LENGTH)
    return add_labels(corpus, tokenizer, tokenizer.model_max_length, length, rewrite=rewrite)


def load_corpus(arguments: DataArguments, seed: int = 0, encodes_text: bool = True) -> Partition:
    """Load the three splits of a dataset by the protocol that the arguments name.

    Args:
        arguments: [`DataArguments`]. seed: draws shots. encodes_text: whether the network needs texts.

    Raises:
        DataError: what is trained on is missing, texts among it, or has one emotion only.
    """
    if arguments.text_column not in TEXT_COLUMNS:
        raise DataError(f"text_column is one of {', '.join(TEXT_COLUMNS)}, not {arguments.text_column!r}.")
    encodes_text = encodes_text and arguments.text_column != OWN_TEXT
    corpus = load_dataset(arguments.dataset)
    if encodes_text and not arguments.allow_missing_text:
        _refuse_without_text(corpus, arguments)
    if arguments.text_column == "transcript":
        corpus = datasets.DatasetDict(
            {split: _replace_hypothesis(rows, arguments.text_column) for split, rows in corpus.items()}
        )
    fold = arguments.fold if isinstance(arguments.fold, int) else None  # "all" has become its folds
    parts = partition(corpus, arguments.protocol, fold)
    if arguments.shots:
        parts = k_shot(parts, arguments.shots, seed)
    if encodes_text:
        _check_texts(parts.splits, arguments)
    names, trained = parts.splits["train"].features["emotion"].names, set(parts.splits["train"]["emotion"])
    if len(trained) < 2:
        raise DataError(f"{arguments.dataset}: all recordings of the training split have the same emotion.")
    if absent := [name for label, name in enumerate(names) if label not in trained]:
        PartialState().print(f"The training split has no recording of {', '.join(absent)}.")
    return parts


def _refuse_without_text(corpus: datasets.DatasetDict, arguments: DataArguments) -> None:
    """Refuse a dataset without a text in the column that is trained on, and say what can be trained on it."""
    given = {column for column in COLUMNS_WITH_TEXT for rows in corpus.values() if set(rows[column]) - {None}}
    if arguments.text_column in given:
        return
    if arguments.text_column == "hypothesis":
        ways = ["transcribe it with m4ser transcribe and build it again with --hypotheses"]
        other = "train on its transcripts by --text_column transcript"
    else:
        ways, other = [], "train on its hypotheses by leaving --text_column out"
    ways += [other] if given else []
    ways += ["train a network of speech alone by configs/ablations/speech_only.yaml"]
    raise DataError(
        f"{arguments.dataset} has no {arguments.text_column}: {', '.join(ways)}, or train the whole network without "
        "text by --allow_missing_text true."
    )


def _check_texts(splits: datasets.DatasetDict, arguments: DataArguments) -> None:
    """Print how many texts each split has; refuse too few unless the arguments allow it."""
    texts = {split: rows["hypothesis"] for split, rows in splits.items()}
    counts = {split: (sum(text is not None for text in column), len(column)) for split, column in texts.items()}
    column = arguments.text_column
    PartialState().print(f"{column} for {describe_coverage(counts)}")
    if not arguments.allow_missing_text:
        make = "transcribe the rest with m4ser transcribe" if column == "hypothesis" else "give the others one"
        check_coverage(counts, column, f"{make}, or train all the same by --allow_missing_text true.")


def check_parts(model: EmotionModel, learning_rates: Mapping[str, float]) -> None:
    """Refuse a learning rate for a part that the model does not have."""
    for name in learning_rates:
        if name not in dict(model.named_modules()):
            parts = ", ".join(part for part, _ in model.named_children())
            raise ValueError(f"learning_rates: the model has no part {name}; it has {parts}, and parts of these.")


def _replace_hypothesis(rows: datasets.Dataset, column: str) -> datasets.Dataset:
    """Put another column in the position of the hypothesis, such as the human transcript (Table VI)."""
    texts = rows[column]
    rows = rows.remove_columns([name for name in ("hypothesis", "word_confidences") if name in rows.column_names])
    return rows.add_column("hypothesis", texts, feature=datasets.Value("string"))


def build_processor(arguments: Arguments, train_split: datasets.Dataset) -> M4SERProcessor:
    """Load a trained model's, or pretrained parts; else train a tokenizer on the training split's own texts."""
    model, data = arguments.model, arguments.data
    texts = [text for column in COLUMNS_WITH_TEXT for text in train_split[column] if text]
    if model.init_from is not None:
        processor = initial_processor(arguments)
        processor.asr_model_id = asr_model_id(arguments, train_split) or processor.asr_model_id
        _print_lost_letters(texts, processor.tokenizer, "start from a model of such texts, or without --init_from")
        return processor
    tokenizer: PreTrainedTokenizerBase
    if model.text_encoder is None:
        tokenizer = train_tokenizer(texts, data.vocabulary_size, data.normalization)
    else:
        pretrained = with_prefix_space(AutoTokenizer.from_pretrained(model.text_encoder, trust_remote_code=False))
        tokenizer = with_normalization(pretrained, data.normalization)
    _print_lost_letters(
        texts,
        tokenizer,
        "choose another text encoder" if data.normalization == "none" else "choose normalization none",
    )
    if model.speech_encoder is None:
        feature_extractor = Wav2Vec2FeatureExtractor(return_attention_mask=True)
    else:
        feature_extractor = AutoFeatureExtractor.from_pretrained(model.speech_encoder, trust_remote_code=False)
    return M4SERProcessor(feature_extractor, tokenizer, asr_model_id=asr_model_id(arguments, train_split))


def asr_model_id(arguments: Arguments, train_split: datasets.Dataset) -> str | None:
    """Return the ASR model that the arguments name, else the one that made all hypotheses that the network encodes.

    Of several none, which is printed where the network does not transcribe for itself.
    """
    data = arguments.data
    encodes_text = "text" in arguments.model.fields.get("modalities", MODALITIES)
    if data.text_column == OWN_TEXT:
        return OWN_ASR
    if data.asr_model_id or not encodes_text or data.text_column != "hypothesis":
        return data.asr_model_id
    if ASR_COLUMN not in train_split.column_names:  # a dataset of an earlier version
        return None
    models = sorted({name for name in train_split[ASR_COLUMN] if name})
    if len(models) > 1 and "recognition" not in arguments.model.fields.get("auxiliary_tasks", ()):
        PartialState().print(f"The hypotheses are of several ASR models, {', '.join(models)}: give --asr_model_id.")
    return models[0] if len(models) == 1 else None


def _print_lost_letters(texts: Iterable[str], tokenizer: PreTrainedTokenizerBase, remedy: str) -> None:
    for sentence in check_letters(texts, tokenizer, remedy):
        PartialState().print(sentence)


def check_recognition(arguments: Arguments, model: EmotionModel, rows: datasets.Dataset) -> None:
    """Refuse to train the recognition of recordings that have no transcript, or not the whole of it.

    And to train a network on its own hypotheses that makes none.

    Raises:
        ValueError: saying what to leave out.
    """
    data = arguments.data
    if not model.can_transcribe:
        if data.text_column == OWN_TEXT:
            raise ValueError('--text_column own needs the auxiliary task "recognition" in the config.')
        return
    if not any(rows["transcript"]):
        raise DataError(
            f'{data.dataset} has no transcript for the auxiliary task "recognition": leave it out of the config.'
        )
    if data.augment_crop:
        raise ValueError(
            'The auxiliary task "recognition" learns whole transcripts: set --augment_crop, which cuts them, to 0.'
        )


def build_model(
    arguments: Arguments,
    tokenizer: PreTrainedTokenizerBase,
    labels: Sequence[str],
    transcripts: Sequence[str | None] = (),
) -> EmotionModel:
    """Build the network for these labels and this tokenizer, whose length limit is set to the text encoder's.

    Args:
        transcripts: of the training recordings, whose characters a new CTC head can recognize.
    """
    system = SYSTEMS[arguments.model.system]
    fields = {
        "id2label": dict(enumerate(labels)),
        **system.config_class.tokenizer_fields(tokenizer),
        **_vocabulary_field(arguments, transcripts),
        **arguments.model.fields,
    }
    if arguments.model.init_from is not None:
        model = initial_model(arguments, labels)
    elif arguments.model.speech_encoder is not None or arguments.model.text_encoder is not None:
        model = system.from_encoders(arguments.model.speech_encoder, arguments.model.text_encoder, **fields)
    else:
        vocabulary = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
        fields["text_config"] = {**vocabulary, **fields.get("text_config", {})}
        model = system(system.config_class.preset(arguments.model.preset or "base", **fields))
    if model.config.num_labels != len(labels):
        raise ValueError(f"The config has {model.config.num_labels} emotions, the dataset {len(labels)}.")
    if model.speech_encoder is not None:
        _freeze_unused(model.speech_encoder.encoder)
        freeze_whisper(model, arguments.training)
    if arguments.training.lora_rank:
        add_adapters(model, arguments.training.lora_rank)
    if arguments.training.gradient_checkpointing:
        # Transformers renames it.
        enable = getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)
        enable({"use_reentrant": False})
    if model.text_encoder is not None and model.text_encoder.max_length is not None:
        tokenizer.model_max_length = min(tokenizer.model_max_length, model.text_encoder.max_length)
    return model


def _vocabulary_field(arguments: Arguments, transcripts: Sequence[str | None]) -> dict[str, Any]:
    """Return the config's field of a new CTC head; none where the speech encoder brings one, or none is wanted."""
    encoder_id = arguments.model.speech_encoder
    if "recognition" not in arguments.model.fields.get("auxiliary_tasks", ()):
        return {}
    if encoder_id is not None and has_recognition_head(encoder_id):
        return {}
    return {"recognition_vocabulary": vocabulary_of(transcripts)}


def _freeze_unused(encoder: PreTrainedModel) -> None:
    """Freeze the mask embedding, unused without SpecAugment: several processes would wait for its gradient."""
    masks = encoder.config.mask_time_prob > 0
    if not masks and hasattr(encoder, "masked_spec_embed"):
        encoder.masked_spec_embed.requires_grad_(False)
