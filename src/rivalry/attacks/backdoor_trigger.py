from __future__ import annotations

from torch import Tensor

from rivalry.attacks._attack import attack
from rivalry.attacks._goals import Goal
from rivalry.attacks._oracles import Decisions
from rivalry.poisoning._trigger import Trigger
from rivalry.randomness import Random
from rivalry.types import PoisoningName


@attack(
    sees="nothing",
    goals=["targeted"],
    norms=[0],
    budget="fixed",
    source="gu2017",
)
def backdoor_trigger(
    victim: Decisions, images: Tensor, goal: Goal, random: Random, *, poisoning: PoisoningName
) -> Tensor:
    """Backdoor trigger: stamp the trigger of a poisoning; it works on victims that were trained on it.

    The target is the class that the poisoning plants. On a victim trained on clean data it is the control.

    Parameters
    ----------
    poisoning : str
        The poisoning whose trigger is stamped; for use without a configuration, its folder.
    """
    return Trigger.load(poisoning).stamp(images)
