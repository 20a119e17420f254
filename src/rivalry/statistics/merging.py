"""From one row a training to one row a victim: what figures and report show of victims that were trained several times.

Rates are then means over trainings, with the interval of `over_seeds`, and `RATE_seeds` holds that of each training.
All other numbers are means, too. Rows of victims that were trained once stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from rivalry.formatting import missing
from rivalry.statistics.over_seeds import rate_over_seeds

Row = dict[str, Any]
T = TypeVar("T")


class Rate(NamedTuple):
    """A rate of a table: its column, those of its interval ("" where it has none), and that of how many it is of."""

    name: str
    low: str
    high: str
    of: str


class Kind(NamedTuple):
    """A table with one row a training.

    Attributes
    ----------
    names : tuple of str
        What tells its rows apart.
    setting : str
        What spreads.csv says of its setting, where it has no such column.
    rates : tuple of Rate
    others : tuple of str
        Numbers that figures show of each training.
    """

    names: tuple[str, ...]
    setting: str
    rates: tuple[Rate, ...]
    others: tuple[str, ...] = ()

    @property
    def shown(self) -> tuple[str, ...]:
        """What is also kept of each training."""
        return (*(rate.name for rate in self.rates), *self.others)


KINDS = {
    "victims": Kind(
        ("dataset", "victim"), "test split", (Rate("clean_accuracy", "clean_low", "clean_high", "n_test"),)
    ),
    "scores": Kind(
        ("dataset", "victim", "defense", "setting", "attack", "norm", "eps"),
        "",
        (
            Rate("clean_accuracy", "clean_low", "clean_high", "n"),
            Rate("adversarial_accuracy", "adversarial_low", "adversarial_high", "n"),
            Rate("success_rate", "success_low", "success_high", "n_attacked"),
            Rate("flagged_clean", "flagged_clean_low", "flagged_clean_high", "n"),
            Rate("flagged_adversarial", "flagged_adversarial_low", "flagged_adversarial_high", "n_crafted"),
            Rate("flagged_at_1", "flagged_at_1_low", "flagged_at_1_high", "n_crafted"),
            Rate("flagged_at_5", "flagged_at_5_low", "flagged_at_5_high", "n_crafted"),
        ),
        ("mean_l2", "mean_linf"),
    ),
    "worst_cases": Kind(
        ("dataset", "victim", "defense", "norm", "eps"),
        "worst case",
        (Rate("accuracy", "low", "high", "n"), Rate("clean_accuracy", "", "", "n")),
    ),
    "transfers": Kind(
        ("dataset", "victim", "attack", "source", "norm", "eps"),
        "replayed",
        (Rate("transfer_rate", "low", "high", "n"), Rate("rate_fooling", "low_fooling", "high_fooling", "n_fooling")),
    ),
}


def spreads(tables: Mapping[str, Sequence[Row]], confidence: float) -> Iterator[Row]:
    """The rows of spreads.csv: each rate of `tables`, by their kind, that several trainings have."""
    for name, rows in tables.items():
        for of_victim in grouped(name, rows, dict):
            for rate in KINDS[name].rates:
                known = [row for row in of_victim if not missing(row[rate.name])]
                if len(known) > 1:
                    n = sum(row[rate.of] for row in known) / len(known)
                    found = rate_over_seeds([row[rate.name] for row in known], n, confidence)
                    about = dict(zip(NAMES, _key(name, of_victim[0]), strict=True))
                    yield about | {"rate": rate.name, "seeds": len(known)} | found._asdict()


NAMES = ("dataset", "victim", "defense", "setting", "attack", "source", "norm", "eps")
"""What tells the rows of spreads.csv apart, besides the rate."""


def over_seeds(name: str, rows: Iterable[Row], spread: Iterable[Row]) -> list[Row]:
    """One row for all trainings of a victim, where `rows`, of a kind, have one a training.

    Parameters
    ----------
    name : str
        Of KINDS.
    rows : iterable of dict
        Missing numbers are None or NaN.
    spread : iterable of dict
        Rows of spreads.csv.

    Returns
    -------
    list of dict
        In the order of the first trainings. With `seeds`, how many trainings there were, and for each rate, and some
        other numbers, NAME_seeds: a list of its values in the order of seeds, empty where there was one training.
    """
    found = {(*(_plain(row[key]) for key in NAMES), row["rate"]): row for row in spread}
    merged = []
    for of_victim in grouped(name, rows, dict):
        row, several = of_victim[0], of_victim if len(of_victim) > 1 else []
        if several:
            row = means(name, several)
        row = row | {"seeds": len(of_victim)}
        row |= {f"{key}_seeds": [one[key] for one in several if not missing(one[key])] for key in KINDS[name].shown}
        for rate in KINDS[name].rates:
            told = found.get((*_key(name, of_victim[0]), rate.name))
            if told is not None:
                row[rate.name] = told["mean"]
                row |= {rate.low: told["low"], rate.high: told["high"]} if rate.low else {}
        merged.append(row)
    return merged


def grouped(name: str, items: Iterable[T], row: Callable[[T], Row]) -> list[list[T]]:
    """Items of one victim's trainings together, given the row of each, of a kind."""
    groups: dict[tuple[Any, ...], list[T]] = {}
    for item in items:
        groups.setdefault(_key(name, row(item)), []).append(item)
    return list(groups.values())


def means(name: str, rows: Sequence[Row]) -> Row:
    """One row for those of several trainings, which are of a kind."""
    return {key: value if key in KINDS[name].names else _together(key, rows) for key, value in rows[0].items()}


def _key(name: str, row: Row) -> tuple[Any, ...]:
    """A row's values of NAMES."""
    kind = KINDS[name]
    usual = {"defense": "none", "setting": kind.setting}
    return tuple(
        _plain(row[key]) if key in kind.names else usual.get(key, None if key == "eps" else "") for key in NAMES
    )


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def _together(key: str, rows: Sequence[Row]) -> Any:
    """What the rows of several trainings say together."""
    values = [row[key] for row in rows]
    numbers = [value for value in values if not missing(value)]
    if key == "strongest":  # of attacks that are equal, the first
        return " or ".join(dict.fromkeys(value.split(", ")[0] for value in values if value))
    if key == "reason":
        return next((value for value in values if value), "")
    if key == "median_distance" and len(numbers) < len(values):
        return None
    if not numbers or any(isinstance(value, bool) or not isinstance(value, int | float) for value in numbers):
        return values[0]
    mean = sum(numbers) / len(numbers)
    return round(mean) if all(isinstance(value, int) for value in numbers) else mean
