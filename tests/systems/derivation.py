"""Layers in numpy, of one row without padding, for tests that derive a system's output from its weights."""

import math

import numpy as np

gelu = np.vectorize(lambda value: value / 2 * (1 + math.erf(value / math.sqrt(2))))


def array(tensor):
    return tensor.detach().numpy()


def linear(layer, rows):
    product = rows @ array(layer.weight).T
    return product if layer.bias is None else product + array(layer.bias)


def norm(layer, rows):
    centered = rows - rows.mean(-1, keepdims=True)
    deviation = np.sqrt((centered**2).mean(-1, keepdims=True) + layer.eps)
    return centered / deviation * array(layer.weight) + array(layer.bias)


def softmax(scores):
    raised = np.exp(scores - scores.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)


def attention(queries, keys, values, heads):
    """Each head on its own share of the dimensions."""
    width, found = queries.shape[-1] // heads, []
    for head in range(heads):
        part = slice(width * head, width * (head + 1))
        found.append(softmax(queries[:, part] @ keys[:, part].T / math.sqrt(width)) @ values[:, part])
    return np.concatenate(found, -1)


def cross_modal_encoder(encoder, query, memory):
    """X(query, memory): attention and two linear layers, each added to what it is computed from, then normalized."""
    layer = encoder.attention
    projected = linear(layer.query, query), linear(layer.key, memory), linear(layer.value, memory)
    states = norm(encoder.attention_norm, query + linear(layer.output, attention(*projected, layer.num_heads)))
    widen, _, narrow = encoder.feed_forward
    return norm(encoder.output_norm, states + linear(narrow, gelu(linear(widen, states))))


def attention_pooling(pooling, rows):
    return softmax(linear(pooling.score, np.tanh(linear(pooling.hidden, rows)))[:, 0]) @ rows


def sigmoid(scores):
    return 1 / (1 + np.exp(-scores))


def lstm(layer, rows):
    """Both directions, step by step."""
    found = []
    for direction, steps in ((layer.forwards, range(len(rows))), (layer.backwards, reversed(range(len(rows))))):
        names = "weight_ih", "weight_hh", "bias_ih", "bias_hh"
        into, back, *biases = (array(getattr(direction, f"{name}_l0")) for name in names)
        hidden = memory = np.zeros(direction.hidden_size)
        states = {}
        for step in steps:
            write, forget, new, read = np.split(into @ rows[step] + back @ hidden + sum(biases), 4)
            memory = sigmoid(forget) * memory + sigmoid(write) * np.tanh(new)
            hidden = states[step] = sigmoid(read) * np.tanh(memory)
        found.append(np.stack([states[step] for step in range(len(rows))]))
    return np.concatenate(found, -1)


def cross_entropy(logits, label):
    return -math.log(softmax(logits)[label])


def encoded_rows(model, inputs):
    """The frames and the token states of each row, without padding."""
    text, text_mask = model.encode_text(inputs["input_ids"], inputs["text_attention_mask"])
    speech, frame_mask = model.encode_speech(inputs["input_values"], inputs["attention_mask"])
    rows = zip(speech, frame_mask, text, text_mask, strict=True)
    return [(array(frames[valid]), array(tokens[known])) for frames, valid, tokens, known in rows]
