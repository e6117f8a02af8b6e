"""Saved models: a random one with its processor, and a run that was trained for one epoch."""

from pathlib import Path

from transformers import Wav2Vec2FeatureExtractor

from m4ser import M4SERProcessor
from m4ser.data.synthetic import write_corpus
from m4ser.data.tokenizer import train_tokenizer
from m4ser.training.arguments import Arguments, DataArguments, ModelArguments, TrainingArguments
from m4ser.training.loop import train
from tests.tiny import tiny_model

SENTENCES = (
    "and so my fellow americans ask not what your country can do for you",
    "he was not an ill disposed young man",
    "unless to be rather cold hearted and rather selfish is to be ill disposed",
)
SIZES = {"train": 32, "validation": 8, "test": 12}


def save_tiny_model(folder, asr_model_id=None, norm="group", **config):
    """Save a random model, whose predictions depend on speech and text, and its processor."""
    tokenizer = train_tokenizer(SENTENCES, vocab_size=64, max_length=64)
    text = {**tiny_model().config.text_config.to_dict(), "vocab_size": len(tokenizer)}
    ends = {"correction_bos_token_id": tokenizer.cls_token_id, "correction_eos_token_id": tokenizer.sep_token_id}
    tiny_model(norm, text_config=text, **ends, **config).save_pretrained(folder)
    features = Wav2Vec2FeatureExtractor(return_attention_mask=True)
    M4SERProcessor(features, tokenizer, asr_model_id=asr_model_id).save_pretrained(folder)


def train_tiny_run(folder):
    """FOLDER/corpus, a small synthetic corpus, and FOLDER/run, trained on it for one epoch."""
    folder = Path(folder)
    write_corpus(folder / "corpus", sizes=SIZES)
    train(
        Arguments(
            ModelArguments(preset="tiny"),
            DataArguments(dataset=str(folder / "corpus"), normalization="basic"),
            training=TrainingArguments(output_dir=str(folder / "run"), name="tiny", epochs=1, learning_rate=1e-3),
        )
    )
