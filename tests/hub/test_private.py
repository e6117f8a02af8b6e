"""Paths of this machine and tokens, wherever they stand in settings."""

import pytest

from m4ser.hub.private import without_private


def test_local_paths_are_removed():
    settings = {
        "command": "/else/a/train.py configs/x.yaml --dataset /data/my corpus --output_dir=/else/a/runs/x --seed 1 /",
        "config": {
            "data": {"dataset": "/data/my corpus", "asr_model_id": "../models/whisper"},
            "model": {"speech_encoder": "/else/a/hubert", "text_encoder": "org/bert", "labels": ["/else/a", "sad", 3]},
        },
        "unk_token": "/",
        "versions": {"torch": "2.13.0+cpu"},
    }
    assert without_private(settings) == {
        "command": "train.py configs/x.yaml --dataset my corpus --output_dir=x --seed 1 /",
        "config": {
            "data": {"dataset": "my corpus", "asr_model_id": "whisper"},
            "model": {"speech_encoder": "hubert", "text_encoder": "org/bert", "labels": ["a", "sad", 3]},
        },
        "unk_token": "/",
        "versions": {"torch": "2.13.0+cpu"},
    }


PRIVATE = "hf_abcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize(
    ("text", "pushed"),
    [
        (
            f'train.py --config {{"dataset": "/else/bob/x.csv"}} --token {PRIVATE}',
            'train.py --config {"dataset": "x.csv"} --token <token>',
        ),
        ("file:///else/bob/run", "run"),
        ("read (~bob/a/b.json), then ../c/d", "read (b.json), then d"),
        (r"C:\Users\bob\corpus", "corpus"),
        ("https://huggingface.co/org/name and 3/4, WA / UA", "https://huggingface.co/org/name and 3/4, WA / UA"),
        ("org/m4ser-x", "org/m4ser-x"),
    ],
)
def test_texts_lose_paths_and_tokens(text, pushed):
    assert without_private({"command": text, text: [text]}) == {"command": pushed, pushed: [pushed]}
