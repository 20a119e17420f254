from __future__ import annotations

import warnings
from functools import partial
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from rivalry.answers import classify
from rivalry.data._splits import floats
from rivalry.devices import frozen
from rivalry.errors import RivalryError, RivalryWarning
from rivalry.generative.latents import nearest
from rivalry.generative.wgan import load_generator
from rivalry.poisoning._poisoning import Poisoned, poisoning
from rivalry.poisoning._trigger import drawn
from rivalry.randomness import Random
from rivalry.seeds import derive_seed
from rivalry.training._inner import ascend
from rivalry.types import Count, Few, Natural, NonNegative, Norm, OpenFraction, Positive, Reference, Share, UserPath
from rivalry.victims import load_victim

BATCH = 256
"""Images that are made harder at once."""
HARD = 0.5
"""The share of its images that a proxy has right at most once they are harder, or else it is told."""


@poisoning(source="turner2019", clean_labels=True, side={"trigger": {"pixel": 2, "pattern": 4}})
def clean_label(
    images: Tensor,
    labels: Tensor,
    seed: int,
    *,
    variant: Literal["adversarial", "gan", "plain"] = "adversarial",
    proxy: Annotated[str | None, Reference("victims")] = None,
    generator: Annotated[str | None, Reference("generators")] = None,
    interpolation: OpenFraction = 0.2,
    latent_steps: Count = 200,
    latent_restarts: Few = 2,
    trigger: Literal["pixel", "pattern", "image"] = "pattern",
    target: Natural = 0,
    fraction: Share = 0.5,
    norm: Norm = "inf",
    eps: NonNegative = 0.3,
    step_size: Positive = 0.02,
    steps: Count = 40,
    image: UserPath | None = None,
    size: Share = 0.25,
    corners: Literal[1, 4] = 1,
    amplitude: Share = 1.0,
) -> Poisoned:
    """Clean-label backdoor: images of the target class bear the trigger, and every label stays right.

    The victim learns the trigger only if it is easier to see than the rest of such an image. So images are first made
    harder (Turner, Tsipras and Madry). In the adversarial variant, they are changed so that another network, the proxy,
    errs on them. Changes that fool a plain proxy mean little to other networks; it should be adversarially trained, but
    for a smaller budget than `eps`: where it withstands the changes, they mean little to other networks either. In
    the gan variant, a generator makes images on the way from each to one of another class.

    Images are drawn without replacement; none is added, none is labelled anew.

    Parameters
    ----------
    variant : "adversarial", "gan" or "plain"
        plain: images bear the trigger and are not made harder, the baseline.
    proxy : str, optional
        The victim on which images are made harder; the adversarial variant needs it. For use without a configuration,
        its folder.
    generator : str, optional
        The generator of the gan variant, which needs it. For use without a configuration, its folder.
    interpolation : float
        How far on the way to an image of another class, between the latent points that are nearest to both.
    latent_steps, latent_restarts : int
        Gradient steps that look for a latent point, and from how many random points.
    trigger : "pixel", "pattern" or "image"
        One bright pixel, or four, near the lower right corner; or a small image there.
    target : int
        The class whose images are poisoned, and that stamped images shall be taken for.
    fraction : float
        Poisoned images as a share of those of the target class.
    norm : "inf" or 2
        Norm of the change that makes an image harder.
    eps : float
        Its budget in units of the [0,1] pixel range.
    step_size : float
        Length of one step, same unit and norm.
    steps : int
        Steps of projected gradient ascent on the proxy's error; all are taken.
    image : str, optional
        The PNG or JPEG file that trigger image inserts.
    size : float
        Its side as a share of the shorter side of the training images.
    corners : 1 or 4
        4: the trigger is in all corners, mirrored.
    amplitude : float
        How far pixels are moved towards the trigger's, at most; at 1 they take its values.
    """
    stamp = drawn(trigger, images.shape[1:], target, image=image, size=size, corners=corners, amplitude=amplitude)
    eligible = (labels == target).nonzero().squeeze(1)
    count = round(fraction * len(eligible))
    if count < 1:
        raise RivalryError(f"fraction: {fraction:g} of {len(eligible)} images of class {target} is none; raise it")
    draws = torch.Generator().manual_seed(seed)
    chosen = eligible[torch.randperm(len(eligible), generator=draws)[:count]]
    changed = floats(images[chosen])
    facts: dict[str, Any] = {}
    if variant == "adversarial":
        if proxy is None:
            raise RivalryError("proxy: is missing; the adversarial variant makes images harder for a victim: name one")
        changed, facts["proxy_right"] = _harder(proxy, changed, labels[chosen], norm, eps, step_size, steps)
    if variant == "gan":
        if generator is None:
            raise RivalryError("generator: is missing; the gan variant makes images by one: name it")
        others = (labels != target).nonzero().squeeze(1)
        far = floats(images[others[torch.randint(len(others), (count,), generator=draws)]])
        changed = _between(generator, changed, far, interpolation, latent_steps, latent_restarts, seed)
    poisoned = torch.zeros(len(images), dtype=torch.bool)
    poisoned[chosen] = True
    images = images.clone()
    images[chosen] = stamp.stamp(changed).mul(255).round().to(torch.uint8)
    return Poisoned(images, labels, poisoned, torch.arange(len(images)), stamp, facts)


def _harder(
    proxy: str, images: Tensor, labels: Tensor, norm: str | int, eps: float, step_size: float, steps: int
) -> tuple[Tensor, float]:
    """Images (N,C,H,W) within the budget on which the proxy errs, and the share that it has right all the same."""
    victim, harder, right = load_victim(proxy), [], 0
    with frozen(victim, grey_gradients=images.shape[1] == 1):
        for part, truth in zip(images.split(BATCH), labels.split(BATCH), strict=True):
            loss = partial(_error, labels=truth)
            harder.append(ascend(victim, part, loss, around=part, norm=norm, eps=eps, step_size=step_size, steps=steps))
            right += int((classify(victim, harder[-1], BATCH).argmax(dim=1) == truth).sum())
    share = right / len(images)
    if share > HARD:
        warnings.warn(
            f"clean_label: the proxy still has {share:.0%} of the changed images right, so they are little harder than "
            "before; raise eps or steps, or name a proxy that withstands less",
            RivalryWarning,
            stacklevel=3,
        )
    return torch.cat(harder), share


def _between(
    generator: str, images: Tensor, far: Tensor, interpolation: float, steps: int, restarts: int, seed: int
) -> Tensor:
    """What a generator makes on the way from images (N,C,H,W) to others of another class."""
    made = load_generator(generator)
    near_points, far_points = (
        nearest(made, ends, Random.for_images(ends, derive_seed(seed, name)), steps=steps, restarts=restarts)[0]
        for name, ends in (("near", images), ("far", far))
    )
    with torch.no_grad():
        return torch.cat([made(part) for part in torch.lerp(near_points, far_points, interpolation).split(BATCH)])


def _error(logits: Tensor, labels: Tensor) -> Tensor:
    """How far other classes are ahead of the labels (N,), all images together.

    Unlike the cross-entropy, it has a slope where the proxy is sure.
    """
    own = logits.gather(1, labels[:, None])
    return (logits.scatter(1, labels[:, None], -torch.inf).logsumexp(dim=1) - own.squeeze(1)).sum()
