"""A model on Hugging Face Inference Endpoints: copy this file and requirements.txt beside the model's files.

The body is an audio file (Content-Type: audio/wav, audio/flac, audio/mpeg, audio/ogg), or JSON with "inputs", the file
in base64, and optionally "parameters": the pipeline's, such as {"text": "the ASR hypothesis", "top_k": 2}.

https://huggingface.co/docs/inference-endpoints/guides/custom_handler
"""

import base64
import binascii
from typing import Any

from transformers import pipeline


class EndpointHandler:
    """Loads the model of a folder once, and predicts from one recording a request."""

    def __init__(self, path: str = "") -> None:
        self.classify = pipeline("audio-classification", model=path, trust_remote_code=True)

    def __call__(self, data: dict[str, Any]) -> Any:
        """Return [{"label", "score"}], best first, or {"error": sentence}."""
        inputs, parameters = data.get("inputs"), data.get("parameters") or {}
        try:
            audio = base64.b64decode(inputs, validate=True) if isinstance(inputs, str) else inputs
            if not isinstance(audio, bytes):
                raise ValueError("inputs is an audio file, as the body, or in base64 within JSON.")
            return self.classify({"bytes": audio}, **parameters)
        except (ValueError, TypeError, binascii.Error) as error:
            return {"error": str(error)}
