"""Every encoder that may serve, found by name as a user does: tiny, random, saved with a tokenizer of its own kind."""

import copy

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModel,
    AutoTokenizer,
    PreTrainedTokenizerFast,
    Wav2Vec2FeatureExtractor,
)

from m4ser import M4SERConfig, M4SERModel, M4SERProcessor
from m4ser.data.labels import aligned_labels
from m4ser.data.tokenizer import train_tokenizer
from m4ser.training.arguments import Arguments, DataArguments, ModelArguments, TrainingArguments
from m4ser.training.setup import build_model
from tests.tiny import plain_inputs, randomize, recordings, tiny_config, training_inputs

SPEECH = {
    "hubert": {},
    "hubert, layer norm": {"feat_extract_norm": "layer", "do_stable_layer_norm": True},
    "hubert, batch norm before positions": {"conv_pos_batch_norm": True},
    "wav2vec2": {},
    "wav2vec2, layer norm": {"feat_extract_norm": "layer", "do_stable_layer_norm": True},
    "wavlm": {},
    "wavlm, layer norm": {"feat_extract_norm": "layer", "do_stable_layer_norm": True},
    "data2vec-audio": {"num_conv_pos_embeddings": 3, "conv_pos_kernel_size": 5},
    "unispeech": {},
    "unispeech-sat": {},
}
ROBERTA_KIN = ("roberta", "xlm-roberta", "camembert", "mpnet")
TEXT = {
    "bert": {},
    "roberta": {},
    "xlm-roberta": {},
    "camembert": {},
    "mpnet": {},
    "deberta": {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
    "deberta-v2": {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "share_att_key": True},
    "deberta-v2, convolution": {"conv_kernel_size": 3},
    "distilbert": {},
    "modernbert": {"local_attention": 4, "global_attn_every_n_layers": 2},
    "albert": {"embedding_size": 12},
    "electra": {"embedding_size": 12},
    "rembert": {"input_embedding_size": 12},
}
PLACES = 40
TEXTS = ["the night was great, and so was the meal", "a knight", "", "uh they said so"]
SAMPLES = [3000, 400, 720, 1]


def byte_level_tokenizer():
    """RoBERTa's kind: byte-level BPE, <s> text </s>, another order of the special tokens."""
    special = {"cls_token": "<s>", "pad_token": "<pad>", "sep_token": "</s>", "unk_token": "<unk>"}
    special |= {"mask_token": "<mask>", "bos_token": "<s>", "eos_token": "</s>"}
    backend = Tokenizer(models.BPE(unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=90,
        show_progress=False,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=sorted({character for text in TEXTS for character in text.replace(" ", "\u0120")}),
    )
    backend.train_from_iterator(TEXTS, trainer)
    backend.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return PreTrainedTokenizerFast(tokenizer_object=backend, **special)


def shape_of(encoder):
    fields = encoder.to_dict()
    return {name: fields[name] for name in fields if name.startswith(("conv_", "num_", "hidden_s", "intermediate"))}


def save_speech_encoder(name, folder, dtype=torch.float32):
    model_type, _, _ = name.partition(",")
    shape = {**shape_of(tiny_config().speech_config), "num_conv_pos_embedding_groups": 2, **SPEECH[name]}
    shape["num_feat_extract_layers"] = len(shape["conv_dim"])
    # Off in M4SER, whatever a checkpoint says: they are for training the encoder alone.
    shape |= {"layerdrop": 0.1, "mask_time_prob": 0.05, "mask_feature_prob": 0.1}
    encoder = AutoModel.from_config(AutoConfig.for_model(model_type, **shape))
    randomize(encoder).to(dtype).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(folder)


def save_text_encoder(name, folder, dtype=torch.float32):
    model_type, _, _ = name.partition(",")
    byte_level = model_type in ROBERTA_KIN or model_type == "modernbert"
    tokenizer = byte_level_tokenizer() if byte_level else train_tokenizer(TEXTS, 60, max_length=int(1e30))
    names = ("pad", "cls", "sep") if model_type != "modernbert" else ("pad", "cls", "sep", "bos", "eos")
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in names}
    fields = {**shape_of(tiny_config().text_config), **ids, "vocab_size": len(tokenizer), **TEXT[name]}
    config = AutoConfig.for_model(model_type, **fields, max_position_embeddings=PLACES)
    randomize(AutoModel.from_config(config)).to(dtype).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def from_folders(speech, text):
    sizes = {"hidden_size": 24, "num_attention_heads": 4, "max_correction_length": 5}
    model = M4SERModel.from_encoders(speech, text, **sizes)
    processor = M4SERProcessor(AutoFeatureExtractor.from_pretrained(speech), AutoTokenizer.from_pretrained(text))
    return model, processor


@pytest.fixture(
    scope="module",
    params=[*((name, "bert") for name in SPEECH), *(("hubert", name) for name in TEXT if name != "bert")],
    ids="+".join,
)
def folders(request, tmp_path_factory):
    speech, text = tmp_path_factory.mktemp("speech"), tmp_path_factory.mktemp("text")
    save_speech_encoder(request.param[0], speech)
    save_text_encoder(request.param[1], text)
    return speech, text


@pytest.fixture(scope="module")
def network(folders):
    model, processor = from_folders(*folders)
    return randomize(model).eval(), processor


def batch_of(processor, indices=(0, 1, 2, 3)):
    """The four inputs of some recordings, and a CHANGE at the first and the last token of each."""
    waves = [row["wave"] for row in recordings(SAMPLES, [2] * len(SAMPLES))]
    batch = processor([waves[index] for index in indices], [TEXTS[index] for index in indices], sampling_rate=16000)
    lengths = batch["text_attention_mask"].sum(-1).tolist()
    places = [(row, token) for row, length in enumerate(lengths) for token in (0, length - 2)]
    ends = [[5, processor.tokenizer.sep_token_id]] * len(places)
    return {**batch, "correction_positions": torch.tensor(places), "correction_ids": torch.tensor(ends)}


def test_from_encoders_takes_weights_and_special_tokens(folders):
    model, processor = from_folders(*folders)
    for part, folder in zip((model.speech_encoder, model.text_encoder), folders, strict=True):
        saved = AutoModel.from_pretrained(folder).state_dict()
        assert all(torch.equal(saved[name], value) for name, value in part.encoder.state_dict().items())
    assert model.error_corrector.bos_token_id == processor.tokenizer.cls_token_id
    assert model.error_corrector.eos_token_id == processor.tokenizer.sep_token_id


@torch.no_grad()
def test_padding_does_not_change_outputs(network):
    model, processor = network
    model = copy.deepcopy(model).double()

    def run(indices):
        batch = training_inputs(batch_of(processor, indices))
        return model(**{**batch, "input_values": batch["input_values"].double()})

    together = run([0, 1, 2, 3])
    for row in range(len(TEXTS)):
        alone = run([row])
        frames, tokens = alone.frame_mask.shape[1], alone.aed_logits.shape[1]
        pairs = [
            (together.logits[row], alone.logits[0]),
            (together.invariant[row, :frames], alone.invariant[0]),
            (together.aed_logits[row, :tokens], alone.aed_logits[0]),
            (together.aec_logits[2 * row : 2 * row + 2], alone.aec_logits),
        ]
        for in_batch, by_itself in pairs:
            torch.testing.assert_close(in_batch, by_itself, rtol=0, atol=1e-8)


def test_every_parameter_gets_a_gradient(network):
    model, processor = network
    model = copy.deepcopy(model).train()
    output = model(**training_inputs(batch_of(processor)))
    sum(states.square().sum() for states in (output.logits, output.aed_logits, output.aec_logits)).backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    left_out = {name for name, gradient in gradients.items() if gradient is None}
    # UniSpeech-SAT keeps the embedding of frames that SpecAugment masks even where none is masked.
    assert left_out <= {"speech_encoder.encoder.masked_spec_embed"}
    assert all(gradient.isfinite().all() for name, gradient in gradients.items() if name not in left_out)


@torch.no_grad()
def test_save_and_load_are_bit_exact(network, tmp_path):
    model, processor = network
    model.save_pretrained(tmp_path)
    batch = training_inputs(batch_of(processor))
    loaded = AutoModel.from_pretrained(tmp_path)
    for name, value in model(**batch).items():
        assert torch.equal(loaded(**batch)[name], value), name


@torch.no_grad()
def test_correct_gives_tokens_of_its_tokenizer(network):
    model, processor = network
    inputs = processor(text=TEXTS)
    bias = model.error_detector.bias.clone()
    kept = [processor.tokenizer.decode(ids, skip_special_tokens=True) for ids in inputs["input_ids"]]
    for tag, expected in enumerate((kept, [""] * len(TEXTS))):  # KEEP, DELETE
        model.error_detector.bias.fill_(-1e3)[tag] = 1e3
        corrections = model.correct(**inputs)
        assert [processor.tokenizer.decode(correction.token_ids) for correction in corrections] == expected
    model.error_detector.bias.fill_(-1e3)[2] = 1e3
    for correction, mask in zip(model.correct(**inputs), inputs["text_attention_mask"], strict=True):
        assert len(correction.tags) == mask.sum()
        assert all(0 <= token_id < len(processor.tokenizer) for token_id in correction.token_ids)
    model.error_detector.bias.copy_(bias)


def test_labels_fit_the_input_tokens(network):
    _, processor = network
    for text in TEXTS:
        labels = aligned_labels(processor.tokenizer, text, "they said")["aed_labels"]
        assert len(labels) == processor(text=text)["input_ids"].shape[1]


@torch.no_grad()
def test_longest_hypothesis(network):
    model, processor = network
    offset = 2 if model.config.text_config.model_type in ROBERTA_KIN else 0  # positions start after that of <pad>
    longest = PLACES - offset
    assert model.text_encoder.max_length == longest
    inputs = batch_of(processor, [0])
    inputs["input_ids"] = torch.full((1, longest), 7)
    inputs["text_attention_mask"] = torch.ones_like(inputs["input_ids"])
    assert model(**plain_inputs(inputs)).logits.isfinite().all()
    inputs = {name: inputs[name].repeat(1, 2) if "text" in name or "ids" in name else inputs[name] for name in inputs}
    with pytest.raises(ValueError, match=f"tokens is longer than the {longest} that .*: set the tokenizer's"):
        model(**plain_inputs(inputs))


def test_training_truncates_to_the_encoders_length(tmp_path):
    save_speech_encoder("hubert", tmp_path / "speech")
    save_text_encoder("roberta", tmp_path / "text")
    named = ModelArguments(speech_encoder=str(tmp_path / "speech"), text_encoder=str(tmp_path / "text"))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "text")
    build_model(Arguments(named, DataArguments("any"), training=TrainingArguments("any")), tokenizer, ["calm"])
    assert tokenizer.model_max_length == PLACES - 2


@pytest.mark.filterwarnings("ignore:.gradient_checkpointing_enable. is deprecated")
@pytest.mark.parametrize("name", ["hubert", "data2vec-audio", "hubert, batch norm before positions"])
def test_gradient_checkpointing_changes_no_gradient(name, tmp_path):
    save_speech_encoder(name, tmp_path / "speech")
    save_text_encoder("bert", tmp_path / "text")
    model, processor = from_folders(tmp_path / "speech", tmp_path / "text")
    batch = training_inputs(batch_of(processor))
    model.train()

    def gradients():
        torch.manual_seed(0)
        model.zero_grad()
        model(**batch).logits.square().sum().backward()
        return {name: value.grad for name, value in model.named_parameters() if value.grad is not None}

    expected = gradients()
    model.gradient_checkpointing_enable()
    found = gradients()
    assert found.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-6)


def test_half_precision_encoders_load_in_full(tmp_path):
    save_speech_encoder("hubert", tmp_path / "speech", torch.bfloat16)
    save_text_encoder("bert", tmp_path / "text", torch.float16)
    model, _ = from_folders(tmp_path / "speech", tmp_path / "text")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ({"model_type": "bert"}, (101, 102)),
        ({"model_type": "roberta"}, (0, 2)),
        ({"model_type": "modernbert"}, (50281, 50282)),
        ({"model_type": "albert"}, (2, 3)),
    ],
    ids=str,
)
def test_replacements_end_with_the_text_encoders_token(text, ends):
    config = M4SERConfig(text_config=text)
    assert (config.correction_bos_token_id, config.correction_eos_token_id) == ends
    config = M4SERConfig(text_config=text, correction_bos_token_id=0, correction_eos_token_id=7)
    assert (config.correction_bos_token_id, config.correction_eos_token_id) == (0, 7)


SMALL = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
CONVOLUTIONS = {"conv_dim": [8], "conv_kernel": [10], "conv_stride": [5], "num_feat_extract_layers": 1}
REFUSED_SPEECH = {
    "wav2vec2-bert": (SMALL, "it takes input_features, not samples"),
    "vit": (SMALL, "it takes pixel_values, not samples"),
    "bert": (SMALL, "it takes input_ids, not samples"),
    "audio-spectrogram-transformer": (SMALL, "its parts are embeddings, "),
    "sew": ({**SMALL, **CONVOLUTIONS, "squeeze_factor": 1}, "its parts are encoder, feature_dropout, feature_extrac"),
    "wav2vec2": ({**SMALL, **CONVOLUTIONS, "add_adapter": True}, "its parts are adapter, encoder, feature_extractor"),
    "wav2vec2-conformer": ({**SMALL, **CONVOLUTIONS}, "the convolutions in its layers run over the padding"),
}


@pytest.mark.parametrize("model_type", REFUSED_SPEECH)
def test_unsupported_speech_encoders_are_refused(model_type):
    fields, reason = REFUSED_SPEECH[model_type]
    config = M4SERConfig.preset("tiny", speech_config={"model_type": model_type, **fields})
    with pytest.raises(ValueError) as error:
        M4SERModel(config)
    assert str(error.value).startswith(f"{model_type} cannot be the speech encoder: {reason}")
    assert str(error.value).endswith(
        "; choose one of the wav2vec 2.0 family, such as HuBERT, wav2vec 2.0, WavLM, Data2Vec-audio, UniSpeech or "
        "UniSpeech-SAT, or Whisper."
    )


ONE_WAY = "it is no masked language model, which encodes each token in the context of all others"
REFUSED_TEXT = {
    "t5": ({}, "it has a decoder"),
    "bart": ({}, "it has a decoder"),
    "whisper": ({}, "it has a decoder"),
    "bert": ({"is_decoder": True}, "it has a decoder"),
    "gpt2": ({}, ONE_WAY),
    "llama": ({}, ONE_WAY),
    "vit": ({}, ONE_WAY),
    "hubert": ({}, ONE_WAY),
    "fnet": ({}, "it takes no input_ids with an attention_mask"),
}


@pytest.mark.parametrize("model_type", REFUSED_TEXT)
def test_unsupported_text_encoders_are_refused(model_type):
    fields, reason = REFUSED_TEXT[model_type]
    with pytest.raises(ValueError) as error:
        M4SERModel(M4SERConfig.preset("tiny", text_config={"model_type": model_type, **fields}))
    assert str(error.value) == (
        f"{model_type} cannot be the text encoder: {reason}; choose BERT or one like it, such as RoBERTa, DeBERTa, "
        "DistilBERT, ModernBERT, ALBERT or ELECTRA."
    )


def test_one_modality_needs_one_encoder(bert_folder):
    model = M4SERModel.from_encoders(
        text_id=bert_folder, modalities=["text"], auxiliary_tasks=[], hidden_size=384, num_attention_heads=12
    ).eval()
    assert model.speech_encoder is None
    inputs = {"input_ids": torch.tensor([[101, 2307, 102]]), "attention_mask": torch.ones(1, 3, dtype=torch.long)}
    expected = AutoModel.from_pretrained(bert_folder)(**inputs).last_hidden_state
    output = model(input_ids=inputs["input_ids"])
    torch.testing.assert_close(output.text_hidden_states, expected)
    torch.testing.assert_close(output.embeddings, expected.mean(1))
    with pytest.raises(ValueError, match="Give a speech encoder"):
        M4SERModel.from_encoders(text_id=bert_folder)
