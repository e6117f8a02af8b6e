"""MGAT against float64 loops: windows by hand, granularities, positions, and the whole network."""

import math

import numpy as np
import pytest
import torch

from m4ser.systems.mgat import MGATConfig, MGATModel, average_ahead, sinusoids, skip_branch, visible_steps
from tests.oracles import attention, gelu, layer_norm, linear, part, softmax, weights_of
from tests.tiny import HEADS, WIDTH, collate, plain_inputs, randomize, recordings, tiny_config


def build(**fields):
    encoders = tiny_config()
    sizes = {"hidden_size": WIDTH, "num_attention_heads": HEADS, "intermediate_size": 36}
    torch.manual_seed(0)
    config = MGATConfig(speech_config=encoders.speech_config, text_config=encoders.text_config, **sizes, **fields)
    return randomize(MGATModel(config)).eval()


def mask_of(*lengths, longest):
    return torch.arange(longest) < torch.tensor(lengths)[:, None]


def seen_by(step, queries, keys, window=4, granularities=(1, 2, 4)):
    """The steps of each granularity that a query sees: the nearest to its window's middle, of equal ones the first."""
    windows = math.ceil(keys / window)
    own = math.floor((step + 0.5) / queries * windows)
    found = []
    for size in granularities:
        middle = own * (window // size) + window // size // 2
        nearest = sorted(range(math.ceil(keys / size)), key=lambda other: (abs(other - middle), other))
        found.append(sorted(nearest[:window]))
    return found


def test_windows_of_the_published_lengths():
    """40 steps attend to 40: windows of 4 and 4, and the neighbors of each are worked out by hand."""
    visible = visible_steps(mask_of(40, longest=40), mask_of(40, longest=40), 4, (1, 2, 4))[0]
    assert visible.shape == (40, 3 * 40) and set(visible.sum(1).tolist()) == {12}
    for queries, steps in (
        (range(4), ([0, 1, 2, 3], [0, 2, 4, 6], [0, 4, 8, 12])),  # nothing lies before the first window
        (range(20, 24), ([20, 21, 22, 23], [18, 20, 22, 24], [12, 16, 20, 24])),
        (range(36, 40), ([36, 37, 38, 39], [32, 34, 36, 38], [24, 28, 32, 36])),
    ):
        expected = [*steps[0], *(40 + step for step in steps[1]), *(80 + step for step in steps[2])]
        assert all(visible[query].nonzero().flatten().tolist() == expected for query in queries)


@pytest.mark.parametrize(("queries", "keys"), [(40, 10), (5, 27), (7, 1), (1, 30), (13, 6), (3, 4), (50, 187)])
def test_windows_of_other_lengths(queries, keys):
    """Padding of either side changes nothing of what valid steps see, and is never seen."""
    longest = keys + 9
    visible = visible_steps(mask_of(queries, longest=queries + 3), mask_of(keys, longest=longest), 4, (1, 2, 4))[0]
    for query in range(queries):
        fine, coarse, coarsest = seen_by(query, queries, keys)
        steps = [*fine, *(longest + 2 * step for step in coarse), *(2 * longest + 4 * step for step in coarsest)]
        assert visible[query].nonzero().flatten().tolist() == steps


def test_steps_are_averaged_as_far_as_they_are_valid():
    states = torch.tensor([[[1.0], [3.0], [5.0], [7.0], [9.0]], [[2.0], [4.0], [6.0], [100.0], [100.0]]])
    means = average_ahead(states, mask_of(5, 3, longest=5), 2)
    assert means.squeeze(-1).tolist() == [[2, 4, 6, 8, 9], [3, 5, 6, 0, 0]]


def test_positions_count_valid_steps():
    found = sinusoids(torch.tensor([[True, False, True]]), 5)[0]
    expected = [[math.sin(1), math.cos(1), math.sin(10_000**-0.4), math.cos(10_000**-0.4), math.sin(10_000**-0.8)]]
    torch.testing.assert_close(found[[0]], torch.tensor([[0.0, 1, 0, 1, 0]]))
    torch.testing.assert_close(found[[2]], torch.tensor(expected))


def sinusoid(position, width):
    rates = [position / 10_000 ** (2 * (index // 2) / width) for index in range(width)]
    return np.array([math.cos(rate) if index % 2 else math.sin(rate) for index, rate in enumerate(rates)])


def feed_forward(weights, rows, activation):
    return linear(part(weights, "3"), activation(linear(part(weights, "0"), rows)))


def relu(rows):
    return np.maximum(rows, 0)


def self_encoder(weights, rows, layers):
    rows = layer_norm(part(weights, "norm"), rows)
    positions = np.array([sinusoid(position, WIDTH) for position in range(len(rows))])
    for number in range(layers):
        layer = part(weights, f"layers.{number}")
        attended = attention(part(layer, "attention"), rows + positions, rows + positions, HEADS)
        rows = layer_norm(part(layer, "attention_norm"), rows + attended)
        rows = layer_norm(part(layer, "output_norm"), rows + feed_forward(part(layer, "feed_forward"), rows, relu))
    return rows


def grouped_means(rows, size):
    return np.array([rows[start : start + size].mean(0) for start in range(0, len(rows), size)])


def cross_encoder(weights, rows, other, layers):
    for number in range(layers):
        layer = part(weights, f"layers.{number}")
        memory = layer_norm(part(layer, "attention_norm"), other)
        query = layer_norm(part(layer, "attention_norm"), rows)
        attended = np.empty_like(rows)
        for step in range(len(rows)):
            seen = zip((1, 2, 4), seen_by(step, len(rows), len(other)), strict=True)
            keys = np.concatenate([grouped_means(memory, size)[steps] for size, steps in seen])
            attended[step] = attention(part(layer, "attention"), query[[step]], keys, HEADS)[0]
        rows = rows + attended
        hidden = layer_norm(part(layer, "feed_forward_norm"), rows)
        rows = rows + feed_forward(part(layer, "feed_forward"), hidden, gelu)
    return layer_norm(part(weights, "norm"), rows)


def probabilities(weights, frames, tokens):
    speech = self_encoder(part(weights, "speech_self_encoder"), grouped_means(frames, 2), 2)
    text = self_encoder(part(weights, "text_self_encoder"), tokens, 2)
    crossed_text = cross_encoder(part(weights, "text_cross_encoder"), text, speech, 3)
    crossed_speech = cross_encoder(part(weights, "speech_cross_encoder"), speech, text, 3)
    fused = self_encoder(part(weights, "fusion"), np.concatenate([crossed_text, crossed_speech]), 3)
    hidden = np.concatenate([fused[: len(text)].mean(0), fused[len(text) :].mean(0)])
    for name in ("hidden_classifier.0", "hidden_classifier.3"):
        hidden = relu(linear(part(weights, name), hidden))
    return softmax(list(linear(part(weights, "classifier"), hidden)))


def test_network_is_the_papers():
    model = build(frame_pooling=2)
    inputs = plain_inputs(collate(recordings((9000, 5000), (5, 11)), more_samples=700, more_tokens=3))
    with torch.no_grad():
        found = model(**inputs).logits.softmax(-1)
        frames, frame_mask = model.encode_speech(inputs["input_values"], inputs["attention_mask"])
        tokens, text_mask = model.encode_text(inputs["input_ids"], inputs["text_attention_mask"])
    for row, scores in enumerate(found):
        valid = frames[row][frame_mask[row]].double().numpy(), tokens[row][text_mask[row]].double().numpy()
        np.testing.assert_allclose(scores.numpy(), probabilities(weights_of(model), *valid), atol=1e-5)


def test_drop_path_skips_whole_rows_and_keeps_the_mean():
    torch.manual_seed(0)
    found = skip_branch(torch.ones(4000, 2, 3), 0.25)
    assert sorted({*found.flatten(1).unique(dim=1).flatten().tolist()}) == pytest.approx([0, 4 / 3])
    assert found.mean().item() == pytest.approx(1, abs=0.03)
    assert [layer.drop_path for layer in build().speech_cross_encoder.layers] == [0, 0.25, 0.5]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"granularities": [1, 3]}, "granularities has divisors of window_size"),
        ({"granularities": []}, "granularities has divisors of window_size"),
        ({"window_size": 0}, "window_size is a whole number"),
        ({"drop_path": 1}, "drop_path is a probability below 1"),
    ],
)
def test_impossible_fields_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        MGATConfig(**fields)
