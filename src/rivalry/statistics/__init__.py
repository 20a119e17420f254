"""Statistics: intervals, tests and the tables of the report.

`rates`, `paired` and `budgets` are textbook statistics on plain numbers and arrays. `scores` turns the
files of a match into one row of the table of scores, `comparisons` sets matches against each other, and
`reported` sets them against the numbers that the seed documents print.
"""

from rivalry.statistics.budgets import BudgetComparison, bootstrap_interval, compare_budgets
from rivalry.statistics.comparisons import compare, kept_apart
from rivalry.statistics.paired import holm, mcnemar_exact, paired_interval
from rivalry.statistics.rates import difference_of_error_rates, verdict, wilson_interval
from rivalry.statistics.reported import set_against_reported
from rivalry.statistics.scores import Match, evaluated_matches, undefended_matches

__all__ = [
    "BudgetComparison",
    "Match",
    "bootstrap_interval",
    "compare",
    "compare_budgets",
    "difference_of_error_rates",
    "evaluated_matches",
    "holm",
    "kept_apart",
    "mcnemar_exact",
    "paired_interval",
    "set_against_reported",
    "undefended_matches",
    "verdict",
    "wilson_interval",
]
