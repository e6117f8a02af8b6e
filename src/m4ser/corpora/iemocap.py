"""Build IEMOCAP (Busso et al. 2008, doi 10.1007/s10579-008-9076-6): ten actors in five sessions.

python datasets_builders/iemocap.py --data_dir IEMOCAP_full_release --output_dir data/iemocap --labels 4

Of each Session it reads dialog/EmoEvaluation/*.txt, dialog/transcriptions/*.txt and sentences/wav. Classes:

--labels 4    angry, happy (with excited), neutral, sad: the 5,531 utterances of the paper (Sec. IV-A)
--labels 5    the same and frustrated: 7,380 utterances
--labels 6    angry, excited, frustrated, happy, neutral, sad: the same 7,380
--labels all  these and disgusted, fearful, other, surprised: 7,532 utterances

Utterances on which the annotators did not agree (xxx) are in none. All rows are in the split `train`, because
folds are made by `session` (1 to 5); the column `improvised` tells improvisations from scripted plays. Tags of what is
no word, such as [LAUGHTER] or [BREATHING], are left out of `transcript`; each is listed in OUT/report.json. A
release that differs from the published one is refused, and what differs is named; --allow_partial builds it all
the same.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import datasets

from m4ser.data.builders.builder_cli import (
    add_release_arguments,
    argument_parser,
    load_tokenizer,
    read_recording,
)
from m4ser.data.builders.card import summary
from m4ser.data.builders.hypotheses import Hypotheses, read_hypotheses
from m4ser.data.builders.release import ReleaseReport
from m4ser.data.builders.writing import write_dataset
from m4ser.data.schema import DataError, Utterance
from m4ser.model.audio_m4ser import AudioError

FOUR = {"ang": "angry", "exc": "happy", "hap": "happy", "neu": "neutral", "sad": "sad"}
SIX = FOUR | {"exc": "excited", "fru": "frustrated"}
RARE = {"dis": "disgusted", "fea": "fearful", "oth": "other", "sur": "surprised"}
LABEL_SETS = {"4": FOUR, "5": FOUR | {"fru": "frustrated"}, "6": SIX, "all": SIX | RARE}
SEXES = {"F": "female", "M": "male"}
SESSIONS = ("Session1", "Session2", "Session3", "Session4", "Session5")
# Utterances by evaluation and session; of the rare ones the sum is known.
PUBLISHED = {
    "ang": (229, 137, 240, 327, 170),
    "exc": (143, 210, 151, 238, 299),
    "fru": (280, 325, 382, 481, 381),
    "hap": (135, 117, 135, 65, 143),
    "neu": (384, 362, 320, 258, 384),
    "sad": (194, 197, 305, 143, 245),
}
PUBLISHED_SUMS = {"dis": (2,), "fea": (40,), "oth": (3,), "sur": (107,)}
PLAYS = ("script01_1", "script01_2", "script01_3", "script02_1", "script02_2", "script03_1", "script03_2")
EVALUATION = re.compile(r"\[([\d.]+) - ([\d.]+)\]\t(Ses0[1-5]\w+_[FM]\w+)\t(\w{3})\t")
TRANSCRIPTION = re.compile(r"(Ses0[1-5]\w+) \[[^]]*\]: *(.*)")
TAG = re.compile(r"\[[^]]*\]")
TOLERANCE = 0.1  # seconds


@dataclass(frozen=True)
class Turn:
    """An evaluated utterance. In Ses01F_impro01_M000, F wears the markers and M, the man of session 1, speaks."""

    id: str
    evaluation: str
    seconds: float

    @property
    def session(self) -> str:
        return f"Session{int(self.id[3:5])}"

    @property
    def dialogue(self) -> str:
        return self.id.rsplit("_", 1)[0]

    @property
    def speaker(self) -> str:
        return f"{self.id[:5]}_{self.id.rsplit('_', 1)[1][0]}"

    @property
    def improvised(self) -> bool:
        return "_impro" in self.id

    @property
    def recording(self) -> Path:
        return Path(self.session, "sentences", "wav", self.dialogue, f"{self.id}.wav")


def published_dialogues(session: int) -> set[str]:
    """Return the names of a session's 28 to 32 dialogues, 151 in all."""
    improvisations = [f"impro{number:02d}" for number in range(1, 8 if session == 1 else 9)]
    names = {f"Ses{session:02d}{marked}_{part}" for marked in "FM" for part in (*improvisations, *PLAYS)}
    if session == 3:
        names -= {"Ses03M_impro05", "Ses03M_impro08"}
        names |= {"Ses03M_impro05a", "Ses03M_impro05b", "Ses03M_impro08a", "Ses03M_impro08b"}
    return names | ({"Ses05M_script01_1b"} if session == 5 else set())


def find_release(data_dir: Path) -> Path:
    for release in (data_dir, data_dir / "IEMOCAP_full_release"):
        if any((release / session).is_dir() for session in SESSIONS):
            return release
    raise DataError(f"No IEMOCAP_full_release in {data_dir}: it has no folder {SESSIONS[0]}.")


def matches(release: Path, kind: str, line: re.Pattern) -> Iterator[tuple[str, ...]]:
    """Yield the groups of every line that matches in dialog/KIND/*.txt, of all sessions."""
    for session in SESSIONS:
        for path in sorted((release / session / "dialog" / kind).glob("Ses*.txt")):  # not ._Ses*.txt
            # Annotators' remarks may hold anything.
            for found in map(line.match, path.read_text(encoding="utf-8", errors="replace").splitlines()):
                if found:
                    yield found.groups()


def read_turns(release: Path) -> list[Turn]:
    """Read all evaluated utterances, in the order of the evaluations."""
    found = matches(release, "EmoEvaluation", EVALUATION)
    return [Turn(name, evaluation, float(stop) - float(start)) for start, stop, name, evaluation in found]


def compare(
    release: Path,
    turns: Sequence[Turn],
    transcripts: Mapping[str, str],
    labels: Mapping[str, str],
    report: ReleaseReport,
) -> None:
    """Report how the release differs from the published one, as far as the classes `labels` need it."""
    for number, session in enumerate(SESSIONS, start=1):
        folder = Path(session, "dialog", "EmoEvaluation")
        for dialogue in sorted(published_dialogues(number)):
            if not (release / folder / f"{dialogue}.txt").is_file():
                report.differ(f"{folder / dialogue}.txt: there is no such file")
    counted = Counter((turn.session, turn.evaluation) for turn in turns)
    report.compare_counts(counted, {code: PUBLISHED[code] for code in labels if code in PUBLISHED}, SESSIONS)
    counted = Counter(("all sessions", turn.evaluation) for turn in turns)
    report.compare_counts(counted, {code: PUBLISHED_SUMS[code] for code in labels if code in RARE}, ["all sessions"])
    for turn in turns:
        if turn.evaluation in labels and not (release / turn.recording).is_file():
            report.differ(f"{turn.recording}: it is evaluated, but not there")
        if turn.evaluation in labels and turn.id not in transcripts:
            path = Path(turn.session, "dialog", "transcriptions", f"{turn.dialogue}.txt")
            report.differ(f"{path}: there is no line for {turn.id}")
    if report.differences:  # where evaluations are missing, recordings tell which
        evaluated = {turn.recording for turn in turns}
        recordings = {path.relative_to(release) for path in release.glob("Session?/sentences/wav/*/Ses*.wav")}
        for recording in sorted(recordings - evaluated):
            report.differ(f"{recording}: it is there, but not evaluated")


def without_tags(utterance: str, transcript: str, report: ReleaseReport) -> str:
    """Return a transcript's words without the tags between them, such as [LAUGHTER], which are listed."""
    for tag in TAG.findall(transcript):
        report.add("tags left out of the transcripts", f"{utterance}: {tag}")
    return " ".join(TAG.sub(" ", transcript).split())


def read_utterances(
    release: Path,
    turns: Sequence[Turn],
    transcripts: Mapping[str, str],
    hypotheses: Hypotheses,
    labels: Mapping[str, str],
    report: ReleaseReport,
) -> Iterator[Utterance]:
    """Yield the turns of the classes `labels` that have a recording; refuse at the end if any is damaged."""
    for turn in turns:
        if turn.evaluation not in labels or not (release / turn.recording).is_file():
            continue
        try:
            audio, path, seconds = read_recording(release / turn.recording)
        except AudioError:
            report.differ(f"{turn.recording}: it cannot be read as audio")
            continue
        report.compare_length(turn.id, seconds, turn.seconds, TOLERANCE)
        transcript = transcripts.get(turn.id)
        yield Utterance(
            id=turn.id,
            audio=audio,
            path=path,
            emotion=labels[turn.evaluation],
            duration=seconds,
            transcript=None if transcript is None else without_tags(turn.id, transcript, report),
            **hypotheses.columns(turn.id),
            speaker=turn.speaker,
            session=turn.session.removeprefix("Session"),
            dialogue=turn.dialogue,
            extra={"improvised": turn.improvised, "sex": SEXES[turn.speaker[-1]]},
        )
    report.check()
    hypotheses.check()


def main() -> None:
    parser = argument_parser(__doc__, raw_data="IEMOCAP_full_release")
    add_release_arguments(parser, tuple(LABEL_SETS))
    arguments = parser.parse_args()
    labels, report = LABEL_SETS[arguments.labels], ReleaseReport(arguments.allow_partial)
    hypotheses, tokenizer = read_hypotheses(arguments.hypotheses), load_tokenizer(arguments.tokenizer)
    release = find_release(arguments.data_dir)
    turns = read_turns(release)
    transcripts = {id: text for id, text in matches(release, "transcriptions", TRANSCRIPTION)}
    compare(release, turns, transcripts, labels, report)
    report.check()
    emotions = sorted(set(labels.values()))
    statistics = write_dataset(
        read_utterances(release, turns, transcripts, hypotheses, labels, report),
        emotions,
        arguments.output_dir,
        title=f"IEMOCAP, {len(emotions)} classes",
        description="Improvised and scripted dialogues of ten actors (Busso et al. 2008, doi "
        "10.1007/s10579-008-9076-6). All rows are in the split `train`: evaluate by leaving out one `session` "
        "(1 to 5) at a time, as the published results do. The release may not be passed on.",
        license_id="other",
        tokenizer=tokenizer,
        extra_columns={"improvised": datasets.Value("bool"), "sex": datasets.Value("string")},
        findings=report.findings,
        allow_missing_text=arguments.allow_missing_text,
    )
    print(summary(emotions, statistics, report.findings))
