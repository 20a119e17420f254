"""What the report checks about its own results, from the files alone: one check, or a few that look alike, a file.

A check is a function of one data set's `Evidence` that yields rows of checks.csv (`_rows.row`). A row says what was
looked at, whether it passed, and which numbers it touches. What could not be looked at (no image in common, nothing
attacked) is a warning, never a pass. A new check is one file and one line below.
"""

from rivalry.checks.again import best_returned, longer
from rivalry.checks.answers import answers
from rivalry.checks.brought import brought
from rivalry.checks.certificates import certificates
from rivalry.checks.constant_victim import constant_victim
from rivalry.checks.converged import beside_gradients, converged
from rivalry.checks.fooling_images import fooling_images
from rivalry.checks.images import images
from rivalry.checks.innocent_classes import innocent_classes
from rivalry.checks.leakage import leakage
from rivalry.checks.literature import literature
from rivalry.checks.lying_gradients import lying_gradients
from rivalry.checks.same_images import same_images
from rivalry.checks.scoring import scoring
from rivalry.checks.strength import adaptive, iterative, masking, noise, transfer
from rivalry.checks.unbounded import unbounded

CHECKS = (
    images,
    same_images,
    leakage,
    answers,
    brought,
    unbounded,
    iterative,
    noise,
    masking,
    adaptive,
    lying_gradients,
    converged,
    beside_gradients,
    longer,
    best_returned,
    transfer,
    scoring,
    literature,
    innocent_classes,
    constant_victim,
    fooling_images,
    certificates,
)
"""All checks, in the order of checks.csv."""
