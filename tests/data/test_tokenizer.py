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


def check(texts, tokenizer):
    return check_letters(texts, tokenizer, "choose normalization none")


def test_normalization_that_deletes_letters_is_refused():
    with pytest.raises(DataError, match=r"deletes 33\.3% .* such as of 'Grüß': choose normalization none\."):
        check(["oh", "Grüß"], train_tokenizer(["oh"], 80))
    few = ["a café", *["the meal was great"] * 10]
    assert check(few, train_tokenizer(few, 80)) == [
        "The tokenizer deletes 0.6% of the letters of these texts, such as of 'a café'."
    ]


def test_unknown_letters_are_reported():
    tokenizer = train_tokenizer(TEXTS, 80, "none")
    assert check(TEXTS, tokenizer) == []
    assert check(["мир", "bad"], tokenizer) == [
        "The tokenizer does not know 50.0% of the letters of these texts, such as of 'мир'."
    ]


SCRIPTS = [
    "Rtęć jest jednym z pierwiastków, źle!",
    "Привет, как дела?",
    "नमस्ते दुनिया",
    "مرحبا بالعالم",
    "你好,世界" * 60,
    "สวัสดีครับทุกคน" * 20,
    "Schöne Grüße aus Köln",
    "안녕하세요 여러분",
]


@pytest.mark.parametrize("text", SCRIPTS)
def test_trained_tokenizer_keeps_every_script(text):
    tokenizer = train_tokenizer(SCRIPTS, 100, "none", max_length=5000)
    ids = tokenizer(text).input_ids
    assert tokenizer.unk_token_id not in ids
    assert "".join(tokenizer.decode(ids, skip_special_tokens=True).split()) == "".join(text.split())


def test_letters_may_begin_a_word_later():
    tokenizer = train_tokenizer(["wróź mi Łódź, lew"], 100, "none")
    assert tokenizer("źle ówź").input_ids.count(tokenizer.unk_token_id) == 0


def test_vocabulary_of_english_has_no_letter_more():
    assert "##m" not in train_tokenizer(["my me"], 80).get_vocab()


@pytest.mark.parametrize("make", [with_normalization, lambda _, name: train_tokenizer(TEXTS, 80, name)])
def test_an_unknown_normalization_is_refused(make):
    with pytest.raises(ValueError, match="Unknown normalization 'loud'; choose from none, basic"):
        make(train_tokenizer(TEXTS, 80), "loud")
