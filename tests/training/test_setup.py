"""A run is split by the protocol that its arguments name, and its results say so."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState

from m4ser.data.builders.writing import write_dataset
from m4ser.data.schema import DataError
from m4ser.evaluation.report.runs import Run
from m4ser.hub.models import write_card
from m4ser.run_folder import read_results
from m4ser.training.arguments import parse_arguments
from m4ser.training.loop import train
from m4ser.training.main import main
from m4ser.training.setup import build_accelerator, build_experiment, build_processor, load_corpus
from tests.tiny_corpus import LABELS, SIZES, SMALL, utterances, write_sessions, write_tiny_corpus

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    return write_sessions(tmp_path_factory.mktemp("sessions"), 4)


def test_protocol_and_fold_are_in_the_results(sessions, tmp_path):
    argv = [SMALL, "--dataset", str(sessions), "--output_dir", str(tmp_path / "run")]
    results = train(parse_arguments([*argv, "--protocol", "paper", "--fold", "2"]))
    assert results["protocol"] == "paper, fold 2 of 4"
    assert "session 2 is tested" in results["protocol_description"]
    assert "best epoch was chosen on the test session" in results["protocol_description"]
    assert results["splits"]["validation"] == results["splits"]["test"]
    assert results["splits"]["test"]["n"] == 5
    assert results["shared_transcripts"]["test"] == 4 / 5  # "the meal" is said in session 2 alone
    assert (results["config"]["data"]["protocol"], results["config"]["data"]["fold"]) == ("paper", 2)


def test_last_epoch_is_kept_and_named(tmp_path):
    """At so low a rate all epochs score the same, and the first would be the best."""
    corpus = write_tiny_corpus(tmp_path / "corpus")
    options = ["--epochs", "3", "--learning_rate", "1e-12", "--dataset", str(corpus)]
    kept = {
        metric: train(
            parse_arguments([SMALL, *options, "--selection_metric", metric, "--output_dir", str(tmp_path / metric)])
        )
        for metric in ("last", "weighted_accuracy")
    }
    assert {metric: results["best_epoch"] for metric, results in kept.items()} == {"last": 3, "weighted_accuracy": 1}
    assert {results["selection_metric"] for results in kept.values()} == {*kept}
    assert kept["last"]["protocol_description"].endswith("the last one is kept.")
    assert "last" not in kept["weighted_accuracy"]["protocol_description"]


def test_transcripts_have_no_word_confidences(tmp_path):
    rows = (replace(row, word_confidences=[0.5] * len(row.hypothesis.split())) for row in utterances())
    write_dataset(rows, LABELS, tmp_path, title="Tiny", description="Noises.")
    argv = ["--dataset", str(tmp_path), "--output_dir", "unused", "--text_column"]
    for column, has_confidences in (("hypothesis", True), ("transcript", False)):
        splits = load_corpus(parse_arguments([*argv, column]).data).splits
        assert ("word_confidences" in splits["train"].column_names) is has_confidences


def test_text_column_in_a_fold(sessions):
    argv = ["--dataset", str(sessions), "--output_dir", "unused", "--protocol", "loso", "--fold", "4"]
    parts = load_corpus(parse_arguments([*argv, "--text_column", "transcript"]).data)
    assert set(parts.splits["test"]["session"]) == {"4"} and set(parts.splits["validation"]["session"]) == {"1"}
    for rows in parts.splits.values():
        assert rows["hypothesis"] == rows["transcript"]
        assert rows._indices is None  # else the recordings are copied with the labels


def test_without_a_protocol_its_folds_are_named(sessions):
    arguments = parse_arguments(["--dataset", str(sessions), "--output_dir", "unused"]).data
    with pytest.raises(DataError, match="no validation and no test split; give --protocol, one of loso"):
        load_corpus(arguments)


def write_untested(folder):
    rows = (replace(row, speaker=None) for row in utterances() if row.split != "test")
    write_dataset(rows, LABELS, folder, title="Untested", description="Noises.")
    return ["--dataset", str(folder)]


def test_dataset_without_test_split_gives_no_test_figures(tmp_path, capsys):
    argv = [SMALL, *write_untested(tmp_path / "corpus"), "--output_dir", str(tmp_path / "run")]
    main([*argv, "--seeds", "0", "1"])
    printed = capsys.readouterr().out
    assert "validation WA" in printed and "the dataset has no test split" in printed and "test WA" not in printed
    results = read_results(tmp_path / "run" / "seed0")
    assert results["splits"].keys() == results["shared_transcripts"].keys() == {"validation"}
    assert results["protocol_description"].endswith("unknown and may be in several. Nothing is tested.")
    for use in (Run.read, lambda run: write_card(run, "org/model", ROOT / "model_card.md", "mit")):
        with pytest.raises(ValueError, match="no test split, so that there are no test figures"):
            use(tmp_path / "run" / "seed0")


@pytest.mark.parametrize(
    ("names", "options", "expected"),
    [
        (["org/asr"], [], "org/asr"),
        (["org/asr", None], [], "org/asr"),
        ([None], [], None),
        (["org/asr", "org/other"], [], None),
        (["org/asr", "org/other"], ["--config", '{"auxiliary_tasks": ["recognition"]}'], None),
        (["org/asr"], ["--asr_model_id", "org/given"], "org/given"),
        (["org/asr"], ["--text_column", "transcript"], None),
        (["org/asr"], ["--config", '{"modalities": ["speech"]}', "--adversarial_weight", "0"], None),
    ],
)
def test_asr_model_is_the_datasets(names, options, expected, tmp_path, capsys):
    rows = (replace(row, asr_model_id=names[index % len(names)]) for index, row in enumerate(utterances()))
    write_dataset(rows, LABELS, tmp_path, title="Transcribed", description="Noises.")
    arguments = parse_arguments([SMALL, "--dataset", str(tmp_path), "--output_dir", "unused", *options])
    processor = build_processor(arguments, load_corpus(arguments.data).splits["train"])
    assert processor.asr_model_id == expected
    several = "several ASR models, org/asr, org/other: give --asr_model_id" in capsys.readouterr().out
    assert several == (len(names) == 2 and None not in names and not options)


def test_few_shots(tmp_path):
    corpus = write_tiny_corpus(tmp_path)
    argv = ["--dataset", str(corpus), "--output_dir", "unused", "--shots", "1"]
    parts = load_corpus(parse_arguments(argv).data, seed=3)
    assert sorted(parts.splits["train"]["emotion"]) == [0, 1, 2, 3]
    assert len(parts.splits["validation"]) == SIZES["validation"] - 4
    assert parts.name == "held_out, 1 shots"


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        (["--fold", "first"], "--fold is a number from 1 or all, not first"),
        (["--learning_rates", "{speech: 1}"], "--learning_rates is no JSON"),
        (["--on_nonfinite", "ignore"], "on_nonfinite is one of stop, skip, not ignore"),
    ],
)
def test_invalid_data_arguments_are_refused(argv, complaint):
    with pytest.raises(ValueError, match=complaint):
        parse_arguments(["--dataset", "x", "--output_dir", "y", *argv])


def test_single_emotion_is_refused(tmp_path):
    rows = (replace(row, emotion=LABELS[0]) if row.split == "train" else row for row in utterances())
    write_dataset(rows, LABELS, tmp_path, title="One", description="Noises.")
    with pytest.raises(DataError, match="all recordings of the training split have the same emotion"):
        load_corpus(parse_arguments(["--dataset", str(tmp_path), "--output_dir", "unused"]).data)


def test_emotion_without_training_recordings_is_named(tmp_path, capsys):
    rows = (row for row in utterances() if (row.split, row.emotion) != ("train", "sad"))
    write_dataset(rows, LABELS, tmp_path, title="No sad", description="Noises.")
    load_corpus(parse_arguments(["--dataset", str(tmp_path), "--output_dir", "unused"]).data)
    assert "The training split has no recording of sad." in capsys.readouterr().out


def write_without(folder, **texts):
    rows = (replace(row, **texts) for row in utterances())
    write_dataset(rows, LABELS, folder, title="Without", description="Noises.")
    return ["--dataset", str(folder), "--output_dir", "unused"]


TRANSCRIBE = "transcribe it with m4ser transcribe and build it again with --hypotheses, "


@pytest.mark.parametrize(
    ("texts", "column", "ways"),
    [
        ("transcript", "hypothesis", f"{TRANSCRIBE}train on its transcripts by --text_column transcript, "),
        ("", "hypothesis", TRANSCRIBE),
        ("hypothesis", "transcript", "train on its hypotheses by leaving --text_column out, "),
        ("", "transcript", ""),
    ],
)
def test_dataset_without_text_names_what_it_can_train(texts, column, ways, tmp_path):
    missing = dict.fromkeys({"hypothesis", "transcript"} - {texts})
    argv = [*write_without(tmp_path, **missing), "--text_column", column]
    with pytest.raises(DataError, match="--allow_missing_text true") as refused:
        load_corpus(parse_arguments(argv).data)
    assert f"has no {column}: {ways}train a network of speech alone by configs/abl" in str(refused.value)


@pytest.mark.parametrize("column", ["hypothesis", "transcript"])
def test_whole_network_trains_without_text_on_request(column, tmp_path, capsys):
    argv = write_without(tmp_path / "corpus", hypothesis=None, transcript=None)
    argv += ["--text_column", column, "--allow_missing_text", "true", "--output_dir", str(tmp_path / "run")]
    results = train(parse_arguments([SMALL, *argv]))
    assert results["splits"]["test"]["n"] == SIZES["test"]
    assert f"{column} for train 0 of 11" in capsys.readouterr().out


def test_few_missing_hypotheses_are_allowed_on_request(tmp_path, capsys):
    rows = (replace(row, hypothesis=None) if row.id == "test-1" else row for row in utterances())
    write_dataset(rows, LABELS, tmp_path, title="Holes", description="Noises.")
    argv = ["--dataset", str(tmp_path), "--output_dir", "unused"]
    counts = "train 11 of 11, validation 5 of 5, test 3 of 4"
    with pytest.raises(DataError, match=rf"{counts}\): transcribe .* --allow_missing_text true"):
        load_corpus(parse_arguments(argv).data)
    capsys.readouterr()
    load_corpus(parse_arguments([*argv, "--allow_missing_text", "true"]).data)
    assert f"hypothesis for {counts}" in capsys.readouterr().out


def test_speech_alone_needs_no_hypotheses(tmp_path):
    rows = (replace(row, hypothesis=None, transcript=None) for row in utterances())
    write_dataset(rows, LABELS, tmp_path / "corpus", title="Speech", description="Noises.")
    argv = ["--dataset", str(tmp_path / "corpus"), "--output_dir", str(tmp_path / "run")]
    results = train(parse_arguments([SMALL, "configs/ablations/speech_only.yaml", *argv]))
    assert results["splits"]["test"]["n"] == SIZES["test"]


def test_foreign_letters_are_not_deleted(tmp_path):
    rows = (replace(row, hypothesis="Zażółć gęślą jaźń") for row in utterances())
    write_dataset(rows, LABELS, tmp_path, title="Polish", description="Noises.")
    argv = [SMALL, "--dataset", str(tmp_path), "--output_dir", "unused", "--normalization"]
    with pytest.raises(
        DataError, match=r"deletes .* of the letters .* 'Zażółć gęślą jaźń': choose normalization none"
    ):
        build_experiment(parse_arguments([*argv, "basic"]))
    tokenizer = build_experiment(parse_arguments([*argv, "none"])).processor.tokenizer
    assert tokenizer.decode(tokenizer("Zażółć gęślą").input_ids, skip_special_tokens=True) == "Zażółć gęślą"


def test_config_of_other_emotions_is_refused(tmp_path):
    corpus = write_tiny_corpus(tmp_path)
    argv = ["--dataset", str(corpus), "--output_dir", "unused", "--preset", "tiny"]
    with pytest.raises(ValueError, match="The config has 2 emotions, the dataset 4"):
        build_experiment(parse_arguments([*argv, "--config", '{"id2label": {"0": "good", "1": "bad"}}']))


@pytest.fixture
def fresh_accelerate():
    """A process has one precision and one way to compile."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.parametrize(
    ("launched", "given", "used"),
    [(None, None, "no"), (None, "bf16", "bf16"), ("no", "bf16", "bf16"), ("bf16", None, "bf16"), ("bf16",) * 3],
)
def test_precision_is_the_launchers_or_the_arguments(launched, given, used, tmp_path, monkeypatch, fresh_accelerate):
    if launched is not None:
        monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", launched)
    argv = ["--dataset", "any", "--output_dir", str(tmp_path)]
    arguments = parse_arguments(argv if given is None else [*argv, "--mixed_precision", given])
    assert build_accelerator(arguments).mixed_precision == used


@pytest.mark.skipif(torch.accelerator.is_available(), reason="needs a machine without a GPU")
def test_fp16_on_a_cpu_is_refused(tmp_path, fresh_accelerate):
    argv = ["--dataset", "any", "--output_dir", str(tmp_path), "--mixed_precision", "fp16"]
    with pytest.raises(ValueError, match="fp16 needs a GPU; on a CPU, train with --mixed_precision bf16 or no"):
        build_accelerator(parse_arguments(argv))


@pytest.mark.skipif(torch.accelerator.is_available(), reason="needs a machine without a GPU")
def test_bf16_on_a_processor_without_it_warns(tmp_path, monkeypatch, fresh_accelerate):
    monkeypatch.setattr("m4ser.training.setup.multiplies_bfloat16", lambda: False)
    argv = ["--dataset", "any", "--output_dir", str(tmp_path), "--mixed_precision", "bf16"]
    with pytest.warns(UserWarning, match="does not multiply bf16: --mixed_precision no is faster"):
        build_accelerator(parse_arguments(argv))


def test_regional_compilation_is_refused(tmp_path, monkeypatch, fresh_accelerate):
    arguments = parse_arguments(["--dataset", "any", "--output_dir", str(tmp_path)])
    monkeypatch.setenv("ACCELERATE_DYNAMO_BACKEND", "INDUCTOR")
    monkeypatch.setenv("ACCELERATE_DYNAMO_USE_REGIONAL_COMPILATION", "true")
    with pytest.raises(ValueError, match="leave --dynamo_use_regional_compilation out"):
        build_accelerator(arguments)


def test_literal_config_trains_on_four_sessions_to_the_last_epoch():
    """On top of IEMOCAP's own."""
    files = [str(ROOT / "configs" / name) for name in ("iemocap.yaml", "literal.yaml")]
    arguments = parse_arguments([*files, "--dataset", "any", "--output_dir", "unused"])
    assert (arguments.data.protocol, arguments.training.selection_metric) == ("loso_dialogues", "last")
