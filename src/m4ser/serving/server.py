"""The process that serves: the model, the application, and an end that loses no accepted request."""

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
    """Serve until SIGTERM or Ctrl-C; what was accepted before is answered.

    Args:
        model, asr, device: as of [`load_pipeline`]. limits: as of [`Limits`].

    Raises:
        ValueError: no such model.
    """
    classify = load_pipeline(model, asr=asr, device=device)
    scorer = Scorer(classify, ScoringOptions(batch_size=batch_size))
    uvicorn.run(create_app(classify, scorer, Limits(*limits)), host=host, port=port, log_level="warning")
