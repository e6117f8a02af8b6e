"""IMISA: its shared subspace and both of its own losses, computed again in float64."""

import math

import numpy as np
import pytest
import torch

from m4ser.systems.imisa import IMISAConfig, IMISAModel
from tests.systems.common.test_discrepancy import by_pairs
from tests.tiny import HEADS, WIDTH, collate, plain_inputs, randomize, recordings, tiny_config


def build(**fields):
    encoders = tiny_config()
    sizes = {"hidden_size": WIDTH, "num_attention_heads": HEADS, "intermediate_size": 36}
    torch.manual_seed(0)
    config = IMISAConfig(speech_config=encoders.speech_config, text_config=encoders.text_config, **sizes, **fields)
    return randomize(IMISAModel(config)).eval()


@pytest.fixture
def batch():
    return plain_inputs(collate(recordings((4000, 2500, 6000, 3100), (7, 4, 9, 12))))


LABELS = torch.tensor([0, 3, 0, 1])


def by_anchors(halves, labels, temperature):
    """The supervised contrastive loss by loops over anchors and positives."""
    unit = [half / np.linalg.norm(half) for half in halves]
    terms = []
    for i, anchor in enumerate(unit):
        others = [j for j in range(len(unit)) if j != i]
        total = sum(math.exp(anchor @ unit[j] / temperature) for j in others)
        positives = [j for j in others if labels[j] == labels[i]]
        terms.append(-np.mean([math.log(math.exp(anchor @ unit[j] / temperature) / total) for j in positives]))
    return np.mean(terms)


def test_losses_are_those_of_the_embeddings(batch):
    """An embedding is speech shared, speech specific, text shared, text specific."""
    model = build(discrepancy_weight=2.0, sample_contrastive_weight=0.5, sample_contrastive_temperature=0.3)
    with torch.no_grad():
        output = model(**batch, labels=LABELS)
    parts = output.embeddings.double().reshape(4, 4, WIDTH).numpy()
    discrepancy = 2 * by_pairs(parts[:, 0], parts[:, 2])
    halves = [*parts[:, :2].reshape(4, -1), *parts[:, 2:].reshape(4, -1)]
    contrastive = 0.5 * by_anchors(halves, [*LABELS.tolist()] * 2, 0.3)
    assert output.auxiliary_losses["discrepancy"].item() == pytest.approx(discrepancy, abs=1e-5)
    assert output.auxiliary_losses["sample_contrastive"].item() == pytest.approx(contrastive, rel=1e-4)


def test_shared_states_attend_to_both_modalities_and_specific_ones_to_their_own(batch):
    model = build()
    with torch.no_grad():
        before = model(**batch).embeddings.reshape(4, 4, WIDTH)
        other_text = model(**{**batch, "input_ids": batch["input_ids"].flip(0)}).embeddings.reshape(4, 4, WIDTH)
        louder = {**batch, "input_values": batch["input_values"].flip(0)}
        other_speech = model(**louder).embeddings.reshape(4, 4, WIDTH)
    # In the order of an embedding's parts.
    assert [not torch.allclose(before[:, i], other_text[:, i], atol=1e-6) for i in range(4)] == [
        True,
        False,
        True,
        True,
    ]
    assert [not torch.allclose(before[:, i], other_speech[:, i], atol=1e-6) for i in range(4)] == [
        True,
        True,
        True,
        False,
    ]


def test_one_map_serves_both_modalities():
    """The same states are the same shared means, whichever modality they come from."""
    subspace = build().shared
    states, mask = torch.randn(2, 5, WIDTH), torch.ones(2, 5, dtype=torch.bool)
    speech, text = subspace(states, states, mask, mask)
    torch.testing.assert_close(speech, text)


def test_single_recording_contrasts_its_halves(batch):
    """Each half's only other is its positive: the loss is zero; so is the MMD."""
    one = {name: value[:1] for name, value in batch.items()}
    losses = build()(**one, labels=LABELS[:1]).auxiliary_losses
    assert losses["discrepancy"].item() == 0 and losses["sample_contrastive"].item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("discrepancy_weight", -1, "discrepancy_weight is a number of at least 0, not -1"),
        ("sample_contrastive_weight", math.nan, "sample_contrastive_weight is a number of at least 0, not nan"),
        ("sample_contrastive_temperature", 0, "temperature is a number above 0, not 0"),
    ],
)
def test_impossible_fields_are_refused(field, value, message):
    with pytest.raises(ValueError, match=message):
        IMISAConfig(**{field: value})
