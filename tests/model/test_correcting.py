"""How sure detection must be before a token is edited, and correction without detection: rewriting the whole text."""

import pytest
import torch

from m4ser import M4SERConfig, M4SERModel
from m4ser.data.labels import aligned_labels
from m4ser.data.tokenizer import train_tokenizer
from m4ser.losses import error_correction_loss
from m4ser.model.correction_m4ser import CHANGE, DELETE, KEEP, decode_tags, rewriting_tags
from tests.tiny import BOS, EOS, collate, recordings, tiny_config, tiny_model

THRESHOLDS = (0.0, 0.34, 0.5, 0.8, 1.0)


@pytest.fixture
def batch():
    return collate(recordings([400] * 4, [7, 3, 2, 9], seed=3), more_tokens=2)


def correct(model, batch):
    return model.correct(batch["input_ids"], batch["text_attention_mask"])


# The retention threshold.


@pytest.mark.parametrize("threshold", [None, *THRESHOLDS])
def test_tags_against_a_loop(threshold):
    logits = 2 * torch.randn(5, 8, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    tags = decode_tags(logits, threshold)
    for row, row_tags in zip(logits.softmax(-1).tolist(), tags.tolist(), strict=True):
        for (keep, delete, change), tag in zip(row, row_tags, strict=True):
            edit = DELETE if delete > change else CHANGE
            edited = max(delete, change) > keep if threshold is None else max(delete, change) >= threshold
            assert tag == (edit if edited else KEEP)


def test_edit_needs_the_threshold_only():
    logits = torch.tensor([[[0.5, 0.2, 0.3], [0.5, 0.3, 0.2], [0.2, 0.4, 0.4]]]).log()
    assert decode_tags(logits)[0, :2].tolist() == [KEEP, KEEP]
    assert decode_tags(logits, 0.25)[0, :2].tolist() == [CHANGE, DELETE]
    assert decode_tags(logits, 0.45).tolist() == [[KEEP, KEEP, KEEP]]


def edits_one_by_one(model, ids, threshold):
    """The tags of one hypothesis and their probabilities, each replacement decoded by itself."""
    states = model.text_encoder(ids[None], torch.ones_like(ids[None]))
    mask = torch.ones(1, len(ids), dtype=torch.bool)
    logits = model.error_detector(states)
    tags = decode_tags(logits, threshold)[0].tolist()
    probabilities = [logits[0, index].softmax(-1)[tag].item() for index, tag in enumerate(tags)]
    for index in (index for index, tag in enumerate(tags[:-1]) if tag == CHANGE):
        _, certainty = model.error_corrector.generate(states[:, index], states, mask, model.get_input_embeddings())
        probabilities[index] *= certainty.item()
        if threshold is not None and probabilities[index] < threshold:
            tags[index] = KEEP
    return tags, probabilities


@pytest.mark.parametrize("threshold", [None, 0.0, 0.1, 0.2, 0.4, 1.0])
def test_change_needs_a_certain_replacement(batch, threshold):
    model = tiny_model(correction_threshold=threshold)
    for correction, ids, mask in zip(
        correct(model, batch), batch["input_ids"], batch["text_attention_mask"], strict=True
    ):
        tags, probabilities = edits_one_by_one(model, ids[: mask.sum()], threshold)
        assert correction.tags == tags
        assert correction.probabilities == pytest.approx(probabilities, abs=1e-5)


def test_higher_threshold_means_fewer_edits(batch):
    counts = []
    for threshold in (0.0, 0.1, 0.2, 0.4, 1.0):
        corrections = correct(tiny_model(correction_threshold=threshold), batch)
        counts.append(sum(tag != KEEP for item in corrections for tag in item.tags))
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[2] > counts[-1] == 0


def test_certainty_is_the_geometric_mean(batch):
    model = tiny_model().double()
    states = model.text_encoder(batch["input_ids"][:1], batch["text_attention_mask"][:1])
    mask, embeddings = batch["text_attention_mask"][:1].bool(), model.get_input_embeddings()
    with torch.no_grad():
        model.error_corrector.lm_head.bias[EOS] += 2.5
    replacements, certainty = model.error_corrector.generate(states[:, 1], states, mask, embeddings)
    tokens = [BOS, *replacements[0], EOS][: model.config.max_correction_length + 1]
    logits = model.error_corrector(torch.tensor([tokens[:-1]]), states[:, 1], states, mask, embeddings)[0]
    chosen = logits.log_softmax(-1)[range(len(tokens) - 1), tokens[1:]]
    assert certainty.item() == pytest.approx(chosen.mean().exp().item(), abs=1e-6)


def test_unreachable_threshold_keeps_hypotheses(batch):
    ids, lengths = batch["input_ids"].tolist(), batch["text_attention_mask"].sum(-1).tolist()
    corrections = correct(tiny_model(correction_threshold=1.0), batch)
    assert [item.token_ids for item in corrections] == [row[1 : n - 1] for row, n in zip(ids, lengths, strict=True)]


def test_threshold_is_saved(tmp_path):
    M4SERConfig.preset("tiny", correction_threshold=0.6).save_pretrained(tmp_path)
    assert M4SERConfig.from_pretrained(tmp_path).correction_threshold == 0.6
    assert M4SERConfig.preset("tiny").correction_threshold is None


# Without detection.


def rewriting_model(**fields):
    return tiny_model(auxiliary_tasks=["correction"], modalities=["text"], **fields)


def test_rewriting_tags():
    ids = torch.tensor([[BOS, 7, 8, EOS], [BOS, EOS, 0, 0]])
    assert rewriting_tags(ids).tolist() == [[CHANGE, DELETE, DELETE, DELETE]] * 2


def test_rewriting_gives_the_decoders_text(batch):
    model = rewriting_model()
    corrections = correct(model, batch)
    assert model.error_detector is None
    for ids, mask, correction in zip(batch["input_ids"], batch["text_attention_mask"], corrections, strict=True):
        states = model.text_encoder(ids[None, : mask.sum()], mask[None, : mask.sum()])
        written, _ = model.error_corrector.generate(
            states[:, 0], states, torch.ones(states.shape[:2], dtype=torch.bool), model.get_input_embeddings()
        )
        assert [correction.token_ids] == written
        assert correction.tags == [CHANGE] + [DELETE] * (int(mask.sum()) - 1)


def test_rewriting_ignores_the_threshold(batch):
    assert correct(rewriting_model(), batch) == correct(rewriting_model(correction_threshold=1.0), batch)


def test_rewriting_learns_from_its_labels():
    pairs = [("ab cd", "ab ef cd"), ("gh", "ij ij"), ("", "cd gh"), ("ef ef", ""), ("ij ab", "ij ab")]
    tokenizer = train_tokenizer(["ab cd ef gh ij"] * 3, vocab_size=40)
    labels = [aligned_labels(tokenizer, *pair, rewrite=True) for pair in pairs]
    fields = {"correction_bos_token_id": tokenizer.cls_token_id, "correction_eos_token_id": tokenizer.sep_token_id}
    torch.manual_seed(0)
    model = M4SERModel(tiny_config(auxiliary_tasks=["correction"], modalities=["text"], hidden_dropout=0.0, **fields))
    encoded = tokenizer([hypothesis for hypothesis, _ in pairs], padding=True, return_tensors="pt")
    targets = [label["correction_ids"][0] for label in labels]
    targets = torch.tensor([ids + [-100] * (max(map(len, targets)) - len(ids)) for ids in targets])
    places = torch.tensor([[row, *label["correction_positions"]] for row, label in enumerate(labels)])
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(60):
        output = model(
            input_ids=encoded.input_ids,
            text_attention_mask=encoded.attention_mask,
            correction_positions=places,
            correction_ids=targets,
        )
        optimizer.zero_grad()
        error_correction_loss(output.aec_logits, targets).backward()
        optimizer.step()
    corrections = model.eval().correct(encoded.input_ids, encoded.attention_mask)
    assert [tokenizer.decode(item.token_ids) for item in corrections] == [reference for _, reference in pairs]
