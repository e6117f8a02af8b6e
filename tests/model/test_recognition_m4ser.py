"""The CTC head: labels and decoding by hand and by transformers' own tokenizer, and a checkpoint's head taken over."""

import json
import sys

import numpy as np
import pytest
import soundfile
import torch
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizerFast,
    HubertConfig,
    HubertForCTC,
    Wav2Vec2CTCTokenizer,
)

import m4ser_cli
from m4ser import M4SERConfig, M4SERModel, M4SERPipeline
from m4ser.inference.scorer import Scorer
from m4ser.model.loading_m4ser import LoadedRecording
from m4ser.model.recognition_m4ser import (
    Transcription,
    Word,
    character_labels,
    decode,
    split_at_pauses,
    spoken,
    vocabulary_of,
)
from tests.saved_models import save_tiny_model
from tests.tiny import collate, plain_inputs, recordings, tiny_model

TASKS = ["detection", "correction", "recognition"]
VOCABULARY = ["", " ", "a", "b"]


def scores(*ids):
    """Logits (1, m, 4) that are highest at these ids."""
    return 9.0 * torch.nn.functional.one_hot(torch.tensor([ids]), 4).float()


def test_spoken_text_of_any_script():
    assert spoken("  It\u2019s 7 o'clock,\nU.S.A. – Größe! 你好。नमस्ते") == "it's 7 o'clock u s a größe 你好 नमस्ते"


def test_vocabulary_begins_with_the_blank():
    assert vocabulary_of(["Ab!", None, "b c"]) == ["", " ", "a", "b", "c"]


def test_labels_are_the_characters_ids():
    labels = character_labels(["B  a!", None, "xab"], VOCABULARY)
    assert labels.tolist() == [[3, 1, 2], [-100, -100, -100], [2, 3, -100]]
    assert character_labels([None], VOCABULARY).tolist() == [[-100]]


def test_decoding_joins_repetitions_and_leaves_blanks_out():
    logits = scores(0, 2, 2, 0, 2, 1, 1, 3, 0, 3)
    (found,) = decode(logits, torch.ones(1, 10, dtype=torch.bool), VOCABULARY, 0.5)
    assert found == Transcription("aa bb", [Word("aa", 0.5, 2.5), Word("bb", 3.5, 5.0)])


def test_decoding_stops_at_the_padding():
    mask = torch.tensor([[True, True, False, False]])
    assert decode(scores(2, 3, 3, 2), mask, VOCABULARY, 1.0)[0].text == "ab"
    assert decode(scores(0, 1, 0, 1), mask, VOCABULARY, 1.0)[0] == Transcription("", [])


def test_decoding_matches_transformers(tmp_path):
    ids = {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "|": 4, "A": 5, "B": 6, "C": 7}
    (tmp_path / "vocab.json").write_text(json.dumps(ids))
    tokenizer = Wav2Vec2CTCTokenizer(str(tmp_path / "vocab.json"))
    ours = ["", "", "", "", " ", "a", "b", "c"]
    best = torch.from_numpy(np.random.default_rng(0).choice([0, 4, 5, 6, 7], (20, 30)))
    logits = torch.nn.functional.one_hot(best, 8).float()
    found = decode(logits, torch.ones(20, 30, dtype=torch.bool), ours, 0.02)
    expected = tokenizer.batch_decode(best, output_word_offsets=True)
    for one, text, offsets in zip(found, expected.text, expected.word_offsets, strict=True):
        assert one.text == " ".join(text.lower().split())
        words = [word for word in offsets if word["word"]]
        assert [word.text for word in one.words] == [word["word"].lower() for word in words]
        times = [(0.02 * word["start_offset"], 0.02 * word["end_offset"]) for word in words]
        np.testing.assert_allclose([(word.start, word.end) for word in one.words], times)


@pytest.fixture(scope="module")
def model():
    return tiny_model(auxiliary_tasks=TASKS)


@pytest.fixture
def batch():
    return plain_inputs(collate(recordings((4000, 7000, 2500), (7, 4, 9))))


def test_logits_only_where_requested(model, batch):
    plain, full = model(**batch), model(**batch, recognize=True)
    assert plain.recognition_logits is None
    assert full.recognition_logits.shape == (*full.frame_mask.shape, 29)
    torch.testing.assert_close(full.logits, plain.logits, atol=0, rtol=0)


def test_transcription_runs_the_encoder_once(model, batch):
    calls = []
    hook = model.speech_encoder.encoder.encoder.register_forward_hook(lambda *_: calls.append(1))
    frames, mask = model.encode_frames(batch["input_values"], batch["attention_mask"])
    texts = model.transcribe(speech_hidden_states=frames, attention_mask=mask)
    text = {name: batch[name] for name in ("input_ids", "text_attention_mask")}
    output = model(speech_hidden_states=frames, attention_mask=mask, **text)
    hook.remove()
    assert len(calls) == 1
    assert texts == model.transcribe(batch["input_values"], batch["attention_mask"])
    torch.testing.assert_close(output.logits, model(**batch).logits, atol=0, rtol=0)


def test_padding_changes_no_transcription(model):
    rows = recordings((4000, 7000, 2500), (7, 4, 9))
    together = plain_inputs(collate(rows, more_samples=2000))
    logits = model(**together, recognize=True).recognition_logits
    texts = model.transcribe(together["input_values"], together["attention_mask"])
    for index, row in enumerate(rows):
        alone = plain_inputs(collate([row]))
        own = model(**alone, recognize=True).recognition_logits[0]
        torch.testing.assert_close(logits[index, : len(own)], own, atol=1e-5, rtol=1e-4)
        assert model.transcribe(alone["input_values"])[0] == texts[index]


def test_words_have_times_in_seconds_and_are_json(model, batch):
    for one, samples in zip(model.transcribe(batch["input_values"]), (7000,) * 3, strict=True):
        times = [time for word in one.words for time in (word.start, word.end)]
        assert times == sorted(times) and max(times, default=0) <= samples / 16000
        json.dumps([vars(word) for word in one.words])


def test_models_without_the_head_refuse(batch):
    plain = tiny_model()
    assert not plain.can_transcribe and plain.recognition_head is None
    with pytest.raises(ValueError, match='needs "recognition"'):
        plain.transcribe(batch["input_values"])
    assert tiny_model(modalities=["text"], auxiliary_tasks=TASKS).recognition_head is None


def test_vocabulary_without_blank_is_refused():
    with pytest.raises(ValueError, match="begins with the blank"):
        M4SERConfig(auxiliary_tasks=TASKS, recognition_vocabulary=["a", ""])


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """A HubertForCTC whose blank is the last id, and a BERT."""
    folder = tmp_path_factory.mktemp("checkpoints")
    ids = {"<s>": 0, "</s>": 1, "<unk>": 2, "|": 3, "A": 4, "B": 5, "<pad>": 6}
    (folder / "vocab.json").write_text(json.dumps(ids))
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    convolutions = {"conv_dim": [8, 8], "conv_kernel": [10, 3], "conv_stride": [5, 64], "num_feat_extract_layers": 2}
    config = HubertConfig(**sizes, **convolutions, num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2)
    config.vocab_size, config.pad_token_id = len(ids), 6
    torch.manual_seed(0)
    HubertForCTC(config).save_pretrained(folder / "ctc")
    Wav2Vec2CTCTokenizer(str(folder / "vocab.json")).save_pretrained(folder / "ctc")
    BertModel(BertConfig(vocab_size=40, **sizes)).save_pretrained(folder / "bert")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map(str, range(35))]
    (folder / "words.txt").write_text("\n".join(words))
    BertTokenizerFast(str(folder / "words.txt")).save_pretrained(folder / "bert")
    return folder


FIELDS = {"hidden_size": 16, "num_attention_heads": 2, "auxiliary_tasks": TASKS}


def test_checkpoints_head_and_vocabulary_are_taken_over(checkpoints, batch):
    model = M4SERModel.from_encoders(str(checkpoints / "ctc"), str(checkpoints / "bert"), **FIELDS).eval()
    assert model.config.recognition_vocabulary == ["", "", "", " ", "a", "b", ""]
    ctc = HubertForCTC.from_pretrained(checkpoints / "ctc").eval()
    samples = batch["input_values"][1:2]
    with torch.no_grad():
        expected = ctc(samples).logits[..., [6, 1, 2, 3, 4, 5, 0]]
        found = model(samples, input_ids=batch["input_ids"][1:2], recognize=True).recognition_logits
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    tokenizer = Wav2Vec2CTCTokenizer.from_pretrained(checkpoints / "ctc")
    text = tokenizer.batch_decode(ctc(samples).logits.argmax(-1))[0].replace("<s>", "").replace("</s>", "")
    assert model.transcribe(samples)[0].text == " ".join(text.replace("<unk>", "").lower().split())


def test_own_vocabulary_makes_a_new_head(checkpoints):
    fields = {**FIELDS, "recognition_vocabulary": ["", " ", "x"]}
    model = M4SERModel.from_encoders(str(checkpoints / "ctc"), str(checkpoints / "bert"), **fields)
    assert model.recognition_head.lm_head.out_features == 3


def test_head_without_tokenizer_is_one_sentence(checkpoints, tmp_path):
    HubertForCTC.from_pretrained(checkpoints / "ctc").save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="has a CTC head and no vocabulary for it"):
        M4SERModel.from_encoders(str(tmp_path), str(checkpoints / "bert"), **FIELDS)


class TestPipeline:
    """Text, emotion and the times of words from one pass of the speech encoder."""

    @pytest.fixture(scope="class")
    def folder(self, tmp_path_factory):
        folder = tmp_path_factory.mktemp("own")
        save_tiny_model(folder, auxiliary_tasks=TASKS)
        return folder

    @pytest.fixture(scope="class")
    def classify(self, folder):
        return M4SERPipeline.from_pretrained(folder)

    @pytest.fixture(scope="class")
    def waveforms(self):
        rng = np.random.default_rng(0)
        return [rng.standard_normal(length).astype(np.float32) for length in (8000, 16000, 5000)]

    def test_own_text_is_the_default(self, classify, waveforms):
        assert classify.has_asr and classify.transcribes_itself
        found = classify(waveforms, batch_size=2, return_transcript=True)
        texts = classify.transcribe(waveforms)
        assert [one["transcript"] for one in found] == texts and any(texts)
        for one, waveform, text in zip(found, waveforms, texts, strict=True):
            assert " ".join(word["text"] for word in one.get("words", ())) == text
            (expected,) = classify([{"raw": waveform, "sampling_rate": 16000, "text": text}])
            given, own = ({item["label"]: item["score"] for item in items} for items in (expected, one["scores"]))
            assert own == pytest.approx(given, abs=1e-5)

    def test_encoder_runs_once_a_batch(self, classify, waveforms):
        calls = []
        layer = classify.model.speech_encoder.encoder.encoder
        hook = layer.register_forward_hook(lambda *_: calls.append(1))
        classify(waveforms[0])
        classify(waveforms, batch_size=3)
        hook.remove()
        assert len(calls) == 2

    def test_given_texts_are_kept(self, classify, waveforms):
        rows = [{"raw": waveforms[0], "sampling_rate": 16000, "text": "the night"}, waveforms[1]]
        found = classify(rows, batch_size=2, return_transcript=True)
        assert found[0]["transcript"] == "the night" and "words" not in found[0]
        assert found[1]["transcript"] == classify.transcribe(waveforms[1:2])[0]

    def test_corrections_are_of_the_own_text(self, classify, waveforms):
        found = classify(waveforms[1], return_correction=True)
        assert found["transcript"] == classify.transcribe(waveforms[1:2])[0] and isinstance(found["correction"], str)

    def test_timeline_has_words_at_their_times(self, classify, waveforms):
        long = np.concatenate([waveforms[1]] * 3)
        entries = classify(long, window=1.0)["timeline"]
        assert [entry["start"] for entry in entries] == [0, 1, 2]
        for entry in entries:
            for word in entry.get("words", ()):
                assert entry["start"] <= word["start"] < word["end"] <= entry["end"] + 0.021

    def test_segments_end_at_pauses(self, classify, waveforms):
        for start, end, text in classify._transcriber.segments(waveforms[1]):
            assert 0 <= start < end <= 16000 and text
        assert classify(waveforms[1], window="segments")["timeline"]

    def test_bulk_scoring_transcribes_in_its_forward(self, classify, waveforms):
        loaded = [LoadedRecording(waveform) for waveform in waveforms]
        table = Scorer(classify).score_loaded(loaded)
        assert table["transcript"].to_pylist() == classify.transcribe(waveforms)
        expected = classify(waveforms)
        for row, one in zip(table.to_pylist(), expected, strict=True):
            scores = {f"score_{item['label']}": item["score"] for item in one}
            assert {name: row[name] for name in scores} == pytest.approx(scores, abs=1e-5)

    def test_another_asr_model_takes_precedence(self, folder):
        assert not M4SERPipeline.from_pretrained(folder, asr="nowhere/model").transcribes_itself

    def test_own_asr_needs_the_head(self, tmp_path):
        save_tiny_model(tmp_path)
        with pytest.raises(ValueError, match='needs a model with the auxiliary task "recognition"'):
            M4SERPipeline.from_pretrained(tmp_path, asr="self")

    def test_command_line(self, folder, tmp_path, capsys, monkeypatch):
        soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).standard_normal(16000) / 8, 16000)
        command = ["m4ser", "predict", str(tmp_path / "a.wav"), "--model", str(folder), "--asr", "self", "--json"]
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as stop:
            m4ser_cli.main()
        assert stop.value.code == 0
        row = json.loads(capsys.readouterr().out)
        assert row["text"] == " ".join(word["text"] for word in row["words"])


def test_segments_are_split_at_pauses():
    words = [Word("a", 0.0, 0.2), Word("b", 0.6, 0.8), Word("c", 1.3, 1.5)]
    assert split_at_pauses(words) == [words[:2], words[2:]] and split_at_pauses([]) == []
