"""What a run prints: one line a job as it starts and as it ends, how far the long ones are, and why one failed."""

from __future__ import annotations

import logging
import os
import pty
import re
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest
import torch
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.tests import MockOutputSettings, TestLogHandlerBase
from torch import nn

import rivalry.attacks
import snakemake_logger_plugin_rivalry as plugin
from rivalry.training._fit import fit
from rivalry.training._fitting import FittingKeys
from rivalry.training.plain import plain

ROOT = Path(__file__).parent.parent


class TestContract(TestLogHandlerBase):
    """Snakemake's own tests of a logger plugin."""

    __test__ = True

    def get_log_handler_cls(self) -> type[plugin.LogHandler]:
        return plugin.LogHandler

    def get_log_handler_settings(self) -> None:
        return None


# ---- one handler, given records ----


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


class Run:
    """A handler, what it has printed, and the records that Snakemake would give it."""

    def __init__(self, stream: Any = None, **settings: Any) -> None:
        common = MockOutputSettings()
        for name, value in ({"printshellcmds": False} | settings).items():
            setattr(common, name, value)
        self.handler = plugin.LogHandler(common, None)
        self.handler.stream = self.stream = stream or StringIO()
        self.numbers = 0

    def tell(self, event: LogEvent | None, message: str = "", level: int = logging.INFO, **facts: Any) -> None:
        record = logging.LogRecord("snakemake", level, "x.py", 1, message, (), None)
        record.event = event
        vars(record).update(facts)
        self.handler.handle(record)

    def begin(self, **stats: int) -> None:
        self.tell(LogEvent.RUN_INFO, stats=stats | {"total": sum(stats.values())})

    def start(self, message: str | None, rule: str = "attack", log: tuple[str, ...] = (), **wildcards: str) -> int:
        self.numbers += 1
        facts = {"jobid": self.numbers, "rule_name": rule, "rule_msg": message, "wildcards": wildcards}
        self.tell(LogEvent.JOB_INFO, log=list(log), output=["x"], **facts)
        return self.numbers

    def finish(self, job: int, done: int, total: int) -> None:
        self.tell(LogEvent.JOB_FINISHED, job_id=job)
        self.tell(LogEvent.PROGRESS, done=done, total=total)

    def fail(self, job: int, log: str, said: str = "", message: str | None = None) -> None:
        if said:
            self.tell(LogEvent.ERROR, f"RuleException:\n{said}", logging.ERROR, exception="RuleException")
        facts = {"jobid": job, "rule_name": "attack", "rule_msg": message, "log": [log]}
        self.tell(LogEvent.JOB_ERROR, "Error in rule", logging.ERROR, **facts)

    @property
    def text(self) -> str:
        return self.stream.getvalue()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which passes only when a test says so."""
    now = [1000.0]
    monkeypatch.setattr(plugin.time, "monotonic", lambda: now[0])
    return now


EXITED = (
    "CalledProcessError in file \"Snakefile\", line 3:\nCommand 'set -e; python x' returned non-zero exit status {}."
)


def test_a_job_has_a_line_as_it_starts_and_one_as_it_ends(clock: list[float]) -> None:
    run = Run()
    run.begin(attack=11, draw=1)
    first = run.start("attack plain on digits with pgd")
    run.start(None, rule="draw", dataset="shapes")
    clock[0] += 200
    run.finish(first, 1, 12)
    assert run.text.splitlines() == [
        "12 steps to do",
        " 0/12  start   attack plain on digits with pgd",
        " 0/12  start   draw shapes",
        " 1/12  done    attack plain on digits with pgd (3 min 20 s); about 17 min left",
    ]


def test_nothing_is_left_after_the_last_job(clock: list[float]) -> None:
    run = Run()
    run.begin(attack=3, all=1)
    for done in range(3):
        job = run.start(f"attack {done}")
        clock[0] += 100
        run.finish(job, done + 1, 4)
    assert run.text.splitlines()[-1] == "3/4  done    attack 2 (1 min 40 s)"


def test_what_belongs_in_the_log_is_not_printed() -> None:
    run = Run()
    run.tell(None, "Building DAG of jobs...", funcName="_build_dag")
    run.tell(LogEvent.WORKFLOW_STARTED, "Workflow has started!")
    run.tell(None, "Creating conda environment envs/latex.yaml...", funcName="create")
    run.begin(attack=2)
    run.tell(LogEvent.SHELLCMD, "Shell command: python", shellcmd="python")
    run.tell(None, "Select jobs to execute...", funcName="schedule")
    run.tell(None, "something is odd", logging.WARNING)
    run.tell(None, "report: here", for_users=True)
    assert run.text.splitlines() == [
        "Creating conda environment envs/latex.yaml...",
        "2 steps to do",
        "something is odd",
        "report: here",
    ]


@pytest.mark.parametrize(
    ("log", "said", "message", "cause"),
    [
        ("epoch 1 of 3\nrivalry: training diverged\nshutting down\n", EXITED.format(1), None, "training diverged"),
        ("Traceback:\n  x\nKeyError: 'a'\n", EXITED.format(1), None, "KeyError: 'a'"),
        ("epoch 1 of 3\n", EXITED.format(137), None, "killed by signal 9, as happens when memory runs out"),
        (
            "a\n",
            EXITED.replace("returned non-zero exit status {}", "died with <Signals.SIGSEGV: 11>"),
            None,
            "killed by s",
        ),
        (
            "epoch 1 of 3\n",
            "",
            "SLURM-job 7 failed, its status is TIMEOUT",
            "SLURM-job 7 failed, its status is TIMEOUT",
        ),
        ("", EXITED.format(3), None, "returned non-zero exit status 3."),
        ("", "", None, "it does not say"),
    ],
)
def test_a_failure_is_told_with_its_cause(tmp_path: Path, log: str, said: str, message: str | None, cause: str) -> None:
    file = tmp_path / "x.log"
    file.write_text(log)
    run = Run()
    run.begin(attack=2)
    run.fail(run.start("attack x", log=(str(file),)), str(file), said, message)
    assert f"0/2  FAILED  attack x\n    cause: {cause}" in run.text
    assert str(file) in run.text
    assert "python x" not in run.text


def test_a_failure_is_told_once_and_again_at_the_end(tmp_path: Path) -> None:
    file = tmp_path / "x.log"
    file.write_text("".join(f"line {i}\n" for i in range(100)) + "30%|##\r60%|####\r90%|#####\nrivalry: no such file\n")
    run = Run()
    run.begin(attack=3)
    run.finish(run.start("attack a"), 1, 3)
    run.fail(run.start("attack b", log=(str(file),)), str(file), EXITED.format(1))
    once = run.text
    for _ in range(2):  # Snakemake says it more than once, and closes more than once
        run.tell(None, "Exiting because a job execution failed. Look above", logging.ERROR)
        last = "WorkflowError:\nAt least one job did not complete successfully."
        run.tell(LogEvent.ERROR, last, logging.ERROR, exception="WorkflowError")
        assert run.text == once
    run.handler.close()
    run.handler.close()
    end = run.text.removeprefix(once)
    for part in (once, end):
        assert part.count("attack b") == (2 if part == once else 1)  # as it starts
        assert part.count("cause: no such file") == 1
        assert part.count(f"log: {file}") == 1
        assert re.findall(r"^ {8}(.*)$", part, re.MULTILINE) == [
            *(f"line {i}" for i in range(92, 100)),
            "90%|#####",
            "rivalry: no such file",
        ]
    assert "1 failed; 1 of 3 steps done" in end


def test_a_warning_is_one_line_and_told_once_of_a_victim(tmp_path: Path, clock: list[float]) -> None:
    """Jobs say it among other things: behind an unfinished line of progress, before thousands of others."""
    said = "rivalry: warning: 35% are right \u03c3\x1b[31m; with normalize: {mean: [0.5]} it would be 97%\n"
    log = tmp_path / "x.log"
    log.write_text(f"pgd: 0 of 9 images\rpgd: 3 of 9 images{said}" + 20_000 * "epoch 1 of 3\n" + "UserWarning: noise\n")
    run = Run(quiet={"RULES"})
    run.begin(bring=2, attack=3)
    for done, (job, about) in enumerate(
        [
            ("bring a", {"victim": "a"}),
            ("attack a", {"defended": "a", "attack": "pgd"}),
            ("bring b", {"victim": "b"}),
        ]
    ):
        run.finish(run.start(job, log=(str(log),), **about), done + 1, 5)
    told = "35% are right \u03c3 [31m; with normalize: {mean: [0.5]} it would be 97%"
    assert run.text.splitlines()[1:] == [f"1/5  warning bring a: {told}", f"3/5  warning bring b: {told}"]
    run.fail(run.start("attack c", log=(str(log),), defended="c"), str(log), EXITED.format(1))
    run.finish(run.start("draw"), 5, 5)
    *_, cause, warning, end = [line for line in run.text.splitlines() if re.search("cause|warning attack|all 5", line)]
    assert cause == "    cause: UserWarning: noise"
    assert warning == f"3/5  warning attack c: {told}"
    assert end == "all 5 steps done in 0 s; 3 warnings above"


def test_a_warning_is_no_cause_of_a_failure(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("rivalry: warning: look at this\nrivalry: no such file\nrivalry: warning: and at this\n")
    run = Run()
    run.begin(attack=1)
    run.fail(run.start("attack a", log=(str(log),)), str(log), EXITED.format(1))
    assert "cause: no such file" in run.text


def test_a_job_that_is_tried_again_has_not_failed(tmp_path: Path) -> None:
    run = Run()
    run.begin(attack=1)
    run.fail(run.start("attack a"), "x.log", message="SLURM-job 7: OUT_OF_MEMORY")
    run.numbers = 0
    run.finish(run.start("attack a"), 1, 1)
    before = run.text
    run.handler.close()
    assert run.text == before


def test_every_job_of_a_failed_group_is_told() -> None:
    run = Run()
    run.begin(attack=2)
    numbers = [run.start(f"attack {name}") for name in "ab"]
    jobs = [{"jobid": number, "rule_name": "attack", "log": [], "output": []} for number in numbers]
    run.tell(LogEvent.GROUP_ERROR, "group failed", logging.ERROR, job_error_info=jobs, aux_logs=[])
    assert run.text.count("FAILED") == 2


def test_what_fails_without_a_number_is_told_too() -> None:
    run = Run()
    run.begin(attack=1)
    text = "MissingOutputException in rule x:\nJob 1 completed, but some output files are missing:\na.txt"
    run.tell(LogEvent.ERROR, text, logging.ERROR, exception="MissingOutputException")
    run.handler.close()
    assert run.text.count("a.txt") == 2


@pytest.mark.parametrize("ending", ["died with <Signals.SIGINT: 2>.", "returned non-zero exit status 130."])
def test_a_job_that_was_interrupted_has_not_failed(ending: str) -> None:
    run = Run()
    run.begin(attack=3)
    run.fail(run.start("attack a"), "x.log", EXITED.replace("returned non-zero exit status {}.", ending))
    last = "WorkflowError:\nAt least one job did not complete successfully."
    run.tell(LogEvent.ERROR, last, logging.ERROR, exception="WorkflowError")
    run.handler.close()
    assert run.text.splitlines()[2:] == [
        "0/3  stopped attack a",
        "stopped: 0 of 3 steps done after 0 s; run again to go on",
    ]


def test_a_stopped_run_says_that_it_can_go_on() -> None:
    run = Run()
    run.begin(attack=3)
    run.finish(run.start("attack a"), 1, 3)
    run.handler.close()
    assert "stopped: 1 of 3 steps done" in run.text


@pytest.mark.parametrize("event", [LogEvent.ERROR, None])
def test_an_error_before_the_run_is_printed_as_it_is(event: LogEvent | None) -> None:
    run = Run()
    run.tell(event, "MissingRuleException:\nno rule makes y", logging.ERROR, exception="MissingRuleException")
    assert run.text == "MissingRuleException:\nno rule makes y\n"


@pytest.mark.parametrize(
    ("quiet", "starts", "ticks", "fails"),
    [
        (None, 1, 1, 1),
        ({"PROGRESS"}, 1, 0, 1),
        ({"RULES"}, 0, 1, 1),
        ({"RULES", "PROGRESS"}, 0, 0, 1),
        ({"ALL"}, 0, 0, 0),
    ],
)
def test_quiet_levels(monkeypatch: pytest.MonkeyPatch, quiet: Any, starts: int, ticks: int, fails: int) -> None:
    monkeypatch.setattr(plugin, "TICK", 0.01)
    monkeypatch.setattr(plugin, "PATIENCE", 0.05)
    run = Run(quiet=quiet)
    run.begin(attack=2)
    job = run.start("attack a")
    deadline = time.monotonic() + (60 if ticks else 0.3)
    while "runs" not in run.text and time.monotonic() < deadline:
        time.sleep(0.01)
    run.fail(job, "x.log", EXITED.format(1))
    run.handler.close()
    assert ("start   attack a" in run.text) == starts
    assert ("runs    attack a" in run.text) == ticks
    assert ("FAILED  attack a" in run.text) == fails


@pytest.mark.parametrize("asked", ["dryrun", "verbose", "debug_dag", "printshellcmds"])
def test_who_asks_for_more_gets_snakemakes_own_output(asked: str) -> None:
    run = Run(**{asked: True})
    assert not run.handler.writes_to_stream
    run.begin(attack=2)
    run.handler.close()
    assert run.text == ""


def test_a_terminal_shows_what_is_running(tmp_path: Path, clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    log = tmp_path / "x.log"
    log.write_text("epoch 4 of 12: loss 0.1\n")
    run = Run(Terminal(), quiet={"PROGRESS"})  # the test looks, not a thread
    run.handler.in_place = True
    run.begin(train=4)
    run.start("train plain", log=(str(log),))
    run.start("train a victim with a very long name on a data set with a long one")
    run.handler._show_running()
    assert run.text.split("\n")[-1] == "\r\x1b[K0/4 | train plain: epoch 4 of 12 | and 1 more"
    monkeypatch.setenv("COLUMNS", "130")
    run.handler._show_running()
    assert run.text.rpartition("\r\x1b[K")[2].endswith(" on a data set with a long one: 0 s")
    monkeypatch.setenv("COLUMNS", "30")
    run.handler._show_running()
    assert run.text.rpartition("\r\x1b[K")[2] == "0/4 | train plain: epoch 4 of"
    run.finish(1, 1, 4)
    assert run.text.split("\n")[-2].endswith("\r\x1b[K1/4  done    train plain (0 s)")  # overwrites it


def test_without_a_terminal_a_long_job_has_a_line_a_minute(tmp_path: Path, clock: list[float]) -> None:
    log = tmp_path / "x.log"
    log.write_text("pgd: 0 of 250 images\rpgd: 64 of 250 images, 900 passes\r")
    run = Run(quiet={"PROGRESS"})
    run.begin(attack=2)
    run.start("attack plain with pgd", log=(str(log),))
    for _ in range(150):
        clock[0] += 1
        run.handler._show_running()
    lines = run.text.splitlines()[2:]
    assert [line.partition(";")[0] for line in lines] == [
        "0/2  runs    attack plain with pgd: 64 of 250 images (1 min 00 s)",
        "0/2  runs    attack plain with pgd: 64 of 250 images (2 min 00 s)",
    ]


def test_the_time_left_counts_what_waits_and_what_runs(tmp_path: Path, clock: list[float]) -> None:
    run = Run()
    run.begin(train=2, attack=10)
    assert run.handler._left("") == ""
    trains = [run.start(f"train {i}", "train") for i in range(2)]
    clock[0] += 600
    for done, job in enumerate(trains):
        run.finish(job, done + 1, 12)
    assert run.handler._left("") == ""  # what an attack takes is not known
    attacks = [run.start(f"attack {i}") for i in range(2)]
    clock[0] += 120
    for done, job in enumerate(attacks):
        run.finish(job, done + 3, 12)
    assert run.handler._left("") == "about 8 min left"  # 8 of 2 minutes, two at a time
    log = tmp_path / "x.log"
    log.write_text("pgd: 10 of 100 images\n")
    run.start("attack slow", log=(str(log),))
    clock[0] += 360
    assert run.handler._left("") == "about 54 min left"  # nine times what it took so far


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_any_encoding_will_do(tmp_path: Path, encoding: str) -> None:
    log = tmp_path / "x.log"
    log.write_bytes("σ is “wrong” \x1b[31m".encode() + b"\xff\xfe\n")
    raw = BytesIO()
    run = Run(TextIOWrapper(raw, encoding=encoding))
    run.begin(attack=2)
    run.fail(run.start("attack σ", log=(str(log),)), str(log), EXITED.format(1))
    printed = raw.getvalue().decode(encoding)
    assert ("σ" if encoding == "utf-8" else r"\u03c3") in printed
    assert "\x1b" not in printed


def test_a_reader_who_left_stops_no_run() -> None:
    class Closed(StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    run = Run(Closed())
    run.begin(attack=2)
    run.finish(run.start("attack a"), 1, 2)
    run.handler.close()


def test_attacks_and_training_say_how_far_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    victim = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
    images = torch.rand(10, 1, 8, 8)
    labels = victim(images).argmax(dim=1)
    written = StringIO()
    with redirect_stderr(written):
        rivalry.attacks.pgd.run(victim, images, labels, eps=0.1, step_size=0.1, batch_size=4, progress=True)
    log = tmp_path / "x.log"
    log.write_text(written.getvalue())
    assert plugin.Job("", "", [str(log)], True).how_far() == ("10 of 10 images", 1.0)

    stored = (images * 255).to(torch.uint8)
    recipe = plain(stored, labels)
    keys = FittingKeys(epochs=2, batch_size=4, learning_rate=0.1, optimizer="sgd", validation_fraction=0.2)
    fit(victim, stored, labels, recipe, None, keys, seed=0, accelerator="cpu")
    log.write_text(capsys.readouterr().out)
    assert plugin.Job("", "", [str(log)], True).how_far() == ("epoch 2 of 2", 1.0)


# ---- Snakemake itself, on a workflow of nothing ----

SNAKEFILE = r"""
rule all:
    input: "a", "b", "c"
rule good:
    output: "{x}"
    log: "logs/{x}.log"
    wildcard_constraints: x="a|d"
    message: "make {wildcards.x}"
    shell: "echo epoch 1 of 2 > {log}; sleep ${{NAP:-0.1}}; touch {output}"
rule bad:
    input: "d"
    output: "b"
    log: "logs/b.log"
    message: "make b"
    shell: "printf 'before\\nrivalry: \\317\\203 is wrong\\n' > {log}; exit 3"
rule blocked:
    input: "b"
    output: "c"
    shell: "touch {output}"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    (tmp_path / "profiles").symlink_to(ROOT / "workflow/profiles")
    return tmp_path


def snakemake(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "snakemake", "--cores", "1", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=os.environ | environment)


@pytest.mark.workflow
def test_a_run_in_which_a_job_fails(folder: Path) -> None:
    done = snakemake(
        folder, "--keep-going", PYTHONIOENCODING="ascii", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0"
    )
    assert done.returncode == 1
    assert done.stderr.isascii()
    lines = done.stderr.splitlines()
    for name in "ad":
        assert len([line for line in lines if line.endswith(f"start   make {name}")]) == 1
        assert len([line for line in lines if re.search(rf"done    make {name} \(\d+ s\)", line)]) == 1
    failure = [r"    cause: \u03c3 is wrong", "    log: logs/b.log, which ends with", "        before"]
    at = lines.index(next(line for line in lines if "FAILED" in line))
    assert lines[at + 1 : at + 4] == failure
    assert lines[lines.index("  make b") + 1 :][:3] == failure
    assert "1 failed; 2 of 5 steps done" in done.stderr
    assert not re.search(r"Reason|shell|Error|\x1b|\r", done.stderr)


@pytest.mark.workflow
@pytest.mark.parametrize(
    ("arguments", "code", "there", "absent"),
    [
        (["a", "d"], 0, "all 2 steps done in", "FAILED"),
        (["--quiet", "--", "b"], 1, "FAILED  make b", "start"),
        (["--quiet", "all", "--", "b"], 1, "", "b"),
        (["--dry-run", "--", "b"], 0, "This was a dry-run", "steps to do"),
        (["--verbose", "--", "a"], 0, "1 of 1 steps (100%) done", "steps to do"),
        (["nowhere"], 1, "MissingRuleException", "Traceback"),
        (["--lint"], None, "", "Traceback"),
    ],
)
def test_other_ways_to_run(folder: Path, arguments: list[str], code: int | None, there: str, absent: str) -> None:
    done = snakemake(folder, *arguments)
    assert code is None or done.returncode == code
    printed = done.stdout + done.stderr
    assert there in printed
    assert absent not in printed


@pytest.mark.workflow
def test_a_terminal_is_told_what_runs(folder: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "a", "d"]
    terminal = os.environ | {"TERM": "xterm", "NAP": "5"}
    running = subprocess.Popen(command, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs, env=terminal)
    os.close(theirs)
    printed = b""
    try:
        while part := os.read(ours, 4096):
            printed += part
    except OSError:
        pass  # the end, on Linux
    os.close(ours)
    assert running.wait() == 0
    assert b"\r\x1b[K0/2 | make" in printed
    assert b"epoch 1 of 2" in printed


@pytest.mark.workflow
def test_after_kill_9_the_next_run_says_what_to_do(folder: Path) -> None:
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "a"]
    long = os.environ | {"NAP": "600"}
    killed = subprocess.Popen(command, cwd=folder, start_new_session=True, stderr=subprocess.DEVNULL, env=long)
    while not (folder / "logs/a.log").exists():
        assert killed.poll() is None
        time.sleep(0.05)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    refused = snakemake(folder, "a")
    assert refused.returncode == 1
    assert "make unlock (or snakemake --unlock)" in refused.stderr
    assert snakemake(folder, "--unlock").returncode == 0
    assert snakemake(folder, "--rerun-incomplete", "a").returncode == 0


@pytest.mark.workflow
def test_the_packages_are_found_by_who_builds_a_wheel() -> None:
    setuptools = pytest.importorskip("setuptools")
    assert {"rivalry", "snakemake_logger_plugin_rivalry"} <= set(setuptools.find_packages(str(ROOT / "src")))
