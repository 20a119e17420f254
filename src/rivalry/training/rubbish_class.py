from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from rivalry import registry
from rivalry.answers import classify, reject_class
from rivalry.errors import RivalryError
from rivalry.seeds import derive_seed
from rivalry.training._recipe import Recipe, training_method
from rivalry.types import Count, FoolingName, Fraction, Positive, VictimName
from rivalry.victims import load_victim


@training_method(source="nguyen2015", refuses=True)
def rubbish_class(
    images: Tensor,
    labels: Tensor,
    *,
    victim: VictimName,
    fooling: FoolingName,
    runs: Count = 60,
    noise: Fraction = 0.0,
    times: Positive = 1.0,
) -> Recipe:
    """Rubbish class: learn fooling images as one class more, by which the victim refuses an image.

    The images are made for another victim, before training, and are the same for every seed. To go on as the paper
    does, name a victim with a rubbish class: its own fooling images are then learned from. A victim refuses what is
    like the rubbish that it saw; what it makes of other fooling images, a match with `fooling` shows.

    Parameters
    ----------
    victim : str
        The victim that the images fool.
    fooling : str
        How they are made. For use without a configuration: a registered method of making fooling images, or a mapping
        of `method` and its parameters.
    runs : int
        How often it is done; each time gives one image for every class.
    noise : float
        Share of rubbish that is uniform noise instead.
    times : float
        Rubbish images as a multiple of an average class; above 1 they are over-represented. Those made are repeated
        until there are so many.
    """
    settings = {"method": fooling} if isinstance(fooling, str) else dict(fooling)
    made_by = registry.method("fooling", settings.pop("method")).load()
    fooled = load_victim(victim)
    outputs = classify(fooled, images[:1], 1).shape[1]
    classes = outputs - (reject_class(fooled) is not None)
    count = round(times * len(images) / classes)
    if count == 0:
        raise RivalryError(f"times: {times:g} times an average class of {len(images) / classes:g} images is none")
    drawn = round(noise * count)
    made = [
        made_by.run(fooled, images.shape[1:], classes, seed=derive_seed(run, "rubbish"), **settings).images
        for run in tqdm(range(runs if drawn < count else 0), desc="fooling images", mininterval=5)
    ]
    generator = torch.Generator().manual_seed(derive_seed(0, "rubbish noise"))
    noisy = torch.randint(0, 256, (drawn, *images.shape[1:]), generator=generator, dtype=torch.uint8)
    distinct = torch.cat([noisy, *((part * 255).round().to(torch.uint8) for part in made)])
    # Each noise image once, and those made in turn; copies are learned from or validated on together.
    shown = torch.arange(count)
    shown[drawn:] = drawn + torch.arange(count - drawn) % max(len(distinct) - drawn, 1)

    def loss(victim: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
        return cross_entropy(victim(images), targets)

    both = torch.cat([labels, torch.full((count,), classes)])
    return Recipe(
        both,
        loss,
        images=torch.cat([images, distinct[shown]]),
        labels=both,
        sources=torch.cat([torch.arange(len(images)), -2 - shown]),
    )
