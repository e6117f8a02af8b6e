"""Measure the server under load: many clients at once, one request in ten a bad upload.

    python -m benchmarks.serving [--seconds 120] [--clients 64]

Starts `m4ser serve` with the tiny preset and random weights, lets each client send one recording of 0.5 to 4 s after
the other to /predict, with its text, and ends the server by SIGTERM. Figures are the responses that were neither
scores nor, to a bad upload, status 400; seconds of a request at the median and the 99th percentile; good requests a
second; and resident memory at the end minus that after a quarter of the time. Server and clients share the machine.
Prints JSON.
"""

import argparse
import io
import json
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import requests
import soundfile

from benchmarks.synthetic_inputs import random_model
from benchmarks.timing import SEED, report
from m4ser.data.schema import SAMPLING_RATE

TEXT = "and so my fellow americans ask not what your country can do for you"
BAD_SHARE = 0.1
RECORDINGS = 20
START_SECONDS = 120
BETWEEN_SAMPLES = 1.0  # seconds


def main(arguments=None):
    """Measure and print."""
    parser = argparse.ArgumentParser(description="The server under load.")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--clients", type=int, default=64)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        model, processor = random_model("tiny", [TEXT])
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
        server, address = start(folder)
        try:
            found = load(address, server.pid, options.clients, options.seconds)
        finally:
            server.send_signal(signal.SIGTERM)
        exit_code = server.wait(60)
    figures = figures_of(found, options.seconds) | {"exit code after SIGTERM": exit_code}
    at_most = {"unexpected responses": 0, "exit code after SIGTERM": 0, "megabytes more at the end": 100}
    settings = {"preset": "tiny", "clients": options.clients, "seconds": options.seconds}
    print(json.dumps(report(figures, at_most, **settings, megabytes=found["megabytes"]), indent=1))


def start(folder):
    """Start a server of the model in a folder; return its process and address once it listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "m4ser_cli", "serve", "--model", str(folder), "--port", str(port)]
    process, address = subprocess.Popen(command), f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            requests.get(f"{address}/health", timeout=5)
            return process, address
        except requests.ConnectionError:
            time.sleep(0.1)
    raise SystemExit("The server did not start.")


def load(address, pid, clients, seconds):
    """Return {"seconds": of good requests, "good" and "bad": responses by status, "megabytes": of the server}."""
    found = {"seconds": [], "good": Counter(), "bad": Counter(), "megabytes": []}
    lock, stop = threading.Lock(), time.monotonic() + seconds
    recordings = [recording(index) for index in range(RECORDINGS)]

    def send(number):
        rng, session = random.Random(number), requests.Session()
        while time.monotonic() < stop:
            is_bad = rng.random() < BAD_SHARE
            data = b"<html>Not found</html>" if is_bad else rng.choice(recordings)
            began = time.monotonic()
            try:
                status = session.post(
                    f"{address}/predict", {"text": TEXT}, files={"file": ("a.wav", data)}
                ).status_code
            except requests.RequestException as error:
                status = type(error).__name__
            with lock:
                found["bad" if is_bad else "good"][status] += 1
                if not is_bad:
                    found["seconds"].append(time.monotonic() - began)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    while time.monotonic() < stop:
        found["megabytes"].append(resident_memory_of(pid))
        time.sleep(BETWEEN_SAMPLES)
    for thread in threads:
        thread.join()
    return found


def figures_of(found, seconds):
    """Return the figures of what was found."""
    unexpected = sum(found["good"].values()) - found["good"][200] + sum(found["bad"].values()) - found["bad"][400]
    memory = found["megabytes"]
    return {
        "unexpected responses": unexpected,
        "seconds, median": statistics.median(found["seconds"]),
        "seconds, 99th percentile": float(np.percentile(found["seconds"], 99)),
        "good requests a second": found["good"][200] / seconds,
        "megabytes more at the end": memory[-1] - memory[len(memory) // 4],
    }


def recording(seed):
    """Return a WAV file of noise."""
    rng, buffer = np.random.default_rng((SEED, seed)), io.BytesIO()
    samples = 0.3 * rng.standard_normal(int(SAMPLING_RATE * rng.uniform(0.5, 4)))
    soundfile.write(buffer, samples, SAMPLING_RATE, format="WAV")
    return buffer.getvalue()


def resident_memory_of(pid):
    """Return the megabytes that another process holds."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


if __name__ == "__main__":
    main()
