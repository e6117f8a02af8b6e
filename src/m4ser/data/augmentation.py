"""Augmentation of a training recording and its hypothesis that does not change the emotion."""

import zlib

import numpy as np
import soxr


class Augmentation:
    """Random speed, noise, crop and masked words; the same for the same seed, epoch and row.

    Args:
        speed: a recording plays between 1 - speed and 1 + speed times as fast, its pitch with it: the same sentence
            from a smaller or a larger speaker (Ko et al. 2015).
        noise: white noise of 20 to 40 dB below the recording, with this probability.
        crop: up to this share of the recording is cut off at its ends.
        mask: share of the hypothesis's tokens that are hidden: hypotheses differ so much that a network knows each
            training recording by its own, and learns nothing else.
        seed: with the epoch and the row's id, all that the outcome depends on.
    """

    def __init__(self, speed: float = 0.0, noise: float = 0.0, crop: float = 0.0, mask: float = 0.0, seed: int = 0):
        self.speed = speed
        self.noise = noise
        self.crop = crop
        self.mask = mask
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Draw anew from this epoch on."""
        self.epoch = epoch

    def waveform(self, waveform: np.ndarray, row_id: str) -> np.ndarray:
        """Turn `waveform` (samples,) float32 into another one, of another length where the speed changes."""
        rng = self._rng(row_id, 0)
        factor = 1 + self.speed * rng.uniform(-1, 1)
        if self.speed:
            waveform = soxr.resample(waveform, 1.0, 1 / factor, quality="LQ")
        cut = int(self.crop * rng.uniform() * len(waveform))
        start = int(rng.integers(cut + 1))
        waveform = waveform[start : len(waveform) - (cut - start)]
        if rng.uniform() < self.noise:
            level = waveform.std() * 10 ** (-rng.uniform(20, 40) / 20)
            waveform = waveform + level * rng.standard_normal(len(waveform))
        return waveform.astype(np.float32)

    def hidden_tokens(self, count: int, row_id: str) -> np.ndarray:
        """Draw which of `count` tokens are hidden, (count,) bool."""
        return self._rng(row_id, 1).uniform(size=count) < self.mask

    def window_start(self, spare: int, row_id: str) -> int:
        """Draw where the window of a recording begins that is `spare` samples too long."""
        return int(self._rng(row_id, 2).integers(spare + 1))

    def _rng(self, row_id: str, purpose: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, self.epoch, zlib.crc32(row_id.encode()), purpose))
