"""Every command that loads a model refuses one that is not whole, in one sentence, and changes nothing of the run."""

import os
import shutil
import sys

import pytest

import m4ser_cli
from m4ser.files import folder_digest
from tests.model.test_base_m4ser import EVIL, NOT_WHOLE, code_of

ATTACKS = {
    name: NOT_WHOLE[name][0] for name in ("a pickle", "100 missing weights", "NaN", "a label twice", "no bytes")
}
CODE = "code in the tokenizer"
ATTACKS[CODE] = code_of("tokenizer_config.json", value={"AutoTokenizer": [EVIL, EVIL]}, tokenizer_class="Evil")
COMMANDS = {
    "predict": ["clip.wav", "--model", "RUN"],
    "predict to a folder": ["clip.wav", "--model", "RUN", "--output", "OUT"],
    "evaluate": ["RUN", "--dataset", "CORPUS", "--split", "test"],
    "calibrate": ["RUN", "--dataset", "CORPUS"],
    "export": ["RUN"],
    "latency": ["RUN", "--dataset", "CORPUS"],
    "robustness": ["RUN", "--dataset", "CORPUS"],
    "report": ["RUN", "--dataset", "CORPUS", "--output_dir", "OUT"],
    "serve": ["--model", "RUN"],
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_commands_refuse_in_one_sentence(attack, tiny_run, tmp_path, monkeypatch):
    run, corpus, out = tmp_path / "run", tiny_run.parent / "corpus", tmp_path / "out"
    shutil.copytree(tiny_run, run)
    ATTACKS[attack](run)
    before = folder_digest(run)
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("it waits on the terminal"))
    for name, arguments in COMMANDS.items():
        if attack == CODE and name == "export":  # a graph has no tokenizer
            continue
        words = [{"RUN": str(run), "CORPUS": str(corpus), "OUT": str(out)}.get(word, word) for word in arguments]
        monkeypatch.setattr(sys, "argv", ["m4ser", name.split()[0], *words])
        with pytest.raises(SystemExit) as stop:
            m4ser_cli.main()
        said = stop.value.code
        assert isinstance(said, str) and said.startswith("m4ser: ") and "\n" not in said, (name, said)
        assert str(run) in said or "evil" in said.lower(), (name, said)
        assert not out.exists() or not os.listdir(out), name
    assert folder_digest(run) == before and not (run / "was_run").exists()
