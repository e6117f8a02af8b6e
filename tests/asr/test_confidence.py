"""Confidence in words: one for each, of its own tokens, whatever bytes they are cut into."""

import math
import random

import pytest
from transformers.convert_slow_tokenizer import bytes_to_unicode

from m4ser.asr.confidence import word_confidences

BYTES = {byte: index for index, byte in enumerate(bytes_to_unicode())}  # the tiny Whisper's text tokens
SPECIAL = range(len(BYTES), len(BYTES) + 20)  # its end, its prompt, and some timestamps


def logs(*probabilities):
    return [math.log(probability) for probability in probabilities]


def test_confidence_is_geometric_mean_over_tokens():
    pieces = [(" so", logs(0.5)), (" he", logs(0.9)), ("art", logs(0.4)), (",", logs(0.6))]
    assert word_confidences("so heart,", pieces, []) == pytest.approx([0.5, (0.9 * 0.4 * 0.6) ** (1 / 3)])


def test_piece_may_be_of_two_words_and_a_space_of_none():
    pieces = [("a", logs(0.2)), (" ", logs(0.01)), ("b c", logs(0.5, 0.5)), ("d", logs(0.125))]
    assert word_confidences("a b cd", pieces, []) == pytest.approx([0.2, 0.5, (0.5 * 0.5 * 0.125) ** (1 / 3)])


def test_spaces_that_decoding_removed_join_words():
    """As a tokenizer's clean-up of spaces does."""
    pieces = [(" he", logs(0.9)), (" 's", logs(0.4)), (" in", logs(0.7))]
    assert word_confidences("he's in", pieces, []) == pytest.approx([0.6, 0.7])


def test_text_without_spaces_is_one_word():
    assert word_confidences("こんにちは", [("こん", logs(0.9)), ("にちは", logs(0.4))], []) == pytest.approx([0.6])
    assert word_confidences("", [], logs(0.5)) == []


def test_words_that_no_token_spells_have_the_mean_of_all():
    assert word_confidences("edited by hand", [("edited", logs(0.5))], logs(0.5, 0.125)) == pytest.approx(
        [0.5, 0.25, 0.25]
    )


CHARACTERS = "ab\u00e9\u00df\u4e2d\U0001f600' .\n\u00a0\u2003\u3000"


@pytest.mark.parametrize("seed", range(20))
def test_whispers_words_have_their_bytes(whisper, seed):
    """Each byte a token; the end and timestamps between characters count nowhere."""
    draw = random.Random(seed)
    tokens, values, words = [], [], [[]]
    for character in draw.choices(CHARACTERS, k=30):
        if draw.random() < 0.2:
            tokens.append(draw.choice(SPECIAL[3:]))
            values.append(-99.0)
        own = [-draw.random() for _ in character.encode()]
        tokens += [BYTES[byte] for byte in character.encode()]
        values += own
        words = [*words, []] if character.isspace() else [*words[:-1], words[-1] + own]
    tokens, values = [*tokens, SPECIAL[0]], [*values, -99.0]
    text = whisper._decode(tokens).strip()
    transcription = {"text": text, "token_ids": tokens, "token_log_probabilities": values}
    expected = [math.exp(sum(word) / len(word)) for word in words if word]
    assert len(expected) == len(text.split())
    assert whisper.word_confidences(transcription) == pytest.approx(expected, abs=6e-5)


@pytest.mark.parametrize("seed", range(20))
def test_any_bytes_have_a_confidence_for_each_word(whisper, seed):
    draw = random.Random(seed)
    tokens = draw.choices([*BYTES.values(), BYTES[ord(" ")], *SPECIAL], k=60)
    values = [-draw.random() for _ in tokens]
    transcription = {"text": whisper._decode(tokens).strip(), "token_ids": tokens, "token_log_probabilities": values}
    found = whisper.word_confidences(transcription)
    assert len(found) == len(transcription["text"].split()) and all(0.3 < one <= 1 for one in found)
