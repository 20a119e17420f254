"""A look at a network that a user brings, on a few training images, before anything is computed with it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import yaml
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from rivalry.answers import NO_ANSWER, answers, classify
from rivalry.data._splits import floats
from rivalry.devices import device_of, frozen
from rivalry.errors import RivalryError, one_line
from rivalry.external.wrapping import Wrapped
from rivalry.usercode import running

SAMPLE = 256
"""Training images whose classes are asked for."""
FEW = 16
"""Of these, images whose answers and gradients are looked at closely."""
TRIED = 64
"""Of these, images on which a likely mistake is undone to see whether that helps."""
BATCH = 32
MEASURED = 5000
"""Training images whose mean and deviation are taken."""
LISTED = 20
"""Classes that a line lists."""
SURE = 0.95
"""Accuracy from which on no mistake is looked for."""
PLAUSIBLE = 0.5
"""Accuracy from which on a change of the configuration may be what was meant."""
SPREADS = 3
"""Standard deviations by which an accuracy must be away from another to be called better."""
SAME = 1e-4
"""Difference of two answers, as a share of the largest logit, that rounding makes: as in the check of the report."""
BETWEEN_BATCHES = 1e-3
"""The same, of one image in two batches, where sums are taken in another order."""
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def preflight(
    victim: Wrapped,
    images: Tensor,
    labels: Tensor,
    *,
    names: Sequence[str],
    source: str | None = None,
    gradients: bool = True,
) -> list[str]:
    """Ask a network that was brought a few training images, and tell what is wrong with it.

    What could have been meant is tried, and said with the accuracy it gives, but never taken.

    Parameters
    ----------
    victim : Wrapped
        In evaluation mode.
    images, labels : Tensor
        The data set's training images, uint8 (N,C,H,W), and their classes, int64 (N,). A few are drawn, always the
        same.
    names : sequence of str
        The data set's classes.
    source : str, optional
        The user's code, as `rivalry.usercode` takes it, so that a line of it is named where it fails.
    gradients : bool
        Whether it is one that has gradients.

    Returns
    -------
    list of str
        What is no mistake for certain, one sentence each.

    Raises
    ------
    RivalryError
        With it no attack would mean anything: it fails, gives something else than logits of the classes, NaN, or the
        same for every image; an image's answer depends on the others in its batch; no gradient leads to the images;
        or it knows their classes no better than chance. The line begins with the key of the configuration.
    """
    rows = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))[:SAMPLE]
    look = _Look(victim, floats(images[rows]), labels[rows], list(names), source)
    with frozen(victim):
        warnings = look.outputs()
        logits, again = look.logits(look.images), look.logits(look.images[:BATCH])
        look.finite(logits)
        repeats = _agree(logits[:BATCH], again, SAME)
        if not bool(repeats.all()):
            warnings.append(
                f"the network answers {int((~repeats).sum())} of {len(repeats)} images otherwise the second time (a "
                "dropout that ignores eval()?): attacks would need EOT, and the report marks its numbers"
            )
        else:
            look.alone(logits)
        look.varied(logits)
        if gradients:
            warnings += look.gradients()
        warnings += look.accuracy(logits, images)
    return warnings


@dataclass(frozen=True)
class _Look:
    """One network and the few training images on which it is looked at."""

    victim: Wrapped
    images: Tensor
    labels: Tensor
    names: list[str]
    source: str | None

    def ask(self, asked: nn.Module, images: Tensor) -> Any:
        """What a module answers; whatever it raises is one line."""
        place = device_of(self.victim, images)
        try:
            with running(self.source) if self.source else nullcontext():
                return asked(images.to(place))
        except RivalryError as error:
            if error.__cause__ is None:  # of what stands around the network
                raise
            raise self._failed(str(error), images) from error
        except Exception as error:  # whatever the network raises
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            kind = f"{type(error).__name__}: "
            # TorchScript's own lines name it already.
            raise self._failed(kind + (lines or [""])[-1].removeprefix(kind), images) from error

    def _failed(self, what: str, images: Tensor) -> RivalryError:
        shape = tuple(self.victim.prepared(images).shape)
        return RivalryError(
            f"model: it fails when it is given {shape} ({one_line(what)}); if it takes another size or other channels, "
            "say so in input: {size: ..., channels: ...}"
        )

    def logits(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            found: Tensor = torch.cat([self.ask(self.victim, part) for part in images.split(BATCH)])
        return found.cpu()

    def outputs(self) -> list[str]:
        """Whether the network gives what the configuration says: logits, probabilities, one for each class."""
        said, few, k = self.victim.outputs, self.images[:FEW], len(self.names)
        with torch.no_grad():
            prepared = self.victim.prepared(few)
            logits = self.ask(self.victim, few)
            if logits.shape != (len(few), k):
                raise RivalryError(
                    f"model: it gives {tuple(logits.shape)} for {len(few)} images of {k} classes, where logits are "
                    f"{(len(few), k)}; build it for {k} classes, with arguments if it takes them"
                )
            raw = self.victim.network(prepared)
        raw = raw if isinstance(raw, Tensor) else logits.exp() if said == "probabilities" else logits
        raw = raw.float()
        low, high = float(raw.min()), float(raw.max())
        if not math.isfinite(low) or not math.isfinite(high):
            return []
        inside = low >= 0 and high <= 1
        if said == "logits" and inside and raw.dim() == 2 and raw.shape[1] > 1 and _sum_to_one(raw):
            raise RivalryError(
                "outputs: it gives probabilities (each image's sum to 1), not logits; leave out its softmax, or say "
                "outputs: probabilities"
            )
        if said == "logits" and inside and raw.numel() == len(few):
            return [
                f"the network gives one number an image, from {low:.3g} to {high:.3g}, which is taken for a logit; if "
                "it is a probability, say outputs: sigmoid"
            ]
        if said in ("probabilities", "sigmoid") and not inside:
            raise RivalryError(
                f"outputs: it gives numbers from {low:.3g} to {high:.3g}, which are no probabilities; "
                "say outputs: logits"
            )
        if said == "probabilities" and not _sum_to_one(raw):
            sums = raw.sum(dim=1)
            raise RivalryError(
                f"outputs: what it gives for an image sums to {float(sums.min()):.3g} to {float(sums.max()):.3g}, and "
                "probabilities to 1; leave out its sigmoid, and say outputs: logits"
            )
        if said == "logits":
            return []
        certain = int((raw.amax(dim=-1) == 1).sum())
        words = "the network gives probabilities, which are less precise than logits"
        if certain:
            words += f": for {certain} of {len(few)} images one is exactly 1, where gradients are lost"
        return [f"{words}; have it give its logits if you can"]

    def finite(self, logits: Tensor) -> None:
        broken = ~logits.isfinite().all(dim=1)
        if bool(broken.any()):
            kind = "NaN" if bool(logits.isnan().any()) else "infinity"
            raise RivalryError(
                f"model: it answers {kind} for {int(broken.sum())} of {len(broken)} training images; look for a "
                "logarithm, root or division of 0 in it, or for pixels in another range (input, normalize)"
            )

    def alone(self, logits: Tensor) -> None:
        """Whether an image's answer is the same in another batch, and whether batches may have any size."""
        for size in (1, 3):
            few = self.images[: 2 * size].flip(0)
            with torch.no_grad():
                found = torch.cat([self.ask(self.victim, part) for part in few.split(size)]).cpu()
            differs = ~_agree(logits[: len(few)].flip(0), found, BETWEEN_BATCHES)
            if bool(differs.any()):
                raise RivalryError(
                    f"model: it answers {int(differs.sum())} of {len(few)} images otherwise in batches of {size}: an "
                    "answer depends on the other images; a batch normalisation must use its training's statistics"
                )

    def varied(self, logits: Tensor) -> None:
        spread = (logits - logits[:1]).abs().max()
        if len(logits) > 1 and float(spread) <= 1e-6 * max(1.0, float(logits.abs().max())):
            raise RivalryError(
                f"model: it answers the same for all {len(logits)} training images; are its weights missing, or pixels "
                "in another range (input)?"
            )

    def gradients(self) -> list[str]:
        """Whether gradients of the loss lead to the pixels."""
        images = self.images[:FEW].to(device_of(self.victim, self.images)).requires_grad_(True)
        with torch.enable_grad():
            logits = self.ask(self.victim, images)
            found = None
            if logits.requires_grad:
                loss = cross_entropy(logits, self.labels[:FEW].to(logits.device), reduction="sum")
                found = self._slope(loss, images)
        if found is None:
            raise RivalryError(
                "model: no gradient leads from its answer to the images; have its forward() use no torch.no_grad(), "
                ".detach(), .data or NumPy"
            )
        flat = found.flatten(1)
        broken, zero = ~flat.isfinite().all(dim=1), (flat == 0).all(dim=1)
        if bool(broken.any()):
            raise RivalryError(
                f"model: its gradients are NaN or infinite for {int(broken.sum())} of {len(flat)} training images; "
                "look for a logarithm, root or division of 0 in its forward()"
            )
        if not bool(zero.any()):
            return []
        return [
            f"its gradients are exactly 0 for {int(zero.sum())} of {len(flat)} training images: attacks that follow "
            "gradients fail there, which is no robustness; add attacks that see scores or decisions"
        ]

    def _slope(self, loss: Tensor, images: Tensor) -> Tensor | None:
        try:
            (found,) = torch.autograd.grad(loss, images, allow_unused=True)
        except RuntimeError as error:
            raise self._failed(f"in its backward pass, {str(error).splitlines()[0]}", images) from error
        return found

    def accuracy(self, logits: Tensor, everything: Tensor) -> list[str]:
        """Whether it knows the classes; where it does not, which likely mistake would explain that."""
        n, k = len(self.labels), len(self.names)
        predictions, _ = answers(logits)
        share = float((predictions == self.labels).float().mean())
        if share >= SURE:
            return []
        better = self._better(predictions, everything)
        found = f"{share:.0%} of {n} training images are classified right"
        hint = f"with {better.words} it would be {better.share:.0%}" if better is not None else ""
        by_chance = 1 / k
        margin = min(SPREADS * math.sqrt(by_chance * (1 - by_chance) / n), (1 - by_chance) / 4)
        if share <= by_chance + margin:
            only = predictions.unique().tolist()
            same = f", all as {one_line(self.names[only[0]])}" if len(only) == 1 and only[0] >= 0 else ""
            nothing = (
                "no other normalisation, range, order of channels or of classes explains it; give the weights of a "
                "training on these data"
            )
            raise RivalryError(f"model: {found}{same}, and chance is {by_chance:.0%}; {hint or nothing}")
        return [f"{found}; {hint}"] if hint else []

    def _better(self, predictions: Tensor, everything: Tensor) -> _Remedy | None:
        """The likely mistake whose undoing gives clearly more right answers than there are, if there is one."""
        few, labels = self.images[:TRIED], self.labels[:TRIED]
        right, best = predictions[:TRIED] == labels, _Remedy("", self.victim, 0.0)
        for words, changed in self._remedies(everything):
            tried = self._predictions(changed, few) == labels
            if _clearly_better(tried, right):
                right, best = tried, _Remedy(words, changed, float(tried.float().mean()))
        if best.share >= PLAUSIBLE:
            all_right = self._predictions(best.victim, self.images) == self.labels
            return _Remedy(best.words, best.victim, float(all_right.float().mean()))
        # Another order of classes: of what the network answers as it is, and of what it would answer then.
        found = self._order(predictions)
        if found is None and best.words:
            found = self._order(self._predictions(best.victim, self.images))
            found = found and (f"{best.words} and {found[0]}", found[1])
        return found and _Remedy(found[0], best.victim, found[1])

    def _remedies(self, everything: Tensor) -> Iterator[tuple[str, Wrapped]]:
        """Each likely mistake in how pixels are given, undone: the words for it, and the victim without it."""
        channels = self.victim.prepared(self.images[:1]).shape[1]
        pixels = floats(everything[:: max(1, len(everything) // MEASURED)])
        mean, std = pixels.mean(dim=(0, 2, 3)), pixels.std(dim=(0, 2, 3)).clamp_min(1e-3)
        if len(mean) != channels:
            mean, std = mean.mean().expand(channels), std.mean().expand(channels)
        own = [round(float(value), 4) for value in mean], [round(float(value), 4) for value in std]
        now = _scaling((self.victim.low, self.victim.high), _numbers(self.victim.mean), _numbers(self.victim.std))
        scalings = [
            ("no normalize and no range in input", _scaling()),
            (f"normalize: {{mean: {own[0]}, std: {own[1]}}}", _scaling(mean=own[0], std=own[1])),
            ("input: {range: [0, 255]}", _scaling((0.0, 255.0))),
            ("input: {range: [-1, 1]}", _scaling((-1.0, 1.0))),
        ]
        if channels == 3:
            scalings.append(
                (f"normalize: {{mean: {IMAGENET[0]}, std: {IMAGENET[1]}}}", _scaling((0.0, 1.0), *IMAGENET))
            )
        for words, scaling in scalings:
            if scaling != now:
                yield words, self._changed(self.victim.network, **scaling)
        if len(self.names) == 2 and self.victim.outputs == "logits":
            yield "outputs: sigmoid", self._changed(self.victim.network, "sigmoid", **now)
        if channels == 3:
            yield "the channels in the order blue, green, red", self._changed(_Reversed(self.victim.network), **now)

    def _changed(self, network: nn.Module, outputs: str | None = None, **scaling: Any) -> Wrapped:
        now = self.victim
        order = None if now.places is None else now.places.argsort().tolist()
        given = {"outputs": outputs or now.outputs, **scaling}
        made = Wrapped(network, size=now.size, channels=now.channels, order=order, **given)
        return made.to(device_of(now, self.images)).eval()

    def _predictions(self, victim: Wrapped, images: Tensor) -> Tensor:
        try:
            return answers(classify(victim, images, BATCH))[0].cpu()
        except Exception:  # it did not fail on what it is given, so this is not what it wants
            return torch.full((len(images),), NO_ANSWER)

    def _order(self, predictions: Tensor) -> tuple[str, float] | None:
        """The order of classes that half of the images tell, if the other half confirms it, and its accuracy there."""
        from scipy.optimize import linear_sum_assignment

        k, half = len(self.names), len(predictions) // 2
        told = predictions >= 0
        counts = torch.zeros(k, k)
        first = told[:half]
        counts.index_put_((predictions[:half][first], self.labels[:half][first]), torch.ones(()), accumulate=True)
        meant = torch.from_numpy(linear_sum_assignment(counts.numpy(), maximize=True)[1])
        right = (meant[predictions[half:].clamp_min(0)] == self.labels[half:]) & told[half:]
        share = float(right.float().mean())
        if share < PLAUSIBLE or not _clearly_better(right, predictions[half:] == self.labels[half:]):
            return None
        outputs = meant if self.victim.places is None else meant[self.victim.places.cpu().argsort()]
        return f"classes: {_listed([self.names[number] for number in outputs])}", share


@dataclass(frozen=True)
class _Remedy:
    """What could have been meant: the words for it, the victim as it would be then, and its accuracy."""

    words: str
    victim: Wrapped
    share: float


class _Reversed(nn.Module):
    """A network that is given its images' channels in reverse."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Any:
        return self.network(images.flip(1))


def _agree(one: Tensor, other: Tensor, share: float) -> Tensor:
    """Of each image, whether two answers (N,K) are the same but for rounding."""
    limit = share * one.abs().amax(dim=1, keepdim=True).clamp_min(1)
    return ((one - other.to(one.device)).abs() <= limit).all(dim=1)


def _sum_to_one(rows: Tensor) -> bool:
    return bool(((rows.flatten(1).sum(dim=1) - 1).abs() < 1e-3).all())


def _clearly_better(right: Tensor, before: Tensor) -> bool:
    won, lost = int((right & ~before).sum()), int((before & ~right).sum())
    return won - lost >= max(SPREADS * math.sqrt(won + lost), 1)


def _listed(names: list[str]) -> str:
    """Names of classes as a configuration has them; the first few of very many."""
    shown = yaml.safe_dump(names[:LISTED], default_flow_style=True, allow_unicode=True, width=math.inf).strip()
    return shown if len(names) <= LISTED else f"{shown[:-1]}, ...]"


def _scaling(
    range_: tuple[float, float] = (0.0, 1.0), mean: list[float] | None = None, std: list[float] | None = None
) -> dict[str, Any]:
    """How a network's pixels are scaled, as `Wrapped` is told."""
    return {"range_": range_, "mean": mean, "std": std}


def _numbers(tensor: Tensor | None) -> list[float] | None:
    return None if tensor is None else [round(float(value), 6) for value in tensor]
