"""What a forked Python does for whoever types a command: all that the real one does."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.warm_python import warm

PYTHON = Path(sys.executable)
pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="only Linux tells that a process has ended so")


def run(program, *arguments, **options):
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=120, **options)


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        ("pass", 0),
        ("raise SystemExit", 0),
        ("raise SystemExit(3)", 3),
        ("raise SystemExit('why')", 1),
        ("1 / 0", 1),
        ("import os; os._exit(7)", 7),
        ("import os; os.kill(os.getpid(), 9)", -9),
    ],
)
def test_ends_as_python_does(code, exit_code):
    found, expected = run(warm("python"), "-c", code), run(PYTHON, "-c", code)
    assert found.returncode == expected.returncode == exit_code
    assert found.stderr.splitlines()[-1:] == expected.stderr.splitlines()[-1:]


def test_has_the_callers_arguments_files_folder_and_environment(tmp_path):
    code = "import os, sys; print(sys.argv, os.getcwd(), os.environ['ANSWER'], os.getppid(), sys.stdin.read())"
    options = {"cwd": tmp_path, "env": os.environ | {"ANSWER": "42"}, "input": "said"}
    found = run(warm("python"), "-c", code, "a b", **options)
    assert found.stdout == f"{['-c', 'a b']} {tmp_path} 42 {os.getpid()} said\n", found.stderr
    assert found.stdout == run(PYTHON, "-c", code, "a b", **options).stdout


@pytest.mark.parametrize("arguments", [["script.py"], ["-m", "script"], ["-u", "script.py"]])
def test_runs_scripts_and_modules(arguments, tmp_path):
    (tmp_path / "beside.py").write_text("NAME = 'beside'")
    (tmp_path / "script.py").write_text(
        "import beside, sys\nif __name__ == '__main__': print(beside.NAME, sys.argv[1:])"
    )
    found = run(warm("python"), *arguments, "--more", cwd=tmp_path)
    assert found.stdout == "beside ['--more']\n", found.stderr


def test_imports_are_done_unless_python_would_be_another_one():
    code = "import sys; print('torch' in sys.modules)"
    assert run(warm("python"), "-c", code).stdout == "True\n"
    assert run(warm("python"), "-I", "-c", code).stdout == "False\n"
    environment = os.environ | {"PYTHONBREAKPOINT": "0"}  # which breakpoint() reads, whenever it is called
    assert run(warm("python"), "-c", code, env=environment).stdout == "True\n"
    environment = os.environ | {"HF_HOME": "elsewhere"}  # which huggingface_hub reads on import
    assert run(warm("python"), "-c", code, env=environment).stdout == "False\n"


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_signals_reach_it(number, exit_code, tmp_path):
    """A signal that it may handle; where its caller is killed, so is it, with the processes that it has started."""
    code = f"""
import os, signal, subprocess, sys, time
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda number, _: sys.exit(128 + number))
child = subprocess.Popen(["sleep", "30"])
with open({str(tmp_path / "pids.part")!r}, "w") as file:
    print(os.getpid(), child.pid, file=file)
os.rename({str(tmp_path / "pids.part")!r}, {str(tmp_path / "pids")!r})
try:
    time.sleep(30)
finally:
    child.kill()
    child.wait()
"""
    process = subprocess.Popen([warm("python"), "-c", code])
    wait_for((tmp_path / "pids").exists)
    pids = (tmp_path / "pids").read_text().split()
    process.send_signal(number)
    assert process.wait(60) == exit_code
    wait_for(lambda: not any(map(is_running, pids)))


def test_launched_processes_are_warm_too():
    code = "import os, sys; print(os.environ['RANK'], 'torch' in sys.modules)"
    launch = ["--standalone", "--nproc_per_node", 2, "--no-python", warm("python"), "-c", code]
    found = run(warm("torchrun"), *launch)
    assert sorted(found.stdout.splitlines()) == ["0 True", "1 True"], found.stderr
