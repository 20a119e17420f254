"""The `rivalry` command: every stage of the pipeline on files one names, and what there is to know about it."""

from __future__ import annotations

import argparse
import io
import json
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

import yaml

from rivalry import __version__, registry, types
from rivalry.artifacts import identify, manifests_demanded, read_json
from rivalry.errors import RivalryError, nearest, one_line
from rivalry.layout import Layout, Place
from rivalry.parameters import checked, checked_value


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status. A user's mistake is one line on standard error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what a terminal cannot show is no reason to stop
            stream.reconfigure(errors="backslashreplace")
    options = _parser().parse_args(arguments)
    if "threads" in options and options.threads:
        _limit_threads(options.threads)
    try:
        with manifests_demanded():
            return options.run(options) or 0
    except RivalryError as error:
        for line in getattr(error, "lines", [str(error)]):
            print(f"rivalry: {one_line(line)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("rivalry: interrupted; run again to go on", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever reads our output has left, e.g. `rivalry list | head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _limit_threads(threads: int) -> None:
    """Fix the number of threads before PyTorch is imported: the last digits of results depend on it."""
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = str(threads)
    import torch

    torch.set_num_threads(threads)


def _value(text: str) -> Any:
    """What a word on the command line stands for: JSON, as the workflow writes it; else YAML, as people do.

    YAML alone would take JSON's 1e-05 for text, and half of what JSON writes as two halves for a character.
    """

    def no_json(name: str) -> Any:
        raise ValueError(f"{name} is no JSON")

    try:
        return json.loads(text, parse_constant=no_json)
    except ValueError:
        return yaml.safe_load(text)


class Settings(argparse.Action):
    """Collects key=value words into a mapping."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        settings: dict[str, Any] = {}
        for word in values:
            key, equals, value = word.partition("=")
            if not equals:
                parser.error(f"{option_string}: '{word}' is not key=value")
            try:
                settings[key] = _value(value)
            except (ValueError, RecursionError, yaml.YAMLError):
                parser.error(f"{option_string}: the value of '{word}' is neither JSON nor YAML")
        setattr(namespace, self.dest, settings)


def _number(kind: Any) -> Callable[[str], Any]:
    """What reads an option's value as a number of a kind of `rivalry.types`."""

    def read(text: str) -> Any:
        try:
            return checked_value("", kind, _value(text), "")
        except (yaml.YAMLError, RivalryError) as error:
            raise argparse.ArgumentTypeError(str(error).removeprefix(": ")) from error

    return read


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("rivalry", description=__doc__)
    parser.add_argument("--version", action="version", version=f"rivalry {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[Any], int | None], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        sub.set_defaults(run=run)
        return sub

    def words(sub: argparse.ArgumentParser, *names: str) -> None:
        for name in names:
            sub.add_argument(f"--{name}", required=True)

    def folders(sub: argparse.ArgumentParser, *names: str) -> None:
        for name in names:
            sub.add_argument(f"--{name}", required=True, type=Path, metavar="PATH")

    def data(sub: argparse.ArgumentParser) -> None:
        folders(sub, "data")
        sub.add_argument("--dataset", metavar="NAME", help="what --data and all other folders must be of")

    def settings(sub: argparse.ArgumentParser, name: str, text: str) -> None:
        sub.add_argument(f"--{name}", nargs="+", action=Settings, default={}, metavar="KEY=VALUE", help=text)

    def computing(sub: argparse.ArgumentParser) -> None:
        sub.add_argument(
            "--threads", type=_number(types.ThreadCount), default=0, help="processor threads (default: all)"
        )
        sub.add_argument("--accelerator", choices=["auto", "cpu", "gpu"], default="auto")

    method_text = "the method's parameters; `rivalry describe METHOD` lists them"

    sub = command("prepare", _prepare, "bring a data set into canonical form")
    words(sub, "dataset", "source")
    settings(sub, "set", method_text)
    sub.add_argument("--seed", type=_number(types.Natural), default=0)
    sub.add_argument("--mirror", default=os.environ.get("RIVALRY_DATA_MIRROR"), help="folder or URL of the files")
    folders(sub, "output")

    sub = command("poison", _poison, "poison a training set")
    words(sub, "poisoning", "method")
    settings(sub, "set", method_text)
    sub.add_argument("--seed", type=_number(types.Natural), default=0)
    data(sub)
    folders(sub, "output")

    sub = command("train", _train, "train a victim")
    words(sub, "victim", "architecture", "method")
    settings(sub, "architecture-set", "the architecture's parameters")
    settings(sub, "set", method_text)
    settings(sub, "fit", "epochs, batch_size, learning_rate, optimizer, patience, validation_fraction")
    sub.add_argument("--poisoning", type=Path, metavar="PATH", help="folder of a poisoned training set")
    sub.add_argument("--seed", type=_number(types.Natural), default=0)
    computing(sub)
    data(sub)
    folders(sub, "output")

    sub = command("attack", _attack, "attack a victim, defended or not")
    words(sub, "attack", "method")
    settings(sub, "set", method_text)
    sub.add_argument("--target", type=_value, help="a class, next, random or least_likely")
    sub.add_argument("--victim-name", required=True, metavar="NAME", help="e.g. plain or plain+median3")
    sub.add_argument("--images", type=_number(types.Count), default=500, help="how many test images, at most")
    sub.add_argument("--data-seed", type=_number(types.Natural), default=0, help="chooses the test images")
    sub.add_argument("--seed", type=_number(types.Natural), default=0)
    sub.add_argument("--batch-size", type=_number(types.BatchSize), default=64)
    computing(sub)
    data(sub)
    folders(sub, "victim", "output")

    sub = command("defend", _defend, "put a defense around a victim")
    words(sub, "defense", "method")
    settings(sub, "set", method_text)
    sub.add_argument("--victim-name", required=True, metavar="NAME")
    sub.add_argument("--seed", type=_number(types.Natural), default=0)
    sub.add_argument("--batch-size", type=_number(types.BatchSize), default=64)
    computing(sub)
    data(sub)
    folders(sub, "victim", "output")

    sub = command("fool", _fool, "make images without an object in which a victim is sure to see one")
    words(sub, "fooling", "method")
    settings(sub, "set", method_text)
    sub.add_argument(
        "--confidence", type=_number(types.Fraction), default=0.99, help="the probability that counts as being fooled"
    )
    sub.add_argument("--victim-name", required=True, metavar="NAME")
    sub.add_argument(
        "--data-seed", type=_number(types.Natural), default=0, help="chooses the test images to compare distances with"
    )
    sub.add_argument("--seed", type=_number(types.Natural), default=0)
    sub.add_argument("--batch-size", type=_number(types.BatchSize), default=64)
    computing(sub)
    data(sub)
    folders(sub, "victim", "output")

    sub = command("evaluate", _evaluate, "measure a defense against adversarial images")
    sub.add_argument("--oblivious", nargs="*", type=Path, default=[], metavar="PATH", help="sets made without it")
    sub.add_argument("--adaptive", nargs="*", type=Path, default=[], metavar="PATH", help="sets made against it")
    sub.add_argument("--images", type=_number(types.Count), default=500, help="how many clean test images, at most")
    sub.add_argument("--data-seed", type=_number(types.Natural), default=0, help="chooses the test images")
    sub.add_argument("--batch-size", type=_number(types.BatchSize), default=64)
    computing(sub)
    data(sub)
    sub.add_argument("--victim-name", metavar="NAME", help="e.g. plain+median3")
    folders(sub, "defended", "output")

    sub = command("transfer", _transfer, "replay a victim's adversarial images on other victims")
    sub.add_argument("--attacks", nargs="+", type=Path, required=True, metavar="PATH", help="sets crafted on it")
    sub.add_argument("--victims", nargs="+", type=Path, required=True, metavar="PATH", help="whom they are shown to")
    sub.add_argument("--batch-size", type=_number(types.BatchSize), default=64)
    computing(sub)
    data(sub)
    folders(sub, "output")

    sub = command("record", _record, "write down a checked configuration with all defaults, or its plan")
    sub.add_argument("what", choices=["configuration", "plan"])
    sub.add_argument("config", type=Path, help="a configuration, in YAML or JSON")
    folders(sub, "output")

    sub = command(
        "tabulate", _tabulate, "make the tables: scores, worst cases, comparisons, transfers, reported numbers"
    )
    sub.add_argument("--confidence", type=_number(types.OpenFraction), default=0.95, help="coverage of intervals")
    sub.add_argument("--seed", type=_number(types.Natural), default=0, help="seeds the bootstrap")
    sub.add_argument("--record-times", action=argparse.BooleanOptionalAction, default=True)
    folders(sub, "results", "output")

    sub = command("check", _check, "check the results against themselves")
    computing(sub)
    folders(sub, "results", "output")

    sub = command("draw", _draw, "draw the figures of a data set")
    words(sub, "dataset")
    folders(sub, "results", "output")

    sub = command("collect", _collect, "gather every number of the report in report.json")
    folders(sub, "results", "output")

    sub = command("report", _report, "render report.json as HTML, LaTeX or PDF")
    sub.add_argument("format", choices=["html", "latex", "pdf"])
    folders(sub, "input", "output")

    sub = command("list", _list, "list the methods there are")
    sub.add_argument("kind", nargs="?", choices=list(registry.ROOMS))

    sub = command("describe", _describe, "explain a method, its parameters and its source")
    sub.add_argument("name")

    sub = command("validate", _validate, "check a configuration without running it")
    sub.add_argument("config", nargs="?", type=Path, default=Path("config.yaml"))

    sub = command("schema", _schema, "print the JSON schema of the configuration, or the page of its keys")
    sub.add_argument("--page", action="store_true", help="the page of keys (config/README.md)")

    sub = command("verify", _verify, "check every cached file against its checksum")
    sub.add_argument("results", nargs="?", type=Path, default=Layout().root)
    return parser


def _checked(kind: str, method: str, given: dict[str, Any], option: str = "--set") -> dict[str, Any]:
    """A method's parameters: those given over the defaults."""
    declared = registry.method(kind, method)
    defaults = {name: parameter.default for name, parameter in declared.parameters.items() if not parameter.required}
    return defaults | checked(declared, given, f"{option} ", several=True)


def _defense(method: str, given: dict[str, Any]) -> dict[str, Any]:
    """A defense's parameters. The attack that one learns from is described in full: its method and what that takes."""
    attack = given.get("attack")
    described = {"method": attack} if isinstance(attack, str) else attack
    if not isinstance(described, dict) or not isinstance(described.get("method"), str):
        return _checked("defenses", method, given)
    name = described["method"]
    if name not in registry.names("attacks"):
        raise RivalryError(f"--set attack: '{name}' is no attack; {nearest(name, registry.names('attacks'))}")
    settings = {key: value for key, value in described.items() if key != "method"}
    settings = checked(registry.method("attacks", name), settings, "--set attack.", several=True)
    return _checked("defenses", method, given | {"attack": name}) | {"attack": {"method": name, **settings}}


def _prepare(o: Any) -> None:
    from rivalry.stages.prepare import prepare_dataset

    parameters = _checked("sources", o.source, o.set)
    prepare_dataset(o.dataset, o.source, parameters, o.output, seed=o.seed, mirror=o.mirror)


def _dataset(o: Any) -> str:
    """The name of the data set in --data, which must be the one that --dataset names, if it does."""
    return identify(Place("prepare", o.data, {} if o.dataset is None else {"dataset": o.dataset}))["dataset"]


def _identify(o: Any, folder: Path, name: str) -> None:
    """Make sure that a folder holds the victim of this name, such as plain+median3, on this data set."""
    identify(Layout().classifier(_dataset(o), name).at(folder))


def _identify_poisoning(o: Any, folder: Path) -> None:
    """Make sure that a poisoning's folder is of this data set, and of the name that it has."""
    identify(Layout().poisoning(_dataset(o), folder.name).at(folder))


def _identify_some(o: Any, stage: str, kind: str, folder: Path) -> None:
    """Make sure that a folder is of this data set; the plan, which gives --dataset, calls folders by name."""
    identify(Place(stage, folder, {"dataset": _dataset(o)} | ({} if o.dataset is None else {kind: folder.name})))


def _poison(o: Any) -> None:
    from rivalry.stages.poison import poison

    parameters = _checked("poisonings", o.method, o.set)
    _dataset(o)
    poison(o.poisoning, o.method, parameters, o.data, o.output, seed=o.seed)


def _train(o: Any) -> None:
    from rivalry.config import FITTING, VictimEntry
    from rivalry.stages.train import train

    epochs = registry.method("training", o.method).traits.get("epochs", True)
    defaults = {name: VictimEntry.model_fields[name].default for name in FITTING} if epochs else {}
    for key in o.fit:
        if key not in defaults:
            raise RivalryError(f"--fit {key}: no such parameter; {nearest(key, list(defaults))}")
    kinds = get_type_hints(VictimEntry, include_extras=True)
    fit = {key: checked_value(key, kinds[key], value, "--fit ") for key, value in o.fit.items()}
    network = _checked("architectures", o.architecture, o.architecture_set, "--architecture-set")
    parameters = _checked("training", o.method, o.set)
    _dataset(o)
    if o.poisoning:
        _identify_poisoning(o, o.poisoning)
    if "teacher" in o.set:
        _identify(o, Path(o.set["teacher"]), Path(o.set["teacher"]).name)
    train(
        o.victim,
        o.architecture,
        network,
        o.method,
        parameters,
        defaults | fit,
        o.data,
        o.output,
        seed=o.seed,
        accelerator=o.accelerator,
        poisoning=o.poisoning,
    )


def _attack(o: Any) -> None:
    from rivalry.stages.attack import attack

    parameters = _checked("attacks", o.method, o.set)
    _identify(o, o.victim, o.victim_name)
    if "poisoning" in o.set:
        _identify_poisoning(o, Path(o.set["poisoning"]))
    attack(
        o.attack,
        o.method,
        parameters,
        o.data,
        o.victim,
        o.output,
        victim_name=o.victim_name,
        images=o.images,
        data_seed=o.data_seed,
        seed=o.seed,
        target=o.target,
        batch_size=o.batch_size,
        accelerator=o.accelerator,
    )


def _defend(o: Any) -> None:
    from rivalry.stages.defend import defend

    parameters = _defense(o.method, o.set)
    _identify(o, o.victim, o.victim_name)
    defend(
        o.defense,
        o.method,
        parameters,
        o.data,
        o.victim,
        o.output,
        dataset=_dataset(o),
        victim_name=o.victim_name,
        seed=o.seed,
        accelerator=o.accelerator,
        batch_size=o.batch_size,
    )


def _fool(o: Any) -> None:
    from rivalry.stages.fool import fool

    parameters = _checked("fooling", o.method, o.set)
    _identify(o, o.victim, o.victim_name)
    fool(
        o.fooling,
        o.method,
        parameters,
        o.data,
        o.victim,
        o.output,
        victim_name=o.victim_name,
        confidence=o.confidence,
        data_seed=o.data_seed,
        seed=o.seed,
        accelerator=o.accelerator,
        batch_size=o.batch_size,
    )


def _evaluate(o: Any) -> None:
    from rivalry.stages.evaluate import evaluate

    if o.victim_name is None:
        identify(Place("defend", o.defended, {"dataset": _dataset(o)}))
    else:
        _identify(o, o.defended, o.victim_name)
    for folder in (*o.oblivious, *o.adaptive):
        _identify_some(o, "attack", "attack", folder)
    evaluate(
        o.data,
        o.defended,
        o.oblivious,
        o.adaptive,
        o.output,
        images=o.images,
        seed=o.data_seed,
        accelerator=o.accelerator,
        batch_size=o.batch_size,
    )


def _transfer(o: Any) -> None:
    from rivalry.stages.transfer import transfer

    for folder in o.attacks:
        _identify_some(o, "attack", "attack", folder)
    for folder in o.victims:
        _identify_some(o, "train", "victim", folder)
    transfer(o.data, o.attacks, o.victims, o.output, accelerator=o.accelerator, batch_size=o.batch_size)


def _record(o: Any) -> None:
    from rivalry.config import load_config, read_yaml
    from rivalry.plan import Plan
    from rivalry.stages.record import record

    # JSON is read as such: YAML takes 1e-05 for a text.
    content = json.loads(o.config.read_text(encoding="utf-8")) if o.config.suffix == ".json" else read_yaml(o.config)
    config = load_config(content, o.config)
    record(o.what, config.recorded() if o.what == "configuration" else Plan(config).tables(), o.output)


def _tabulate(o: Any) -> None:
    from rivalry.stages.tabulate import tabulate
    from rivalry.verification import TABULATED, identify_all

    layout = Layout(o.results)
    plan = read_json(layout.plan.facts)
    identify_all(layout, plan, TABULATED)
    tabulate(o.results, o.output, plan=plan, confidence=o.confidence, seed=o.seed, record_times=o.record_times)


def _check(o: Any) -> None:
    from rivalry.stages.check import check
    from rivalry.verification import identify_all

    layout = Layout(o.results)
    plan = read_json(layout.plan.facts)
    identify_all(layout, plan)
    check(o.results, o.output, plan=plan, accelerator=o.accelerator)


def _draw(o: Any) -> None:
    from rivalry.stages.draw import draw
    from rivalry.verification import COMPUTED, identify_all

    layout = Layout(o.results)
    plan = read_json(layout.plan.facts)
    identify_all(layout, plan, (*COMPUTED, "tabulate", "check"))
    draw(o.results, o.output, dataset=o.dataset, plan=plan)


def _collect(o: Any) -> None:
    from rivalry.stages.collect import collect
    from rivalry.verification import COMPUTED, identify_all

    layout = Layout(o.results)
    config, plan = read_json(layout.configuration.facts), read_json(layout.plan.facts)
    identify_all(layout, plan, (*COMPUTED, "tabulate", "check", "draw"))
    collect(o.results, o.output, config=config, plan=plan)


def _report(o: Any) -> None:
    from rivalry.stages import report

    if o.format == "html":
        report.render_html(o.input, o.output)
    elif o.format == "latex":
        report.render_latex(o.input, o.output)
    else:
        report.compile_pdf(o.input, o.output)


def _list(o: Any) -> None:
    for kind in [o.kind] if o.kind else registry.ROOMS:
        print(f"{kind}:")
        width = max(len(name) for name in registry.names(kind))
        for name in registry.names(kind):
            print(f"  {name:{width}}  {registry.method(kind, name).summary}")


def _describe(o: Any) -> None:
    kinds = [kind for kind in registry.ROOMS if o.name in registry.names(kind)]
    if not kinds:
        known = sorted({name for kind in registry.ROOMS for name in registry.names(kind)})
        raise RivalryError(f"'{o.name}' is no method; {nearest(o.name, known)}")
    for kind in kinds:
        from rivalry.describe import describe

        print(describe(registry.method(kind, o.name)))


def _validate(o: Any) -> int:
    from rivalry.config import Mistakes, check_machine, load_config, read_yaml
    from rivalry.plan import Plan

    try:
        config = load_config(read_yaml(o.config), o.config)
        check_machine(config, o.config)
        plan = Plan(config)
    except Mistakes as mistakes:
        print(mistakes, file=sys.stderr)
        return 1
    for name in plan.unused():
        print(f"{o.config}: note: {name} is in no match and will not be used")
    print(
        f"{o.config}: {len(plan.datasets)} data sets, {len(plan.victims)} victims to train, "
        f"{len(plan.attacks)} attacks, {len(plan.defenses)} defenses to evaluate, {len(plan.foolings)} fooling runs"
    )
    return 0


def _schema(o: Any) -> None:
    from rivalry.config import json_schema
    from rivalry.describe import configuration_page

    print(configuration_page() if o.page else json.dumps(json_schema(), indent=2), end="" if o.page else "\n")


def _verify(o: Any) -> int:
    from rivalry.verification import repair, verify

    if not o.results.is_dir():
        raise RivalryError(f"{o.results}: no such folder; give the results folder")
    results = o.results.resolve()
    results = (
        results.relative_to(Path.cwd()) if results.is_relative_to(Path.cwd()) and results != Path.cwd() else results
    )
    checked, faults, left_over = verify(results)
    for fault in faults:
        print(f"{fault.file}: {fault.what}")
    for folder in left_over:
        print(f"note: {folder} is of an earlier configuration; nothing reads it")
    print(f"{checked} files checked, {len(faults)} at fault")
    if faults:
        place = o.results.resolve().parent
        there = "" if place == Path.cwd() else f"cd {shlex.quote(str(place))} && "
        print(f"to make them again: {there}{repair(results, faults)}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
