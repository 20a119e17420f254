"""What a file of your own imports to bring methods: attacks, defenses, poisonings, architectures, and so on.

Name the file under `plugins:` in a configuration. docs/writing-a-method.md says what a method may use, with an example
of each kind. Nothing is imported before it is asked for.

Decorators, one for each kind of method: `attack`, `defense`, `poisoning`, `architecture`, `training_method`, `source`
(of data), `fooling`, `filtering` (of training images) and `targeted_poisoning`.

What methods are given and return: the oracles `Decisions`, `Scores` and `Gradients`, `Goal` and `Random` (attacks);
`Defended`, `Preprocessed`, `Randomised`, `Rejecting`, `substituted` (defenses); `Poisoned`, `Trigger` (poisonings);
`Classifier`, `Estimator` (architectures); `Recipe`, `Direct`, `Loss` (training methods); `Dataset`, `Fetch`, `Known`,
`Remote` (sources); `Screened` (filters); `Targeted` (targeted poisonings).

Pieces: `project`, `within`, `steepest`, `random_in_ball`, `length` for the norms; `flat_features`, `floats`,
`frozen`, `derive_seed`.

Types of parameters: all of `rivalry.types`, and `RivalryError` for what a user can mend.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rivalry.architectures._classifier import Classifier as Classifier
    from rivalry.architectures._classifier import architecture as architecture
    from rivalry.architectures._classifier import flat_features as flat_features
    from rivalry.architectures._estimator import Estimator as Estimator
    from rivalry.attacks._attack import attack as attack
    from rivalry.attacks._goals import Goal as Goal
    from rivalry.attacks._oracles import Decisions as Decisions
    from rivalry.attacks._oracles import Gradients as Gradients
    from rivalry.attacks._oracles import Scores as Scores
    from rivalry.data._dataset import Dataset as Dataset
    from rivalry.data._dataset import source as source
    from rivalry.data._fetch import Fetch as Fetch
    from rivalry.data._fetch import Remote as Remote
    from rivalry.data._glance import Known as Known
    from rivalry.data._splits import floats as floats
    from rivalry.defenses._defended import Defended as Defended
    from rivalry.defenses._defended import Preprocessed as Preprocessed
    from rivalry.defenses._defended import Randomised as Randomised
    from rivalry.defenses._defended import Rejecting as Rejecting
    from rivalry.defenses._defended import defense as defense
    from rivalry.defenses._defended import substituted as substituted
    from rivalry.devices import frozen as frozen
    from rivalry.errors import RivalryError as RivalryError
    from rivalry.filters._filter import Screened as Screened
    from rivalry.filters._filter import filtering as filtering
    from rivalry.fooling._fooling import fooling as fooling
    from rivalry.norms import length as length
    from rivalry.norms import project as project
    from rivalry.norms import steepest as steepest
    from rivalry.norms import within as within
    from rivalry.poisoning._poisoning import Poisoned as Poisoned
    from rivalry.poisoning._poisoning import poisoning as poisoning
    from rivalry.poisoning._trigger import Trigger as Trigger
    from rivalry.randomness import Random as Random
    from rivalry.randomness import random_in_ball as random_in_ball
    from rivalry.seeds import derive_seed as derive_seed
    from rivalry.targeted_poisoning._targeted import Targeted as Targeted
    from rivalry.targeted_poisoning._targeted import targeted_poisoning as targeted_poisoning
    from rivalry.training._recipe import Direct as Direct
    from rivalry.training._recipe import Loss as Loss
    from rivalry.training._recipe import Recipe as Recipe
    from rivalry.training._recipe import training_method as training_method
    from rivalry.types import AnyNorm as AnyNorm
    from rivalry.types import AttackName as AttackName
    from rivalry.types import AttackNames as AttackNames
    from rivalry.types import BatchSize as BatchSize
    from rivalry.types import BitDepth as BitDepth
    from rivalry.types import Count as Count
    from rivalry.types import Degrees as Degrees
    from rivalry.types import Doublings as Doublings
    from rivalry.types import Epochs as Epochs
    from rivalry.types import Few as Few
    from rivalry.types import Flag as Flag
    from rivalry.types import Fraction as Fraction
    from rivalry.types import ImageCount as ImageCount
    from rivalry.types import ImageSize as ImageSize
    from rivalry.types import LearningRate as LearningRate
    from rivalry.types import Levels as Levels
    from rivalry.types import MethodOf as MethodOf
    from rivalry.types import Natural as Natural
    from rivalry.types import NonNegative as NonNegative
    from rivalry.types import Norm as Norm
    from rivalry.types import OpenFraction as OpenFraction
    from rivalry.types import PoisoningName as PoisoningName
    from rivalry.types import Population as Population
    from rivalry.types import Positive as Positive
    from rivalry.types import Quality as Quality
    from rivalry.types import Reference as Reference
    from rivalry.types import SampleSize as SampleSize
    from rivalry.types import Share as Share
    from rivalry.types import Side as Side
    from rivalry.types import SignedShare as SignedShare
    from rivalry.types import UserCode as UserCode
    from rivalry.types import UserPath as UserPath
    from rivalry.types import VictimName as VictimName
    from rivalry.types import VictimNames as VictimNames
else:
    import ast
    import importlib
    from functools import cache
    from pathlib import Path

    @cache
    def _origins() -> dict[str, str]:
        """Where each name is defined: what is said to type checkers above is all that there is to know."""
        tree = ast.parse(Path(__file__).read_text(encoding="utf-8"))
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        return {alias.name: node.module for node in imports for alias in node.names if alias.asname}

    def __dir__() -> list[str]:
        return sorted(_origins())

    def __getattr__(name: str) -> object:
        if name not in _origins():
            from rivalry.errors import nearest

            raise AttributeError(f"rivalry.plugins has no '{name}'; {nearest(name, sorted(_origins()))}")
        found = globals()[name] = getattr(importlib.import_module(_origins()[name]), name)
        return found
