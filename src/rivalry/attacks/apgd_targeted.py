from __future__ import annotations

from torch import Tensor

from rivalry.attacks._apgd import apgd, dlr
from rivalry.attacks._attack import attack
from rivalry.attacks._goals import Goal
from rivalry.attacks._oracles import Gradients
from rivalry.randomness import Random
from rivalry.types import Count, Few, NonNegative, Norm


@attack(
    sees="gradients",
    goals=["untargeted"],
    norms=["inf", 2],
    budget="fixed",
    source="croce2020",
)
def apgd_targeted(
    victim: Gradients,
    images: Tensor,
    goal: Goal,
    random: Random,
    *,
    norm: Norm = "inf",
    eps: NonNegative = 0.3,
    steps: Count = 100,
    restarts: Few = 1,
    candidates: Few = 9,
) -> Tensor:
    """Auto-PGD towards each of the likeliest other classes in turn, until the victim errs in any way.

    Ascends the targeted difference of logits ratio within the eps ball and [0,1]. One loss for all classes follows
    whichever leads at the moment, and can be stuck between two of them; a fixed one cannot. It costs up to
    `candidates` times an untargeted run, spent only on images that still resist.

    Parameters
    ----------
    norm : "inf" or 2
        Norm of the budget.
    eps : float
        Budget in units of the [0,1] pixel range.
    steps : int
        Most steps per start.
    restarts : int
        Rounds through all candidates, each start at a new random point.
    candidates : int
        How many classes, the most likely ones of the clean image, are tried.
    """
    rivals = goal.rivals(victim.logits(images), candidates)
    aims = [Goal(goal.labels, rival, goal.reject) for rival in rivals.unbind(dim=1)] * restarts
    return apgd(victim, images, goal, random, aims=aims, loss_of=dlr, norm=norm, eps=eps, steps=steps)
