"""The demo's whole chain, on a corpus too small to learn from."""

from m4ser.demo import RUNS, run_demo


def test_demo_trains_compares_and_predicts(tmp_path, capsys):
    run_demo(tmp_path, sizes={"train": 40, "validation": 20, "test": 20}, epochs=1)
    printed = capsys.readouterr().out
    for name in RUNS:
        assert f"| {name} |" in printed
    assert "Always the most frequent emotion: WA 0.250, UA 0.250" in printed
    assert (tmp_path / "test-00000.wav").is_file()
    prediction = printed[printed.index("4. Reloaded in a new process") :]
    scores = [float(line.split()[1]) for line in prediction.splitlines() if line.startswith("            ")]
    assert len(scores) == 4 and abs(sum(scores) - 1) < 2e-3
    assert "corrected   " in prediction
