"""The types that a method's configurable parameters are annotated with.

A method (attack, defense, architecture, ...) is configured by its keyword-only parameters; these annotations
say what a configuration may put there. `rivalry.registry` reads them from the source without importing it, so
this module must import nothing heavy.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, StrictBool, StrictInt


@dataclass(frozen=True)
class Reference:
    """Marks a parameter that names another entry of the configuration (`section`: victims, attacks, ...)."""

    section: str


Flag = StrictBool
Count = Annotated[StrictInt, Field(ge=1)]
Natural = Annotated[StrictInt, Field(ge=0)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]
OpenFraction = Annotated[float, Field(gt=0, lt=1)]
Norm = Literal["inf", 2]
AnyNorm = Literal["inf", 2, 0]

VictimName = Annotated[str, Reference("victims")]
PoisoningName = Annotated[str, Reference("poisonings")]
AttackName = Annotated[str, Reference("attacks")]
