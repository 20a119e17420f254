from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field
from torch import Tensor, nn

from rivalry import registry
from rivalry.defenses._defended import Defended, Preprocessed, Randomised, defense
from rivalry.errors import RivalryError
from rivalry.randomness import Random
from rivalry.seeds import derive_seed
from rivalry.types import Reference


@defense(kind="preprocessor", source="he2017")
def chain(
    victim: nn.Module,
    images: Tensor,
    labels: Tensor,
    seed: int,
    batch_size: int,
    *,
    steps: Annotated[list[Annotated[str, Reference("defenses")]], Field(min_length=2, max_length=20)],
) -> Defended:
    """Several preprocessors in a chain: each changes what the one before it made, and the victim sees what is left.

    He et al. (2017) find that weak defenses together are hardly stronger than the best of them.

    Parameters
    ----------
    steps : list of str
        The defenses, preprocessors all, in their order. For use without a configuration: mappings of `method` and its
        parameters.
    """
    made = [
        _method(step).load()(
            victim, images, labels, _seed(seed, place), batch_size, **_method(step).defaults | _parameters(step)
        )
        for place, step in enumerate(_told(steps))
    ]
    return Defended(_joined([one.module for one in made], victim, seed), {"steps": [one.facts for one in made]})


def restore(victim: nn.Module, facts: Mapping[str, Any]) -> nn.Module:
    modules = []
    for place, step in enumerate(facts["parameters"]["steps"]):
        own = {"parameters": _method(step).defaults | _parameters(step), "seed": _seed(facts["seed"], place)}
        found = {"facts": facts["facts"]["steps"][place]}
        modules.append(_method(step).load("restore")(victim, {**facts, **own, **found}))
    return _joined(modules, victim, facts["seed"])


def _told(steps: Sequence[Any]) -> list[Mapping[str, Any]]:
    return [{"method": step} if isinstance(step, str) else step for step in steps]


def _method(step: Mapping[str, Any]) -> registry.Method:
    return registry.method("defenses", step["method"])


def _parameters(step: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in step.items() if name != "method"}


def _seed(seed: int, place: int) -> int:
    return derive_seed(seed, f"step {place}")


def _joined(modules: Sequence[nn.Module], victim: nn.Module, seed: int) -> nn.Module:
    """A victim behind what stands before it in each of some defended ones."""
    before = []
    for module in modules:
        if not isinstance(module, Preprocessed | Randomised):
            raise RivalryError(f"steps: a chain is of preprocessors, and {type(module).__name__} is none")
        before.append(module.preprocessor)
    random = [isinstance(module, Randomised) for module in modules]
    if not any(random):
        return Preprocessed(nn.Sequential(*before), victim)
    draws = max(module.draws for module in modules if isinstance(module, Randomised))
    return Randomised(Several(before, random), victim, draws, seed)


class Several(nn.Module):
    """Images (N,C,H,W) in [0,1], and their `Random`, through preprocessors one by one; `random` says which draw."""

    def __init__(self, steps: Sequence[nn.Module], random: Sequence[bool]) -> None:
        super().__init__()
        self.steps = nn.ModuleList(steps)
        self.random = list(random)

    def forward(self, images: Tensor, random: Random) -> Tensor:
        for step, draws in zip(self.steps, self.random, strict=True):
            images = step(images, random) if draws else step(images)
        return images
