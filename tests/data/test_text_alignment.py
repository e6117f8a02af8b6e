"""Labels on the tokens of any tokenizer, by the comparison form of the words."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from m4ser.data.comparison import comparison_form
from m4ser.data.labels import aligned_labels
from m4ser.data.text_alignment import TokenizedText, align_texts
from m4ser.data.tokenizer import train_tokenizer, with_prefix_space

TEXT = "I'll i'll ill we're were two Two 2 twenty one 21 colour color okay OK the dog dogs , . ! ? uh late ["
TOKENIZER = train_tokenizer([TEXT] * 5, vocab_size=400, normalization="none")


def tags_and_corrections(hypothesis, reference, tokenizer=TOKENIZER):
    """Each token of the hypothesis with its tag, and the corrected tokens as texts."""
    text = TokenizedText.create(tokenizer, hypothesis)
    script = align_texts(text, TokenizedText.create(tokenizer, reference))
    return list(script.tags), {i: tokenizer.convert_ids_to_tokens(ids) for i, ids in script.corrections.items()}


@pytest.mark.parametrize(
    ("hypothesis", "reference", "tags", "corrections"),
    [
        ("i'll", "I'll!", [0] * 4, {}),
        ("two dogs", "2 dogs", [0, 0, 0], {}),
        ("twenty one dogs", "21 dogs.", [0, 0, 0, 0], {}),
        ("21 dogs", "twenty-one dogs", [0, 0, 0], {}),
        ("THE COLOR", "the colour", None, {}),
        ("ok", "OK, [LAUGHTER]", None, {}),
        ("dogs, uh, late.", "dogs, late.", [0, 0, 0, 1, 1, 0, 0], {}),
        ("dogs, uh.", "dogs.", [0, 0, 1, 1, 0], {}),
        ("uh! [LAUGHTER] dogs", "dogs", None, {}),
        ("were late.", "we're late!", [0, 2, 0, 0], {1: ["we", "'", "re"]}),
        ("the late.", "the dogs, 21 late?", [0, 2, 0, 0], {1: ["the", "dogs", ",", "21"]}),
        ("late", "[LAUGHTER] Dogs [LAUGHTER] were late", [2, 0], {0: ["[UNK]", "were"]}),
        ("the dog uh", "the dog", [0, 0, 0, 1], {}),
    ],
)
def test_worked_by_hand(hypothesis, reference, tags, corrections):
    found, corrected = tags_and_corrections(hypothesis, reference)
    assert corrected == corrections
    if tags is None:  # of as many KEEP as there are tokens of an unknown number, but for "uh!"
        assert set(found) <= {0, 1} and found.count(1) == 2 * hypothesis.count("uh!")
    else:
        assert found == tags


def decode(ids):
    return comparison_form(re.sub(r" ?' ?", "'", TOKENIZER.decode(ids)))


texts = st.lists(st.sampled_from([word for word in TEXT.split() if word != "["]), max_size=8).map(" ".join)


@given(texts, texts)
def test_apply_gives_the_reference_in_comparison_form(hypothesis, reference):
    text, other = (TokenizedText.create(TOKENIZER, one) for one in (hypothesis, reference))
    script = align_texts(text, other)
    assert decode(script.apply(text.ids)) == decode(other.ids) == comparison_form(reference)
    assert len(script.tags) == len(text.ids) + 1 and script.tags[0] != 1


def test_no_case_or_punctuation_is_an_error():
    labels = aligned_labels(TOKENIZER, "the dogs were late", "The dogs... were LATE!")
    assert labels["aed_labels"] == [0, 0, 0, 0, 0, -100]


def byte_level_tokenizer():
    """A byte-level BPE as RoBERTa's: a word has its space before it, the first word has none."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    special = {"bos_token": "<s>", "cls_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "sep_token": "</s>"}
    trainer = trainers.BpeTrainer(
        vocab_size=350,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=sorted(set(special.values())),
        show_progress=False,
    )
    backend.train_from_iterator(["oh no i am late oh", "no i am late"] * 5, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, **special)


def test_first_word_without_its_space_is_the_same_word():
    for tokenizer in (byte_level_tokenizer(), with_prefix_space(byte_level_tokenizer())):
        labels = aligned_labels(tokenizer, "oh no i am late", "no i am late")
        assert labels["aed_labels"] == [0, 1, 0, 0, 0, 0, -100]
        assert labels["correction_ids"] == []


def test_prefix_space_separates_what_is_inserted(tmp_path):
    with_prefix_space(byte_level_tokenizer()).save_pretrained(tmp_path)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    text, reference = (TokenizedText.create(tokenizer, one) for one in ("no i am late", "oh no i am late"))
    corrected = align_texts(text, reference).apply(text.ids)
    assert tokenizer.decode(corrected).strip() == "oh no i am late"


@pytest.mark.parametrize("text", ["Zażółć gęślą jaźń", "你好，世界！", "हिन्दी में"])
def test_other_scripts_are_aligned(text):
    tokenizer = byte_level_tokenizer()
    kept = aligned_labels(tokenizer, text.upper(), text)["aed_labels"]
    assert set(kept) == {0, -100}
    changed = aligned_labels(tokenizer, "late", text, max_correction_length=99)
    assert changed["aed_labels"][1] == 2
    assert comparison_form(tokenizer.decode(changed["correction_ids"][0][:-1])) == comparison_form(text)
