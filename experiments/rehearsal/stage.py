"""The folder that the commands are typed in: a copy of the project, releases, recordings, and corpora's configs.

Two things differ from a stranger's clone: the configs of IEMOCAP, MELD and RAVDESS train one epoch, and the first
two a network that is as narrow as the encoders.
"""

import csv
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import yaml

from experiments.fake_releases import tone, write_iemocap, write_meld, write_meld_csvs, write_ravdess
from experiments.rehearsal.published import HEADS, WIDTH
from m4ser.corpora import meld

ROOT = Path(__file__).parents[2]
PROJECT = ("configs", "datasets_builders", "experiments", "hub_scripts", "model_card.md", "README.md", "train.py")
NARROW = {"hidden_size": WIDTH, "num_attention_heads": HEADS}  # which every system has
CONFIGS = {
    "iemocap": {"epochs": 1, "config": NARROW},
    "meld": {"epochs": 1, "config": NARROW},
    "meld_text": {"epochs": 1, "config": NARROW},
    "ravdess": {"epochs": 1},
    "recordings": {"epochs": 1},
}
# What IEMOCAP's transcribers write for what is no word.
TAGS = ("[LAUGHTER]", "[BREATHING]", "[GARBAGE]", "[LIPSMACK]")
TAG_RATE = 0.06
SENTENCES = (
    "I'll be there, won't I?",
    "We're fine. It's just that you never call!",
    "What? No, I can't do that by 2 o'clock.",
    "She's got twenty-one of them, hasn't she?",
    "Oh my God, that's so great!",
    "Well... I don't know.",
    "Yeah.",
)
ELSEWHERE = """import sys
sys.modules["m4ser"] = None  # every import of it fails from here on
from transformers import pipeline
repo_id, recording = sys.argv[1:]
classify = pipeline("audio-classification", model=repo_id, trust_remote_code=True)
print(classify({"path": recording, "text": "I'll be there"}, top_k=1))
"""


def set_stage(folder: Path, meld_csvs: Path | None, share: float) -> Path:
    """Make the folder below `folder`, and return where the commands are typed.

    Args:
        meld_csvs: folder of MELD's three CSVs; made up with the published counts by default. share: of IEMOCAP's and
            MELD's recordings, 1 for all; for less, RAVDESS has half of its own, and shorter ones.
    """
    stage = folder / "m4ser"
    stage.mkdir(parents=True)
    for name in PROJECT:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, stage / name)
    for name, changes in CONFIGS.items():
        change_config(stage / "configs" / f"{name}.yaml", changes)
    write_releases(folder, stage, meld_csvs, share)
    write_recordings(stage)
    (stage / "elsewhere.py").write_text(ELSEWHERE)
    return stage


def change_config(path: Path, changes: dict[str, Any]) -> None:
    """Change arguments in a YAML file, and fields within its `config`."""
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    fields = values.get("config", {}) | changes.get("config", {})
    path.write_text(yaml.safe_dump(values | changes | {"config": fields}))


def write_releases(folder: Path, stage: Path, meld_csvs: Path | None, share: float) -> None:
    """Write IEMOCAP, MELD and RAVDESS where the commands expect them."""
    csvs = folder / "csvs"
    csvs.mkdir()
    paths = write_meld_csvs(csvs, share, SENTENCES) if meld_csvs is None else first_dialogues(meld_csvs, csvs, share)
    texts = [row.text for row in meld.read_rows(paths["train"], "train")]
    rng = random.Random(0)
    # A third as long as IEMOCAP's, which are 4.5 s in the mean: time goes with the square of the length.
    lengths = sorted({round(min(17, max(0.6, rng.lognormvariate(0.15, 0.7))), 2) for _ in range(200)})
    release = write_iemocap(folder / "iemocap", lengths, with_tags(texts, rng), share)
    make_distinct(release)
    release.rename(stage / release.name)
    release = write_meld(folder / "meld", paths)
    release.rename(stage / release.name)
    words = sorted({word.lower() for text in texts for word in text.split() if word.isalpha()})
    seconds, repetitions = (1.5, 2) if share == 1 else (0.5, 1)
    make_distinct(write_ravdess(folder / "shared" / "data" / "ravdess16k", seconds, words, repetitions))


def first_dialogues(source: Path, folder: Path, share: float) -> dict[str, Path]:
    """Copy the first dialogues of MELD's CSVs, a `share` of them; return the copies by corpus."""
    paths = {}
    for corpus in meld.CLIPS:
        name = f"{corpus}_sent_emo.csv"
        with (source / name).open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        last = share * max(int(row["Dialogue_ID"]) for row in rows)
        paths[corpus] = folder / name
        with paths[corpus].open("w", encoding="utf-8", newline="") as file:
            copy = csv.DictWriter(file, rows[0].keys())
            copy.writeheader()
            copy.writerows(row for row in rows if int(row["Dialogue_ID"]) <= last)
    return paths


def with_tags(texts: Sequence[str], rng: random.Random) -> list[str]:
    """Put a tag of IEMOCAP's transcribers before some texts."""
    return [f"{rng.choice(TAGS)} {text}" if rng.random() < TAG_RATE else text for text in texts]


def make_distinct(release: Path) -> None:
    """Give each recording a noise of its own, as long as what it was a link to: none may be in two splits."""
    generator = np.random.default_rng(0)
    for path in sorted(release.rglob("*.wav")):
        info = soundfile.info(path)
        path.unlink()
        noise = generator.normal(scale=0.1, size=info.frames).astype(np.float32)
        soundfile.write(path, noise, info.samplerate)


def write_recordings(stage: Path) -> None:
    """Write somebody's recordings: a manifest of 48, and the files that the guide on using a model names."""
    emotions, rows = ("angry", "calm", "happy"), ["path,emotion,transcript,speaker"]
    folder = stage / "recordings"
    folder.mkdir()
    for index in range(48):
        name = f"clip{index:02d}.wav"
        soundfile.write(folder / name, tone(1 + index / 24, 16_000), 16_000)
        rows.append(f"recordings/{name},{emotions[index % 3]},I'll be there at {index} o'clock,speaker{index % 8}")
    (stage / "recordings.csv").write_text("\n".join(rows) + "\n")
    for name, seconds in (("speech.wav", 2), ("a.wav", 3), ("b.flac", 1), ("meeting.flac", 60)):
        soundfile.write(stage / name, tone(seconds, 44_100), 44_100)
    turn = "SPEAKER meeting 1 {} 20 <NA> <NA> speaker{} <NA> <NA>\n"
    (stage / "meeting.rttm").write_text(turn.format(0, 0) + turn.format(19, 1))
