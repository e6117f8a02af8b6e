"""Shared by the benchmarks: alternating order, ratios, peak memory, and whether a goal was met."""

import pytest

from benchmarks.timing import in_turn, median_ratio, peak_memory, report


def test_order_alternates_and_the_first_round_is_a_warm_up():
    calls = []
    seconds = in_turn({name: lambda name=name: calls.append(name) for name in "ab"}, rounds=2)
    assert calls == list("abbaab")
    assert {name: len(values) for name, values in seconds.items()} == {"a": 2, "b": 2}


def test_ratio_is_taken_within_rounds():
    """A machine that is ten times slower in the second round has no influence; the ratio of means would be 1.92."""
    assert median_ratio([2.0, 20.0, 3.0], [1.0, 10.0, 2.0]) == 2.0
    with pytest.raises(ValueError):
        median_ratio([1.0], [])


def test_goal_is_an_upper_or_a_lower_bound():
    found = report({"a": 1.0, "b": 1.2, "c": 5}, {"a": 1.0, "b": 1.1}, {"c": 4}, rounds=3)
    assert found["met"] == {"a": True, "b": False, "c": True} and found["rounds"] == 3
    assert report({"c": 5}, at_least={"c": 6})["met"] == {"c": False}
    assert found["seed"] == 0 and found["hardware"] and set(found["versions"]) >= {"torch", "transformers"}


@pytest.mark.parametrize("megabytes", [64, 256])
def test_memory_is_the_peak_above_the_start(megabytes):
    """Written, so that the pages are really allocated, and freed before the end."""
    with peak_memory() as peak:
        bytearray(megabytes * 2**20).count(1)
    assert peak.megabytes == pytest.approx(megabytes, rel=0.1)


def test_memory_freed_earlier_counts_again():
    """The allocator keeps freed small blocks below one that is still in use."""
    stays = []
    for _ in range(2):
        with peak_memory() as peak:
            blocks = [bytearray(2**14) for _ in range(4096)]
        assert peak.megabytes == pytest.approx(64, rel=0.1)
        stays.append(bytearray(2**14))
        del blocks
