"""What an attack wants of an image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot


@dataclass(frozen=True)
class Goal:
    """Misclassification as anything (untargeted) or as one class (targeted), image by image.

    Attributes
    ----------
    labels : Tensor
        True classes, int64 (N,).
    targets : Tensor or None
        Classes to reach, int64 (N,); None for an untargeted attack.
    reject : int or None
        The class by which a defended victim refuses an image; being refused is never a success.
    """

    labels: Tensor
    targets: Tensor | None = None
    reject: int | None = None

    def __getitem__(self, rows: Tensor) -> Goal:
        """The goal for some of the images."""
        return Goal(self.labels[rows], None if self.targets is None else self.targets[rows], self.reject)

    def reached(self, predictions: Tensor) -> Tensor:
        """Which predictions (N,) are successes: bool (N,)."""
        if self.targets is not None:
            return predictions == self.targets
        wrong = predictions != self.labels
        return wrong if self.reject is None else wrong & (predictions != self.reject)

    def held(self, classes: int) -> Tensor:
        """Which of `classes` an untargeted attack must leave: bool (N, classes)."""
        held = one_hot(self.labels, classes).bool()
        if self.reject is not None:
            held[:, self.reject] = True
        return held

    def rivals(self, logits: Tensor, count: int) -> Tensor:
        """The `count` likeliest classes, or all there are, that an untargeted attack may reach: int64 (N,count)."""
        held = self.held(logits.shape[1])
        free = logits.shape[1] - int(held[0].sum())
        return logits.masked_fill(held, -torch.inf).topk(min(count, free), dim=1).indices

    def loss(self, logits: Tensor) -> Tensor:
        """What a gradient attack ascends, (N,).

        Untargeted: the cross-entropy of the true class, -log p(label). Where the victim can refuse, refusing
        counts with the true class: -log(p(label) + p(reject)), so that an ascent evades the detector too.
        Targeted: log p(target).
        """
        if self.targets is not None:
            return -cross_entropy(logits, self.targets, reduction="none")
        if self.reject is None:
            return cross_entropy(logits, self.labels, reduction="none")
        return -logits.log_softmax(dim=1).masked_fill(~self.held(logits.shape[1]), -torch.inf).logsumexp(dim=1)

    def log_odds(self, logits: Tensor) -> Tensor:
        """What an attack that only compares scores maximises, (N,): log p / (1 - p) of being successful.

        p is the target's probability, or that of all classes that are not held. It orders images as `loss` does,
        but does not round to the same number once a victim is sure, as distilled ones are.
        """
        if self.targets is not None:
            wanted = one_hot(self.targets, logits.shape[1]).bool()
        else:
            wanted = ~self.held(logits.shape[1])
        odds = [logits.masked_fill(~part, -torch.inf).logsumexp(dim=1) for part in (wanted, ~wanted)]
        return odds[0] - odds[1]
