"""Rows on a terminal."""

import json

from m4ser.inference.printing import format_row, print_rows

ROW = {"path": "a.wav", "label": "sad", "scores": {"sad": 0.75, "happy": 0.25}}
ERROR = {"path": "b.wav", "error": "b.wav: there is no such file; check the path."}


def test_lines_for_people():
    assert format_row(ROW) == "a.wav\tsad 0.750  happy 0.250"
    assert format_row({**ROW, "label": None}) == "a.wav\tabstains: sad 0.750  happy 0.250"
    entry = {**ROW, "start": 0, "end": 1.5, "text": "so heart"}
    lines = format_row({**ROW, "timeline": [entry]}).splitlines()
    assert lines == [format_row(ROW), "a.wav\t0.00\t1.50\tsad 0.750  happy 0.250\tso heart"]


def test_transcript_is_printed():
    line = format_row({**ROW, "text": "so heart"})
    assert line == "a.wav\tsad 0.750  happy 0.250\tso heart"
    entry = {**ROW, "start": 0, "end": 1.5, "text": "so heart"}
    assert format_row({**ROW, "text": "so heart", "timeline": [entry]}) == format_row({**ROW, "timeline": [entry]})


def test_correction_stands_beside_the_text():
    corrected = {**ROW, "text": "so heart", "correction": "so hard"}
    assert format_row(corrected) == "a.wav\tsad 0.750  happy 0.250\tso heart -> so hard"
    entry = {**corrected, "start": 0, "end": 1.5}
    assert format_row({**ROW, "timeline": [entry]}).endswith("0.00\t1.50\tsad 0.750  happy 0.250\tso heart -> so hard")


def test_path_is_printed_once():
    assert format_row(ERROR) == "b.wav\tthere is no such file; check the path."


def test_warning_is_printed():
    assert format_row({**ROW, "warning": "silent"}) == "a.wav\tsad 0.750  happy 0.250\tsilent"


def test_errors_go_to_stderr_for_people_and_to_stdout_as_json(capsys):
    assert not print_rows([ROW], 1)
    assert print_rows([ROW, ERROR], 2)
    printed = capsys.readouterr()
    assert printed.out.splitlines() == 2 * [format_row(ROW)] and format_row(ERROR) in printed.err
    assert print_rows([ERROR], 1, as_json=True)
    assert json.loads(capsys.readouterr().out) == ERROR
