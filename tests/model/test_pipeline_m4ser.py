"""Whatever a user gives: scores that are finite and sum to 1, or one error that names the recording."""

import json
import math
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from datasets import Audio, Dataset
from transformers import AutoModel, AutoProcessor, pipeline
from transformers.pipelines.pt_utils import KeyDataset

from m4ser import AudioError, M4SERPipeline
from m4ser.model.audio_m4ser import load_audio
from m4ser.model.marking_m4ser import decode_words, mark_errors
from tests.assertions import EMOTIONS, assert_same, assert_scores, noise, scores, wav
from tests.saved_models import SENTENCES, save_tiny_model
from tests.tiny_whisper import WINDOW_SECONDS

TEXT = SENTENCES[0]


@pytest.fixture(scope="module")
def speech(shared_data):
    return shared_data / "asr_speech"


class TestInputs:
    def test_scores_are_softmax_of_model_logits(self, tiny_folder, classify, speech):
        model, processor = AutoModel.from_pretrained(tiny_folder), AutoProcessor.from_pretrained(tiny_folder)
        with torch.no_grad():
            logits = model.eval()(**processor(speech / "jfk.flac", TEXT)).logits
        expected = dict(zip(model.config.id2label.values(), logits.softmax(-1)[0].tolist(), strict=True))
        assert scores(classify({"path": str(speech / "jfk.flac"), "text": TEXT})) == pytest.approx(expected, abs=1e-6)

    def test_forms_of_a_recording_give_same_scores(self, classify, speech):
        path = speech / "jfk.flac"  # 44.1 kHz, stereo
        array, rate = soundfile.read(path, dtype="float32")
        at_16_khz = load_audio(path)
        expected = classify(str(path))
        assert_scores(expected)
        for form in (
            path,
            path.read_bytes(),
            at_16_khz,
            torch.from_numpy(at_16_khz),
            {"path": str(path)},
            {"bytes": path.read_bytes(), "path": None},
            {"raw": array, "sampling_rate": rate},
            {"array": array.T, "sampling_rate": rate, "text": ""},
            {"audio": {"bytes": path.read_bytes(), "path": "jfk.flac"}, "id": "jfk", "hypothesis": ""},
        ):
            assert_same(classify(form), expected)

    def test_text_changes_scores_and_dict_is_unchanged(self, classify, speech):
        path = str(speech / "jfk.flac")
        row = {"path": path, "text": TEXT}
        spoken = scores(classify(row))
        assert row == {"path": path, "text": TEXT}
        assert spoken == scores(classify({"path": path, "text": {"text": TEXT, "chunks": []}}))
        assert max(abs(spoken[label] - score) for label, score in scores(classify(path)).items()) > 1e-3

    def test_network_without_confidences_ignores_them(self, classify, speech):
        row = {"path": str(speech / "jfk.flac"), "text": "so heart"}
        assert_same(classify({**row, "word_confidences": [0.1, 0.9]}), classify(row))

    def test_lists_generators_columns_and_key_datasets(self, classify, speech):
        paths = sorted(speech.glob("librivox*.wav"))[:3]
        expected = [classify(str(path)) for path in paths]
        audio = [{"bytes": path.read_bytes(), "path": path.name} for path in paths]
        rows = Dataset.from_dict({"audio": audio}).cast_column("audio", Audio(decode=False))
        for many in (
            list(map(str, paths)),
            (str(path) for path in paths),
            rows["audio"],
            KeyDataset(rows, "audio"),
        ):
            outputs = list(classify(many, batch_size=2))
            assert len(outputs) == len(expected)
            for output, one in zip(outputs, expected, strict=True):
                assert_same(output, one)

    def test_dataset_is_classified_with_its_hypotheses(self, classify, speech):
        paths = sorted(speech.glob("librivox*.wav"))[:3]
        audio = [{"bytes": path.read_bytes(), "path": path.name} for path in paths]
        rows = Dataset.from_dict({"audio": audio, "hypothesis": SENTENCES}).cast_column("audio", Audio(decode=False))
        outputs = list(classify(rows, batch_size=2, return_transcript=True))
        assert [output["transcript"] for output in outputs] == list(SENTENCES)
        for output, path, text in zip(outputs, paths, SENTENCES, strict=True):
            assert_same(output["scores"], classify({"path": str(path), "text": text}))

    def test_no_recordings_give_no_predictions(self, classify):
        assert classify([]) == []
        assert list(classify(path for path in ())) == []

    @pytest.mark.parametrize("batch_size", [2, 8])
    def test_batch_does_not_change_scores(self, classify, speech, batch_size):
        paths = sorted([*speech.glob("*.wav"), *speech.glob("*.flac")])
        rows = [{"path": str(path), "text": TEXT[: 9 * index]} for index, path in enumerate(paths)]
        rows.append({"raw": noise(100), "sampling_rate": 16000, "text": ""})
        assert len(rows) == 8
        for output, row in zip(classify(rows, batch_size=batch_size), rows, strict=True):
            assert_same(output, classify(row))

    def test_half_precision(self, tiny_folder, classify):
        half = M4SERPipeline.from_pretrained(tiny_folder, dtype=torch.bfloat16)
        rows = [{"raw": noise(16000, seed), "sampling_rate": 16000, "text": TEXT} for seed in range(3)]
        for output, exact in zip(half(rows, batch_size=2), classify(rows), strict=True):
            assert_scores(output)
            assert scores(output) == pytest.approx(scores(exact), abs=0.05)


class TestOptions:
    def test_top_k_keeps_best(self, classify):
        everything = classify(noise(16000))
        assert classify(noise(16000), top_k=2) == everything[:2]
        assert classify(noise(16000), top_k=99) == everything

    def test_calibration_divides_logits_by_temperature(self, tiny_folder, classify):
        calibrated = M4SERPipeline.from_pretrained(tiny_folder)
        calibrated.model.config.calibration_temperature = 2.5
        logits = torch.tensor([scores(classify(noise(16000)))[label] for label in sorted(EMOTIONS)]).log()
        expected = dict(zip(sorted(EMOTIONS), (logits / 2.5).softmax(-1).tolist(), strict=True))
        assert scores(calibrated(noise(16000))) == pytest.approx(expected, abs=1e-6)

    def test_abstains_below_score(self, classify):
        rows = [noise(16000, seed) for seed in range(3)]
        everything = classify(rows)
        threshold = sorted(output[0]["score"] for output in everything)[1]
        outputs = classify(rows, abstain_below=threshold, top_k=2)
        for output, expected in zip(outputs, everything, strict=True):
            sure = expected[0]["score"] >= threshold
            assert output == {"scores": expected[:2], "label": expected[0]["label"] if sure else None}
        assert [output["label"] for output in outputs].count(None) == 1
        assert set(classify(rows[0], abstain_below=0, return_transcript=True)) == {"scores", "label", "transcript"}
        with pytest.raises(ValueError, match=r"abstain_below is a score from 0 to 1, not 60"):
            classify(rows, abstain_below=60)

    def test_top_k_below_one_raises(self, classify):
        with pytest.raises(ValueError, match="at least 1, not 0"):
            classify(noise(16000), top_k=0)

    def test_pipeline_defaults_hold_until_call_overrides(self, tiny_folder):
        classify = M4SERPipeline.from_pretrained(tiny_folder, top_k=1, return_transcript=True)
        assert len(classify(noise(16000))["scores"]) == 1
        assert len(classify(noise(16000), top_k=3, return_transcript=False)) == 3

    def test_returns_transcript_and_correction(self, tiny_folder, classify):
        rows = [{"raw": noise(16000), "sampling_rate": 16000, "text": text} for text in SENTENCES]
        model, processor = AutoModel.from_pretrained(tiny_folder), AutoProcessor.from_pretrained(tiny_folder)
        for row, output in zip(rows, classify(rows, batch_size=2, return_correction=True), strict=True):
            assert_same(output["scores"], classify(row))
            assert output["transcript"] == row["text"]
            inputs = processor(text=row["text"])
            correction = model.correct(inputs["input_ids"], inputs["text_attention_mask"])[0]
            assert output["correction"] == decode_words(processor.tokenizer, correction.token_ids)
            assert output["marked"] == mark_errors(processor.tokenizer, row["text"], correction.tags)
            assert "##" not in output["correction"] + output["marked"]
            alone = classify(row, return_correction=True)
            assert {**alone, "scores": None} == {**output, "scores": None}
            assert set(classify(row, return_transcript=True)) == {"scores", "transcript"}

    def test_returns_embeddings(self, tiny_folder, classify):
        rows = [{"raw": noise(4000 + 999 * seed), "sampling_rate": 16000, "text": TEXT} for seed in range(3)]
        model, processor = AutoModel.from_pretrained(tiny_folder), AutoProcessor.from_pretrained(tiny_folder)
        for row, output in zip(rows, classify(rows, batch_size=2, return_embeddings=True), strict=True):
            with torch.no_grad():
                expected = model.eval()(**processor(row["raw"], TEXT, sampling_rate=16000)).embeddings[0]
            assert output["embeddings"] == pytest.approx(expected.tolist(), abs=1e-5)
            assert_same(output["scores"], classify(row))

    def test_correction_needs_corrector(self, tmp_path):
        save_tiny_model(tmp_path, auxiliary_tasks=["detection"])
        with pytest.raises(ValueError, match="return_correction needs a model"):
            M4SERPipeline.from_pretrained(tmp_path)(noise(16000), return_correction=True)


class TestASRModel:
    def test_falls_back_to_speech_alone_and_warns_once(self, tiny_folder):
        classify = M4SERPipeline.from_pretrained(tiny_folder)
        with pytest.warns(UserWarning, match="from speech alone"):
            output = classify(noise(16000))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert classify(noise(16000)) == output
        classify = M4SERPipeline.from_pretrained(tiny_folder)
        with pytest.warns(UserWarning, match="A text is empty: M4SER predicts from speech alone"):
            assert classify({"raw": noise(16000), "sampling_rate": 16000, "text": ""}) == output

    @pytest.mark.parametrize("by_id", [False, True])
    def test_given_asr_model_transcribes_missing_texts(self, tiny_folder, classify, whisper, by_id):
        asr = pipeline("automatic-speech-recognition", whisper, num_beams=1)
        transcribing = M4SERPipeline.from_pretrained(tiny_folder, asr=whisper if by_id else asr)
        text = asr(noise(16000))["text"].strip()
        assert text
        output = transcribing(noise(16000), return_transcript=True)
        assert output["transcript"] == text
        assert_same(output["scores"], classify({"raw": noise(16000), "sampling_rate": 16000, "text": text}))
        row = {"raw": noise(16000), "sampling_rate": 16000, "text": TEXT}
        assert transcribing(row, return_transcript=True)["transcript"] == TEXT

    def test_processors_asr_model_is_loaded_lazily(self, tmp_path, whisper):
        save_tiny_model(tmp_path, asr_model_id=whisper)
        classify = M4SERPipeline.from_pretrained(tmp_path)
        classify([{"raw": noise(16000), "sampling_rate": 16000, "text": TEXT}])
        assert classify._transcriber._asr == whisper
        expected = pipeline("automatic-speech-recognition", whisper, num_beams=1)(noise(16000))["text"].strip()
        assert classify([noise(16000)], return_transcript=True)[0]["transcript"] == expected

    def test_texts_are_transcribed_in_batches_and_keep_order(self, tiny_folder, whisper):
        asr = pipeline("automatic-speech-recognition", whisper)
        classify = M4SERPipeline.from_pretrained(tiny_folder, asr=asr)
        rows = [noise(8000 + 999 * seed, seed) for seed in range(4)]
        rows[1] = {"raw": rows[1], "sampling_rate": 16000, "text": TEXT}
        rows.insert(2, np.zeros(0))
        alone = [classify([row], return_transcript=True)[0] for row in rows]
        sizes = []
        asr.model.get_encoder().register_forward_hook(lambda encoder, inputs, output: sizes.append(len(output[0])))
        together = classify((row for row in rows), return_transcript=True, batch_size=5)
        for output, expected in zip(together, alone, strict=True):
            assert output.get("transcript") == expected.get("transcript")
            assert ("error" in output) == ("error" in expected)
        assert sizes[0] == 3

    def test_recordings_beyond_whispers_window_are_transcribed_whole(self, tiny_folder, whisper):
        asr = pipeline("automatic-speech-recognition", whisper)
        classify = M4SERPipeline.from_pretrained(tiny_folder, asr=asr)
        long, short = noise(16000 * (2 * WINDOW_SECONDS + 1)), noise(16000)
        outputs = classify([short, long], return_transcript=True, batch_size=2)
        assert outputs[0]["transcript"] == asr(short)["text"].strip()
        assert outputs[1]["transcript"] == asr(long, return_timestamps=True)["text"].strip()


SPEECH = wav(noise(16000))
UNUSUAL = {
    "one sample": noise(1),
    "100 samples": noise(100),
    "399 samples": noise(399),
    "silence": np.zeros(16000),
    "a constant": np.full(16000, 0.7),
    "stereo": noise(32000).reshape(-1, 2),
    "3 channels": noise(48000).reshape(3, -1),
    "8 kHz": {"raw": noise(8000), "sampling_rate": 8000},
    "48 kHz": {"raw": noise(48000), "sampling_rate": 48000},
    "no sampling rate": {"raw": noise(16000)},
    "int16": (noise(16000) * 2**15).clip(-(2**15), 2**15 - 1).astype(np.int16),
    "loud": noise(16000) * 1e9,
    "truncated": SPEECH[: len(SPEECH) // 2],
    "a long text": {"raw": noise(16000), "sampling_rate": 16000, "text": "disposed " * 10_000},
    "emoji": {"raw": noise(16000), "sampling_rate": 16000, "text": "\N{GRINNING FACE}\N{ZERO WIDTH JOINER}"},
    "other scripts": {"raw": noise(16000), "sampling_rate": 16000, "text": "привет 你好 مرحبا"},
    "an empty text": {"raw": noise(16000), "sampling_rate": 16000, "text": ""},
    "no text": {"raw": noise(16000), "sampling_rate": 16000, "text": None},
}
FILES = {
    "empty.wav": (b"", "empty"),
    "header_only.wav": (wav(noise(0)), "no samples"),
    "page.wav": (b"<!DOCTYPE html><html>Not found</html>" * 20, "not an audio file"),
    "nan.wav": (wav(np.full(1000, np.nan), subtype="FLOAT"), "NaN"),
    "infinite.wav": (wav(np.full(1000, np.inf), subtype="FLOAT"), "infinite"),
}
UNUSABLE = {
    "no samples": (noise(0), "no samples"),
    "NaN": (np.full(16000, np.nan), "NaN"),
    "infinite": (np.full(16000, np.inf), "infinite"),
    "sampling rate 0": ({"raw": noise(100), "sampling_rate": 0}, "0 is not a sampling rate"),
    "strings": (np.array(["a", "b"]), "not audio"),
    "complex": (np.ones(100, complex), "not audio"),
    "int64": (np.ones(100, np.int64), "full scale"),
    "a spectrogram": (noise(16000).reshape(40, -1), "not one recording"),
    "nothing": (None, "not audio"),
    "an empty dict": ({}, "no audio"),
    "a number for a text": ({"path": "clip 7", "text": 7}, "clip 7: its text is a int"),
    "confidences of other words": (
        {"path": "clip 7", "text": "a b", "word_confidences": [0.5]},
        "clip 7: there are 1 word_confidences for 2 words",
    ),
}


class TestDamagedModels:
    @pytest.fixture
    def folder(self, tiny_folder, tmp_path):
        return Path(shutil.copytree(tiny_folder, tmp_path / "model"))

    def load_error(self, folder):
        with pytest.raises(ValueError) as error:
            M4SERPipeline.from_pretrained(folder)
        assert "\n" not in str(error.value) and str(folder) in str(error.value)
        return str(error.value)

    def test_truncated_weights_raise(self, folder):
        data = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(data[: len(data) // 2])
        assert "is damaged" in self.load_error(folder)

    def test_missing_weights_file_or_config_raises(self, folder):
        (folder / "model.safetensors").unlink()
        assert "There is no model" in self.load_error(folder)
        (folder / "config.json").write_text("{")
        assert "There is no model" in self.load_error(folder)

    def test_missing_processor_raises(self, folder):
        for file in ("processor_config.json", "tokenizer.json", "tokenizer_config.json"):
            (folder / file).unlink()
        assert "has no processor" in self.load_error(folder)

    def test_missing_asr_model_is_named(self, tiny_folder):
        classify = M4SERPipeline.from_pretrained(tiny_folder, asr="org/gone")
        with pytest.raises(ValueError, match="ASR model 'org/gone' cannot be loaded; give each recording a text"):
            classify(noise(16000))

    def test_text_is_truncated_to_text_encoder(self, folder):
        settings = json.loads((folder / "tokenizer_config.json").read_text())
        del settings["model_max_length"]
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
        assert AutoProcessor.from_pretrained(folder).tokenizer.model_max_length > 10_000
        assert_scores(M4SERPipeline.from_pretrained(folder)(UNUSUAL["a long text"]))


class TestBadInput:
    @pytest.mark.parametrize("name", UNUSUAL)
    def test_unusual_input_gets_scores(self, classify, name):
        assert_scores(classify(UNUSUAL[name]))

    @pytest.mark.parametrize("name", FILES)
    def test_bad_file_raises_with_name(self, classify, tmp_path, name):
        data, reason = FILES[name]
        (tmp_path / name).write_bytes(data)
        with pytest.raises(AudioError, match=reason) as error:
            classify(str(tmp_path / name))
        assert str(error.value).startswith(str(tmp_path / name)) and "\n" not in str(error.value)

    def test_bad_path_raises_with_name(self, classify, tmp_path):
        with pytest.raises(AudioError, match=r"gone\.wav: there is no such file"):
            classify(str(tmp_path / "gone.wav"))
        with pytest.raises(AudioError, match=f"{tmp_path.name}: this is a folder"):
            classify(tmp_path)

    @pytest.mark.parametrize("name", UNUSABLE)
    def test_unusable_input_raises(self, classify, name):
        source, reason = UNUSABLE[name]
        with pytest.raises(AudioError, match=reason) as error:
            classify(source)
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize("batch_size", [1, 3, 64])
    def test_rest_of_batch_keeps_predictions_and_order(self, classify, tmp_path, batch_size):
        for name, (data, _) in FILES.items():
            (tmp_path / name).write_bytes(data)
        bad = [str(tmp_path / name) for name in FILES]
        bad += [str(tmp_path / "gone.wav"), str(tmp_path), *(source for source, _ in UNUSABLE.values())]
        good = [{"raw": noise(4000 + 500 * seed, seed), "sampling_rate": 16000} for seed in range(len(bad))]
        mixed = [item for pair in zip(good, bad, strict=True) for item in pair]
        outputs = classify(mixed, batch_size=batch_size)
        for output, row in zip(outputs[::2], good, strict=True):
            assert_same(output, classify(row))
        for output, source in zip(outputs[1::2], bad, strict=True):
            with pytest.raises(AudioError) as error:
                classify(source)
            assert output == {"error": str(error.value)}

    def test_nan_weights_raise(self, tiny_folder):
        classify = M4SERPipeline.from_pretrained(tiny_folder)
        torch.nn.init.constant_(classify.model.classifier.bias, math.nan)
        with pytest.raises(ValueError, match="scores are not finite"):
            classify(noise(16000))
