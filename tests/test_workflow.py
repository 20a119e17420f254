"""The workflow: which jobs there are, what reruns after which change, what survives interruption and corruption."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from PIL import Image

from rivalry import registry
from rivalry.artifacts import HOST, read_json, read_tensors
from rivalry.config import load_config, read_yaml
from rivalry.data._files import mirrored
from rivalry.plan import Plan
from rivalry.statistics.checked import CHECKED
from rivalry.statistics.columns import SCORES

ROOT = Path(__file__).parent.parent
SMOKE = ("--configfile", "config/smoke.yaml")
TABLES = ("scores", "worst_cases", "comparisons", "transfers", "checks", "reported")

pytestmark = pytest.mark.workflow


def copy_project(folder: Path) -> Path:
    """The sources in a folder of their own, where they can be run and edited."""
    for name in ("Snakefile", "config.yaml", "config", "workflow", "src", "report", "envs"):
        source = ROOT / name
        if source.is_dir():
            ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(source, folder / name, symlinks=True, ignore=ignore)
        else:
            shutil.copy(source, folder / name)
    (folder / "profiles").symlink_to("workflow/profiles")
    return folder


def snakemake(project: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert not check or done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return done


def planned(project: Path, *arguments: str) -> dict[str, int]:
    """Jobs per rule that a dry run announces."""
    done = snakemake(project, "--dry-run", *arguments)
    stats = re.search(r"Job stats:\n.*?\n-.*?\n(.*?)\ntotal", done.stdout + done.stderr, re.DOTALL)
    if stats is None:
        assert "Nothing to be done" in done.stdout + done.stderr
        return {}
    return {line.split()[0]: int(line.split()[1]) for line in stats[1].splitlines()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run of the smoke configuration."""
    project = copy_project(tmp_path_factory.mktemp("finished"))
    done = snakemake(project, *SMOKE)
    (project / "printed.txt").write_text(done.stdout + done.stderr)
    return project


@pytest.fixture
def edit(finished: Path) -> Callable[..., None]:
    """Replace text in one of the finished project's files, or add to its end; all is put back afterwards."""
    originals: dict[Path, tuple[str, os.stat_result]] = {}

    def change(name: str, old: str | None, new: str) -> None:
        file = finished / name
        text = file.read_text()
        originals.setdefault(file, (text, file.stat()))
        assert old is None or old in text
        file.write_text(text + new if old is None else text.replace(old, new, 1))

    yield change
    for file, (text, stat) in originals.items():
        file.write_text(text)
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


# ---- which jobs there are ----

PDF = {"compile_pdf": 1} if shutil.which("latexmk") or shutil.which("tectonic") else {}
ENDING = {
    "record_plan": 1,
    "record_configuration": 1,
    "tabulate_results": 1,
    "check_results": 1,
    "collect_report": 1,
    "render_html": 1,
    "render_latex": 1,
    "all": 1,
    **PDF,
}


def test_the_readme_repeats_what_its_option_replaces() -> None:
    """On the command line --default-resources replaces the profile's: jobs would have no time limit and less memory."""
    words = shlex.split((ROOT / "README.md").read_text().partition("--default-resources ")[2].partition("\n")[0])
    profile = yaml.safe_load((ROOT / "workflow/profiles/slurm/profile.v9+.yaml").read_text())
    repeated = dict(word.split("=", 1) for word in words)
    assert repeated.pop("slurm_partition")
    assert repeated == profile["default-resources"]


@pytest.mark.parametrize(
    ("file", "jobs"),
    [
        (
            "config/smoke.yaml",
            {
                "prepare_dataset": 1,
                "poison_dataset": 1,
                "train_victim": 5 + 4,
                "attack_victim": 7 + 4 + 2 + 2 + 2,  # plain, two more victims, the trigger, adaptive, to be replayed
                "fool_victim": 2,
                "screen_training_set": 2,
                "plant_poisons": 1,
                "defend_victim": 3,
                "evaluate_defense": 3,
                "transfer_images": 2,  # none from the tree
                "draw_figures": 1,
            },
        ),
        (
            "config.yaml",
            {
                "prepare_dataset": 2,
                "poison_dataset": 2,
                "train_victim": 9 + 2,  # digits, shapes; the teacher among them
                # Digits: plain; distilled and adversarial; three more and the tree; two triggers. Shapes, and adaptive
                # ones, against two defenses on both data sets, and cleanse, where the trigger looks at no victim.
                "attack_victim": 14 + 2 * 7 + 3 * 3 + 1 + 2 * 2 + 2 * 7 + 4 * 4 + 3,
                "fool_victim": 3,
                "screen_training_set": 2 * 2,
                "defend_victim": 2 * 2 + 1,
                "evaluate_defense": 2 * 2 + 1,
                "transfer_images": 4 + 2,
                "draw_figures": 2,
            },
        ),
        (
            "config/course.yaml",
            {
                "prepare_dataset": 2,
                "poison_dataset": 2 * 3,
                "train_victim": 13 + 11,
                "attack_victim": 174 + 2 * 20,  # undefended, adaptive
                "fool_victim": 2 * 5,
                "screen_training_set": 2 * 9,
                "plant_poisons": 2,
                "defend_victim": 12,
                "evaluate_defense": 12,
                "transfer_images": 14,
                "draw_figures": 2,
            },
        ),
    ],
)
def test_job_counts_of_shipped_configurations(file: str, jobs: dict[str, int], tmp_path: Path) -> None:
    assert planned(copy_project(tmp_path), "--configfile", file) == jobs | ENDING


@pytest.mark.parametrize("name", sorted(file.name for file in (ROOT / "config/seeds").glob("*.yaml")))
def test_the_documents_experiments_are_planned_whole(name: str, tmp_path: Path) -> None:
    file = f"config/seeds/{name}"
    plan = Plan(load_config(read_yaml(ROOT / file), file))
    jobs = planned(copy_project(tmp_path), "--configfile", file)
    assert jobs["all"] == 1
    assert jobs["train_victim"] == len(plan.victims)
    adaptive = sum(len(attacks["adaptive"]) for attacks in plan.evaluations.values())
    assert jobs["attack_victim"] == len(plan.attacks) + adaptive
    assert jobs["draw_figures"] == len(plan.datasets)


def test_a_folder_and_a_file_are_renamed_in_one_place(tmp_path: Path) -> None:
    project = copy_project(tmp_path)
    before = planned(project, *SMOKE)
    file = project / "src/rivalry/layout.py"
    text = file.read_text()
    for old, new in (('"attacks"', '"crafted"'), ('"victim.json"', '"about.json"')):
        assert text.count(old) == 1
        text = text.replace(old, new)
    file.write_text(text)
    assert planned(project, *SMOKE) == before
    printed = snakemake(project, "--dry-run", "--printshellcmds", *SMOKE).stdout
    assert "results/crafted/digits/plain+median3/fgsm" in printed
    assert "results/victims/digits/plain/about.json" in printed
    assert "results/attacks" not in printed
    assert "victim.json" not in printed


def test_a_dry_run_imports_nothing_heavy(tmp_path: Path) -> None:
    text = (
        "import contextlib, os, sys, snakemake.cli\n"
        "with contextlib.suppress(SystemExit): snakemake.cli.main(['--dry-run', '--quiet'])\n"
        "print(sorted({'torch', 'lightning', 'scipy', 'sklearn', 'matplotlib'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", text], cwd=copy_project(tmp_path), capture_output=True, text=True)
    assert "Building DAG of jobs" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"  # Snakemake itself imports pandas


# ---- a complete run ----


def test_the_report_is_whole(finished: Path) -> None:
    for name in ("report.html", "report.tex", "report.json", *(["report.pdf"] if PDF else [])):
        assert (finished / "results/report" / name).stat().st_size > 5000
    scores = SCORES.read(finished / "results/tables/scores.csv")
    assert set(scores["setting"]) == {"undefended", "oblivious", "adaptive"}
    checks = CHECKED.read(finished / "results/tables/checks.csv")
    assert (checks["status"] != "fail").all(), checks[checks["status"] == "fail"].to_string()


def test_a_run_prints_a_line_as_a_job_starts_and_one_as_it_ends(finished: Path) -> None:
    printed = (finished / "printed.txt").read_text()
    lines = printed.splitlines()
    total = int(re.search(r"^(\d+) steps to do$", printed, re.MULTILINE)[1])
    started = [line.partition("start   ")[2] for line in lines if "  start   " in line]
    ended = [re.sub(r" \(\d+ (s|min).*", "", line.partition("done    ")[2]) for line in lines if "  done    " in line]
    assert len(started) == total - 1  # `all` only collects
    assert len(set(started)) == len(started)
    assert sorted(started) == sorted(ended)
    assert "attack plain on digits with pgd" in started
    assert f"all {total} steps done in" in printed
    assert "report: results/report/report.html" in lines
    assert len(lines) < 2 * total + 20
    assert max(len(line) for line in lines if "warning" not in line) < 250
    assert not re.search("Reason|--output|\x1b|\r", printed)


def test_what_others_rely_on_is_there(finished: Path) -> None:
    results = finished / "results"
    data = read_tensors(results / "data/digits/test.safetensors")
    assert str(data["images"].dtype) == "torch.uint8"
    assert str(data["labels"].dtype) == "torch.int64"
    one = read_tensors(results / "attacks/digits/plain/pgd/adversarial.safetensors")
    assert set(one) == {"images", "index"}
    several = read_tensors(results / "attacks/digits/plain/fgsm/adversarial.safetensors")
    assert set(several) == {"images_eps_0.1", "images_eps_0.2", "index"}
    facts = read_json(results / "victims/digits/plain/victim.json")
    assert {"architecture", "method", "parameters", "clean_accuracy"} <= set(facts)
    columns = SCORES.read(results / "tables/scores.csv").columns
    assert {"dataset", "victim", "attack", "defense", "setting", "goal", "norm", "eps", "n", "seconds"} <= set(columns)


def test_a_second_run_has_nothing_to_do(finished: Path) -> None:
    files = {file: file.stat().st_mtime_ns for file in (finished / "results").rglob("*") if file.is_file()}
    done = snakemake(finished, *SMOKE)
    assert "Nothing to be done" in done.stdout + done.stderr
    assert files == {file: file.stat().st_mtime_ns for file in (finished / "results").rglob("*") if file.is_file()}


# ---- what reruns ----

RENDERED = {"render_html": 1, "render_latex": 1, **PDF, "all": 1}
COLLECTED = {"collect_report": 1, **RENDERED}
TOLD = {"record_configuration": 1, **COLLECTED}
DRAWN = {"draw_figures": 1, **COLLECTED}
TABULATED = {"tabulate_results": 1, "check_results": 1, **DRAWN}
CONFIGURED = {"record_configuration": 1, **TABULATED}
CODE = "\nADDED = 1\n"


@pytest.mark.parametrize(
    ("file", "old", "new", "jobs"),
    [
        (
            "src/rivalry/attacks/fgsm.py",
            None,
            CODE,
            # On plain (two), distilled, adversarial, linear, knn, plain+median3, plain+detector, which learns from it.
            {"attack_victim": 8, "defend_victim": 1, "evaluate_defense": 2, "transfer_images": 2, **TABULATED},
        ),
        ("src/rivalry/attacks/_linearising.py", None, CODE, {"attack_victim": 2, **TABULATED}),  # deepfool, universal
        (
            "src/rivalry/architectures/_estimator.py",
            None,
            CODE,
            {"train_victim": 4, "attack_victim": 2, "transfer_images": 2, **TABULATED},
        ),
        ("src/rivalry/architectures/svm.py", None, CODE, {"train_victim": 1, "transfer_images": 2, **TABULATED}),
        (
            "src/rivalry/victims.py",  # of all trainings only distillation loads a victim
            None,
            CODE,
            {
                "train_victim": 1,
                "attack_victim": 17,
                "defend_victim": 3,
                "evaluate_defense": 3,
                "fool_victim": 2,
                "screen_training_set": 2,
                "plant_poisons": 1,
                "transfer_images": 2,
                **TABULATED,
            },
        ),
        (
            "src/rivalry/defenses/spatial_smoothing.py",
            None,
            CODE,
            {"attack_victim": 1, "defend_victim": 1, "evaluate_defense": 1, **TABULATED},
        ),
        (
            "src/rivalry/fooling/map_elites_cppn.py",
            None,
            CODE,
            {"fool_victim": 1, **TABULATED},
        ),
        ("src/rivalry/filters/spectral_signatures.py", None, CODE, {"screen_training_set": 1, **TABULATED}),
        ("src/rivalry/statistics/paired.py", None, CODE, TABULATED),
        ("src/rivalry/statistics/reported.yaml", None, "# a comment\n", TABULATED),
        ("src/rivalry/stages/check.py", None, CODE, {"check_results": 1, **DRAWN}),
        ("src/rivalry/figures/galleries.py", None, CODE, DRAWN),
        ("src/rivalry/report/findings.py", None, CODE, COLLECTED),
        ("src/rivalry/report/html.py", None, CODE, RENDERED),
        ("report/html/report.html.j2", "</html>", "</html>\n", {"render_html": 1, "all": 1}),
        # The configuration.
        ("config/smoke.yaml", "title: Smoke test", "title: Another", TOLD),
        ("config/smoke.yaml", "record_times: false", "record_times: true", {"record_configuration": 1, **TABULATED}),
        ("config/smoke.yaml", "steps: 5", "steps: 6", {"attack_victim": 1, **CONFIGURED}),
        ("config/smoke.yaml", "alpha: 0.5", "alpha: 0.4", {"train_victim": 1, "attack_victim": 2, **CONFIGURED}),
        (
            "config/smoke.yaml",
            "learning_rate: 0.003\n    temperature: 20.0\n  distilled",
            "learning_rate: 0.002\n    temperature: 20.0\n  distilled",
            {"train_victim": 2, "attack_victim": 2, **CONFIGURED},  # the teacher, and its student
        ),
        (
            "config/smoke.yaml",
            "kernel: rbf",
            "kernel: linear",
            {"train_victim": 1, "transfer_images": 2, **CONFIGURED},
        ),
        (
            "config/smoke.yaml",
            "attacks: [noise, fgsm, fgsm_to_3, pgd,",
            "attacks: [noise, fgsm, fgsm_to_3,",
            {"record_plan": 1, **CONFIGURED},
        ),
    ],
)
def test_an_edit_reruns_what_it_changes_and_nothing_else(
    file: str,
    old: str | None,
    new: str,
    jobs: dict[str, int],
    finished: Path,
    edit: Callable[..., None],
) -> None:
    edit(file, old, new)
    assert planned(finished, *SMOKE) == jobs


def test_what_no_job_runs_reruns_nothing(finished: Path, edit: Callable[..., None]) -> None:
    edit("src/rivalry/attacks/fgsm.py", "    _, _, gradient", "    # a comment\n    _, _, gradient")
    edit("src/rivalry/attacks/pgd.py", '"""', '"""As it is said elsewhere. ')
    edit("src/rivalry/__init__.py", '__version__ = "', '__version__ = "1')
    told = ("cli", "commands", "options", "environment", "config/models", "config/resolving", "plan")
    for name in (*told, "layout", "codehash", "attacks/lbfgs", "attacks/__init__"):
        edit(f"src/rivalry/{name}.py", None, CODE)
    edit("config/smoke.yaml", "datasets:", "# a comment\ndatasets:")
    edit("config/smoke.yaml", "method: fgsm\n    eps: 0.2\n    target: 3", "target: 3\n    eps: 0.2\n    method: fgsm")
    assert planned(finished, *SMOKE) == {}


def test_the_order_of_keys_reruns_nothing(finished: Path, edit: Callable[..., None]) -> None:
    noise = "  noise:\n    method: random_noise\n    eps: 0.2\n"
    edit("config/smoke.yaml", noise, "")
    edit("config/smoke.yaml", "    images: 30\n", f"    images: 30\n{noise}")
    edit("config/smoke.yaml", "seed: 1\n", "")
    edit("config/smoke.yaml", "defenses:\n", "seed: 1\ndefenses:\n")
    assert planned(finished, *SMOKE) == {}


def test_a_moved_folder_reruns_nothing(finished: Path) -> None:
    elsewhere = finished.with_name("moved")
    finished.rename(elsewhere)
    try:
        assert planned(elsewhere, *SMOKE) == {}
    finally:
        elsewhere.rename(finished)


def test_a_mistake_is_told_before_anything_runs(tmp_path: Path) -> None:
    project = copy_project(tmp_path)
    file = project / "config.yaml"
    file.write_text(file.read_text().replace("method: fgsm", "method: fsgm", 1))
    done = snakemake(project, check=False)
    assert done.returncode != 0
    assert "config.yaml: attacks.fgsm.method: 'fsgm' is unknown; did you mean 'fgsm'?" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not (project / "results").exists()


# ---- where files lie: folders of results, shared data, users' paths ----

BESIDE = """
seed: 1
results: runs/NAME
prepared: shared data
datasets: {mine: {source: image_folder, path: pictures}}
victims:
  knn: {method: scikit_learn, architecture: knn, architecture_parameters: {sample: 100}}
attacks:
  noise: {method: random_noise, eps: 0.2}
matches:
  - {datasets: [mine], victims: [knn], attacks: [noise]}
"""


def elsewhere(folder: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Snakemake as called from another folder, to work in this one."""
    named = ("--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder))
    return snakemake(folder.parent, *named, *arguments, check=check)


@pytest.fixture(scope="module")
def side_by_side(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which two configurations were run that share prepared data; they lie in a folder of it."""
    folder = tmp_path_factory.mktemp("beside") / "here"
    for number, name in enumerate(
        f"{split}/{label}/{i}.png" for split in ("train", "test") for label in "ab" for i in "12"
    ):
        (folder / "conf/pictures" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 30 * number).save(folder / "conf/pictures" / name)
    for name in ("one", "two"):
        (folder / f"conf/{name}.yaml").write_text(BESIDE.replace("NAME", name))
        elsewhere(folder, *tabulated(folder, name))
    return folder


def tabulated(folder: Path, name: str) -> list[str]:
    return [f"runs/{name}/tables/scores.csv", "--configfile", str(folder / f"conf/{name}.yaml")]


def planned_beside(folder: Path, name: str) -> dict[str, int]:
    return planned(
        folder.parent, "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder), *tabulated(folder, name)
    )


def test_two_configurations_beside_each_other_share_data_and_nothing_else(side_by_side: Path) -> None:
    assert planned_beside(side_by_side, "one") == {}
    assert planned_beside(side_by_side, "two") == {}
    assert list(side_by_side.rglob("dataset.json")) == [side_by_side / "shared data/mine/dataset.json"]
    for name in ("one", "two"):
        assert (side_by_side / f"runs/{name}/victims/mine/knn/victim.json").is_file()
        assert read_json(side_by_side / f"runs/{name}/plan.json")["prepared"] == "../../shared data"
    # Prepared once, by the first; the second had no job for it.
    assert (side_by_side / "runs/one/logs/prepare_dataset/mine.log").is_file()
    assert not (side_by_side / "runs/two/logs/prepare_dataset").exists()


def test_data_that_no_seed_changes_are_shared_whatever_the_seed(side_by_side: Path) -> None:
    (side_by_side / "conf/four.yaml").write_text(BESIDE.replace("NAME", "four").replace("seed: 1", "seed: 2"))
    jobs = planned_beside(side_by_side, "four")
    assert jobs.keys() >= {"train_victim", "attack_victim"}
    assert "prepare_dataset" not in jobs


def test_a_moved_folder_with_its_configurations_and_data_reruns_nothing(side_by_side: Path) -> None:
    moved = side_by_side.with_name("moved")
    side_by_side.rename(moved)
    try:
        assert planned_beside(moved, "one") == {}
    finally:
        moved.rename(side_by_side)


def test_a_users_file_reruns_what_used_it_also_by_its_time(side_by_side: Path) -> None:
    file = side_by_side / "conf/pictures/train/a/1.png"
    stat = file.stat()
    used = {"prepare_dataset": 1, "train_victim": 1, "attack_victim": 1, "tabulate_results": 1}
    try:
        os.utime(file)
        assert planned_beside(side_by_side, "one") == used
        assert planned_beside(side_by_side, "two") == used
    finally:
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert planned_beside(side_by_side, "one") == {}


def test_shared_data_of_another_kind_are_not_overwritten(side_by_side: Path) -> None:
    for old, new, what in (
        ("path: pictures", "path: pictures, size: 4", "mine was prepared with other parameters"),
        ("source: image_folder, path: pictures", "source: digits", "mine was prepared with another source"),
    ):
        (side_by_side / "conf/three.yaml").write_text(BESIDE.replace("NAME", "three").replace(old, new))
        done = elsewhere(side_by_side, "--dry-run", *tabulated(side_by_side, "three"), check=False)
        assert done.returncode == 1
        assert f"shared data/{what}, and other runs may use it; choose another name, or delete" in done.stderr
        assert "Traceback" not in done.stderr


def test_what_is_damaged_is_made_again_where_the_run_worked(side_by_side: Path, tmp_path: Path) -> None:
    results = side_by_side / "runs/one"
    file = results / "tables/kept_apart.json"
    content = file.read_bytes()
    file.unlink()
    try:
        verify = [sys.executable, "-m", "rivalry", "verify", str(results)]
        found = subprocess.run(verify, cwd=tmp_path, capture_output=True, text=True).stdout
    finally:
        file.write_bytes(content)
    command = found.splitlines()[-1].removeprefix("to make them again: ")
    assert command.startswith(f"cd {shlex.quote(str(side_by_side))} && snakemake --cores all --snakefile ")
    assert "--configfile conf/one.yaml" in command
    assert "runs/one/tables/scores.csv" in command


# ---- where there is no LaTeX, and where a job fails ----

TINY = """
seed: 1
datasets: {digits: {source: digits, images: 20}}
victims:
  knn: {method: scikit_learn, architecture: knn, architecture_parameters: {sample: 100}}
attacks:
  noise: {method: random_noise, eps: 0.2}
matches:
  - {datasets: [digits], victims: [knn], attacks: [noise]}
"""


def without(folder: Path, *programs: str) -> dict[str, str]:
    """The environment, but with a PATH on which some programs are not."""
    folder.mkdir()
    for place in os.environ["PATH"].split(os.pathsep):
        for program in Path(place).glob("*") if Path(place).is_dir() else []:
            if program.name not in programs and not (folder / program.name).is_symlink():
                (folder / program.name).symlink_to(program)
    return os.environ | {"PATH": str(folder)}


def test_without_latex_a_run_ends_well_and_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    project = copy_project(tmp_path / "project")
    (project / "tiny.yaml").write_text(TINY)
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", "tiny.yaml"]
    bare = without(tmp_path / "bin", "latexmk", "tectonic")
    for arguments in (["--dry-run"], []):
        done = subprocess.run([*command, *arguments], cwd=project, capture_output=True, text=True, env=bare)
        printed = done.stdout + done.stderr
        assert done.returncode == 0, printed
        assert "render_html" in printed or "render the page" in printed
        assert "compile_pdf" not in printed
        assert "compile the paper" not in printed
    assert printed.count("no PDF") == 1
    (line,) = [line for line in printed.splitlines() if "no PDF" in line]
    assert "latexmk" in line
    reports = {file.name for file in (project / "results/report").iterdir()}
    assert reports >= {"report.html", "report.tex"}
    assert "report.pdf" not in reports


def test_a_failing_job_tells_what_the_user_can_mend(tmp_path: Path) -> None:
    project = copy_project(tmp_path)
    for (file,) in mirrored(registry.method("sources", "mnist").traits):
        (project / "mirror" / file).parent.mkdir(parents=True, exist_ok=True)
        (project / "mirror" / file).touch()
    text = TINY.replace("digits", "mnist") + "data_mirror: mirror\n"
    (project / "tiny.yaml").write_text(text)
    left = project / f"results/data/digits/.test.partial-{2**30}@{HOST}.abcd1234.safetensors"  # by a killed run
    left.parent.mkdir(parents=True)
    left.touch()
    done = snakemake(project, "--configfile", "tiny.yaml", check=False)
    assert done.returncode == 1
    for part in done.stderr.split("1 failed;"):
        assert len(re.findall("^    cause: .*mirror.*$", part, re.MULTILINE)) == 1
        assert part.count("    log: results/logs/prepare_dataset/mnist.log") == 1
    assert not left.exists()


# ---- several trainings ----

SEEDED = """
seed: 1
results: results/once
prepared: data
record_times: false
datasets: {digits: {source: digits, images: 60, train_images: 400}}
victims:
  plain: {method: plain, architecture: lenet5, epochs: 3}
  warm: {method: plain, architecture: lenet5, epochs: 1, warm_start: plain}
  linear: {method: scikit_learn, architecture: linear}
attacks:
  noise: {method: random_noise, eps: 0.2}
  fgsm: {method: fgsm, eps: [0.1, 0.2]}
matches:
  - {datasets: [digits], victims: [plain, warm], attacks: [noise, fgsm]}
  - {datasets: [digits], victims: [linear], attacks: [noise]}
"""


def of_jobs(results: Path) -> dict[Path, tuple[bytes, int]]:
    """The files of trainings and attacks, by their place: bytes and time."""
    files = [file for room in ("victims", "attacks") for file in (results / room).rglob("*") if file.is_file()]
    return {file.relative_to(results): (file.read_bytes(), file.stat().st_mtime_ns) for file in files}


def tables_of(results: Path) -> dict[str, bytes]:
    return {table: (results / "tables" / f"{table}.csv").read_bytes() for table in (*TABLES[:3], "spreads")}


@pytest.mark.long
def test_seeds_go_from_one_to_three_to_two_to_one_and_a_name_changes(tmp_path: Path) -> None:
    """Only what is new runs, and the tables of the same victims are the same bytes, whatever was there before."""
    folder = tmp_path / "here"
    folder.mkdir()
    (tmp_path / "here/conf").mkdir()

    def runs(text: str, results: str = "once") -> dict[str, int]:
        """Jobs that a configuration has Snakemake do, up to the tables."""
        (folder / f"conf/{results}.yaml").write_text(text.replace("results/once", f"results/{results}"))
        target = [f"results/{results}/tables/scores.csv", "--configfile", str(folder / f"conf/{results}.yaml")]
        jobs = planned(tmp_path, "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder), *target)
        elsewhere(folder, *target)
        return {rule: jobs.get(rule, 0) for rule in ("train_victim", "attack_victim", "tabulate_results")}

    def jobs(trained: int, attacked: int) -> dict[str, int]:
        return {"train_victim": trained, "attack_victim": attacked, "tabulate_results": 1}

    once = folder / "results/once"
    assert runs(SEEDED) == jobs(3, 5)
    first, first_tables = of_jobs(once), tables_of(once)

    assert runs(SEEDED + "seeds: 3\n") == jobs(4, 8)  # linear regression leaves nothing to chance
    thrice, thrice_tables = of_jobs(once), tables_of(once)
    assert first.items() <= thrice.items()
    assert {path.parts[2].partition("@")[2] for path in thrice.keys() - first.keys()} == {"2", "3"}
    assert thrice_tables["scores"] != first_tables["scores"]

    assert runs(SEEDED + "seeds: 2\n") == jobs(0, 0)
    assert of_jobs(once) == thrice
    assert runs(SEEDED + "seeds: 2\n", "fresh") == jobs(5, 9)
    assert tables_of(once) == tables_of(folder / "results/fresh")

    assert runs(SEEDED) == jobs(0, 0)
    assert tables_of(once) == first_tables

    assert runs(re.sub(r"\bwarm\b", "quick", SEEDED)) == jobs(1, 2)
    assert of_jobs(once).items() >= thrice.items()
    old, new = (once / "victims/digits" / name / "victim.safetensors" for name in ("warm", "quick"))
    assert old.read_bytes() == new.read_bytes()
    assert {name: text.replace(b"quick", b"warm") for name, text in tables_of(once).items()} == first_tables


# ---- interruption and corruption ----


@pytest.mark.long
def test_an_interrupted_run_goes_on_to_the_same_bytes(finished: Path, tmp_path: Path) -> None:
    project = copy_project(tmp_path)
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *SMOKE]
    running = subprocess.Popen(
        command,
        cwd=project,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # A shell that runs the tests in the background has its children ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 600
    while not list(project.glob("results/victims/digits/*/victim.json")) and time.monotonic() < deadline:
        time.sleep(0.2)
    running.send_signal(signal.SIGINT)
    running.wait(timeout=600)
    assert not (project / "results/report/report.html").exists()
    kept = [file.stat().st_mtime_ns for file in project.glob("results/data/digits/*.safetensors")]
    snakemake(project, *SMOKE)
    assert kept == [file.stat().st_mtime_ns for file in project.glob("results/data/digits/*.safetensors")]
    for table in TABLES:
        name = f"results/tables/{table}.csv"
        assert (project / name).read_bytes() == (finished / name).read_bytes(), table


@pytest.mark.long
def test_corruption_is_found_and_mended_by_the_printed_command(finished: Path) -> None:
    verify = [sys.executable, "-m", "rivalry", "verify", "results"]
    assert subprocess.run(verify, cwd=finished).returncode == 0
    results = finished / "results"
    file = results / "attacks/digits/plain/noise/adversarial.safetensors"
    original = file.read_bytes()
    stat = file.stat()
    file.write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    # What no rule declares: a side file, a manifest, one figure.
    (results / "tables/kept_apart.json").unlink()
    (results / "evaluations/digits/plain/median3/.evaluate.manifest.json").write_text("{}")
    next((results / "figures/digits").glob("*.pdf")).unlink()
    found = subprocess.run(verify, cwd=finished, capture_output=True, text=True)
    assert found.returncode == 1
    assert "noise/adversarial.safetensors: differs from what was written" in found.stdout
    mend = shlex.split(re.search(r"to make them again: snakemake --cores all (.*)", found.stdout)[1])
    snakemake(finished, *mend)
    assert file.read_bytes() == original
    assert subprocess.run(verify, cwd=finished).returncode == 0


def test_a_stage_runs_without_snakemake_on_files_one_names(finished: Path, tmp_path: Path) -> None:
    logged = snakemake(finished, "--dry-run", "--printshellcmds", "--forcerun", "attack_victim", *SMOKE).stdout
    command = next(line for line in logged.splitlines() if "rivalry attack" in line and "--attack pgd" in line)
    output = tmp_path / "elsewhere"
    command = command.partition("Shell command: ")[2].split(" > ")[0].replace("python -m", f"{sys.executable} -m")
    command = re.sub(r"--output \S+", f"--output {output}", command)
    subprocess.run(command, shell=True, cwd=finished, check=True, capture_output=True)
    expected = finished / "results/attacks/digits/plain/pgd/adversarial.safetensors"
    assert (output / "adversarial.safetensors").read_bytes() == expected.read_bytes()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a:\n\t- b\n", "c.yaml:2: a tab stands where YAML wants spaces"),
        ("a: " + "[" * 2000, "c.yaml: is nested too deeply"),
        ("__use_yte__: true\n?open('ran', 'w'): 1\n", "c.yaml: __use_yte__: unknown key"),
    ],
    ids=["tab", "deep", "code"],
)
def test_a_configuration_that_snakemake_cannot_read_is_told_in_one_line(text: str, said: str, tmp_path: Path) -> None:
    project = copy_project(tmp_path)
    (project / "c.yaml").write_text(text)
    done = snakemake(project, "--dry-run", "--configfile", "c.yaml", check=False)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not (project / "ran").exists()


def test_titles_and_paths_of_any_text_are_planned_whole(tmp_path: Path) -> None:
    """Braces are patterns to Snakemake, and no command line takes 200 kB."""
    project = copy_project(tmp_path)
    file = project / "config/smoke.yaml"
    before = planned(project, *SMOKE)
    title = json.dumps("{MNIST} {wildcards.x} $(touch ran) " + "x" * 200_000)
    file.write_text(file.read_text().replace("title: Smoke test", f"title: {title}"))
    assert planned(project, *SMOKE) == before
    snakemake(project, "results/configuration.json", *SMOKE)
    assert read_json(project / "results/configuration.json")["title"] == json.loads(title)
    assert not (project / "ran").exists()


def test_networks_from_outside_have_a_rule_of_their_own(tmp_path: Path) -> None:
    project = copy_project(tmp_path)
    (project / "net.py").write_text("def build(): pass\n")
    (project / "mine.yaml").write_text(
        "datasets: {digits: {source: digits}, shapes: {source: shapes}}\n"
        "victims:\n"
        "  plain: {method: plain, architecture: lenet5}\n"
        "  mine: {method: external, model: 'net.py:build'}\n"
        "  a_mine: {method: plain, architecture: lenet5}\n"
        "attacks: {fgsm: {method: fgsm, eps: 0.1}}\n"
        "matches: [{datasets: [digits, shapes], victims: [plain, mine, a_mine], attacks: [fgsm]}]\n"
    )
    jobs = planned(project, "--configfile", "mine.yaml")
    assert (jobs["bring_victim"], jobs["train_victim"], jobs["attack_victim"]) == (2, 4, 6)
