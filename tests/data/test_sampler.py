"""Batches: each row once an epoch, drawn from (seed, epoch) alone, with little padding."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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


@given(
    lengths=st.lists(st.floats(0.05, 60), min_size=1, max_size=70),
    batch_size=st.integers(1, 9),
    processes=st.integers(1, 3),
    max_length=st.none() | st.floats(5, 100),
    seed=st.none() | st.integers(0, 3),
)
def test_processes_share_each_batch_under_both_caps(lengths, batch_size, processes, max_length, seed):
    shares = [
        list(LengthGroupedBatchSampler(lengths, batch_size, seed, max_length, processes, process))
        for process in range(processes)
    ]
    batches = LengthGroupedBatchSampler(lengths, batch_size, seed, max_length, processes).batches()
    for batch, parts in zip(batches, zip(*shares, strict=True), strict=True):
        assert sorted(row for part in parts for row in part) == sorted(batch)
        assert all(parts) or len(lengths) < processes  # none stands idle while the others wait for it
        cap = max_length * (1 + 1e-9) if max_length else float("inf")
        loads = [len(part) * max(lengths[row] for row in part) for part in parts if part]
        rows = max(map(len, parts))
        if rows > 2:  # two may be needed so that nobody stands idle
            assert rows <= batch_size and max(loads) <= cap
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))


def test_two_processes_share_the_larger_batch():
    whole = LengthGroupedBatchSampler(LENGTHS, 8, seed=2).batches()
    assert LengthGroupedBatchSampler(LENGTHS, 4, seed=2, num_processes=2).batches() == whole


def test_a_cut_epoch_goes_on_where_it_was():
    sampler = LengthGroupedBatchSampler(LENGTHS, 16, seed=2)
    sampler.set_epoch(3)
    whole = list(sampler)
    sampler.set_epoch(3, start=5)
    assert list(sampler) == whole[5:]
    assert len(sampler) == len(whole) - 5


def test_a_long_row_stands_alone():
    drawn = LengthGroupedBatchSampler([3.0, 3.0, 305.0, 3.0, 3.0, 3.0], 16, None, max_length=6).batches()
    assert drawn == [[0, 1], [3, 4], [5], [2]]


def test_a_small_corpus_is_mixed_anew_each_epoch():
    first, second = ({frozenset(rows) for rows in batches(LENGTHS[:640], epoch=epoch)} for epoch in range(2))
    assert len(first & second) < len(first) / 2
