"""Equations 2 to 21 a second time: plain float64 loops, written from the paper, on one unpadded recording.

Nothing here imports the code under test. `weights` are the arrays of a module's state dict by name; sequences are
arrays (steps, d) without padding, so that whatever agrees with them has masked its padding well.
"""

import math

import numpy as np

KEPT_OUT = -100  # marks a position without a label


def weights_of(module):
    return {name: value.detach().double().numpy() for name, value in module.state_dict().items()}


def part(weights, name):
    """The weights of a submodule."""
    return {key.removeprefix(f"{name}."): value for key, value in weights.items() if key.startswith(f"{name}.")}


def softmax(scores):
    exponentials = [math.exp(score - max(scores)) for score in scores]
    return np.array(exponentials) / sum(exponentials)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gelu(x):
    return np.array([value * 0.5 * (1 + math.erf(value / math.sqrt(2))) for value in x.ravel()]).reshape(x.shape)


def linear(weights, x):
    """FC, on the last axis."""
    return x @ weights["weight"].T + weights["bias"]


def layer_norm(weights, x, eps=1e-5):
    rows = [(row - row.mean()) / math.sqrt(row.var() + eps) for row in x]
    return np.array(rows) * weights["weight"] + weights["bias"]


def attention(weights, query, memory, heads, causal=False):
    """Cross-Attn(query, memory, memory) of Vaswani et al. 2017, head by head and query by query."""
    q, k, v = (linear(part(weights, name), x) for name, x in (("query", query), ("key", memory), ("value", memory)))
    size = q.shape[1] // heads
    context = np.zeros_like(q)
    for head in range(heads):
        columns = slice(head * size, (head + 1) * size)
        for step in range(len(q)):
            seen = step + 1 if causal else len(k)
            scores = [q[step, columns] @ k[other, columns] / math.sqrt(size) for other in range(seen)]
            for other, weight in enumerate(softmax(scores)):
                context[step, columns] += weight * v[other, columns]
    return linear(part(weights, "output"), context)


def feed_forward(weights, x):
    return linear(part(weights, "2"), gelu(linear(part(weights, "0"), x)))


def cross_modal_encoder(weights, query, memory, heads):
    """CME (Fig. 3): cross-attention, residual, norm; feed-forward, residual, norm."""
    attended = attention(part(weights, "attention"), query, memory, heads)
    states = layer_norm(part(weights, "attention_norm"), query + attended)
    states = states + feed_forward(part(weights, "feed_forward"), states)
    return layer_norm(part(weights, "output_norm"), states)


def hybrid_modal_attention(weights, specific, combined, heads):
    """HMA (eq. 14 and 15); the 1x1 convolution runs over [H_i^spe, H_ST] step by step."""
    shared = attention(part(weights, "attention"), combined, specific, heads)
    mask = [
        sigmoid(linear(part(weights, "mask"), np.concatenate(pair))) for pair in zip(specific, combined, strict=True)
    ]
    return shared * np.array(mask)


def pointwise_convolution(weights, x):
    """A convolution of width 1, then PReLU."""
    hidden = linear(part(weights, "0"), x)
    return np.where(hidden > 0, hidden, weights["1.weight"] * hidden)


def invariant(weights, speech_specific, text_specific, combined, heads):
    """G of eq. 12 and 13."""
    streams = [combined]
    for name, specific in (("speech", speech_specific), ("text", text_specific)):
        filtered = hybrid_modal_attention(part(weights, f"{name}_attention"), specific, combined, heads)
        streams.append(pointwise_convolution(part(weights, f"{name}_convolution"), filtered))
    return layer_norm(part(weights, "norm"), sum(streams))


def resample(states, target):
    """n steps stretched over `target` steps, each at the center of its share, by linear interpolation."""
    count = len(states)
    stretched = []
    for step in range(target):
        position = min(max((step + 0.5) * count / target - 0.5, 0), count - 1)
        below = math.floor(position)
        above = min(below + 1, count - 1)
        stretched.append(states[below] + (position - below) * (states[above] - states[below]))
    return np.array(stretched)


def fusion(weights, speech, text, heads, specific=True, invariant_too=True):
    """Eq. 8 to 13 as far as they are switched on: the streams by name."""
    streams = {}
    if specific:
        text_attended = cross_modal_encoder(part(weights, "text_query_cme"), text, speech, heads)
        streams["speech_specific"] = cross_modal_encoder(
            part(weights, "speech_query_cme"), speech, text_attended, heads
        )
        streams["text_specific"] = cross_modal_encoder(part(weights, "text_specific"), speech, text, heads)
    if specific and not invariant_too:
        return streams
    aligned = resample(text, len(speech))
    combined = linear(part(weights, "combination"), np.concatenate([speech, aligned], axis=1))
    if not invariant_too:
        return {"combined": combined}
    sources = streams.get("speech_specific", speech), streams.get("text_specific", aligned)
    streams["invariant"] = invariant(part(weights, "generator"), *sources, combined, heads)
    return streams


def emotion_logits(weights, streams):
    """Eq. 16 to 18, literally: concatenate the streams in time, average over time, FC. Also the average itself."""
    fused = np.concatenate(list(streams))
    pooled = sum(fused) / len(fused)
    return linear(part(weights, "classifier"), pooled), pooled


def correction_logits(weights, token_ids, error_state, memory, word_embeddings, heads):
    """Eq. 4 to 6 for one CHANGE: logits (c, vocabulary) after each of the tokens (c,)."""
    inputs = []
    for index, token in enumerate(token_ids):
        embedded = word_embeddings[token] + weights["position_embeddings.weight"][index]
        inputs.append(linear(part(weights, "input_projection"), np.concatenate([embedded, error_state])))
    states = np.array(inputs)
    attended = attention(part(weights, "self_attention"), states, states, heads, causal=True)
    states = layer_norm(part(weights, "self_attention_norm"), states + attended)
    attended = attention(part(weights, "memory_attention"), states, memory, heads)
    states = layer_norm(part(weights, "memory_attention_norm"), states + attended)
    states = layer_norm(part(weights, "output_norm"), states + feed_forward(part(weights, "feed_forward"), states))
    return linear(part(weights, "lm_head"), states)


def discriminator(weights, frames):
    """D of Fig. 2f: a probability each frame."""
    hidden = np.maximum(linear(part(weights, "layers.0"), frames), 0)
    return sigmoid(linear(part(weights, "layers.2"), hidden))[:, 0]


def cross_entropy(logits, labels):
    """Eq. 3, 7 and 19 as means: minus the log-probability of each label that counts. 0 where none does."""
    losses = [
        -math.log(softmax(list(row))[label]) for row, label in zip(logits, labels, strict=True) if label != KEPT_OUT
    ]
    return sum(losses) / len(losses) if losses else 0.0


def contrastive(embeddings, labels, temperature, include_self=False):
    """Eq. 21: the mean of L_LCL,i over the anchors i with a positive. 0 where none has."""
    count = len(embeddings)
    losses = []
    for i in range(count):
        cosine = [
            embeddings[i] @ embeddings[a] / math.sqrt(embeddings[i] @ embeddings[i] * (embeddings[a] @ embeddings[a]))
            for a in range(count)
        ]
        others = [a for a in range(count) if include_self or a != i]
        positives = [p for p in range(count) if labels[p] == labels[i] and p != i]
        if positives:
            total = sum(math.exp(cosine[a] / temperature) for a in others)
            losses.append(
                -sum(math.log(math.exp(cosine[p] / temperature) / total) for p in positives) / len(positives)
            )
    return sum(losses) / len(losses) if losses else 0.0


def adversarial(speech, text, shared):
    """L_D and L_G of eq. 20 from the probabilities that D gives to the valid frames of a batch."""
    l_d = [math.log(s) + math.log(1 - t) for s, t in zip(speech, text, strict=True)]
    l_g = [-math.log(p) - math.log(1 - p) for p in shared]
    return sum(l_d) / len(l_d), sum(l_g) / len(l_g)
