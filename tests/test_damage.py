"""No stage computes on a damaged or an exchanged input: it ends with one line that names the file, and no result."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest

from rivalry import artifacts
from rivalry.cli import main
from rivalry.config import load_config
from rivalry.layout import Layout, defended
from rivalry.plan import Plan
from rivalry.stages.record import record, record_run
from rivalry.verification import expected, verify

CONFIG = {
    "datasets": {"digits": {"source": "digits", "images": 20}, "twin": {"source": "digits", "images": 20}},
    "poisonings": {
        "corner": {"method": "backdoor", "target": 3},
        "other": {"method": "backdoor", "target": 4},
    },
    "victims": {
        "plain": {"method": "scikit_learn", "architecture": "linear"},
        "backdoored": {"method": "scikit_learn", "architecture": "linear", "poisoning": "corner"},
    },
    "attacks": {
        "fgsm": {"method": "fgsm", "eps": 0.2},
        "noise": {"method": "random_noise", "eps": 0.2},
        "trigger": {"method": "backdoor_trigger", "poisoning": "corner"},
        "stamp": {"method": "backdoor_trigger", "poisoning": "other"},
    },
    "defenses": {
        "median": {"method": "spatial_smoothing", "kind": "median"},
        "mean": {"method": "spatial_smoothing", "kind": "mean"},
    },
    "fooling": {
        "ascent": {"method": "gradient_ascent", "steps": 2},
        "climb": {"method": "gradient_ascent", "steps": 3},
    },
    "matches": [
        {"datasets": ["digits"], "victims": ["plain"], "attacks": ["trigger", "stamp"], "fooling": ["ascent", "climb"]},
        {"datasets": ["digits"], "victims": ["plain"], "attacks": ["fgsm", "noise"], "defenses": ["median", "mean"]},
        {"datasets": ["twin"], "victims": ["plain"], "attacks": ["fgsm"]},
        {"datasets": ["digits"], "victims": ["backdoored"], "attacks": ["fgsm"]},
    ],
    "transfers": [
        {
            "datasets": ["digits"],
            "sources": ["plain", "backdoored"],
            "victims": ["plain", "backdoored"],
            "attacks": ["fgsm"],
        }
    ],
}
PLAN = Plan(load_config(CONFIG, "config.yaml"))
DATA, POISONING = "results/data/digits", "results/poisoning/digits/corner"
PLAIN, MEDIAN = "results/victims/digits/plain", "results/defenses/digits/plain/median"
FGSM, ADAPTIVE = (str(Layout().attack("digits", victim, "fgsm").folder) for victim in ("plain", "plain+median"))


def command(stage: str, options: str) -> list[str]:
    return [stage, *shlex.split(options)]


def attack(*names: str) -> list[str]:
    return command("attack", PLAN.attack_options(*names))


STAGES = {
    "poison": command("poison", PLAN.poison_options("digits", "corner")),
    "train": command("train", PLAN.train_options("digits", "backdoored")),
    "attack": attack("digits", "plain", "trigger"),
    "attack a defended one": attack("digits", "plain+median", "fgsm"),
    "fool": command("fool", PLAN.fool_options("digits", "plain", "ascent")),
    "defend": command("defend", PLAN.defend_options("digits", "plain", "median")),
    "evaluate": command("evaluate", PLAN.evaluate_options("digits", "plain", "median")),
    "transfer": command("transfer", PLAN.transfer_options("digits", "plain")),
    "tabulate": command("tabulate", PLAN.tabulate_options()),
    "check": command("check", PLAN.check_options()),
    "draw": command("draw", PLAN.draw_options("digits")),
    "collect": command("collect", PLAN.collect_options()),
    "html": ["report", "html", "--input=results/report/report.json", "--output=results/report/report.html"],
    "latex": ["report", "latex", "--input=results/report/report.json", "--output=results/report/report.tex"],
    "pdf": ["report", "pdf", "--input=results/report/report.tex", "--output=results/report/report.pdf"],
}
EVALUATION, REPLAYED = "results/evaluations/digits/plain/median", "results/transfers/digits/plain"
FOOLING, FIGURES = "results/fooling/digits/plain/ascent", "results/figures/digits"
READ = {
    "poison": [f"{DATA}/dataset.json", f"{DATA}/train.safetensors"],
    "train": [f"{DATA}/dataset.json", f"{DATA}/test.safetensors", f"{POISONING}/train.safetensors"],
    "attack": [f"{DATA}/test.safetensors", f"{PLAIN}/victim.json", f"{POISONING}/trigger.safetensors"],
    "attack a defended one": [f"{MEDIAN}/defense.json", f"{MEDIAN}/defense.safetensors", f"{PLAIN}/victim.safetensors"],
    "fool": [f"{DATA}/train.safetensors", f"{PLAIN}/victim.safetensors"],
    "defend": [f"{DATA}/train.safetensors", f"{PLAIN}/victim.safetensors"],
    "evaluate": [f"{MEDIAN}/defense.json", f"{FGSM}/adversarial.safetensors", f"{ADAPTIVE}/scores.parquet"],
    "transfer": [f"{FGSM}/attack.json", f"{FGSM}/adversarial.safetensors", f"{FGSM}/scores.parquet"],
    "tabulate": [
        "results/plan.json",
        f"{PLAIN}/predictions.parquet",
        f"{EVALUATION}/scores.parquet",
        f"{REPLAYED}/scores.parquet",
        f"{FGSM}/scores.parquet",
    ],
    "check": ["results/plan.json", f"{FGSM}/adversarial.safetensors", f"{FOOLING}/images.safetensors"],
    "draw": ["results/plan.json", "results/tables/scores.csv"],
    "collect": [
        "results/configuration.json",
        "results/tables/checks.csv",
        "results/tables/kept_apart.json",
        f"{FIGURES}/figures.json",
    ],
    "html": ["results/report/report.json"],
    "latex": ["results/report/report.json"],
    "pdf": ["results/report/report.tex"],
}
"""Some of the files that each stage reads, of every kind."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds a complete run, with figures and their text, but nothing drawn."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (folder / "config.json").write_text(json.dumps(CONFIG))
        for what in ("plan", "configuration"):
            record(what, folder / "config.json", folder / "results" / f"{what}.json")
        record_run("results/run.json", snakefile="Snakefile", configfiles=["my config.yaml"], config={"seed": 3})
        for dataset in PLAN.datasets:
            run(command("prepare", PLAN.prepare_options(dataset)))
        for names in PLAN.poisonings:
            run(command("poison", PLAN.poison_options(*names)))
        for names in PLAN.victims:
            run(command("train", PLAN.train_options(*names)))
        for names in PLAN.attacks:
            run(attack(*names))
        for names in PLAN.defenses:
            run(command("defend", PLAN.defend_options(*names)))
            run(attack("digits", defended(*names[1:]), "fgsm"))
        for names in PLAN.defenses:
            run(command("evaluate", PLAN.evaluate_options(*names)))
        for names in PLAN.foolings:
            run(command("fool", PLAN.fool_options(*names)))
        for names in PLAN.transfers:
            run(command("transfer", PLAN.transfer_options(*names)))
        run(STAGES["tabulate"])
        run(STAGES["check"])
        for dataset in ("digits", "twin"):
            patch.setattr("rivalry.stages.draw.all_figures", dict)
            run(command("draw", PLAN.draw_options(dataset)))
        for stage in ("collect", "html", "latex"):
            run(STAGES[stage])
    return folder


def run(words: list[str]) -> None:
    assert main(words) == 0, words


@pytest.fixture
def results(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the complete run that may be damaged, in the working folder."""
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return Path("results")


def sibling(path: Path) -> Path:
    """A file, or folder, of the same kind that another job made."""
    pairs = {"fgsm": "noise", "corner": "other", "median": "mean", "ascent": "climb", "plain": "backdoored"}
    if "plain+median" in path.parts:
        pairs = {"plain+median": "plain+mean"}
    elif "digits" in path.parts and path.is_relative_to("results/data"):
        pairs = {"digits": "twin"}
    for name in reversed(path.parts):
        if name in pairs:
            return Path(*(pairs[part] if part == name else part for part in path.parts))
    return path


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    place = np.random.default_rng(len(data)).integers(len(data))
    data[place] ^= 1
    path.write_bytes(bytes(data))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def empty(path: Path) -> None:
    path.write_bytes(b"")


DAMAGES: dict[str, Callable[[Path], None]] = {"flip": flip, "truncate": truncate, "empty": empty, "delete": Path.unlink}


def refused(words: list[str], named: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    before = {file: file.read_bytes() for file in Path("results").rglob("*") if file.is_file()}
    assert main(words) == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert len([line for line in said if line.startswith("rivalry: ")]) == 1, said
    assert named in said[-1]
    after = {file: file.read_bytes() for file in Path("results").rglob("*") if file.is_file()}
    assert before.items() <= after.items()
    assert not [file for file in after.keys() - before.keys() if "manifest" in file.name]  # nothing is a result


def manifest_of(file: Path) -> Path:
    found = [path for path in file.parent.glob(".*.manifest.json") if file.name in path.read_text()]
    return found[0]


def test_a_defense_may_be_evaluated_on_clean_images_alone(results: Path) -> None:
    words = STAGES["evaluate"]
    sets = words.index("--oblivious")
    named = [word for word in words[sets:] if word.startswith("--") and word not in ("--oblivious", "--adaptive")]
    run([*words[:sets], *(words[words.index(named[0]) :] if named else [])])
    assert set(artifacts.read_table(Path(EVALUATION) / "scores.parquet")["setting"]) == {"clean"}


@pytest.mark.parametrize("stage", READ)
def test_no_stage_computes_on_a_damaged_file(stage: str, results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kinds = cycle(DAMAGES.values())
    for name in READ[stage]:
        for file in (Path(name), manifest_of(Path(name))):
            original = file.read_bytes()
            for damage in (next(kinds), next(kinds), next(kinds)):
                damage(file)
                refused(STAGES[stage], str(file.parent), capsys)
                file.write_bytes(original)
            other = sibling(file)
            if other.read_bytes() != original:
                file.write_bytes(other.read_bytes())
                refused(STAGES[stage], str(file.parent), capsys)
                file.write_bytes(original)


@pytest.mark.parametrize(
    ("stage", "folder"),
    [
        ("poison", DATA),
        ("train", DATA),
        ("train", POISONING),
        ("attack", DATA),
        ("attack", PLAIN),
        ("attack", POISONING),
        ("attack a defended one", MEDIAN),
        ("fool", PLAIN),
        ("defend", PLAIN),
        ("evaluate", MEDIAN),
        ("evaluate", FGSM),
        ("evaluate", ADAPTIVE),
        ("transfer", FGSM),
        ("transfer", PLAIN),
        *(
            (stage, folder)
            for stage in ("tabulate", "check", "draw", "collect")
            for folder in (DATA, PLAIN, FGSM, MEDIAN, "results/evaluations/digits/plain/median")
        ),
        ("tabulate", "results/transfers/digits/plain"),
        ("check", "results/fooling/digits/plain/ascent"),
    ],
)
def test_another_job_s_folder_is_not_taken_for_this_one(
    stage: str, folder: str, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(folder)
    shutil.copytree(sibling(Path(folder)), folder)  # with its manifest
    refused(STAGES[stage], folder, capsys)


def test_verify_misses_nothing_and_sees_nothing_that_is_not_there(results: Path) -> None:
    assert verify(results)[1:] == ([], [])
    noise, old = (Layout(results).attack("digits", "plain", name).folder for name in ("noise", "of an old plan"))
    shutil.copytree(noise, old)
    assert verify(results)[1:] == ([], [old])
    rng = np.random.default_rng(0)
    for place in expected(PLAN.tables(), Layout(results)):
        if place.stage == "pdf":
            continue
        names = artifacts.read_manifest(place.manifest)["files"]
        for file in (place.manifest, *(place.folder / name for name in names)):
            original = file.read_bytes()
            list(DAMAGES.values())[rng.integers(len(DAMAGES))](file)
            assert place.target in {fault.target for fault in verify(results)[1]}, file
            file.write_bytes(original)
    assert verify(results)[1] == []


def test_verify_prints_a_command_for_a_shell(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flip(results / "victims/digits/plain/predictions.parquet")
    (results / "tables/kept_apart.json").unlink()
    assert main(["verify"]) == 1
    printed = capsys.readouterr().out.splitlines()
    assert printed[:2] == [
        "results/victims/digits/plain/predictions.parquet: differs from what was written",
        "results/tables/kept_apart.json: is missing",
    ]
    words = shlex.split(printed[-1].removeprefix("to make them again: "))
    assert words[:6] == ["snakemake", "--cores", "all", "--configfile", "my config.yaml", "--config"]
    assert words[6:] == [
        "seed=3",
        "--forcerun",
        "results/victims/digits/plain/victim.json",
        "results/tables/scores.csv",
    ]


def test_verify_from_within_names_the_same_targets(
    results: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    flip(results / "victims/digits/plain/predictions.parquet")
    monkeypatch.chdir(results)
    assert main(["verify", "."]) == 1
    command = capsys.readouterr().out.splitlines()[-1]
    assert command.endswith(" --forcerun results/victims/digits/plain/victim.json")


def test_python_reads_what_users_wrote_and_the_command_line_what_it_wrote(tmp_path: Path) -> None:
    file = tmp_path / "facts.json"
    artifacts.write_json(file, {"a": 1})
    assert artifacts.read_json(file) == {"a": 1}
    with artifacts.manifests_demanded(), pytest.raises(artifacts.RivalryError, match=r"facts.json: no manifest"):
        artifacts.read_json(file)
