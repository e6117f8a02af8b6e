"""Who trains, who chooses the epoch and who is tested; splits that share a voice or a recording are refused."""

from collections import Counter

import pytest
from datasets import ClassLabel, Dataset, DatasetDict

from m4ser.data.schema import DataError
from m4ser.evaluation.protocols import (
    PROTOCOLS,
    check_disjoint,
    k_shot,
    partition,
    shared_transcripts,
    speaker_folds,
    take,
)


def split(prefix, **columns):
    """Three recordings with bytes, ids and, unless said otherwise, a speaker of their own."""
    row = {
        "id": [f"{prefix}{i}" for i in range(3)],
        "audio": [{"bytes": f"{prefix}{i}".encode(), "path": f"{prefix}{i}.wav"} for i in range(3)],
        "speaker": [f"{prefix} speaker"] * 3,
    }
    return Dataset.from_dict({**row, **columns})


def test_disjoint_splits_pass():
    check_disjoint(DatasetDict(train=split("a"), validation=split("b"), test=split("c")))


@pytest.mark.parametrize("column", ["speaker", "session", "dialogue"])
def test_a_shared_value_is_named_with_its_splits(column):
    splits = DatasetDict(
        train=split("a", **{column: ["1", "2", "3"]}),
        validation=split("b", **{column: ["4", "4", "4"]}),
        test=split("c", **{column: ["5", "3", "2"]}),
    )
    with pytest.raises(DataError, match=rf"'train' and 'test' share 2 {column}\(s\) \(2, 3\)"):
        check_disjoint(splits)


def test_a_shared_recording_is_named_even_under_another_id():
    splits = DatasetDict(train=split("a"), test=split("c", audio=[{"bytes": b"a1", "path": "new.wav"}] * 3))
    with pytest.raises(DataError, match=r"'train' and 'test' share 1 recording\(s\) \(a1\)"):
        check_disjoint(splits)


def test_only_a_few_examples_are_named():
    names = [str(i) for i in range(3)]
    many = {"speaker": names, "session": ["s1", "s2", "s3"]}
    longer = Dataset.from_dict({"speaker": [*names, "3", "4"]})
    with pytest.raises(DataError, match=r"3 speaker\(s\) \(0, 1, 2\)"):
        check_disjoint(DatasetDict(train=split("a", **many), test=longer))
    with pytest.raises(DataError, match=r"5 speaker\(s\) \(0, 1, 2, \.\.\.\)"):
        check_disjoint(DatasetDict(train=longer, test=longer))


def test_missing_columns_and_unknown_values_are_no_overlap():
    unknown = {"speaker": [None] * 3, "session": [None] * 3}
    check_disjoint(DatasetDict(train=split("a", **unknown), test=split("c", **unknown)))
    text_only = Dataset.from_dict({"hypothesis": ["same words"]})
    check_disjoint(DatasetDict(train=text_only, test=text_only))


def test_a_corpus_may_be_checked_on_the_columns_it_promises():
    shared_speaker = {"speaker": ["Ross"] * 3}
    splits = DatasetDict(train=split("a", **shared_speaker), test=split("c", **shared_speaker))
    check_disjoint(splits, columns=("dialogue",))
    with pytest.raises(DataError, match="Ross"):
        check_disjoint(splits)


# A corpus like IEMOCAP: five sessions of a woman and a man, each with an improvisation and a play, all in `train`.
SESSIONS = ("1", "2", "3", "4", "5")
PLAY = ["I am leaving!", "Don't go."]


@pytest.fixture(scope="module")
def dyads():
    rows = []
    for session in SESSIONS:
        for scene in ("impro", "script"):
            for turn in range(8):
                own = f"in session {session} we say {turn}" if turn else "Yeah."
                rows.append(
                    {
                        "id": f"{session}-{scene}-{turn}",
                        "audio": {"bytes": f"{session}-{scene}-{turn}".encode(), "path": None},
                        "transcript": PLAY[turn % 2] if scene == "script" and turn < 4 else own,
                        "emotion": turn % 4,
                        "speaker": f"{session}{'FM'[turn % 2]}",
                        "session": session,
                        "dialogue": f"{session}-{scene}",
                        "improvised": scene == "impro",
                    }
                )
    rows = Dataset.from_list(rows).cast_column("emotion", ClassLabel(names=["angry", "happy", "neutral", "sad"]))
    return DatasetDict(train=rows)


def members(parts, column):
    return {name: sorted(set(rows[column])) for name, rows in parts.splits.items()}


@pytest.mark.parametrize(("fold", "validation"), [(1, "2"), (3, "4"), (5, "1")])
def test_leave_one_session_out(dyads, fold, validation):
    parts = partition(dyads, "loso", fold)
    train = sorted({*SESSIONS} - {str(fold), validation})
    assert members(parts, "session") == {"train": train, "validation": [validation], "test": [str(fold)]}
    assert {name: len(rows) for name, rows in parts.splits.items()} == {"train": 48, "validation": 16, "test": 16}
    assert parts.name == f"loso, fold {fold} of 5"
    assert f"session {fold} is tested, the next one chooses the epoch" in parts.description


def test_every_recording_is_tested_once(dyads):
    for protocol, count in {"loso": 5, "loso_dialogues": 5, "paper": 5, "speakers": 6}.items():
        folds = range(1, count + 1)
        tested = [id for fold in folds for id in partition(dyads, protocol, fold).splits["test"]["id"]]
        assert sorted(tested) == sorted(dyads["train"]["id"])


def test_as_in_the_paper_the_test_session_chooses(dyads):
    parts = partition(dyads, "paper", 2)
    assert members(parts, "session") == {"train": ["1", "3", "4", "5"], "validation": ["2"], "test": ["2"]}
    assert parts.name == "paper, fold 2 of 5"
    assert "the best epoch was chosen on the test session" in parts.description


def test_dialogues_of_four_sessions_choose(dyads):
    """One of two dialogues a session, drawn once for all folds, though it is more than the tenth that is wanted."""
    chosen = {}
    for fold in (1, 4):
        parts = partition(dyads, "loso_dialogues", fold)
        others = sorted({*SESSIONS} - {str(fold)})
        assert members(parts, "session") == {"train": others, "validation": others, "test": [str(fold)]}
        assert {name: len(rows) for name, rows in parts.splits.items()} == {"train": 32, "validation": 32, "test": 16}
        assert not set(parts.splits["train"]["dialogue"]) & set(parts.splits["validation"]["dialogue"])
        chosen[fold] = set(parts.splits["validation"]["dialogue"])
    shared = {dialogue for dialogue in chosen[1] | chosen[4] if dialogue[0] not in "14"}
    assert shared <= chosen[1] and shared <= chosen[4]
    assert parts.name == "loso_dialogues, fold 4 of 5"
    assert "but for 4 whole dialogues of theirs, 32 of 64 recordings, which choose the epoch" in parts.description


def test_four_sessions_train_but_for_a_tenth():
    """IEMOCAP's published counts: 4,446 recordings without session 1, of which whole dialogues are held out."""
    counts = {"1": 1085, "2": 1023, "3": 1151, "4": 1031, "5": 1241}
    rows = [
        {"id": f"{session}-{turn}", "session": session, "speaker": f"{session}{'FM'[turn % 2]}", "dialogue": dialogue}
        for session, count in counts.items()
        for turn in range(count)
        for dialogue in [f"{session}-{turn // 37}"]
    ]
    parts = partition(DatasetDict(train=Dataset.from_list(rows)), "loso_dialogues", 1)
    sizes = {name: len(rows) for name, rows in parts.splits.items()}
    assert sizes["train"] + sizes["validation"] == 4446 and sizes["test"] == 1085
    assert 0.08 < sizes["validation"] / 4446 < 0.12
    assert not set(parts.splits["train"]["dialogue"]) & set(parts.splits["validation"]["dialogue"])


def test_dialogues_that_choose_share_no_speaker_with_the_test(dyads):
    leaking = dyads["train"].map(lambda row: {"speaker": row["speaker"].replace("1F", "2F")})
    with pytest.raises(DataError, match=r"'train' and 'test' share 1 speaker\(s\) \(2F\)"):
        partition(DatasetDict(train=leaking), "loso_dialogues", 1)
    with pytest.raises(DataError, match="loso_dialogues needs the dialogue of every recording"):
        partition(DatasetDict(train=dyads["train"].remove_columns("dialogue")), "loso_dialogues", 1)


def test_improvised_alone(dyads):
    parts = partition(dyads, "improvised", 1)
    assert all(all(rows["improvised"]) for rows in parts.splits.values())
    assert members(parts, "session") == members(partition(dyads, "loso", 1), "session")
    assert len(parts.splits["test"]) == 8 and parts.name == "improvised, fold 1 of 5"


def test_script_disjoint_keeps_test_split_and_shares_no_words(dyads):
    loso, parts = (partition(dyads, protocol, 4) for protocol in ("loso", "script_disjoint"))
    assert parts.splits["test"]["id"] == loso.splits["test"]["id"]
    # of a session's 16, four lines of the play and one "Yeah."
    assert [len(parts.splits[name]) for name in ("train", "validation")] == [33, 11]
    assert not {*PLAY, "Yeah."} & {*parts.splits["train"]["transcript"], *parts.splits["validation"]["transcript"]}
    assert "Without 20 recordings" in parts.description
    assert shared_transcripts(parts.splits) == {"validation": 0, "test": 0}


def test_transcripts_on_both_sides_are_counted(dyads):
    assert shared_transcripts(partition(dyads, "loso", 4).splits) == {"validation": 5 / 16, "test": 5 / 16}
    one, two, none = (
        Dataset.from_dict({"transcript": texts}) for texts in (["No!", None], ["no", "NO?", "yes"], [""])
    )
    assert shared_transcripts({"train": one, "validation": two, "test": none}) == {"validation": 2 / 3, "test": 0}


def test_folds_of_speakers_are_disjoint_and_balanced():
    talk = {"a": 7, "b": 5, "c": 4, "d": 3, "e": 2, "f": 1}
    speakers = [speaker for turn in range(7) for speaker, turns in talk.items() if turn < turns]
    rows = Dataset.from_dict({"speaker": speakers, "id": [str(index) for index in range(len(speakers))]})
    folds = [speaker_folds(rows, fold, count=3) for fold in (1, 2, 3)]
    assert [members(parts, "speaker")["test"] for parts in folds] == [["a", "f"], ["b", "e"], ["c", "d"]]
    for parts in folds:
        seen = members(parts, "speaker")
        assert sorted(speaker for group in seen.values() for speaker in group) == list("abcdef")
    assert members(folds[2], "speaker")["validation"] == ["a", "f"]
    assert folds[1].name == "speakers, fold 2 of 3" and "b, e are tested" in folds[1].description
    shuffled = rows.shuffle(seed=1)
    assert members(speaker_folds(shuffled, 2, count=3), "speaker") == members(folds[1], "speaker")


def test_folds_of_equally_talkative_speakers_hold_both_sexes():
    """RAVDESS's 24 actors, odd numbers male: dealt out in turn to six folds, each fold would hold one sex."""
    actors = [f"actor{number:02}" for number in range(1, 25)]
    sexes = ["male", "female"] * 12
    rows = Dataset.from_dict({"speaker": actors, "sex": sexes, "id": actors})
    for fold in range(1, 7):
        assert Counter(partition(DatasetDict(train=rows), "speakers", fold).splits["test"]["sex"]) == {
            "male": 2,
            "female": 2,
        }


@pytest.fixture(scope="module")
def published():
    """A split as MELD's: the same people in all, one recording twice, no dialogue in two."""
    audio = [{"bytes": str(index).encode(), "path": None} for index in range(3)]
    shared = {"speaker": ["Ross", "Joey", "Joey"]}
    again = [audio[2], *({"bytes": f"c{index}".encode(), "path": None} for index in range(2))]
    return DatasetDict(
        train=split("a", audio=audio, dialogue=["a1", "a1", "a2"], **shared),
        validation=split("b", dialogue=["b1", "b1", "b2"], **shared),
        test=split("c", audio=again, dialogue=["c1", "c1", "c2"], **shared),
    )


def test_official_splits_share_no_dialogue(published):
    parts = partition(published, "official")
    assert parts.name == "official" and "1 recordings are" in parts.description
    assert all(parts.splits[name] is published[name] for name in published)
    with pytest.raises(DataError, match=r"share 2 speaker\(s\) \(Joey, Ross\)"):
        partition(published, "held_out")
    leaking = DatasetDict(published | {"test": split("c", dialogue=["a2", "c1", "c1"])})
    with pytest.raises(DataError, match=r"'train' and 'test' share 1 dialogue\(s\) \(a2\)"):
        partition(leaking, "official")


def test_held_out_is_the_default():
    splits = DatasetDict(train=split("a"), validation=split("b"), test=split("c"))
    parts = partition(splits)
    assert (parts.name, parts.splits) == ("held_out", splits)


def test_few_shots_come_from_the_validation_split(dyads):
    parts = partition(dyads, "loso", 1)
    few = k_shot(parts, 3, seed=5)
    assert Counter(few.splits["train"]["emotion"]) == dict.fromkeys(range(4), 3)
    pools = [set(few.splits[name]["id"]) for name in ("train", "validation")]
    assert pools[0] | pools[1] == set(parts.splits["validation"]["id"]) and not pools[0] & pools[1]
    assert few.splits["test"]["id"] == parts.splits["test"]["id"]
    assert few.name == "loso, fold 1 of 5, 3 shots" and "(seed 5)" in few.description
    assert k_shot(parts, 3, seed=5).splits["train"]["id"] == few.splits["train"]["id"]
    assert k_shot(parts, 3, seed=6).splits["train"]["id"] != few.splits["train"]["id"]
    with pytest.raises(DataError, match="only 4 recordings of angry, not 5"):
        k_shot(parts, 5)


@pytest.mark.parametrize(
    ("protocol", "fold", "sentence"),
    [
        ("lofo", 1, "There is no protocol 'lofo'; choose from held_out, official, loso"),
        ("held_out", None, "has no validation and no test split; give --protocol, one of loso, paper"),
        ("held_out", 1, "The protocol held_out has no folds; leave --fold out"),
        ("loso", None, "The protocol loso has folds 1 to 5 here; give one of them by --fold"),
        ("loso", 0, "has folds 1 to 5 here"),
        ("paper", 6, "The protocol paper has folds 1 to 5 here"),
    ],
)
def test_invalid_arguments_are_refused(dyads, protocol, fold, sentence):
    with pytest.raises(DataError, match=sentence):
        partition(dyads, protocol, fold)


def test_corpora_that_a_protocol_does_not_fit(dyads):
    rows = dyads["train"]
    for protocol, column in {"loso": "session", "improvised": "improvised", "speakers": "speaker"}.items():
        with pytest.raises(DataError, match=f"{protocol} needs the {column} of every recording"):
            partition(DatasetDict(train=rows.remove_columns(column)), protocol, 1)
    two = DatasetDict(train=rows.filter(lambda row: row["session"] < "3"))
    with pytest.raises(DataError, match="loso needs at least 3 different values of session"):
        partition(two, "loso", 1)
    with pytest.raises(DataError, match="makes 6 folds, and there are only 4 speakers"):
        partition(two, "speakers", 1)
    assert members(partition(two, "paper", 1), "session")["train"] == ["2"]
    same_words = DatasetDict(train=rows.map(lambda row: {"transcript": "same"}))
    with pytest.raises(DataError, match="script_disjoint, fold 1 of 5 leaves nothing in the split 'train'"):
        partition(same_words, "script_disjoint", 1)


def test_a_dialogue_across_sessions_is_refused(dyads):
    rows = dyads["train"].map(lambda row: {"dialogue": "the same"})
    with pytest.raises(DataError, match=r"share 1 dialogue\(s\) \(the same\)"):
        partition(DatasetDict(train=rows), "loso", 1)


def test_every_protocol_is_pure(dyads, published):
    for protocol in PROTOCOLS:
        corpus, fold = (published, None) if protocol == "official" else (dyads, 1)
        if protocol == "held_out":
            continue
        first, again = partition(corpus, protocol, fold), partition(corpus, protocol, fold)
        assert first.description == again.description
        for name, rows in first.splits.items():
            assert rows["id"] == again.splits[name]["id"]
            assert rows._fingerprint == again.splits[name]._fingerprint


def test_taken_rows_are_slices_so_that_no_recording_is_copied():
    rows = Dataset.from_dict({"id": list("abcdefgh")})
    for indices in ([0, 1, 2, 5, 7], [3], [], list(range(8))):
        taken = take(rows, indices)
        assert taken["id"] == [rows["id"][index] for index in indices]
        assert taken._indices is None
