"""What the benchmarks share: turns, ratios, and whether a goal was met."""

import pytest

from benchmarks.timing import in_turn, median_ratio, peak_memory, report


def test_all_take_turns_and_the_first_round_warms_up():
    calls = []
    seconds = in_turn({name: lambda name=name: calls.append(name) for name in "ab"}, rounds=2)
    assert calls == list("ababab")
    assert {name: len(values) for name, values in seconds.items()} == {"a": 2, "b": 2}


def test_the_ratio_is_that_of_a_round():
    """A machine that is ten times slower in the second round changes nothing; the means' ratio would be 1.34."""
    assert median_ratio([2.0, 20.0, 3.0], [1.0, 10.0, 2.0]) == 2.0
    with pytest.raises(ValueError):
        median_ratio([1.0], [])


def test_a_goal_is_a_bound_from_above_or_from_below():
    found = report({"a": 1.0, "b": 1.2, "c": 5}, {"a": 1.0, "b": 1.1}, {"c": 4}, rounds=3)
    assert found["met"] == {"a": True, "b": False, "c": True} and found["rounds"] == 3
    assert report({"c": 5}, at_least={"c": 6})["met"] == {"c": False}
    assert found["seed"] == 0 and found["hardware"] and set(found["versions"]) >= {"torch", "transformers"}


@pytest.mark.parametrize("megabytes", [64, 256])
def test_memory_is_the_peak_above_the_beginning(megabytes):
    """Written so that it is really there, and gone before it could be looked for."""
    with peak_memory() as peak:
        bytearray(megabytes * 2**20).count(1)
    assert peak.megabytes == pytest.approx(megabytes, rel=0.1)


def test_memory_that_was_freed_before_counts_again():
    """Small blocks below one that stays: the allocator keeps them when they are freed."""
    stays = []
    for _ in range(2):
        with peak_memory() as peak:
            blocks = [bytearray(2**14) for _ in range(4096)]
        assert peak.megabytes == pytest.approx(64, rel=0.1)
        stays.append(bytearray(2**14))
        del blocks
