"""What augmentation does, and that (seed, epoch, row) alone decide what."""

import numpy as np
import pytest

from m4ser.data.augmentation import Augmentation

RATE = 16_000
TONE = np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE).astype(np.float32)
ROWS = [f"row {number}" for number in range(30)]


def pitch(waveform):
    """Hz of the loudest frequency."""
    return np.abs(np.fft.rfft(waveform)).argmax() * RATE / len(waveform)


def test_nothing_asked_nothing_done():
    augmentation = Augmentation()
    np.testing.assert_array_equal(augmentation.waveform(TONE, "row"), TONE)
    assert not augmentation.hidden_tokens(50, "row").any()


@pytest.mark.parametrize(
    "fields", [{"speed": 0.1}, {"noise": 1.0}, {"crop": 0.2}], ids=lambda fields: next(iter(fields))
)
def test_seed_epoch_and_row_decide(fields):
    def augment(seed=0, epoch=0, row="row"):
        augmentation = Augmentation(**fields, seed=seed)
        augmentation.set_epoch(epoch)
        for other in ROWS[:seed]:  # what came before is of no matter
            augmentation.waveform(TONE, other)
        return augmentation.waveform(TONE, row)

    first = augment()
    assert first.dtype == np.float32
    np.testing.assert_array_equal(augment(), first)
    for other in (augment(seed=1), augment(epoch=1), augment(row="another")):
        assert not np.array_equal(other, first)


def test_speed_changes_length_and_pitch_together():
    augmented = [Augmentation(speed=0.1).waveform(TONE, row) for row in ROWS]
    factors = [len(TONE) / len(waveform) for waveform in augmented]
    assert 0.9 <= min(factors) < 0.93
    assert 1.07 < max(factors) <= 1.1
    for waveform, factor in zip(augmented, factors, strict=True):
        assert pitch(waveform) == pytest.approx(440 * factor, rel=0.01)


def test_noise_is_20_to_40_dB_below_the_recording():
    levels = []
    for row in ROWS:
        noise = Augmentation(noise=1.0).waveform(TONE, row) - TONE
        levels.append(20 * np.log10(TONE.std() / noise.std()))
    assert 19.5 < min(levels) < 25
    assert 35 < max(levels) < 40.5


def test_noise_comes_with_its_probability():
    augmentation = Augmentation(noise=0.3)
    noisy = [not np.array_equal(augmentation.waveform(TONE, f"row {number}"), TONE) for number in range(400)]
    assert np.mean(noisy) == pytest.approx(0.3, abs=0.07)


def test_crop_takes_up_to_its_share_from_both_ends():
    ramp = np.arange(1000, dtype=np.float32)
    cropped = [Augmentation(crop=0.2).waveform(ramp, row) for row in ROWS]
    for waveform in cropped:
        np.testing.assert_array_equal(waveform, ramp[int(waveform[0]) : int(waveform[-1]) + 1])
    assert 800 <= min(map(len, cropped)) < 850
    assert any(waveform[0] > 20 for waveform in cropped)
    assert any(waveform[-1] < 980 for waveform in cropped)


@pytest.mark.parametrize("samples", [1, 2, 100])
def test_a_short_recording_stays_one(samples):
    augmentation = Augmentation(speed=0.2, noise=1.0, crop=0.9)
    for row in ROWS:
        waveform = augmentation.waveform(TONE[:samples], row)
        assert len(waveform) >= 1
        assert np.isfinite(waveform).all()


def test_hidden_tokens():
    augmentation = Augmentation(mask=0.3)
    hidden = augmentation.hidden_tokens(4000, "row")
    assert hidden.mean() == pytest.approx(0.3, abs=0.03)
    # However far a batch pads a row: the same tokens of it are hidden.
    np.testing.assert_array_equal(augmentation.hidden_tokens(20, "row"), hidden[:20])
    assert not np.array_equal(augmentation.hidden_tokens(4000, "another"), hidden)
    augmentation.set_epoch(1)
    assert not np.array_equal(augmentation.hidden_tokens(4000, "row"), hidden)
