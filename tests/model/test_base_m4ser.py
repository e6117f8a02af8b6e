"""Models of unknown origin: what is damaged or made to harm is refused in one sentence, whatever loads it."""

import builtins
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForAudioClassification, pipeline

from m4ser import M4SERModel, M4SERPipeline
from m4ser.export import export_onnx
from m4ser.inference.predicting import load_pipeline
from tests.assertions import noise

WEIGHTS, PICKLE = "model.safetensors", "pytorch_model.bin"
CODE = "from pathlib import Path\nPath(__file__).with_name('was_run').touch()\nclass Evil:\n    pass\n"


class Touch:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mknod, (str(self.path),)


@pytest.fixture
def folder(tiny_folder, tmp_path):
    return Path(shutil.copytree(tiny_folder, tmp_path / "model"))


def change_weights(folder, change):
    weights = load_file(folder / WEIGHTS)
    change(weights)
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})


def change_json(folder, name, *path, value):
    """Set one field of a JSON file, which need not be there."""
    content = json.loads((folder / name).read_text()) if (folder / name).exists() else {}
    part = content
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    (folder / name).write_text(json.dumps(content))


def pickled(folder):
    (folder / WEIGHTS).unlink()
    torch.save({"weight": Touch(folder / "was_run")}, folder / PICKLE)


def pickled_shards(folder):
    names = list(load_file(folder / WEIGHTS))
    pickled(folder)
    index = {"metadata": {}, "weight_map": dict.fromkeys(names, PICKLE)}
    (folder / f"{WEIGHTS}.index.json").write_text(json.dumps(index))


def layers(number):
    return lambda folder: change_json(folder, "config.json", "text_config", "num_hidden_layers", value=number)


def field(name, value):
    return lambda folder: change_json(folder, "config.json", name, value=value)


def code_of(name, *path, value, **others):
    def attack(folder):
        (folder / "evil.py").write_text(CODE)
        change_json(folder, name, *path, "auto_map", value=value)
        for key, other in others.items():
            change_json(folder, name, key, value=other)

    return attack


# Attack, and what the refusal says.
NOT_WHOLE = {
    "a pickle": (pickled, "no file named model.safetensors"),
    "an index of pickles": (pickled_shards, "is damaged"),
    "a missing weight": (
        lambda folder: change_weights(folder, lambda weights: weights.pop("classifier.bias")),
        "1 of its weights are missing, such as classifier.bias",
    ),
    "100 missing weights": (
        lambda folder: change_weights(folder, lambda weights: [weights.pop(name) for name in sorted(weights)[:100]]),
        "100 of its weights are missing",
    ),
    "more layers than weights": (layers(3), "16 of its weights are missing, such as text_encoder"),
    "fewer layers than weights": (layers(1), "16 of its weights are not of its config, such as text_encoder"),
    "a weight more": (
        lambda folder: change_weights(folder, lambda weights: weights.update(another=torch.zeros(3))),
        "1 of its weights are not of its config, such as another",
    ),
    "another shape": (
        lambda folder: change_weights(folder, lambda weights: weights.update({"classifier.bias": torch.zeros(5)})),
        "1 of its weights have another shape than its config says, such as classifier.bias",
    ),
    "NaN": (
        lambda folder: change_weights(folder, lambda weights: weights["classifier.bias"].fill_(torch.nan)),
        "its weight classifier.bias holds NaN or infinite numbers",
    ),
    "infinity": (
        lambda folder: change_weights(folder, lambda weights: next(iter(weights.values())).fill_(torch.inf)),
        "holds NaN or infinite numbers",
    ),
    "cut weights": (lambda folder: os.truncate(folder / WEIGHTS, 5000), "is damaged"),
    "no bytes": (lambda folder: os.truncate(folder / WEIGHTS, 0), "is damaged"),
    "a huge header": (lambda folder: (folder / WEIGHTS).write_bytes(b"\xff" * 108), "is damaged"),
    "a tiny temperature": (field("calibration_temperature", 1e-300), "calibration_temperature is a number from 0.001"),
    "a temperature in words": (field("calibration_temperature", "2"), "calibration_temperature is a number"),
    "a label twice": (
        field("id2label", {"0": "sad", "1": "sad", "2": "happy", "3": "angry"}),
        "id2label has each emotion once",
    ),
    "a gap in the labels": (
        field("id2label", {"0": "sad", "1": "calm", "2": "happy", "9": "angry"}),
        "id2label has each emotion once",
    ),
    "labels in a list": (field("id2label", ["sad", "happy"]), "a field that is not what it has to be"),
    "other indices": (field("label2id", {"sad": 2}), "label2id is not id2label the other way round"),
    "a negative width": (field("hidden_size", -24), "hidden_size is a whole number above 0"),
    "no list": (field("modalities", 5), "a field that is not what it has to be"),
    "a width in words": (
        lambda folder: change_json(folder, "config.json", "text_config", "hidden_size", value="wide"),
        "a field that is not what it has to be",
    ),
}
LOADERS = {
    "M4SERPipeline": M4SERPipeline.from_pretrained,
    "AutoModel": AutoModel.from_pretrained,
    "transformers.pipeline": lambda folder: pipeline("audio-classification", model=str(folder)),
    "m4ser predict": lambda folder: load_pipeline(str(folder)),
    "m4ser export": lambda folder: export_onnx(folder, folder / "model.onnx"),
}


@pytest.mark.parametrize(("attack", "sentence"), NOT_WHOLE.values(), ids=NOT_WHOLE)
def test_damaged_models_are_refused(folder, attack, sentence):
    attack(folder)
    for name, load in LOADERS.items():
        with pytest.raises((ValueError, OSError)) as refused:
            load(folder)
        assert sentence in str(refused.value), name
        # transformers' pipeline puts the traceback of each class that it tries around the sentence.
        assert "\n" not in str(refused.value) or name == "transformers.pipeline", name
    assert not (folder / "was_run").exists()


def test_caller_may_want_other_weights(folder):
    change_weights(folder, lambda weights: weights.update({"classifier.bias": torch.zeros(5)}))
    assert M4SERModel.from_pretrained(folder, ignore_mismatched_sizes=True).classifier.out_features == 4
    change_weights(folder, lambda weights: weights.pop("classifier.bias"))
    _, report = M4SERModel.from_pretrained(folder, output_loading_info=True)
    assert report["missing_keys"] == {"classifier.bias"}
    weights = M4SERModel(config := M4SERModel.config_class.from_pretrained(folder)).state_dict()
    given = M4SERModel.from_pretrained(None, config=config, state_dict={"classifier.bias": weights["classifier.bias"]})
    assert torch.equal(given.classifier.bias, weights["classifier.bias"])


EVIL = "evil.Evil"
WITH_CODE = {
    "model": code_of("config.json", value={"AutoConfig": EVIL, "AutoModel": EVIL}),
    "speech encoder": code_of("config.json", "speech_config", value={"AutoConfig": EVIL, "AutoModel": EVIL}),
    "unknown model": code_of("config.json", value={"AutoConfig": EVIL}, model_type="evil"),
    "processor": code_of("processor_config.json", value={"AutoProcessor": EVIL}),
    "feature extractor": code_of("processor_config.json", "feature_extractor", value={"AutoFeatureExtractor": EVIL}),
    "tokenizer": code_of("tokenizer_config.json", value={"AutoTokenizer": [EVIL, EVIL]}, tokenizer_class="Evil"),
}


@pytest.mark.parametrize("part", WITH_CODE)
def test_code_is_neither_run_nor_offered(folder, part, monkeypatch):
    def fail(*_):
        raise AssertionError("it waits on the terminal")

    WITH_CODE[part](folder)
    monkeypatch.setattr(builtins, "input", fail)
    try:
        M4SERPipeline.from_pretrained(folder)(noise(8000))
    except ValueError as refused:
        assert "custom code" in str(refused) and "\n" not in str(refused)
        assert part in ("tokenizer", "unknown model")
    if part != "unknown model":  # of which nothing is m4ser's
        try:
            pipeline("audio-classification", model=str(folder))(noise(8000))
        except ValueError as refused:
            assert part == "tokenizer" and "no processor" in str(refused)
    assert not (folder / "was_run").exists() and EVIL.split(".")[0] not in sys.modules


def change_tokenizer(change):
    def attack(folder):
        content = json.loads((folder / "tokenizer.json").read_text())
        change(content)
        (folder / "tokenizer.json").write_text(json.dumps(content))

    return attack


PROCESSORS = {
    "a token beyond the vocabulary": (
        change_tokenizer(lambda content: content["model"]["vocab"].update(z=9999)),
        "it has the id 9999, and the text encoder a vocabulary of 64",
    ),
    "a template beyond the vocabulary": (
        change_tokenizer(lambda content: content["post_processor"]["special_tokens"]["[SEP]"].update(ids=[9999])),
        "it has the id 9999, and the text encoder a vocabulary of 64",
    ),
    "no tokenizer": (lambda folder: (folder / "tokenizer.json").write_text("null"), "has no processor"),
    "no processor": (lambda folder: (folder / "processor_config.json").write_text("[]"), "has no processor"),
    "a number for an ASR model": (
        lambda folder: change_json(folder, "processor_config.json", "asr_model_id", value=5),
        "asr_model_id of a processor is a Hub id or folder, not 5",
    ),
    "a huge sampling rate": (
        lambda folder: change_json(folder, "processor_config.json", "feature_extractor", "sampling_rate", value=10**9),
        "sampling_rate of a processor is 1000 to 768000 Hz, not 1000000000",
    ),
    "a tiny sampling rate": (
        lambda folder: change_json(folder, "processor_config.json", "feature_extractor", "sampling_rate", value=1),
        "sampling_rate of a processor is 1000 to 768000 Hz, not 1",
    ),
}


@pytest.mark.parametrize(("attack", "sentence"), PROCESSORS.values(), ids=PROCESSORS)
def test_processors_of_another_kind_are_refused(folder, attack, sentence):
    attack(folder)
    with pytest.raises(ValueError) as refused:
        M4SERPipeline.from_pretrained(folder)
    assert sentence in str(refused.value) and "\n" not in str(refused.value)


def test_config_that_is_no_object_is_refused(folder):
    for content in ("null", "[]", "5", "[" * 100_000, "{"):
        (folder / "config.json").write_text(content)
        with pytest.raises(ValueError) as refused:
            M4SERPipeline.from_pretrained(folder)
        assert "\n" not in str(refused.value) and str(folder) in str(refused.value)


def test_model_of_another_library_is_refused(tmp_path):
    from transformers import HubertConfig, HubertForSequenceClassification

    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    HubertForSequenceClassification(
        HubertConfig(**small, conv_dim=[8] * 7, num_conv_pos_embedding_groups=2)
    ).save_pretrained(tmp_path)
    assert AutoModelForAudioClassification.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="is a HubertForSequenceClassification, none that m4ser trains"):
        M4SERPipeline.from_pretrained(tmp_path)
