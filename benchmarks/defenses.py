"""Our defenses beside those of the Adversarial Robustness Toolbox: the same victim, the same images.

    python benchmarks/defenses.py VICTIM DATA

VICTIM is a folder that `rivalry train` wrote, DATA the one that `rivalry prepare` wrote for its data set. Each defense
is measured by what it takes to classify, by what is left of images that were made without knowing it, and by an
attacker who knows it: projected gradient descent through the defense, with the same steps in both libraries. What each
attacker made is judged behind both libraries' defenses. README.md says more.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from libraries import art_classifier
from measuring import correct_rows
from torch import Tensor, nn

from rivalry import attacks, defenses, load_victim
from rivalry.data._splits import load_split

Answer = Callable[[Tensor], Tensor]
"""Images (N,C,H,W) in [0,1] to classes (N,)."""


@dataclass(frozen=True)
class Contest:
    """A defense, as both libraries call it: our method and its parameters, their class and its parameters."""

    name: str
    ours: tuple[str, dict[str, Any]]
    theirs: tuple[str, dict[str, Any]]


CONTESTS = [
    Contest(
        "median, window 3",
        ("spatial_smoothing", {"kind": "median", "window": 3}),
        ("SpatialSmoothing", {"window_size": 3, "channels_first": True, "clip_values": (0, 1)}),
    ),
    Contest(
        "JPEG, quality 75",
        ("jpeg", {"quality": 75}),
        ("JpegCompression", {"quality": 75, "channels_first": True, "clip_values": (0, 1)}),
    ),
    Contest(
        "bit depth 1",
        ("bit_depth", {"bits": 1}),
        ("FeatureSqueezing", {"bit_depth": 1, "clip_values": (0, 1)}),
    ),
]
"""Neural Cleanse takes Keras classifiers only there (1.20.1), and Defense-GAN is no longer in it."""
LIBRARIES = ("rivalry", "art")


@dataclass(frozen=True)
class Side:
    """One library's defended victim: how it answers, and how an attacker who knows the defense attacks it."""

    answer: Answer
    attack: Callable[[Tensor, Tensor], Tensor]


def main() -> None:
    told = read_options()
    torch.set_num_threads(told.threads)
    victim = load_victim(told.victim).requires_grad_(False).eval()
    rows = correct_rows(victim, told.data, "test", told.images)
    test, train = load_split(told.data, "test"), load_split(told.data, "train")
    images, labels = test.floats(rows), test.labels[rows]
    unaware = attacks.pgd(victim, images, labels, eps=told.eps, step_size=told.eps / 10, steps=told.steps)
    print("| defense | library | ms an image | unknown % | known, ours % | known, theirs % | attack, ms an image |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for contest in CONTESTS:
        if told.only and contest.name not in told.only:
            continue
        sides = {
            "rivalry": ours(contest, victim, train.images[:1000], train.labels[:1000], told),
            "art": theirs(contest, victim, tuple(images.shape[1:]), told),
        }
        answering: dict[str, list[float]] = {name: [] for name in LIBRARIES}
        attacking: dict[str, list[float]] = {name: [] for name in LIBRARIES}
        made: dict[str, Tensor] = {}
        for turn in range(told.rounds):
            for name in LIBRARIES if turn % 2 else LIBRARIES[::-1]:
                answering[name].append(timed(sides[name].answer, images)[0])
                seconds, made[name] = timed(sides[name].attack, images, labels)
                attacking[name].append(seconds)
        for name in LIBRARIES:
            left = [share(sides[name].answer(some) == labels) for some in (unaware, made["rivalry"], made["art"])]
            times = [f"{1000 * median(one) / len(images):.2f}" for one in (answering[name], attacking[name])]
            print(f"| {contest.name} | {name} | {times[0]} | {' | '.join(left)} | {times[1]} |", flush=True)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("victim", type=Path, help="a victim's folder")
    parser.add_argument("data", type=Path, help="its data set's folder")
    parser.add_argument("--images", type=int, default=200, help="correctly classified test images")
    parser.add_argument("--eps", type=float, default=0.15)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3, help="turns of both")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=[contest.name for contest in CONTESTS], metavar="DEFENSE")
    return parser.parse_args()


def ours(contest: Contest, victim: nn.Module, images: Tensor, labels: Tensor, told: argparse.Namespace) -> Side:
    method, parameters = contest.ours
    defended = getattr(defenses, method)(victim, images, labels, seed=0, batch_size=64, **parameters).module

    @torch.no_grad()
    def answer(some: Tensor) -> Tensor:
        return torch.cat([defended(part).argmax(dim=1) for part in some.split(64)])

    def attack(some: Tensor, truth: Tensor) -> Tensor:
        return attacks.pgd(defended, some, truth, eps=told.eps, step_size=told.eps / 10, steps=told.steps)

    return Side(answer, attack)


def theirs(contest: Contest, victim: nn.Module, shape: tuple[int, ...], told: argparse.Namespace) -> Side:
    from art.attacks.evasion import ProjectedGradientDescent
    from art.defences import preprocessor

    kind, parameters = contest.theirs
    estimator = art_classifier(victim, shape, [getattr(preprocessor, kind)(**parameters)])
    attacker = ProjectedGradientDescent(
        estimator, eps=told.eps, eps_step=told.eps / 10, max_iter=told.steps, num_random_init=1, batch_size=64,
        verbose=False,
    )  # fmt: skip

    def answer(some: Tensor) -> Tensor:
        return torch.from_numpy(estimator.predict(some.numpy(), batch_size=64).argmax(axis=1))

    def attack(some: Tensor, truth: Tensor) -> Tensor:
        return torch.from_numpy(attacker.generate(some.numpy(), truth.numpy()))

    return Side(answer, attack)


def timed(work: Callable[..., Tensor], *given: Tensor) -> tuple[float, Tensor]:
    started = time.perf_counter()
    result = work(*given)
    return time.perf_counter() - started, result


def share(right: Tensor) -> str:
    return f"{100 * right.double().mean():.1f}"


if __name__ == "__main__":
    main()
