"""What an attack wants of an image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot, softplus

SURE = 1e-3
"""A probability nearer to 1 is looked at by its distance from 1, which rounding has not touched."""


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

    def to_leave(self, classes: int) -> Tensor:
        """Which of `classes` an untargeted attack must leave: bool (N, classes)."""
        leave = one_hot(self.labels, classes).bool()
        if self.reject is not None:
            leave[:, self.reject] = True
        return leave

    def rivals(self, logits: Tensor, count: int) -> Tensor:
        """The `count` likeliest classes, or all there are, that an untargeted attack may reach: int64 (N,count)."""
        leave = self.to_leave(logits.shape[1])
        free = logits.shape[1] - int(leave[0].sum())
        return logits.masked_fill(leave, -torch.inf).topk(min(count, free), dim=1).indices

    def loss(self, logits: Tensor) -> Tensor:
        """What a gradient attack ascends, (N,).

        Untargeted: the cross-entropy of the true class, -log p(label). Where the victim can refuse, refusing
        counts with the true class: -log(p(label) + p(reject)), so that an ascent evades the detector too.
        Targeted: log p(target). Slopes are exact however sure the victim is, down to the least float32.
        """
        if self.targets is not None:
            return -negative_log_probability(logits, self.targets)
        if self.reject is None:
            return negative_log_probability(logits, self.labels)
        return softplus(self.log_odds(logits))  # -log(1 - p), p being the probability of success

    def log_odds(self, logits: Tensor) -> Tensor:
        """What an attack that only compares scores maximises, (N,): log p / (1 - p) of being successful.

        p is the target's probability, or that of all classes that need not be left. It orders images as `loss` does,
        but does not round to the same number once a victim is sure, as distilled ones are.
        """
        if self.targets is not None:
            wanted = one_hot(self.targets, logits.shape[1]).bool()
        else:
            wanted = ~self.to_leave(logits.shape[1])
        odds = [logits.masked_fill(~part, -torch.inf).logsumexp(dim=1) for part in (wanted, ~wanted)]
        return odds[0] - odds[1]


def negative_log_probability(logits: Tensor, classes: Tensor) -> Tensor:
    """-log p, (N,), of one class of each image, int64 (N,), from logits (N,K): its cross-entropy.

    The slope of the class's own logit is p - 1, which in float32 is 0 as soon as the class leads by 17. The softplus
    of the others' log odds is the same number without that difference.
    """
    usual = cross_entropy(logits, classes, reduction="none")
    if len(usual) == 0 or not usual.detach().amin().item() < SURE:
        return usual
    own = classes[:, None]
    others = logits.scatter(1, own, -torch.inf).logsumexp(dim=1)
    return torch.where(usual < SURE, softplus(others - logits.gather(1, own).squeeze(1)), usual)
