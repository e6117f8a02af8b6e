"""Progress: a bar on a terminal, and in a log no more than a line now and then."""

import sys

import pytest

from m4ser import progress


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass when the test says so."""

    class Clock:
        now = 100.0

    monkeypatch.setattr(progress.time, "monotonic", lambda: Clock.now)
    return Clock


def test_log_gets_a_line_every_half_minute(clock, capsys):
    with progress.track(1000, "recording", "Predicting") as tracked:
        for _ in range(700):
            clock.now += 0.125
            tracked.update()
            tracked.write("a row")
    printed = capsys.readouterr()
    assert printed.out.splitlines() == ["a row"] * 700
    first, second = printed.err.splitlines()
    assert first == "Predicting: 240 of 1000 recordings, 8.00 a second, 01:35 left"
    assert second.startswith("Predicting: 480 of 1000")


def test_what_has_no_total_says_no_time_left(clock, capsys):
    tracked = progress.track(None, "second", "meeting.flac")
    clock.now += 31
    tracked.update(62)
    assert capsys.readouterr().err == "meeting.flac: 62 seconds, 2.00 a second\n"


def test_what_is_short_says_nothing(capsys):
    with progress.track(3, "recording", "Predicting") as tracked:
        tracked.update(3)
    assert capsys.readouterr().err == ""


def test_terminal_gets_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with progress.track(3, "recording", "Predicting") as tracked:
        tracked.update(3)
    assert "Predicting" in capsys.readouterr().err
