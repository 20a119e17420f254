"""The attack whose images something is to learn from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rivalry import registry
from rivalry.errors import RivalryError


def learned_attack(attack: str | Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """A registered attack that has an untargeted form, and its parameters: of several eps the largest.

    Parameters
    ----------
    attack : str or mapping
        Its name, or its `method` and parameters.
    """
    settings = {"method": attack} if isinstance(attack, str) else dict(attack)
    attacker = registry.method("attacks", settings.pop("method")).load()
    if "untargeted" not in attacker.goals:
        raise RivalryError(f"attack: {attacker.name} has no untargeted form to learn from; name one that has")
    if isinstance(settings.get("eps"), list):
        settings["eps"] = max(settings["eps"])
    return attacker, settings
