r"""A demo corpus made on the spot: neither the voice nor the words alone determine the emotion.

An emotion is a pair of arousal and valence:

=============  ==============  ==============
\              negative words  positive words
=============  ==============  ==============
aroused voice  angry           happy
calm voice     sad             neutral
=============  ==============  ==============

**Voice.** Pitch, its excursion, tempo, spectral tilt and tremor tell arousal; their ranges for the two levels
do not overlap, whoever speaks. Syllables are vowels drawn without a look at the words, so the voice says
nothing about valence. Level says nothing at all: every recording has the same root mean square.

**Words.** One cue word in each transcript tells valence, no word tells arousal. The hypothesis is one that an
ASR model might give, at a word error rate to choose: a word turns into its homophone (always the same one,
which is in no transcript, so it can be undone), fillers come in, and function words get lost. Besides, a share
of the cues is gone for good: words without valence replace them.

**Best possible accuracy** (`best_accuracy`). The voice gives arousal and leaves two emotions. The hypothesis
gives valence and leaves two emotions, unless the cue is lost, which leaves four. Classes are balanced and
lost cues are spread evenly over them, so with one cue in five lost the ceilings are .5 from the voice, .45
from the hypothesis and .9 from both.

The ceilings do not depend on the word error rate: a cue that turned into its homophone still tells valence, and
the other words, their errors and the fillers are drawn without a look at it. They are the ceilings of a
classifier that knows the homophones; one that has to learn them finds most cues in two forms, and needs
recordings of both.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from transformers import PreTrainedTokenizerBase

from m4ser.data.builders.builder_cli import encode_flac
from m4ser.data.builders.card import SplitStatistics
from m4ser.data.builders.writing import write_dataset
from m4ser.data.schema import SAMPLING_RATE, Utterance

EMOTIONS = ("angry", "happy", "sad", "neutral")
AROUSED = frozenset({"angry", "happy"})
POSITIVE = frozenset({"happy", "neutral"})
SPEAKERS = {"train": 16, "validation": 4, "test": 6}
SIZES = {"train": 640, "validation": 120, "test": 200}
LOST_CUES = 0.2  # share of all cues
WORD_ERROR_RATE = 0.22  # expected edits a word where no cue is lost
MOST_WORD_ERRORS = 0.5

CUES = {
    False: ("bad", "awful", "poor", "bleak", "vile", "dire", "drab", "crude"),
    True: ("great", "fine", "sweet", "superb", "fair", "bright", "lovely", "right"),
}
WORDS_WITHOUT_VALENCE = ("usual", "long", "local", "early")
FILLERS = ("uh", "um", "like", "er")
PHRASES = (
    ("well", "so", "honestly", "i guess", "you know"),
    ("the meal", "the night", "the whole week", "that plane", "the tale", "that scene", "the sea"),
    ("was", "felt", "seemed"),
    ("really", "quite", "rather", "very"),
    ("<cue>",),
    ("to me", "for us", "this time", "by then", "at the inn", "for an hour"),
)
FUNCTION_WORDS = frozenset({"the", "that", "was", "felt", "to", "for", "by", "at", "an"})
HOMOPHONES = {
    "bad": "bat",
    "awful": "offal",
    "poor": "pour",
    "vile": "vial",
    "dire": "dyer",
    "crude": "crewed",
    "great": "grate",
    "fine": "find",
    "sweet": "suite",
    "superb": "soup herb",
    "fair": "fare",
    "lovely": "love lee",
    "right": "write",
    "guess": "guest",
    "you": "ewe",
    "know": "no",
    "meal": "mill",
    "night": "knight",
    "whole": "hole",
    "week": "weak",
    "plane": "plain",
    "tale": "tail",
    "scene": "seen",
    "sea": "see",
    "seemed": "seamed",
    "really": "rally",
    "quite": "quiet",
    "rather": "wrath her",
    "very": "vary",
    "me": "mi",
    "us": "bus",
    "time": "thyme",
    "then": "than",
    "inn": "in",
    "hour": "our",
}
# Of the words that can have such an error, at WORD_ERROR_RATE; at another one all three change by the same factor.
HOMOPHONE_RATE, FILLER_RATE, DELETION_RATE = 0.25, 0.04, 0.1

# (low, high) of each uniform draw, for a calm and for an aroused voice.
CALM, ALIVE = False, True
PITCH_RATIO = {CALM: (0.8, 0.9), ALIVE: (1.5, 1.8)}  # to the speaker's base pitch
EXCURSION = {CALM: (0.5, 1.5), ALIVE: (4.0, 7.0)}  # semitones
TEMPO = {CALM: (3.0, 3.8), ALIVE: (5.5, 7.0)}  # syllables per second
TILT = {CALM: (1.8, 2.2), ALIVE: (0.6, 1.0)}  # amplitude of harmonic k is k ** -tilt
TREMOR = {CALM: (0.0, 0.05), ALIVE: (0.25, 0.4)}  # depth of the 7 Hz amplitude modulation
TREMOR_RATE = 7.0
BASE_PITCH = (110.0, 150.0)  # Hz: narrow enough that a calm high voice stays below an aroused low one
FORMANT_SCALE = (0.85, 1.2)  # vocal tract length
VOWEL = ((300.0, 800.0), (900.0, 2200.0), (2400.0, 3000.0))  # Hz: where F1, F2, F3 are drawn
BANDWIDTH = 120.0  # Hz
DURATION = (0.8, 1.6)  # seconds
LEVEL = 0.05  # root mean square
PERIOD = 1024  # samples in the table of one glottal period


@dataclass(frozen=True)
class SyntheticUtterance:
    """One row of the corpus; `audio` is float32 of shape (samples,), 16 kHz mono."""

    id: str
    audio: np.ndarray
    transcript: str
    hypothesis: str
    emotion: str
    speaker: str
    session: str
    dialogue: None
    split: str
    duration: float


@dataclass(frozen=True)
class Speaker:
    """base_pitch in Hz; formant_scale multiplies every formant."""

    name: str
    base_pitch: float
    formant_scale: float


def best_accuracy(lost_cues: float = LOST_CUES) -> dict[str, float]:
    """Return the highest accuracy that any classifier can expect on a balanced corpus, by what it may use.

    Args:
        lost_cues: their share of all cues. The word error rate changes nothing (see the module).
    """
    return {"speech": 1 / 2, "text": (1 - lost_cues) / 2 + lost_cues / 4, "both": (1 - lost_cues) + lost_cues / 2}


def write_corpus(
    output_dir: str | Path,
    seed: int = 0,
    sizes: Mapping[str, int] = SIZES,
    tokenizer: PreTrainedTokenizerBase | None = None,
    word_error_rate: float = WORD_ERROR_RATE,
    lost_cues: float = LOST_CUES,
) -> dict[str, SplitStatistics]:
    """Write the corpus that `synthesize` yields, its recordings as FLAC; return what `write_dataset` returns."""
    ceilings = ", ".join(f"{share:.2f} from {source}" for source, share in best_accuracy(lost_cues).items())
    return write_dataset(
        (
            Utterance(**vars(made) | {"audio": encode_flac(made.audio), "path": f"{made.id}.flac"})
            for made in synthesize(seed, sizes, word_error_rate, lost_cues)
        ),
        EMOTIONS,
        output_dir,
        title="M4SER synthetic demo corpus",
        description="Made on the spot: prosody tells arousal, one word tells valence, and "
        f"{lost_cues:.0%} of these words are lost in the hypothesis. Best possible accuracy: {ceilings}.",
        license_id="apache-2.0",
        tokenizer=tokenizer,
    )


def synthesize(
    seed: int = 0,
    sizes: Mapping[str, int] = SIZES,
    word_error_rate: float = WORD_ERROR_RATE,
    lost_cues: float = LOST_CUES,
) -> Iterator[SyntheticUtterance]:
    """Yield the corpus, split by split, the same for the same arguments.

    Args:
        sizes: utterances by split; `best_accuracy` is exact for a split where a quarter of them, and the share
            `lost_cues` of that quarter, are whole numbers.
        word_error_rate: expected edits a word where no cue is lost, up to .5. A lost cue is one more; a filler beside
            a lost word counts as one, so that .5 measures .48.
        lost_cues: their share of all cues, to whole per cent.

    Raises:
        ValueError: a split that is not one of SPEAKERS, a word error rate above .5, or a share beyond 0 to 1.
    """
    if not (0 <= word_error_rate <= MOST_WORD_ERRORS and 0 <= lost_cues <= 1):
        raise ValueError(
            f"The word error rate is from 0 to {MOST_WORD_ERRORS}, the share of lost cues from 0 to 1; not "
            f"{word_error_rate} and {lost_cues}."
        )
    if unknown := set(sizes) - set(SPEAKERS):
        raise ValueError(f"Unknown split {sorted(unknown)[0]!r}; choose from {', '.join(SPEAKERS)}.")
    for number, split in enumerate(SPEAKERS):
        if split in sizes:
            rng = np.random.default_rng([seed, number])
            yield from _split(rng, split, sizes[split], word_error_rate, lost_cues)


def _split(
    rng: np.random.Generator, split: str, size: int, word_error_rate: float, lost_cues: float
) -> Iterator[SyntheticUtterance]:
    lost_percent = round(100 * lost_cues)
    speakers = [
        Speaker(f"{split}-{n:02d}", rng.uniform(*BASE_PITCH), rng.uniform(*FORMANT_SCALE))
        for n in range(SPEAKERS[split])
    ]
    turns = rng.permutation(size)  # speakers are balanced, and independent of emotion and lost cues
    for position, index in enumerate(rng.permutation(size)):
        emotion = EMOTIONS[index % len(EMOTIONS)]
        cue_lost = index // len(EMOTIONS) * lost_percent % 100 < lost_percent  # as evenly spread as can be
        turn = int(turns[position] % len(speakers))
        transcript, hypothesis = say(rng, emotion in POSITIVE, cue_lost, word_error_rate)
        audio = voice(rng, speakers[turn], emotion in AROUSED)
        yield SyntheticUtterance(
            id=f"{split}-{position:05d}",
            audio=audio,
            transcript=transcript,
            hypothesis=hypothesis,
            emotion=emotion,
            speaker=speakers[turn].name,
            session=f"{split}-{turn // 2}",
            dialogue=None,
            split=split,
            duration=len(audio) / SAMPLING_RATE,
        )


def say(rng: np.random.Generator, positive: bool, cue_lost: bool, word_error_rate: float) -> tuple[str, str]:
    """Draw a transcript whose cue has the valence given, and a hypothesis of it with errors."""
    errors = word_error_rate / WORD_ERROR_RATE
    cue = str(rng.choice(CUES[positive]))
    words = " ".join(str(rng.choice(phrases)) for phrases in PHRASES).replace("<cue>", cue).split()
    hypothesis: list[str] = []
    for word in words:
        if rng.random() < errors * FILLER_RATE:
            hypothesis.append(str(rng.choice(FILLERS)))
        if word == cue and cue_lost:
            hypothesis.append(str(rng.choice(WORDS_WITHOUT_VALENCE)))
        elif word in FUNCTION_WORDS and rng.random() < errors * DELETION_RATE:
            continue
        elif rng.random() < errors * HOMOPHONE_RATE:
            hypothesis.append(HOMOPHONES.get(word, word))
        else:
            hypothesis.append(word)
    return " ".join(words), " ".join(hypothesis)


def voice(rng: np.random.Generator, speaker: Speaker, aroused: bool) -> np.ndarray:
    """Draw a recording: a harmonic source through random vowels, float32 of shape (samples,), 16 kHz."""
    samples = int(rng.uniform(*DURATION) * SAMPLING_RATE)
    time = np.arange(samples) / SAMPLING_RATE
    source = _source(rng, speaker, aroused, time)
    syllables = max(1, round(samples / SAMPLING_RATE * rng.uniform(*TEMPO[aroused])))
    edges = np.linspace(0, samples, syllables + 1).astype(int)
    audio = np.concatenate([_vowel(rng, source[start:stop], speaker) for start, stop in pairwise(edges)])
    depth = rng.uniform(*TREMOR[aroused])
    audio *= 1 - depth * (1 + np.sin(2 * np.pi * TREMOR_RATE * time)) / 2
    audio += rng.normal(scale=1e-2 * audio.std(), size=samples)
    return (LEVEL * audio / np.sqrt(np.mean(audio**2))).astype(np.float32)


def _source(rng: np.random.Generator, speaker: Speaker, aroused: bool, time: np.ndarray) -> np.ndarray:
    """Draw the glottal source: harmonics k of amplitude k ** -tilt, at a pitch that sways and falls."""
    pitch = speaker.base_pitch * rng.uniform(*PITCH_RATIO[aroused])
    sway = np.cos(2 * np.pi * (rng.uniform(1.0, 2.0) * time + rng.random()))
    f0 = pitch * 2 ** (rng.uniform(*EXCURSION[aroused]) * sway / 24)
    harmonics = np.arange(1, int(SAMPLING_RATE / 2 / f0.max()) + 1)
    spectrum = np.zeros(PERIOD // 2 + 1, dtype=complex)
    spectrum[harmonics] = -1j * harmonics ** -rng.uniform(*TILT[aroused])
    table = np.fft.irfft(spectrum)
    phase = np.cumsum(f0) / SAMPLING_RATE
    return table[(phase * PERIOD).astype(int) % PERIOD]


def _vowel(rng: np.random.Generator, source: np.ndarray, speaker: Speaker) -> np.ndarray:
    """Shape one syllable: three formant resonances under a raised-cosine envelope."""
    envelope = np.sin(np.pi * (np.arange(len(source)) + 0.5) / len(source)) ** 2
    frequency = np.fft.rfftfreq(2 * len(source), 1 / SAMPLING_RATE)
    gain = sum(
        1 / (1 + ((frequency - speaker.formant_scale * rng.uniform(*formant)) / BANDWIDTH) ** 2) for formant in VOWEL
    )
    spectrum = np.fft.rfft(source * envelope, 2 * len(source)) * (gain + 0.02)
    return np.fft.irfft(spectrum)[: len(source)]
