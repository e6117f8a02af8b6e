"""The report as a reader finds it: every table and figure, its warnings, and the same bytes each time."""

import csv
from html.parser import HTMLParser

import datasets
import pytest

from m4ser.evaluation.paper import report as report_of_runs
from m4ser.evaluation.paper import write_report
from tests.finished_runs import finished_run, make_predictions

pytest.importorskip("matplotlib", reason="needs the report extra")


class Page(HTMLParser):
    """Headings, links, and what the page would fetch from elsewhere."""

    def __init__(self, text):
        super().__init__()
        self.headings, self.targets, self.links, self.sources, self._open = [], set(), set(), [], False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self._open = tag in ("h1", "h2")
        if "id" in attributes:
            assert attributes["id"] not in self.targets
            self.targets.add(attributes["id"])
        if tag == "a":
            self.links.add(attributes["href"].removeprefix("#"))
        self.sources += [attributes[name] for name in ("src", "srcset") if name in attributes]
        assert tag not in ("script", "link")

    def handle_data(self, data):
        if self._open:
            self.headings.append(data)
        self._open = False


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run, a second with a name that HTML and Markdown could stumble over, and two seeds of a third."""
    tmp_path = tmp_path_factory.mktemp("page")
    tested = make_predictions()
    folders = [
        finished_run(tmp_path / "runs" / "a", tested, name="full"),
        finished_run(
            tmp_path / "runs" / "b", make_predictions(seed=1), name="speech|only <b>", protocol="paper, fold 2 of 5"
        ),
    ]
    for seed in range(2):
        finished_run(tmp_path / "runs" / "c" / f"seed{seed}", make_predictions(seed=seed), seed=seed)
    return [*folders, tmp_path / "runs" / "c"]


@pytest.fixture(scope="module")
def report(runs, tmp_path_factory):
    """The folder of their report."""
    return write_report(runs, tmp_path_factory.mktemp("report") / "deep").parent


def test_page_is_complete_and_self_contained(report):
    text = (report / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    headings = " ".join(page.headings)
    for name in ("Results on corpus", "Paired comparisons", "By protocol", "The runs", "Fig. 6", "Fig. 8", "Fig. 12"):
        assert name in headings
    for number in ("II", "III", "IV", "V", "VI", "VIII", "IX"):
        assert f"Table {number}: " in headings
    assert page.links == page.targets
    assert page.sources and all(source.startswith("data:image/svg+xml;base64,") for source in page.sources)
    assert "<b>" not in text and "speech|only &lt;b&gt;" in text


def test_same_runs_give_same_bytes(runs, report, tmp_path):
    write_report(runs, tmp_path)
    files = [file.relative_to(report) for file in report.rglob("*") if file.is_file()]
    assert {file.suffix for file in files} == {".html", ".md", ".csv", ".svg", ".png"}
    for file in files:
        assert (tmp_path / file).read_bytes() == (report / file).read_bytes()


def test_dataset_tells_the_speakers_by_whom_is_tested(tmp_path, monkeypatch):
    monkeypatch.setattr(report_of_runs, "representations", lambda *_: ([], []))  # they need weights
    tested = make_predictions()
    runs = [finished_run(tmp_path / "one", tested), finished_run(tmp_path / "other", make_predictions(seed=1))]
    speakers = [f"speaker{number % 8}" for number in range(len(tested))]
    rows = datasets.Dataset.from_dict({"id": list(tested), "speaker": speakers})
    rows.to_parquet(str(tmp_path / "corpus" / "data" / "test.parquet"))
    text = write_report(runs, tmp_path / "report", [tmp_path / "corpus"]).read_text(encoding="utf-8")
    assert "over test speakers" in text and "predictions of a speaker exchanged" in text
    assert "over test recordings" in write_report(runs, tmp_path / "without").read_text(encoding="utf-8")


def test_results_alone_can_be_reported(tmp_path):
    run = finished_run(tmp_path / "run")
    for name in ("metrics.csv", "validation.csv"):
        (run / name).unlink()
    text = write_report([run], tmp_path / "report").read_text(encoding="utf-8")
    assert "Results on corpus" in text and "Fig. 8" not in text


def test_csv_holds_unrounded_numbers_and_sources(report):
    with open(report / "report.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    (row,) = (
        row for row in rows if row["row"].startswith("c | ") and row["column"] == "UA" and "results" in row["table"]
    )
    assert row["source"].count("results.json") == 2 and float(row["low"]) < float(row["value"]) < float(row["high"])
    assert all(row["source"] for row in rows)
    assert {"II", "III", "IV-corpus", "V-corpus", "VI-corpus"} <= {row["table"] for row in rows}


def test_markdown_shows_the_figures_beside_it(report):
    text = (report / "report.md").read_text(encoding="utf-8")
    shown = [line.split("](")[1][:-1] for line in text.splitlines() if line.startswith("![")]
    assert len(shown) == 5 and all((report / name).is_file() for name in shown)
    assert r"speech\|only" in text


def test_warnings_and_definitions_come_first(report):
    for name in ("report.html", "report.md"):
        text = (report / name).read_text(encoding="utf-8")
        head = text[: text.index("Table II")]
        assert "the test session chose the epoch" in head
        assert "plain accuracy" in head and "the mean of the emotions" in head


def test_nothing_is_written_for_a_malformed_run(runs, tmp_path):
    with pytest.raises(ValueError, match="gone"):
        write_report([*runs, tmp_path / "gone"], tmp_path / "report")
    run = finished_run(tmp_path / "a")
    (run / "metrics.csv").unlink()
    with pytest.raises(ValueError, match=r"a.metrics\.csv: there is no such file"):
        write_report([run], tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_all_runs_come_first_and_published_rows_are_folded(tmp_path):
    folders = [
        finished_run(tmp_path / name, name=name, config={"data": {"dataset": f"data/{name}"}})
        for name in ("emodb", "ravdess")
    ]
    other = {"data": {"dataset": "data/other"}, "model": {"system": "sams"}}
    folders.append(finished_run(tmp_path / "other", config=other))
    output = write_report(folders, tmp_path / "report").parent
    html, text = ((output / name).read_text(encoding="utf-8") for name in ("report.html", "report.md"))
    headings = [heading for heading in Page(html).headings if heading.strip()]
    assert headings[2] == "All results" and text.index("## All results") < text.index("## Results on")
    assert "Nothing to show" not in html and "Paired comparisons" not in html  # a run alone has no pair
    assert "Table IV: ablations, published and on ravdess" in headings
    assert not [heading for heading in headings if heading.startswith("Table I") and "on other" in heading]
    assert html.count('<details class="published"') == text.count("<details>") == 4  # Tables II, III, VIII and IX
