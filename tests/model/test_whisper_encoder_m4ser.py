"""Whisper's encoder as the speech encoder, and its decoder on the same frames."""

import json

import numpy as np
import pytest
import soundfile
import torch
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertModel,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperModel,
)

from m4ser import M4SERConfig, M4SERModel, M4SERPipeline, M4SERProcessor
from m4ser.data.tokenizer import train_tokenizer
from m4ser.inference.scorer import Scorer
from m4ser.losses import recognition_loss
from m4ser.model.asr_m4ser import SharedEncoderTranscriber
from m4ser.model.pipeline_m4ser import LoadedRecording
from m4ser.model.recognition_m4ser import character_labels
from m4ser.model.whisper_encoder_m4ser import log_mel, longest_seconds
from tests.isolated_process import logits_here, predict_isolated
from tests.saved_models import SENTENCES
from tests.tiny_whisper import WINDOW_SECONDS, make_multilingual, save_tiny_whisper

WINDOW = WINDOW_SECONDS * 16000
LENGTHS = (8000, WINDOW, 5001, 1)
FIELDS = {"hidden_size": 16, "num_attention_heads": 2, "auxiliary_tasks": ["detection", "correction", "recognition"]}


@pytest.fixture(scope="module")
def whisper(tmp_path_factory):
    """A Whisper that sets no timestamps, as those on the Hub do not where none are requested."""
    folder = tmp_path_factory.mktemp("whisper")
    save_tiny_whisper(folder)
    settings = json.loads((folder / "generation_config.json").read_text())
    timestamps = list(range(259, AutoConfig.from_pretrained(folder).vocab_size))
    (folder / "generation_config.json").write_text(json.dumps(settings | {"suppress_tokens": timestamps}))
    return str(folder)


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("bert"))
    tokenizer = train_tokenizer(SENTENCES, vocab_size=64, max_length=64)
    tokenizer.save_pretrained(folder)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(folder)
    return folder


def build(whisper, bert, **fields):
    torch.manual_seed(0)
    return M4SERModel.from_encoders(whisper, bert, **{**FIELDS, **fields}).eval()


@pytest.fixture(scope="module")
def model(whisper, bert):
    return build(whisper, bert)


def save(whisper, bert, folder, **fields):
    model = build(whisper, bert, **fields)
    extractor, tokenizer = AutoFeatureExtractor.from_pretrained(whisper), AutoTokenizer.from_pretrained(bert)
    model.save_pretrained(folder)
    M4SERProcessor(extractor, tokenizer, asr_model_id=whisper).save_pretrained(folder)
    return model


@pytest.fixture(scope="module")
def folder(whisper, bert, tmp_path_factory):
    """A network without a CTC head, whose ASR model is the Whisper of its speech encoder."""
    folder = tmp_path_factory.mktemp("network")
    save(whisper, bert, folder, auxiliary_tasks=["detection", "correction"])
    return folder


@pytest.fixture(scope="module")
def waveforms():
    rng = np.random.default_rng(0)
    return [0.1 * rng.standard_normal(length).astype(np.float32) for length in LENGTHS]


@pytest.fixture(scope="module")
def batch(bert, waveforms):
    processor = M4SERProcessor(WhisperFeatureExtractor(), AutoTokenizer.from_pretrained(bert))
    return dict(processor(waveforms, [*SENTENCES, "he was"], sampling_rate=16000))


@pytest.mark.parametrize(("bins", "seconds"), [(80, 30), (128, 30), (16, 2)])
def test_spectrogram_is_whispers(bins, seconds):
    rng = np.random.default_rng(0)
    sizes = ((16000 * seconds, 0.1), (5000, 1e-3), (1, 1.0), (16001, 3.0), (400, 0.0))
    waveforms = [scale * rng.standard_normal(length).astype(np.float32) for length, scale in sizes]
    extractor = WhisperFeatureExtractor(feature_size=bins, chunk_length=seconds)
    expected = extractor(waveforms, sampling_rate=16000, return_tensors="pt")["input_features"]
    padded = torch.zeros(len(sizes), 16000 * seconds)
    for row, waveform in zip(padded, waveforms, strict=True):
        row[: len(waveform)] = torch.from_numpy(waveform)
    torch.testing.assert_close(log_mel(padded, bins), expected, atol=1e-5, rtol=0)


@torch.no_grad()
def test_frames_are_whispers(whisper, model, waveforms, batch):
    encoder = WhisperModel.from_pretrained(whisper).eval().encoder
    features = AutoFeatureExtractor.from_pretrained(whisper)(waveforms, sampling_rate=16000, return_tensors="pt")
    expected = encoder(features["input_features"]).last_hidden_state
    frames, mask = model.encode_frames(batch["input_values"], batch["attention_mask"])
    assert mask.sum(-1).tolist() == [25, 100, 16, 1]
    assert mask.sum(-1).tolist() == model.speech_encoder.frame_lengths(batch["attention_mask"]).tolist()
    torch.testing.assert_close(frames, expected, atol=1e-5, rtol=0)


@torch.no_grad()
def test_padding_changes_nothing(model, batch):
    together = model(**batch, recognize=True)
    for row, length in enumerate(LENGTHS):
        one = {name: tensor[row : row + 1] for name, tensor in batch.items()}
        for size in (length, min(length + 700, WINDOW), WINDOW):
            noise = one["input_values"][:, :size] + (1 - one["attention_mask"][:, :size]) * torch.randn(1, size)
            samples = {"input_values": noise, "attention_mask": one["attention_mask"][:, :size]}
            alone = model(**{**one, **samples}, recognize=True)
            torch.testing.assert_close(alone.logits[0], together.logits[row], atol=1e-5, rtol=0)
            count = int(together.frame_mask[row].sum())
            assert int(alone.frame_mask.sum()) == count
            pair = alone.recognition_logits[0, :count], together.recognition_logits[row, :count]
            torch.testing.assert_close(*pair, atol=1e-5, rtol=0)


def test_longer_recordings_are_refused(model, batch, folder):
    long = torch.zeros(1, WINDOW + 1)
    with pytest.raises(
        ValueError, match=r"Whisper encodes 2 s, and a recording has .*: cut it, or predict a timeline"
    ):
        model.encode_frames(long)
    classify = M4SERPipeline.from_pretrained(folder)
    found = classify([{"raw": long[0].numpy(), "sampling_rate": 16000, "text": ""}] * 2)
    assert [one["error"] for one in found] == [
        "the recording: the recording is longer than 2 s; cut it, or use a timeline of windows."
    ] * 2
    table = Scorer(classify).score_loaded([LoadedRecording(long[0, :16000].numpy(), "he was")])
    assert table["error"].to_pylist() == [None]
    with pytest.raises(ValueError, match=r"window is a length of 0\.1 to 2 seconds"):
        classify(long[0].numpy(), window=5)
    timeline = classify(long[0].numpy(), window=2)["timeline"]
    assert [entry["start"] for entry in timeline] == [0, 2]


@pytest.mark.parametrize("bins", [80, 128])
def test_config_survives_saving(tmp_path, bins):
    config = M4SERConfig(speech_config={"model_type": "whisper", "d_model": 16, "num_mel_bins": bins})
    assert longest_seconds(config) == 30 and config.speech_config.encoder_layerdrop == 0
    config.save_pretrained(tmp_path)
    loaded = AutoConfig.from_pretrained(tmp_path)
    assert type(loaded.speech_config) is WhisperConfig
    assert loaded.speech_config.to_dict() == config.speech_config.to_dict()


def test_preset_takes_whisper():
    sizes = {"d_model": 16, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 16}
    config = M4SERConfig.preset("tiny", speech_config={"model_type": "whisper", "max_source_positions": 100, **sizes})
    assert M4SERModel(config).speech_encoder.window == WINDOW


@torch.no_grad()
def test_save_and_load_are_bit_exact(model, batch, tmp_path):
    model.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path)
    assert not any("decoder" in name for name in loaded.speech_encoder.state_dict())
    for name, value in model(**batch, recognize=True).items():
        assert torch.equal(loaded(**batch, recognize=True)[name], value), name


def test_without_m4ser(folder, tmp_path, waveforms):
    soundfile.write(tmp_path / "a.wav", waveforms[0], 16000)
    found = predict_isolated(folder, tmp_path / "a.wav", "he was", tmp_path / "copy", HF_HOME=str(tmp_path / "home"))
    expected = logits_here(folder, str(tmp_path / "a.wav"), "he was")
    assert found["logits"] == [expected, expected]


def test_every_parameter_gets_a_gradient(whisper, bert, batch):
    model = build(whisper, bert, speech_config={"apply_spec_augment": True, "mask_time_prob": 0.05}).train()
    output = model(**batch, recognize=True, detect_errors=True)
    vocabulary = model.config.recognition_vocabulary
    labels = character_labels([*SENTENCES, "he was"], vocabulary)
    loss = recognition_loss(output.recognition_logits, output.frame_mask.bool(), labels)
    (loss.sum() + output.logits.square().sum()).backward()
    for name, parameter in model.speech_encoder.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


def test_spectrograms_are_masked_in_training_alone(whisper, bert, batch):
    speech = {"apply_spec_augment": True, "mask_time_prob": 0.5}
    model = build(whisper, bert, speech_config=speech)
    inputs = batch["input_values"], batch["attention_mask"]
    first, again = (model.encode_frames(*inputs)[0] for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(model.train().encode_frames(*inputs)[0], first)


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(model, folder, batch, dtype):
    half = AutoModel.from_pretrained(folder, dtype=dtype).eval()
    whole = AutoModel.from_pretrained(folder).eval()
    inputs = {name: value.to(dtype) if value.is_floating_point() else value for name, value in batch.items()}
    torch.testing.assert_close(half(**inputs).logits.float(), whole(**batch).logits, atol=0.1, rtol=0)


@torch.no_grad()
def test_hidden_states_and_maps(whisper, bert, batch):
    implementation = {"": "eager", "speech_config": "eager", "text_config": "eager"}
    model = build(whisper, bert, attn_implementation=implementation)
    output = model(**batch, output_hidden_states=True, output_attentions=True)
    window = model.speech_encoder.encode_window(batch["input_values"], batch["attention_mask"])
    states, maps = output.hidden_states["speech_encoder"], output.attentions["speech_encoder"]
    assert len(states) == 2 and len(maps) == 1 and maps[0].shape[-1] == 100
    torch.testing.assert_close(model.speech_encoder.encoder.layer_norm(states[-1]), window)


def test_processor_keeps_waveforms(whisper, bert, tmp_path, waveforms):
    extractor = AutoFeatureExtractor.from_pretrained(whisper)
    M4SERProcessor(extractor, AutoTokenizer.from_pretrained(bert)).save_pretrained(tmp_path)
    loaded = M4SERProcessor.from_pretrained(tmp_path)
    inputs = loaded(waveforms[0], "he was", sampling_rate=16000)
    assert np.array_equal(inputs["input_values"][0].numpy(), waveforms[0])
    assert inputs["attention_mask"].shape == inputs["input_values"].shape


class TestSharedEncoder:
    """The text is of Whisper's decoder, which takes the frames that the network goes on with."""

    @pytest.fixture
    def classify(self, folder):
        return M4SERPipeline.from_pretrained(folder)

    def runs(self, classify, call):
        """Count the runs of the network's encoder and of Whisper's own."""
        encoders = classify.model.speech_encoder.encoder, classify._transcriber.pipeline.model.get_encoder()
        counts = [0, 0]

        def count(index):
            counts[index] += 1

        hooks = [
            encoder.register_forward_hook(lambda *_, index=index: count(index))
            for index, encoder in enumerate(encoders)
        ]
        found = call()
        for hook in hooks:
            hook.remove()
        return found, counts

    def test_encoder_runs_once_a_batch(self, classify, waveforms):
        assert type(classify._transcriber) is SharedEncoderTranscriber and classify.transcribes_itself
        found, counts = self.runs(classify, lambda: classify(waveforms, batch_size=4, return_transcript=True))
        assert counts == [1, 0]
        texts, counts = self.runs(classify, lambda: classify.transcribe(waveforms, 3))
        assert counts[0] == 0 and counts[1] >= 1
        assert [one["transcript"] for one in found] == texts and all(texts[:3]) and texts[3] == ""
        rows = [
            {"raw": wave, "sampling_rate": 16000, "text": text} for wave, text in zip(waveforms, texts, strict=True)
        ]
        for given, one in zip(classify(rows), found, strict=True):
            expected, own = ({item["label"]: item["score"] for item in items} for items in (given, one["scores"]))
            assert own == pytest.approx(expected, abs=1e-5)

    def test_whisper_is_loaded_where_a_text_is_missing(self, classify, waveforms):
        row = {"raw": waveforms[0], "sampling_rate": 16000, "text": "he was"}
        classify(row)
        assert isinstance(classify._transcriber._asr, str)
        classify(waveforms[0])
        assert not isinstance(classify._transcriber._asr, str)

    def test_given_texts_are_kept(self, classify, waveforms):
        rows = [{"raw": waveforms[0], "sampling_rate": 16000, "text": "he was"}, waveforms[1]]
        found = classify(rows, batch_size=2, return_transcript=True)
        assert [one["transcript"] for one in found] == ["he was", classify.transcribe(waveforms[1:2])[0]]
        assert not any("words" in one for one in found)

    def test_bulk_scoring(self, classify, waveforms):
        loaded = [LoadedRecording(waveform) for waveform in waveforms]
        table, counts = self.runs(classify, lambda: Scorer(classify).score_loaded(loaded))
        assert counts == [1, 0] and table["transcript"].to_pylist() == classify.transcribe(waveforms)

    def test_trained_encoder_leaves_whisper_whole(self, classify, waveforms, caplog):
        with torch.no_grad():
            classify.model.speech_encoder.encoder.layer_norm.bias.add_(0.1)
        found, counts = self.runs(classify, lambda: classify(waveforms[:2], batch_size=2, return_transcript=True))
        assert counts == [1, 1] and "was trained further than" in caplog.text
        assert [one["transcript"] for one in found] == classify.transcribe(waveforms[:2])

    def test_half_precision_shares_too(self, folder, waveforms):
        classify = M4SERPipeline.from_pretrained(folder, dtype=torch.bfloat16)
        _, counts = self.runs(classify, lambda: classify(waveforms[0]))
        assert counts == [1, 0]

    def test_language_is_detected_on_the_frames(self, bert, waveforms, tmp_path):
        save_tiny_whisper(tmp_path / "whisper")
        make_multilingual(tmp_path / "whisper")
        save(str(tmp_path / "whisper"), bert, tmp_path / "network", auxiliary_tasks=["detection", "correction"])
        classify = M4SERPipeline.from_pretrained(tmp_path / "network")
        found, counts = self.runs(classify, lambda: classify(waveforms[:2], batch_size=2, return_transcript=True))
        assert counts == [1, 0] and all(isinstance(one["transcript"], str) for one in found)

    def test_segments_are_whispers(self, classify, waveforms):
        entries = classify(np.concatenate(waveforms[:2]), window="segments")["timeline"]
        assert entries and entries[-1]["end"] <= (LENGTHS[0] + LENGTHS[1]) / 16000

    def test_another_asr_model_runs_before(self, folder, tmp_path):
        assert not M4SERPipeline.from_pretrained(folder, asr=str(tmp_path)).transcribes_itself

    def test_own_head_takes_precedence(self, whisper, bert, tmp_path, waveforms):
        save(whisper, bert, tmp_path)
        classify = M4SERPipeline.from_pretrained(tmp_path)
        assert type(classify._transcriber) is not SharedEncoderTranscriber and classify.transcribes_itself
        classify(waveforms[:2], batch_size=2)
        assert type(M4SERPipeline.from_pretrained(tmp_path, asr=whisper)._transcriber) is SharedEncoderTranscriber
