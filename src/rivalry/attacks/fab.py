from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from rivalry.attacks._attack import attack
from rivalry.attacks._goals import Goal
from rivalry.attacks._oracles import Gradients
from rivalry.attacks._projections import to_hyperplane
from rivalry.norms import column, length
from rivalry.randomness import Random, random_in_ball
from rivalry.types import Count, Few, Fraction, Norm, OpenFraction, Positive


@attack(
    sees="gradients",
    goals=["untargeted", "targeted"],
    norms=["inf", 2],
    budget="minimal",
    source="croce2020fab",
)
def fab(
    victim: Gradients,
    images: Tensor,
    goal: Goal,
    random: Random,
    *,
    norm: Norm = "inf",
    steps: Count = 100,
    restarts: Few = 1,
    candidates: Few = 9,
    alpha_max: Fraction = 0.1,
    eta: Positive = 1.05,
    beta: OpenFraction = 0.9,
) -> Tensor:
    """Fast adaptive boundary attack: project onto the linearised decision boundary inside [0,1], close to the image.

    Seeks the smallest perturbation in Linf or L2. Each step moves slightly past the nearest face of the linearised
    boundary, mixing the projections of the current point and of the original; every point behind the boundary is
    recorded, then pulled back towards the original. It has no step size, and never leaves the boundary's neighbourhood.

    Parameters
    ----------
    norm : "inf" or 2
        Norm of the perturbation to minimise.
    steps : int
        Linearisations of one image per start.
    restarts : int
        Starts: the first at the image, further ones at random points half as far as the best result so far.
    candidates : int
        How many classes, the most likely ones of the clean image, are tried as the nearest.
    alpha_max : float
        Largest weight, 0 to 1, of the original's projection in a step.
    eta : float
        Factor by which projections are overshot; above 1 lands behind the boundary.
    beta : float
        Share of its change that a point behind the boundary keeps.
    """
    best = images.clone()
    shortest = torch.full((len(images),), torch.inf, device=images.device)
    logits = victim.logits(images)
    leave = goal.to_leave(logits.shape[1])
    rivals = goal.rivals(logits, candidates)

    for restart in range(restarts):
        current = images.clone()
        if restart:
            radius = shortest.clamp_max(float(length(torch.full_like(images[:1], 0.5), norm))) / 2
            current = (images + column(radius, images) * random_in_ball(random, images, norm, 1.0)).clamp(0, 1)
        active = torch.arange(len(images), device=images.device)
        for _ in range(steps):
            origin = images[active]
            margins, normals = _boundaries(victim.on(active), current, goal[active], leave[active], rivals[active])
            dual = torch.linalg.vector_norm(normals, ord=2 if norm == 2 else 1, dim=2)
            distance, nearest = torch.where(dual > 0, margins.abs() / dual, torch.inf).min(dim=1)
            alive = distance.isfinite()
            rows, nearest = alive.nonzero().squeeze(1), nearest[alive]
            active, origin, current = active[alive], origin[alive], current[alive]
            if len(active) == 0:
                break
            margin, normal = margins[rows, nearest], normals[rows, nearest].view_as(current)
            # Towards the boundary from either side, and from the original to the same hyperplane.
            origin_margin = margin + (normal * (origin - current)).flatten(1).sum(dim=1)
            step = to_hyperplane(current, normal, -margin, norm)
            origin_step = to_hyperplane(origin, normal, -origin_margin, norm)
            near, far = length(step, norm), length(origin_step, norm)
            alpha = column((near / (near + far).clamp_min(1e-12)).clamp_max(alpha_max), current)
            current = ((1 - alpha) * (current + eta * step) + alpha * (origin + eta * origin_step)).clamp(0, 1)
            reached = goal[active].reached(victim.on(active).decisions(current))
            size = length(current - origin, norm)
            better = reached & (size < shortest[active])
            best[active[better]], shortest[active[better]] = current[better], size[better]
            current[reached] = origin[reached] + beta * (current - origin)[reached]
    found = shortest.isfinite().nonzero().squeeze(1)
    if len(found):
        best[found] = _shortened(victim.on(found), images[found], goal[found], best[found], norm)
    return best


def _boundaries(victim: Gradients, current: Tensor, goal: Goal, leave: Tensor, rivals: Tensor) -> tuple[Tensor, Tensor]:
    """Margins (n,k) of the classes that would do over those that would not, and their gradients (n,k,d)."""
    if goal.targets is not None:
        _, margin, gradient = victim.loss_gradient(current, goal, _target_margin)
        return margin[:, None], gradient.flatten(1)[:, None]

    def leads(rows: Tensor, logits: Tensor) -> Tensor:
        leave_share = (logits / _softness(logits)).masked_fill(~leave[rows], -torch.inf).softmax(dim=1)
        return one_hot(rivals[rows], logits.shape[1]).to(logits) - leave_share[:, None]

    logits, normals = victim.jacobian(current, leads)
    softness = _softness(logits)
    mine = softness * (logits / softness).masked_fill(~leave, -torch.inf).logsumexp(dim=1, keepdim=True)
    return logits.gather(1, rivals) - mine, normals.flatten(2)


def _target_margin(goal: Goal, logits: Tensor) -> Tensor:
    assert goal.targets is not None
    softness = _softness(logits.detach())
    others = logits.scatter(1, goal.targets[:, None], -torch.inf)
    return (logits.gather(1, goal.targets[:, None]) - softness * (others / softness).logsumexp(1, True)).squeeze(1)


def _softness(logits: Tensor) -> Tensor:
    """How close, (n,1), classes that must all be outrun (a refusal too, or a target's rivals) count as one class.

    Projecting onto the boundary of now this one, now that one would run to and fro between them.
    """
    return (logits.amax(dim=1, keepdim=True) - logits.amin(dim=1, keepdim=True)).clamp_min(1e-12) / 20


def _shortened(victim: Gradients, images: Tensor, goal: Goal, found: Tensor, norm: str | int) -> Tensor:
    """`found`, all behind the boundary, brought to the smallest ball around the images in which they still are."""
    change, size = found - images, length(found - images, norm)
    low, high = torch.zeros_like(size), torch.ones_like(size)

    def shrunk(share: Tensor) -> Tensor:
        radius = column(share * size, change)
        return images + (change.clamp(-radius, radius) if norm == "inf" else change * column(share, change))

    for _ in range(10):
        middle = (low + high) / 2
        reached = goal.reached(victim.decisions(shrunk(middle)))
        low, high = torch.where(reached, low, middle), torch.where(reached, middle, high)
    return torch.where(column(high < 1, change), shrunk(high), found)
