"""Running a stage on what the command line tells it, once that is right and the files are whose they should be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rivalry import options, registry
from rivalry.artifacts import identify, read_json
from rivalry.errors import RivalryError, nearest
from rivalry.external.spec import names_network
from rivalry.generative.keys import GeneratorKeys
from rivalry.layout import Layout, Place, parts
from rivalry.options import Stage
from rivalry.parameters import checked
from rivalry.training._fitting import FittingKeys, contradictions
from rivalry.types import Reference, Strict
from rivalry.verification import identify_all


def run(stage: Stage, given: dict[str, Any]) -> None:
    """Run a stage.

    Parameters
    ----------
    stage : Stage
    given : dict
        Values of its options, and of those that only tell whose its files are: `dataset`, `victim_name`.

    Raises
    ------
    RivalryError
        A method's parameter is wrong, or a folder holds something else than what it is called.
    """
    told: dict[str, Any] = {}
    for name, option in stage.options.items():
        if (mark := option.mark(options.NamedVictim)) and mark.brought:
            given = given | {name: _folder_of_victim(name, given)}
    for name, option in stage.options.items():
        if parameters := option.mark(options.ParametersOf):
            method = _named(parameters, given)
            if method is None and given[name]:
                raise RivalryError(f"{options.word(parameters.named)}: is missing; {options.word(name)} is about it")
            told[name] = method.defaults | _checked(method, given[name], f"{options.word(name)} ") if method else {}
        elif option.mark(options.Fitting):
            told[name] = _fitting(registry.method("training", given["method"]), given[name])
        elif option.mark(options.Generating):
            told[name] = _keys(GeneratorKeys, given[name], f"{options.word(name)} ")
        elif recorded := option.mark(options.Recorded):
            told[name] = read_json(getattr(Layout(given["results"]), recorded.what).facts)
        else:
            told[name] = given[name]
    if "data" in told:
        _identify(stage, told, given["dataset"], given.get("victim_name"))
    for option in stage.options.values():
        if after := option.mark(options.After):
            identify_all(Layout.of(given["results"], told["plan"]), told["plan"], after.stages)
    positional = [told.pop(name) for name in stage.positional]
    stage.load()(*positional, **told)


def _folder_of_victim(name: str, given: dict[str, Any]) -> Path:
    """The folder of the victim that an option names; a network from outside is brought into one first."""
    word, victim = options.word(name), str(given[name])
    said = {key: given[key] for key in options.BROUGHT if given.get(key)}
    if not names_network(victim):
        for key in said:
            raise RivalryError(
                f"{options.word(key)}: is about a network that {word} names, such as my_model.py:build; "
                f"{victim} is a folder"
            )
        return Path(victim)
    if parts(given["victim_name"])[1]:
        raise RivalryError(f"--victim-name: {given['victim_name']} is defended, and {victim} is not; leave +... out")
    parameters = {"model": victim} | checked(registry.method("training", "external"), {"model": victim} | said, "--")
    train = options.stage("train")
    defaults = {option.name: option.default for option in (train.options | train.beside).values()}
    folder = Path(given["output"]) / "victim"
    own = {key: given[key] for key in ("data", "dataset", "accelerator")}
    own |= {"victim": given["victim_name"], "method": "external", "parameters": parameters, "output": folder}
    run(train, defaults | {"architecture_parameters": {}, "fit": {}} | own)
    return folder


def _named(parameters: options.ParametersOf, given: dict[str, Any]) -> registry.Method | None:
    """The method that an option's parameters are of; None where none is named."""
    name = given[parameters.named]
    return None if name is None else registry.method(parameters.kind, name)


def _checked(method: registry.Method, given: dict[str, Any], prefix: str) -> dict[str, Any]:
    """A method's parameters. What the job itself runs is told in full: a method and what that takes."""
    full: dict[str, Any] = {}
    named: dict[str, Any] = {}
    for name, section in _references(method):
        if section not in options.INSIDE or name not in given:
            continue
        if isinstance(given[name], list):
            full[name] = [_in_full(section, one, f"{prefix}{name}[{n}]") for n, one in enumerate(given[name])]
            named[name] = [_name_of(one) for one in full[name]]
        else:
            full[name] = _in_full(section, given[name], f"{prefix}{name}")
            named[name] = _name_of(full[name])
    return checked(method, given | named, prefix, several=True) | full


def _in_full(section: str, told: object, place: str) -> object:
    """What a job runs, told by its name or in full, with all that it takes; anything else as it is."""
    told = {"method": told} if isinstance(told, str) else told
    if not isinstance(told, dict) or not isinstance(told.get("method"), str):
        return told
    own, known = told["method"], registry.names(section)
    if own not in known:
        raise RivalryError(f"{place}: '{own}' is no {registry.singular(section)}; {nearest(own, known)}")
    settings = {key: value for key, value in told.items() if key != "method"}
    return {"method": own, **_checked(registry.method(section, own), settings, f"{place}.")}


def _name_of(told: Any) -> object:
    return told["method"] if isinstance(told, dict) and "method" in told else told


def _references(method: registry.Method) -> Iterator[tuple[str, str]]:
    """The parameters by which a method uses another entry of a configuration, each with the section."""
    for name, parameter in method.parameters.items():
        if reference := parameter.mark(Reference):
            yield name, reference.section


def _fitting(method: registry.Method, given: dict[str, Any]) -> dict[str, Any]:
    """How a victim is trained in epochs, if its method does that: what is given over the defaults."""
    if not method.in_epochs:
        for key in given:
            raise RivalryError(f"--fit {key}: {method.name} trains without epochs; leave this out")
        return {}
    keys = _keys(FittingKeys, given, "--fit ")
    for key, fault in contradictions(FittingKeys(**keys), attacks=method.traits.get("attacks", False)):
        raise RivalryError(f"--fit {key}: {fault}")
    return keys


def _keys(model: type[Strict], given: dict[str, Any], prefix: str) -> dict[str, Any]:
    """All keys of a model: what is given over the defaults."""
    from rivalry.config.mistakes import explained  # which most jobs need not import

    try:
        return model.model_validate(given).model_dump()
    except ValidationError as error:
        raise RivalryError(next(explained(error, prefix, model))) from error


def _identify(stage: Stage, told: dict[str, Any], dataset: str | None, victim_name: str | None) -> None:
    """Make sure that all folders are of one data set, and hold what they are called.

    A plan, which names the data set, calls every folder by the name of what it holds.
    """
    about = {} if dataset is None else {"dataset": dataset}
    about = {"dataset": identify(Place("prepare", told["data"], about))["dataset"]}
    for name, option in stage.options.items():
        if option.mark(options.NamedVictim):
            unnamed = Place("defend", told[name], about)
            identify(Layout().classifier(about["dataset"], victim_name).at(told[name]) if victim_name else unnamed)
    for written, folder in _folders(stage, told):
        identify(Place(written.stage, folder, about if dataset is None else about | {written.called: folder.name}))


def _folders(stage: Stage, told: dict[str, Any]) -> Iterator[tuple[options.WrittenBy, Path]]:
    """Every other folder that a stage is told of, and the stage that wrote it."""
    for name, option in stage.options.items():
        if written := option.mark(options.WrittenBy):
            several = told[name] if isinstance(told[name], list | tuple) else [told[name]]
            yield from ((written, folder) for folder in several if folder is not None)
        elif parameters := option.mark(options.ParametersOf):
            method = _named(parameters, told)
            yield from _used(method, told[name]) if method else ()


def _used(method: registry.Method, parameters: dict[str, Any]) -> Iterator[tuple[options.WrittenBy, Path]]:
    for name, section in _references(method):
        if parameters[name] is None:
            continue
        if section in options.REFERENCES:
            folders = parameters[name] if isinstance(parameters[name], list) else [parameters[name]]
            yield from ((options.REFERENCES[section], Path(folder)) for folder in folders)
        else:
            several = parameters[name] if isinstance(parameters[name], list) else [parameters[name]]
            for one in several:
                yield from _used(registry.method(section, one["method"]), one)
