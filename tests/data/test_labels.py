"""AED and AEC targets on WordPieces, worked by hand and rebuilt into the transcript."""

import json
import os
import re
import subprocess
import sys

import datasets
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from m4ser.data.comparison import comparison_form
from m4ser.data.labels import LabelStatistics, add_labels, aligned_labels
from m4ser.data.tokenizer import train_tokenizer, with_normalization

WORDS = ["ab", "cd", "ef", "gh", "ij"]
TOKENIZER = train_tokenizer([" ".join(WORDS)] * 3, vocab_size=60)  # every word is one token
SEP = TOKENIZER.sep_token_id
sentences = st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join)


def ids(text):
    return TOKENIZER(text, add_special_tokens=False).input_ids


def rebuild(tokenizer, hypothesis, labels):
    """Undo the labels by their documented meaning: input tokens in, the transcript's token ids out."""
    corrections = dict(zip(labels["correction_positions"], labels["correction_ids"], strict=True))
    rebuilt = []
    for position, token in enumerate(tokenizer(hypothesis).input_ids):
        tag = labels["aed_labels"][position]
        if tag == 2:
            assert corrections[position][-1] == tokenizer.sep_token_id
            rebuilt += corrections[position][:-1]
        elif tag == 0 and position > 0:
            rebuilt.append(token)
    return rebuilt


@pytest.mark.parametrize(
    ("hypothesis", "transcript", "tags", "positions", "corrections"),
    [
        ("ab cd", "ab cd", [0, 0, 0, -100], [], []),
        ("ab ef gh", "ab cd", [0, 0, 2, 1, -100], [2], ["cd"]),
        ("ab", "ab cd", [0, 2, -100], [1], ["ab cd"]),
        ("cd", "ab cd", [2, 0, -100], [0], ["ab"]),
        ("", "ab cd", [2, -100], [0], ["ab cd"]),
        ("", "", [0, -100], [], []),
        ("ab cd", "", [0, 1, 1, -100], [], []),
        ("ab cd", None, [-100] * 4, [], []),
        (None, "ab cd", [-100] * 2, [], []),
    ],
)
def test_worked_by_hand(hypothesis, transcript, tags, positions, corrections):
    assert aligned_labels(TOKENIZER, hypothesis, transcript) == {
        "aed_labels": tags,
        "correction_positions": positions,
        "correction_ids": [[*ids(text), SEP] for text in corrections],
    }


@given(sentences, sentences)
def test_labels_lead_back_to_the_transcript(hypothesis, transcript):
    labels = aligned_labels(TOKENIZER, hypothesis, transcript)
    assert len(labels["aed_labels"]) == len(TOKENIZER(hypothesis).input_ids)
    assert rebuild(TOKENIZER, hypothesis, labels) == ids(transcript)


def test_the_whole_hypothesis_is_aligned_before_it_is_cut():
    labels = aligned_labels(TOKENIZER, "ab cd ef gh", "ij cd ef ij", max_length=4)
    assert labels == {
        "aed_labels": [0, 2, 0, -100],
        "correction_positions": [1],
        "correction_ids": [[*ids("ij"), SEP]],
    }


def test_a_long_correction_is_cut_and_then_has_no_end():
    labels = aligned_labels(TOKENIZER, "", "ab cd ef", max_correction_length=2)
    assert labels["correction_ids"] == [ids("ab cd")]


@pytest.mark.parametrize("normalization", ["none", "basic"])
def test_real_errors_on_bert_wordpieces(shared_data, bert_folder, normalization):
    tokenizer = with_normalization(AutoTokenizer.from_pretrained(bert_folder), normalization)

    def form(ids):
        return comparison_form(re.sub(" ?' ?", "'", tokenizer.decode(ids, skip_special_tokens=True)))

    lines = (shared_data / "mosi_asr" / "mosi_asr.jsonl").read_text(encoding="utf-8").splitlines()[:300]
    for row in map(json.loads, lines):
        labels = aligned_labels(tokenizer, row["asr_ibm"], row["gold"], 512, 512)
        transcript = tokenizer(row["gold"], add_special_tokens=False).input_ids
        assert form(rebuild(tokenizer, row["asr_ibm"], labels)) == form(transcript)


def corpus():
    return datasets.Dataset.from_dict(
        {
            "id": ["a", "b", "c"],
            "hypothesis": ["ab cd", "", "ef"],
            "transcript": ["ab cd", "ab", None],
        }
    )


def test_add_labels_gives_each_row_its_own():
    labeled = add_labels(corpus(), TOKENIZER)
    assert labeled["id"][:] == ["a", "b", "c"]
    for row in labeled:
        expected = aligned_labels(TOKENIZER, row["hypothesis"], row["transcript"])
        assert {name: row[name] for name in expected} == expected


def test_add_labels_on_a_selection_replaces_labels():
    dataset = add_labels(add_labels(corpus(), TOKENIZER).select([2, 0]), TOKENIZER, max_length=3)
    assert dataset["id"][:] == ["c", "a"]
    assert dataset["aed_labels"][:] == [[-100, -100, -100], [0, 0, -100]]


def test_add_labels_to_every_split():
    labeled = add_labels(datasets.DatasetDict(train=corpus(), test=corpus()), TOKENIZER)
    assert labeled["train"]["aed_labels"][:] == labeled["test"]["aed_labels"][:]


def test_fingerprint_depends_on_tokenizer_and_arguments():
    dataset = corpus()
    first = add_labels(dataset, TOKENIZER)._fingerprint
    TOKENIZER(["ab", "ab cd"], padding=True, truncation=True, max_length=3)  # leaves a trace in the backend
    assert add_labels(dataset, TOKENIZER)._fingerprint == first
    assert add_labels(dataset, TOKENIZER, max_length=3)._fingerprint != first
    other = train_tokenizer(["ab cd"] * 3, vocab_size=40)
    assert add_labels(dataset, other)._fingerprint != first


LABELED = [("ab cd", "ab cd"), ("ab ef gh", "ab cd"), ("ab", "ab cd ef gh ij"), ("ab", None)]


def test_statistics_worked_by_hand():
    statistics = LabelStatistics(TOKENIZER)
    for hypothesis, transcript in LABELED:
        statistics.add(aligned_labels(TOKENIZER, hypothesis, transcript, max_correction_length=4))
    # [CLS] ab cd | [CLS] ab ef->cd (gh) | [CLS] ab->ab cd ef gh ij, cut | nothing without a transcript
    assert statistics.tags == {0: 3 + 2 + 1, 1: 1, 2: 2}
    assert (statistics.share(0), statistics.share(1), statistics.share(2)) == (6 / 9, 1 / 9, 2 / 9)
    assert statistics.target_lengths == {2: 1, 4: 1}
    assert statistics.truncated == 1
    assert [statistics.length_at(share) for share in (0.5, 0.51, 1)] == [2, 4, 4]


def test_statistics_of_nothing():
    nothing = LabelStatistics(TOKENIZER)
    assert (nothing.share(0), nothing.length_at(0.5)) == (0, 0)


FINGERPRINT = """
import sys, datasets
from transformers import AutoTokenizer
from m4ser.data.labels import add_labels
dataset = datasets.load_dataset(sys.argv[1], split="train", cache_dir=sys.argv[2])
print(add_labels(dataset, AutoTokenizer.from_pretrained(sys.argv[3]))._fingerprint)
"""


def test_two_processes_give_the_same_fingerprint(tmp_path):
    corpus().to_parquet(tmp_path / "data" / "train.parquet")
    TOKENIZER.save_pretrained(tmp_path / "tokenizer")
    folders = [str(tmp_path / name) for name in ("data", "cache", "tokenizer")]
    dataset = datasets.load_dataset(folders[0], split="train", cache_dir=folders[1])
    labeled = add_labels(dataset, AutoTokenizer.from_pretrained(folders[2]))
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    command = [sys.executable, "-c", FINGERPRINT, *folders]
    finished = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert finished.stdout.strip() == labeled._fingerprint, finished.stderr
