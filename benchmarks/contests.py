"""Who meets whom at which price: one contest per attack, with every library's spelling of the same budget.

The budget is what the attack's paper counts (iterations, eps, restarts, candidates). Where a library cannot be given
that budget, a comment says what it is given instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any


@dataclass(frozen=True)
class Call:
    """One library's attack and its parameters."""

    attack: str
    parameters: dict[str, Any]


@dataclass(frozen=True)
class Contest:
    """One attack as each library has it.

    Attributes
    ----------
    name : str
        How the tables call it.
    norm : "inf", 2 or 0
        Norm of the budget, or what the attack minimises.
    eps : float or None
        Budget that a success must keep; None for an attack that minimises the norm.
    calls : dict of Call
        By library.
    targeted : bool
        Whether every image is to be taken for the class after its own.
    """

    name: str
    norm: str | int
    eps: float | None
    calls: dict[str, Call]
    targeted: bool = False


def call(attack: str, /, **parameters: Any) -> Call:
    return Call(attack, parameters)


CONTESTS = [
    Contest(
        "fgsm",
        "inf",
        0.3,
        {
            "rivalry": call("fgsm", eps=0.3),
            "art": call("FastGradientMethod", eps=0.3),
            "foolbox": call("LinfFastGradientAttack"),
            "torchattacks": call("FGSM", eps=0.3),
        },
    ),
    Contest(
        "i_fgsm",
        "inf",
        0.3,
        {
            "rivalry": call("i_fgsm", eps=0.3, eps_step=0.05, steps=10),
            "art": call("BasicIterativeMethod", eps=0.3, eps_step=0.05, max_iter=10),
            "foolbox": call("LinfBasicIterativeAttack", abs_stepsize=0.05, steps=10),
            "torchattacks": call("BIM", eps=0.3, alpha=0.05, steps=10),
        },
    ),
    Contest(
        "bim",
        "inf",
        0.3,
        {
            "rivalry": call("bim", eps=0.3, step_size=0.01, steps=40),
            "art": call("BasicIterativeMethod", eps=0.3, eps_step=0.01, max_iter=40),
            "foolbox": call("LinfBasicIterativeAttack", abs_stepsize=0.01, steps=40),
            "torchattacks": call("BIM", eps=0.3, alpha=0.01, steps=40),
        },
    ),
    Contest(
        "pgd",
        "inf",
        0.3,
        {
            "rivalry": call("pgd", norm="inf", eps=0.3, step_size=0.01, steps=40, restarts=1),
            "art": call("ProjectedGradientDescent", eps=0.3, eps_step=0.01, max_iter=40, num_random_init=1),
            "foolbox": call("LinfProjectedGradientDescentAttack", abs_stepsize=0.01, steps=40),
            "torchattacks": call("PGD", eps=0.3, alpha=0.01, steps=40),
            "adv-lib": call("pgd_linf", ε=0.3, absolute_step_size=0.01, steps=40, restarts=1),
        },
    ),
    Contest(
        "mi_fgsm",
        "inf",
        0.3,
        {
            "rivalry": call("mi_fgsm", eps=0.3, steps=10, momentum=1.0),
            "art": call("MomentumIterativeMethod", eps=0.3, eps_step=0.03, max_iter=10, decay=1.0),
            "foolbox": call("LinfMomentumIterativeFastGradientMethod", abs_stepsize=0.03, steps=10, momentum=1.0),
            "torchattacks": call("MIFGSM", eps=0.3, alpha=0.03, steps=10, decay=1.0),
        },
    ),
    Contest(
        "deepfool L2",
        2,
        None,
        {
            "rivalry": call("deepfool", norm=2, steps=50, overshoot=0.02, candidates=10),
            "art": call("DeepFool", max_iter=50, epsilon=0.02, nb_grads=10),
            "foolbox": call("L2DeepFoolAttack", steps=50, candidates=10, overshoot=0.02),
            "torchattacks": call("DeepFool", steps=50, overshoot=0.02),
            "adv-lib": call("df", norm=2, steps=50, overshoot=0.02),
        },
    ),
    Contest(
        "deepfool Linf",
        "inf",
        None,
        {
            "rivalry": call("deepfool", norm="inf", steps=50, overshoot=0.02, candidates=10),
            "foolbox": call("LinfDeepFoolAttack", steps=50, candidates=10, overshoot=0.02),
            "adv-lib": call("df", norm=inf, steps=50, overshoot=0.02),
        },
    ),
    Contest(
        "cw L2",
        2,
        None,
        {
            "rivalry": call("cw", norm=2, search_steps=9, steps=100),
            "art": call(
                "CarliniL2Method", binary_search_steps=9, max_iter=100, learning_rate=0.01, initial_const=0.001
            ),
            "foolbox": call(
                "L2CarliniWagnerAttack", binary_search_steps=9, steps=100, stepsize=0.01, initial_const=0.001
            ),
            # No search for the constant: all 9 x 100 iterations go to its default, 1.
            "torchattacks": call("CW", c=1, steps=900, lr=0.01),
            "adv-lib": call(
                "carlini_wagner_l2",
                binary_search_steps=9,
                max_iterations=100,
                learning_rate=0.01,
                initial_const=0.001,
            ),
        },
    ),
    Contest(
        "cw Linf",
        "inf",
        None,
        {
            "rivalry": call("cw", norm="inf", search_steps=9, steps=100),
            # The paper's search over two constants; its length is not theirs to choose, so only the iterations of one
            # of its steps are the same.
            "art": call("CarliniLInfMethod", max_iter=100, learning_rate=0.01),
            "adv-lib": call("carlini_wagner_linf", max_iterations=100, learning_rate=0.01),
        },
    ),
    Contest(
        "jsma",
        0,
        None,
        {
            "rivalry": call("jsma", theta=1.0, gamma=0.145),
            "art": call("SaliencyMapMethod", theta=1.0, gamma=0.145),
            "torchattacks": call("JSMA", theta=1.0, gamma=0.145),
        },
        targeted=True,
    ),
    Contest(
        "one_pixel",
        0,
        1,
        {
            "rivalry": call("one_pixel", eps=1, generations=75, population=40),
            # `popsize` is divided by the 3 unknowns (row, column, grey value) and multiplied again: 39 individuals;
            # `steps` are the generations after the first.
            "torchattacks": call("OnePixel", pixels=1, steps=75, popsize=40),
            # Its population is fixed at 399, so 7 generations after the first cost as many queries as 75 of 40.
            "art": call("PixelAttack", th=1, es=1, max_iter=7),
        },
    ),
    Contest(
        "hopskipjump L2",
        2,
        None,
        {
            "rivalry": call("hopskipjump", norm=2, iterations=8, max_evaluations=100, initial_evaluations=10),
            "art": call("HopSkipJump", norm=2, max_iter=8, max_eval=100, init_eval=10),
            "foolbox": call("HopSkipJumpAttack", steps=8, max_gradient_eval_steps=100, initial_gradient_eval_steps=10),
        },
    ),
    Contest(
        "square",
        "inf",
        0.15,
        {
            "rivalry": call("square", norm="inf", eps=0.15, queries=1000),
            # Asks the victim three times for every candidate; given as many candidates, not as many queries.
            "art": call("SquareAttack", eps=0.15, max_iter=1000),
            "torchattacks": call("Square", norm="Linf", eps=0.15, n_queries=1000),
        },
    ),
    Contest(
        "apgd_ce",
        "inf",
        0.1,
        {
            "rivalry": call("apgd_ce", norm="inf", eps=0.1, steps=100, restarts=1),
            "art": call(
                "AutoProjectedGradientDescent",
                eps=0.1,
                eps_step=0.2,
                max_iter=100,
                nb_random_init=1,
                loss_type="cross_entropy",
            ),
            "torchattacks": call("APGD", norm="Linf", eps=0.1, steps=100, n_restarts=1, loss="ce"),
            "adv-lib": call("apgd", norm=inf, eps=0.1, n_iter=100, n_restarts=1, loss_function="ce"),
        },
    ),
    Contest(
        "apgd_dlr",
        "inf",
        0.1,
        {
            "rivalry": call("apgd_dlr", norm="inf", eps=0.1, steps=100, restarts=1),
            "art": call(
                "AutoProjectedGradientDescent",
                eps=0.1,
                eps_step=0.2,
                max_iter=100,
                nb_random_init=1,
                loss_type="difference_logits_ratio",
            ),
            "torchattacks": call("APGD", norm="Linf", eps=0.1, steps=100, n_restarts=1, loss="dlr"),
            "adv-lib": call("apgd", norm=inf, eps=0.1, n_iter=100, n_restarts=1, loss_function="dlr"),
        },
    ),
    Contest(
        "apgd_targeted",
        "inf",
        0.1,
        {
            "rivalry": call("apgd_targeted", norm="inf", eps=0.1, steps=100, restarts=1, candidates=9),
            "torchattacks": call("APGDT", norm="Linf", eps=0.1, steps=100, n_restarts=1),
            "adv-lib": call("apgd_targeted", norm=inf, eps=0.1, n_iter=100, n_restarts=1),
        },
    ),
    Contest(
        "fab Linf",
        "inf",
        None,
        {
            "rivalry": call("fab", norm="inf", steps=100, restarts=1),
            # Returns only what lies within `eps`: 1 lets everything through.
            "torchattacks": call("FAB", norm="Linf", eps=1.0, steps=100, n_restarts=1),
            "adv-lib": call("fab", norm=inf, n_iter=100, restarts=1),
        },
    ),
    Contest(
        "fab L2",
        2,
        None,
        {
            "rivalry": call("fab", norm=2, steps=100, restarts=1),
            "torchattacks": call("FAB", norm="L2", eps=100.0, steps=100, n_restarts=1),
            "adv-lib": call("fab", norm=2, n_iter=100, restarts=1),
        },
    ),
    Contest(
        "universal",
        "inf",
        0.3,
        {
            "rivalry": call("universal", norm="inf", eps=0.3, passes=5, fooling_rate=0.8),
            "art": call(
                "UniversalPerturbation",
                attacker="deepfool",
                attacker_params={"max_iter": 10, "epsilon": 0.02, "nb_grads": 10, "verbose": False},
                eps=0.3,
                max_iter=5,
                delta=0.2,
            ),
        },
    ),
]
