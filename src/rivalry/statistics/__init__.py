"""Statistics: intervals, tests and the tables of the report.

`rates`, `paired` and `budgets` are textbook statistics on plain numbers and arrays, `over_seeds` those of victims that
were trained several times. `scores` turns the files of a match into one row of the table of scores, `worst_case` takes
all attacks on a classifier together, `comparisons` sets matches and worst cases against each other, `transfers` counts
what replayed images do, and `reported` sets them against the numbers that the seed documents print, `literature`
against what published works say of methods. `merging` makes one row of those of several trainings. `trust` says which
self-checks touch a number.
"""

from rivalry.statistics.budgets import BudgetComparison, bootstrap_interval, budget_verdict, compare_budgets
from rivalry.statistics.comparisons import compare, kept_apart
from rivalry.statistics.over_seeds import difference_in_every_training, difference_over_seeds, rate_over_seeds
from rivalry.statistics.paired import holm, mcnemar_exact, paired_interval
from rivalry.statistics.rates import difference_of_error_rates, verdict, wilson_interval
from rivalry.statistics.reported import set_against_reported
from rivalry.statistics.scores import ScoredMatch, evaluated_matches, undefended_matches
from rivalry.statistics.trust import summary, touching

__all__ = [
    "BudgetComparison",
    "ScoredMatch",
    "bootstrap_interval",
    "budget_verdict",
    "compare",
    "compare_budgets",
    "difference_in_every_training",
    "difference_of_error_rates",
    "difference_over_seeds",
    "evaluated_matches",
    "holm",
    "kept_apart",
    "mcnemar_exact",
    "paired_interval",
    "rate_over_seeds",
    "set_against_reported",
    "summary",
    "touching",
    "undefended_matches",
    "verdict",
    "wilson_interval",
]
