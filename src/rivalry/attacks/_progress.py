"""What an attack that asks the victim has achieved after so many questions, image by image."""

from __future__ import annotations

import torch
from torch import Tensor

from rivalry.attacks._asked import ASKED
from rivalry.attacks._goals import Goal
from rivalry.norms import length


class Progress:
    """The smallest change of each image that had reached the goal by so many questions.

    Parameters
    ----------
    images : Tensor
        float32 (N,C,H,W) in [0,1]: the clean images.
    goal : Goal
        Of all of them.
    norm : "inf", 2 or 0
        In which changes are measured.
    """

    def __init__(self, images: Tensor, goal: Goal, norm: str | int) -> None:
        self._images, self._goal, self._norm = images, goal, norm
        self._points = torch.tensor(ASKED)
        self._smallest = torch.full((len(images), len(ASKED) + 1), torch.inf)

    def note(self, rows: Tensor, numbers: Tensor, asked: Tensor, classes: Tensor) -> None:
        """Note answers: for images `rows` (n,), in their questions `numbers` (n,) about `asked` (n,C,H,W)."""
        own = rows.to(asked.device)
        reached = self._goal[own].reached(classes).nonzero().squeeze(1)
        if len(reached):
            sizes = length(asked[reached] - self._images[own[reached]], self._norm).cpu().float()
            mine = reached.cpu()
            cells = rows[mine] * self._smallest.shape[1] + torch.bucketize(numbers[mine], self._points)
            self._smallest.view(-1).scatter_reduce_(0, cells, sizes, "amin")

    def smallest(self) -> Tensor:
        """Sizes, float32 (N, len(ASKED)): the least after ASKED[0], ASKED[1], ... questions; infinite while none."""
        return self._smallest[:, :-1].cummin(dim=1).values
