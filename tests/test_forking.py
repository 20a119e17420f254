"""Jobs that are forked from a process with the imports behind it: as those that import for themselves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rivalry import forking

linux = pytest.mark.skipif(sys.platform != "linux", reason="jobs are forked on Linux only")
SEED = ["--dataset", "digits", "--seed", "3"]
THREADS = ["--threads", "2"]


def job(*words: Any, **environment: str) -> list[Any]:
    return [[sys.executable, "-m", "rivalry", *map(str, words)], os.environ | environment]


def run(*words: Any, **environment: str) -> tuple[int, str, str]:
    command, own = job(*words, **environment)
    done = subprocess.run(command, env=own, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def waits(process: subprocess.Popen[bytes], address: Path) -> None:
    deadline = time.monotonic() + 120
    while not address.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    assert address.exists()


def computing(folder: Path) -> list[int]:
    """Processes that work in a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            found += [int(process.name)] if (process / "cwd").readlink() == folder else []
        except OSError:
            continue
    return found


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where a process for jobs waits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(forking.VARIABLE, raising=False)
        process = forking.start()
        assert process is not None
        place = os.environ[forking.VARIABLE]
        waits(process, Path(place))
    yield place
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(60) == 0
    assert not Path(place).parent.exists()


@linux
@pytest.mark.parametrize(
    ("words", "status"),
    [("--help", 0), ("--set fraction=2 --data nowhere", 1), ("--data nowhere", 1), ("", 2)],
)
def test_a_forked_job_says_and_answers_the_same(address: str, words: str, status: int):
    job = ["poison", "--threads", "1", "--poisoning", "p", "--method", "backdoor", "--output", "o", *words.split()]
    alone, forked = run(*job, RIVALRY_FORKING="no"), run(*job, RIVALRY_FORKING=address)
    assert forked == alone
    assert forked[0] == status
    assert run(*job, RIVALRY_FORKING="/nowhere") == alone  # it imports for itself


@linux
def test_jobs_that_name_no_threads_are_left_alone(address: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(forking.VARIABLE, address)
    assert forking.handed_over(["describe", "fgsm"]) is None


@linux
def test_a_forked_job_computes_the_same_bytes(address: str, tmp_path: Path):
    kept = {}
    for how in ("no", address):
        folder = tmp_path / ("alone" if how == "no" else "forked")
        folder.mkdir()
        data, victim, attack = (folder / name for name in ("data", "victim", "attack"))
        for words in (
            ["prepare", "--source", "digits", "--output", data],
            ["train", "--victim", "plain", "--architecture", "mlp512", "--method", "plain", "--fit", "epochs=2",
             "--data", data, "--output", victim, *THREADS],
            ["attack", "--attack", "pgd", "--method", "pgd", "--set", "eps=0.1", "restarts=2", "--data", data,
             "--victim", victim, "--victim-name", "plain", "--images", "100", "--output", attack, *THREADS],
        ):  # fmt: skip
            command, own = job(*words, *SEED, RIVALRY_FORKING=how)
            subprocess.run(command, env=own, cwd=folder, check=True)
        files = [file for file in folder.rglob("*.safetensors") if ".checkpoints" not in file.parts]
        kept[how] = {file.relative_to(folder): file.read_bytes() for file in files}
        assert len(kept[how]) >= 4
    assert kept["no"] == kept[address]


@linux
@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_who_ends_a_job_ends_what_was_forked_for_it(address: str, tmp_path: Path, by: signal.Signals):
    data = tmp_path / "data"
    assert run("prepare", "--source", "digits", "--output", data, *SEED, RIVALRY_FORKING=address)[0] == 0
    words = ["train", "--victim", "plain", "--architecture", "lenet5", "--method", "plain", "--data", data]
    command, own = job(*words, "--fit", "epochs=1000", "--output", "victim", *SEED, *THREADS, RIVALRY_FORKING=address)
    child = subprocess.Popen(
        command,
        env=own,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert child.stdout is not None
    while "epoch 1" not in (line := child.stdout.readline()):
        assert line, "it ended by itself"
    assert len(computing(tmp_path)) == 2
    child.send_signal(by)
    rest = child.stdout.read()
    child.wait(60)
    expected = {signal.SIGTERM: 128 + signal.SIGTERM, signal.SIGINT: 130, signal.SIGKILL: -signal.SIGKILL}
    assert child.returncode == expected[by], rest
    deadline = time.monotonic() + 30
    while computing(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not computing(tmp_path)


@linux
def test_a_job_whose_process_is_lost_fails_in_one_line(address: str, tmp_path: Path):
    data = tmp_path / "data"
    assert run("prepare", "--source", "digits", "--output", data, *SEED, RIVALRY_FORKING=address)[0] == 0
    words = ["train", "--victim", "plain", "--architecture", "lenet5", "--method", "plain", "--data", data]
    command, own = job(*words, "--fit", "epochs=1000", "--output", "victim", *SEED, *THREADS, RIVALRY_FORKING=address)
    child = subprocess.Popen(
        command, env=own, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while len(workers := [pid for pid in computing(tmp_path) if pid != child.pid]) < 1 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(workers[0], signal.SIGKILL)  # as a system without memory does
    assert child.wait(60) == 128 + signal.SIGKILL


@linux
def test_it_ends_when_the_run_is_killed(tmp_path: Path):
    script = (
        "import sys, time\nfrom rivalry import forking\nprocess = forking.start()\n"
        "import os\nprint(process.pid, os.environ[forking.VARIABLE], flush=True)\ntime.sleep(600)"
    )
    environment = {name: value for name, value in os.environ.items() if name != forking.VARIABLE}
    run = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment)
    assert run.stdout is not None
    pid, place = run.stdout.readline().split()
    run.kill()
    run.wait()
    deadline = time.monotonic() + 120
    while Path(place).parent.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not Path(place).parent.exists()
    while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_text():  # none: it has ended
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize("unwanted", ["no", "macOS"])
def test_none_is_started_where_it_is_not_wanted_or_cannot_be(monkeypatch: pytest.MonkeyPatch, unwanted: str):
    monkeypatch.setenv(forking.VARIABLE, "no" if unwanted == "no" else "")
    monkeypatch.setattr(sys, "platform", "darwin" if unwanted == "macOS" else sys.platform)
    assert forking.start() is None
