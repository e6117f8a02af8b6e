"""Whole releases of corpora that may not be passed on, in their exact layout, with made-up sound.

A few recordings stand for thousands: they are hard links to the files of a bank.
"""

import csv
import json
import math
import os
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import cycle, product
from pathlib import Path

import av
import numpy as np
import soundfile

from m4ser.corpora import iemocap, meld, ravdess

FRIENDS = ("Chandler", "Joey", "Monica", "Phoebe", "Rachel", "Ross")
UTTERANCES_A_DIALOGUE = 10
CLIP_RATE, VIDEO_RATE, VIDEO_SIZE = 44_100, 24, (48, 64)
# Of 2,507 utterances without agreement, some for every session.
UNDECIDED = (501, 501, 501, 502, 502)
WORDS = ("well", "you", "know", "i", "never", "said", "that", "it", "was", "fine", "really", "so")


def tone(seconds: float, rate: int) -> np.ndarray:
    """Make a voice of sorts, float32 of shape (samples,), in noise as real ones are, so that it packs no better."""
    time = np.arange(round(seconds * rate)) / rate
    voice = 0.2 * np.sin(2 * np.pi * 220 * time) * (1 + 0.5 * np.sin(2 * np.pi * 4 * time))
    return (voice + 0.01 * np.random.default_rng(0).standard_normal(len(time))).astype(np.float32)


def write_video(path: Path, samples: np.ndarray, rate: int = CLIP_RATE, layout: str = "stereo") -> None:
    """Write an mp4 of a black picture and AAC sound, the same `samples` (samples,) in every channel."""
    with av.open(path, "w") as container:
        picture = container.add_stream("mpeg4", rate=VIDEO_RATE)
        picture.height, picture.width = VIDEO_SIZE
        sound = container.add_stream("aac", rate=rate, layout=layout)
        black = np.zeros((*VIDEO_SIZE, 3), np.uint8)
        for _ in range(max(1, round(len(samples) / rate * VIDEO_RATE))):
            container.mux(picture.encode(av.VideoFrame.from_ndarray(black, format="rgb24")))
        container.mux(picture.encode())
        channels = np.tile(samples, (len(av.AudioLayout(layout).channels), 1))
        frame = av.AudioFrame.from_ndarray(channels, format="fltp", layout=layout)
        frame.sample_rate, frame.pts = rate, 0
        container.mux(sound.encode(frame))
        container.mux(sound.encode())


def write_iemocap(folder: Path, seconds: Sequence[float], texts: Sequence[str] = (), share: float = 1.0) -> Path:
    """Write IEMOCAP_full_release with all 10,039 evaluated utterances, which last one of `seconds`.

    Args:
        texts: what is said, drawn from these; some words by default. share: of the utterances; 1 is as published.
    """
    release, bank = folder / "IEMOCAP_full_release", folder / "bank"
    bank.mkdir(parents=True)
    for length in seconds:
        soundfile.write(bank / f"{length}.wav", tone(length, 16_000), 16_000)
    rng = random.Random(0)
    for number, session in enumerate(iemocap.SESSIONS, start=1):
        counts = {code: counts[number - 1] for code, counts in iemocap.PUBLISHED.items()}
        counts["xxx"] = UNDECIDED[number - 1]
        codes = [code for code, count in counts.items() for _ in range(math.ceil(share * count))]
        if number == 1:  # where the rare ones stand does not matter
            codes += [code for code, (count,) in iemocap.PUBLISHED_SUMS.items() for _ in range(count)]
        rng.shuffle(codes)
        dialogues = sorted(iemocap.published_dialogues(number))
        for position, dialogue in enumerate(dialogues):
            turns = [(code, rng.choice(seconds)) for code in codes[position :: len(dialogues)]]
            write_dialogue(release / session, dialogue, turns, bank, rng, texts)
    return release


def write_dialogue(
    session: Path,
    dialogue: str,
    turns: Sequence[tuple[str, float]],
    bank: Path,
    rng: random.Random,
    texts: Sequence[str] = (),
) -> None:
    """Write a dialogue's evaluations, transcriptions and recordings; `turns` are evaluations and seconds."""
    evaluations, transcriptions = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""], []
    recordings = session / "sentences" / "wav" / dialogue
    recordings.mkdir(parents=True)
    start, said = 6.0, Counter()
    for (code, length), speaker in zip(turns, cycle("FM"), strict=False):
        name = f"{dialogue}_{speaker}{said[speaker]:03d}"
        said[speaker] += 1
        stop = start + length
        evaluations += [
            f"[{start:.4f} - {stop:.4f}]\t{name}\t{code}\t[2.5000, 2.5000, 2.5000]",
            "C-E2:\tNeutral;\t()",
            "A-E3:\tval 3; act 2; dom  2;\t()",
            "",
        ]
        text = rng.choice(texts) if texts else f"{' '.join(rng.choices(WORDS, k=rng.randint(1, 12))).capitalize()}."
        transcriptions.append(f"{name} [{start:08.4f}-{stop:08.4f}]: {text}")
        os.link(bank / f"{length}.wav", recordings / f"{name}.wav")
        start = stop
    for kind, lines in (("EmoEvaluation", evaluations), ("transcriptions", transcriptions)):
        path = session / "dialog" / kind / f"{dialogue}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n")


def write_meld(folder: Path, csvs: Mapping[str, Path]) -> Path:
    """Write MELD.Raw with a clip for each row of the CSVs by corpus (train, dev, test), as long as the row says.

    As published, dia125_utt3 (train) is damaged, dia110_utt7 (dev) missing, and one clip has a final_videos_test twin.
    """
    release, bank = folder / "MELD.Raw", folder / "bank"
    bank.mkdir(parents=True)
    for corpus, name in meld.CLIPS.items():
        clips = release / corpus / name
        clips.mkdir(parents=True)
        (release / f"{corpus}_sent_emo.csv").write_bytes(csvs[corpus].read_bytes())
        for row in meld.read_rows(csvs[corpus], corpus):
            length = max(0.1, round(row.seconds, 1))
            if not (bank / f"{length}.mp4").exists():
                write_video(bank / f"{length}.mp4", tone(length, CLIP_RATE))
            os.link(bank / f"{length}.mp4", clips / f"dia{row.dialogue}_utt{row.number}.mp4")
    (release / "dev/dev_splits_complete/dia110_utt7.mp4").unlink(missing_ok=True)
    if (damaged := release / "train/train_splits/dia125_utt3.mp4").exists():
        replace(damaged, b"\0" * 1000)
    test = release / "test/output_repeated_splits_test"
    (test / "._dia0_utt0.mp4").write_bytes(b"\0" * 200)
    write_video(test / "final_videos_testdia0_utt0.mp4", tone(0.1, CLIP_RATE))
    return release


def write_meld_csvs(folder: Path, share: float, texts: Sequence[str]) -> dict[str, Path]:
    """Write MELD's three CSVs with the published number of rows by emotion, or a `share` of it; return their paths."""
    rng, columns = random.Random(0), ("Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID")
    paths = {corpus: folder / f"{corpus}_sent_emo.csv" for corpus in meld.CLIPS}
    for path, counts in zip(paths.values(), zip(*meld.PUBLISHED.values(), strict=True), strict=True):
        emotions = [
            emotion
            for emotion, count in zip(meld.PUBLISHED, counts, strict=True)
            for _ in range(math.ceil(share * count))
        ]
        rng.shuffle(emotions)
        with path.open("w", encoding="utf-8", newline="") as file:
            rows = csv.DictWriter(file, [*columns, "StartTime", "EndTime"])
            rows.writeheader()
            for index, emotion in enumerate(emotions):
                dialogue, number = divmod(index, UTTERANCES_A_DIALOGUE)
                values = (rng.choice(texts), rng.choice(FRIENDS), emotion, dialogue, number)
                end = f"00:00:{rng.uniform(0.2, 9.0):06.3f}".replace(".", ",")
                rows.writerow(dict(zip(columns, values, strict=True)) | {"StartTime": "00:00:00,000", "EndTime": end})
    return paths


def write_ravdess(folder: Path, seconds: float, hypotheses: Sequence[str], repetitions: int = 2) -> Path:
    """Write RAVDESS's 1,440 speech recordings as the release names them, and hypotheses.jsonl beside them.

    Args:
        hypotheses: words, of which one gets into each hypothesis. repetitions: of each statement; 2 in the release.
    """
    rng, lines = random.Random(0), []
    folder.mkdir(parents=True)
    bank = folder / "bank.wav"
    soundfile.write(bank, tone(seconds, 16_000), 16_000)
    counts = (24, 8, 2, 2, repetitions)  # actors, emotions, intensities, statements
    for actor, emotion, intensity, statement, repetition in product(*[range(1, count + 1) for count in counts]):
        if (emotion, intensity) == (1, 2):  # neutral has one intensity
            continue
        name = f"03-01-{emotion:02d}-{intensity:02d}-{statement:02d}-{repetition:02d}-{actor:02d}.wav"
        (folder / f"Actor_{actor:02d}").mkdir(exist_ok=True)
        os.link(bank, folder / f"Actor_{actor:02d}" / name)
        words = ravdess.STATEMENTS[statement - 1].lower().split()
        words[rng.randrange(len(words))] = rng.choice(hypotheses)
        lines.append(json.dumps({"file": name, "hypothesis": " ".join(words)}) + "\n")
    bank.unlink()
    (folder / "hypotheses.jsonl").write_text("".join(lines))
    return folder


def replace(path: Path, content: bytes) -> None:
    """Give a file new content, and not those that share its old one."""
    path.unlink()
    path.write_bytes(content)
