"""Changes to recordings, by numpy and scipy alone: each function takes 16 kHz samples (n,) and a generator.

The settings are those of Derington, Wierstorf, Özkil, Eyben, Burkhardt and Schuller, "Testing Correctness, Fairness,
and Robustness of Speech Emotion Recognition Models" (IEEE TAC 2025; documented at github.com/audeering/ser-tests).
They mix in recorded noises, rooms and a telephone codec; ours are synthetic, and each function says what stands for
them. A change of the spectrum keeps the recording's root mean square.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

try:
    from scipy import signal
except ImportError as error:
    raise ValueError("Robustness needs scipy: pip install 'm4ser[report]'.") from error

RATE = 16_000
BABBLE_SPEAKERS = (4, 8)  # from, to before
ROOM_SECONDS = 0.6


def tone(samples: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Add a sinusoid of 5 to 7 kHz, 40, 45 or 50 dB below the recording's peak."""
    wave = np.sin(2 * np.pi * generator.uniform(5000, 7000) * np.arange(len(samples)) / RATE)
    return samples + np.abs(samples).max() * _amplitude(-generator.choice([40, 45, 50])) * wave


def append_zeros(samples: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Append 100, 500 or 1,000 zeros."""
    return np.concatenate([samples, np.zeros(_few(generator))])


def prepend_zeros(samples: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Prepend 100, 500 or 1,000 zeros."""
    return np.concatenate([np.zeros(_few(generator)), samples])


def crop_beginning(samples: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Cut 100, 500 or 1,000 samples off the beginning."""
    return samples[min(_few(generator), len(samples) - 1) :]


def crop_end(samples: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Cut 100, 500 or 1,000 samples off the end."""
    return samples[: max(1, len(samples) - _few(generator))]


def clip(samples: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Clip the loudest 0.1, 0.2 or 0.3 % of the samples to the level of the others."""
    limit = np.quantile(np.abs(samples), 1 - generator.choice([0.001, 0.002, 0.003]))
    return np.clip(samples, -limit, limit)


def gain(samples: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Change the level by -2, -1, 1 or 2 dB."""
    return samples * _amplitude(generator.choice([-2, -1, 1, 2]))


def highpass(samples: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Filter by a Butterworth high-pass, order 1, at 50, 100 or 150 Hz."""
    return _butterworth(samples, 1, generator.choice([50, 100, 150]), "highpass")


def lowpass(samples: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Filter by a Butterworth low-pass, order 1, at 6.5, 7 or 7.5 kHz."""
    return _butterworth(samples, 1, generator.choice([6500, 7000, 7500]), "lowpass")


def faint_white_noise(samples: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Add white noise at a signal-to-noise ratio of 35, 40 or 45 dB."""
    return _mixed(samples, generator.standard_normal(len(samples)), generator.choice([35, 40, 45]))


def white_noise(samples: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Add white noise, 20 dB below."""
    return _mixed(samples, generator.standard_normal(len(samples)), 20)


def babble(samples: np.ndarray, generator: np.random.Generator, others: Sequence[np.ndarray]) -> np.ndarray:
    """Add 4 to 7 other recordings of the same split at once, 20 dB below (theirs: MUSAN's speech).

    Args:
        others: recordings to draw from, arrays of samples.
    """
    count = min(int(generator.integers(*BABBLE_SPEAKERS)), len(others))
    chosen = [others[index] for index in generator.choice(len(others), count, replace=False)]
    voices = [np.resize(voice / max(_rms(voice), np.finfo(float).tiny), len(samples)) for voice in chosen]
    return _mixed(samples, np.sum(voices, axis=0), 20)


def environment(samples: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Add pink noise that swells and fades, a mains hum and a few knocks, 20 dB below (theirs: MUSAN's noises)."""
    n = len(samples)
    time = np.arange(n) / RATE
    swell = 1 + 0.5 * np.sin(2 * np.pi * generator.uniform(0.2, 1) * time + generator.uniform(0, 2 * np.pi))
    noise = _pink(n, generator) * swell + 0.3 * np.sin(2 * np.pi * 100 * time)
    for start in generator.integers(0, n, 3):
        length = min(n - start, RATE // 20)
        noise[start : start + length] += 4 * _burst(length, 0.01, generator)
    return _mixed(samples, noise, 20)


def music(samples: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Add chords of three harmonic tones that change twice a second, 20 dB below (theirs: MUSAN's music)."""
    n, beat = len(samples), RATE // 2
    notes = np.zeros(n)
    for start in range(0, n, beat):
        time = np.arange(min(beat, n - start)) / RATE
        for pitch in 220 * 2 ** (generator.integers(0, 24, 3) / 12):
            harmonics = [np.sin(2 * np.pi * pitch * order * time) / order for order in (1, 2, 3, 4)]
            notes[start : start + len(time)] += np.sum(harmonics, axis=0) * np.exp(-2 * time)
    return _mixed(samples, notes, 20)


def cough(samples: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Add one burst of 0.3 s below 4 kHz at a random time, 10 dB below (theirs: a recorded cough)."""
    return _one_burst(samples, generator, 0.3, 0.06, (300, 4000))


def sneeze(samples: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Add one burst of 0.5 s above 2 kHz at a random time, 10 dB below (theirs: a recorded sneeze)."""
    return _one_burst(samples, generator, 0.5, 0.12, (2000, 7000))


def phone(samples: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Send through a bad telephone: compressed, 300 to 3,400 Hz at 8 kHz, 8 bits of mu-law, hiss 25 dB below the peak.

    The published test encodes with AMR-NB at 7.4 kbit/s; mu-law (ITU-T G.711) stands in for that codec.
    """
    compressed = _compress(samples)
    narrow = signal.resample_poly(_butterworth(compressed, 4, (300, 3400), "bandpass"), 1, 2)
    peak = max(np.abs(narrow).max(), np.finfo(float).tiny)
    coded = np.sign(narrow) * np.log1p(255 * np.abs(narrow) / peak) / np.log(256)
    coded = np.round(coded * 127) / 127
    wide = signal.resample_poly(np.sign(coded) * np.expm1(np.abs(coded) * np.log(256)) / 255, 2, 1)
    wide = np.resize(wide, len(samples)) / max(np.abs(wide).max(), np.finfo(float).tiny)
    hiss = _butterworth(_pink(len(samples), generator), 2, 3000, "highpass")
    return _as_loud(wide + _amplitude(-25) * hiss / np.abs(hiss).max(), samples)


def booth(samples: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Put into a recording booth, 0.1 s of reverberation, close to the microphone: what rooms are compared with."""
    return _reverberate(samples, generator, 0.1, 0.3)


def room(samples: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Put into a room with 0.3 to 0.8 s of reverberation (theirs: measured responses of the AIR database)."""
    return _reverberate(samples, generator, generator.uniform(0.3, 0.8), 1.0)


def center(samples: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Put a meter before the microphone of a room with 0.4 s of reverberation: what positions are compared with."""
    return _reverberate(samples, generator, 0.4, 1.0)


def elsewhere(samples: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Put two to three meters away in the same room (theirs: measured responses of the MARDY database)."""
    return _reverberate(samples, generator, 0.4, generator.uniform(2, 3))


def downward_tilt(samples: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Lower by 12 dB at 8 kHz against 0, linear in frequency (theirs: a filter shown in a figure only)."""
    return _tilt(samples, -12)


def upward_tilt(samples: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Raise by 12 dB at 8 kHz against 0, linear in frequency."""
    return _tilt(samples, 12)


def silence(samples: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Replace the recording by zeros."""
    return np.zeros_like(samples)


def _few(generator: np.random.Generator) -> int:
    return int(generator.choice([100, 500, 1000]))


def _amplitude(decibels: float | np.ndarray) -> Any:
    return 10 ** (decibels / 20)


def _rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples))))


def _mixed(samples: np.ndarray, noise: np.ndarray, decibels: float) -> np.ndarray:
    """Add noise at a signal-to-noise ratio; a silent recording stays silent."""
    level = _rms(noise)
    return samples + noise * (_rms(samples) * _amplitude(-decibels) / level if level else 0)


def _as_loud(changed: np.ndarray, samples: np.ndarray) -> np.ndarray:
    level = _rms(changed)
    return changed * (_rms(samples) / level) if level else changed


def _butterworth(samples: np.ndarray, order: int, frequency: float | tuple[float, float], kind: str) -> np.ndarray:
    return signal.sosfilt(signal.butter(order, frequency, kind, fs=RATE, output="sos"), samples)


def _pink(length: int, generator: np.random.Generator) -> np.ndarray:
    """Draw noise whose power falls with frequency, of root mean square 1."""
    spectrum = np.fft.rfft(generator.standard_normal(length))
    noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 1)), length)
    return noise / max(_rms(noise), np.finfo(float).tiny)


def _burst(length: int, decay: float, generator: np.random.Generator) -> np.ndarray:
    return generator.standard_normal(length) * np.exp(-np.arange(length) / (decay * RATE))


def _one_burst(
    samples: np.ndarray, generator: np.random.Generator, seconds: float, decay: float, band: tuple[float, float]
) -> np.ndarray:
    length = min(int(seconds * RATE), len(samples))
    burst = _butterworth(_burst(length, decay, generator), 2, band, "bandpass")
    noise = np.zeros(len(samples))
    start = generator.integers(0, len(samples) - length + 1)
    noise[start : start + length] = burst * (1 / max(_rms(burst), np.finfo(float).tiny))
    # The ratio is to the burst while it lasts, so that a long recording does not make it loud.
    return samples + noise * _rms(samples) * _amplitude(-10)


def _compress(
    samples: np.ndarray, threshold: float = -20, ratio: float = 0.8, attack: float = 0.01, release: float = 0.02
) -> np.ndarray:
    """Scale what exceeds the threshold (dB under the peak) by `ratio` on the decibel scale."""
    peak = max(np.abs(samples).max(), np.finfo(float).tiny)
    magnitude = np.abs(samples) / peak
    rising, falling = (np.exp(-1 / (seconds * RATE)) for seconds in (attack, release))
    level, levels = 0.0, np.empty(len(samples))
    for index, value in enumerate(magnitude):
        rate = rising if value > level else falling
        level = rate * level + (1 - rate) * value
        levels[index] = level
    over = np.maximum(20 * np.log10(np.maximum(levels, 1e-6)) - threshold, 0)
    return samples * _amplitude(-(1 - ratio) * over)


def _reverberate(
    samples: np.ndarray, generator: np.random.Generator, reverberation: float, distance: float
) -> np.ndarray:
    """Add to a direct sound noise that falls by 60 dB in `reverberation` s (Polack's model)."""
    time = np.arange(int(ROOM_SECONDS * RATE)) / RATE
    tail = generator.standard_normal(len(time)) * 10 ** (-3 * time / reverberation)
    response = 0.3 * tail / np.sqrt(np.sum(tail**2))
    response[0] += 1 / distance
    return _as_loud(signal.fftconvolve(samples, response)[: len(samples)], samples)


def _tilt(samples: np.ndarray, decibels: float) -> np.ndarray:
    spectrum = np.fft.rfft(samples)
    slope = _amplitude(decibels * np.linspace(0, 1, len(spectrum)))
    return _as_loud(np.fft.irfft(spectrum * slope, len(samples)), samples)
