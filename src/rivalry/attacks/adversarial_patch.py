from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from rivalry.attacks._attack import attack
from rivalry.attacks._goals import Goal
from rivalry.attacks._oracles import Gradients
from rivalry.randomness import Random
from rivalry.types import Count, Degrees, Few, LearningRate, OpenFraction


def fit(
    victim: Gradients,
    images: Tensor,
    goal: Goal,
    random: Random,
    *,
    size: float,
    max_rotation: float,
    training_images: int,
    passes: int,
    learning_rate: float,
) -> dict[str, Tensor]:
    """The square (1,C,S,S) that the patch is cut from."""
    attackable = victim.decisions(images) == goal.labels
    if goal.targets is not None:
        attackable &= goal.labels != goal.targets
    rows = attackable.nonzero().squeeze(1)
    side = math.ceil(size * min(images.shape[2:]))
    patch = torch.full((1, images.shape[1], side, side), 0.5, device=images.device, requires_grad=True)
    best, best_rate = patch.detach().clone(), 0.0
    optimizer = torch.optim.Adam([patch], lr=learning_rate, maximize=True)
    generator = random.shared()
    # Patches are compared at the same places; they are learned at ever new ones.
    trial = random.uniform(3)[rows]
    for _ in range(passes if len(rows) else 0):
        order = rows[torch.randperm(len(rows), generator=generator).to(rows.device)]
        for some in order.split(32):
            placed = place(patch, images[some], random[some].uniform(3), size, max_rotation)
            _, _, gradient = victim.on(some).loss_gradient(placed.clamp(0, 1), goal[some])
            (patch.grad,) = torch.autograd.grad(placed, patch, gradient)
            optimizer.step()
            patch.data.clamp_(0, 1)
        with torch.no_grad():
            placed = place(patch, images[rows], trial, size, max_rotation).clamp(0, 1)
            predictions = victim.on(rows).decisions(placed)
        rate = goal[rows].reached(predictions).double().mean().item()
        if rate > best_rate:
            best, best_rate = patch.detach().clone(), rate
    return {"patch": best}


def place(patch: Tensor, images: Tensor, draws: Tensor, size: float, max_rotation: float) -> Tensor:
    """Images (N,C,H,W) with the patch on each, differentiable in the patch; rounding may leave [0,1].

    `draws` (N,3) in [-1,1] say where it lies, between the places where it touches the edges, and how it is turned.
    """
    n, _, height, width = images.shape
    radius = size * min(height, width) / 2
    # Offsets of the pixels' middles from the disc's, in radii.
    dy, dx = (
        (torch.arange(length, device=images.device) + 0.5 - length / 2 - draw[:, None] * (length / 2 - radius)) / radius
        for length, draw in ((height, draws[:, 0]), (width, draws[:, 1]))
    )
    dy, dx = dy[:, :, None].expand(n, height, width), dx[:, None].expand(n, height, width)
    angle = math.radians(max_rotation) * draws[:, 2, None, None]
    turned = torch.stack([angle.cos() * dx + angle.sin() * dy, angle.cos() * dy - angle.sin() * dx], dim=3)
    drawn = grid_sample(patch.expand(n, -1, -1, -1), turned, padding_mode="border", align_corners=False)
    return torch.where((dx**2 + dy**2 <= 1)[:, None], drawn, images)


@attack(
    sees="gradients",
    goals=["untargeted", "targeted"],
    norms=[0],
    budget="fixed",
    source="brown2017",
    fitted=True,
)
def adversarial_patch(
    victim: Gradients,
    images: Tensor,
    goal: Goal,
    random: Random,
    fitted: dict[str, Tensor],
    *,
    size: OpenFraction = 0.3,
    max_rotation: Degrees = 45.0,
    training_images: Count = 500,
    passes: Few = 20,
    learning_rate: LearningRate = 0.05,
) -> Tensor:
    """Adversarial patch: one disc, found on training images, that is pasted over a part of every image.

    It maximises the goal's loss, averaged over images, places and rotations. Each image gets it at one random
    place and rotation, so that the success rate over images averages over these. Applying it asks the victim
    nothing. The pixels under the disc may become anything; the others stay as they are.

    Parameters
    ----------
    size : float
        The disc's diameter as a share of the image's shorter side.
    max_rotation : float
        Largest rotation to either side, in degrees.
    training_images : int
        How many images it is fitted to; those that the victim gets wrong are left out.
    passes : int
        Passes over them, each at new places; the patch after the most successful pass is kept.
    learning_rate : float
        Learning rate of Adam, in units of the [0,1] pixel range.
    """
    return place(fitted["patch"], images, random.uniform(3), size, max_rotation).clamp(0, 1)
