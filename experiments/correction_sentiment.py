"""What the correction of `experiments.correction` is worth to a sentiment classifier on MOSI."""

from collections.abc import Mapping
from typing import Any

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from experiments.correction_data import SYSTEMS, Corpora, Splits, Texts
from m4ser.data.tokenizer import basic_normalizer


def sentiment(corpora: Corpora, corrected: Mapping[str, Texts]) -> dict[str, Any]:
    """Measure the accuracy in percent of telling positive from negative on MOSI's test split, by text.

    The classifier learns from the other two splits: from the kind of text it is tested on, or from transcripts.
    """
    accuracies = {}
    for system in SYSTEMS:
        name = f"mosi {system}"
        splits = corpora[name]
        kinds = {
            "transcript": _texts(splits, "transcript"),
            "corrected": corrected[name],
            "hypothesis": _texts(splits, "hypothesis"),
        }
        accuracies[name] = {
            kind: {
                "trained on the same": sentiment_accuracy(splits, texts, texts),
                "trained on transcripts": sentiment_accuracy(splits, kinds["transcript"], texts),
            }
            for kind, texts in kinds.items()
        }
    return accuracies


def _texts(splits: Splits, column: str) -> Texts:
    return {split: [row[column] for row in rows] for split, rows in splits.items()}


def sentiment_accuracy(splits: Splits, learned: Texts, tested: Texts) -> float:
    """Learn from `learned["train"]` and ["validation"], score on `tested["test"]`; the neutral utterances stay out."""
    examples = {"learned": [], "tested": []}
    for split, rows in splits.items():
        part, texts = ("tested", tested) if split == "test" else ("learned", learned)
        pairs = zip(texts[split], rows, strict=True)
        examples[part] += [(text, row["sentiment"] > 0) for text, row in pairs if row["sentiment"]]
    # The settings and the words (`normalize`) of the reference classifier in the data's README.
    words = TfidfVectorizer(preprocessor=normalize, ngram_range=(1, 2), sublinear_tf=True)
    classifier = make_pipeline(words, LogisticRegression(C=10, max_iter=1000))
    classifier.fit(*zip(*examples["learned"], strict=True))
    return 100 * classifier.score(*zip(*examples["tested"], strict=True))


def normalize(text: str) -> str:
    """Normalize by `basic_normalizer`: MOSI's transcripts have no apostrophes."""
    return " ".join(basic_normalizer().normalize_str(text).split())
