"""Batches: each row once an epoch, drawn from (seed, epoch) alone, with little padding."""

import numpy as np
import pytest
from accelerate.data_loader import BatchSamplerShard

from m4ser.data.sampler import LengthGroupedBatchSampler

LENGTHS = np.random.default_rng(0).lognormal(mean=1.2, sigma=0.8, size=1003)  # seconds, as in IEMOCAP and MELD


def batches(lengths=LENGTHS, batch_size=16, seed=0, epoch=0):
    sampler = LengthGroupedBatchSampler(lengths, batch_size, seed)
    sampler.set_epoch(epoch)
    return list(sampler)


def padded_share(batches, lengths):
    """Steps computed for each step that is there."""
    return sum(len(rows) * lengths[rows].max() for rows in batches) / lengths.sum()


@pytest.mark.parametrize(("count", "batch_size"), [(1003, 16), (32, 16), (5, 16), (1, 1)])
def test_each_row_once_an_epoch(count, batch_size):
    drawn = batches(LENGTHS[:count], batch_size)
    assert sorted(row for rows in drawn for row in rows) == list(range(count))
    assert len(drawn) == len(LengthGroupedBatchSampler(LENGTHS[:count], batch_size)) == -(-count // batch_size)
    assert sorted(map(len, drawn))[1:] == [batch_size] * (len(drawn) - 1)


def test_only_seed_and_epoch_decide():
    sampler = LengthGroupedBatchSampler(LENGTHS, 16, seed=3)
    for epoch in (0, 1):
        sampler.set_epoch(epoch)
        assert list(sampler) == list(sampler) == batches(seed=3, epoch=epoch)
    assert batches(seed=3) != batches(seed=3, epoch=1)
    assert batches(seed=3) != batches(seed=4)


@pytest.mark.parametrize(("count", "median", "sigma"), [(5531, 3.6, 0.62), (9989, 2.5, 0.66)], ids=["IEMOCAP", "MELD"])
def test_little_is_padded(count, median, sigma):
    """On lengths like those of the two corpora, in seconds: at random they pad about 2.7 and 2.8 times."""
    rng = np.random.default_rng(1)
    lengths = rng.lognormal(np.log(median), sigma, count).clip(0.2, 30)
    order = rng.permutation(count)
    at_random = [order[start : start + 16] for start in range(0, count, 16)]
    assert 2.6 < padded_share(at_random, lengths) < 2.9
    assert padded_share(batches(lengths), lengths) < 1.1


def test_lengths_come_in_no_order():
    longest = [LENGTHS[rows].max() for rows in batches()]
    assert abs(np.corrcoef(longest, np.arange(len(longest)))[0, 1]) < 0.3


def test_no_row_is_lost_on_two_devices():
    """Accelerate deals batches out in turn, and takes a short one for the end of the epoch."""
    sampler = LengthGroupedBatchSampler(LENGTHS[:75], 16)  # 5 batches, one of them short
    for epoch in range(4):
        sampler.set_epoch(epoch)
        shares = [list(BatchSamplerShard(sampler, num_processes=2, process_index=device)) for device in range(2)]
        assert len(shares[0]) == len(shares[1]) == 3
        assert {row for share in shares for rows in share for row in rows} == set(range(75))


def test_a_small_corpus_is_mixed_anew_each_epoch():
    first, second = ({frozenset(rows) for rows in batches(LENGTHS[:640], epoch=epoch)} for epoch in range(2))
    assert len(first & second) < len(first) / 2
