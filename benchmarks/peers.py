"""Our attacks beside their peers: the same victim, the same images, the same budgets.

    python benchmarks/peers.py VICTIM DATA

VICTIM is a folder that `rivalry train` wrote, DATA the one that `rivalry prepare` wrote for its data set. Prints tables
with verdicts and writes them, and every number, to `peers.md` and `peers.csv`. README.md says what is measured.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
import torch
from contests import CONTESTS, Contest
from libraries import LIBRARIES
from measuring import Arena, Failure, PassCost, Question, Run, Worker, correct_rows
from reporting import OURS, Entry, Verdict, judge, render, tabulate

from rivalry import load_victim, registry
from rivalry.artifacts import read_json
from rivalry.environment import ALLOCATOR


def main() -> None:
    options = read_options()
    contests = ready([contest for contest in CONTESTS if not options.only or contest.name in options.only])
    # Before any process starts: thread pools and the allocator read it when they are loaded.
    os.environ |= ALLOCATOR | {"OMP_NUM_THREADS": str(options.threads)}
    torch.set_num_threads(options.threads)
    victim = load_victim(options.victim)
    arena = Arena(
        options.victim,
        options.data,
        correct_rows(victim, options.data, "test", options.images),
        correct_rows(victim, options.data, "train", options.training_images),
        options.threads,
        options.channels_last,
    )
    workers = {library: Worker(library, arena) for library in options.libraries}
    rows: list[dict[str, Any]] = []
    verdicts: dict[str, list[Verdict]] = {}
    options.output.mkdir(parents=True, exist_ok=True)
    for contest in contests:
        started = time.perf_counter()
        entries, cost = hold(contest, workers, options)
        rows += tabulate(contest, entries, cost)
        if entries[OURS].runs:
            verdicts[contest.name] = judge(contest, entries)
        # After every contest: an interrupted run leaves what it measured.
        pd.DataFrame(rows).to_csv(options.output / "peers.csv", index=False)
        (options.output / "peers.md").write_text(render(rows, verdicts, conditions(options)), encoding="utf-8")
        print(f"{contest.name}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    for worker in workers.values():
        worker.stop(patience=10)
    print((options.output / "peers.md").read_text(encoding="utf-8"))


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("victim", type=Path, help="a victim's folder")
    parser.add_argument("data", type=Path, help="its data set's folder")
    parser.add_argument("--output", type=Path, default=Path("results/benchmarks"), help="folder for the tables")
    parser.add_argument("--images", type=int, default=100, help="correctly classified test images to attack")
    parser.add_argument("--training-images", type=int, default=100, help="training images for fitted attacks")
    parser.add_argument("--only", nargs="+", choices=[contest.name for contest in CONTESTS], metavar="CONTEST")
    parser.add_argument("--libraries", nargs="+", choices=list(LIBRARIES), default=list(LIBRARIES), metavar="LIBRARY")
    parser.add_argument("--batches", nargs="+", type=int, default=[64, 0], help="batch sizes to try; 0 is all images")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved runs of each library at each batch size")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--channels-last", action="store_true", help="hand all the victim with its channels last")
    parser.add_argument("--long", type=float, default=60, help="a run of more seconds is not repeated")
    parser.add_argument("--limit", type=float, default=1200, help="a run of more seconds is given up")
    options = parser.parse_args()
    options.libraries = [OURS, *(library for library in options.libraries if library != OURS)]
    options.batches = sorted({min(batch or options.images, options.images) for batch in options.batches})
    return options


def ready(contests: list[Contest]) -> list[Contest]:
    """The contests whose attack this version of ours has, their parameters checked."""
    chosen = []
    for contest in contests:
        ours = contest.calls[OURS]
        if ours.attack not in registry.names("attacks"):
            print(f"{contest.name}: skipped, there is no attack '{ours.attack}'", file=sys.stderr)
            continue
        known = registry.method("attacks", ours.attack).parameters
        if unknown := set(ours.parameters) - set(known):
            raise SystemExit(
                f"{contest.name}: {ours.attack} has no {', '.join(sorted(unknown))}, only {', '.join(known)}"
            )
        chosen.append(contest)
    return chosen


def hold(
    contest: Contest, workers: dict[str, Worker], options: argparse.Namespace
) -> tuple[dict[str, Entry], PassCost]:
    """Every library's runs, interleaved: by round, by batch, by library in an order that rotates."""
    libraries = [library for library in workers if library in contest.calls]
    entries = {library: Entry() for library in libraries}
    costs = []
    for library in libraries:
        # The first call imports and allocates. It may fail on so few images, and that says nothing.
        attempt(workers[library], Question(contest, min(2, options.images), 2), options.limit)
    for turn in range(options.rounds):
        costs.append(workers[OURS].ask(None, options.limit))
        first = turn % len(libraries)
        for batch in options.batches:
            for library in libraries[first:] + libraries[:first]:
                entry = entries[library]
                longest = max((run.seconds for runs in entry.runs.values() for run in runs), default=0)
                if entry.failure or longest > options.long:
                    continue
                outcome = attempt(workers[library], Question(contest, options.images, batch), options.limit)
                if isinstance(outcome, Failure):
                    entry.failure = str(outcome)
                else:
                    entry.runs[batch].append(outcome)
    return entries, PassCost(median(cost.forward for cost in costs), median(cost.backward for cost in costs))


def attempt(worker: Worker, question: Question, limit: float) -> Run | Failure:
    try:
        return worker.ask(question, limit)
    except Failure as failure:
        return failure


def conditions(options: argparse.Namespace) -> str:
    """What the numbers hold for, in one paragraph."""
    facts = read_json(options.victim / "victim.json")
    layout = "with its channels last" if options.channels_last else "as it was loaded"
    return (
        f"{facts['dataset']}, {facts['architecture']} with {facts['parameters_count']:,} parameters, "
        f"{100 * facts['clean_accuracy']:.2f} % clean accuracy; {options.images} test images that it classifies "
        f"correctly; batches of {' or '.join(map(str, options.batches))}, whichever is faster for a library; median of "
        f"{options.rounds} interleaved runs (one, where it took over {options.long:g} s); {options.threads} threads of "
        f"{os.cpu_count()} on {processor()}; the victim handed over {layout}; "
        f"PyTorch {torch.__version__}, Python {platform.python_version()}."
    )


def processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
