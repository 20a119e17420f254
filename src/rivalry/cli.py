"""The `rivalry` command: runs one stage of the pipeline on files that you name, or tells what methods there are."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, Literal, NoReturn, TextIO, get_args, get_origin

import yaml
from typing_extensions import is_typeddict

from rivalry import __version__, options, registry, types, usercode
from rivalry.artifacts import manifests_demanded
from rivalry.commands import run
from rivalry.errors import RivalryError, RivalryWarning, nearest, one_line
from rivalry.formatting import plural
from rivalry.layout import Layout
from rivalry.parameters import checked_value
from rivalry.usermethods import read


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status. A user's mistake is one line on standard error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what a terminal cannot show is no reason to stop
            stream.reconfigure(errors="backslashreplace")
    o = _parser().parse_args(arguments)
    if "threads" in o and o.threads:
        _limit_threads(o.threads)
    try:
        with _warnings_in_one_line(), manifests_demanded(), registry.using(read(vars(o).get("plugins", ()))):
            return o.does(o) or 0
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
    except (Exception, SystemExit) as error:
        # A mistake in the user's own code: its author needs the traceback, everybody else the line.
        if (line := usercode.blamed(error)) is None:
            raise
        traceback.print_exception(error)
        print(f"rivalry: {one_line(line)}", file=sys.stderr)
        return 1


@contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    """Inside, a warning that users are meant to read is one line on standard error, which the workflow looks for."""
    with warnings.catch_warnings():
        warnings.simplefilter("default", RivalryWarning)
        otherwise = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if issubclass(category, RivalryWarning):
                print(f"rivalry: warning: {one_line(str(message))}", file=sys.stderr, flush=True)
            else:
                otherwise(message, category, filename, lineno, file, line)

        warnings.showwarning = show
        yield


def _limit_threads(threads: int) -> None:
    """Fix the number of threads, of libraries still to come and of those already here: last digits depend on it."""
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = str(threads)
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(threads)
    threadpool_limits(threads)


def _value(text: str) -> Any:
    """What a word on the command line stands for: JSON, as the workflow writes it; else YAML, as people do.

    YAML alone would take JSON's 1e-05 for text, and half of what JSON writes as two halves for a character.
    """

    def no_json(name: str) -> NoReturn:
        raise ValueError(f"{name} is no JSON")

    try:
        return json.loads(text, parse_constant=no_json)
    except ValueError:
        return yaml.safe_load(text)


class Settings(argparse.Action):
    """Collects key=value words into a mapping."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        settings: dict[str, Any] = {}
        for word in values or ():
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


class _Parser(argparse.ArgumentParser):
    """A mistake on the command line is one line; how a command is used is told by its --help."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"rivalry: {one_line(message)} ({self.prog} --help tells more)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser("rivalry", description=__doc__)
    parser.add_argument("--version", action="version", version=f"rivalry {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name: str, does: Callable[[argparse.Namespace], int | None], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        sub.set_defaults(does=does)
        return sub

    for stage in map(options.stage, options.names()):
        text = f"{stage.summary[0].lower()}{stage.summary[1:].rstrip('.')}"
        sub = command(stage.name, partial(_run_stage, stage), text)
        for name, option in (stage.options | stage.beside).items():
            if option.mark(options.Recorded):
                continue
            optional = not option.required or type(None) in registry.parts(option.annotation)
            told: dict[str, Any] = {"help": option.doc.replace("%", "%%"), "default": option.default}
            if name not in stage.positional:
                told |= {"dest": name, "required": not optional}
            sub.add_argument(name if name in stage.positional else options.word(name), **told | _read_as(option))

    sub = command("evaluate-model", _evaluate_model, "attack a model of your own with the strong ensemble, and report")
    _add_evaluation(sub)

    plugins = {"help": options.PLUGINS.doc, "default": ()} | _read_as(options.PLUGINS)

    sub = command("list", _list, "list all methods")
    sub.add_argument("kind", nargs="?", choices=list(registry.ROOMS))
    sub.add_argument("--plugins", **plugins)

    sub = command("describe", _describe, "explain a method, its parameters and its source")
    sub.add_argument("name", help="a method, e.g. pgd; `rivalry list` has all")
    sub.add_argument("--plugins", **plugins)

    sub = command("validate", _validate, "check a configuration without running it")
    sub.add_argument("config", nargs="?", type=Path, default=Path("config.yaml"), help="default: config.yaml")

    sub = command("schema", _schema, "print what is generated: the configuration's JSON schema, or something else")
    sub.add_argument("--plugins", **plugins)
    other = sub.add_mutually_exclusive_group()
    other.add_argument("--page", action="store_true", help="the page of the configuration's keys (config/README.md)")
    other.add_argument(
        "--room", choices=list(registry.ROOMS.values()), help="what editors read of a package of methods"
    )

    sub = command("verify", _verify, "check every cached file against its checksum")
    sub.add_argument("results", nargs="?", type=Path, default=Layout().root, help="folder of the run")
    return parser


def _add_evaluation(sub: argparse.ArgumentParser) -> None:
    """The options of evaluate-model; those about the network are the keys of the training method `external`."""
    sub.add_argument("model", help=registry.method("training", "external").parameters["model"].doc)
    sub.add_argument(
        "--data", required=True, help="a source, such as cifar10 (`rivalry list sources`), or your images' path"
    )
    for name, option in options.BROUGHT.items():
        sub.add_argument(options.word(name), help=option.doc.replace("%", "%%"), **_read_as(option))
    sub.add_argument("--with", dest="settings", help="parameters of the source, e.g. size=32", **_SETTINGS)
    sub.add_argument("--norm", choices=["inf", "2"], default="inf", help="norm of the budget (default: inf)")
    sub.add_argument(
        "--eps", nargs="+", type=_budget, default=[], help="budgets, e.g. 8/255; the data's usual one if left out"
    )
    sub.add_argument("--images", type=_number(types.Count), help="test images at most (default: 500)")
    sub.add_argument(
        "--seed", type=_number(types.Natural), default=0, help="all random numbers come from it (default: 0)"
    )
    sub.add_argument("--cores", type=_cores, default="all", help="processor cores (default: all)")
    sub.add_argument("--results", type=Path, help="folder of the results (default: evaluations/MODEL-on-DATA)")
    sub.add_argument("--dry-run", action="store_true", help="only write the configuration")


def _cores(text: str) -> str:
    if text != "all" and not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"'{text}' is no number of cores; write 1 or more, or all")
    return text


def _budget(text: str) -> float:
    try:
        return float(checked_value("", types.Positive, float(Fraction(text)), ""))
    except (ValueError, ZeroDivisionError, RivalryError) as error:
        raise argparse.ArgumentTypeError(
            f"'{text}' is no budget; write a number above 0, such as 0.03 or 8/255"
        ) from error


def _evaluate_model(o: argparse.Namespace) -> int:
    from rivalry.evaluating import Evaluation, outcome, run, write

    evaluation = Evaluation(
        model=o.model,
        data=o.data,
        network={name: vars(o)[name] for name in options.BROUGHT if vars(o)[name] not in (None, {}, [])},
        settings=o.settings,
        norm=o.norm if o.norm == "inf" else 2,
        budgets=o.eps,
        images=o.images,
        seed=o.seed,
        results=o.results,
    )
    file = write(evaluation)
    print(f"configuration: {file}", flush=True)
    if o.dry_run:
        return 0
    status = run(file, o.cores)
    if status == 0:
        print("", *outcome(evaluation), sep="\n")
    return status


_SETTINGS: dict[str, Any] = {
    "nargs": "+",
    "action": Settings,
    "default": {},
    "required": False,
    "metavar": "KEY=VALUE",
}
"""How argparse reads words like key=value."""


def _read_as(option: registry.Parameter) -> dict[str, Any]:
    """How argparse reads an option, by its annotation."""
    made_of = [get_origin(part) or part for part in registry.parts(option.annotation)]
    if dict in made_of or any(is_typeddict(part) for part in made_of):
        return _SETTINGS
    if bool in made_of:
        return {"action": argparse.BooleanOptionalAction}
    if list in made_of:
        return {"type": _value, "nargs": "+"}
    if Path in made_of:
        several = {"nargs": "+" if option.required else "*"} if Sequence in made_of else {}
        return {"type": Path, "metavar": "PATH", **several}
    if get_origin(option.annotation) is Literal:
        return {"choices": get_args(option.annotation)}
    if str in made_of:
        return {"type": _value} if int in made_of else {}
    return {"type": _number(option.annotation)}


def _run_stage(stage: options.Stage, o: argparse.Namespace) -> None:
    run(stage, vars(o))


def _list(o: argparse.Namespace) -> None:
    for kind in [o.kind] if o.kind else registry.ROOMS:
        print(f"{kind}:")
        width = max(len(name) for name in registry.names(kind))
        for name in registry.names(kind):
            method = registry.method(kind, name)
            print(f"  {name:{width}}  {method.summary}{f' ({method.file})' if method.file else ''}")


def _describe(o: argparse.Namespace) -> None:
    kinds = [kind for kind in registry.ROOMS if o.name in registry.names(kind)]
    if not kinds:
        known = sorted({name for kind in registry.ROOMS for name in registry.names(kind)})
        raise RivalryError(f"'{o.name}' is no method; {nearest(o.name, known)}")
    for kind in kinds:
        from rivalry.describe import describe

        print(describe(registry.method(kind, o.name)))


def _validate(o: argparse.Namespace) -> int:
    from rivalry.config import Mistakes, check_machine, load_config, read_files
    from rivalry.plan import Plan

    try:
        config = load_config(read_files([o.config]), o.config)
        check_machine(config, o.config)
        plan = Plan(config)
    except Mistakes as mistakes:
        print(mistakes, file=sys.stderr)
        return 1
    for name in plan.unused():
        print(f"{o.config}: note: {name} is in no match and will not be used")
    for apart in plan.kept_apart:
        print(f"{o.config}: note: {apart['what']} is left out: {apart['reason']}")
    brought = sum(name in plan.brought for _, name in plan.victims)
    counts = [
        plural(len(plan.datasets), "data set"),
        f"{plural(len(plan.victims) - brought, 'victim')} to train",
        *([f"{brought} from outside"] if brought else []),
        plural(len(plan.attacks), "attack"),
        f"{plural(len(plan.defenses), 'defense')} to evaluate",
        plural(len(plan.foolings), "fooling run"),
        *([plural(len(plan.plantings), "targeted poisoning")] if plan.plantings else []),
        *([plural(len(plan.screenings), "training set") + " screened"] if plan.screenings else []),
    ]
    print(f"{o.config}: {', '.join(counts)}")
    return 0


def _schema(o: argparse.Namespace) -> None:
    from rivalry.config import json_schema
    from rivalry.describe import configuration_page, room_for_editors

    if o.room:
        print(room_for_editors(o.room), end="")
    elif o.page:
        print(configuration_page(), end="")
    else:
        print(json.dumps(json_schema(), indent=2))


def _verify(o: argparse.Namespace) -> int:
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
        print(f"to make them again: {repair(results, faults)}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
