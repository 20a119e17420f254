"""What limits a report, told in it: made from its facts."""

from __future__ import annotations

from typing import Any

from rivalry.formatting import listing

Fact = dict[str, Any]


def limits(report: Fact) -> list[str]:
    """Sentences that say what the numbers do not cover."""
    brought = list(dict.fromkeys(v["victim"] for v in report["victims"] if v["architecture"] is None))
    trained_on = {v["dataset"] for v in report["victims"] if v["architecture"] is not None}
    sentences = []
    if trained_on:
        sentences.append(
            f"Every victim{' that was trained here' if brought else ''} was trained once, from one seed. Intervals "
            "and tests cover the choice of test images, not what another training run would give."
        )
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
