"""The named sizes of a network: fields of its config."""

from typing import Any

# The tiny preset reads 25 ms windows every 10 ms instead of HuBERT's seven small strides: as fast as a spectrogram
# on a CPU, and short enough a stack to be trained from scratch on an hour of speech. Its weights start wider than
# BERT's 0.02, which suits a width of 768: at 0.02 a width of 96 stands still for its first epochs.
_TINY_SPEECH = {
    "model_type": "hubert",
    "hidden_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 192,
    "conv_dim": [96, 96, 96],
    "conv_kernel": [400, 3, 3],
    "conv_stride": [160, 2, 2],
    "num_feat_extract_layers": 3,
    "feat_extract_norm": "layer",
    "conv_bias": True,
    "do_stable_layer_norm": True,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "initializer_range": 0.1,
}
_TINY_TEXT = {
    "model_type": "bert",
    "vocab_size": 512,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "max_position_embeddings": 128,
    "initializer_range": 0.1,
}
_LARGE_SPEECH = {
    "model_type": "hubert",
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "feat_extract_norm": "layer",
    "conv_bias": True,
    "do_stable_layer_norm": True,
}
PRESETS: dict[str, dict[str, Any]] = {
    "base": {"speech_config": {"model_type": "hubert"}, "text_config": {"model_type": "bert"}},
    "large": {"speech_config": _LARGE_SPEECH, "text_config": {"model_type": "bert"}},
    "tiny": {
        "speech_config": _TINY_SPEECH,
        "text_config": _TINY_TEXT,
        "hidden_size": 96,
        "num_attention_heads": 4,
        "intermediate_size": 192,
        "filterbank_init": True,
        "initializer_range": 0.1,
    },
}
