"""What a run prints: a line as a job starts and as it ends, how far long jobs are, what jobs warn of, why one failed.

Snakemake finds this package by its name; `logger: rivalry` in a profile chooses it. What else Snakemake has to say
(reasons, parameters, shell commands) is in its own log. A dry run, and options that ask for more (--verbose,
--debug-dag, --printshellcmds), print as Snakemake does. Nothing here may import `rivalry`: Snakemake loads this
before it knows which sources the Snakefile belongs to.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from logging import WARNING, LogRecord
from typing import Any, TextIO

from snakemake.common import NOTHING_TO_BE_DONE_MSG
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from snakemake_logger_plugin_rivalry._configurations import refuse_unreadable

TICK = 1.0
"""Seconds between two looks at what is running."""
PATIENCE = 60.0
"""Without a terminal, a running job gets a line each time that so many seconds have passed."""
TAIL, WIDTH = 10, 400
"""How many lines of a failed job's log are shown, and where they are cut."""
BYTES = 2**15
"""How much of a log's end is read."""
CHATTER = {"execute_workflow", "_build_dag", "execute"}
"""Functions of Snakemake that tell what it is about to do."""
UNSPECIFIC = "At least one job did not complete successfully."
"""What Snakemake says last; which job it was, or that somebody stopped the run, is told here."""
INTERRUPTED = f"killed by signal {signal.SIGINT.value}"
HOW_FAR = re.compile(
    r"(?:epoch )?\b(?P<done>\d+) of (?P<all>\d+)\b(?: images\b| MiB\b)?"  # training, attacks, downloads
    r"|\b\d+ passes\b"  # fooling images
)
"""What a job's log says about its progress."""
WARNED = re.compile(r"rivalry: warning: (.*)")
"""What a job's log says that its user should read."""


@dataclass
class Job:
    """A job that runs; `shown` is false for a target that only collects, `about` the victim that it is about."""

    name: str
    rule: str
    logs: list[str]
    shown: bool
    about: str = ""
    started: float = field(default_factory=lambda: time.monotonic())
    lines: int = 0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def how_far(self) -> tuple[str, float]:
        """What the log said last of its progress, and the share that is done, 0 where it does not say."""
        for line in reversed(_last_lines(self.logs)[1]):
            found = HOW_FAR.search(line)
            if found:
                return found[0], int(found["done"]) / max(int(found["all"]), 1) if found["all"] else 0.0
        return "", 0.0


@dataclass
class Failure:
    """A job that failed: why, and how its log ends."""

    name: str
    cause: str
    log: str = ""
    lines: list[str] = field(default_factory=list)

    def text(self) -> Iterator[str]:
        yield f"    cause: {self.cause}"
        if self.log:
            yield f"    log: {self.log}{', which ends with' if self.lines else ' (empty)'}"
        yield from (f"        {line}" for line in self.lines[-TAIL:])


class LogHandler(LogHandlerBase):
    """Writes to standard error; on a terminal, the last line says what is running and is overwritten."""

    def __post_init__(self) -> None:
        refuse_unreadable(sys.argv[1:])
        settings = self.common_settings
        quiet = {getattr(level, "name", str(level)).lower() for level in settings.quiet or ()}
        self.off = settings.dryrun or settings.verbose or settings.debug_dag or settings.printshellcmds
        self.silent = "all" in quiet
        self.shows_jobs = "rules" not in quiet
        self.shows_progress = "progress" not in quiet
        self.stream: TextIO = sys.stdout if settings.stdout else sys.stderr
        self.in_place = self.stream.isatty() and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        self.standing = False  # a line that is to be overwritten
        self.began: float | None = None
        self.done = self.total = 0
        self.jobs: dict[int, Job] = {}
        self.failures: dict[Any, Failure] = {}
        self.warned: set[tuple[str, str]] = set()
        self.errors: dict[int | None, str] = {}  # by thread: what Snakemake says before it says of which job
        self.waiting: Counter[str] = Counter()  # jobs of each rule that have not started
        self.ended: dict[str, list[float]] = {}  # seconds of those that have ended
        self.stopped = threading.Event()
        self.writing = threading.RLock()

    @property
    def writes_to_stream(self) -> bool:
        return not self.off

    @property
    def writes_to_file(self) -> bool:
        return False

    @property
    def has_filter(self) -> bool:
        return True

    @property
    def has_formatter(self) -> bool:
        return True

    @property
    def needs_rulegraph(self) -> bool:
        return False

    def emit(self, record: LogRecord) -> None:
        with self.writing:
            if self.off or self.silent:
                return
            try:
                self._emit(record)
            except OSError:
                self.silent = True  # whoever read this has left; the run goes on
            except Exception:
                self.handleError(record)

    def _emit(self, record: Any) -> None:
        event = getattr(record, "event", None)
        if event != LogEvent.JOB_ERROR and record.thread in self.errors:
            self._fail_unnamed(self.errors.pop(record.thread))
        if event == LogEvent.RUN_INFO:
            self._begin(record.stats)
        elif event == LogEvent.JOB_INFO:
            self._start(record)
        elif event == LogEvent.JOB_FINISHED:
            self._finish(record.job_id)
        elif event == LogEvent.PROGRESS:
            self._count(record.done, record.total)
        elif event == LogEvent.JOB_ERROR:
            said = record.rule_msg or _status(self.errors.pop(record.thread, ""))
            self._fail(record.jobid, record.rule_name, record.log, said)
        elif event == LogEvent.GROUP_ERROR:
            for one in record.job_error_info:
                self._fail(one["jobid"], one["rule_name"], [*one["log"], *record.aux_logs], record.msg)
        elif event == LogEvent.ERROR:
            self._error(record)
        elif event is None:
            self._message(record)

    def _begin(self, stats: dict[str, int]) -> None:
        self.waiting = Counter(stats)
        self.total = self.waiting.pop("total")
        self.began = time.monotonic()
        self._say(f"{self.total} steps to do")
        if self.shows_progress:
            threading.Thread(target=self._watch, daemon=True).start()

    def _start(self, record: Any) -> None:
        name = record.rule_msg or " ".join(map(str, [record.rule_name, *record.wildcards.values()]))
        victim = record.wildcards.get("victim") or record.wildcards.get("defended") or ""
        job = Job(name, record.rule_name, list(record.log), shown=bool(record.output), about=victim)
        self.jobs[record.jobid] = job
        self.waiting[job.rule] -= 1
        if self.shows_jobs and job.shown:
            self._say(f"{self._counted()}  start   {name}")

    def _finish(self, number: int) -> None:
        self.failures.pop(number, None)  # it was tried again
        job = self.jobs.pop(number, None)
        self.done += 1
        if job is None or not job.shown:
            return
        self.ended.setdefault(job.rule, []).append(job.seconds)
        if self.shows_jobs:
            self._say(f"{self._counted()}  done    {job.name} ({_duration(job.seconds)}){self._left('; ')}")
        self._warn(job)

    def _warn(self, job: Job) -> None:
        """Tell what a job that has ended warned of; once where several jobs say the same of a victim."""
        for text in _warnings(job.logs):
            if (text, job.about) not in self.warned:
                self.warned.add((text, job.about))
                self._say(f"{self._counted()}  warning {job.name}: {text}")

    def _count(self, done: int, total: int) -> None:
        self.done, self.total = done, total
        if done == total and self.began is not None:
            count = len(self.warned)
            above = f"; {count} {'warning' if count == 1 else 'warnings'} above" if count else ""
            self._say(f"all {total} steps done in {_duration(time.monotonic() - self.began)}{above}")

    def _fail(self, number: int, rule: str, logs: Iterable[str], said: str) -> None:
        job = self.jobs.pop(number, None)
        if job is None and number in self.failures:
            return
        name = job.name if job else rule
        if said == INTERRUPTED:
            self._say(f"{self._counted()}  stopped {name}")
            return
        log, lines = _last_lines(logs)
        failure = Failure(name, _cause(lines, said), log, lines)
        self.failures[number] = failure
        self._say(f"{self._counted()}  FAILED  {name}", *failure.text())
        if job:
            self._warn(job)

    def _fail_unnamed(self, text: str) -> None:
        """A failure of which Snakemake tells the rule alone, in words: an output that is missing, for example."""
        first, *rest = [line.strip() for line in text.splitlines() if line.strip()]
        self.failures[text] = Failure(first, " ".join(rest) or first)
        self._say(f"{self._counted()}  FAILED  {first}", *self.failures[text].text())

    def _error(self, record: Any) -> None:
        text = record.getMessage()
        if self.began is None or record.exception == "KeyboardInterrupt":
            self._say(text)
            if record.exception == "LockException":
                self._say("If no other run is going on in this folder: make unlock (or snakemake --unlock); run again.")
        elif record.exception == "RuleException":
            self.errors[record.thread] = text
        elif not text.endswith(UNSPECIFIC):
            self._fail_unnamed(text)

    def _message(self, record: Any) -> None:
        text = record.getMessage()
        if text == NOTHING_TO_BE_DONE_MSG:
            self._say("Nothing to be done: everything is there and up to date.")
        elif record.levelno > WARNING:
            if not self.failures:
                self._say(text)
        elif record.levelno == WARNING or hasattr(record, "for_users") or self._is_news(record):
            self._say(text)

    def _is_news(self, record: Any) -> bool:
        """Before jobs run: that an environment is made, a lock removed, a report written."""
        return self.began is None and record.funcName not in CHATTER

    def close(self) -> None:
        with self.writing:
            if not self.stopped.is_set():
                self.stopped.set()
                if not (self.off or self.silent):
                    with suppress(OSError):
                        self._end()
        super().close()

    def _end(self) -> None:
        for text in self.errors.values():
            self._fail_unnamed(text)
        self._overwrite("")
        if self.began is None or self.done == self.total:
            return
        took = _duration(time.monotonic() - self.began)
        if not self.failures:
            self._print(f"stopped: {self.done} of {self.total} steps done after {took}; run again to go on")
            return
        self._print("", f"{len(self.failures)} failed; {self.done} of {self.total} steps done after {took}:")
        for failure in self.failures.values():
            self._print(f"  {failure.name}", *failure.text())
        self._print("What needs these was not run. Run again to go on; what is done is kept.")

    def _watch(self) -> None:
        while not self.stopped.wait(TICK):
            with self.writing:
                if self.silent or self.stopped.is_set():
                    return
                try:
                    self._show_running()
                except OSError:
                    self.silent = True

    def _show_running(self) -> None:
        """On a terminal, overwrite the last line; elsewhere, a line for each job that runs for another minute."""
        running = [job for job in self.jobs.values() if job.shown]
        if self.in_place:
            told = [f"{job.name}: {job.how_far()[0] or _duration(job.seconds)}" for job in running]
            self._overwrite(_fitting([self._counted() + self._left("  "), *told], _width()))
            return
        for job in running:
            if job.seconds >= (job.lines + 1) * PATIENCE:
                job.lines += 1
                how_far = job.how_far()[0]
                far = f": {how_far}" if how_far else ""
                self._say(f"{self._counted()}  runs    {job.name}{far} ({_duration(job.seconds)}){self._left('; ')}")

    def _left(self, before: str) -> str:
        """About how long the run still takes; empty until most rules that are to run are known from jobs that ended."""
        waiting = +self.waiting
        if self.began is None or sum(waiting[rule] for rule in self.ended) * 2 < waiting.total() or not self.ended:
            return ""
        if not self.jobs and waiting.total() <= 1:  # the target, which takes no time
            return ""
        every = [seconds for times in self.ended.values() for seconds in times]
        mean = {rule: sum(times) / len(times) for rule, times in self.ended.items()}
        rests = []
        for job in self.jobs.values():
            share = job.how_far()[1]
            usual = mean.get(job.rule, sum(every) / len(every))
            rests.append(job.seconds * (1 - share) / share if share else max(usual - job.seconds, 0))
        work = sum(rests) + sum(count * mean.get(rule, sum(every) / len(every)) for rule, count in waiting.items())
        spent = sum(every) + sum(job.seconds for job in self.jobs.values())
        side_by_side = max(spent / max(time.monotonic() - self.began, 1e-3), 1)
        return f"{before}about {_roughly(max(work / side_by_side, *rests, 0))} left"

    def _counted(self) -> str:
        return f"{self.done:>{len(str(self.total))}}/{self.total}"

    def _say(self, *lines: str) -> None:
        self._overwrite("")
        self._print(*lines)

    def _overwrite(self, line: str) -> None:
        if self.standing or line:
            self._write(f"\r\x1b[K{self._shown(line)[: _width()]}")
            self.standing = bool(line)

    def _print(self, *lines: str) -> None:
        self._write("".join(f"{line}\n" for line in lines))

    def _write(self, text: str) -> None:
        self.stream.write(self._shown(text))
        self.stream.flush()

    def _shown(self, text: str) -> str:
        """With all that the stream cannot encode spelled out."""
        encoding = self.stream.encoding or "utf-8"
        return text.encode(encoding, "backslashreplace").decode(encoding)


def _width() -> int:
    return shutil.get_terminal_size().columns - 1


def _fitting(parts: list[str], width: int) -> str:
    """The first part, as many of the others as a line has room for, one at least, and how many more there are."""
    for shown in range(len(parts), 1, -1):
        more = [f"and {len(parts) - shown} more"] if shown < len(parts) else []
        line = " | ".join([*parts[:shown], *more])
        if len(line) <= width:
            return line
    return " | ".join(parts[:2])


def _last_lines(logs: Iterable[str]) -> tuple[str, list[str]]:
    """The first of the logs that says something, and its last lines; of a line that was overwritten, how it ended."""
    first = ""
    for log in logs:
        first = first or log
        with suppress(OSError), open(log, "rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - BYTES, 0))
            text = file.read().decode("utf-8", "replace")
            parts = (line.rstrip("\r").rpartition("\r")[2].rstrip() for line in text.split("\n"))
            lines = ["".join(c if c.isprintable() else " " for c in part)[:WIDTH] for part in parts if part]
            if lines:
                return log, lines
    return first, []


def _warnings(logs: Iterable[str]) -> Iterator[str]:
    for log in logs:
        with suppress(OSError), open(log, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if found := WARNED.search(line):
                    yield "".join(c if c.isprintable() else " " for c in found[1])


def _status(said: str) -> str:
    """How a command ended, of what Python says about it: that holds the whole command first."""
    ending = said.rpartition("' ")[2].strip() if "\nCommand '" in said else " ".join(said.split())
    number = re.search(r"exit status (\d+)|Signals\.(\w+)", ending)
    if number is None:
        return ending
    code = signal.Signals[number[2]].value if number[2] else int(number[1]) - 128
    if code <= 0:
        return ending
    return f"killed by signal {code}" + (", as happens when memory runs out" if code == signal.SIGKILL else "")


def _cause(lines: list[str], said: str) -> str:
    ours = [line for line in lines if line.startswith("rivalry: ") and not WARNED.match(line)]
    if ours:
        return ours[-1].removeprefix("rivalry: ")
    if lines and not said.startswith("killed") and "exit status" in said:
        return lines[-1].strip()
    return said or (lines[-1].strip() if lines else "it does not say")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def _roughly(seconds: float) -> str:
    minutes = round(seconds / 60)
    return _duration(minutes * 60) if minutes >= 60 else f"{max(minutes, 1)} min"
