"""The types that a method's configurable parameters are annotated with.

A method (attack, defense, architecture, ...) is configured by its keyword-only parameters; these annotations
say what a configuration may put there. `rivalry.registry` reads them from the source without importing it, so
this module must import nothing heavy.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    with_config,
)
from typing_extensions import TypedDict


class Strict(BaseModel):
    """A section in which every key is known; text is not taken for numbers."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)


@dataclass(frozen=True)
class Reference:
    """Marks a parameter that names another entry of the configuration (`section`: victims, attacks, ...)."""

    section: str


@dataclass(frozen=True)
class MethodOf:
    """Marks a parameter that names a method of a kind (architectures, attacks, ...) and is run with it."""

    kind: str


CODE_SUFFIXES = (".py", ".pt", ".pth", ".onnx", ".skops")
"""How the files end that a classifier can be built from."""


@dataclass(frozen=True)
class UserFile:
    """Marks a parameter that holds the path of a user's own file or folder, or several; an address is none.

    In a configuration such a path is relative to the file that holds it, and `~` and $VARIABLES are expanded;
    `package:digits/models/cnn.pth` is a file of an installed package.

    Attributes
    ----------
    code : bool
        It names code: a file, or something in one, `my_model.py:build`; or, which is no path, something in an
        installed package, `package.module:name`.
    named : bool
        It may also be a name, which is no path: letters, digits and _ alone.
    written : bool
        It is a folder that a run writes; it need not be there, and is relative to the folder in which the run works.
    """

    code: bool = False
    named: bool = False
    written: bool = False

    def split(self, value: str) -> tuple[str, str]:
        """The path in a value, "" where it holds none, and what stands behind it."""
        if self.named and re.fullmatch(r"\w+", value):
            return "", value
        if not self.code:
            return ("", value) if "://" in value else (value, "")
        before, colon, name = value.rpartition(":")
        if before.endswith(".py"):
            return before, colon + name
        return (value, "") if value.endswith(CODE_SUFFIXES) else ("", value)


def _plain_norm(value: object) -> object:
    """A norm as it is called here, whichever way it was spelled: Linf, L2, "2", 2.0, infinity."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return value
    if value == math.inf:
        return "inf"
    return {"inf": "inf", "2": 2, "2.0": 2, "0": 0, "0.0": 0}.get(str(value).lower().removeprefix("l"), value)


def _same_length(value: Any) -> Any:
    if len(value["mean"]) != len(value["std"]):
        raise ValueError(f"mean has {len(value['mean'])} numbers and std {len(value['std'])}; give both one a channel")
    return value


def _apart(value: list[float]) -> list[float]:
    if value[0] == value[1]:
        raise ValueError("black and white should not be the same")
    return value


def _not_zero(value: float) -> float:
    if value == 0:
        raise ValueError("should not be 0")
    return value


def height_and_width(size: int | list[int]) -> tuple[int, int]:
    """The pixels that an ImageSize stands for."""
    height, width = (size, size) if isinstance(size, int) else size
    return height, width


# The upper bounds are far beyond what anybody waits for: they catch slips of units and of the keyboard.
Flag = StrictBool
Count = Annotated[StrictInt, Field(ge=1, le=10_000_000)]
Few = Annotated[StrictInt, Field(ge=1, le=10_000)]
HiddenLayers = Few | Annotated[list[StrictStr], Field(min_length=1, max_length=100)]
Depths = Annotated[list[Few], Field(min_length=1, max_length=8)]
SampleSize = Annotated[StrictInt, Field(ge=4, le=1_000_000)]
ImageCount = Annotated[StrictInt, Field(ge=1, le=1_000_000)]
Side = Annotated[StrictInt, Field(ge=1, le=4096)]
ImageSize = Side | Annotated[list[Side], Field(min_length=2, max_length=2)]
"""Pixels of a square, or [height, width]."""
Pixels = Annotated[StrictInt, Field(ge=0, le=4096)]
PassesOrNone = Annotated[StrictInt, Field(ge=0, le=100_000)]
Epochs = Annotated[StrictInt, Field(ge=1, le=100_000)]
BatchSize = Annotated[StrictInt, Field(ge=1, le=65_536)]
ThreadCount = Annotated[StrictInt, Field(ge=1, le=1024)]
Population = Annotated[StrictInt, Field(ge=3, le=100_000)]
Doublings = Annotated[StrictInt, Field(ge=0, le=16)]
Natural = Annotated[StrictInt, Field(ge=0, lt=2**63)]
Positive = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
LearningRate = Annotated[float, Field(gt=0, le=100)]
Share = Annotated[float, Field(gt=0, le=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
OpenFraction = Annotated[float, Field(gt=0, lt=1)]
SignedShare = Annotated[float, Field(ge=-1, le=1), AfterValidator(_not_zero)]
Degrees = Annotated[float, Field(ge=0, le=180)]
BitDepth = Annotated[StrictInt, Field(ge=1, le=8)]
Quality = Annotated[StrictInt, Field(ge=1, le=95)]
Levels = Literal[1, 2, 3, 4, 5, 6, 7, 8]
Norm = Annotated[Literal["inf", 2], BeforeValidator(_plain_norm)]
AnyNorm = Annotated[Literal["inf", 2, 0], BeforeValidator(_plain_norm)]

UserPath = Annotated[str, UserFile()]
WeightsFile = Annotated[str, UserFile(named=True)]
UserCode = Annotated[str, UserFile(code=True)]
OutputFolder = Annotated[str, UserFile(written=True)]
Arguments = dict[str, Any]
ClassNames = Annotated[list[StrictStr | StrictInt], Field(min_length=2)]
Finite = Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]


@with_config(ConfigDict(extra="forbid", use_attribute_docstrings=True))
class _Normalization(TypedDict):
    mean: Annotated[list[Finite], Field(min_length=1)]
    """Subtracted; one number per channel, or one for all."""
    std: Annotated[list[Positive], Field(min_length=1)]
    """Divided by, after that."""


@with_config(ConfigDict(extra="forbid", use_attribute_docstrings=True))
class InputForm(TypedDict, total=False):
    """What a network wants of images; what is left out is as the data set has it."""

    size: ImageSize
    """Pixels of a square, or [height, width]; images are resized (bilinear, smoothed where they become smaller)."""
    channels: Literal[1, 3]
    """Grey images are given in all three channels, colours as their brightness."""
    range: Annotated[list[Finite], Field(min_length=2, max_length=2), AfterValidator(_apart)]
    """What black and white are, [0, 1] when left out."""


Normalization = Annotated[_Normalization, AfterValidator(_same_length)]

Sight = Literal["nothing", "decisions", "scores", "gradients"]
"""What of a victim a method may see."""
Goals = Annotated[Sequence[Literal["untargeted", "targeted"]], Field(min_length=1)]
Norms = Annotated[Sequence[Literal["inf", 2, 0]], Field(min_length=1)]
Budget = Literal["fixed", "minimal"]
TargetRule = Literal["next", "random", "least_likely"]
Sides = Mapping[str, Mapping[object, Side]]
DefenseKind = Literal["preprocessor", "detector", "transformer", "access control"]
"""These are what the decorators of methods are told."""

SIZES = {"inf": "linf", "2": "l2", "0": "l0"}
"""The column of an attack's scores that measures a change in each norm."""

REFUSED = -1
"""What tables give as the prediction of an image that is refused."""

FALSE_ALARMS = (0.01, 0.05)
"""Shares of clean images at which it is told what detectors find, whatever share each is set to refuse."""

RUN = ("attacks", "fooling")
"""Sections whose entries are run by the job of an entry that names them; the others have a job of their own."""

VictimName = Annotated[str, Reference("victims")]
VictimNames = Annotated[list[VictimName], Field(min_length=1, max_length=100)]
PoisoningName = Annotated[str, Reference("poisonings")]
AttackName = Annotated[str, Reference("attacks")]
AttackNames = AttackName | Annotated[list[AttackName], Field(min_length=1, max_length=100)]
"""One, or several."""
FoolingName = Annotated[str, Reference("fooling")]
