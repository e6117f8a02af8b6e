"""The whole test list on one model and split: every change made, answered and judged."""

import numpy as np

from m4ser.data.loading import load_dataset
from m4ser.data.schema import DataError
from m4ser.evaluation.metrics import evaluate_predictions
from m4ser.evaluation.robustness import audio_perturbations, text_perturbations
from m4ser.evaluation.robustness.criteria import all_checks, with_chance
from m4ser.model.audio_m4ser import load_audio
from m4ser.model.pipeline_m4ser import M4SERPipeline

SMALL = {
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
NOISES = {
    "babble": audio_perturbations.babble,
    "cough": audio_perturbations.cough,
    "environment": audio_perturbations.environment,
    "music": audio_perturbations.music,
    "sneeze": audio_perturbations.sneeze,
    "white noise": audio_perturbations.white_noise,
}
ROOMS = {
    "room": (audio_perturbations.room, audio_perturbations.booth),
    "position": (audio_perturbations.elsewhere, audio_perturbations.center),
}
TILTS = {"downward": audio_perturbations.downward_tilt, "upward": audio_perturbations.upward_tilt}
RATES = tuple(round(0.1 * step, 1) for step in range(11))


def robustness_of(model, dataset, split="test", batch_size=8, seed=0):
    """Run every test.

    Args:
        model, dataset: folders or Hub ids. seed: of everything that is drawn.

    Returns:
        {"checks": list of dicts of [`Check`], "texts": {name: scores}, "seed", "split", "n"}; the scores are those of
        `evaluate_predictions`, under "text as it is", "WER 0 %" to "WER 100 %" (errors put into the human text),
        "text missing", "text of another recording" and "audio missing".

    Raises:
        DataError: no such dataset, split or column, a recording that cannot be used, or unknown emotions.
    """
    listener = RobustnessEvaluator(model, dataset, split, batch_size, seed)
    base = listener.answer()
    changed = {("small changes", name): (listener.hear(make), base) for name, make in SMALL.items()}
    changed |= {("background noise", name): (listener.hear(make), base) for name, make in NOISES.items()}
    changed["low-quality phone", "phone"] = listener.hear(audio_perturbations.phone), base
    changed |= {("room", name): tuple(map(listener.hear, makes)) for name, makes in ROOMS.items()}
    changed |= {("spectral tilt", name): (listener.hear(make), base) for name, make in TILTS.items()}
    given = listener.labels, changed, listener.names, listener.sexes
    checks = all_checks(given[0], base, *given[1:])
    return {
        "checks": [check.as_dict() for check in with_chance(checks, *given)],
        "texts": {name: listener.score(answers) for name, answers in texts(listener, base)},
        "split": split,
        "seed": seed,
        "n": len(listener.labels),
    }


def texts(listener, base):
    """Our own tests, (name, predictions): what a wrong, missing or foreign text does, and the text alone."""
    yield "text as it is", base
    for rate in RATES if all(listener.transcripts) else ():
        yield f"WER {100 * rate:.0f} %", listener.read(listener.inject_word_errors(rate))
    yield "text missing", listener.read([""] * len(listener.labels))
    yield "text of another recording", listener.read(listener.foreign())
    yield "audio missing", listener.hear(audio_perturbations.silence)


class RobustnessEvaluator:
    """A model with a split before it: answers to the recordings as they are, or changed."""

    def __init__(self, model, dataset, split, batch_size, seed):
        rows = load_dataset(dataset, split)
        if missing := [name for name in ("id", "audio", "emotion", "hypothesis") if name not in rows.column_names]:
            raise DataError(f"{dataset} has no column {', '.join(missing)}: build it with datasets_builders.")
        self.classify = M4SERPipeline.from_pretrained(model)
        known, names = self.classify.model.config.label2id, rows.features["emotion"].names
        if strangers := sorted(set(names) - set(known)):
            raise DataError(f"{model} does not know {', '.join(strangers)}; it knows {', '.join(known)}.")
        self.names = sorted(known, key=known.get)
        self.ids, self.batch_size, self.seed = rows["id"], batch_size, seed
        self.labels = np.array([known[names[emotion]] for emotion in rows["emotion"]])
        self.recordings = [load_audio(audio) for audio in rows["audio"]]
        self.hypotheses = [text or "" for text in rows["hypothesis"]]
        self.transcripts = rows["transcript"] if "transcript" in rows.column_names else [None] * len(rows)
        self.sexes = rows["sex"] if "sex" in rows.column_names and all(rows["sex"]) else None

    def answer(self, recordings=None, texts=None):
        """Class indices (n,) for recordings and texts, those of the split where they are not given."""
        pairs = zip(recordings or self.recordings, texts or self.hypotheses, strict=True)
        inputs = ({"raw": samples, "sampling_rate": audio_perturbations.RATE, "text": text} for samples, text in pairs)
        known, answers = self.classify.model.config.label2id, []
        for name, answer in zip(self.ids, self.classify(inputs, batch_size=self.batch_size, top_k=1), strict=True):
            if isinstance(answer, dict):
                raise DataError(f"{name}: {answer['error']}")
            answers.append(known[answer[0]["label"]])
        return np.array(answers)

    def hear(self, make):
        """Answers to every recording changed by a function of `signals`, each drawn by its own place."""
        changed = []
        for place, samples in enumerate(self.recordings):
            generator = np.random.default_rng([self.seed, place])
            others = (
                [self.recordings[:place] + self.recordings[place + 1 :]] if make is audio_perturbations.babble else []
            )
            changed.append(make(samples, generator, *others).astype(np.float32))
        return self.answer(recordings=changed)

    def read(self, texts):
        return self.answer(texts=texts)

    def inject_word_errors(self, rate):
        vocabulary = sorted({word for text in self.transcripts for word in text.split()})
        generator = np.random.default_rng(self.seed)
        return [text_perturbations.inject_word_errors(text, rate, vocabulary, generator) for text in self.transcripts]

    def foreign(self):
        return text_perturbations.shuffle_texts(
            self.hypotheses, self.labels.tolist(), np.random.default_rng(self.seed)
        )

    def score(self, predictions):
        return evaluate_predictions(predictions, self.labels, len(self.names))


def summary(results):
    """The checks by group as Markdown, those that failed by name, and the scores by text."""
    lines = ["| group | passed | of | chance passes |", "|---|---:|---:|---:|"]
    groups = {}
    for check in results["checks"]:
        if check["passed"] is not None:
            groups.setdefault(check["group"], []).append(check)
    for group, members in groups.items():
        passed, chance = sum(check["passed"] for check in members), sum(check["chance"] for check in members)
        lines.append(f"| {group} | {passed} | {len(members)} | {chance:.1f} |")
    lines += ["", "| failed | value | demanded |", "|---|---:|---:|"]
    for check in results["checks"]:
        if check["passed"] is False:
            demanded = f"{'at most' if check['most'] else 'at least'} {check['threshold']}"
            lines.append(f"| {check['group']}: {check['name']} | {check['value']:.3f} | {demanded} |")
    lines += ["", "| text | WA | UA |", "|---|---:|---:|"]
    for name, scores in results["texts"].items():
        lines.append(f"| {name} | {scores['weighted_accuracy']:.3f} | {scores['unweighted_accuracy']:.3f} |")
    return "\n".join(lines)
