"""What limits a report, told in it: made from its facts."""

from __future__ import annotations

from typing import Any

from rivalry.formatting import listing

Fact = dict[str, Any]


def limits(report: Fact) -> list[str]:
    """Sentences that say what the numbers do not cover."""
    brought = list(dict.fromkeys(v["victim"] for v in report["victims"] if v["architecture"] is None))
    here = [victim for victim in report["victims"] if victim["architecture"] is not None]
    trained_on = {victim["dataset"] for victim in here}
    sentences = _trainings(here, bool(brought))
    sentences.append(
        "A worst case is only as strong as the attacks that were run. Against attacks that were not tried, accuracy "
        "can be lower."
    )
    if brought:
        sentences.append(
            f"Not trained here: {listing(brought)}. It is not known which images a network from outside learned from; "
            "if test images were among these, its accuracy is too high."
        )
    for file in dict.fromkeys(method["file"] for method in report["plugins"]):
        own = [f"{method['kind']} {method['name']}" for method in report["plugins"] if method["file"] == file]
        sentences.append(f"Written by the user ({file}), and not covered by the tests of rivalry: {listing(own)}.")
    for fact in report["datasets"]:
        if fact["provenance"].get("limit"):
            sentences.append(f"{fact['dataset']}: {fact['provenance']['limit']}.")
        if fact["n_train"] < fact["n_train_available"] and fact["dataset"] in trained_on:
            kept, all_ = fact["n_train"], fact["n_train_available"]
            sentences.append(f"{fact['dataset']}: victims learned from {kept:,} of {all_:,} training images.")
        met = {row["attack"]: row["n"] for row in report["attacks"] if row["dataset"] == fact["dataset"]}
        most = max(met.values(), default=0)
        if most and most < fact["n_test"]:
            sentences.append(f"{fact['dataset']}: attacks met at most {most:,} of {fact['n_test']:,} test images.")
        fewer = [f"{attack} ({n:,})" for attack, n in met.items() if n < most]
        if fewer:
            sentences.append(f"{fact['dataset']}: some attacks met fewer images: {listing(fewer)}.")
    return sentences


FEW_SEEDS = 5
"""Fewer trainings than this say little of the spread between seeds."""


def _trainings(victims: list[Fact], others: bool) -> list[str]:
    """What the number of trainings leaves open, of victims that were trained here; `others` were not."""
    moved = [victim for victim in victims if victim["chance"]]
    settled = list(dict.fromkeys(victim["victim"] for victim in victims if not victim["chance"]))
    several = [victim for victim in moved if victim["seeds"] > 1]
    once = list(dict.fromkeys(victim["victim"] for victim in moved if victim["seeds"] == 1))
    sentences = []
    if victims and not several:
        sentences.append(
            f"Every victim{' that was trained here' if others else ''} was trained once, from one seed. Intervals and "
            "tests cover the choice of test images, not what another training run would give: a difference between two "
            "victims may be the luck of a training. The key `seeds` trains each several times."
        )
    if several:
        times = sorted({victim["seeds"] for victim in several})
        sentences.append(
            f"Victims were trained {listing([str(number) for number in times])} times, each time with a seed of its "
            "own. Intervals of their rates and tests between them cover seeds and test images. Pictures, figures of "
            "single images, and fooling images are of the first training."
        )
        if once:
            sentences.append(f"Trained once: {listing(once)}. A difference from these may be the luck of a training.")
        if settled:
            sentences.append(f"Trained once, since another seed would change nothing: {listing(settled)}.")
        if times[0] < FEW_SEEDS:
            sentences.append(
                f"{times[0]} seeds say little of the spread between them: a difference between two victims that is not "
                "called one may well be there. More seeds would tell."
            )
    return sentences
