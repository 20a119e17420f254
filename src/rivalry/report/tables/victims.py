"""The classifiers: those that were trained, and those that were brought."""

from __future__ import annotations

from rivalry.formatting import NORMS, epsilon, guarded, plain, settings
from rivalry.report.tables._table import MARK, Column, Row, Table, mark
from rivalry.statistics import marks
from rivalry.training._fitting import FittingKeys

OUTPUTS = {
    "logits": "logits",
    "probabilities": "probabilities, of which the logarithm is taken",
    "sigmoid": "the probability of the second class; of it and of the rest the logarithm is taken",
}
"""What a network gives, by the configuration's word."""
DIGITS = 12
"""Of a checksum, as many as tell files apart."""


def victims(report: Row, dataset: str) -> Table:
    rows = [
        fact
        | {
            "architecture": fact["architecture"] or _name(fact["parameters"].get("model", "")),
            "settings": settings(fact["parameters"]) if fact["architecture"] else "",
            "otherwise": otherwise(fact),
            "trained_on": trained_on(fact),
            "seconds": fact["seconds"] if fact["architecture"] else None,
            "refused_clean": fact.get("refused_clean"),  # of those that can refuse
            **mark(marks.of_victim(report["checks"], fact)),
        }
        for fact in report["victims"]
        if fact["dataset"] == dataset
    ]
    refusing = any(row["refused_clean"] is not None for row in rows)
    mistakes = (
        "On the page, refused are clean test images that a victim takes for none of the classes, by mistake. "
        if refusing
        else ""
    )
    return Table(
        f"{dataset}-victims",
        "Victims",
        "Test accuracy is that on the whole test split, with its Wilson interval. "
        + mistakes
        + "Of victims that were trained here, "
        "the epoch that was kept had the best result on validation images, which are split off the training images. "
        "Left out of how a victim was trained is what is the default (config/README.md). Time is that of the "
        f"training. {marks.MEANING}",
        [
            Column("victim", "victim", "name", width=0.11),
            MARK,
            Column("architecture", "architecture", "code", width=0.11),
            Column("method", "training", "code", width=0.15),
            Column("source", "source", "cite", paper=False),
            Column("trained_on", "trained on", width=0.1),
            Column("settings", "parameters", paper=False),
            Column("otherwise", "trained with", paper=False),
            Column("parameters_count", "weights", "count"),
            Column("best_epoch", "epoch kept", "count", paper=False),
            Column("epochs_run", "epochs", "count"),
            Column("validation_accuracy", "validation %", "rate", paper=False),
            Column("clean_accuracy", "test %", "rate", low="clean_low", high="clean_high"),
            *([Column("refused_clean", "refused %", "rate", paper=False)] if refusing else []),
            Column("n_test", "n", "count", paper=False),
            Column("seconds", "time", "time"),
        ],
        rows,
    ).with_seeds("clean_accuracy")


def otherwise(fact: Row) -> str:
    """How a victim was trained in epochs, as far as that is not the default; its epochs have columns of their own."""
    given = {**fact.get("fitting", {}), "warm_start": fact.get("warm_start")}
    usual = {name: field.get_default(call_default_factory=True) for name, field in FittingKeys.model_fields.items()}
    other = {key: value for key, value in given.items() if key != "epochs" and value != usual.get(key)}
    if fact.get("collapsed_epoch") is not None:
        other["stopped by catastrophic overfitting in epoch"] = fact["collapsed_epoch"]
    return settings(other) if other else ""


def trainings(report: Row, dataset: str) -> Table:
    """Each training of the victims that were trained several times, with its worst cases at the headline budgets."""
    cases = [
        case
        for case in report["trainings"]["worst_cases"]
        if case["dataset"] == dataset and case["headline"] and case["defense"] == "none" and not case["reason"]
    ]
    budgets = list(dict.fromkeys((case["norm"], case["eps"]) for case in cases if case["eps"] is not None))
    worst = {(case["victim"], case["seed"], case["norm"]): case for case in cases}
    several = {fact["victim"] for fact in report["victims"] if fact["dataset"] == dataset and fact["seeds"] > 1}
    rows: list[Row] = [
        fact
        | {
            f"worst_{norm}": worst.get((fact["victim"], fact["training"], norm), {}).get("accuracy")
            for norm, _ in budgets
        }
        for fact in report["trainings"]["victims"]
        if fact["dataset"] == dataset and fact["victim"] in several
    ]
    return Table(
        f"{dataset}-trainings",
        "Each training",
        "The trainings behind the means: the same network, data and method, each with a seed of its own.",
        [
            Column("victim", "victim", "name", width=0.2),
            Column("training", "training", "count"),
            Column("epochs_run", "epochs", "count"),
            Column("validation_accuracy", "validation %", "rate", paper=False),
            Column("clean_accuracy", "test %", "rate", low="clean_low", high="clean_high"),
            *(Column(f"worst_{norm}", f"worst case {NORMS[norm]} {epsilon(eps)} %", "rate") for norm, eps in budgets),
            Column("seconds", "time", "time"),
        ],
        sorted(rows, key=lambda row: [fact["victim"] for fact in report["victims"]].index(row["victim"])),
    )


def spreads(report: Row, dataset: str) -> Table:
    rows = [
        row
        | {
            "classifier": guarded(row["victim"], row["defense"]),
            "what": row["rate"].replace("_", " "),
            "under": " ".join(filter(None, (row["attack"], row["source"] and f"from {row['source']}")))
            or row["setting"],
        }
        for row in report["spreads"]
        if row["dataset"] == dataset
    ]
    return Table(
        f"{dataset}-spreads",
        "Spread between seeds",
        "Every rate of the victims that were trained several times: its mean over trainings with its interval, the "
        "standard deviation between trainings, and the lowest and the highest of them.",
        [
            Column("classifier", "classifier", "name", width=0.16),
            Column("what", "rate", width=0.11),
            Column("under", "under", width=0.13),
            Column("setting", "setting", paper=False),
            Column("eps", "ε", "eps"),
            Column("seeds", "trainings", "count"),
            Column("mean", "mean %", "rate", low="low", high="high"),
            Column("deviation", "deviation %", "rate"),
            Column("lowest", "lowest %", "rate"),
            Column("highest", "highest %", "rate"),
        ],
        rows,
        folded=True,
        printed=[row for row in rows if row["setting"] == "worst case" and row["rate"] == "accuracy"],
        omitted="Worst cases only; {} in spreads.csv.",
    )


def trained_on(fact: Row) -> str:
    """What a victim learned from."""
    return "not trained here" if fact["architecture"] is None else fact["poisoning"] or "clean data"


def brought(report: Row, dataset: str) -> Table:
    rows = [
        {
            "victim": fact["victim"],
            "model": _called(fact["parameters"]),
            "given": _given(fact["prepared"]),
            "outputs": OUTPUTS[fact["parameters"]["outputs"]],
            "files": "; ".join(f"{_name(path)} {digits[:DIGITS]}" for path, digits in fact["files"].items()),
            "notes": "; ".join([*fact["notes"], *fact["warnings"]]),
        }
        for fact in report["victims"]
        if fact["dataset"] == dataset and "prepared" in fact
    ]
    return Table(
        f"{dataset}-brought",
        "Networks from outside",
        "These victims were brought by the user. They were not trained here, so that nothing is known of the images "
        "that they learned from. What stands in front of a network (a change of size, channels or range, and the "
        "normalisation) belongs to the victim, and the network's gradients lead through it: attacks and their budgets "
        "are in the data set's own pixels, between zero and one. After each file stand the first digits of its "
        "SHA-256; report.json has all.",
        [
            Column("victim", "victim", "name", width=0.1),
            Column("model", "network", "code", width=0.2),
            Column("given", "is given", width=0.22),
            Column("outputs", "gives", width=0.16),
            Column("files", "files", width=0.24),
            Column("notes", "notes", paper=False),
        ],
        rows,
    )


def _name(path: str) -> str:
    """The last part of a path, with what is named in the file."""
    return path.rsplit("/", 1)[-1]


def _called(parameters: Row) -> str:
    """What names a network, with what it was called with."""
    arguments = ", ".join(f"{name}={value}" for name, value in (parameters["arguments"] or {}).items())
    return _name(parameters["model"]) + (f"({arguments})" if arguments else "")


def _given(prepared: Row) -> str:
    """What a network is given for an image, in words."""
    shape = "x".join(map(str, prepared["shape"]))
    low, high = map(plain, prepared["range"])
    words = f"{shape} numbers from {low} to {high}"
    if prepared["mean"] is not None:
        mean, std = (", ".join(map(plain, prepared[key])) for key in ("mean", "std"))
        words += f", less {mean}, divided by {std}"
    return words
