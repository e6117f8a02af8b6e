"""DRKF against float64 loops: the fusion's sequence, the autoencoders, and each of its losses."""

import math

import numpy as np
import pytest
import torch

from m4ser.systems.drkf import DRKFConfig, DRKFModel
from tests.oracles import cross_modal_encoder, layer_norm, linear, part, softmax, weights_of
from tests.tiny import HEADS, WIDTH, collate, plain_inputs, randomize, recordings, tiny_config

LABELS = torch.tensor([1, 0, 1])
WEIGHTS = {
    "reconstruction_weight": 0.3,
    "augmentation_weight": 0.5,
    "cross_modal_weight": 0.7,
    "pair_weight": 1.1,
    "divergence_weight": 1.3,
}


def build(**fields):
    encoders = tiny_config()
    sizes = {"hidden_size": WIDTH, "num_attention_heads": HEADS, "intermediate_size": 36, "autoencoder_sizes": [9, 5]}
    torch.manual_seed(0)
    fields = {"num_fusion_layers": 2, **sizes, **fields}
    config = DRKFConfig(speech_config=encoders.speech_config, text_config=encoders.text_config, **fields)
    return randomize(DRKFModel(config)).eval()


@pytest.fixture
def inputs():
    return plain_inputs(collate(recordings((4000, 2500, 6000), (7, 4, 9)), more_samples=900, more_tokens=2))


@pytest.fixture
def model():
    return build(**WEIGHTS)


@pytest.fixture
def losses(model, inputs):
    found = model(**inputs, labels=LABELS).auxiliary_losses
    return {name: loss.detach().double().numpy() for name, loss in found.items()}


def encoded(model, inputs):
    """Frames and tokens of each recording, without padding, in float64."""
    with torch.no_grad():
        frames, frame_mask = model.encode_speech(inputs["input_values"], inputs["attention_mask"])
        tokens, text_mask = model.encode_text(inputs["input_ids"], inputs["text_attention_mask"])
    pairs = zip(frames, frame_mask, tokens, text_mask, strict=True)
    return [(frame[mask].double().numpy(), token[known].double().numpy()) for frame, mask, token, known in pairs]


def fuse(weights, frames, tokens, most_positions=2800):
    zero = np.zeros((1, WIDTH))
    states = np.concatenate([zero, frames, zero, tokens, zero])
    embeddings = weights["fusion.positions.weight"]
    states = np.array([row + embeddings[min(step, most_positions - 1)] for step, row in enumerate(states)])
    states = layer_norm(part(weights, "fusion.norm"), states)
    for number in range(2):
        states = cross_modal_encoder(part(weights, f"fusion.layers.{number}"), states, states, HEADS)
    return states[0]


def relu(rows, slope=0.0):
    return np.where(rows > 0, rows, slope * rows)


def perceptron(weights, rows, layers, slope=0.0):
    for number in range(layers):
        rows = linear(part(weights, str(2 * number)), rows if number == 0 else relu(rows, slope))
    return rows


def reconstruct(weights, rows):
    for number in range(5):
        block = part(weights, f"blocks.{number}")
        rows = rows + perceptron(part(block, "1"), perceptron(part(block, "0"), rows, 2, slope=0.01), 2)
    return perceptron(part(weights, "output"), rows, 2)


def views(model, inputs, modality):
    """The states, projected vectors and reconstructions of each recording."""
    weights = part(weights_of(model), f"{modality}_augmentation")
    states = [row[modality == "text"] for row in encoded(model, inputs)]
    pooled = [rows[0] if modality == "text" else rows.mean(0) for rows in states]
    projected = [perceptron(part(weights, "projection"), vector, 2) for vector in pooled]
    return weights, states, projected, [reconstruct(part(weights, "autoencoder"), rows) for rows in states]


def cosine(first, second):
    return first @ second / math.sqrt((first @ first) * (second @ second))


def temperature(model):
    return 1 / (1 + math.exp(-model.temperature_logit.item()))


@pytest.mark.parametrize("most_positions", [2800, 6])
def test_emotions_come_from_the_first_position(inputs, most_positions):
    """However many positions there are: the last one serves all steps beyond."""
    model = build(max_positions=most_positions)
    weights, output = weights_of(model), model(**inputs)
    expected = [fuse(weights, *row, most_positions) for row in encoded(model, inputs)]
    np.testing.assert_allclose(output.embeddings.detach().numpy(), expected, atol=1e-4)
    logits = linear(part(weights, "classifier"), np.array(expected))
    np.testing.assert_allclose(output.logits.detach().numpy(), logits, atol=1e-4)


def test_reconstruction_loss(model, inputs, losses):
    expected = np.zeros(3)
    for modality in ("speech", "text"):
        _, states, _, reconstructed = views(model, inputs, modality)
        expected += [((after - before) ** 2).mean() for before, after in zip(states, reconstructed, strict=True)]
    np.testing.assert_allclose(losses["reconstruction"], 0.3 * expected, rtol=1e-4)


def test_augmentation_loss_finds_the_other_view(model, inputs, losses):
    expected = np.zeros(3)
    for modality in ("speech", "text"):
        _, _, projected, reconstructed = views(model, inputs, modality)
        vectors = [*projected, *(rows.mean(0) for rows in reconstructed)]
        for index in range(6):
            others = [other for other in range(6) if other != index]
            scores = softmax([cosine(vectors[index], vectors[other]) / temperature(model) for other in others])
            expected[index % 3] -= math.log(scores[others.index((index + 3) % 6)]) / 2
    np.testing.assert_allclose(losses["augmentation"], 0.5 * expected, rtol=1e-4)


def test_cross_modal_loss_finds_the_text_of_speech(model, inputs, losses):
    (_, _, spoken, _), (_, _, written, _) = (views(model, inputs, modality) for modality in ("speech", "text"))
    expected = [
        -math.log(softmax([cosine(vector, text) / temperature(model) for text in written])[index])
        for index, vector in enumerate(spoken)
    ]
    np.testing.assert_allclose(losses["cross_modal"], 0.7 * np.array(expected), rtol=1e-4)


def test_divergence_of_class_distributions(model, inputs, losses):
    expected = np.zeros(3)
    for modality in ("speech", "text"):
        weights, _, projected, reconstructed = views(model, inputs, modality)
        for index, vector in enumerate(projected):
            rows = (vector, reconstructed[index].mean(0))
            original, other = (softmax(list(linear(part(weights, "classifier"), row))) for row in rows)
            expected[index] += sum(q * math.log(q / p) for p, q in zip(original, other, strict=True))
    np.testing.assert_allclose(losses["divergence"], 1.3 * expected, rtol=1e-4)


def test_all_mismatched_pairs_are_compared(model, inputs, losses):
    weights, rows = weights_of(model), encoded(model, inputs)
    expected = []
    for spoken, written in ((0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)):
        first = fuse(weights, rows[spoken][0], rows[written][1])
        same = int({spoken, written} == {0, 2})  # the others differ in emotion
        expected.append(-math.log(softmax(list(linear(part(weights, "pair_classifier"), first)))[same]))
    assert losses["pairs"] == pytest.approx(1.1 * sum(expected) / 6, rel=1e-4)


def test_one_recording_makes_no_pairs(model, inputs):
    alone = {name: value[:1] for name, value in inputs.items()}
    losses = model(**alone, labels=LABELS[:1]).auxiliary_losses
    assert losses["pairs"] == 0 and losses["augmentation"].tolist() == [0] and losses["cross_modal"].tolist() == [0]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pair_weight": -1}, "pair_weight is a number of at least 0"),
        ({"num_fusion_layers": 0}, "num_fusion_layers is a whole number"),
        ({"autoencoder_sizes": []}, "autoencoder_sizes has widths above 0"),
        ({"autoencoder_sizes": [8, 0]}, "autoencoder_sizes has widths above 0"),
    ],
)
def test_impossible_fields_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        DRKFConfig(**fields)
