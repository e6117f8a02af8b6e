"""The whole network: against loops from the paper on each recording alone, and what must never change its output.

The oracle takes the two encoders of the transformers library as they are, unpadded, and everything after them from
`tests.oracles`. Tolerances: 1e-8 in float64, 1e-4 in float32, the same label in bfloat16.
"""

import json
from collections import Counter

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel, AutoModelForAudioClassification, HubertConfig, HubertModel

from m4ser import M4SERConfig, M4SERModel
from m4ser.losses import error_correction_loss, error_detection_loss
from tests import oracles
from tests.ablations import ABLATIONS, OTHERS
from tests.oracles import linear, part
from tests.tiny import (
    BOS,
    EOS,
    HEADS,
    SPEECH_NORMS,
    collate,
    plain_inputs,
    recordings,
    tiny_config,
    tiny_model,
    training_inputs,
)

SAMPLES = [3000, 1, 100, 399, 400, 1500]
TOKENS = [4, 9, 2, 5, 3, 12]
norms = pytest.mark.parametrize("norm", SPEECH_NORMS)
REPRESENTATIONS = {
    "both": ["specific", "invariant"],
    "specific": ["specific"],
    "invariant": ["invariant"],
    "concat baseline": [],
}


@pytest.fixture(scope="module")
def rows():
    return recordings(SAMPLES, TOKENS)


@torch.no_grad()
def encoded_alone(model, row):
    """H_S (m, d) and H_T (n, d) of one recording, from the encoders as transformers runs them."""
    wave = torch.tensor(row["wave"])
    wave = F.pad(wave, (0, max(0, 400 - len(wave))))
    speech = model.speech_encoder.encoder(wave[None]).last_hidden_state[0].numpy()
    text = model.text_encoder.encoder(torch.tensor([row["ids"]])).last_hidden_state[0].numpy()
    weights = oracles.weights_of(model)
    return (
        linear(part(weights, "speech_encoder.projection"), speech),
        linear(part(weights, "text_encoder.projection"), text),
    )


def close(output, expected):
    np.testing.assert_allclose(output.detach().numpy()[: len(expected)], expected, rtol=0, atol=1e-8)


@norms
@pytest.mark.parametrize("representations", REPRESENTATIONS.values(), ids=REPRESENTATIONS)
@pytest.mark.parametrize("count", [6, 1], ids=["padded", "single item"])
def test_equations_2_to_18(norm, representations, count, rows):
    rows = rows[:count]
    model = tiny_model(norm, representations=representations).double()
    weights = oracles.weights_of(model)
    batch = collate(rows, dtype=torch.float64)
    output = model(**training_inputs(batch))
    assert output.loss is None
    replacement = 0
    for index, row in enumerate(rows):
        speech, text = encoded_alone(model, row)
        close(output.text_hidden_states[index], text)
        streams = oracles.fusion(
            part(weights, "fusion"),
            speech,
            text,
            HEADS,
            "specific" in representations,
            "invariant" in representations,
        )
        for name in ("speech_specific", "text_specific", "invariant"):
            if name in streams:
                close(getattr(output, name)[index], streams[name])
            else:
                assert getattr(output, name) is None
        logits, pooled = oracles.emotion_logits(weights, streams.values())
        close(output.embeddings[index], pooled)
        close(output.logits[index], logits)
        close(output.aed_logits[index], linear(part(weights, "error_detector"), text))
        for position, targets in zip(row["changes"], row["replacements"], strict=True):
            expected = oracles.correction_logits(
                part(weights, "error_corrector"),
                [BOS, *targets[:-1]],
                text[position],
                text,
                weights["text_encoder.encoder.embeddings.word_embeddings.weight"],
                HEADS,
            )
            close(output.aec_logits[replacement], expected)
            replacement += 1
    assert replacement == len(output.aec_logits)


@pytest.mark.parametrize("modality", ["speech", "text"])
def test_one_modality_is_pooled_alone(modality, rows):
    model = tiny_model(modalities=[modality]).double()
    whole = tiny_model().double()
    for name in ("speech_encoder", "text_encoder"):
        if getattr(model, name) is not None:
            getattr(whole, name).load_state_dict(getattr(model, name).state_dict())
    output = model(**plain_inputs(collate(rows, dtype=torch.float64)))
    for index, row in enumerate(rows):
        states = encoded_alone(whole, row)[["speech", "text"].index(modality)]
        close(output.logits[index], oracles.emotion_logits(oracles.weights_of(model), [states])[0])


def test_labels_give_cross_entropy(rows):
    model, batch = tiny_model().double(), collate(rows, dtype=torch.float64)
    output = model(**plain_inputs(batch), labels=batch["labels"])
    expected = oracles.cross_entropy(output.logits.detach().numpy(), batch["labels"].tolist())
    assert output.loss.item() == pytest.approx(expected, abs=1e-9)
    loss, logits, *_ = model(**plain_inputs(batch), labels=batch["labels"], return_dict=False)
    assert torch.equal(loss, output.loss)
    assert torch.equal(logits, output.logits)


# What must never change an output.


def outputs_of(model, batch):
    with torch.no_grad():
        output = model(**training_inputs(batch))
    assert output.logits.isfinite().all()
    return output


@norms
@pytest.mark.parametrize(("more_samples", "more_tokens"), [(1, 0), (0, 7), (4000, 20)])
def test_padding_does_not_change_outputs(norm, more_samples, more_tokens, rows):
    model = tiny_model(norm)
    expected, padded = (outputs_of(model, collate(rows, *more)) for more in ((0, 0), (more_samples, more_tokens)))
    assert padded.frame_mask.sum(-1).tolist() == expected.frame_mask.sum(-1).tolist()
    for name in ("logits", "embeddings", "aec_logits"):
        torch.testing.assert_close(padded[name], expected[name], rtol=0, atol=1e-5)


@norms
@pytest.mark.parametrize("modalities", [["speech", "text"], ["speech"], ["text"]], ids="+".join)
def test_scores_do_not_depend_on_the_batch(norm, modalities, rows):
    model = tiny_model(norm, modalities=modalities)
    together = outputs_of(model, collate(rows)).logits
    backwards = outputs_of(model, collate(rows[::-1])).logits.flip(0)
    alone = torch.cat([outputs_of(model, collate([row])).logits for row in rows])
    torch.testing.assert_close(backwards, together, rtol=0, atol=1e-5)
    torch.testing.assert_close(alone, together, rtol=0, atol=1e-5)
    assert together.std(0).min() > 0.01  # the recordings do differ


@norms
def test_attention_implementations_agree(norm, rows):
    model, batch = tiny_model(norm), collate(rows)
    expected = outputs_of(model, batch)
    model.set_attn_implementation("eager")
    eager = outputs_of(model, batch)
    assert model.fusion.text_specific.attention.config._attn_implementation == "eager"
    for name in ("logits", "aed_logits", "aec_logits"):
        torch.testing.assert_close(eager[name], expected[name], rtol=0, atol=1e-5)


@norms
def test_bfloat16_gives_the_same_labels(norm, rows):
    model = tiny_model(norm)
    expected = outputs_of(model, collate(rows)).logits
    half = outputs_of(model.to(torch.bfloat16), collate(rows, dtype=torch.bfloat16)).logits
    assert half.dtype == torch.bfloat16
    assert half.argmax(-1).tolist() == expected.argmax(-1).tolist()
    torch.testing.assert_close(half.float(), expected, rtol=0, atol=0.1)


# What is computed, and what learns from what.


def count_calls(*modules):
    calls = Counter()
    for module in modules:
        module.register_forward_hook(lambda called, *_: calls.update([type(called).__name__]))
    return calls


def test_inference_computes_no_auxiliary_task(rows):
    model, batch = tiny_model(), collate(rows)
    calls = count_calls(model.error_detector, model.error_corrector, model)
    output = model(**plain_inputs(batch))
    assert output.aed_logits is output.aec_logits is None
    assert calls == {"M4SERModel": 1}
    model(**training_inputs(batch))
    assert calls == {"M4SERModel": 2, "Linear": 1, "CorrectionDecoder": 1}


def gradient(module):
    """The largest gradient of a module, None where it got none at all."""
    gradients = [parameter.grad.abs().max().item() for parameter in module.parameters() if parameter.grad is not None]
    return max(gradients, default=None)


def test_auxiliary_tasks_train_the_text_encoder_only(rows):
    model, batch = tiny_model(), collate(rows)
    output = model(**training_inputs(batch))
    loss = error_detection_loss(output.aed_logits, batch["aed_labels"])
    (loss + error_correction_loss(output.aec_logits, batch["correction_ids"])).backward()
    assert gradient(model.speech_encoder) is gradient(model.fusion) is gradient(model.classifier) is None
    for module in (model.text_encoder, model.error_detector, model.error_corrector):
        assert gradient(module) > 0


def test_batch_without_a_change_gives_a_gradient():
    rows = recordings([500, 500], [4, 3])
    for row in rows:
        row["changes"], row["replacements"] = [], []
    model, batch = tiny_model(), collate(rows)
    output = model(**training_inputs(batch))
    assert output.aec_logits.shape[0] == 0
    loss = error_correction_loss(output.aec_logits, batch["correction_ids"])
    loss.backward()
    assert loss.item() == 0
    # Not None: on several devices each parameter has to take part in each step.
    assert all(parameter.grad.eq(0).all() for parameter in model.error_corrector.parameters())


def test_every_parameter_learns(rows):
    """None is built that no loss reaches: such a one would be dead weight and stop training on several devices."""
    model, batch = tiny_model(), collate(rows)
    output = model(**training_inputs(batch))
    (output.logits.square().sum() + output.aed_logits.square().sum() + output.aec_logits.square().sum()).backward()
    idle = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    # SpecAugment's masked-frame embedding, which the library builds though masking is off.
    assert idle == [name for name in idle if name.endswith("masked_spec_embed")]


# Correction of a text.


def test_correct(rows):
    model = tiny_model().double()
    with torch.no_grad():
        model.error_detector.bias.copy_(torch.tensor([0.0, 0.0, 0.5]))
    weights, batch = oracles.weights_of(model), collate(rows, more_tokens=3, dtype=torch.float64)
    corrections = model.correct(batch["input_ids"], batch["text_attention_mask"])
    tags_seen = Counter()
    for row, correction in zip(rows, corrections, strict=True):
        _, text = encoded_alone(model, row)
        tags = linear(part(weights, "error_detector"), text).argmax(-1).tolist()
        expected = []
        for position, tag in enumerate(tags[:-1]):
            if tag == 0 and position > 0:
                expected.append(row["ids"][position])
            if tag == 2:
                tokens = [BOS]
                while len(tokens) <= model.config.max_correction_length and tokens[-1] != EOS:
                    logits = oracles.correction_logits(
                        part(weights, "error_corrector"),
                        tokens,
                        text[position],
                        text,
                        weights["text_encoder.encoder.embeddings.word_embeddings.weight"],
                        HEADS,
                    )
                    tokens.append(int(logits[-1].argmax()))
                expected += [token for token in tokens[1:] if token != EOS]
        assert correction.tags == tags
        assert correction.token_ids == expected
        tags_seen.update(tags)
    assert set(tags_seen) == {0, 1, 2}


def test_correct_takes_precomputed_states(rows):
    model, batch = tiny_model(), collate(rows)
    states = outputs_of(model, batch).text_hidden_states
    calls = count_calls(model.text_encoder)
    given = model.correct(batch["input_ids"], batch["text_attention_mask"], states)
    assert not calls
    assert given == model.correct(batch["input_ids"], batch["text_attention_mask"])


@pytest.mark.parametrize("tasks", [[], ["detection"]], ids=["none", "detection"])
def test_correct_needs_correction(tasks):
    with pytest.raises(ValueError, match=r"detection.*correction"):
        tiny_model(auxiliary_tasks=tasks).correct(torch.tensor([[BOS, EOS]]))


# Ablations: what is switched off is not built.

ROWS = ABLATIONS | OTHERS


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_ablated_modules_are_not_built(row, rows):
    length = {name: value for name, value in row.config.items() if name == "max_correction_length"}
    whole = M4SERModel(tiny_config(**length))
    model = M4SERModel(tiny_config(**row.config))

    def is_left_out(name):
        return any(name.startswith(f"{module}.") for module in row.modules)

    expected = {name: value.shape for name, value in whole.named_parameters() if not is_left_out(name)}
    assert {name: value.shape for name, value in model.named_parameters()} == expected
    assert all(any(name.startswith(f"{module}.") for name, _ in whole.named_parameters()) for module in row.modules)
    batch = collate(rows)
    output = model(**training_inputs(batch), labels=batch["labels"])
    output.loss.backward()
    assert gradient(model.classifier) > 0
    assert (output.aed_logits is None) == (model.error_detector is None)
    assert (output.aec_logits is None) == (model.error_corrector is None)


# Saving, loading, and starting from pretrained encoders.


@pytest.mark.parametrize("name", ["whole", "speech_only", "text_only", "concat"])
def test_saved_model_loads_bit_equal(name, rows, tmp_path):
    model = tiny_model(**ROWS[name].config)
    model.save_pretrained(tmp_path)
    batch = collate(rows)
    for auto_class in (AutoModel, AutoModelForAudioClassification):
        loaded, info = auto_class.from_pretrained(tmp_path, output_loading_info=True)
        assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
        assert loaded.state_dict().keys() == model.state_dict().keys()
        for name, value in loaded.state_dict().items():
            assert torch.equal(value, model.state_dict()[name]), name
        assert not loaded.training
        assert torch.equal(outputs_of(loaded, batch).logits, outputs_of(model, batch).logits)


def test_new_model_has_zero_biases_and_neutral_norms():
    model = M4SERModel(tiny_config(initializer_range=0.02))
    fresh = {name: value for name, value in model.named_parameters() if "encoder.encoder" not in name}
    for name, value in fresh.items():
        if name.endswith("norm.weight"):
            assert value.eq(1).all(), name
        elif name.endswith("bias"):
            assert value.eq(0).all(), name
        elif value.numel() == 1:
            assert value.item() == 0.25, name  # PReLU
        else:
            assert value.std().item() == pytest.approx(0.02, rel=0.5), name


def test_from_encoders_keeps_their_weights(bert_folder, tmp_path):
    hubert = HubertModel(HubertConfig(**_plain(tiny_config().speech_config)))
    hubert.save_pretrained(tmp_path)
    model = M4SERModel.from_encoders(
        tmp_path, bert_folder, hidden_size=24, num_attention_heads=4, speech_config={"mask_time_prob": 0.1}
    ).eval()
    assert model.config.speech_config.mask_time_prob == 0.1
    assert model.config.speech_config.layerdrop == 0
    for name, value in hubert.state_dict().items():
        assert torch.equal(model.speech_encoder.encoder.state_dict()[name], value), name
    bert = AutoModel.from_pretrained(bert_folder).eval()
    ids = torch.tensor([[101, 2026, 3899, 102]])
    with torch.no_grad():
        expected = bert(ids).last_hidden_state
        assert torch.equal(model.text_encoder.encoder(ids).last_hidden_state, expected)
        assert model(torch.randn(1, 800), None, ids).logits.shape == (1, 4)
    assert model.error_corrector.lm_head.out_features == 30_522
    assert not [name for name, _ in model.named_parameters() if "pooler" in name]
    model.save_pretrained(tmp_path / "whole")
    loaded = AutoModel.from_pretrained(tmp_path / "whole")
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in loaded.state_dict().items())


def _plain(config):
    return {name: value for name, value in config.to_dict().items() if name != "model_type"}


def test_saved_config_names_the_class(tmp_path):
    tiny_model().save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "m4ser"
    assert isinstance(AutoConfig.from_pretrained(tmp_path), M4SERConfig)
