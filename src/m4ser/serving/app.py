"""`m4ser serve`: emotions over HTTP, beside transcripts in the shape of OpenAI's transcription API.

    POST /v1/audio/transcriptions   multipart: file, model, response_format (json, text or verbose_json)
    POST /predict                   multipart: file, text (optional)
    GET /health, GET /metrics (Prometheus)

https://platform.openai.com/docs/api-reference/audio/createTranscription
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, File, Form, HTTPException, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.exceptions import HTTPException as StarletteHTTPException

from m4ser.inference.scorer import SCORE, Scorer
from m4ser.model.audio_m4ser import AudioError, load_audio
from m4ser.model.loading_m4ser import load_recording
from m4ser.model.pipeline_m4ser import M4SERPipeline
from m4ser.model.windowing_m4ser import aggregate
from m4ser.serving.batching import Batcher
from m4ser.serving.limits import BodyLimit

WINDOW = 5.0  # seconds, of segments where the ASR model gives none


@dataclass(frozen=True)
class Limits:
    """Megabytes of an upload, seconds of a recording to transcribe, and requests at once: more is refused."""

    megabytes: float = 25
    seconds: float = 600
    requests: int = 64


class Metrics:
    """Counts and times for Prometheus."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "m4ser_requests", "Responses by path and status", ["path", "status"], registry=self.registry
        )
        self.seconds = Histogram("m4ser_request_seconds", "From request to response", ["path"], registry=self.registry)
        self.waiting = Gauge("m4ser_waiting", "Requests without a response yet", registry=self.registry)


def create_app(classify: M4SERPipeline, scorer: Scorer, limits: Limits = Limits()) -> FastAPI:
    """Build the application.

    Args:
        classify: the pipeline that `scorer` was built of.
    """
    metrics, batcher = Metrics(), Batcher(scorer)

    @asynccontextmanager
    async def closing(_: FastAPI) -> AsyncIterator[None]:
        yield
        batcher.close()  # after the last response

    app = FastAPI(title="m4ser", description=__doc__, lifespan=closing)
    app.add_middleware(BodyLimit, max_bytes=int(limits.megabytes * 2**20))
    endpoints = Endpoints(classify, batcher, limits)
    admitted = [Depends(admission(metrics, limits))]

    @app.middleware("http")
    async def measure(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        started = time.monotonic()
        response = await call_next(request)
        path = getattr(request.scope.get("route"), "path", "unknown")
        metrics.requests.labels(path, response.status_code).inc()
        metrics.seconds.labels(path).observe(time.monotonic() - started)
        return response

    @app.get("/health")
    def health() -> dict[str, str]:
        # Of a folder its name alone: clients have no business with the machine's paths.
        name = classify.model.name_or_path
        return {"status": "ok", "model": Path(name).resolve().name if Path(name).exists() else name}

    @app.get("/metrics")
    def read_metrics() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    app.post("/predict", dependencies=admitted)(endpoints.predict)
    app.post("/v1/audio/transcriptions", dependencies=admitted, response_model=None)(endpoints.transcribe)
    app.exception_handler(StarletteHTTPException)(http_error)
    app.exception_handler(RequestValidationError)(validation_error)
    app.exception_handler(AudioError)(audio_error)
    app.exception_handler(Exception)(unknown_error)
    return app


def admission(metrics: Metrics, limits: Limits) -> Callable[[], AsyncIterator[None]]:
    """Return the dependency that refuses a request while too many have no response yet."""
    waiting = 0

    async def admit() -> AsyncIterator[None]:
        nonlocal waiting
        if waiting >= limits.requests:
            raise HTTPException(503, "Too many requests are waiting: try again.", {"Retry-After": "1"})
        waiting += 1
        metrics.waiting.set(waiting)
        try:
            yield
        finally:
            waiting -= 1
            metrics.waiting.set(waiting)

    return admit


class Endpoints:
    """The responses to recordings; each is made in a thread of its own, which waits for the network."""

    def __init__(self, classify: M4SERPipeline, batcher: Batcher, limits: Limits):
        self._classify, self._batcher, self._limits = classify, batcher, limits
        self._rate: int = classify.processor.feature_extractor.sampling_rate

    def predict(
        self, file: Annotated[UploadFile, File()], text: Annotated[str | None, Form()] = None
    ) -> dict[str, Any]:
        """Predict the emotion of one recording, of at most two minutes."""
        name = file.filename or "the recording"
        source = {"bytes": file.file.read(), "path": name, "text": text}
        takes_speech = "speech" in self._classify.model.config.modalities
        row = self._batcher.score(load_recording(source, self._rate, takes_speech, allow_addresses=False))
        if row["error"] is not None:
            raise AudioError(row["error"])
        scores = {name.removeprefix(SCORE): value for name, value in row.items() if name.startswith(SCORE)}
        named = {name: row[name] for name in ("label", "calibrated", "transcript", "warning")}
        return {**named, "scores": scores}

    def transcribe(
        self,
        file: Annotated[UploadFile, File()],
        response_format: Annotated[Literal["json", "text", "verbose_json"], Form()] = "json",
    ) -> Response:
        """Transcribe a recording in segments, each with its emotion."""
        if not self._classify.has_asr:
            raise HTTPException(
                400, "This server has no ASR model: start it with m4ser serve --asr ID, or use /predict."
            )
        samples = load_audio(
            file.file.read(), target_sampling_rate=self._rate, name=file.filename, max_seconds=self._limits.seconds
        )
        segments = self._batcher.alone(lambda: list(self._segments(samples)))
        text = " ".join(segment["text"] for segment in segments if segment["text"])
        if response_format == "text":
            return PlainTextResponse(text)
        whole = aggregate([{**one, "scores": ranked(one["scores"])} for one in segments], 0.0)
        body = {"text": text, "emotion": whole["label"], "scores": by_label(whole["scores"])}
        if response_format == "verbose_json":
            body |= {"task": "transcribe", "duration": len(samples) / self._rate, "segments": segments}
        return JSONResponse(body)

    def _segments(self, samples: Any) -> Iterator[dict[str, Any]]:
        source = {"raw": samples, "sampling_rate": self._rate}
        batch_size = self._batcher.scorer.options.batch_size
        for index, entry in enumerate(self._classify.timeline(source, WINDOW, batch_size=batch_size)):
            scores = by_label(entry["scores"])
            label = max(scores, key=scores.__getitem__)
            times = {"id": index, "start": entry["start"], "end": entry["end"]}
            yield {**times, "text": entry["text"], "emotion": label, "scores": scores}


def by_label(scores: list[dict[str, Any]]) -> dict[str, float]:
    """Return the pipeline's scores as {label: score}."""
    return {item["label"]: item["score"] for item in scores}


def ranked(scores: dict[str, float]) -> list[dict[str, Any]]:
    """Return {label: score} as the pipeline's scores."""
    return [{"label": label, "score": score} for label, score in scores.items()]


# Errors in OpenAI's shape, which its clients turn into exceptions with the message.


def error_response(status: int, message: str, headers: Any = None) -> JSONResponse:
    """Return an error as OpenAI's API does."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return JSONResponse({"error": {"message": message, "type": kind, "param": None, "code": None}}, status, headers)


async def http_error(_: Request, error: Any) -> JSONResponse:
    return error_response(error.status_code, str(error.detail), error.headers)


async def validation_error(_: Request, error: Any) -> JSONResponse:
    problems = "; ".join(f"{item['loc'][-1]}: {item['msg']}" for item in error.errors())
    return error_response(422, problems)


async def unknown_error(_: Request, error: Exception) -> JSONResponse:
    return error_response(500, f"{type(error).__name__}: see the server's log.")


async def audio_error(_: Request, error: Exception) -> JSONResponse:
    return error_response(400, str(error))
