"""What an attack did, as Python shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rivalry.types import AnyNorm

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True, repr=False, eq=False)
class Result:
    """What an attack did to N images; all tensors are on the CPU and (N,) unless said otherwise.

    Attributes
    ----------
    attack : str
        The attack's name.
    norm : "inf", 2 or 0
        In which it bounds or minimises the change.
    eps : float or None
        The budget, in units of the [0,1] pixel range; None for an attack that has none.
    clean, images : Tensor
        float32 (N,C,H,W) in [0,1]: before and after. Images that were not attacked are returned untouched.
    labels : Tensor
        int64: the true classes.
    targets : Tensor or None
        int64: the classes to reach; None for an untargeted attack.
    attacked : Tensor
        bool: the clean image was classified correctly, so that there was something to attack.
    success : Tensor
        bool: attacked, and the goal was reached.
    clean_predictions, predictions : Tensor
        int64: the victim's classes before and after; -2 where its answer is no number.
    confidence : Tensor
        float32: the victim's probability of `predictions`; NaN where these are -2.
    iterations, queries, gradients : Tensor
        int64: the attack's steps, and the forward and backward passes they took.
    zero_gradient, finite : Tensor
        bool: the attack met an all-zero gradient; it met only finite numbers (a logit of minus infinity may be).
    seconds : Tensor
        float64: the image's share of its batch's wall time.
    fitted : Fitted or None
        What was made beforehand, from other images, for attacks that do so.
    progress : Tensor or None
        float32 (N,Q), for attacks that see decisions or scores: the smallest change in `norm` that had reached the goal
        by the first ASKED[q] queries (`rivalry.attacks._asked`), infinite while there was none; of images that were
        not attacked, too.
    parts : dict of Result
        For an ensemble: what each attack did, within eps, to the images that were left to it.

    Examples
    --------
    >>> import rivalry.attacks
    >>> result = rivalry.attacks.pgd.run(victim, images, labels, eps=0.1)
    >>> float(result.success.double().mean())
    1.0
    >>> table = result.to_frame()
    >>> figure = result.plot()
    """

    attack: str
    norm: AnyNorm
    eps: float | None
    clean: Tensor
    images: Tensor
    labels: Tensor
    targets: Tensor | None
    attacked: Tensor
    success: Tensor
    clean_predictions: Tensor
    predictions: Tensor
    confidence: Tensor
    iterations: Tensor
    queries: Tensor
    gradients: Tensor
    zero_gradient: Tensor
    finite: Tensor
    seconds: Tensor
    fitted: Fitted | None = None
    progress: Tensor | None = None
    parts: Mapping[str, Result] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        attacked, turned = int(self.attacked.sum()), int(self.success.sum())
        budget = "" if self.eps is None else f", eps {self.eps:g}"
        rate = f" ({turned / attacked:.1%})" if attacked else ""
        parts = "; ".join(f"{name} {int(part.success.sum())}" for name, part in self.parts.items())
        return (
            f"<{self.attack}, L{self.norm}{budget}: {len(self)} images, {attacked} attacked, {turned} turned{rate}"
            f"{parts and f': {parts}'}>"
        )

    def to_frame(self, index: Tensor | None = None) -> pd.DataFrame:
        """One row an image: what the attack achieved, at which change and at which cost; columns as in scores.parquet.

        `l0` counts changed pixels (places, whatever the channels); `l2_channels` and `linf_channels` are the norms
        of each channel's change, summed over channels.

        Parameters
        ----------
        index : Tensor, optional
            int64 (N,): what the images are called; 0 to N - 1 when left out.
        """
        import pandas as pd

        change = (self.images - self.clean).flatten(2)
        whole = change.flatten(1)
        columns = {
            "index": torch.arange(len(self)) if index is None else index,
            "label": self.labels,
            "target": torch.full_like(self.labels, -1) if self.targets is None else self.targets,
            "eps": torch.full((len(self),), torch.nan if self.eps is None else self.eps, dtype=torch.float64),
            "clean_prediction": self.clean_predictions,
            "clean_correct": self.clean_predictions == self.labels,
            "attacked": self.attacked,
            "prediction": self.predictions,
            "confidence": self.confidence,
            "success": self.success,
            "l0": (change != 0).any(dim=1).sum(dim=1).float(),
            "l2": whole.norm(dim=1),
            "linf": whole.abs().amax(dim=1),
            "l2_channels": change.norm(dim=2).sum(dim=1),
            "linf_channels": change.abs().amax(dim=2).sum(dim=1),
            "relative_l2": whole.norm(dim=1) / self.clean.flatten(1).norm(dim=1).clamp_min(1e-12),
            "iterations": self.iterations,
            "queries": self.queries,
            "gradients": self.gradients,
            "finite": self.finite,
            "zero_gradient": self.zero_gradient,
            "seconds": self.seconds,
        }
        return pd.DataFrame({name: column.numpy() for name, column in columns.items()})

    def plot(self, count: int = 6) -> Figure:
        """The first images that were turned (or else attacked, or any): before, after, and the change.

        Grey is no change; the largest change of each image is black or white. A notebook shows the figure by itself;
        elsewhere, `savefig` it.

        Parameters
        ----------
        count : int
            How many images, at most.

        Raises
        ------
        ValueError
            There are no images.
        """
        import matplotlib.pyplot as plt

        order = (2 * self.success.int() + self.attacked.int()).argsort(descending=True, stable=True)
        rows = order[:count].tolist()
        if not rows:
            raise ValueError(f"{self.attack}: there are no images to plot")
        figure, axes = plt.subplots(3, len(rows), figsize=(1.4 * len(rows) + 0.6, 4.9), squeeze=False)
        plt.close(figure)  # or a notebook would show it twice
        for column, row in enumerate(rows):
            clean, image = self.clean[row], self.images[row]
            change = image - clean
            scale = 2 * float(change.abs().max()) or 1.0
            told = [
                f"{int(self.clean_predictions[row])}",
                f"{int(self.predictions[row])} ({self.confidence[row]:.0%})",
                f"at most {scale / 2:.2g}",
            ]
            for axis, shown, title in zip(axes[:, column], (clean, image, change / scale + 0.5), told, strict=True):
                axis.imshow(shown.permute(1, 2, 0).numpy(), cmap="gray", vmin=0, vmax=1)
                axis.set_title(title, fontsize=9)
                axis.set(xticks=[], yticks=[])
        for axis, word in zip(axes[:, 0], ("before", "after", "change"), strict=True):
            axis.set_ylabel(word)
        figure.tight_layout()
        return figure


@dataclass(frozen=True)
class Fitted:
    """What an attack made once, from training images, to use on every image: a perturbation, a patch, a model.

    Attributes
    ----------
    tensors : dict of Tensor
        By name, on the CPU.
    images : int
        How many images it was fitted to.
    queries, gradients : int
        The victim's forward and backward passes that it took, all images together.
    zero_gradient, not_finite : int
        For how many images it met an all-zero gradient, and a number that is not finite.
    seconds : float
        Wall time.
    """

    tensors: dict[str, Tensor]
    images: int
    queries: int
    gradients: int
    zero_gradient: int
    not_finite: int
    seconds: float
