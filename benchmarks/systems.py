"""One system of the throughput benchmark, in its own process and, where needed, its own environment.

    PYTHON benchmarks/systems.py NAME WORK_DIR

Reads lines of JSON from stdin, {"paths", "texts", "batch_size"}, and writes {"seconds", "labels"} for each: the time
from the files on disk to the labels. All networks have random weights and the size of HuBERT base. The other systems
are given decoded samples, so that none depends on its own audio reader; decoding is in every system's time. Only m4ser
is given the texts. Imports are inside the functions, because no single environment has them all.
"""

import ctypes
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import soundfile
import torch

RATE = 16_000
CLASSES = 4
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def main():
    """Process requests until stdin is closed."""
    name, folder = sys.argv[1:]
    results = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # keeps what libraries print out of the results
    torch.manual_seed(0)
    classify = SYSTEMS[name](Path(folder))
    for line in sys.stdin:
        request = json.loads(line)
        start = time.perf_counter()
        with torch.inference_mode():
            labels = classify(**request)
        results.write(json.dumps({"seconds": time.perf_counter() - start, "labels": labels}) + "\n")
        ctypes.CDLL(None).malloc_trim(0)  # memory kept for the next request is not available to the other systems


def m4ser(folder, dtype="float32", compiled=False):
    """m4ser's pipeline; `folder`/model is a saved model."""
    from m4ser import M4SERPipeline

    classify = M4SERPipeline.from_pretrained(folder / "model", dtype=getattr(torch, dtype), device=DEVICE)
    # Memory-mapped weights could be evicted while the other systems run, and read from disk again.
    weights = {name: value.clone() for name, value in classify.model.state_dict().items()}
    classify.model.load_state_dict(weights, assign=True)
    if compiled:
        classify.model.compile(dynamic=True)
    return label_with(classify)


def m4ser_onnx(folder, int8=False):
    """m4ser's pipeline with an exported graph instead of the network."""
    from m4ser.onnx_pipeline import OnnxPipeline

    graph = folder / ("int8.onnx" if int8 else "exact.onnx")
    # In a process that ends: the export takes gigabytes that inference does not.
    export = [Path(sys.executable).with_name("m4ser"), "export", folder / "model", "--output", graph]
    subprocess.run([*export, *(["--int8"] if int8 else [])], check=True)
    return label_with(OnnxPipeline.from_pretrained(folder / "model", graph))


def label_with(classify):
    def predict(paths, texts, batch_size):
        inputs = [{"path": path, "text": text} for path, text in zip(paths, texts, strict=True)]
        return [scores[0]["label"] for scores in classify(inputs, batch_size=batch_size)]

    return predict


def transformers_pipeline(folder):
    """transformers' own pipeline with HuBERT base."""
    from transformers import HubertConfig, HubertForSequenceClassification, Wav2Vec2FeatureExtractor, pipeline

    model = HubertForSequenceClassification(HubertConfig(num_labels=CLASSES))
    classify = pipeline(
        "audio-classification", model=model, feature_extractor=Wav2Vec2FeatureExtractor(), device=DEVICE
    )

    def predict(paths, texts, batch_size):
        inputs = [{"raw": read(path), "sampling_rate": RATE} for path in paths]
        return [scores[0]["label"] for scores in classify(inputs, batch_size=batch_size)]

    return predict


def speechbrain(folder):
    """The architecture of speechbrain/emotion-recognition-wav2vec2-IEMOCAP, called as its interface calls it."""
    from speechbrain.inference.interfaces import Pretrained
    from speechbrain.integrations.huggingface.wav2vec2 import Wav2Vec2
    from speechbrain.nnet.linear import Linear
    from speechbrain.nnet.pooling import StatisticsPooling
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    source = folder / "wav2vec2"
    Wav2Vec2Model(Wav2Vec2Config()).save_pretrained(source)
    Wav2Vec2FeatureExtractor().save_pretrained(source)
    encoder = Wav2Vec2(source=str(source), save_path=str(folder / "speechbrain"), output_norm=True, freeze=True)
    parts = {
        "wav2vec2": encoder,
        "avg_pool": StatisticsPooling(return_std=False),
        "output_mlp": Linear(n_neurons=CLASSES, input_size=768, bias=False),
    }
    classifier = Pretrained(modules=parts, hparams={}, run_opts={"device": DEVICE})

    def predict(paths, texts, batch_size):
        labels = []
        for start in range(0, len(paths), batch_size):
            waves = [torch.from_numpy(read(path)) for path in paths[start : start + batch_size]]
            lengths = torch.tensor([len(wave) for wave in waves])
            batch = torch.nn.utils.rnn.pad_sequence(waves, batch_first=True).to(DEVICE)
            states = classifier.mods.wav2vec2(batch)
            pooled = classifier.mods.avg_pool(states, (lengths / lengths.max()).to(DEVICE)).flatten(1)
            labels += classifier.mods.output_mlp(pooled).softmax(-1).argmax(-1).tolist()
        return labels

    return predict


def funasr(folder):
    """emotion2vec base through FunASR's AutoModel, from a folder with its configuration and random weights."""
    from funasr import AutoModel
    from funasr.models.emotion2vec.model import Emotion2vec
    from omegaconf import OmegaConf

    source = folder / "emotion2vec"
    source.mkdir(exist_ok=True)
    labels = [f"emotion {number}" for number in range(CLASSES)]
    settings = {
        "model": "Emotion2vec",
        "model_conf": EMOTION2VEC,
        "tokenizer": "CharTokenizer",
        "tokenizer_conf": {"unk_symbol": labels[0]},
    }
    (source / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(settings)))
    (source / "tokens.txt").write_text("\n".join(labels))
    torch.save(Emotion2vec(model_conf=EMOTION2VEC, vocab_size=CLASSES).state_dict(), source / "model.pt")
    model = AutoModel(model=str(source), device=DEVICE, disable_update=True, disable_pbar=True, log_level="ERROR")

    def predict(paths, texts, batch_size):
        inputs = [read(path) for path in paths]
        outputs = model.generate(inputs, batch_size=batch_size, granularity="utterance", extract_embedding=False)
        return [max(zip(output["scores"], output["labels"], strict=True))[1] for output in outputs]

    return predict


def sensevoice(folder):
    """SenseVoice-Small through FunASR's AutoModel, with random weights: text and emotion in one pass."""
    from funasr import AutoModel

    tokens = ["<blank>", "<s>", "</s>", "<unk>", *map(str, range(4, SENSEVOICE_TOKENS))]
    model = AutoModel(
        **SENSEVOICE,
        tokenizer_conf={"token_list": tokens, "unk_symbol": "<unk>"},
        device=DEVICE,
        ncpu=torch.get_num_threads(),
        disable_update=True,
        disable_pbar=True,
        log_level="ERROR",
    )

    def predict(paths, texts, batch_size):
        outputs = model.generate([read(path) for path in paths], batch_size=batch_size, language="en", use_itn=True)
        return [output["text"] for output in outputs]

    return predict


# Of iic/SenseVoiceSmall, but for its tokenizer, which would have to be downloaded.
SENSEVOICE_TOKENS = 25055
SENSEVOICE = {
    "model": "SenseVoiceSmall",
    "model_conf": {"length_normalized_loss": True, "sos": 1, "eos": 2, "ignore_id": -1},
    "encoder": "SenseVoiceEncoderSmall",
    "encoder_conf": {
        "output_size": 512,
        "attention_heads": 4,
        "linear_units": 2048,
        "num_blocks": 50,
        "tp_blocks": 20,
        "dropout_rate": 0.1,
        "positional_dropout_rate": 0.1,
        "attention_dropout_rate": 0.1,
        "input_layer": "pe",
        "pos_enc_class": "SinusoidalPositionEncoder",
        "normalize_before": True,
        "kernel_size": 11,
        "sanm_shfit": 0,  # as FunASR spells it
        "selfattention_layer_type": "sanm",
    },
    "frontend": "WavFrontend",
    "frontend_conf": {
        "fs": 16000,
        "window": "hamming",
        "n_mels": 80,
        "frame_length": 25,
        "frame_shift": 10,
        "lfr_m": 7,
        "lfr_n": 6,
    },
    "tokenizer": "CharTokenizer",
}

# Of iic/emotion2vec_base; its encoder is data2vec 2.0's, 4 layers before and 8 after.
EMOTION2VEC = {
    "depth": 8,
    "embed_dim": 768,
    "num_heads": 12,
    "mlp_ratio": 4.0,
    "norm_eps": 1e-5,
    "norm_affine": True,
    "layer_norm_first": False,
    "end_of_block_targets": False,
    "average_top_k_layers": 8,
    "encoder_dropout": 0.1,
    "post_mlp_drop": 0.1,
    "attention_dropout": 0.1,
    "activation_dropout": 0.0,
    "dropout_input": 0.0,
    "start_drop_path_rate": 0.0,
    "end_drop_path_rate": 0.0,
    "normalize": True,
    "modalities": {
        "audio": {
            "type": "AUDIO",
            "extractor_mode": "layer_norm",
            "feature_encoder_spec": "[(512, 10, 5)] + [(512, 3, 2)] * 4 + [(512,2,2)] + [(512,2,2)]",
            "conv_pos_width": 95,
            "conv_pos_groups": 16,
            "conv_pos_depth": 5,
            "conv_pos_pre_ln": False,
            "prenet_depth": 4,
            "prenet_layerdrop": 0.0,
            "prenet_dropout": 0.1,
            "start_drop_path_rate": 0.0,
            "end_drop_path_rate": 0.0,
            "model_depth": 8,
            "num_extra_tokens": 10,
            "init_extra_token_zero": True,
            "use_alibi_encoder": True,
            "alibi_scale": 1.0,
            "num_alibi_heads": 12,
            "learned_alibi": False,
            "learned_alibi_scale": True,
            "learned_alibi_scale_per_head": True,
            "learned_alibi_scale_per_layer": False,
            "local_grad_mult": 1.0,
            "ema_local_encoder": False,
            "decoder": None,
        }
    },
}


def read(path):
    return soundfile.read(path, dtype="float32")[0]


SYSTEMS = {
    "m4ser fp32": m4ser,
    "m4ser bf16": lambda folder: m4ser(folder, "bfloat16"),
    "m4ser compiled": lambda folder: m4ser(folder, compiled=True),
    "m4ser ONNX": m4ser_onnx,
    "m4ser int8": lambda folder: m4ser_onnx(folder, int8=True),
    "transformers": transformers_pipeline,
    "SpeechBrain": speechbrain,
    "FunASR": funasr,
    "SenseVoice-Small": sensevoice,
}

if __name__ == "__main__":
    main()
