"""What the house rests on: code hashes, artifacts, seeds, the registry, architectures, the lock file."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
import time
import tomllib
from copy import deepcopy
from itertools import chain
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from packaging.requirements import Requirement
from torch import nn

import rivalry.attacks
from rivalry import artifacts, registry
from rivalry.answers import classify
from rivalry.architectures._classifier import Classifier
from rivalry.data._splits import Split
from rivalry.describe import room_for_editors
from rivalry.devices import device, moved
from rivalry.environment import ALLOCATOR, export_environment
from rivalry.errors import RivalryError
from rivalry.references import cite
from rivalry.seeds import derive_seed

ROOT = Path(__file__).parent.parent


# ---- artifacts ----


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    artifacts.write_json(path, {"a": 1})
    with pytest.raises(NotADirectoryError), artifacts.replacing(path) as temporary:
        (temporary / "nothing can be below a file").write_text("half")
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_what_json_lacks_becomes_null(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    artifacts.write_json(path, {"nan": float("nan"), "inf": [float("inf")], "tensor": torch.tensor(2), "path": path})
    assert artifacts.read_json(path) == {"nan": None, "inf": [None], "tensor": 2, "path": str(path)}


def test_equal_tables_are_equal_bytes(tmp_path: Path) -> None:
    table = pd.DataFrame({"a": [1, 2], "b": [0.1, float("nan")], "c": ["x", ""]})
    for name in ("one.parquet", "two.parquet", "one.csv", "two.csv"):
        artifacts.write_table(tmp_path / name, table)
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()


@pytest.mark.parametrize("name", ["x.safetensors", "x.json", "x.parquet"])
def test_a_truncated_file_is_named(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if path.suffix == ".safetensors":
        artifacts.write_tensors(path, {"images": torch.zeros(3, 4)})
    elif path.suffix == ".json":
        artifacts.write_json(path, {"a": [1, 2, 3]})
    else:
        artifacts.write_table(path, pd.DataFrame({"a": [1]}))
    path.write_bytes(path.read_bytes()[:-9])
    read = {".safetensors": artifacts.read_tensors, ".json": artifacts.read_json, ".parquet": artifacts.read_table}
    with pytest.raises(RivalryError, match=rf"{name}: cannot be read .*rivalry verify"):
        read[path.suffix](path)


# ---- seeds ----


def test_seeds_depend_on_the_name_and_nothing_else() -> None:
    assert derive_seed(0, "train", "plain") == derive_seed(0, "train", "plain")
    others = {derive_seed(1, "train", "plain"), derive_seed(0, "trainplain"), derive_seed(0, "train", "plain", "")}
    assert derive_seed(0, "train", "plain") not in others
    assert len(others) == 3
    assert all(0 <= seed < 2**63 for seed in others)


# ---- registry ----


@pytest.mark.parametrize("kind", registry.ROOMS)
def test_every_method_says_what_it_is(kind: str) -> None:
    assert registry.names(kind)
    for name in registry.names(kind):
        method = registry.method(kind, name)
        assert method.summary.endswith("."), name
        source = method.traits["source"]
        nobodys = ("csv", "external", "image_folder", "npz", "parquet", "shapes")
        assert name in nobodys or cite(source), name
        for parameter in method.parameters.values():
            assert parameter.doc, f"{name}.{parameter.name} is not described"
        assert callable(method.load())


@pytest.mark.parametrize("kind", registry.ROOMS)
def test_a_room_shows_its_methods_and_nothing_else(kind: str) -> None:
    room = importlib.import_module(f"rivalry.{registry.ROOMS[kind]}")
    shown: dict[str, object] = {}
    exec(f"from {room.__name__} import *", shown)
    others = {"attacks": ["autoattack"], "fooling": ["fool"], "sources": ["load_split"]}.get(kind, [])
    assert dir(room) == sorted(shown.keys() - {"__builtins__"}) == sorted([*registry.names(kind), *others])
    for name in registry.names(kind):
        file = importlib.import_module(f"{room.__name__}.{name}")  # which is not what the room shows afterwards
        assert getattr(room, name) is shown[name] is getattr(file, name)


@pytest.mark.parametrize("kind", registry.ROOMS)
def test_editors_read_what_a_room_shows(kind: str) -> None:
    """To complete a name, an editor imports nothing: it reads the file that `make generated` writes."""
    room = importlib.import_module(f"rivalry.{registry.ROOMS[kind]}")
    read = Path(room.__file__ or "").with_suffix(".pyi").read_text(encoding="utf-8")
    assert read == room_for_editors(registry.ROOMS[kind]), "run: make generated"
    lines = [line for line in ast.parse(read).body if isinstance(line, ast.ImportFrom)]
    shown = {line.names[0].asname: line.module for line in lines}
    assert {name: f"{room.__name__}.{room.__files__[name]}" for name in dir(room)} == shown


def test_looking_at_the_package_imports_nothing_heavy() -> None:
    script = (
        "import sys, rivalry, rivalry.attacks; print(*dir(rivalry), *dir(rivalry.attacks));"
        "print({'torch', 'numpy', 'pandas', 'yaml'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    names, heavy = done.stdout.splitlines()
    assert {"attacks", "load_victim", "training", "pgd", "autoattack"} <= set(names.split())
    assert heavy == "set()"


def test_a_method_that_is_not_there_is_named_and_its_neighbour_too() -> None:
    with pytest.raises(AttributeError, match=r"^rivalry\.attacks has no 'pdg'; did you mean 'pgd'\?$"):
        _ = rivalry.attacks.pdg


def test_attacks_declare_what_the_threat_model_needs() -> None:
    for name in registry.names("attacks"):
        traits = registry.method("attacks", name).traits
        assert set(traits) - {"target", "fitted"} == {"sees", "goals", "norms", "budget", "source"}, name
        assert ("training_images" in registry.method("attacks", name).parameters) == traits.get("fitted", False)
        assert traits["budget"] in ("fixed", "minimal")


def test_reading_a_configuration_imports_nothing_heavy() -> None:
    script = (
        "import sys; from rivalry.config import load_config, read_yaml; from rivalry.plan import Plan;"
        f"plan = Plan(load_config(read_yaml({str(ROOT / 'config.yaml')!r})));"
        "[plan.code('attack', *job) for job in plan.attacks];"
        "print(sorted({'torch', 'pandas', 'lightning', 'matplotlib', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---- architectures ----


GREY, COLOUR = (1, 28, 28), (3, 32, 32)
PARAMETERS = [
    ("cnn_cifar", COLOUR, 1_250_858),
    ("cnn_mnist", GREY, 1_199_882),
    ("densenet", COLOUR, 176_122),
    ("fc500_150", GREY, 469_160),
    ("lenet5", GREY, 61_706),
    ("strided_cnn", GREY, 166_406),
    ("mlp", GREY, 496_885),
    ("mlp512", GREY, 407_050),
    ("mobilenet_v3_small", COLOUR, 1_528_106),
    ("nin", COLOUR, 966_986),
    ("papernot", GREY, 312_202),
    ("papernot", COLOUR, 1_147_978),
    ("resnet18", COLOUR, 11_173_962),
    ("vit_tiny", COLOUR, 811_146),
]
NETWORKS = [name for name in registry.names("architectures") if registry.method("architectures", name).in_epochs]


def test_every_network_has_a_known_number_of_parameters() -> None:
    assert sorted({name for name, _, _ in PARAMETERS}) == NETWORKS


@pytest.mark.parametrize(("name", "shape", "count"), PARAMETERS)
def test_a_network_has_the_parameters_that_its_description_says(name: str, shape: tuple[int, ...], count: int) -> None:
    method = registry.method("architectures", name)
    assert sum(parameter.numel() for parameter in method.load()(shape, 10).parameters()) == count
    said = re.sub(r"\s+", " ", method.doc)
    assert re.search(rf"\b{count:,}( parameters)? on {'x'.join(map(str, shape))}\b", said)


def test_densenets_of_the_paper_and_of_the_report_have_their_published_size() -> None:
    densenet = registry.method("architectures", "densenet").load()
    for options, stem, published in (
        ({"blocks": [16, 16, 16]}, 0, 769_162),
        ({"growth": 32, "blocks": [6, 12, 48, 32]}, 64 * 3 * (7 * 7 - 3 * 3) + 2 * 64, 18_112_138),
    ):
        count = sum(parameter.numel() for parameter in densenet(COLOUR, 10, **options).parameters())
        assert count + stem == published


@pytest.mark.parametrize("name", registry.names("architectures"))
@pytest.mark.parametrize(("shape", "classes"), [(GREY, 2), (COLOUR, 7), ((3, 40, 24), 7), ((1, 20, 33), 2)])
def test_architectures_fit_any_reasonable_image(name: str, shape: tuple[int, ...], classes: int) -> None:
    network = registry.method("architectures", name).load()(shape, classes)
    images = torch.rand(2, *shape, requires_grad=True)
    logits = network(images)
    assert logits.shape == (2, classes)
    logits.sum().backward()
    assert images.grad is not None
    assert images.grad.isfinite().all()
    assert [name for name, each in network.named_parameters() if each.requires_grad and each.grad is None] == []


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("channels", [1, 3])
def test_under_attack_a_network_sees_each_image_alone_and_stays_as_it_was(name: str, channels: int) -> None:
    """Batch normalisation would mix a batch's images, and dropout would answer differently each time."""
    torch.manual_seed(0)
    shape = (channels, 18, 16)
    victim = Classifier(registry.method("architectures", name).load()(shape, 4), channels)
    for tensor in victim.state_dict().values():
        if tensor.is_floating_point():
            tensor.add_(0.05 * torch.rand_like(tensor))  # no layer is as it starts, such as a last one of zeros
    for part in victim.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = None  # the averages of all batches, which keep its outputs apart
    victim.train()(torch.rand(32, *shape))
    before = deepcopy(victim.state_dict())
    strides = [each.stride() for each in victim.parameters()]
    images = torch.rand(5, *shape)
    labels = rivalry.attacks.random_noise.run(victim, images, torch.zeros(5, dtype=torch.int64)).predictions
    options = {"norm": 2, "eps": 1.0, "step_size": 0.4, "steps": 3, "seed": 2}
    together = rivalry.attacks.pgd(victim, images, labels, **options)
    apart = rivalry.attacks.pgd(victim, images.flip(0), labels.flip(0), batch_size=2, **options)
    torch.testing.assert_close(apart.flip(0), together, rtol=0, atol=1e-4)
    assert (together != images).flatten(1).any(dim=1).sum() > 0
    assert all(part.training for part in victim.modules())
    assert all(torch.equal(value, before[key]) for key, value in victim.state_dict().items())
    assert [each.stride() for each in victim.parameters()] == strides


def test_blocks_that_images_are_too_small_for_are_told_in_one_line() -> None:
    with pytest.raises(RivalryError, match="blocks: 7 blocks need images of at least 64x64 pixels; give fewer"):
        registry.method("architectures", "densenet").load()(COLOUR, 10, blocks=[1] * 7)


# ---- what a killed writer leaves ----


def test_what_dead_writers_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    text = (
        "import sys, time\n"
        "from rivalry.artifacts import replacing\n"
        "with replacing(sys.argv[1]) as temporary:\n"
        "    print(temporary, flush=True)\n"
        "    time.sleep(600)\n"
    )
    command = [sys.executable, "-c", text, str(tmp_path / "deep/er/table.csv")]
    writer = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT / "src")}
    )
    left = Path(writer.stdout.readline().strip())
    old, now = time.time() - 10 * 24 * 3600, time.time()
    kept = {
        "table.csv": old,
        ".train.manifest.json": old,
        ".notes.partial-draft": old,  # the user's own
        ".far.partial-1@elsewhere.abcd1234.csv": now,  # on another machine, and perhaps at work
    }
    for name, modified in (kept | {".far.partial-2@elsewhere.abcd1234.csv": old}).items():
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (modified, modified))
    try:
        os.utime(left, (old, old))  # slow, but alive
        assert artifacts.sweep(tmp_path) == [tmp_path / ".far.partial-2@elsewhere.abcd1234.csv"]
        assert left.exists()
    finally:
        writer.kill()
        writer.wait()
        writer.stdout.close()
    assert left.exists()
    assert artifacts.sweep(tmp_path) == [left]
    assert {file.name for file in tmp_path.rglob("*") if file.is_file()} == set(kept)


# ---- what is installed ----


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(file: str) -> dict[str, str]:
    pins = (line.split("==") for line in (ROOT / file).read_text().splitlines())
    return {canonical(name): version for name, version in pins}


def test_the_lock_files_satisfy_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed, tools = locked("requirements.lock"), locked("requirements-test.lock")
    extras = project["optional-dependencies"]
    only_tested = [*extras["test"], *extras["models"]]
    for text in [*project["dependencies"], *chain.from_iterable(extras.values())]:
        requirement = Requirement(text)
        versions = tools if text in only_tested and canonical(requirement.name) not in needed else needed
        assert requirement.specifier.contains(versions[canonical(requirement.name)]), text
    assert not set(needed) & set(tools)


def test_a_report_needs_no_tools_of_tests() -> None:
    """What is installed tells what needs what; a package that only tests ask for is in the tests' lock file."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = [Requirement(text) for text in (*project["dependencies"], *extras["reports"], *extras["slurm"])]
    seen: set[tuple[str, str]] = set()
    while asked:
        requirement = asked.pop()
        for extra in {"", *requirement.extras} - {extra for name, extra in seen if name == canonical(requirement.name)}:
            seen.add((canonical(requirement.name), extra))
            needs = (Requirement(text) for text in importlib.metadata.requires(requirement.name) or [])
            asked += [need for need in needs if need.marker is None or need.marker.evaluate({"extra": extra})]
    used, tools = {name for name, _ in seen}, {canonical(Requirement(text).name) for text in extras["test"]}
    assert not used & set(locked("requirements-test.lock"))
    assert not (tools - used) & set(locked("requirements.lock"))


def test_conda_environments_are_in_step_with_the_lock_file() -> None:
    versions, pinned = locked("requirements.lock"), 0
    for file in (ROOT / "envs").glob("*.yaml"):
        for dependency in yaml.safe_load(file.read_text())["dependencies"]:
            for pin in dependency["pip"] if isinstance(dependency, dict) else [dependency.replace(" =", "==")]:
                name, _, version = pin.partition("==")
                if canonical(name) in versions:
                    assert version == versions[canonical(name)], f"{file.name}: {pin}"
                    pinned += 1
    assert pinned > 20


# ---- what jobs run in ----


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="settings of the GNU C library")
def test_jobs_keep_the_memory_that_they_free(monkeypatch: pytest.MonkeyPatch) -> None:
    passes = (
        "import resource, numpy\n"
        "def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "def one(): return sum(layer.sum() for layer in [numpy.ones(size * 2**17) for size in (24, 12, 20)])\n"
        "one(); before = faults()\n"
        "for _ in range(5): one()\n"
        "print(faults() - before)"
    )
    environment = {name: value for name, value in os.environ.items() if name not in ALLOCATOR}
    monkeypatch.setattr(os, "environ", environment)
    apart = int(subprocess.check_output([sys.executable, "-c", passes], env=environment))
    export_environment(str(ROOT / "src"), None)
    kept = int(subprocess.check_output([sys.executable, "-c", passes], env=environment))
    assert kept < 0.1 * apart
    environment["MALLOC_TRIM_THRESHOLD_"] = "7"
    export_environment(str(ROOT / "src"), None)
    assert environment["MALLOC_TRIM_THRESHOLD_"] == "7"  # a user's own choice


# ---- devices ----


def test_a_gpu_adds_up_in_full_precision_and_in_one_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    assert device("cpu").type == "cpu"
    assert torch.backends.cudnn.allow_tf32  # whatever is set for others stays as it is
    assert device("auto").type == device("gpu").type == "cuda"
    assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.deterministic


def test_weights_are_laid_out_for_a_cpu_and_classify_as_before() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(8 * 16, 5))
    images = torch.rand(6, 3, 8, 8)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with torch.no_grad():
        logits = network(images)
        there = moved(network, torch.device("cpu"))
        assert there is network
        torch.testing.assert_close(network(images), logits)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])
        assert tensor.is_contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor.is_contiguous()
    moved(network, torch.device("cpu"), grey_gradients=True)
    assert all(tensor.is_contiguous() for tensor in network.parameters())
    elsewhere = moved(nn.Conv2d(3, 8, 3), torch.device("meta"))
    assert elsewhere.weight.is_contiguous()


class Viewing(nn.Module):
    """What half of all networks in the world do between their convolutions and their dense layers."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features.view(features.size(0), -1)


@pytest.mark.parametrize("scripted", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_network_that_views_its_features_as_they_lie_in_memory_can_be_attacked(channels: int, scripted: bool) -> None:
    torch.manual_seed(0)
    network: nn.Module = nn.Sequential(nn.Conv2d(channels, 8, 3), nn.ReLU(), Viewing(), nn.Linear(8 * 36, 5))
    if scripted:
        network = torch.jit.script(network)
    images = torch.rand(6, channels, 8, 8)
    labels = network(images).argmax(dim=1)
    for attack in (rivalry.attacks.fgsm, rivalry.attacks.square):
        changed = attack(network, images, labels, eps=0.1)
        assert not torch.equal(changed, images)
    assert torch.equal(classify(moved(network, torch.device("cpu")), images, 6).argmax(dim=1), labels)


def test_a_victim_is_asked_batch_by_batch_and_stored_pixels_become_floats() -> None:
    sizes: list[int] = []

    def victim(images: torch.Tensor) -> torch.Tensor:
        sizes.append(len(images))
        return images.flatten(1)

    split = Split(torch.arange(7 * 3, dtype=torch.uint8).reshape(7, 1, 1, 3), torch.zeros(7, dtype=torch.int64))
    stored, shown = classify(victim, split.images, 3), classify(victim, split.floats(), 3)
    assert sizes == [3, 3, 1] * 2
    assert torch.equal(stored, shown)
    assert torch.equal(stored, split.images.flatten(1) / 255)
    asked = classify(nn.Sequential(nn.Flatten(), nn.Linear(3, 2)), split.images, 3)
    assert asked.shape == (7, 2)
    assert not asked.requires_grad
