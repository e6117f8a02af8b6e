"""Hidden states and attention maps: whose they are, what they leave alone, and what they need."""

import pytest
import torch
import transformers
from packaging.version import Version
from transformers.utils import logging

from tests.tiny import HEADS, collate, plain_inputs, recordings, tiny_model, training_inputs

SAMPLES, TOKENS = [3000, 1500, 400], [9, 7, 4]
FRAMES = [9, 4, 1]
RECORDED = {"output_hidden_states": True, "output_attentions": True}
# Which queries and keys a map has.
MAPS = {
    "speech_encoder": (FRAMES, FRAMES),
    "text_encoder": (TOKENS, TOKENS),
    "text_query_cme": (TOKENS, FRAMES),
    "speech_query_cme": (FRAMES, TOKENS),
    "text_specific": (FRAMES, TOKENS),
    "invariant_speech": (FRAMES, FRAMES),
    "invariant_text": (FRAMES, FRAMES),
}


@pytest.fixture(scope="module")
def rows():
    return recordings(SAMPLES, TOKENS)


@torch.no_grad()
def run(rows, implementation="eager", dtype=torch.float32, options=RECORDED, **config):
    model = tiny_model(attn_implementation=implementation, **config).to(dtype)
    return model(**plain_inputs(collate(rows, dtype=dtype)), **options)


def test_nothing_is_recorded_unless_requested(rows):
    output = run(rows, options={})
    assert output.hidden_states is None and output.attentions is None


@torch.no_grad()
def test_recording_changes_nothing_and_leaves_no_hook(rows):
    model, batch = tiny_model(attn_implementation="eager"), training_inputs(collate(rows))
    expected, recorded = model(**batch), model(**batch, **RECORDED)
    assert list(recorded) == [*expected, "hidden_states", "attentions"]
    for name, value in expected.items():
        assert torch.equal(recorded[name], value), name
    ours = [module for name, module in model.named_modules() if not name.startswith("text_encoder.encoder.")]
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in ours)


@torch.no_grad()
@pytest.mark.parametrize("model_type", ["hubert", "wav2vec2", "wavlm"])
@pytest.mark.parametrize("norm", ["group", "layer"])
def test_encoders_hidden_states_and_maps_are_their_own(rows, model_type, norm):
    speech = {**tiny_model(norm).config.speech_config.to_dict(), "model_type": model_type, "dtype": None}
    # WavLM has no other attention than its own.
    implementation = {"": "eager", "speech_config": "eager", "text_config": "eager"}
    model = tiny_model(speech_config=speech, attn_implementation=implementation)
    for row in rows:
        batch = plain_inputs(collate([row]))
        output = model(**batch, **RECORDED)
        alone = {
            "speech_encoder": model.speech_encoder.encoder(batch["input_values"], **RECORDED),
            "text_encoder": model.text_encoder.encoder(batch["input_ids"], **RECORDED),
        }
        for part, expected in alone.items():
            for recorded, states in (
                (output.hidden_states[part], expected.hidden_states),
                (output.attentions[part], expected.attentions),
            ):
                assert len(recorded) == len(states) > 0
                for ours, theirs in zip(recorded, states, strict=True):
                    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("part", MAPS)
def test_maps_are_distributions_over_valid_keys(rows, part):
    (*_, weights) = run(rows).attentions[part]
    queries, keys = MAPS[part]
    heads = 2 if part.endswith("encoder") else HEADS
    assert weights.shape == (len(rows), heads, max(queries), max(keys))
    for row, (query, key) in enumerate(zip(queries, keys, strict=True)):
        assert weights[row, :, :, key:].eq(0).all()
        torch.testing.assert_close(weights[row, :, :query].sum(-1), torch.ones(heads, query))


def test_padding_does_not_change_a_map(rows):
    together = run(rows, dtype=torch.float64)
    for index, row in enumerate(rows):
        alone = run([row], dtype=torch.float64)
        for part, maps in alone.attentions.items():
            for layer, expected in enumerate(maps):
                _, _, queries, keys = expected.shape
                found = together.attentions[part][layer][index, :, :queries, :keys]
                torch.testing.assert_close(found, expected[0], rtol=0, atol=1e-8)


def test_a_map_says_what_its_part_attends_to(rows):
    """The first equation of the fusion, from its map and its values."""
    model = tiny_model(attn_implementation="eager")
    batch = plain_inputs(collate(rows))
    attention = model.fusion.text_query_cme.attention
    seen = []
    hook = attention.register_forward_hook(lambda _, inputs, output: seen.append((inputs[1], output[0])))
    with torch.no_grad():
        (weights,) = model(**batch, output_attentions=True).attentions["text_query_cme"]
        hook.remove()
        ((speech, context),) = seen
        values = attention.value(speech).unflatten(-1, (HEADS, -1)).transpose(1, 2)
        expected = attention.output((weights @ values).transpose(1, 2).flatten(2))
    torch.testing.assert_close(context, expected)


def test_parts_are_those_that_are_built(rows):
    everything = set(MAPS)
    specific = {"text_query_cme", "speech_query_cme", "text_specific"}
    invariant = {"invariant_speech", "invariant_text"}
    for config, absent in (
        ({"representations": ["specific"]}, invariant),
        ({"representations": ["invariant"]}, specific),
        ({"representations": []}, specific | invariant),
        ({"modalities": ["speech"]}, everything - {"speech_encoder"}),
        ({"modalities": ["text"]}, everything - {"text_encoder"}),
    ):
        assert set(run(rows, **config).attentions) == everything - absent


def test_precomputed_frames_have_no_speech_layers(rows):
    model, batch = tiny_model(attn_implementation="eager"), plain_inputs(collate(rows))
    with torch.no_grad():
        states, mask = model.speech_encoder.encode(batch.pop("input_values"), batch.pop("attention_mask"))
        output = model(**batch, speech_hidden_states=states, attention_mask=mask, **RECORDED)
    assert set(output.hidden_states) == {"text_encoder"}
    assert set(output.attentions) == set(MAPS) - {"speech_encoder"}


def test_other_attention_than_eager_has_no_maps(rows, caplog):
    logging.warning_once.cache_clear()
    output = run(rows, "sdpa")
    assert output.attentions == {} and set(output.hidden_states) == {"speech_encoder", "text_encoder"}
    messages = [record.message for record in caplog.records if record.name.endswith("base_m4ser")]
    assert len(messages) == 1 and 'attn_implementation="eager"' in messages[0]


@pytest.mark.skipif(Version(transformers.__version__) < Version("5.23"), reason="layers were counted differently")
def test_layers_can_be_selected(rows):
    whole = run(rows).hidden_states
    for part, states in run(rows, options={"output_hidden_states": [0, -1]}).hidden_states.items():
        assert [state is None for state in states] == [False, True, False]
        assert torch.equal(states[0], whole[part][0]) and torch.equal(states[2], whole[part][2])
    last = run(rows, options={"output_hidden_states": 2}).hidden_states["speech_encoder"]
    assert torch.equal(last[2], whole["speech_encoder"][2]) and last[0] is last[1] is None


def test_config_gives_the_defaults(rows):
    assert set(run(rows, options={}, output_hidden_states=True).hidden_states) == {"speech_encoder", "text_encoder"}
    assert set(run(rows, options={}, output_attentions=True).attentions) == set(MAPS)
    assert isinstance(run(rows, options={}, return_dict=False), tuple)


def test_tuple_equals_the_dict(rows):
    expected = run(rows)
    values = run(rows, options={**RECORDED, "return_dict": False})
    assert len(values) == len(expected)
    torch.testing.assert_close(values, expected.to_tuple(), rtol=0, atol=0)
