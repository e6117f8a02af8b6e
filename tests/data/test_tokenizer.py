"""The normalization is part of the tokenizer: it survives saving, and real BERT tokenizers take it."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from m4ser.data.schema import DataError
from m4ser.data.tokenizer import basic_normalizer, check_letters, train_tokenizer, with_normalization

TEXTS = ["the meal was really great", "the night was rather bad", "it's a LOVELY meal"] * 5


@given(st.text())
def test_basic_normalizer_against_regular_expressions(text):
    expected = re.sub("[^a-z0-9]", " ", re.sub("['\u2019]", "", text.lower()))
    assert basic_normalizer().normalize_str(text) == expected


def test_special_tokens_and_their_positions():
    tokenizer = train_tokenizer(TEXTS, vocab_size=80)
    ids = tokenizer("the meal").input_ids
    assert tokenizer.convert_ids_to_tokens(ids) == ["[CLS]", "the", "meal", "[SEP]"]
    assert tokenizer.pad_token_id == 0
    assert len(tokenizer) <= 80
    assert tokenizer("zzz", add_special_tokens=False).input_ids == [tokenizer.unk_token_id]


def test_training_is_deterministic():
    vocabularies = [train_tokenizer(TEXTS, vocab_size=60).get_vocab() for _ in range(3)]
    assert vocabularies[0] == vocabularies[1] == vocabularies[2]


def test_trained_tokenizer_saves_normalization(tmp_path):
    tokenizer = train_tokenizer(TEXTS, vocab_size=80)
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded("The MEAL, isn't!").input_ids == tokenizer("the meal isnt").input_ids


def test_without_normalization_case_counts():
    tokenizer = train_tokenizer(TEXTS, vocab_size=80, normalization="none")
    assert tokenizer("LOVELY").input_ids != tokenizer("lovely").input_ids


def test_bert_tokenizer_saves_normalization(bert_folder, tmp_path):
    bert = AutoTokenizer.from_pretrained(bert_folder)
    normalizing = with_normalization(bert, "basic")
    normalizing.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)

    raw, clean = "Don't STOP\u2014it (now)!", "dont stop it now"
    assert bert(raw).input_ids != bert(clean).input_ids
    for tokenizer in (normalizing, loaded):
        assert tokenizer(raw).input_ids == bert(clean).input_ids
        assert tokenizer.special_tokens_map == bert.special_tokens_map
        assert tokenizer.model_max_length == bert.model_max_length == 512


def test_a_tokenizer_is_not_changed_in_place(bert_folder):
    bert = AutoTokenizer.from_pretrained(bert_folder)
    before = bert("Don't").input_ids
    with_normalization(bert, "basic")
    assert bert("Don't").input_ids == before
    assert with_normalization(bert, "none") is bert


def test_basic_is_refused_for_other_scripts():
    check_letters(["a caf\u00e9"] + ["the meal was great"] * 10, "basic")
    check_letters(["za\u017c\u00f3\u0142\u0107"], "none")
    with pytest.raises(DataError, match="delete 33% of the letters of these texts, such as of 'Gr\u00fc\u00df'"):
        check_letters(["oh", "Gr\u00fc\u00df"], "basic")


@pytest.mark.parametrize("make", [with_normalization, lambda _, name: train_tokenizer(TEXTS, 80, name)])
def test_an_unknown_normalization_is_refused(make):
    with pytest.raises(ValueError, match="Unknown normalization 'loud'; choose from none, basic"):
        make(train_tokenizer(TEXTS, 80), "loud")
