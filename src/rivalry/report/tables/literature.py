"""What published works say of training methods and defenses, beside what this run measured."""

from __future__ import annotations

from rivalry.formatting import MISSING, guarded
from rivalry.references import named
from rivalry.report.tables._table import MARK, Column, Row, Table, mark
from rivalry.statistics import marks
from rivalry.statistics.literature import BROKEN, MARGIN, OF_SIZE, RESISTED, ROLES, expected


def claims(report: Row, dataset: str) -> Table:
    rows = [
        row
        | {
            "remarks": row["note"],
            "who": guarded(row["victim"], row["defense"]),
            "says": f"{ROLES[row['role']]}: {expected(row)}",
            "beside": _beside(row),
            **_ours(row),
            **mark(marks.of_victim(report["checks"], row)),
        }
        for row in report["claims"]
        if row["dataset"] == dataset
    ]
    of_size = any(row["size"] is not None for row in rows)
    return Table(
        f"{dataset}-claims",
        "Claims of the literature",
        "What was published about each training method and defense here, and what breaks it; beside it what this run "
        "measured. A control is what we expect where no source says it. A gain is in percentage points of the images "
        "kept, over a twin: a plain victim with the same network and data, or the same victim without the defense; of "
        "two attacks it is how many more images the first turns. Its interval is paired. It is called a gain only "
        "where the paired test shows one after Holm's correction (worst cases and all else apart), and no gain only "
        "where the whole interval lies below "
        f"{100 * MARGIN:g} points; what the numbers leave open is “not shown”. An attack breaks a method if it "
        f"fools at least {100 * BROKEN:g} % of the images, and is resisted if it fools at most {100 * RESISTED:g} %. "
        "Budgets are at most those that a victim was trained for. Sizes are how much longer the changes are that one "
        "needs than its twin, in the median. "
        f"{marks.MEANING}",
        [
            Column("who", "victim", "name", width=0.09),
            MARK,
            Column("name", "method", paper=False),
            Column("says", "the literature says", width=0.17),
            Column("source", "source", "cite", width=0.1),
            Column("outcome", "verdict", width=0.085),
            Column("gain", "ours, gain", "points", low="gain_low", high="gain_high"),
            Column("fooled", "ours, fooled %", "rate", low="fooled_low", high="fooled_high"),
            *([Column("size", "ours, L2", "number", low="size_low", high="size_high")] if of_size else []),
            Column("beside", "beside", width=0.08),
            Column("eps", "ε", "eps"),
            Column("n", "n", "count", paper=False),
            Column("holm_p", "p (Holm)", "p", paper=False),
            Column("accuracy", "kept %", "rate", paper=False),
            Column("base_accuracy", "kept beside %", "rate", paper=False),
            Column("remarks", "remarks", paper=False),
        ],
        rows,
    )


def _beside(row: Row) -> str:
    """What a number is set against: the twin, or the weaker attack."""
    if not row["base"]:
        return MISSING
    return "undefended" if row["defense"] != "none" and row["expects"] != "stronger" else str(row["base"])


def _ours(row: Row) -> Row:
    """What was measured, in the columns of what it is."""
    measures = "fooled" if row["expects"] in ("fooled", "resists") else "size" if row["expects"] in OF_SIZE else "gain"
    columns = {f"{name}{end}": None for name in ("gain", "fooled", "size") for end in ("", "_low", "_high")}
    return columns | {measures: row["value"], f"{measures}_low": row["low"], f"{measures}_high": row["high"]}


def broken_by(report: Row, fact: Row) -> str:
    """What is known to break a defense, as a sentence for whoever reads its numbers; '' where nothing is on file."""
    mine = [
        row
        for row in report["claims"]
        if row["role"] == "break" and all(row[key] == fact[key] for key in ("dataset", "victim", "defense"))
    ]
    words = dict.fromkeys(f"{expected(row)} ({named(row['source'])})" for row in mine)
    return f" Known to be broken: {'; '.join(words)}." if words else ""
