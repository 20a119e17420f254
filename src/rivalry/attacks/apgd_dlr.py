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
    goals=["untargeted", "targeted"],
    norms=["inf", 2],
    budget="fixed",
    source="croce2020",
)
def apgd_dlr(
    victim: Gradients,
    images: Tensor,
    goal: Goal,
    random: Random,
    *,
    norm: Norm = "inf",
    eps: NonNegative = 0.3,
    steps: Count = 100,
    restarts: Few = 1,
) -> Tensor:
    """Auto-PGD on the difference of logits ratio: apgd_ce with a loss that does not depend on the logits' scale.

    The cross-entropy's gradient vanishes in a victim that is sure of itself, as one trained by distillation is; the
    ratio of the margin to the spread of the logits keeps its gradient. With fewer than three classes (four when
    targeted) it is the plain margin.

    Parameters
    ----------
    norm : "inf" or 2
        Norm of the budget.
    eps : float
        Budget in units of the [0,1] pixel range.
    steps : int
        Most steps per start.
    restarts : int
        Random starts, spent only on images that have not reached their goal.
    """
    aims = [goal] * restarts
    return apgd(victim, images, goal, random, aims=aims, loss_of=dlr, norm=norm, eps=eps, steps=steps)
