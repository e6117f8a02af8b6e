"""The rehearsal as a page: each command, its wall time, what it wrote, and what was refused."""

from collections.abc import Mapping, Sequence

from experiments.rehearsal.commands import LEFT_OUT
from experiments.rehearsal.steps import Outcome

HEAD = """# Rehearsal

The commands of the README, the guides and the configs' heads, typed as they stand, one after the other, in a folder
that holds IEMOCAP, MELD and RAVDESS in their releases' layouts. The recordings are noise; the texts, tags and counts
are real or realistic. The encoders and Whisper come from a Hub on the same machine, in the layouts of the published
ones, narrow and with random weights: **no score here means anything**. The configs of the corpora train one epoch.
`python -m experiments.rehearsal --work_dir D` writes this page.
"""
MEGABYTE, GIGABYTE = 1e6, 1e9
MOST_NAMED = 4


def page(outcomes: Sequence[Outcome], made_with: Mapping[str, str], disk_bytes: int) -> str:
    """Return the page as Markdown.

    Args:
        made_with: what the rehearsal was run with, by name. disk_bytes: of the whole folder at the end.
    """
    took, size = minutes(sum(outcome.seconds for outcome in outcomes)), disk_bytes / GIGABYTE
    refused = [outcome for outcome in outcomes if outcome.step.refused]
    problems = [outcome for outcome in outcomes if outcome.problem]
    return "\n".join(
        [
            HEAD,
            *(f"- {name}: {value}" for name, value in made_with.items()),
            f"- {len(outcomes)} steps in {took} minutes; {size:.1f} GB on disk at the end",
            f"- steps that did not end as expected: {len(problems) or 'none'}",
            "",
            "## What was typed",
            "",
            "| command | minutes | wrote |",
            "|---|---:|---|",
            *map(_row, outcomes),
            "",
            "## What was refused",
            "",
            "| command | sentence |",
            "|---|---|",
            *(f"| `{outcome.step.command}` | {_cell(outcome.said)} |" for outcome in refused),
            "",
            *_problems(problems),
            "## What was not typed",
            "",
            *(f"- `{command}`: {reason}" for command, reason in LEFT_OUT.items()),
            "",
        ]
    )


def minutes(seconds: float) -> str:
    """Return seconds as minutes:seconds."""
    whole, rest = divmod(round(seconds), 60)
    return f"{whole}:{rest:02d}"


def wrote(written: Mapping[str, int]) -> str:
    """Return what a command wrote, the largest first."""
    largest = sorted(written.items(), key=lambda item: -item[1])
    named = [f"{path} ({size / MEGABYTE:.1f} MB)" for path, size in largest[:MOST_NAMED]]
    others = len(largest) - len(named)
    return ", ".join([*named, *([f"{others} more"] if others else [])])


def _row(outcome: Outcome) -> str:
    step = outcome.step
    notes = [f"{step.copies} at once"] if step.copies > 1 else []
    notes += [f"one killed after {step.killed_at} runs"] if step.killed_at else []
    notes += ["refused"] if step.refused else []
    notes += [f"**{outcome.problem}**"] if outcome.problem else []
    note = f" ({', '.join(notes)})" if notes else ""
    return f"| `{step.command}`{note} | {minutes(outcome.seconds)} | {_cell(wrote(outcome.written))} |"


def _problems(problems: Sequence[Outcome]) -> list[str]:
    if not problems:
        return []
    lines = [f"- `{outcome.step.command}`: {outcome.problem}: {outcome.said}" for outcome in problems]
    return ["## What did not end as expected", "", *lines, ""]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
