"""Guards: a victim cannot change the tensors that it is given, and what it answers must be logits; what an attack makes
must be images within its budget."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain

import torch
from torch import Tensor, nn

from rivalry.answers import reject_class
from rivalry.errors import RivalryError, RivalryWarning, WrongArgument
from rivalry.norms import exceeds, length


class CheckedVictim:
    """Maps images (N,C,H,W) to the victim's logits, float32 (N,K), once its first answer has been checked.

    A victim may normalise its input in place, so its first input is a copy. A victim that wrote to the copy is always
    given copies; any other is given the tensors themselves.

    Parameters
    ----------
    victim : nn.Module
        Frozen.
    fits : function, optional
        Called once, with K; raises an error where labels or targets do not fit it.

    Raises
    ------
    WrongArgument
        The answer is not logits: no tensor, no floats, not (N,K), of fewer than two classes, or without a gradient
        where one is asked for.
    """

    def __init__(self, victim: nn.Module, fits: Callable[[int], None] | None = None) -> None:
        self._victim, self._fits = victim, fits
        self._asked = self._writes = False
        self.draws: int | None = getattr(victim, "draws", None)
        """Of a victim that draws random numbers: how many draws an answer with gradients is the mean over."""
        self.limit: int | None = getattr(victim, "query_limit", None)
        """How many questions about an image it answers who has no copy of it; None: all."""

    def __call__(self, images: Tensor) -> Tensor:
        if not self._asked:
            logits = self._first(images)
        else:
            version = images._version
            logits = self._victim(images.clone() if self._writes else images)
            if images._version != version:
                raise WrongArgument("the victim writes into its input, but not always; have it work on a copy of it")
        if images.requires_grad and not logits.requires_grad:
            raise WrongArgument(
                "the victim's logits have no gradient by its input; an attack that sees scores or decisions needs none"
            )
        return logits.float()

    def _first(self, images: Tensor) -> Tensor:
        given = images.clone()
        try:
            logits: Tensor = self._victim(given)
        except RuntimeError as error:
            kinds = {str(part.dtype).removeprefix("torch.") for part in self._victim.parameters()} - {"float32"}
            if kinds:
                raise WrongArgument(
                    f"the victim cannot take float32 images (its parameters are {', '.join(sorted(kinds))}: "
                    f"convert it, victim.float()): {str(error).splitlines()[0]}"
                ) from error
            raise
        self._check(logits, len(images))
        self._asked, self._writes = True, given._version > 0
        return logits

    def _check(self, logits: object, n: int) -> None:
        right = f"it must give logits, one float tensor ({n},K) for {n} images"
        if not isinstance(logits, Tensor):
            raise WrongArgument(f"the victim gives a {type(logits).__name__}; {right}")
        if not logits.is_floating_point():
            raise WrongArgument(f"the victim gives {str(logits.dtype).removeprefix('torch.')}; {right}")
        if logits.dim() != 2 or len(logits) != n:
            raise WrongArgument(f"the victim gives a tensor of shape {tuple(logits.shape)}; {right}")
        if logits.shape[1] < 2:
            raise WrongArgument(
                f"the victim gives one column; {right}, K at least 2: of one logit z make torch.cat([-z, z], dim=1) / 2"
            )
        reject = reject_class(self._victim)
        if reject is not None and (reject != logits.shape[1] - 1 or reject < 2):
            raise WrongArgument(
                f"the victim's reject_class is {reject}; it must be the last of its {logits.shape[1]} classes, "
                "after at least two others"
            )
        if self._fits is not None:
            self._fits(logits.shape[1] - (reject is not None))
        if _are_probabilities(logits.detach()):
            warnings.warn(
                "the victim's answers look like probabilities, not logits: taken for logits they are all but equal, "
                "which misleads attacks that minimise; leave out its softmax",
                RivalryWarning,
                stacklevel=2,
            )


@contextmanager
def computing(victim: nn.Module) -> Iterator[None]:
    """Inside, gradients can be computed, whatever the caller has switched off.

    Raises
    ------
    WrongArgument
        The victim's own tensors take no part in gradients.
    """
    if any(tensor.is_inference() for tensor in chain(victim.parameters(), victim.buffers())):
        raise WrongArgument("the victim was made in inference mode, where nothing has gradients; make it outside")
    with torch.inference_mode(False), torch.enable_grad():
        yield


def checked_images(attack: str, found: object, given: Tensor, norm: str | int, eps: float | None) -> Tensor:
    """What an attack made of the images that it was given (N,C,H,W), outside of any gradient; NaN may be among it.

    Raises
    ------
    RivalryError
        It is something else, leaves [0,1], or changes an image by more than `eps`; one line names the attack.
    """
    right = f"it must return images like those that it is given, float32 {tuple(given.shape)} on {given.device}"
    if not isinstance(found, Tensor):
        raise RivalryError(f"{attack}: returns a {type(found).__name__}; {right}")
    for what, own, wanted in (
        ("", found.dtype, given.dtype),
        ("shape ", tuple(found.shape), tuple(given.shape)),
        ("a tensor on ", found.device, given.device),
        ("layout ", found.layout, given.layout),
    ):
        if own != wanted:
            raise RivalryError(f"{attack}: returns {what}{str(own).removeprefix('torch.')}; {right}")
    found = found.detach()
    low, high = found.min().item(), found.max().item()
    if low < 0 or high > 1:
        raise RivalryError(f"{attack}: returns pixels from {low:.6g} to {high:.6g}; end it with .clamp(0, 1)")
    change = found - given
    if eps is not None and bool((far := exceeds(change, norm, eps) & change.flatten(1).isfinite().all(dim=1)).any()):
        most = length(change[far], norm).max().item()
        raise RivalryError(f"{attack}: changes an image by {most:.6g} in norm {norm}, and eps is {eps:g}; keep to it")
    return found


def _are_probabilities(logits: Tensor) -> bool:
    return len(logits) > 0 and bool((logits >= 0).all()) and bool(((logits.sum(dim=1) - 1).abs() < 1e-3).all())
