"""The process that serves: the model, the application, and a shutdown that loses no accepted request."""

import signal

import numpy as np
import python_multipart  # noqa: F401  # without it FastAPI fails later, and with more than a sentence
import uvicorn

from m4ser.inference.predicting import load_pipeline
from m4ser.inference.scorer import Scorer, ScoringOptions
from m4ser.serving.app import Limits, create_app


def run_server(
    model: str,
    asr: str | None,
    device: str | None,
    batch_size: int,
    limits: tuple[float, float, int],
    host: str,
    port: int,
) -> None:
    """Serve until SIGTERM or Ctrl-C; what was accepted before gets its response.

    Args:
        model, asr, device: as of [`load_pipeline`]. limits: as of [`Limits`].

    Raises:
        ValueError: no such model, or no such ASR model.
    """
    classify = load_pipeline(model, asr=asr, device=device, allow_addresses=False)
    if classify.has_asr:  # loaded now, while whoever starts the server is there
        classify.transcribe([np.zeros(classify.processor.feature_extractor.sampling_rate, np.float32)])
    scorer = Scorer(classify, ScoringOptions(batch_size=batch_size))
    # uvicorn raises the signal again when all have their responses, and the end of a server is no failure.
    signal.signal(signal.SIGTERM, lambda *_: None)
    uvicorn.run(create_app(classify, scorer, Limits(*limits)), host=host, port=port, log_level="warning")
