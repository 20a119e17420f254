"""Evasion attacks: each changes test images so that a trained victim errs.

One attack is one function in one file. `rivalry.attacks.fgsm(victim, images, labels, eps=0.3)` returns adversarial
images; `rivalry.attacks.fgsm.run(...)` returns them with everything that was counted on the way. An attack is
found by its file's name; names with a leading underscore are the pieces attacks share.
"""

from importlib import import_module as _import_module

from rivalry import registry as _registry
from rivalry.attacks._attack import Attack, Fitted, Result, attack, choose_targets
from rivalry.attacks._goals import Goal
from rivalry.attacks._oracles import Decisions, Gradients, Scores
from rivalry.attacks._random import Random

for _name in _registry.names("attacks"):
    # Overrides the submodule of the same name, so that rivalry.attacks.<name> is the attack itself.
    globals()[_name] = getattr(_import_module(f"{__name__}.{_name}"), _name)

__all__ = [
    "Attack",
    "Decisions",
    "Fitted",
    "Goal",
    "Gradients",
    "Random",
    "Result",
    "Scores",
    "attack",
    "choose_targets",
]
