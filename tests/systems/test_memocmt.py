"""MemoCMT on tiny encoders, against loops over heads, queries and keys; its poolings and its config."""

import math

import numpy as np
import pytest
import torch

from m4ser.systems.memocmt import MemoCMTConfig, MemoCMTModel, masked_min
from tests.tiny import HEADS, WIDTH, collate, plain_inputs, randomize, recordings, tiny_config

LENGTHS = [(4, 3), (6, 5)]  # frames and tokens of two recordings


def build(**fields):
    encoders = tiny_config()
    sizes = {"hidden_size": WIDTH, "num_attention_heads": HEADS, "classifier_size": 10}
    torch.manual_seed(0)
    config = MemoCMTConfig(
        speech_config=encoders.speech_config, text_config=encoders.text_config, **{**sizes, **fields}
    )
    return randomize(MemoCMTModel(config)).double().eval()


def linear(layer, vector):
    return layer.weight.detach().numpy() @ vector + layer.bias.detach().numpy()


def normalized(norm, vector):
    scaled = (vector - vector.mean()) / math.sqrt(vector.var() + norm.eps)
    return scaled * norm.weight.detach().numpy() + norm.bias.detach().numpy()


def attended(module, query, memory):
    """Multi-head attention of one vector to a list of them, head by head."""
    q = linear(module.query, query)
    keys, values = ([linear(layer, step) for step in memory] for layer in (module.key, module.value))
    size, context = len(q) // HEADS, []
    for head in range(HEADS):
        part = slice(head * size, (head + 1) * size)
        weights = [math.exp(q[part] @ key[part] / math.sqrt(size)) for key in keys]
        context += list(sum(w * value[part] for w, value in zip(weights, values, strict=True)) / sum(weights))
    return linear(module.output, np.array(context))


def stream(module, queries, memory):
    steps = [linear(module.projection, attended(module.attention, query, memory)) for query in queries]
    return [normalized(module.norm, step) for step in steps]


POOLED = {
    "first": lambda steps: steps[0],
    "mean": lambda steps: sum(steps) / len(steps),
    "max": lambda steps: np.array([max(values) for values in zip(*steps, strict=True)]),
    "min": lambda steps: np.array([min(values) for values in zip(*steps, strict=True)]),
}


@pytest.mark.parametrize("pooling", POOLED)
def test_logits_by_loops(pooling, monkeypatch):
    model = build(pooling=pooling)
    speech, text = torch.randn(2, 6, WIDTH).double(), torch.randn(2, 5, WIDTH).double()
    masks = [torch.arange(steps) < torch.tensor(lengths)[:, None] for steps, lengths in ((6, (4, 6)), (5, (3, 5)))]
    monkeypatch.setattr(model, "encode_speech", lambda *_: (speech, masks[0]))
    monkeypatch.setattr(model, "encode_text", lambda *_: (text, masks[1]))
    output = model(input_ids=torch.zeros(2, 5).long())
    for index, (frames, tokens) in enumerate(LENGTHS):
        own, other = speech[index, :frames].numpy(), text[index, :tokens].numpy()
        steps = [*stream(model.text_of_speech, own, other), *stream(model.speech_of_text, other, own)]
        hidden = linear(model.hidden, POOLED[pooling](steps))
        hidden = np.array([value if value > 0 else 0.01 * value for value in hidden])
        np.testing.assert_allclose(output.embeddings[index].detach(), hidden, atol=1e-10)
        np.testing.assert_allclose(output.logits[index].detach(), linear(model.classifier, hidden), atol=1e-10)


def test_minimum_is_of_valid_steps():
    states = torch.tensor([[[1.0, -5.0], [2.0, -6.0], [-9.0, -9.0]], [[3.0, 4.0], [9.0, 9.0], [9.0, 9.0]]])
    mask = torch.tensor([[True, True, False], [False, False, False]])
    assert masked_min(states, mask).tolist() == [[1.0, -6.0], [0.0, 0.0]]


def test_stream_holds_nothing_of_its_query():
    """Without a residual, a memory of equal steps gives all queries the same."""
    model = build()
    memory = torch.randn(1, 1, WIDTH).double().expand(1, 4, WIDTH)
    found = model.text_of_speech(torch.randn(1, 3, WIDTH).double(), memory, torch.ones(1, 4).bool())
    torch.testing.assert_close(found, found[:, :1].expand_as(found))


def test_defaults_are_the_published():
    config = MemoCMTConfig()
    assert (config.num_attention_heads, config.hidden_dropout, config.classifier_dropout) == (8, 0.05, 0.05)
    assert (config.pooling, config.classifier_size, config.hidden_size) == ("min", 128, 768)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"pooling": "median"}, "pooling is one of first, mean, max, min, not 'median'"),
        ({"classifier_size": 0}, "classifier_size is a whole number above 0"),
        ({"modalities": ["speech"]}, "cannot be built from speech alone"),
    ],
)
def test_config_that_cannot_work_is_refused(fields, reason):
    with pytest.raises(ValueError, match=reason):
        MemoCMTConfig(**fields)


def test_it_has_no_losses_of_its_own():
    inputs = plain_inputs(collate(recordings((4000,), (6,)), dtype=torch.float64))
    assert build()(**inputs, labels=torch.tensor([1])).auxiliary_losses is None
