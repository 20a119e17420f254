"""Two of a kind against each other, and what is not compared."""

from __future__ import annotations

from rivalry.formatting import NORMS, epsilon, missing, plural
from rivalry.report.tables._table import LONG, MARK, Column, Row, Table, mark
from rivalry.statistics import marks
from rivalry.statistics.comparisons import PRIMARY, SECONDARY, SIZED

KINDS = {
    "worst case": (
        "Worst cases against each other",
        "Two classifiers under all attacks that were aimed at both, image by image.",
    ),
    "replayed": (
        "Under replayed images",
        "Two victims under all images that were crafted on others and replayed on both, image by image.",
    ),
    "attack": ("Attacks against each other", "Two attacks on one victim, each at its largest budget."),
    "victim": ("Victims against each other", "Two victims under the same attack."),
    "defense": (
        "Defenses",
        "A defended victim and the same one without the defense, or with another, under one attack.",
    ),
    "clean": ("Without any attack", "What a victim or a defense costs on clean images."),
    "budget": (
        "Sizes of changes",
        "L2 of two attacks on the images that both fooled: the median of the differences, image by image, with its "
        "bootstrap interval.",
    ),
    "needed": (
        "Sizes of changes that victims need",
        "L2 of the changes by which one attack that looks for the smallest turns two victims, on the images that it "
        "turns on both: the median of the differences, image by image, with its bootstrap interval.",
    ),
}


SIZES = [
    Column("median_l2_a", "median L2 of a", "number", paper=False),
    Column("median_l2_b", "median L2 of b", "number", paper=False),
    Column("median_difference", "median difference", "number"),
    Column("low", "low", "number"),
    Column("high", "high", "number"),
    Column("rank_correlation", "rank correlation", "number", paper=False),
]
ERRORS = [
    Column("error_a", "error a %", "rate", paper=False),
    Column("error_b", "error b %", "rate", paper=False),
    Column("difference", "difference", "points", low="paired_low", high="paired_high"),
    Column("low", "independent low", "points", paper=False),
    Column("high", "independent high", "points", paper=False),
    Column("discordant_a", "only a errs", "count", paper=False),
    Column("discordant_b", "only b errs", "count", paper=False),
]
SEEDS = [
    Column("seeds_a", "trainings of a", "count", paper=False),
    Column("seeds_b", "trainings of b", "count", paper=False),
    Column("deviation_a", "deviation a %", "rate", paper=False),
    Column("deviation_b", "deviation b %", "rate", paper=False),
]
"""Of victims that were trained several times: how often, and the standard deviation of the error between trainings."""
UNDECIDED = {"not tested": "not tested", "not distinguishable": "neither shown", "sizes differ": "neither always"}
"""Beginnings of verdicts that name no side, and what stands for them in a few words."""
MOST_PRINTED = 48
"""Rows of one kind that the paper prints per data set; the page and comparisons.csv have all."""


def comparisons(report: Row, dataset: str) -> list[Table]:
    """One table per kind of comparison."""
    tables = []
    for kind, (title, note) in KINDS.items():
        rows = [
            row
            | {"under": _under(row), "like": "yes" if row["like_for_like"] else "no"}
            | mark(_touched(report, row))
            | {"seeds": max(row["seeds_a"], row["seeds_b"]), "shown": _shown(row)}
            for row in report["comparisons"]
            if row["dataset"] == dataset and row["kind"] == kind
        ]
        more = "larger" if kind in SIZED else "more errors"
        if any(row["goal"] == "targeted" for row in rows):
            note += " Of a targeted attack, a hit is the error."
        side = 0.17 if kind in SIZED else 0.21  # sizes take more room than errors
        under = Column("under", "on" if kind in ("attack", "budget") else "under", width=0.12)
        tables.append(
            Table(
                f"{dataset}-comparisons-{kind.replace(' ', '-')}",
                title,
                f"{note} {_tested(report, kind)} {marks.MEANING}",
                [
                    Column("a", "a", width=side),
                    MARK,
                    Column("b", "b", width=side),
                    *([under] if kind != "clean" else []),
                    Column("n_a", "n", "count", paper=False),
                    *(SEEDS if any(row["seeds"] > 1 for row in rows) else []),
                    *(SIZES if kind in SIZED else ERRORS),
                    Column("holm_p", "p (Holm)", "p"),
                    Column("like", "like for like", paper=False),
                    Column("shown", more),
                    Column("verdict", "verdict", paper=False),
                    Column("note", "note", paper=False),
                ],
                rows,
                folded=len(rows) > LONG,
                printed=[row for row in rows if row["like"] == "yes"][:MOST_PRINTED],
                omitted="Like-for-like comparisons only; {} in comparisons.csv.",
            )
        )
    return tables


def _shown(row: Row) -> str:
    """Which side the verdict says has more, errors or length: a, b or neither."""
    for beginning, words in UNDECIDED.items():
        if row["verdict"].startswith(beginning):
            return words
    return "a" if row["median_difference" if row["kind"] in SIZED else "difference"] > 0 else "b"


def _tested(report: Row, kind: str) -> str:
    """With how many others comparisons of a kind are corrected."""
    family = PRIMARY if kind == "worst case" else SECONDARY
    n = sum(row["family"] == family for row in report["comparisons"])
    of = "of worst cases" if family == PRIMARY else "of this report other than those of worst cases"
    return (
        "Verdicts speak of the interval beside them and of p, which Holm corrected for the "
        f"{plural(n, 'like-for-like comparison')} {of} (the {family} family); the others are not tested."
    )


def _touched(report: Row, row: Row) -> list[Row]:
    """The kinds of self-checks that touch either side of a comparison."""
    found: list[Row] = []
    for side in "ab":
        who = {"dataset": row["dataset"], "victim": row[f"victim_{side}"], "defense": row[f"defense_{side}"]}
        if row["kind"] == "worst case":
            about = who | {"norm": row["norm"], "eps": row[f"eps_{side}"]}
            cases = (case for case in report["worst_cases"] if all(case[key] == about[key] for key in about))
            found += [one for case in cases for one in case["marks"]]
        elif row["kind"] in ("clean", "replayed"):
            found += marks.of_victim(report["checks"], who)
        else:
            setting = row["setting"] if who["defense"] != "none" else "undefended"
            match = who | {"attack": row[f"attack_{side}"], "eps": row[f"eps_{side}"], "setting": setting}
            found += marks.of_score(report["checks"], match)
    return marks.kinds(found)


def _under(row: Row) -> str:
    if row["kind"] in ("attack", "budget"):
        return str(row["victim"])
    if row["kind"] in ("worst case", "replayed"):
        return NORMS[row["norm"]] if missing(row["eps_a"]) else f"{NORMS[row['norm']]} ε {epsilon(row['eps_a'])}"
    return row["attack"] if missing(row["eps_a"]) else f"{row['attack']} (eps {epsilon(row['eps_a'])})"


def kept_apart(report: Row) -> Table:
    return Table(
        "kept-apart",
        "Not compared or not run",
        "Pairs that this run does not compare, and attacks that it does not run, each with the reason.",
        [Column("what", "what", width=0.5), Column("reason", "reason", width=0.42)],
        report["kept_apart"],
    )
