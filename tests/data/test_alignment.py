"""EditScript against its definition, an independent LCS, and the totals of real ASR corpora."""

import json
import re
from itertools import product

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from m4ser.data.alignment import CHANGE, DELETE, KEEP, align

tokens = st.lists(st.sampled_from("abcd"), max_size=12)
mixed_tokens = st.lists(st.sampled_from(["a", 97, -1, -2, 0, 2**61 - 1, (1, 2), "the"]), max_size=8)


def lcs_length(left, right):
    """Textbook dynamic programming."""
    table = [[0] * (len(right) + 1) for _ in range(len(left) + 1)]
    for i, j in product(range(len(left)), range(len(right))):
        same = left[i] == right[j]
        table[i + 1][j + 1] = table[i][j] + 1 if same else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1]


@given(tokens, tokens)
def test_apply_gives_reference_and_kept_is_lcs(hypothesis, reference):
    script = align(hypothesis, reference)
    assert script.apply(hypothesis) == reference
    assert script.kept == lcs_length(hypothesis, reference)


@given(mixed_tokens, mixed_tokens)
def test_tokens_whose_hashes_collide_stay_apart(hypothesis, reference):
    script = align(hypothesis, reference)
    assert script.apply(hypothesis) == reference
    assert script.kept == lcs_length(hypothesis, reference)


@given(tokens, tokens)
def test_tags_and_corrections_agree(hypothesis, reference):
    script = align(hypothesis, reference)
    assert len(script.tags) == len(hypothesis) + 1
    assert script.tags[0] != DELETE
    assert {i for i, tag in enumerate(script.tags) if tag == CHANGE} == set(script.corrections)
    own = sum(script.corrections[i][0] == hypothesis[i - 1] for i in script.corrections if i > 0)
    assert script.kept == script.tags[1:].count(KEEP) + own


@pytest.mark.parametrize(
    ("hypothesis", "reference", "tags", "corrections"),
    [
        ("", "", [KEEP], {}),
        ("", "a b", [CHANGE], {0: ("a", "b")}),
        ("a b", "", [KEEP, DELETE, DELETE], {}),
        ("a b", "a b", [KEEP, KEEP, KEEP], {}),
        ("a x y d", "a b c e d", [KEEP, KEEP, CHANGE, DELETE, KEEP], {2: ("b", "c", "e")}),
        ("a d", "a b c d", [KEEP, CHANGE, KEEP], {1: ("a", "b", "c")}),
        ("b", "a b c", [CHANGE, CHANGE], {0: ("a",), 1: ("b", "c")}),
        ("x b", "a b", [KEEP, CHANGE, KEEP], {1: ("a",)}),
    ],
)
def test_worked_by_hand(hypothesis, reference, tags, corrections):
    script = align(hypothesis.split(), reference.split())
    assert list(script.tags) == tags
    assert script.corrections == corrections


def test_apply_refuses_another_hypothesis():
    with pytest.raises(ValueError, match="for 1 tokens, the hypothesis has 2"):
        align(["a"], ["b"]).apply(["a", "c"])


def normalize(text):
    return re.sub("[^a-z0-9]", " ", text.lower().replace("'", "")).split()


@pytest.mark.parametrize(
    ("file", "asr", "reference_words", "hypothesis_words", "kept", "exact", "wer"),
    [
        ("mosi_asr/mosi_asr.jsonl", "asr_iflytek", 27475, 25971, 22055, 391, 23.9),
        ("mosi_asr/mosi_asr.jsonl", "asr_ibm", 27475, 25870, 20570, 233, 29.7),
        ("mosi_asr/mosi_asr.jsonl", "asr_speechbrain", 27475, 26703, 19374, 156, 35.1),
        ("phonemebert_cc0/sst_test.jsonl", "asr", 38400, 36414, 26898, 92, 32.2),
    ],
)
def test_totals_on_real_asr(shared_data, file, asr, reference_words, hypothesis_words, kept, exact, wer):
    rows = [json.loads(line) for line in (shared_data / file).read_text(encoding="utf-8").splitlines()]
    references = [normalize(row["gold"]) for row in rows]
    hypotheses = [normalize(row[asr]) for row in rows]
    scripts = [align(*pair) for pair in zip(hypotheses, references, strict=True)]

    assert sum(map(len, references)) == reference_words
    assert sum(map(len, hypotheses)) == hypothesis_words
    assert sum(script.kept for script in scripts) == kept
    assert sum(set(script.tags) == {KEEP} for script in scripts) == exact
    assert [s.apply(h) for s, h in zip(scripts, hypotheses, strict=True)] == references
    assert round(100 * jiwer.wer(list(map(" ".join, references)), list(map(" ".join, hypotheses))), 1) == wer
