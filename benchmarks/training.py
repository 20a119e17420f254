"""How much slower a victim trains than in a loop that one writes by hand.

Both see the same images in batches of the same size, take the same steps, change images in the same way, and measure
loss and accuracy on the same validation images after each epoch. They take turns; the time is that of the processor,
which other processes on the machine change less than the clock's, and of a set-up that happens once nothing is
counted. Turns are short and many, so that what else the machine does is spread over both. Each turn gives a ratio of
the two, of their median epochs; the ratio is the median of the turns, and between the quarters lie half of them.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import time
from collections.abc import Callable
from statistics import median, quantiles

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from rivalry import registry
from rivalry.architectures._classifier import Classifier
from rivalry.data._splits import floats
from rivalry.devices import lay_out
from rivalry.training._augmentation import augmented
from rivalry.training._fit import fit, split_by_source
from rivalry.training._fitting import Augmentation, FittingKeys
from rivalry.training._recipe import Recipe

CONTESTS: list[tuple[str, tuple[int, int, int], int, Augmentation | None]] = [
    ("mlp512", (1, 28, 28), 12_000, None),
    ("mlp512", (1, 28, 28), 12_000, {"crop": 2}),
    ("cnn_mnist", (1, 28, 28), 3000, None),
    ("cnn_mnist", (1, 28, 28), 3000, {"crop": 2}),
    ("cnn_cifar", (3, 32, 32), 2000, None),
    ("cnn_cifar", (3, 32, 32), 2000, {"crop": 4, "flip": True}),
]
"""Architecture, shape of the images, how many there are, and how they are changed."""
BATCH = 128


def model(architecture: str, shape: tuple[int, int, int]) -> nn.Module:
    torch.manual_seed(0)
    network = registry.method("architectures", architecture).load()(shape, 10)
    return Classifier(network, shape[0], torch.full(shape[:1], 0.5), torch.full(shape[:1], 0.3))


def by_hand(victim: nn.Module, images: Tensor, labels: Tensor, epochs: int, how: Augmentation | None) -> list[float]:
    """Seconds of each epoch of a loop that does what is needed and nothing else."""
    lay_out(victim, grey_gradients=images.shape[1] == 1)
    taker = torch.optim.Adam(victim.parameters(), lr=0.001)
    validation, training = split_by_source(torch.arange(len(images)), 0.1, seed=0)
    seconds = []
    for _ in range(epochs):
        started, total = time.process_time(), 0.0
        victim.train()
        for rows in training[torch.randperm(len(training))].split(BATCH):
            batch = floats(images[rows])
            if how is not None:
                batch = augmented(batch, how)
            loss = cross_entropy(victim(batch), labels[rows])
            taker.zero_grad()
            loss.backward()
            taker.step()
            total += loss.item() * len(rows)
        victim.eval()
        with torch.no_grad():
            for rows in validation.split(BATCH):
                logits = victim(floats(images[rows]))
                total += cross_entropy(logits, labels[rows]).item()
                total += (logits.argmax(1) == labels[rows]).float().mean().item()
        seconds.append(time.process_time() - started)
    return seconds


def by_rivalry(victim: nn.Module, images: Tensor, labels: Tensor, epochs: int, how: Augmentation | None) -> list[float]:
    """Seconds of each epoch of `fit`, from one's first batch to the next one's; the last is not counted."""
    steps = -(-(len(images) - round(len(images) / 10)) // BATCH)
    batches, moments = itertools.count(), list[float]()

    def loss(victim: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
        if victim.training and next(batches) % steps == 0:
            moments.append(time.process_time())
        return cross_entropy(victim(images), targets)

    keys = FittingKeys(epochs=epochs + 1, batch_size=BATCH, patience=epochs + 1, augmentation=how)
    with contextlib.redirect_stdout(io.StringIO()):
        fit(victim, images, labels, Recipe(labels, loss), None, keys, seed=0, accelerator="cpu")
    return [after - before for before, after in itertools.pairwise(moments)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="turns of both (default 15)")
    parser.add_argument("--epochs", type=int, default=1, help="epochs a turn (default 1)")
    parser.add_argument("--only", choices=sorted({name for name, *_ in CONTESTS}), help="one network alone")
    told = parser.parse_args()
    torch.set_num_threads(1)
    print("| network | images | changed by | by hand, ms a batch | rivalry, ms a batch | ratio (quarters) |")
    print("| --- | --- | --- | --- | --- | --- |")
    for architecture, shape, n, how in CONTESTS:
        if told.only not in (None, architecture):
            continue
        generator = torch.Generator().manual_seed(0)
        images = torch.randint(0, 256, (n, *shape), generator=generator, dtype=torch.uint8)
        labels = torch.randint(0, 10, (n,), generator=generator)
        ways: list[Callable[..., list[float]]] = [by_hand, by_rivalry]
        turns: dict[str, list[float]] = {way.__name__: [] for way in ways}
        for turn in range(told.rounds):
            for way in ways if turn % 2 else ways[::-1]:
                epoch = median(way(model(architecture, shape), images, labels, told.epochs, how))
                turns[way.__name__].append(1000 * epoch * BATCH / (n * 0.9))
        hand, ours = turns.values()
        ratios = [one / other for one, other in zip(ours, hand, strict=True)]
        first, middle, third = quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
        print(
            f"| {architecture} | {n} of {'x'.join(map(str, shape))} | {', '.join(how or ['nothing'])} "
            f"| {median(hand):.1f} | {median(ours):.1f} "
            f"| {middle:.2f} ({first:.2f} to {third:.2f}) |",
            flush=True,
        )


if __name__ == "__main__":
    main()
