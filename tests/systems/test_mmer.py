"""MMER against float64 loops: the gated fusion, CTC, the contrastive loss, and what trains what."""

import math

import numpy as np
import pytest
import torch

from m4ser.systems.mmer import MMERConfig, MMERModel
from tests.oracles import cross_modal_encoder, gelu, linear, part, sigmoid, softmax, weights_of
from tests.tiny import HEADS, WIDTH, collate, plain_inputs, randomize, recordings, tiny_config

TRANSCRIPTS = ["Good, good", None, "no"]
LABELS = torch.tensor([1, 0, 1])


def build(**fields):
    encoders = tiny_config()
    sizes = {"hidden_size": WIDTH, "num_attention_heads": HEADS, "intermediate_size": 36}
    torch.manual_seed(0)
    config = MMERConfig(speech_config=encoders.speech_config, text_config=encoders.text_config, **sizes, **fields)
    return randomize(MMERModel(config)).eval()


@pytest.fixture
def inputs():
    return plain_inputs(collate(recordings((4000, 2500, 6000), (7, 4, 9))))


def encoded(model, inputs):
    """Frames and tokens of each recording, without padding, in float64."""
    with torch.no_grad():
        frames, frame_mask = model.encode_speech(inputs["input_values"], inputs["attention_mask"])
        tokens, text_mask = model.encode_text(inputs["input_ids"], inputs["text_attention_mask"])
    pairs = zip(frames, frame_mask, tokens, text_mask, strict=True)
    return [(frame[mask].double().numpy(), token[known].double().numpy()) for frame, mask, token, known in pairs]


def embedding(weights, frames, tokens):
    """The vector z of one recording."""
    fusion = part(weights, "fusion")

    def attend(name, query, memory):
        return cross_modal_encoder(part(fusion, name), query, memory, HEADS)

    tokens = attend("text_layer", tokens, tokens)
    projected = linear(part(fusion, "speech_query_projection"), frames)
    from_fused = attend("fused_memory_cme", tokens, attend("speech_query_cme", projected, tokens))
    from_speech = attend("speech_memory_cme", tokens, linear(part(fusion, "speech_memory_projection"), frames))
    rows = []
    for fused, direct in zip(from_fused, from_speech, strict=True):
        gate = sigmoid(linear(part(fusion, "gate"), np.concatenate([fused, direct])))
        rows.append(np.concatenate([fused, gate * direct]))
    pooled = linear(part(weights, "fused_projection"), np.array(rows).max(0))
    return np.concatenate([frames.max(0), pooled])


def ctc(probabilities, labels):
    """Minus the log of the summed probability of all frame-wise paths that spell the labels, by recursion."""

    def paths(frame, spelled, last):
        if frame == len(probabilities):
            return float(spelled == len(labels))
        total = probabilities[frame][0] * paths(frame + 1, spelled, 0)
        if last:
            total += probabilities[frame][last] * paths(frame + 1, spelled, last)
        if spelled < len(labels) and labels[spelled] != last:
            symbol = labels[spelled]
            total += probabilities[frame][symbol] * paths(frame + 1, spelled + 1, symbol)
        return total

    return -math.log(paths(0, 0, 0))


def test_network_is_the_papers(inputs):
    model = build()
    weights, output = weights_of(model), model(**inputs)
    expected = np.array([embedding(weights, *row) for row in encoded(model, inputs)])
    np.testing.assert_allclose(output.embeddings.detach().numpy(), expected, atol=1e-4)
    np.testing.assert_allclose(
        output.logits.detach().numpy(), linear(part(weights, "classifier"), expected), atol=1e-4
    )


def test_transcripts_are_recognized_from_the_frames(inputs):
    model = build(recognition_weight=0.5, characters="dgon ")
    short = {**inputs, "attention_mask": inputs["attention_mask"].clone()}
    short["attention_mask"][:, 2400:] = 0  # seven frames, so that the paths can be counted
    losses = model(**short, labels=LABELS, transcripts=["god", None, "noo"]).auxiliary_losses["characters"]
    weights = part(weights_of(model), "character_classifier")
    frames = [row for row, _ in encoded(model, short)]
    first, last = ([softmax(list(row)) for row in linear(weights, frames[index])] for index in (0, 2))
    expected = [0.5 * ctc(first, [2, 3, 1]), 0.0, 0.5 * ctc(last, [4, 3, 3])]
    np.testing.assert_allclose(losses.detach().numpy(), expected, atol=1e-4)


def test_contrastive_loss_by_dot_products(inputs):
    model = build(supervised_contrastive_weight=0.25, supervised_contrastive_temperature=2.0)
    output = model(**inputs, labels=LABELS)
    weights = part(weights_of(model), "contrastive_projection")
    hidden = gelu(linear(part(weights, "0"), output.embeddings.detach().double().numpy()))
    rows = linear(part(weights, "2"), hidden)
    anchors = []
    for anchor, positive, other in ((0, 2, 1), (2, 0, 1)):  # recording 1 has no other of its emotion
        same, different = (math.exp(rows[anchor] @ rows[index] / 2) for index in (positive, other))
        anchors.append(-math.log(same / (same + different)))
    loss = output.auxiliary_losses["supervised_contrastive"].item()
    assert loss == pytest.approx(0.25 * sum(anchors) / 2, rel=1e-4)


def test_auxiliary_losses_train_their_projections(inputs):
    """CTC nothing of the fusion; the contrastive loss not the characters."""
    model = build()
    losses = model(**inputs, labels=LABELS, transcripts=TRANSCRIPTS).auxiliary_losses
    trained = {}
    for name, loss in losses.items():
        model.zero_grad()
        loss.sum().backward(retain_graph=True)
        moved = (key for key, value in model.named_parameters() if value.grad is not None and value.grad.any())
        trained[name] = {key.split(".")[0] for key in moved}
    assert trained["characters"] == {"speech_encoder", "character_classifier"}
    fused = {"speech_encoder", "text_encoder", "fusion", "fused_projection"}
    assert trained["supervised_contrastive"] == {*fused, "contrastive_projection"}


def test_without_transcripts_in_a_batch(inputs):
    losses = build()(**inputs, labels=LABELS).auxiliary_losses
    assert losses["characters"].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"recognition_weight": -1}, "recognition_weight is a number of at least 0"),
        ({"supervised_contrastive_temperature": 0}, "supervised_contrastive_temperature is a number of at least"),
        ({"characters": "abca"}, "each character once"),
        ({"characters": "ABC"}, "in lower case"),
        ({"characters": ""}, "characters has"),
    ],
)
def test_impossible_fields_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        MMERConfig(**fields)
