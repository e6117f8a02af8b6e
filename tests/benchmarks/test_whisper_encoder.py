"""The benchmark of Whisper's encoder."""

import json

from benchmarks import whisper_encoder
from benchmarks.whisper_encoder import main
from m4ser import M4SERConfig

WHISPER = {"model_type": "whisper", "d_model": 16, "encoder_layers": 1, "encoder_attention_heads": 2}


def test_reports_every_ratio(monkeypatch, capsys):
    configs = {"Whisper": M4SERConfig.preset("tiny", speech_config=WHISPER), "HuBERT": M4SERConfig.preset("tiny")}
    monkeypatch.setattr(whisper_encoder, "configs", lambda: configs)
    main(["--rounds", "1"])
    figures = json.loads(capsys.readouterr().out)["figures"]
    ratios = {name for name in figures if not name.startswith("milliseconds")}
    assert ratios == {
        "30 s / 3 s, Whisper",
        "30 s / 3 s, HuBERT",
        "Whisper / HuBERT, 3 s",
        "Whisper / HuBERT, 30 s",
    }
    assert all(value > 0 for value in figures.values())
