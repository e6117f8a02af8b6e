"""The demo corpus holds what its docstring says, no more and no less."""

from collections import Counter

import jiwer
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from m4ser.data import synthetic
from m4ser.data.synthetic import EMOTIONS, SPEAKERS, best_accuracy, synthesize

SIZES = {"train": 320, "test": 200}


@pytest.fixture(scope="module")
def corpus():
    return list(synthesize(seed=0, sizes=SIZES))


def of_split(corpus, split):
    return [utterance for utterance in corpus if utterance.split == split]


def heard_valence(hypothesis):
    """What a decoder that knows the lexicon makes of a hypothesis: positive, negative or (lost) None."""
    sounds = {
        synthetic.HOMOPHONES.get(cue, cue): positive for positive, cues in synthetic.CUES.items() for cue in cues
    }
    sounds |= {cue: positive for positive, cues in synthetic.CUES.items() for cue in cues}
    padded = f" {hypothesis} "
    found = {positive for sound, positive in sounds.items() if f" {sound} " in padded}
    assert len(found) <= 1
    return found.pop() if found else None


def oracle_accuracy(test):
    """Score a decoder whose guesses are always the same emotion: on balanced classes, no guess does better."""
    by_meaning = {(u.emotion in synthetic.AROUSED, u.emotion in synthetic.POSITIVE): u.emotion for u in test}
    text = np.mean([u.emotion == by_meaning[True, bool(heard_valence(u.hypothesis))] for u in test])
    both = np.mean(
        [u.emotion == by_meaning[u.emotion in synthetic.AROUSED, bool(heard_valence(u.hypothesis))] for u in test]
    )
    speech = np.mean([u.emotion == by_meaning[u.emotion in synthetic.AROUSED, True] for u in test])
    return {"speech": speech, "text": text, "both": both}


def test_ceilings_equal_oracle_decoder(corpus):
    assert oracle_accuracy(of_split(corpus, "test")) == pytest.approx(best_accuracy())
    assert best_accuracy() == pytest.approx({"speech": 0.5, "text": 0.45, "both": 0.9})


@pytest.mark.parametrize(
    ("lost_cues", "text", "both"), [(0, 0.5, 1), (0.2, 0.45, 0.9), (0.5, 0.375, 0.75), (0.8, 0.3, 0.6), (1, 0.25, 0.5)]
)
@pytest.mark.parametrize("word_error_rate", [0, 0.5])
def test_ceilings_depend_on_lost_cues_alone(lost_cues, text, both, word_error_rate):
    test = list(synthesize(sizes={"test": 40}, word_error_rate=word_error_rate, lost_cues=lost_cues))
    assert best_accuracy(lost_cues) == pytest.approx({"speech": 0.5, "text": text, "both": both})
    assert oracle_accuracy(test) == pytest.approx(best_accuracy(lost_cues))


def test_without_errors_the_hypothesis_is_the_transcript():
    corpus = list(synthesize(sizes={"test": 20}, word_error_rate=0, lost_cues=0))
    assert [u.hypothesis for u in corpus] == [u.transcript for u in corpus]


@pytest.mark.parametrize("word_error_rate", [0.1, 0.3, 0.5])
def test_word_error_rate_is_the_one_given(word_error_rate):
    """The alignment counts a filler beside a lost word as one error: a little less than what is expected."""
    rng = np.random.default_rng(0)
    texts = [synthetic.say(rng, index % 2 == 0, False, word_error_rate) for index in range(2000)]
    transcripts, hypotheses = map(list, zip(*texts, strict=True))
    assert 0.94 * word_error_rate < jiwer.wer(transcripts, hypotheses) < 1.02 * word_error_rate


def test_expected_word_error_rate():
    """Worked out phrase by phrase, each word's errors by their rates."""
    phrases = [tuple(sum(synthetic.CUES.values(), ())) if p == ("<cue>",) else p for p in synthetic.PHRASES]
    words = [(word, 1 / len(options)) for options in phrases for phrase in options for word in phrase.split()]
    errors = sum(
        share
        * (
            synthetic.FILLER_RATE
            + synthetic.DELETION_RATE * (word in synthetic.FUNCTION_WORDS)
            + synthetic.HOMOPHONE_RATE * len(synthetic.HOMOPHONES.get(word, "").split())
        )
        for word, share in words
    )
    assert errors / sum(share for _, share in words) == pytest.approx(synthetic.WORD_ERROR_RATE, abs=5e-4)


def spectrum(utterance):
    """Log energies in 40 bands, mean and deviation over frames: shape (80,)."""
    frames = np.lib.stride_tricks.sliding_window_view(utterance.audio, 400)[::160] * np.hanning(400)
    power = np.abs(np.fft.rfft(frames)) ** 2
    bands = np.log(np.add.reduceat(power, np.arange(0, 200, 5), axis=1) + 1e-8)
    return np.concatenate([bands.mean(axis=0), bands.std(axis=0)])


def test_voice_depends_on_arousal_only(corpus):
    train, test = of_split(corpus, "train"), of_split(corpus, "test")
    x_train, x_test = np.stack([*map(spectrum, train)]), np.stack([*map(spectrum, test)])
    accuracy = {}
    for name, meaning in {"arousal": synthetic.AROUSED, "valence": synthetic.POSITIVE}.items():
        y_train, y_test = ([u.emotion in meaning for u in split] for split in (train, test))
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
        accuracy[name] = model.fit(x_train, y_train).score(x_test, y_test)
    assert accuracy["arousal"] > 0.98
    assert abs(accuracy["valence"] - 0.5) < 3 * np.sqrt(0.25 / len(test))


def test_ranges_of_calm_and_aroused_voices_do_not_overlap():
    for cue in (synthetic.PITCH_RATIO, synthetic.EXCURSION, synthetic.TEMPO, synthetic.TILT, synthetic.TREMOR):
        (_, lower_end), (upper_start, _) = sorted(cue.values())
        assert lower_end < upper_start
    lowest, highest = synthetic.BASE_PITCH
    assert highest * synthetic.PITCH_RATIO[False][1] < lowest * synthetic.PITCH_RATIO[True][0]


def test_words_do_not_depend_on_arousal(corpus):
    """No word occurs more often under one arousal than under the other, beyond chance."""
    counts = {aroused: Counter() for aroused in (True, False)}
    for utterance in corpus:
        aroused = utterance.emotion in synthetic.AROUSED
        counts[aroused].update(set(utterance.hypothesis.split()))
    size = len(corpus) / 2
    for word in counts[True] | counts[False]:
        both = counts[True][word] + counts[False][word]
        share = both / (2 * size)
        deviation = np.sqrt(2 * share * (1 - share) / size)
        assert abs(counts[True][word] - counts[False][word]) / size < 4.5 * deviation + 1e-9


def test_homophones_can_be_undone():
    words = {word for phrases in synthetic.PHRASES for phrase in phrases for word in phrase.split()}
    words |= {cue for cues in synthetic.CUES.values() for cue in cues}
    words |= set(synthetic.WORDS_WITHOUT_VALENCE) | set(synthetic.FILLERS)
    homophones = [word for homophone in synthetic.HOMOPHONES.values() for word in homophone.split()]
    assert set(synthetic.HOMOPHONES) <= words
    assert not set(homophones) & words
    assert len(homophones) == len(set(homophones))


def test_default_corpus_stays_as_it_is():
    hypotheses = [u.hypothesis for u in synthesize(sizes={"test": 20})]
    assert hypotheses[1:3] == [
        "you know that scene was quiet grate for us",
        "ewe know the knight was rather suite this time",
    ]


def test_one_cue_in_five_is_lost_in_each_class(corpus):
    for split, size in SIZES.items():
        lost = Counter(u.emotion for u in of_split(corpus, split) if heard_valence(u.hypothesis) is None)
        assert lost == dict.fromkeys(EMOTIONS, size // 20)


def test_word_error_rate_is_realistic(corpus):
    wer = jiwer.wer([u.transcript for u in corpus], [u.hypothesis for u in corpus])
    assert 0.2 < wer < 0.3


def test_shapes_levels_and_balance(corpus):
    for utterance in corpus:
        assert utterance.audio.dtype == np.float32
        assert 0.8 <= utterance.duration <= 1.6
        assert utterance.duration == len(utterance.audio) / 16_000
        assert np.sqrt(np.mean(utterance.audio.astype(float) ** 2)) == pytest.approx(synthetic.LEVEL, rel=1e-3)
        assert np.abs(utterance.audio).max() < 1
    assert Counter((u.split, u.emotion) for u in corpus) == {
        (split, emotion): size // 4 for split, size in SIZES.items() for emotion in EMOTIONS
    }
    assert len({u.id for u in corpus}) == len(corpus)


def test_speakers_are_disjoint_and_say_everything(corpus):
    speakers = {split: {u.speaker for u in of_split(corpus, split)} for split in SIZES}
    assert not speakers["train"] & speakers["test"]
    assert {split: len(names) for split, names in speakers.items()} == {"train": 16, "test": 6}
    assert sum(SPEAKERS.values()) >= 20
    emotions = Counter((u.speaker, u.emotion) for u in of_split(corpus, "test"))
    assert len(emotions) == 6 * 4
    sessions = {u.speaker: u.session for u in corpus}
    assert all(sessions[u.speaker] == u.session for u in corpus)


def test_the_seed_decides_everything():
    sizes = {"validation": 8}
    first, again, other = (list(synthesize(seed, sizes)) for seed in (1, 1, 2))
    for left, right in zip(first, again, strict=True):
        assert left.hypothesis == right.hypothesis
        assert np.array_equal(left.audio, right.audio)
    assert [u.transcript for u in first] != [u.transcript for u in other]


def test_a_split_does_not_depend_on_the_others():
    alone = next(synthesize(sizes={"test": 20}))
    beside = next(u for u in synthesize(sizes={"train": 4, "test": 20}) if u.split == "test")
    assert np.array_equal(alone.audio, beside.audio)


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="Unknown split 'dev'; choose from train, validation, test"):
        next(synthesize(sizes={"dev": 3}))


@pytest.mark.parametrize(
    "options", [{"word_error_rate": 0.51}, {"word_error_rate": -0.1}, {"lost_cues": 1.01}, {"lost_cues": -0.1}]
)
def test_rates_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match=r"from 0 to 0\.5, the share of lost cues from 0 to 1; not"):
        next(synthesize(**options))
