"""Build MELD (Poria et al. 2019, doi 10.18653/v1/P19-1050): dialogues of the series Friends, official splits.

python datasets_builders/meld.py --data_dir MELD.Raw --output_dir data/meld
python datasets_builders/meld.py --data_dir CSVS --output_dir data/meld-text --text_only

MELD.Raw holds train_sent_emo.csv, dev_sent_emo.csv, test_sent_emo.csv and the folders of clips train_splits,
dev_splits_complete and output_repeated_splits_test, here or in folders below. --text_only needs the CSVs alone and
gives rows without audio. --labels 7 are MELD's own classes; --labels 4 are those that IEMOCAP has too, by
IEMOCAP's names (neutral, joy as happy, anger as angry, sadness as sad), without the rest.

The release has known faults: two of the 13,708 rows have no usable clip and are left out; clips over a minute
were cut at the wrong time, and their first 30 s stay. All else that looks wrong is kept and listed in
OUT/report.json. Any other clip that is missing or damaged stops the build, unless --allow_partial leaves it out.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

from m4ser.data.builders.builder_cli import (
    add_release_arguments,
    argument_parser,
    encode_flac,
    load_tokenizer,
    map_in_processes,
    read_text,
    read_video,
)
from m4ser.data.builders.card import summary
from m4ser.data.builders.hypotheses import Hypotheses, read_hypotheses
from m4ser.data.builders.release import ReleaseReport, find_recursive
from m4ser.data.builders.writing import write_dataset
from m4ser.data.schema import SAMPLING_RATE, DataError, Utterance
from m4ser.model.audio_m4ser import AudioError

SEVEN = {name: name for name in ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")}
FOUR = {"anger": "angry", "joy": "happy", "neutral": "neutral", "sadness": "sad"}
LABEL_SETS = {"7": SEVEN, "4": FOUR}
CLIPS = {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}
# Rows by emotion in train, dev and test.
PUBLISHED = {
    "anger": (1109, 153, 345),
    "disgust": (271, 22, 68),
    "fear": (268, 40, 50),
    "joy": (1743, 163, 402),
    "neutral": (4710, 470, 1256),
    "sadness": (683, 111, 208),
    "surprise": (1205, 150, 281),
}
WITHOUT_CLIP = {"train_dia125_utt3", "dev_dia110_utt7"}  # the first is damaged, the second missing
CLIP = re.compile(r"(final_videos_test)?dia(\d+)_utt(\d+)\.mp4")
TOLERANCE = 0.5  # seconds
SHORT, LONG, CUT_TO = 0.2, 60.0, 30.0  # seconds
FASTEST = 30  # characters a second; half of MELD is below 13


@dataclass(frozen=True)
class Row:
    """A line of a CSV. `corpus` is train, dev or test; `dialogue` and `number` count within it."""

    corpus: str
    dialogue: int
    number: int
    text: str
    speaker: str
    emotion: str
    seconds: float

    @property
    def id(self) -> str:
        return f"{self.corpus}_dia{self.dialogue}_utt{self.number}"


def read_rows(path: Path, corpus: str) -> list[Row]:
    """Read all rows of a CSV. Raises DataError where it is not one of MELD's."""
    try:
        return [
            Row(
                corpus=corpus,
                dialogue=int(values["Dialogue_ID"]),
                number=int(values["Utterance_ID"]),
                text=values["Utterance"],
                speaker=values["Speaker"],
                emotion=values["Emotion"],
                seconds=parse_time(values["EndTime"]) - parse_time(values["StartTime"]),
            )
            for values in csv.DictReader(io.StringIO(read_text(path), newline=""))
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is not as MELD publishes it ({error!r}); fetch it again.") from error


def parse_time(text: str) -> float:
    """Convert 00:20:57,256 to seconds."""
    hours, minutes, seconds = text.replace(",", ".").split(":")
    return 60 * (60 * int(hours) + int(minutes)) + float(seconds)


def read_csvs(data_dir: Path, report: ReleaseReport) -> list[Row]:
    """Read the rows of the three CSVs, compared with the published numbers."""
    rows, files = [], []
    for corpus in CLIPS:
        path = find_recursive(data_dir, f"{corpus}_sent_emo.csv")
        if path is None:
            raise DataError(f"There is no {corpus}_sent_emo.csv in {data_dir} nor below.")
        rows += read_rows(path, corpus)
        files.append(path.name)
    counted = Counter((f"{row.corpus}_sent_emo.csv", row.emotion) for row in rows)
    report.compare_counts(counted, PUBLISHED, files)
    return rows


def find_clips(
    data_dir: Path, rows: Sequence[Row], labels: Mapping[str, str], report: ReleaseReport
) -> dict[str, list[Path]]:
    """Find the clips of each row's id, the plain name first; files that belong to no row are listed.

    A row of the classes `labels` without a clip differs from the release, unless it is known to.
    """
    clips: dict[str, list[Path]] = {row.id: [] for row in rows}
    for corpus, name in CLIPS.items():
        folder = find_recursive(data_dir, name)
        if folder is None or not folder.is_dir():
            report.differ(f"{name}: there is no such folder")
            continue
        for path in sorted(folder.iterdir()):
            clip = CLIP.fullmatch(path.name)
            key = clip and f"{corpus}_dia{int(clip[2])}_utt{int(clip[3])}"
            if key in clips:
                clips[key].append(path)
            elif path.name.startswith("._"):
                report.add("._ files, which are no clips", f"{name}/{path.name}")
            else:
                report.add("files without a row in the CSVs", f"{name}/{path.name}")
        for row in rows:
            if row.corpus == corpus and row.emotion in labels and not clips[row.id] and row.id not in WITHOUT_CLIP:
                report.differ(f"{row.id}: there is no clip")
    return clips


@dataclass(frozen=True)
class Clip:
    """The sound of a clip: how long it lasts, and what is kept of it as a FLAC file; seconds."""

    seconds: float
    kept_seconds: float
    flac: bytes


def read_clips(paths: Sequence[Path]) -> dict[Path, Clip]:
    """Read the sound of clips (`read_video`), as far as they can be read."""
    clips = {}
    for path in paths:
        with suppress(AudioError):
            sound = read_video(path)
            kept = sound[: int(CUT_TO * SAMPLING_RATE)] if len(sound) > LONG * SAMPLING_RATE else sound
            clips[path] = Clip(len(sound) / SAMPLING_RATE, len(kept) / SAMPLING_RATE, encode_flac(kept))
    return clips


def choose_clip(row: Row, paths: Sequence[Path], clips: Mapping[Path, Clip], report: ReleaseReport) -> Clip | None:
    """Return the clip of a row, of two that which lasts about as long as the row says.

    None where none of its `paths` could be read; which is a difference from the release, unless it is known.
    """
    if not clips:
        if paths and row.id not in WITHOUT_CLIP:
            report.differ(f"{row.id}: no sound can be read from {paths[0].name}")
        return None
    used = min(clips, key=lambda path: abs(clips[path].seconds - row.seconds))
    if len(paths) > 1 or used.name.startswith("final_videos_test"):
        report.add("rows with a final_videos_test clip, and which is used", f"{row.id}: {used.name}")
    return clips[used]


def inspect(row: Row, seconds: float, report: ReleaseReport) -> None:
    """List what looks wrong in a row whose clip lasts `seconds`."""
    report.compare_length(row.id, seconds, row.seconds, TOLERANCE)
    if seconds <= SHORT:
        report.add(f"clips of {SHORT} s or less", f"{row.id}: {seconds:.2f} s")
    if seconds > LONG:
        report.add(f"clips over {LONG:.0f} s, of which {CUT_TO:.0f} s stay", f"{row.id}: {seconds:.0f} s")
    if len(row.text) > FASTEST * seconds:
        kind = f"texts of more than {FASTEST} characters a second"
        report.add(kind, f"{row.id}: {len(row.text)} characters in {seconds:.2f} s")


def read_utterances(
    rows: Sequence[Row],
    clips: Mapping[str, Sequence[Path]] | None,
    labels: Mapping[str, str],
    hypotheses: Hypotheses,
    report: ReleaseReport,
) -> Iterator[Utterance]:
    """Yield the rows of the classes `labels` that have a clip, or all of them where `clips` is None."""
    chosen = [row for row in rows if row.emotion in labels]
    left_out = []
    paths = [[] if clips is None else clips[row.id] for row in chosen]
    found = repeat({}, len(chosen)) if clips is None else map_in_processes(read_clips, paths)
    for row, own, sounds in zip(chosen, paths, found, strict=True):
        recording: dict[str, Any] = {"audio": None, "path": None, "duration": row.seconds}
        if clips is not None:
            clip = choose_clip(row, own, sounds, report)
            if clip is None:
                left_out.append(f"{row.id}: {'damaged' if own else 'missing'}")
                continue
            inspect(row, clip.seconds, report)
            recording = {"audio": clip.flac, "path": f"{row.id}.flac", "duration": clip.kept_seconds}
        yield Utterance(
            id=row.id,
            **recording,
            emotion=labels[row.emotion],
            split="validation" if row.corpus == "dev" else row.corpus,
            transcript=row.text,
            **hypotheses.columns(row.id),
            speaker=row.speaker,
            dialogue=f"{row.corpus}_{row.dialogue}",
        )
    report.check()
    hypotheses.check()
    usable = len(chosen) - len(left_out)
    kind = f"{len(rows):,} rows in the CSVs, {len(chosen):,} of these classes, {usable:,} usable; left out"
    report.findings[kind] = left_out


def main() -> None:
    parser = argument_parser(__doc__, raw_data="MELD.Raw, or for --text_only the folder of the three CSVs")
    add_release_arguments(parser, tuple(LABEL_SETS))
    parser.add_argument("--text_only", action="store_true", help="rows without audio, from the CSVs alone")
    arguments = parser.parse_args()
    labels, report = LABEL_SETS[arguments.labels], ReleaseReport(arguments.allow_partial)
    hypotheses, tokenizer = read_hypotheses(arguments.hypotheses), load_tokenizer(arguments.tokenizer)
    rows = read_csvs(arguments.data_dir, report)
    clips = None if arguments.text_only else find_clips(arguments.data_dir, rows, labels, report)
    report.check()
    emotions = list(labels.values())
    statistics = write_dataset(
        read_utterances(rows, clips, labels, hypotheses, report),
        emotions,
        arguments.output_dir,
        title=f"MELD, {len(emotions)} classes" + (", text only" if arguments.text_only else ""),
        description="Dialogues of the series Friends with the official splits (Poria et al. 2019, doi "
        "10.18653/v1/P19-1050). The main characters speak in all splits; no dialogue is in two. The labels are "
        "under the GPL-3.0; the dialogues are others' copyright, for research only.",
        license_id="gpl-3.0",
        tokenizer=tokenizer,
        findings=report.findings,
        allow_missing_text=arguments.allow_missing_text,
    )
    print(summary(emotions, statistics, report.findings))
