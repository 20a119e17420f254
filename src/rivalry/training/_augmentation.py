"""Random changes of the images that a victim learns from.

Every image of a batch is changed in its own way, by operations on the whole batch. The transforms of torchvision draw
once for all that they are given; called image by image, they take ten times as long.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from rivalry.training._fitting import Augmentation


def augmented(images: Tensor, how: Augmentation) -> Tensor:
    """Changed copies of images (N,C,H,W) in [0,1], of the same shape; PyTorch's own generator draws how."""
    if margin := how.get("crop"):
        images = _cropped(images, margin)
    if how.get("flip"):
        mirrored = torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5
        images = torch.where(mirrored, images.flip(3), images)
    if deviation := how.get("noise"):
        images = (images + deviation * torch.randn_like(images)).clamp(0, 1)
    if side := how.get("cutout"):
        images = torch.where(_squares(images, side), images.mean(dim=(2, 3), keepdim=True), images)
    return images


def _cropped(images: Tensor, margin: int) -> Tensor:
    """Pieces of the old size, at random places of the images with a black margin around them."""
    n, _, height, width = images.shape
    pieces = pad(images, [margin] * 4).unfold(2, height, 1).unfold(3, width, 1)  # views of all of them: N,C,y,x,H,W
    y, x = torch.randint(2 * margin + 1, (2, n), device=images.device)
    return pieces[torch.arange(n, device=images.device), :, y, x]


def _squares(images: Tensor, side: int) -> Tensor:
    """For each image, the pixels (N,1,H,W) of a square around a random pixel, as far as they are in the image."""
    inside = []
    for axis, length in ((2, images.shape[2]), (3, images.shape[3])):
        first = torch.randint(length, (len(images), 1), device=images.device) - side // 2
        place = torch.arange(length, device=images.device)
        inside.append(((place >= first) & (place < first + side)).unsqueeze(1).unsqueeze(5 - axis))
    return inside[0] & inside[1]
