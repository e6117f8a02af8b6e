"""What the benchmarks share: turns, ratios, and whether a goal was met."""

import pytest

from benchmarks.measuring import in_turn, median_ratio, report


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


def test_a_goal_is_a_bound_from_above():
    found = report({"a": 1.0, "b": 1.2, "c": 5}, {"a": 1.0, "b": 1.1}, rounds=3)
    assert found["met"] == {"a": True, "b": False} and found["rounds"] == 3
    assert found["seed"] == 0 and found["hardware"] and set(found["versions"]) >= {"torch", "transformers"}
