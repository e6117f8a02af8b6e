"""The benchmark of the start: every line runs, in a process of its own, and has its figure."""

import json

from benchmarks.startup import GOALS, IMPORTS, main


def test_every_figure_with_its_goal(capsys):
    main(["--rounds", "1"])
    report = json.loads(capsys.readouterr().out)
    assert report["at_most"] == GOALS and set(GOALS) <= set(report["figures"])
    ours, theirs = (report["figures"][f"seconds, {name}"] for name in list(IMPORTS)[:2])
    assert report["figures"]["import m4ser / transformers' pipeline"] == ours / theirs  # one round is its own median
