"""What an attack is, and how one is run."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable, Sequence
from typing import Any, Concatenate, Generic, Literal, NoReturn, ParamSpec, TypeVar, get_type_hints, overload

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from rivalry import registry, types
from rivalry.answers import NO_ANSWER, answers, classify, reject_class
from rivalry.attacks._checked import CheckedVictim, checked_images, computing
from rivalry.attacks._goals import Goal
from rivalry.attacks._oracles import ORACLES, Decisions, Ledger
from rivalry.attacks._progress import Progress
from rivalry.attacks._result import Fitted, Result
from rivalry.devices import device_of, frozen
from rivalry.errors import RivalryError, WrongArgument, nearest
from rivalry.parameters import checked, checked_value
from rivalry.randomness import Random
from rivalry.seeds import derive_seed
from rivalry.types import Budget, Goals, Norms, Sight, TargetRule

BAR = "{desc}: {n} of {total} images |{bar:20}| {elapsed}<{remaining}{postfix}"
"""Whoever shows a run reads "n of total images" in the job's log."""


P = ParamSpec("P")
Oracle = TypeVar("Oracle", bound=Decisions)
T = TypeVar("T")

Numbers = Tensor | np.ndarray | Sequence[int]
"""One integer for each image."""


class Attack(Generic[P]):
    """A registered attack: its function, what it sees, and the bookkeeping around it."""

    def __init__(self, function: Callable[..., Tensor], traits: dict[str, Any]) -> None:
        functools.update_wrapper(self, function)
        self.name = function.__name__
        self.function = function
        self.method = registry.described("attacks", function, traits)
        self.sees: Sight = traits["sees"]
        self.asks = self.sees in ("decisions", "scores")  # the victim itself; who sees gradients has a copy
        self.goals: Sequence[str] = traits["goals"]
        self.target: str | None = traits["target"]
        beside = function.__globals__
        self._fit: Callable[..., dict[str, Tensor]] | None = None
        if traits["fitted"]:
            self._fit = beside[f"fit_{self.name}" if f"fit_{self.name}" in beside else "fit"]
        self.__doc__ = f"{self.method.doc}\n\nExamples\n--------\n{self._example()}"
        self.__signature__ = _signature(type(self).__call__, function)
        self.run = _signed(self.run, _signature(type(self).run, function))  # type: ignore[method-assign]

    def __repr__(self) -> str:
        return f"<attack {self.name}: sees {self.sees}, {' or '.join(self.goals)}>"

    def _example(self) -> str:
        """Calls that run, for whoever asks for help: `victim`, `images` and `labels` are there."""
        options = ["victim", "images", "labels"]
        for name, parameter in self.method.parameters.items():
            if name == "eps":
                options.append(f"eps={parameter.default:g}")
            elif parameter.required:
                options.append(f"{name}={name}")
        if "untargeted" not in self.goals and self.target is None:
            options.append("targets=0")
        if self._fit is not None:
            options.append("training=(other_images, other_labels)")
        call = f"({', '.join(options)})"
        package = self.function.__module__.rpartition(".")[0]
        lines = [f">>> from {package} import {self.name}"] if package.startswith("rivalry.") else []
        lines += [f">>> adversarial = {self.name}{call}", f">>> result = {self.name}.run{call}  # with all its counts"]
        return "\n".join(lines)

    def __call__(
        self,
        victim: nn.Module,
        images: Tensor,
        labels: Numbers,
        progress: bool = False,
        targets: Numbers | int | str | None = None,
        training: tuple[Tensor, Numbers] | None = None,
        seed: int = 0,
        batch_size: int = 64,
        *args: P.args,
        **parameters: P.kwargs,
    ) -> Tensor:
        """Adversarial images, float32 (N,C,H,W) in [0,1]; see `run` for the options."""
        return self.run(
            victim, images, labels, progress, targets, training, seed, batch_size, *args, **parameters
        ).images

    # Python has no way to say that the options are given by name, and that others are the attack's own. So `progress`
    # comes first: a number that was meant as the budget is then no truth value, and is refused.
    def run(
        self,
        victim: nn.Module,
        images: Tensor,
        labels: Numbers,
        progress: bool = False,
        targets: Numbers | int | str | None = None,
        training: tuple[Tensor, Numbers] | None = None,
        seed: int = 0,
        batch_size: int = 64,
        *args: P.args,
        **parameters: P.kwargs,
    ) -> Result:
        """Attack images in batches.

        Parameters
        ----------
        victim : nn.Module
            Maps float32 images (N,C,H,W) in [0,1] to logits (N,K); K+1 of them where its attribute `reject_class`
            says that the last means refusal. It is asked in evaluation mode, and left as it was.
        images, labels : Tensor
            float32 (N,C,H,W) in [0,1], and class numbers, any integers (N,).
        progress : bool
            Show a progress bar on standard error.
        targets : Tensor, int or str, optional
            Classes to reach, (N,); one for all; or a rule of `choose_targets`. Images of that class are not attacked.
        training : tuple of Tensor, optional
            Other images and labels, like `images` and `labels`; needed, and used, by attacks that make
            something to use on every image: `training_images` of them, drawn from the seed.
        seed : int
            Seeds the attack's random numbers, together with each image's content.
        batch_size : int
            Images attacked at once, and the most the victim is ever given at once: bounds the memory.
        **parameters
            The attack's own parameters.

        Raises
        ------
        WrongArgument
            Images outside [0,1] or not (N,C,H,W); wrong labels, targets or parameters; a goal
            that this attack does not have; a victim that does not answer with logits.
        RivalryError
            The attack's function does not keep its word: what it returns are no such images, or they leave [0,1] or
            the budget; or it writes into the images that it is given.

        Warns
        -----
        UserWarning
            The victim answers with probabilities.
        """
        if args or not isinstance(progress, bool):
            raise WrongArgument(f"{self.name}: give parameters by name: {self.name}(victim, images, labels, eps=...)")
        settings = checked(self.method, parameters, f"{self.name}: ")
        batch_size = checked_value("batch_size", types.BatchSize, batch_size, f"{self.name}: ")
        with computing(victim):
            images, classes = _examples("images", images, "labels", labels)
            goals = self._targets(targets, victim, images, classes, seed)
            others = None
            if self._fit is not None:
                others = self._training(training, settings, seed)
                if goals is not None and len(goals.unique()) > 1:
                    raise WrongArgument(f"{self.name} makes one thing for all images, so all need the same target")
            fitted, columns = None, _nothing()
            if len(images):
                fitted, columns = self._run(
                    victim, images, classes, goals, others, seed, batch_size, progress, settings
                )
        norm, eps = self._budget(settings)
        return Result(
            attack=self.name,
            norm=norm,
            eps=eps,
            clean=images.cpu(),
            labels=classes,
            targets=goals,
            fitted=fitted,
            **{"images": images.cpu()} | columns,  # type: ignore[arg-type]  # they are named like its tensors
        )

    def _limit(self, victim: CheckedVictim) -> int | None:
        """How many questions about an image are answered; who holds the victim asks as many as it likes."""
        return None if self.sees == "gradients" else victim.limit

    def _budget(self, parameters: dict[str, Any]) -> tuple[Literal["inf", 2, 0], float | None]:
        """The norm and how long a change may be in it; None: as long as it takes."""
        known = self.method.defaults | parameters
        return known.get("norm", self.method.traits["norms"][0]), known.get("eps")

    def _targets(
        self, targets: Numbers | int | str | None, victim: nn.Module, images: Tensor, labels: Tensor, seed: int
    ) -> Tensor | None:
        """The classes to reach, if any."""
        rule: Any = self.target if targets is None else targets
        if getattr(rule, "shape", None) == ():
            rule = rule.item()  # a number of NumPy's or PyTorch's
        kind = "untargeted" if rule is None else "targeted"
        if kind not in self.goals:
            raise WrongArgument(f"{self.name} has no {kind} form")
        if rule is None:
            return None
        if not isinstance(rule, str | int):
            return _classes("targets", rule, len(images))
        return choose_targets(rule, victim, images, labels, seed) if len(images) else labels

    def _training(
        self, training: tuple[Tensor, Numbers] | None, parameters: dict[str, Any], seed: int
    ) -> tuple[Tensor, Tensor]:
        """The images and labels that it is fitted to."""
        if training is None:
            raise WrongArgument(f"{self.name} needs `training`: images, and their labels, to fit to")
        images, labels = _examples("training[0]", training[0], "training[1]", training[1])
        if len(images) == 0:
            raise WrongArgument(f"{self.name}: training: holds no images to fit to")
        most = (self.method.defaults | parameters)["training_images"]
        if len(images) > most:
            generator = torch.Generator().manual_seed(derive_seed(seed, "training images"))
            chosen = torch.randperm(len(images), generator=generator)[:most].sort().values
            images, labels = images[chosen], labels[chosen]
        return images, labels

    def _run(
        self,
        victim: nn.Module,
        images: Tensor,
        labels: Tensor,
        targets: Tensor | None,
        training: tuple[Tensor, Tensor] | None,
        seed: int,
        batch_size: int,
        progress: bool,
        parameters: dict[str, Any],
    ) -> tuple[Fitted | None, dict[str, Tensor]]:
        fitted = None
        results: list[dict[str, Tensor]] = []
        named = {"labels": labels, "targets": targets, "training[1]": None if training is None else training[1]}
        checked_victim = CheckedVictim(victim, functools.partial(_fit_classes, named))
        place, reject = device_of(victim, images), reject_class(victim)
        still = frozen(victim, grey_gradients=self.sees == "gradients" and images.shape[1] == 1)
        with still, tqdm(total=len(images), desc=self.name, disable=not progress, miniters=0, bar_format=BAR) as bar:
            bar.mininterval = 5
            if training is not None and self._fit is not None:
                others = training[0].to(place)
                target = None if targets is None else targets[:1].expand(len(others)).to(place)
                goal = Goal(training[1].to(place), target, reject)
                fitted = self._fit_to(others, goal, checked_victim, seed, batch_size, parameters, bar)
            for rows in torch.arange(len(images)).split(batch_size):
                goal = Goal(labels[rows].to(place), None if targets is None else targets[rows].to(place), reject)
                part = images[rows].to(place)
                results.append(self._run_batch(checked_victim, part, goal, seed, batch_size, parameters, fitted, bar))
                bar.update(len(rows))
        return fitted, {name: torch.cat([result[name] for result in results]) for name in results[0]}

    def _fit_to(
        self,
        images: Tensor,
        goal: Goal,
        victim: CheckedVictim,
        seed: int,
        batch_size: int,
        parameters: dict[str, Any],
        bar: tqdm[NoReturn],
    ) -> Fitted:
        assert self._fit is not None
        started = time.perf_counter()
        n = len(images)
        ledger = Ledger(n, functools.partial(_say, bar, "fitting, "), goal.labels, victim.draws, self._limit(victim))
        oracle = ORACLES[self.sees](victim, ledger, torch.arange(n), batch_size)
        settings = self.method.defaults | parameters  # the defaults stand in the attack alone
        tensors = self._fit(oracle, images, goal, Random.for_images(images, seed), **settings)
        return Fitted(
            tensors={name: tensor.detach().cpu() for name, tensor in tensors.items()},
            images=n,
            queries=int(ledger.queries.sum()),
            gradients=int(ledger.gradients.sum()),
            zero_gradient=int(ledger.flat.sum()),
            not_finite=int(ledger.broken.sum()),
            seconds=time.perf_counter() - started,
        )

    def _run_batch(
        self,
        victim: CheckedVictim,
        images: Tensor,
        goal: Goal,
        seed: int,
        batch_size: int,
        parameters: dict[str, Any],
        fitted: Fitted | None,
        bar: tqdm[NoReturn],
    ) -> dict[str, Tensor]:
        started = time.perf_counter()
        made = [] if fitted is None else [{name: tensor.to(images.device) for name, tensor in fitted.tensors.items()}]
        n = len(images)
        progress = Progress(images, goal, self._budget(parameters)[0]) if self.asks else None
        ledger = Ledger(n, functools.partial(_say, bar, ""), goal.labels, victim.draws, self._limit(victim), progress)
        oracle = ORACLES[self.sees](victim, ledger, torch.arange(n), batch_size)

        clean = oracle.clean_decisions(images)
        attackable = clean == goal.labels
        if goal.targets is not None:
            attackable &= goal.labels != goal.targets
        rows = attackable.nonzero().squeeze(1)
        adversarial = images.clone()
        if len(rows):
            asked, chosen = oracle.handed(images, rows)
            random = Random.for_images(chosen, seed)
            version = chosen._version
            found = self.function(asked, chosen, goal[rows], random, *made, **parameters)
            if chosen._version != version:
                raise RivalryError(f"{self.name}: writes into the images that it is given; have it work on a copy")
            found = checked_images(self.name, found, chosen, *self._budget(parameters))
            finite = found.flatten(1).isfinite().all(dim=1)
            ledger.broken[rows[~finite].cpu()] = True
            adversarial[rows] = torch.where(finite.view(-1, 1, 1, 1), found, chosen)

        predictions, confidence = answers(oracle.outcome(adversarial))
        elapsed = time.perf_counter() - started
        smallest = {} if progress is None else {"progress": progress.smallest()}
        smallest = {name: sizes.where(attackable.cpu()[:, None], torch.inf) for name, sizes in smallest.items()}
        return smallest | {
            "images": adversarial.cpu(),
            "attacked": attackable.cpu(),
            "success": (attackable & goal.reached(predictions) & (predictions != NO_ANSWER)).cpu(),
            "clean_predictions": clean.cpu(),
            "predictions": predictions.cpu(),
            "confidence": confidence.cpu(),
            "iterations": ledger.iterations,
            "queries": ledger.queries,
            "gradients": ledger.gradients,
            "zero_gradient": ledger.flat,
            "finite": ~ledger.broken,
            "seconds": torch.full((n,), elapsed / n, dtype=torch.float64),
        }


@overload
def attack(
    *,
    sees: Sight,
    goals: Goals,
    norms: Norms,
    budget: Budget,
    source: str = "",
    target: TargetRule | None = None,
    fitted: Literal[False] = False,
) -> Callable[[Callable[Concatenate[Oracle, Tensor, Goal, Random, P], Tensor]], Attack[P]]: ...


@overload
def attack(
    *,
    sees: Sight,
    goals: Goals,
    norms: Norms,
    budget: Budget,
    source: str = "",
    target: TargetRule | None = None,
    fitted: Literal[True],
) -> Callable[[Callable[Concatenate[Oracle, Tensor, Goal, Random, dict[str, Tensor], P], Tensor]], Attack[P]]: ...


def attack(
    *,
    sees: Sight,
    goals: Goals,
    norms: Norms,
    budget: Budget,
    source: str = "",
    target: TargetRule | None = None,
    fitted: bool = False,
) -> Callable[[Callable[..., Tensor]], Attack[...]]:
    """Register a function as an attack.

    Parameters
    ----------
    sees : "nothing", "decisions", "scores" or "gradients"
        What the attacker knows of the victim; decides which oracle the function is handed.
    goals : list of "untargeted", "targeted"
        Goals it can pursue.
    norms : list of "inf", 2, 0
        Norms it can bound or minimise, the default first.
    budget : "fixed" or "minimal"
        Whether it succeeds as well as it can within eps, or seeks the smallest perturbation.
    source : str, optional
        Citation key of the paper.
    target : str, optional
        The rule by which the attack chooses its targets, where that is part of it.
    fitted : bool
        Whether it makes something from training images first. Its file then also defines `fit`, or `fit_NAME` for the
        attack NAME where there are several, with the same parameters (victim, images, goal, random, *, ...), which
        returns a dict of tensors; the attack is handed that after `random`. With a target, all images have the same
        one. Its parameter `training_images` says from how many images.
    """
    traits = {"sees": sees, "goals": goals, "norms": norms, "budget": budget, "source": source}
    return lambda function: Attack(function, traits | {"target": target, "fitted": fitted})


def _signature(method: Callable[..., Any], function: Callable[..., Any]) -> inspect.Signature:
    """How an attack is called: with what `method` of `Attack` takes, and by name with the parameters of `function`."""
    whole = inspect.signature(method, eval_str=True)
    _, victim, images, labels, *options = (p for p in whole.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD)
    types_of = get_type_hints(function)
    own = [p for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
    named = [p.replace(annotation=types_of[p.name]) for p in own] + [p.replace(kind=p.KEYWORD_ONLY) for p in options]
    return whole.replace(parameters=[victim, images, labels, *named])


def _signed(function: Callable[P, T], signature: inspect.Signature) -> Callable[P, T]:
    """The function, with this signature for whoever asks."""

    @functools.wraps(function)
    def signed(*args: P.args, **options: P.kwargs) -> T:
        return function(*args, **options)

    vars(signed)["__signature__"] = signature
    return signed


def choose_targets(rule: int | str, victim: nn.Module, images: Tensor, labels: Tensor, seed: int) -> Tensor:
    """The class each image (N,C,H,W) shall be taken for, int64 (N,).

    A class number is the same for all; "next" is label + 1, cyclically; "random" a class other than the label,
    drawn from the seed and the image's pixels; "least_likely" the one the victim finds least likely on the clean image.

    Raises
    ------
    WrongArgument
        No such rule or class; or labels, images or a victim that `Attack.run` would refuse.
    """
    rules = ["next", "random", "least_likely"]
    if isinstance(rule, bool) or not isinstance(rule, int | str):
        raise WrongArgument(f"target: {rule!r} is no target; give a class number, {', '.join(rules)}")
    if isinstance(rule, str) and rule not in rules:
        raise WrongArgument(f"target: '{rule}' is unknown; {nearest(rule, rules)}")
    images, labels = _examples("images", images, "labels", labels)
    with computing(victim), frozen(victim):
        checked_victim = CheckedVictim(victim, functools.partial(_fit_classes, {"labels": labels}))
        logits = classify(checked_victim, images.to(device_of(victim, images)), 64).cpu()
    classes = logits.shape[1] - (reject_class(victim) is not None)
    if isinstance(rule, int):
        if not 0 <= rule < classes:
            raise WrongArgument(f"target: {rule} is no class of this data set; its classes are 0 to {classes - 1}")
        return torch.full_like(labels, rule)
    if rule == "next":
        return (labels + 1) % classes
    if rule == "random":
        share = Random.for_images(images, derive_seed(seed, "targets")).uniform(1).squeeze(1).add(1).div(2)
        return (labels + 1 + (share * (classes - 1)).long().clamp_max(classes - 2)) % classes
    return logits[:, :classes].scatter(1, labels[:, None], torch.inf).argmin(dim=1)


def _examples(what: str, images: Any, whose: str, labels: object) -> tuple[Tensor, Tensor]:
    """Images and labels as attacks need them: float32 (N,C,H,W) in [0,1] and, on the CPU, int64 (N,)."""
    if not isinstance(images, Tensor) or images.dim() != 4 or images.dtype != torch.float32:
        kind = f"{str(images.dtype).removeprefix('torch.')} {tuple(images.shape)}" if hasattr(images, "dtype") else ""
        raise WrongArgument(f"{what} must be a float32 tensor (N,C,H,W), not {kind or type(images).__name__}")
    images = images.detach()
    if len(images) and not (images.min() >= 0 and images.max() <= 1):
        raise WrongArgument(f"{what} must lie in [0,1]")
    # What was made in inference mode takes no part in a gradient.
    return images.clone() if images.is_inference() else images, _classes(whose, labels, len(images))


def _classes(what: str, classes: object, n: int) -> Tensor:
    """Class numbers, one for each of n images: int64 (n,) on the CPU."""
    right = f"give one class number for each image, integers of shape ({n},)"
    try:
        numbers = torch.as_tensor(classes)
    except (TypeError, ValueError, RuntimeError) as error:
        raise WrongArgument(f"{what}: {type(classes).__name__} holds no class numbers; {right}") from error
    if numbers.shape != (n,):
        wide = numbers.dim() == 2 and len(numbers) == n
        hint = f"; {what}.{'squeeze(1)' if numbers.shape[1] == 1 else 'argmax(dim=1)'}" if wide else ""
        raise WrongArgument(f"{what}: have shape {tuple(numbers.shape)}; {right}{hint}")
    if n and (numbers.is_floating_point() or numbers.is_complex() or numbers.dtype == torch.bool):
        raise WrongArgument(f"{what}: are {str(numbers.dtype).removeprefix('torch.')}; {right}")
    return numbers.detach().to("cpu", torch.int64, copy=True)


def _fit_classes(named: dict[str, Tensor | None], classes: int) -> None:
    """Refuse numbers that are none of the victim's classes."""
    for what, numbers in named.items():
        if numbers is not None and len(numbers) and not 0 <= int(numbers.min()) <= int(numbers.max()) < classes:
            wrong = numbers[(numbers < 0) | (numbers >= classes)][0]
            raise WrongArgument(f"{what}: {wrong} is no class; the victim tells apart 0 to {classes - 1}")


def _nothing() -> dict[str, Tensor]:
    """What was done to no images."""
    kinds = dict.fromkeys(("attacked", "success", "zero_gradient", "finite"), torch.bool)
    kinds |= {"confidence": torch.float32, "seconds": torch.float64}
    counts = ("clean_predictions", "predictions", "iterations", "queries", "gradients")
    return {name: torch.zeros(0, dtype=kind) for name, kind in (kinds | dict.fromkeys(counts, torch.int64)).items()}


def _say(bar: tqdm[NoReturn], prefix: str, passes: int) -> None:
    """The batch's passes so far, beside the bar; it is drawn every few seconds at most."""
    bar.set_postfix_str(f"{prefix}{passes} passes", refresh=False)
    bar.update(0)
