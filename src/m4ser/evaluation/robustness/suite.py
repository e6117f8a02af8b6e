"""Every perturbation on one model and split: predicted, scored and measured against the criteria."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from m4ser.data.schema import OWN_TEXT, DataError
from m4ser.evaluation.metrics import evaluate_predictions
from m4ser.evaluation.robustness import audio_perturbations, text_perturbations
from m4ser.evaluation.robustness.criteria import all_criteria, with_chance
from m4ser.evaluation.run_data import select_rows
from m4ser.evaluation.scoring import check_columns, check_labels, known_labels
from m4ser.model.audio_m4ser import load_audio
from m4ser.model.pipeline_m4ser import M4SERPipeline

Perturbation = Callable[..., np.ndarray]  # a function of audio_perturbations
SMALL: dict[str, Perturbation] = {
    "tone": audio_perturbations.tone,
    "zeros appended": audio_perturbations.append_zeros,
    "zeros prepended": audio_perturbations.prepend_zeros,
    "beginning cropped": audio_perturbations.crop_beginning,
    "end cropped": audio_perturbations.crop_end,
    "clipped": audio_perturbations.clip,
    "gain": audio_perturbations.gain,
    "high-pass": audio_perturbations.highpass,
    "low-pass": audio_perturbations.lowpass,
    "white noise": audio_perturbations.faint_white_noise,
}
NOISES: dict[str, Perturbation] = {
    "babble": audio_perturbations.babble,
    "cough": audio_perturbations.cough,
    "environment": audio_perturbations.environment,
    "music": audio_perturbations.music,
    "sneeze": audio_perturbations.sneeze,
    "white noise": audio_perturbations.white_noise,
}
ROOMS: dict[str, tuple[Perturbation, Perturbation]] = {
    "room": (audio_perturbations.room, audio_perturbations.booth),
    "position": (audio_perturbations.elsewhere, audio_perturbations.center),
}
TILTS: dict[str, Perturbation] = {
    "downward": audio_perturbations.downward_tilt,
    "upward": audio_perturbations.upward_tilt,
}
RATES = tuple(round(0.1 * step, 1) for step in range(11))


def robustness_of(
    model: str | Path, dataset: str | Path, split: str = "test", batch_size: int = 8, seed: int = 0
) -> dict[str, Any]:
    """Measure a model on every perturbation.

    Args:
        model, dataset: folders or Hub ids. seed: of everything that is drawn.

    Returns:
        {"criteria": list of dicts of [`Criterion`], "texts": {name: scores}, "seed", "split", "n", "evaluated_on"},
        the last as of [`select_rows`]; the scores are those of `evaluate_predictions`, under "text as it is",
        "WER 0 %" to "WER 100 %" (errors put into the human text), "text missing", "text of another recording" and
        "audio missing".

    Raises:
        DataError: no such dataset, split or column, a recording that cannot be used, or unknown emotions.
    """
    evaluator = RobustnessEvaluator(model, dataset, split, batch_size, seed)
    predict = evaluator.predict_audio
    base = evaluator.predict()
    changed = {("small changes", name): (predict(perturb), base) for name, perturb in SMALL.items()}
    changed |= {("background noise", name): (predict(perturb), base) for name, perturb in NOISES.items()}
    changed["low-quality phone", "phone"] = predict(audio_perturbations.phone), base
    changed |= {("room", name): (predict(far), predict(near)) for name, (far, near) in ROOMS.items()}
    changed |= {("spectral tilt", name): (predict(perturb), base) for name, perturb in TILTS.items()}
    given = changed, evaluator.names, evaluator.sexes
    criteria = with_chance(all_criteria(evaluator.labels, base, *given), evaluator.labels, *given)
    return {
        "criteria": [criterion.as_dict() for criterion in criteria],
        "texts": {name: evaluator.score(predictions) for name, predictions in predict_texts(evaluator, base)},
        "split": split,
        "evaluated_on": evaluator.evaluated_on,
        "seed": seed,
        "n": len(evaluator.labels),
    }


def predict_texts(evaluator: "RobustnessEvaluator", base: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (name, predictions) with a wrong, missing or foreign text, and with the text alone."""
    yield "text as it is", base
    for rate in RATES if evaluator.transcripts else ():
        yield f"WER {100 * rate:.0f} %", evaluator.predict_text(evaluator.inject_word_errors(rate))
    yield "text missing", evaluator.predict_text([""] * len(evaluator.labels))
    yield "text of another recording", evaluator.predict_text(evaluator.shuffle_texts())
    yield "audio missing", evaluator.predict_audio(audio_perturbations.silence)


class RobustnessEvaluator:
    """A model and a split, as its run had it: predictions on the recordings and texts as they are, or perturbed.

    Args:
        model, dataset: folders or Hub ids. seed: of everything that is drawn.

    Raises:
        DataError: no such dataset, split or column, or unknown emotions.
    """

    def __init__(self, model: str | Path, dataset: str | Path, split: str, batch_size: int, seed: int):
        selected = select_rows(model, dataset, split)
        rows, self.evaluated_on = selected.rows, selected.evaluated_on
        columns = () if selected.text_column == OWN_TEXT else (selected.text_column,)
        check_columns(rows, ("id", "audio", "emotion", *columns))
        if None in rows["audio"]:
            raise DataError(f"{dataset} has rows without a recording, and robustness is measured on recordings.")
        self.pipeline = M4SERPipeline.from_pretrained(model)
        self.label2id = known_labels(self.pipeline)
        names = rows.features["emotion"].names
        check_labels(names, self.label2id)
        self.names = sorted(self.label2id, key=lambda name: self.label2id[name])
        self.ids, self.batch_size, self.seed = rows["id"], batch_size, seed
        self.labels = np.array([self.label2id[names[emotion]] for emotion in rows["emotion"]])
        self.recordings = [load_audio(audio) for audio in rows["audio"]]
        self.hypotheses = (
            [text or "" for text in rows[selected.text_column]]
            if columns
            else self.pipeline.transcribe(self.recordings)
        )
        transcripts = rows["transcript"] if "transcript" in rows.column_names else ()
        # Where one is missing, no errors can be put into it.
        self.transcripts: list[str] = list(transcripts) if transcripts and all(transcripts) else []
        self.sexes = rows["sex"] if "sex" in rows.column_names and all(rows["sex"]) else None

    def predict(
        self, recordings: Sequence[np.ndarray] | None = None, texts: Sequence[str] | None = None
    ) -> np.ndarray:
        """Predict class indices (n,) from recordings and texts, those of the split where they are not given.

        Raises:
            DataError: naming a recording that cannot be used.
        """
        pairs = zip(recordings or self.recordings, texts or self.hypotheses, strict=True)
        inputs = ({"raw": samples, "sampling_rate": audio_perturbations.RATE, "text": text} for samples, text in pairs)
        outputs = self.pipeline(inputs, batch_size=self.batch_size, top_k=1)
        predictions = []
        for name, output in zip(self.ids, outputs, strict=True):
            if isinstance(output, dict):
                raise DataError(f"{name}: {output['error']}")
            predictions.append(self.label2id[output[0]["label"]])
        return np.array(predictions)

    def predict_audio(self, perturb: Perturbation) -> np.ndarray:
        """Predict from every recording, changed by a function of `audio_perturbations`, each drawn by its index."""
        changed = []
        for index, samples in enumerate(self.recordings):
            generator = np.random.default_rng([self.seed, index])
            arguments: tuple[Any, ...] = (samples, generator)
            if perturb is audio_perturbations.babble:
                arguments += (self.recordings[:index] + self.recordings[index + 1 :],)
            changed.append(perturb(*arguments).astype(np.float32))
        return self.predict(recordings=changed)

    def predict_text(self, texts: Sequence[str]) -> np.ndarray:
        """Predict from the recordings as they are and other texts."""
        return self.predict(texts=texts)

    def inject_word_errors(self, rate: float) -> list[str]:
        """Return the human texts with word errors at this rate."""
        vocabulary = sorted({word for text in self.transcripts for word in text.split()})
        generator = np.random.default_rng(self.seed)
        return [text_perturbations.inject_word_errors(text, rate, vocabulary, generator) for text in self.transcripts]

    def shuffle_texts(self) -> list[str]:
        """Return for each recording the hypothesis of another one."""
        generator = np.random.default_rng(self.seed)
        return text_perturbations.shuffle_texts(self.hypotheses, self.labels.tolist(), generator)

    def score(self, predictions: np.ndarray) -> dict[str, Any]:
        """Score predictions (n,) against the labels, as of `evaluate_predictions`."""
        return evaluate_predictions(predictions, self.labels, len(self.names))


def summarize(results: Mapping[str, Any]) -> str:
    """Return the criteria by group as Markdown, those that failed by name, and the scores by text."""
    lines = ["| group | passed | of | chance passes |", "|---|---:|---:|---:|"]
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for criterion in results["criteria"]:
        if criterion["passed"] is not None:
            groups.setdefault(criterion["group"], []).append(criterion)
    for group, members in groups.items():
        passed, chance = (sum(criterion[what] for criterion in members) for what in ("passed", "chance"))
        lines.append(f"| {group} | {passed} | {len(members)} | {chance:.1f} |")
    lines += ["", "| failed | value | threshold |", "|---|---:|---:|"]
    for criterion in results["criteria"]:
        if criterion["passed"] is False:
            threshold = f"{'at most' if criterion['most'] else 'at least'} {criterion['threshold']}"
            lines.append(f"| {criterion['group']}: {criterion['name']} | {criterion['value']:.3f} | {threshold} |")
    lines += ["", "| text | WA | UA |", "|---|---:|---:|"]
    for name, scores in results["texts"].items():
        lines.append(f"| {name} | {scores['weighted_accuracy']:.3f} | {scores['unweighted_accuracy']:.3f} |")
    return "\n".join(lines)
