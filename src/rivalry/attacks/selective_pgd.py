from __future__ import annotations

from torch import Tensor

from rivalry.attacks._alternating import alternate
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
    source="bryniarski2022",
)
def selective_pgd(
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
    """Selective projected gradient descent: fool the classifier first, then the detector, never both in one step.

    While the class is not reached, a step raises the class margin; once it is, a step lowers the detector's score; and
    so on in turns. A joint loss adds both gradients and may stall where they point against each other. Around a victim
    that cannot refuse it is pgd on the margin, from the image itself. The paper's steps have one length; these shrink
    evenly from a quarter of eps, because a detector may see any coarser change.

    Parameters
    ----------
    norm : "inf" or 2
        Norm of the budget.
    eps : float
        Budget in units of the [0,1] pixel range.
    steps : int
        Most steps per start.
    restarts : int
        Starts: the image itself, then random points, spent only on images that have not reached their goal.
    """
    return alternate(victim, images, goal, random, norm=norm, eps=eps, steps=steps, restarts=restarts, orthogonal=False)
