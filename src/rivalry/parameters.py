"""Whether a method's parameters are right: one answer for the configuration, the command line and Python."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from rivalry import types
from rivalry.errors import WrongArgument, nearest
from rivalry.registry import Method

STEPS = ("step_size", "eps_step")
"""Parameters that are the length of one of `steps` steps, in the norm of `eps`."""


def checked(method: Method, given: Mapping[str, object], prefix: str, *, several: bool = False) -> dict[str, Any]:
    """The given parameters as their types have them.

    Parameters
    ----------
    method : Method
        Whose they are.
    given : mapping
        Values by name; the defaults stand for the others.
    prefix : str
        What an error line begins with, before the parameter's name.
    several : bool
        Whether `eps` may be a list of budgets.

    Raises
    ------
    WrongArgument
        One line that names the first parameter that is unknown, missing or wrong.
    """
    for name in given:
        if name not in method.parameters:
            raise WrongArgument(
                f"{prefix}{name}: {method.name} has no such parameter; {nearest(name, list(method.parameters))}"
            )
    values = method.defaults
    for name, parameter in method.parameters.items():
        if name in given:
            annotation = types.NonNegative if method.kind == "attacks" and name == "eps" else parameter.annotation
            if several and name == "eps" and isinstance(given[name], list):
                annotation = list[annotation]  # type: ignore[valid-type]
            values[name] = checked_value(name, annotation, given[name], prefix)
        elif parameter.required:
            raise WrongArgument(f"{prefix}{name}: is missing; {method.name} needs it: {parameter.doc}")
    for name, fault in contradictions(method, values):
        raise WrongArgument(f"{prefix}{name}: {fault}")
    return {name: values[name] for name in given}


def checked_value(name: str, annotation: Any, value: object, prefix: str) -> Any:
    """One value as its type has it; numbers of NumPy and PyTorch are taken for Python's.

    Raises
    ------
    WrongArgument
        One line that names it.
    """
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        value = value.item()
    try:
        return _adapter(annotation).validate_python(value, strict=True)
    except ValidationError as error:
        details = error.errors()[0]
        place = "".join(
            f"[{part}]" if isinstance(part, int) else f".{part}" for part in details["loc"] if _is_key(part)
        )
        raise WrongArgument(f"{prefix}{name}{place}: {fault_of(details)}") from error


def contradictions(method: Method, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is wrong with parameters that are right one by one: whose name, and what is wrong.

    Parameters
    ----------
    method : Method
        Whose they are.
    values : mapping
        All of them, `eps` a number or a list.
    """
    budgets = values.get("eps")
    if budgets is None or method.kind not in ("attacks", "training"):
        return
    budgets = budgets if isinstance(budgets, list) else [budgets]
    norm = values.get("norm", method.traits.get("norms", ["inf"])[0])
    if len({f"{eps:g}" for eps in budgets}) < len(budgets):  # sets are named by six digits
        yield "eps", f"{budgets} names a budget twice, to six digits"
    for eps in budgets:
        if norm == 0 and eps != int(eps):
            yield "eps", f"{eps:g} is no whole number; in L0 it counts pixels"
    told = [name for name in STEPS if values.get(name) is not None]
    lengths = [("eps", eps) for eps in budgets] + [(name, values[name]) for name in told]
    for name, length in lengths:
        if norm == "inf" and length > 1:
            meant = f" ({length:g}/255 is {length / 255:.4g})" if length <= 255 else ""
            yield name, f"{length:g} is out of range; pixels lie in [0,1], so at most 1{meant}"
    # Adversarial training with fgsm takes one step of eps, whatever the other keys say.
    for name in told if "steps" in values and values.get("attack") != "fgsm" else ():
        reach = values[name] * values["steps"]
        if reach < max(budgets) * (1 - 1e-6):
            yield (
                name,
                f"{values['steps']} steps of {values[name]:g} reach no further than {reach:g}, "
                f"and eps is {max(budgets):g}; make them longer, or more",
            )


def fault_of(details: ErrorDetails) -> str:
    """What is wrong with one value, and what would be right, of pydantic's details."""
    given, kind = details["input"], details["type"]
    if kind == "literal_error":
        words = str(details.get("ctx", {}).get("expected", ""))
        choices = [word.strip(" '") for word in words.replace(" or ", ", ").split(",") if word.strip()]
        return f"{shown(given)} is unknown; {nearest(str(given), choices)}"
    if isinstance(given, str) and _is_number(given) and kind.startswith(("float", "int", "literal")):
        return f"'{given}' is text to YAML; write {_yaml_number(given)}"
    if kind == "string_type" and given is not None and not isinstance(given, dict | list):
        word = (
            "a truth value" if isinstance(given, bool) else "a number" if isinstance(given, int | float) else "no text"
        )
        return f"{shown(given)} is {word} to YAML; write it in quotes"
    if kind in ("missing", "extra_forbidden"):
        return "is missing" if kind == "missing" else "is unknown; leave it out"
    if kind == "list_type" and isinstance(given, str | int | float):
        return f"{shown(given)} is no list; write [{given}]"
    if given is None:
        return "is empty; give a value, or leave this key out"
    message = details["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{shown(given)} is wrong: {message[0].lower()}{message[1:]}"


def _is_key(part: int | str) -> bool:
    """Whether a part of pydantic's path to a value is a key, and not its own name for one of several kinds."""
    return isinstance(part, int) or (part.isidentifier() and part not in ("int", "str", "float", "bool"))


@cache
def _adapter(annotation: Any) -> TypeAdapter[Any]:
    return TypeAdapter(annotation)


def shown(value: object) -> str:
    """A value as an error line shows it: at most 60 characters."""
    text = repr(value) if isinstance(value, str) else str(value)
    if isinstance(value, bool):
        text = text.lower()
    elif value is None:
        text = "nothing"
    elif isinstance(value, dict):
        text = "a mapping"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _yaml_number(text: str) -> str:
    number = float(text)
    mantissa, e, exponent = text.lower().partition("e")
    if e and "." not in mantissa:
        return f"{mantissa}.0e{exponent}"
    return f"{number:g}"
