"""The server as its users meet it: OpenAI's own client, many at once, bad uploads, and an end without a loss."""

import io
import os
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.request import urlopen

import numpy as np
import openai
import pytest
import soundfile

from m4ser import M4SERPipeline
from m4ser.model.configuration_m4ser import AUXILIARY_TASKS
from tests.saved_models import save_tiny_model
from tests.tiny_whisper import save_tiny_whisper
from tests.warm_python import warm

ROUTE = "/v1/audio/transcriptions"
MAX_REQUESTS, CLIENTS = 16, 64
FORM = {"Content-Type": "multipart/form-data"}


def recording(seconds, seed=0):
    buffer = io.BytesIO()
    samples = 0.3 * np.random.default_rng(seed).standard_normal(int(16000 * seconds))
    soundfile.write(buffer, samples, 16000, format="WAV")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def whisper(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whisper")
    save_tiny_whisper(folder)
    return folder


@pytest.fixture(scope="module")
def start(tiny_folder):
    """start(*options) -> (process, address), once it listens."""
    processes = []

    def serve(*options):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [warm("python"), "-m", "m4ser_cli", "serve", "--model", str(tiny_folder), "--port", str(port)]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
        process = subprocess.Popen([*command, *map(str, options)], env=environment, stderr=subprocess.PIPE, text=True)
        processes.append(process)
        address = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            try:
                urlopen(f"{address}/health", timeout=5)
                return process, address
            except OSError:
                time.sleep(0.1)
        raise AssertionError(process.stderr.read())

    yield serve
    for process in processes:
        process.kill()


@pytest.fixture(scope="module")
def client(start, whisper):
    _, address = start("--asr", whisper, "--max_megabytes", 1, "--max_seconds", 10, "--max_requests", MAX_REQUESTS)
    return openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)


def transcribe(client, data, name="a.wav", **options):
    return client.audio.transcriptions.create(file=(name, data), model="m4ser", **options)


def predict(client, data, **form):
    address = str(client.base_url).removesuffix("/v1/")
    return client.post(
        f"{address}/predict",
        cast_to=object,
        body=form,
        files={"file": ("a.wav", data)},
        options={"headers": FORM},
    )


def test_openai_client_gets_text_and_emotion(client):
    answer = transcribe(client, recording(1))
    scores = answer.model_extra["scores"]
    assert isinstance(answer.text, str) and sum(scores.values()) == pytest.approx(1, abs=1e-4)
    assert answer.model_extra["emotion"] == max(scores, key=scores.get)
    assert isinstance(transcribe(client, recording(1), response_format="text"), str)


def test_network_that_transcribes_needs_no_asr_model(start, tmp_path):
    save_tiny_model(tmp_path, auxiliary_tasks=AUXILIARY_TASKS)
    _, address = start("--model", tmp_path)
    own = openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)
    classify, data = M4SERPipeline.from_pretrained(tmp_path), recording(1)
    expected = classify({"bytes": data}, return_transcript=True)
    answer = predict(own, data)
    assert answer["transcript"] == expected["transcript"] != ""
    scores = {item["label"]: item["score"] for item in expected["scores"]}
    assert answer["scores"] == pytest.approx(scores, abs=1e-5)
    assert transcribe(own, data).text == expected["transcript"]
    assert predict(own, data, text="so heart")["transcript"] == "so heart"


def test_segments_have_times_and_emotions(client):
    answer = transcribe(client, recording(7), response_format="verbose_json")
    assert answer.duration == 7 and [(one.start, one.end) for one in answer.segments] == [(0, 5), (5, 7)]
    assert all(one.model_extra["emotion"] in one.model_extra["scores"] for one in answer.segments)


def test_predict_is_the_pipelines_prediction(client, tiny_folder):
    data = recording(1)
    answer = predict(client, data, text="so heart")
    expected = M4SERPipeline.from_pretrained(tiny_folder)({"bytes": data, "text": "so heart"})
    assert answer["scores"] == pytest.approx({item["label"]: item["score"] for item in expected}, abs=1e-5)
    assert (answer["label"], answer["transcript"]) == (expected[0]["label"], "so heart")


@pytest.mark.parametrize(
    ("data", "status", "sentence"),
    [
        (b"<html>Not found</html>", 400, "a.wav"),
        (b"", 400, "a.wav"),
        (recording(11), 400, "longer than 10 s"),
        (recording(60), 413, "The upload is larger than 1 MB."),
    ],
)
def test_bad_uploads_are_refused_in_a_sentence(client, data, status, sentence):
    with pytest.raises(openai.APIStatusError, match=sentence) as refused:
        transcribe(client, data)
    assert refused.value.status_code == status


@pytest.mark.parametrize("name", ["../../../../etc/passwd", "/etc/passwd", "http://127.0.0.1/a.wav", "a\nb.wav"])
def test_names_of_uploads_are_names_only(client, name):
    with pytest.raises(openai.BadRequestError, match="the file is empty") as refused:
        transcribe(client, b"", name)
    assert "root:" not in refused.value.message
    assert transcribe(client, recording(1), name).text is not None


def test_fields_name_no_files(client):
    """A path or an address instead of an upload is no recording."""
    address = str(client.base_url).removesuffix("/v1/")
    for value in ("/etc/passwd", "http://127.0.0.1/a.wav"):
        with pytest.raises(openai.APIStatusError, match="file: ") as refused:
            client.post(f"{address}/predict", cast_to=object, body={"file": value}, options={"headers": FORM})
        assert refused.value.status_code == 422


def test_no_response_has_paths_of_the_machine(client, tiny_folder):
    health = urlopen(str(client.base_url).removesuffix("v1/") + "health").read().decode()
    assert tiny_folder.name in health and str(tiny_folder) not in health


def test_missing_and_unknown_fields(client):
    with pytest.raises(openai.APIStatusError, match="response_format") as refused:
        transcribe(client, recording(1), response_format="srt")
    assert refused.value.status_code == 422


def test_many_at_once_are_answered_or_told_to_try_again(client):
    """Of 64 clients, each eighth with a bad upload: as many as may wait are answered, others get 503; all counted."""

    def ask(seed):
        try:
            return predict(client, recording(0.5, seed) if seed % 8 else b"no audio", text="so heart")["label"]
        except openai.APIStatusError as error:
            return error.status_code

    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(ask, range(CLIENTS)))
    good, bad = [answer for seed, answer in enumerate(answers) if seed % 8], answers[::8]
    assert all(isinstance(answer, str) or answer == 503 for answer in good) and set(bad) <= {400, 503}
    assert sum(answer != 503 for answer in answers) >= MAX_REQUESTS
    metrics = urlopen(str(client.base_url).removesuffix("v1/") + "metrics").read().decode()
    assert 'm4ser_requests_total{path="/predict",status="200"}' in metrics
    assert f'm4ser_requests_total{{path="{ROUTE}",status="413"}}' in metrics
    assert "m4ser_waiting 0.0" in metrics


def test_terminated_it_answers_what_it_accepted(start):
    process, address = start("--max_requests", 64)
    client = openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)
    with ThreadPoolExecutor(16) as pool:
        waiting = [pool.submit(predict, client, recording(5, seed), text="so heart") for seed in range(16)]
        while "m4ser_waiting 0.0" in urlopen(f"{address}/metrics").read().decode():
            time.sleep(0.005)
        time.sleep(0.2)  # the others are accepted, too
        process.send_signal(signal.SIGTERM)
        answers = [future.result() for future in waiting]
    assert all(answer["label"] for answer in answers)
    assert process.wait(30) == 0


def test_missing_asr_model_ends_the_start(tiny_folder, tmp_path):
    """In the log of whoever starts it, not in a response to each visitor."""
    save_tiny_whisper(tmp_path / "asr")
    (tmp_path / "asr" / "model.safetensors").unlink()
    command = [
        warm("python"),
        "-m",
        "m4ser_cli",
        "serve",
        "--model",
        tiny_folder,
        "--asr",
        tmp_path / "asr",
        "--port",
        0,
    ]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and "cannot be loaded" in done.stderr.splitlines()[-1]


def test_without_an_asr_model_it_says_so(start):
    _, address = start()
    client = openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)
    with pytest.raises(openai.BadRequestError, match="start it with m4ser serve --asr ID"):
        transcribe(client, recording(1))
