"""Tables of any runs: what was measured, whether it differs, under which protocol, and where it comes from."""

from collections.abc import Mapping, Sequence
from statistics import mean

from m4ser.evaluation.report.runs import Group
from m4ser.evaluation.report.speakers import Speakers, clusters
from m4ser.evaluation.report.table import (
    NOTHING,
    TITLES,
    UA,
    WA,
    Entry,
    PValue,
    Table,
    aligned,
    folds_won,
    intervals,
    pooled,
    runs_text,
    score_entry,
    sources_of,
)
from m4ser.evaluation.significance import holm, mcnemar, permutation_test
from m4ser.run_folder import MEASURES

SESSION_PROTOCOLS = ("paper", "loso", "improvised", "script_disjoint")


def all_results_table(corpora: Mapping[str, Sequence[Group]]) -> Table:
    """Show every group of runs on every corpus, a row each: WA, UA and weighted F1 with spread."""
    rows: list[list[str | Entry]] = []
    for corpus, groups in corpora.items():
        for group in groups:
            scores = [score_entry(group, measure) for measure in MEASURES]
            rows.append([corpus, group.name, group.protocol, runs_text(group), *scores])
    columns = ["corpus", "run", "protocol", "runs", *TITLES.values()]
    notes = ["Per cent, ± the standard deviation over the runs of a row. Intervals are in the table of each corpus."]
    return Table("all-results", "All results", columns, rows, notes, [True] * len(rows))


def results_table(corpus: str, groups: Sequence[Group], speakers: Speakers | None = None) -> Table:
    """Show every group of runs on one corpus: WA, UA, weighted F1 with spread and interval.

    Intervals are by speakers where they are known, else by recordings.
    """
    rows: list[list[str | Entry]] = []
    for group in groups:
        n = sum({run.fold: run.scores["n"] for run in group.runs}.values())  # seeds test the same recordings
        scores = [score_entry(group, *pair) for pair in zip(MEASURES, intervals(group, speakers), strict=True)]
        rows.append([group.name, group.variant or "", group.protocol, runs_text(group), str(n), *scores])
    notes = [
        "Per cent. ± is the standard deviation over the runs of a row (folds and seeds); none where there is one run.",
        f"[ ] is the 95 % bootstrap interval over test {'speakers' if speakers else 'recordings'}: of all folds "
        "together, the mean of the seeds.",
    ]
    if not speakers:
        notes[-1] += " Recordings of one speaker are not independent, so that the true interval is wider."
    without = [group.name for group in groups if pooled(group) is None]
    if without:
        notes.append(f"No interval for {', '.join(without)}: no predictions.csv in every run's folder.")
    if all(group.is_network for group in groups):
        notes.append(
            "No baseline among them: m4ser baselines --dataset DATA --output_dir DIR trains the simple classifiers "
            "that a network has to beat."
        )
    columns = ["run", "row of the paper", "protocol", "runs", "test recordings", *TITLES.values()]
    return Table(f"results-{corpus}", f"Results on {corpus}", columns, rows, notes, [True] * len(rows))


def comparison_table(corpus: str, groups: Sequence[Group], speakers: Speakers | None = None) -> Table:
    """Compare each group with one, on the recordings of both: differences, and whether they could be chance.

    The one is the full model that can be compared with the most groups, of several that with the most runs; the first
    group where there is no full model.

    Tests of UA are by speakers where they are known, else by recordings.
    """
    candidates = [group for group in groups if group.variant == "full"] or groups[:1]
    one = max(candidates, key=lambda group: (_comparable(group, groups), len(group.runs)))
    pairs, left_out = [], []
    for other in groups:
        if other is not one:
            both = aligned(one, other)
            pairs.append((one, other, *both)) if both else left_out.append(other.name)
    tests = [
        (
            mcnemar(labels, first[0], second[0]),
            permutation_test(labels, first, second, len(one.labels), clusters(ids, speakers)),
        )
        for one, _, ids, labels, first, second in pairs
    ]
    adjusted = [holm(values) for values in zip(*tests, strict=True)]
    rows: list[list[str | Entry]] = []
    for number, (one, other, ids, *_) in enumerate(pairs):
        source = f"{sources_of(one)}, {sources_of(other)}"
        row: list[str | Entry] = [one.name, other.name, str(len(ids)), folds_won(one, other)]
        for measure, chances in zip((WA, UA), adjusted, strict=True):
            difference = 100 * (mean(one.values(measure)) - mean(other.values(measure)))
            row += [
                Entry(difference, form="{:+.1f}", source=source),
                PValue(chances[number], source=source),
            ]
        rows.append(row)
    notes = [
        "WA: exact McNemar test of the first seed both have, by recordings. UA: permutation test, the predictions of "
        f"a {'speaker' if speakers else 'recording'} exchanged at random 2,000 times. p is Holm's, adjusted for the "
        "number of pairs in this table. Folds won: those with a higher UA, by the mean of the seeds.",
    ]
    if not rows:
        notes = [f"No pair of runs on {corpus} can be compared."]
    if left_out:
        notes.append(f"Not comparable (other recordings tested, or no predictions.csv): {', '.join(left_out)}.")
    columns = ["run", "against", "recordings", "folds won", "WA difference", "p (WA)", "UA difference", "p (UA)"]
    title = f"Paired comparisons on {corpus}"
    return Table(f"pairs-{corpus}", title, columns, rows, notes, [True] * len(rows))


def _comparable(one: Group, groups: Sequence[Group]) -> int:
    return sum(aligned(one, other) is not None for other in groups)


def protocol_table(corpus: str, groups: Sequence[Group]) -> Table:
    """Show UA by variant and protocol: what the same network seems to be worth, depending on who is tested."""
    there = dict.fromkeys(group.protocol for group in groups)
    of_sessions = SESSION_PROTOCOLS if any(name in SESSION_PROTOCOLS for name in there) else ()
    protocols = [*of_sessions, *(name for name in there if name not in SESSION_PROTOCOLS)]
    rows: list[list[str | Entry]] = []
    for name in dict.fromkeys(group.variant or group.name for group in groups):
        entries: list[str | Entry] = []
        for protocol in protocols:
            found = [g for g in groups if (g.variant or g.name) == name and g.protocol == protocol]
            chosen = max(found, key=lambda group: len(group.runs), default=None)
            entries.append(score_entry(chosen, UA) if chosen else Entry(None))
        rows.append([name, *entries])
    notes = [
        "UA in per cent; the row's group with the most runs. held_out: the dataset's own splits. paper: leave "
        "one session out, and the test session itself chooses the epoch. loso: another session chooses it. "
        "loso_dialogues: whole dialogues of the training sessions choose it. "
        "improvised: loso without the scripted plays. script_disjoint: loso without training recordings whose words "
        "are tested."
    ]
    title = f"By protocol on {corpus}"
    return Table(f"protocols-{corpus}", title, ["system", *protocols], rows, notes, [True] * len(rows))


def runs_table(groups: Sequence[Group]) -> Table:
    """Show where every number comes from: a row a run, with what it takes to repeat it."""
    rows: list[list[str | Entry]] = []
    for group in groups:
        for run in group.runs:
            results = run.results
            epochs = f"{results['best_epoch']} of {results['epochs']}" if "best_epoch" in results else NOTHING
            if run.keeps_last_epoch:
                epochs += ", the last by design"
            rows.append(
                [
                    group.name,
                    run.source,
                    results.get("protocol_description", results["protocol"]),
                    str(results["seed"]),
                    epochs,
                    Entry(results["seconds"] / 60, source=run.source),
                    results.get("hardware", NOTHING),
                    results.get("command", NOTHING),
                ]
            )
    columns = ["run", "file", "protocol", "seed", "best epoch", "minutes", "hardware", "command"]
    return Table("runs", "The runs", columns, rows, [], [True] * len(rows))
