"""Every system keeps the promises of an EmotionModel: padding, gradients, any batch, saved and exported."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import AutoModelForAudioClassification

from m4ser.export import export_onnx
from m4ser.losses import IGNORED, WEIGHT_SYMBOLS, LossInputs, compute_losses, joint_loss
from m4ser.onnx_pipeline import OnnxNetwork
from m4ser.systems import SYSTEMS
from tests.tiny import BOS, EOS, HEADS, VOCABULARY, WIDTH, collate, plain_inputs, randomize, recordings, tiny_config

# The least encoders, for graphs, which take long to export; those of encoders have tests of their own.
SPEECH = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "conv_dim": [8],
    "conv_kernel": [400],
    "conv_stride": [320],
    "num_feat_extract_layers": 1,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}
TEXT = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 64,
}
SIZES = {"hidden_size": WIDTH, "num_attention_heads": HEADS, "intermediate_size": 36}
TRANSCRIPTS = ["the night was great", "a b", None, "meal"]
WEIGHTS = dict.fromkeys((*WEIGHT_SYMBOLS, "recognition_weight"), 1.0)
OPTIONS = SimpleNamespace(**WEIGHTS, temperature=0.07, contrastive_include_self=False)


@pytest.fixture(params=sorted(SYSTEMS))
def model(request):
    return build(request.param)


def build(name, **encoders):
    """A tiny network of a system, every weight random."""
    encoders, system = tiny_config(**encoders), SYSTEMS[name]
    torch.manual_seed(0)
    fields = {"correction_bos_token_id": BOS, "correction_eos_token_id": EOS} if name == "m4ser" else {}
    config = system.config_class(
        speech_config=encoders.speech_config, text_config=encoders.text_config, **SIZES, **fields
    )
    return randomize(system(config)).eval()


def batch_of(rows, **padding):
    """What the collator gives to training, of rows of `tests.tiny.recordings`."""
    batch = collate(rows, **padding)
    return {**batch, "transcripts": TRANSCRIPTS[: len(rows)], "ids": [str(index) for index in range(len(rows))]}


@pytest.fixture
def rows():
    return recordings((4000, 2500, 6000, 3100), (7, 4, 9, 12))


def run(model, batch):
    """The forward as in training."""
    taken = model.forward.__func__.__code__.co_varnames[: model.forward.__func__.__code__.co_argcount]
    return model(**{name: batch[name] for name in taken if name in batch}, **model.training_options)


def losses_of(model, batch):
    output = run(model, batch)
    lengths = model.speech_encoder.frame_lengths(batch["attention_mask"])
    batch = {**batch, "all_labels": batch["labels"], "frame_lengths": lengths}
    return output, compute_losses(LossInputs(output, batch, OPTIONS))


def test_padding_changes_nothing(model, rows):
    output, losses = losses_of(model, batch_of(rows))
    padded, padded_losses = losses_of(model, batch_of(rows, more_samples=3000, more_tokens=6))
    for name in ("logits", "embeddings"):
        torch.testing.assert_close(padded[name], output[name], atol=1e-5, rtol=1e-4)
    assert losses.keys() == padded_losses.keys()
    for name, loss in losses.items():
        torch.testing.assert_close(padded_losses[name], loss, atol=1e-5, rtol=1e-4)


def test_row_alone_is_the_same(model, rows):
    together = model(**plain_inputs(batch_of(rows)))
    for index, row in enumerate(rows):
        alone = model(**plain_inputs(batch_of([row])))
        torch.testing.assert_close(alone.logits[0], together.logits[index], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(alone.embeddings[0], together.embeddings[index], atol=1e-5, rtol=1e-4)


def test_every_parameter_has_a_gradient(model, rows):
    batch = batch_of(rows)
    batch["labels"][-1] = batch["labels"][0]  # a pair of one emotion, for losses between such
    _, losses = losses_of(model, batch)
    joint_loss(losses, OPTIONS).backward()
    without = [name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()]
    assert not [name for name in without if "masked_spec_embed" not in name]


@pytest.mark.parametrize("count", [1, 2])
def test_small_batches_have_finite_gradients_everywhere(model, rows, count):
    """Of every parameter, if zero: several processes wait for each other's."""
    batch = batch_of(rows[:count])
    batch["aed_labels"].fill_(IGNORED)
    batch["transcripts"] = [None] * count
    output, losses = losses_of(model.train(), batch)
    assert all(loss.shape in ((), (count,)) for loss in (output.get("auxiliary_losses") or {}).values())
    joint_loss(losses, OPTIONS).backward()
    grads = {name: value.grad for name, value in model.named_parameters() if "masked_spec_embed" not in name}
    assert not [name for name, grad in grads.items() if grad is None or not grad.isfinite().all()]


@pytest.mark.soak  # 5 s each
@pytest.mark.parametrize("name", sorted(SYSTEMS.keys() - {"m4ser"}))
def test_one_batch_is_learned_by_heart(name, rows):
    encoders, system = tiny_config(), SYSTEMS[name]
    torch.manual_seed(0)
    fields = {"speech_config": encoders.speech_config, "text_config": encoders.text_config, **SIZES}
    model = system(system.config_class(**fields, initializer_range=0.1)).eval()  # without dropout
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(60):
        _, losses = losses_of(model, batch_of(rows))
        joint_loss(losses, OPTIONS).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert losses["emotion"] < 0.1


def test_own_losses_need_labels(model, rows):
    assert model(**plain_inputs(batch_of(rows))).get("auxiliary_losses") is None


def test_saved_and_loaded(model, rows, tmp_path):
    model.save_pretrained(tmp_path)
    loaded = AutoModelForAudioClassification.from_pretrained(tmp_path)
    inputs = plain_inputs(batch_of(rows))
    assert type(loaded) is type(model)
    torch.testing.assert_close(loaded(**inputs).logits, model(**inputs).logits, atol=0, rtol=0)


def test_precomputed_frames_take_the_waveforms_role(model, rows):
    batch = plain_inputs(batch_of(rows))
    frames, mask = model.speech_encoder.encode(batch["input_values"], batch["attention_mask"])
    precomputed = {name: batch[name] for name in ("input_ids", "text_attention_mask")}
    precomputed |= {"speech_hidden_states": frames, "attention_mask": mask.long()}
    if model.needs_waveforms:
        with pytest.raises(ValueError, match="needs the waveforms"):
            model(**precomputed)
        return
    found = model(**precomputed)
    torch.testing.assert_close(found.logits, model(**batch).logits, atol=1e-6, rtol=1e-5)


def test_tuple_and_bfloat16(model, rows):
    inputs = plain_inputs(batch_of(rows))
    output = model(**inputs, return_dict=False)
    assert isinstance(output, tuple) and output[0].shape == (len(rows), 4)
    half = model.to(torch.bfloat16)
    losses = losses_of(half, {**batch_of(rows), "input_values": inputs["input_values"].to(torch.bfloat16)})[1]
    assert all(loss.isfinite() for loss in losses.values())


def test_unknown_arguments_are_refused(model, rows):
    with pytest.raises(TypeError, match="input_idz"):
        model(**plain_inputs(batch_of(rows)), input_idz=None)


@pytest.mark.soak  # 10 s each
@pytest.mark.parametrize("name", sorted(SYSTEMS))
def test_exported_graph_matches(name, rows, tmp_path):
    pytest.importorskip("onnxscript", reason="needs the export extra")
    model = build(name, norm="layer", speech_config=SPEECH, text_config=TEXT)
    model.save_pretrained(tmp_path)
    network = OnnxNetwork(export_onnx(tmp_path), model.config)
    generator = np.random.default_rng(0)
    for count in (1, 3, 4):
        inputs = plain_inputs(batch_of(rows[:count], more_samples=int(generator.integers(0, 900))))
        with torch.no_grad():
            expected = model(**inputs)
        output = network(**inputs)
        torch.testing.assert_close(output.logits, expected.logits, atol=1e-4, rtol=0)
        torch.testing.assert_close(output.embeddings, expected.embeddings, atol=1e-4, rtol=0)
