"""The benchmark of the server, for a few seconds."""

import json
from collections import Counter

import pytest

from benchmarks import serving


def test_figures_of_a_short_run(capfd):
    serving.main(["--seconds", "3", "--clients", "4"])
    found = json.loads(capfd.readouterr().out)
    figures = found["figures"]
    assert figures["unexpected responses"] == figures["exit code after SIGTERM"] == 0
    assert 0 < figures["seconds, median"] <= figures["seconds, 99th percentile"]
    assert figures["good requests a second"] > 0 and found["met"]["unexpected responses"]


def test_what_was_not_expected_is_counted():
    found = {
        "good": Counter({200: 7, 500: 1, "ConnectionError": 1}),
        "bad": Counter({400: 2, 200: 1}),
        "seconds": [1.0, 2.0, 3.0],
        "megabytes": [100.0, 110.0, 120.0, 125.0],
    }
    figures = serving.figures_of(found, 2)
    assert figures["unexpected responses"] == 3
    assert figures["good requests a second"] == 3.5 and figures["megabytes more at the end"] == 15
    assert figures["seconds, 99th percentile"] == pytest.approx(2.98)
