"""One process that has the slow imports behind it, from which the jobs of a run are forked.

To import PyTorch takes seconds, and most jobs of a small run compute for less. A run that computes here (`start`) has
a process that imports once, waits, and forks for every job. A job's own process hands it the command line, working
directory, environment, input and outputs (`handed_over`), passes signals on, and ends as the job ends. Where there is
no such process, or not yet, a job imports for itself and computes the same: only jobs that say how many threads they
may have are handed over, since last digits depend on it and libraries that are here already no longer ask.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

VARIABLE = "RIVALRY_FORKING"
"""In the environment: the socket at which the process listens; `no` if none is wanted."""
WANTED = (
    "rivalry.cli",
    "rivalry.stages.attack",
    "rivalry.stages.evaluate",
    "rivalry.stages.train",
    "rivalry.training._fit",
)
"""What most jobs import."""
PAUSE = 0.02
"""Seconds between two looks at whether a job has ended."""


def start() -> subprocess.Popen[bytes] | None:
    """Start the process for the jobs of this one; it ends when this one does. On systems other than Linux, none."""
    if sys.platform != "linux" or os.environ.get(VARIABLE) == "no":
        return None
    try:
        address = Path(tempfile.mkdtemp(prefix="rivalry-")) / "jobs"  # nobody else's: mode 700
    except OSError:
        return None
    # Threads of a library do not live on in a forked process; a job asks for as many as it may have.
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    os.environ[VARIABLE] = str(address)
    return subprocess.Popen(
        [sys.executable, "-m", "rivalry.forking", str(address)],
        stdin=subprocess.PIPE,  # closed when this process ends, however it does
        stdout=subprocess.PIPE,  # never read; a stream that was opened on a file could not become a job's pipe
        stderr=subprocess.PIPE,
        env=os.environ | one_thread,
        start_new_session=True,  # Ctrl-C is for jobs, each of which passes it on
    )


def handed_over(arguments: list[str]) -> int | None:
    """Have a job computed by a fork of the waiting process.

    Parameters
    ----------
    arguments : list of str
        The command line, without the program's name.

    Returns
    -------
    int or None
        The job's exit status; None if no process waits for such a job, and nothing was done.
    """
    address = os.environ.get(VARIABLE, "no")
    if address == "no" or "--threads" not in arguments:
        return None
    server = socket.socket(socket.AF_UNIX)
    try:
        server.connect(address)
    except OSError:
        return None
    job, early = 0, list[int]()

    def passed_on(number: int, _: Any) -> None:
        if job:
            os.kill(job, number)
        else:
            early.append(number)

    for caught in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(caught) != signal.SIG_IGN:  # as in a shell's background
            signal.signal(caught, passed_on)
    socket.send_fds(server, [b"."], [0, 1, 2])
    told = {"arguments": arguments, "folder": os.getcwd(), "environment": dict(os.environ)}
    server.sendall(json.dumps(told).encode() + b"\n")
    with server.makefile() as answers:
        job = int(answers.readline() or 0)
        for number in early if job else ():
            os.kill(job, number)
        status = answers.readline()
    if not status:
        print("rivalry: the process of this job was lost; run again to go on", file=sys.stderr)
        return 1
    return int(status) if int(status) >= 0 else 128 - int(status)  # as a shell says that a signal ended it


def serve(address: str) -> int:
    """Import, then fork for every job until standard input closes; returns in each job, too, with its exit status."""
    for module in WANTED:
        importlib.import_module(module)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(128)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        ready, _, _ = select.select([listener.fileno(), 0], [], [])
        if 0 in ready:
            shutil.rmtree(Path(address).parent, ignore_errors=True)
            return 0
        asked, _ = listener.accept()
        if os.fork():
            asked.close()
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        listener.close()
        return _watched(asked)


def _watched(asked: socket.socket) -> int:
    """Fork for a job and tell who asked how it ends. The job's process returns; the one that watches ends here."""
    _, outputs, _, _ = socket.recv_fds(asked, 1, 3)
    with asked.makefile() as words:
        line = words.readline()
    if not line:
        os._exit(1)
    job = os.fork()
    if job == 0:
        asked.close()
        return _computed(json.loads(line), outputs)
    for output in outputs:
        os.close(output)
    with suppress(OSError):  # who asked may be gone
        asked.sendall(f"{job}\n".encode())
        while not (ended := os.waitpid(job, os.WNOHANG))[0]:
            if select.select([asked], [], [], PAUSE)[0]:  # nothing more is ever said: who asked was killed
                os.kill(job, signal.SIGKILL)
                ended = os.waitpid(job, 0)
                break
        asked.sendall(f"{os.waitstatus_to_exitcode(ended[1])}\n".encode())
    os._exit(0)


def _computed(told: dict[str, Any], outputs: list[int]) -> int:
    for place, output in enumerate(outputs):
        os.dup2(output, place)
        os.close(output)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(told["folder"])
    os.environ.clear()
    os.environ.update(told["environment"])
    sys.argv = ["rivalry", *told["arguments"]]
    from rivalry.cli import main

    return main(told["arguments"])


if __name__ == "__main__":
    sys.exit(serve(sys.argv[1]))
