"""What the three forms of Carlini and Wagner's attack share: their objectives, and Adam on distance plus objective."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from rivalry.attacks._goals import Goal, negative_log_probability
from rivalry.attacks._oracles import Gradients
from rivalry.norms import column, length

MOMENTA = 0.5, 0.9
"""Adam's: short memories, because a descent is a hundred steps and not a training."""
PATIENCE = 0.15
"""Share of its steps that a descent goes on without getting lower by a thousandth."""

LATELY = 5
"""At a boundary a descent goes to and fro: one that was across within so many steps has not fallen back."""


def lowered(goal: Goal, logits: Tensor, confidence: float) -> tuple[Tensor, Tensor]:
    """Logits with those of the classes to reach lowered by `confidence`, and which classes these are, both (N,K)."""
    if goal.targets is None:
        wanted = ~goal.to_leave(logits.shape[1])
    else:
        wanted = functional.one_hot(goal.targets, logits.shape[1]).bool()
    return logits - confidence * wanted, wanted


def objective(name: str, confidence: float) -> Callable[[Goal, Tensor], Tensor]:
    """One of the paper's functions of a goal and logits (N,K): (N,), at most 0 only where the goal is reached.

    Z are logits, F probabilities; the best class to reach stands for the target where there is none.
    """

    def value(goal: Goal, logits: Tensor) -> Tensor:
        logits, wanted = lowered(goal, logits, confidence)
        if name in ("f6", "f7"):
            ahead = margin(logits, wanted)
            return ahead.relu() if name == "f6" else functional.softplus(ahead) - math.log(2)
        # -log F of the best class to reach and of the best class to leave.
        reach, leave = (
            negative_log_probability(logits, logits.masked_fill(~classes, -torch.inf).argmax(dim=1))
            for classes in (wanted, ~wanted)
        )
        match name:
            case "f1":
                return reach / math.log(2) - 1
            case "f2":
                return ((-leave).exp() - (-reach).exp()).relu()
            case "f3":
                return functional.softplus((-leave).exp() - (-reach).exp()) - math.log(2)
            case "f4":
                return (0.5 - (-reach).exp()).relu()
            case _:
                return (reach - math.log(2)).relu()

    return value


def margin(values: Tensor, wanted: Tensor) -> Tensor:
    """By how much the best class to leave is ahead of the best class to reach, (N,), of values (N,K)."""
    # Masked by -inf and not by 0: logits may all be negative.
    unwanted_best = values.masked_fill(wanted, -torch.inf).amax(dim=1)
    return unwanted_best - values.masked_fill(~wanted, -torch.inf).amax(dim=1)


class Descent:
    """Adam on w, where (tanh(w) + 1) / 2 are pixels in [0,1], from where each image was left by the last call.

    Minimised is c times the objective beside the squared L2 distance or, in Linf, the sum of what exceeds a bound.

    Parameters
    ----------
    victim, images, goal
        As an attack is given them.
    norm : 2 or "inf"
        What is minimised, and measures lengths.
    objective : str
        f1 to f7.
    confidence : float
        By how much the logit of the class to reach shall lead.
    steps : int
        Most steps of one call.
    edge : Tensor
        (N,): how far from 0 and 1, where w is infinite, pixels start.
    """

    def __init__(
        self,
        victim: Gradients,
        images: Tensor,
        goal: Goal,
        *,
        norm: str | int,
        objective: str,
        confidence: float,
        steps: int,
        edge: Tensor,
    ) -> None:
        self.victim, self.images, self.goal, self.norm = victim, images, goal, norm
        self.objective, self.confidence, self.steps, self.edge = objective, confidence, steps, edge
        self.w = torch.empty_like(images)
        self.restart(torch.arange(len(images), device=images.device), images)

    def restart(self, rows: Tensor, images: Tensor) -> None:
        """Let the next descent of some images start from these."""
        edge = column(self.edge[rows], images)
        self.w[rows] = (2 * images - 1).clamp(-1 + edge, 1 - edge).atanh()

    def __call__(
        self, rows: Tensor, constant: Tensor, rate: Tensor, bound: Tensor, free: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Descend for some images, each with its own settings, until it stagnates or is good enough.

        Parameters
        ----------
        rows : Tensor
            int64 (n,): which images.
        constant, rate : Tensor
            (n,): c, and the learning rate.
        bound : Tensor
            (n,): length at which an adversarial image is good enough to leave.
        free : Tensor, optional
            bool (n,1,H,W): pixels that may change; all when left out.

        Returns
        -------
        found, lengths : Tensor
            (n,C,H,W) and (n,): the shortest adversarial change that was met, as an image; infinite where none was.
        adversarial : Tensor
            bool (n,): adversarial in the end, or just before; not only where it started from.
        """
        images = self.images[rows]
        free = torch.ones_like(images[:, :1], dtype=torch.bool) if free is None else free
        found, lengths = images.clone(), torch.full_like(constant, torch.inf)
        lowest, waited, astray = lengths.clone(), torch.zeros_like(rows), torch.full_like(rows, self.steps)
        first, second = torch.zeros_like(images), torch.zeros_like(images)
        value_of = objective(self.objective, self.confidence)
        going = torch.arange(len(rows), device=rows.device)
        for step in range(1, self.steps + 1):
            at, origin, goal, c = rows[going], images[going], self.goal[rows[going]], constant[going]
            current = torch.where(free[going], (self.w[at].tanh() + 1) / 2, origin)
            logits, value, gradient = self.victim.on(at).loss_gradient(current, goal, value_of)
            change = current - origin
            size = length(change, self.norm)
            reached = goal.reached(lowered(goal, logits, self.confidence)[0].argmax(dim=1))
            better = reached & (size < lengths[going])
            astray[going] = torch.where(reached, 0, astray[going] + 1)
            found[going[better]], lengths[going[better]] = current[better], size[better]

            distance, slope = self._distance(change, bound[going])
            loss = distance + c * value
            lower = loss < lowest[going] - 1e-3 * loss.abs()
            lowest[going] = torch.where(lower, loss, lowest[going])
            waited[going] = torch.where(lower, 0, waited[going] + 1)

            total = (slope + column(c, gradient) * gradient) * free[going] * 2 * current * (1 - current)
            first[going] = MOMENTA[0] * first[going] + (1 - MOMENTA[0]) * total
            second[going] = MOMENTA[1] * second[going] + (1 - MOMENTA[1]) * total.square()
            scale = (second[going] / (1 - MOMENTA[1] ** step)).sqrt().clamp_min(1e-12)
            fading = max(1 - step / self.steps, 0.02)
            self.w[at] -= column(fading * rate[going], scale) * first[going] / (1 - MOMENTA[0] ** step) / scale
            going = going[(waited[going] < PATIENCE * self.steps) & ~(reached & (size <= bound[going]))]
            if len(going) == 0:
                break
        return found, lengths, astray < LATELY

    def _distance(self, change: Tensor, bound: Tensor) -> tuple[Tensor, Tensor]:
        """What the change (N,C,H,W) costs, (N,), and the slope of that."""
        if self.norm == "inf":
            excess = (change.abs() - column(bound, change)).relu()
            return excess.flatten(1).sum(dim=1), change.sign() * (excess > 0)
        return change.square().flatten(1).sum(dim=1), 2 * change
