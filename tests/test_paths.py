"""Users' paths: what they are relative to, what they become, what of a change in them is noticed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from rivalry.artifacts import read_json
from rivalry.cli import main
from rivalry.config import Mistakes, load_config, read_files
from rivalry.plan import Plan
from rivalry.stages.record import record
from rivalry.types import UserFile


def content(path: str = "pictures", **more: Any) -> dict[str, Any]:
    return {
        "datasets": {"mine": {"source": "image_folder", "path": path, "size": 8}},
        "victims": {"plain": {"method": "plain", "architecture": "mlp512"}},
        "attacks": {"noise": {"method": "random_noise", "eps": 0.1}},
        "matches": [{"datasets": ["mine"], "victims": ["plain"], "attacks": ["noise"]}],
        **more,
    }


def written(file: Path, what: dict[str, Any]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(what), encoding="utf-8")
    return file


def seen(file: str | Path, given: dict[str, Any] | None = None) -> str:
    return str(read_files([file], given)["datasets"]["mine"]["path"])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, in a folder that has others."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PICTURES", str(tmp_path / "here" / "many"))
    monkeypatch.setenv("ELSEWHERE", "/elsewhere")
    monkeypatch.delenv("UNSET", raising=False)
    return folder


@pytest.mark.parametrize(
    ("file", "path", "expected"),
    [
        ("config.yaml", "pictures", "pictures"),
        ("config.yaml", "./a/../pictures/", "pictures"),
        ("conf/mine.yaml", "pictures", "conf/pictures"),
        ("conf/mine.yaml", "../pictures", "pictures"),
        ("../conf/mine.yaml", "../here/pictures", "pictures"),
        ("../conf/mine.yaml", "pictures", "{above}/conf/pictures"),
        ("conf/mine.yaml", "../../pictures", "{above}/pictures"),
        ("conf/mine.yaml", "/far/away", "/far/away"),
        ("conf/mine.yaml", "{above}/here/pictures", "pictures"),
        ("conf/mine.yaml", "~/pictures", "{above}/home/pictures"),
        ("conf/mine.yaml", "$PICTURES/cats", "many/cats"),
        ("conf/mine.yaml", "${PICTURES}_of_cats", "many_of_cats"),
        ("conf/mine.yaml", "$ELSEWHERE", "/elsewhere"),
        ("conf/mine.yaml", "for 5 $$", "conf/for 5 $"),
        ("conf/mine.yaml", "a b/ünï {x} *", "conf/a b/ünï {x} *"),
    ],
)
def test_a_path_is_relative_to_the_file_that_holds_it(file: str, path: str, expected: str, here: Path) -> None:
    above = str(here.parent)
    where = written(here / file, content(path.replace("{above}", above)))
    for name in (where, os.path.relpath(where)):
        assert seen(name) == expected.replace("{above}", above)


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("$UNSET/pictures", "$UNSET is not set; set it, or write $$ for a $ in a name"),
        ("${UNSET}", "$UNSET is not set; set it, or write $$ for a $ in a name"),
        ("for 5 $", "'for 5 $' has a $ before no variable's name; write $$ for a $ in a name"),
        (
            "~nobody-of-that-name/x",
            "~nobody-of-that-name/x: this machine knows no such home folder; write the path out",
        ),
    ],
)
def test_a_path_that_cannot_be_told_is_one_line(
    path: str, line: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(here / "c.yaml", content(path))
    assert main(["validate", "c.yaml"]) == 1
    assert capsys.readouterr().err.splitlines() == [f"c.yaml: datasets.mine.path: {line}"]
    with pytest.raises(Mistakes) as caught:
        read_files(["c.yaml"], {"data_mirror": path, "datasets": {"mine": {"path": "pictures"}}})
    assert caught.value.lines[0] == f"c.yaml: datasets.mine.path: {line}"


def test_a_file_of_an_installed_package_is_found_without_importing_it(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    package = here / "site" / "published"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    (package / "models" / "cnn.pth").write_bytes(b"weights")
    monkeypatch.syspath_prepend(str(here / "site"))
    written(here / "conf" / "c.yaml", content("package:published/models/cnn.pth"))
    assert seen("conf/c.yaml") == "site/published/models/cnn.pth"
    for path, line in (
        ("package:publisher/models/cnn.pth", ": there is no package publisher here; install it"),
        ("package:published", " names no file of a package; write package:NAME/path/in/it"),
        ("package:published/cnn.pth", ": there is no cnn.pth in published"),
    ):
        written(here / "conf" / "c.yaml", content(path))
        assert main(["validate", "conf/c.yaml"]) == 1
        assert capsys.readouterr().err == f"conf/c.yaml: datasets.mine.path: '{path}'{line}\n"


def test_a_path_that_leads_nowhere_is_named_as_it_is_seen_from_here(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(here / "conf" / "c.yaml", content("pictures"))
    assert main(["validate", "conf/c.yaml"]) == 1
    assert capsys.readouterr().err == "conf/c.yaml: datasets.mine.path: 'conf/pictures' does not exist\n"


def test_the_mirror_is_a_path_or_an_address(here: Path) -> None:
    for said, expected in (
        ("files", "conf/files"),
        ("$ELSEWHERE/files", "/elsewhere/files"),
        ("https://example.org/$x/~", "https://example.org/$x/~"),
    ):
        file = written(here / "conf" / "c.yaml", content(data_mirror=said))
        assert read_files([file])["data_mirror"] == expected


def test_folders_that_a_run_writes_are_relative_to_where_it_works(here: Path) -> None:
    file = written(here / "conf" / "c.yaml", content(results="runs/../out", prepared="$PICTURES/prepared"))
    found = read_files([file])
    assert (found["results"], found["prepared"]) == ("out", "many/prepared")
    assert read_files([file], {"results": "~/out"})["results"] == str(here.parent / "home/out")


def test_every_file_has_its_own_folder_and_the_command_line_has_this_one(here: Path) -> None:
    first = written(here / "one" / "c.yaml", content("pictures", data_mirror="files"))
    second = written(here / "two" / "c.yaml", {"datasets": {"mine": {"path": "others"}}})
    both = read_files([first, second])
    assert both["datasets"]["mine"] == {"source": "image_folder", "path": "two/others", "size": 8}
    assert both["data_mirror"] == "one/files"
    third = read_files([first, second], {"datasets": {"mine": {"path": "mine"}}, "data_mirror": "$PICTURES"})
    assert (third["datasets"]["mine"]["path"], third["data_mirror"]) == ("mine", "many")


def test_what_two_entries_share_in_yaml_is_resolved_once(here: Path) -> None:
    file = here / "conf" / "c.yaml"
    file.parent.mkdir()
    file.write_text(
        "datasets:\n  a: &a {source: image_folder, path: x}\n  b: *a\n  c: {<<: *a, size: 8}\n", encoding="utf-8"
    )
    assert [entry["path"] for entry in read_files([file])["datasets"].values()] == ["conf/x"] * 3


@pytest.mark.parametrize(
    "odd",
    [
        {"datasets": 5},
        {"datasets": {"mine": 5}},
        {"datasets": {"mine": {"source": ["image_folder"], "path": {}}}},
        {"datasets": {"mine": {"source": "image_folder", "path": [1, None]}}},
        {"victims": {"plain": {"method": "plain", "architecture": ["x"], "per_dataset": 3}}},
        {"victims": {"plain": {"method": "plain", "architecture_parameters": 3, "per_dataset": {"mine": []}}}},
        {"data_mirror": 5},
    ],
)
def test_what_is_no_path_is_left_to_those_who_check_keys(odd: dict[str, Any], here: Path) -> None:
    file = written(here / "c.yaml", odd)
    assert read_files([file]) == odd
    assert main(["validate", "c.yaml"]) == 1


PLUGIN = """
from rivalry.plugins import UserCode, UserPath, architecture, attack


@architecture()
def network(shape, classes, *, of: UserPath | None = None):
    \"\"\"A network.\"\"\"


@attack(sees="nothing", goals=["untargeted"], norms=["inf"], budget="fixed")
def wish(victim, images, goal, random, *, of: list[UserCode] | None = None):
    \"\"\"An attack.\"\"\"
"""


def test_paths_of_methods_differ_by_data_set_and_lie_in_architectures_too(here: Path) -> None:
    """Wherever a method of a user may take a path."""
    what = content()
    what["plugins"] = ["mine.py"]
    what["victims"]["plain"] |= {
        "architecture": "network",
        "architecture_parameters": {"of": "one"},
        "per_dataset": {"mine": {"architecture_parameters": {"of": "$PICTURES"}}},
    }
    what["attacks"]["noise"] = {
        "method": "wish",
        "of": ["a.py:build", "a.package:build"],
        "per_dataset": {"mine": {"of": ["b.py"]}},
    }
    written(here / "conf" / "c.yaml", what)
    (here / "conf" / "mine.py").write_text(PLUGIN)
    found = read_files(["conf/c.yaml"])
    plain, noise = found["victims"]["plain"], found["attacks"]["noise"]
    assert found["plugins"] == ["conf/mine.py"]
    assert plain["architecture_parameters"] == {"of": "conf/one"}
    assert plain["per_dataset"]["mine"]["architecture_parameters"] == {"of": "many"}
    assert noise["of"] == ["conf/a.py:build", "a.package:build"]
    assert noise["per_dataset"]["mine"]["of"] == ["conf/b.py"]
    with pytest.raises(Mistakes) as caught:
        load_config(found, "c.yaml")
    assert sorted(caught.value.lines) == [
        "c.yaml: attacks.noise.per_dataset.mine.of: 'conf/b.py' does not exist",
        "c.yaml: datasets.mine.path: 'conf/pictures' does not exist",
        "c.yaml: victims.plain.per_dataset.mine.architecture_parameters.of: 'many' does not exist",
    ]


def test_the_record_says_what_the_plan_saw(here: Path) -> None:
    folder = here / "conf" / "$x"
    for name in ("train/a/1.png", "train/b/2.png", "test/a/3.png", "test/b/4.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    written(here / "conf" / "c.yaml", content("$$x"))
    seen = read_files(["conf/c.yaml"])
    (here / "given.json").write_text(json.dumps(seen), encoding="utf-8")
    plan = Plan(load_config(seen))
    for given in ("given.json", "conf/c.yaml"):
        record("configuration", Path(given), here / "out.json")
        assert read_json(here / "out.json") == json.loads(json.dumps(plan.config.recorded()))
        assert read_json(here / "out.json")["datasets"]["mine"]["path"] == "conf/$x"


@pytest.mark.parametrize(
    ("mark", "value", "path"),
    [
        (UserFile(), "a b/c:d.npz", "a b/c:d.npz"),
        (UserFile(), "https://example.org/x", ""),
        (UserFile(code=True), "my_model.py:build", "my_model.py"),
        (UserFile(code=True), "my:models/x.py:build", "my:models/x.py"),
        (UserFile(code=True), "my_methods.py", "my_methods.py"),
        (UserFile(code=True), "package.module:build", ""),
        (UserFile(code=True), "torchvision:resnet50", ""),
        (UserFile(code=True), "forest.skops", "forest.skops"),
    ],
)
def test_the_path_in_a_value(mark: UserFile, value: str, path: str) -> None:
    assert mark.split(value) == (path, value[len(path) :])
