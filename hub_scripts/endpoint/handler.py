"""A model on Hugging Face Inference Endpoints: copy this file and requirements.txt beside the model's files.

The body is an audio file (Content-Type: audio/wav, audio/flac, audio/mpeg, audio/ogg), or JSON with "inputs", the file
in base64, and optionally "parameters", such as {"text": "the ASR hypothesis", "top_k": 2}; `PARAMETERS` lists them.

https://huggingface.co/docs/inference-endpoints/guides/custom_handler
"""

import base64
import binascii
from typing import Any

import numpy as np
from transformers import pipeline

# The pipeline's other options are the operator's: processes, memory and time.
PARAMETERS = {
    "text": str,
    "top_k": int,
    "abstain_below": (int, float),
    "return_transcript": bool,
    "return_correction": bool,
    "return_embeddings": bool,
}


class EndpointHandler:
    """Loads the model of a folder once, and predicts from one recording a request."""

    def __init__(self, path: str = "") -> None:
        self.classify = pipeline("audio-classification", model=path, trust_remote_code=True, allow_addresses=False)
        if self.classify.has_asr:  # loaded now: what is wrong with it is for the log of the operator
            self.classify.transcribe([np.zeros(self.classify.processor.feature_extractor.sampling_rate, np.float32)])

    def __call__(self, data: dict[str, Any]) -> Any:
        """Return [{"label", "score"}], best first, or {"error": sentence}."""
        inputs, parameters = data.get("inputs"), data.get("parameters") or {}
        try:
            audio = base64.b64decode(inputs, validate=True) if isinstance(inputs, str) else inputs
            if not isinstance(audio, bytes):
                raise ValueError("inputs is an audio file, as the body, or in base64 within JSON.")
            check_parameters(parameters)
            return self.classify({"bytes": audio}, **parameters)
        except binascii.Error:
            return {"error": "inputs is not base64: encode the audio file, or send it as the body."}
        except (ValueError, TypeError) as error:
            return {"error": str(error)}


def check_parameters(parameters: Any) -> None:
    """Refuse what is not in `PARAMETERS`, or of another type."""
    if not isinstance(parameters, dict):
        raise TypeError('parameters is an object, such as {"top_k": 2}.')
    for name, value in parameters.items():
        if name not in PARAMETERS:
            raise ValueError(f"There is no parameter {name!r}; there are {', '.join(PARAMETERS)}.")
        if not isinstance(value, PARAMETERS[name]):
            raise TypeError(f"The parameter {name} is not a {type(value).__name__}.")
