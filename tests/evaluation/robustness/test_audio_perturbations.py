"""Each change of a recording does what the published list says: levels in dB, lengths in samples, edges in Hz."""

import numpy as np
import pytest

from m4ser.evaluation.robustness import audio_perturbations

RATE = 16_000
GENERATOR = np.random.default_rng(0)
# Noise has power at every frequency, so that a filter shows.
NOISE = 0.1 * GENERATOR.standard_normal(2 * RATE)
EVERYTHING = [
    name
    for name, make in vars(audio_perturbations).items()
    if callable(make) and not name.startswith("_") and make.__module__ == audio_perturbations.__name__
]


def change(name, samples=NOISE, seed=0):
    make, generator = getattr(audio_perturbations, name), np.random.default_rng(seed)
    others = ([samples[::-1], samples[len(samples) // 3 :]],) if name == "babble" else ()
    return make(samples, generator, *others)


def decibels(first, second):
    return 10 * np.log10(np.mean(np.square(first)) / np.mean(np.square(second)))


def power(samples, low, high):
    frequencies = np.fft.rfftfreq(len(samples), 1 / RATE)
    chosen = (frequencies >= low) & (frequencies < high)
    return np.mean(np.abs(np.fft.rfft(samples)[chosen]) ** 2)


def test_the_published_list_is_complete():
    assert len(EVERYTHING) == 24 and {"tone", "babble", "phone", "room", "downward_tilt"} <= set(EVERYTHING)


@pytest.mark.parametrize("name", EVERYTHING)
@pytest.mark.parametrize("samples", [NOISE, np.zeros(RATE), NOISE[:1], NOISE[:700]], ids=["noise", "0", "1", "700"])
def test_output_is_finite_and_seeded(name, samples):
    before = samples.copy()
    changed = change(name, samples)
    assert changed.ndim == 1 and len(changed) >= 1 and np.isfinite(changed).all()
    np.testing.assert_array_equal(samples, before)
    np.testing.assert_array_equal(changed, change(name, samples))


@pytest.mark.parametrize("seed", range(4))
def test_small_changes_of_length(seed):
    few = {100, 500, 1000}
    for name, sign in (("append_zeros", 1), ("prepend_zeros", 1), ("crop_beginning", -1), ("crop_end", -1)):
        assert sign * (len(change(name, seed=seed)) - len(NOISE)) in few
    appended = change("append_zeros", seed=seed)
    np.testing.assert_array_equal(appended[: len(NOISE)], NOISE)
    np.testing.assert_array_equal(
        change("crop_beginning", seed=seed), NOISE[-len(change("crop_beginning", seed=seed)) :]
    )


@pytest.mark.parametrize("seed", range(4))
def test_small_changes_of_level(seed):
    assert round(decibels(change("gain", seed=seed), NOISE), 6) in (-2, -1, 1, 2)
    assert decibels(NOISE, change("faint_white_noise", seed=seed) - NOISE) == pytest.approx(40, abs=5.2)
    added = change("tone", seed=seed) - NOISE
    assert 20 * np.log10(np.abs(NOISE).max() / np.abs(added).max()) == pytest.approx(45, abs=5.1)
    frequency = np.argmax(np.abs(np.fft.rfft(added))) * RATE / len(added)
    assert 5000 <= frequency <= 7000
    share = np.mean(change("clip", seed=seed) != NOISE)
    assert 0.0009 < share < 0.0032


def test_filters_halve_the_power_at_their_edge():
    high = [power(change("highpass", seed=seed), 20, 50) / power(NOISE, 20, 50) for seed in range(6)]
    assert all(ratio < 0.55 for ratio in high)
    low = change("lowpass")
    assert power(low, 7600, 8000) < 0.5 * power(NOISE, 7600, 8000)
    assert power(low, 100, 2000) == pytest.approx(power(NOISE, 100, 2000), rel=0.1)


@pytest.mark.parametrize("name", ["babble", "environment", "music", "white_noise"])
def test_background_noise_is_20_db_below(name):
    assert decibels(NOISE, change(name) - NOISE) == pytest.approx(20, abs=1e-6)


@pytest.mark.parametrize(("name", "seconds"), [("cough", 0.3), ("sneeze", 0.5)])
def test_cough_and_sneeze_are_one_burst_10_db_below(name, seconds):
    added = change(name) - NOISE
    places = np.flatnonzero(added)
    assert places[-1] - places[0] < seconds * RATE
    burst = added[places[0] : places[0] + int(seconds * RATE)]
    assert decibels(NOISE, burst) == pytest.approx(10, abs=0.1)


def test_phone_passes_300_to_3400_hz_and_hisses():
    changed = change("phone")
    assert decibels(changed, NOISE) == pytest.approx(0, abs=1e-6) and len(changed) == len(NOISE)
    assert power(changed, 50, 150) < 0.01 * power(changed, 500, 3000)
    assert power(changed, 4200, 7900) > 0


def test_tilt_is_12_db_over_the_band():
    for name, sign in (("downward_tilt", -1), ("upward_tilt", 1)):
        changed = change(name)
        bottom, top = (10 * np.log10(power(changed, *band) / power(NOISE, *band)) for band in ((0, 400), (7600, 8000)))
        assert top - bottom == pytest.approx(sign * 12 * 0.95, abs=0.5)
        assert decibels(changed, NOISE) == pytest.approx(0, abs=1e-6)


def test_room_reverberates_longer_than_booth():
    click = np.zeros(RATE)
    click[100] = 1

    def tail(name):
        response = change(name, click) ** 2
        return response[100 + RATE // 10 :].sum() / response.sum()

    assert tail("room") > 10 * tail("booth") and tail("booth") < 0.01
    assert change("elsewhere", click)[100] < change("center", click)[100]  # further away, less of it is direct


def test_silence_is_silent():
    assert not change("silence").any()
