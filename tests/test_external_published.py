"""Networks that torchvision and timm know by name, and their published weights from a mirror."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from rivalry import _torchvision
from rivalry.data._fetch import Fetch
from rivalry.errors import RivalryError
from rivalry.external.published import published
from rivalry.external.weights import load_into, read_weights

_torchvision.ensure()

import timm  # noqa: E402  (after the torchvision repair)
import torchvision.models as models  # noqa: E402
from torchvision.models import _api  # noqa: E402

IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def placed(network: nn.Module, folder: Path, stem: str) -> str:
    """Put a network's weights into a folder, as they are published: with a part of the checksum in their name."""
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / "weights.pth"
    torch.save(network.state_dict(), made)
    name = f"{stem}-{hashlib.sha256(made.read_bytes()).hexdigest()[:8]}.pth"
    shutil.move(made, folder / name)
    return name


def publish(monkeypatch: pytest.MonkeyPatch, entry: Any, name: str) -> None:
    """Have torchvision say that an entry's weights are called so."""
    monkeypatch.setattr(entry, "_value_", replace(entry.value, url=f"https://download.pytorch.org/models/{name}"))


@pytest.mark.parametrize("name", ["squeezenet1_1", "mnasnet0_5"])
def test_published_weights_come_from_the_mirror(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    original = models.get_model(name, weights=None).eval()
    file = placed(original, tmp_path / "torchvision", name)
    entry = models.get_model_weights(name)["IMAGENET1K_V1"]
    publish(monkeypatch, entry, file)
    downloading = _api.load_state_dict_from_url
    for asked in ("DEFAULT", "IMAGENET1K_V1"):
        network, preset = published("torchvision", name, asked, {}, Fetch(str(tmp_path)))
        assert bool((network(IMAGES) == original(IMAGES)).all())
        assert preset is not None
        assert (preset.size, preset.mean, preset.std) == ((224, 224), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    assert _api.load_state_dict_from_url is downloading
    # The same file, given by its path.
    network, _ = published("torchvision", name, None, {})
    assert load_into(network, read_weights(tmp_path / "torchvision" / file), file) == []
    assert bool((network(IMAGES) == original(IMAGES)).all())


SWAG = "IMAGENET1K_SWAG_E2E_V1"


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("googlenet", "DEFAULT"),
        ("densenet121", "DEFAULT"),
        ("resnet18", "DEFAULT"),
        pytest.param("vit_b_16", SWAG, marks=pytest.mark.long),
    ],
)
def test_a_network_is_built_again_without_its_weights_file(
    name: str, weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = models.get_model_weights(name)[weights]
    made = {"vit_b_16": {"image_size": 384}, "googlenet": {"init_weights": False}}.get(name, {})
    publish(monkeypatch, entry, placed(models.get_model(name, weights=None, **made), tmp_path / "torchvision", name))
    trained, preset = published("torchvision", name, weights, {}, Fetch(str(tmp_path)))
    again, wanted = published("torchvision", name, weights, {}, learned=False)
    again.load_state_dict(trained.state_dict())
    images = torch.rand(1, 3, *wanted.size) if wanted is not None else IMAGES
    assert wanted == preset
    assert bool((again(images) == trained(images)).all())


def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = placed(nn.Linear(2, 2), tmp_path / "torchvision", "squeezenet1_1")
    publish(monkeypatch, models.SqueezeNet1_1_Weights.DEFAULT, file)
    path = tmp_path / "torchvision" / file
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(RivalryError) as refused:
        published("torchvision", "squeezenet1_1", "DEFAULT", {}, Fetch(str(tmp_path)))
    found, digits = hashlib.sha256(path.read_bytes()).hexdigest(), file[-12:-4]
    line = f"{path}: expected sha256 {digits} at its beginning, got {found}; replace the file"
    assert str(refused.value) == line


def test_a_download_of_which_part_of_the_checksum_is_known_is_compared_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rivalry.data import _fetch

    def receive(most: int, url: str, output_file: str, _: object) -> None:
        Path(output_file).write_bytes(url.rpartition("/")[2].encode())

    monkeypatch.setattr(_fetch, "_receive", receive)
    fetch = Fetch(None, tmp_path)
    monkeypatch.setattr(fetch, "mirror", None)
    digits = hashlib.sha256(b"right").hexdigest()[:8]
    right, wrong = (
        _fetch.Remote(f"net/{name}", f"sha256:{digits}", (f"http://h/{name}",), whole=False)
        for name in ("right", "wrong")
    )
    assert fetch(right).read_bytes() == b"right"
    for _ in range(2):  # it is not kept, either
        with pytest.raises(RivalryError, match=f"expected sha256 {digits} at its beginning"):
            fetch(wrong)
    assert sorted(file.name for file in tmp_path.rglob("*") if file.is_file()) == ["right"]


def test_networks_take_their_librarys_arguments() -> None:
    network, preset = published("torchvision", "resnet18", None, {"num_classes": 7})
    assert network(IMAGES).shape == (2, 7)
    assert not network.training
    assert preset is None
    network, _ = published("timm", "resnet18", None, {"num_classes": 5, "in_chans": 1})
    assert network(IMAGES[:, :1]).shape == (2, 5)


def test_weights_that_timm_published_with_a_checksum_come_from_the_mirror(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    original = timm.create_model("resnet10t", pretrained=False).eval()
    file = placed(original, tmp_path / "timm", "resnet10t")
    about = timm.get_pretrained_cfg("resnet10t")
    monkeypatch.setattr(about, "url", f"https://github.com/weights/{file}")
    monkeypatch.setattr(timm, "get_pretrained_cfg", lambda *_, **__: about)
    network, preset = published("timm", "resnet10t", "DEFAULT", {}, Fetch(str(tmp_path)))
    assert bool((network(IMAGES) == original(IMAGES)).all())
    assert preset is not None
    assert preset.size == tuple(about.input_size[1:])
    again, _ = published("timm", "resnet10t", "DEFAULT", {}, learned=False)
    again.load_state_dict(original.state_dict())
    assert bool((again(IMAGES) == original(IMAGES)).all())


REFUSED: dict[str, tuple[tuple[Any, ...], str]] = {
    "a network's name": (
        ("torchvision", "resnet81", None, {}),
        "model: torchvision knows no classifier 'resnet81'; did you mean 'resnet18'?",
    ),
    "a detector": (
        ("torchvision", "ssd300_vgg16", None, {}),
        "model: torchvision knows no classifier 'ssd300_vgg16'; did you mean 'vgg16'?",
    ),
    "timm's name": (
        ("timm", "vit_tiny_patch16", None, {}),
        "model: timm knows no network 'vit_tiny_patch16'; did you mean 'vit_tiny_patch16_384'?",
    ),
    "weights' name": (
        ("torchvision", "resnet18", "IMAGENET1K_V2", {}),
        "weights: torchvision publishes no IMAGENET1K_V2 of resnet18; did you mean 'IMAGENET1K_V1'?",
    ),
    "weights without a checksum": (
        ("timm", "test_vit", "DEFAULT", {}),
        "weights: timm publishes those of test_vit without a checksum, at timm/test_vit.r160_in1k; download the file "
        "and give its path",
    ),
    "an argument": (
        ("torchvision", "resnet18", None, {"classes": 10}),
        "arguments: torchvision:resnet18 cannot be built with them (ResNet.__init__() got an unexpected keyword "
        "argument 'classes')",
    ),
    "weights among the arguments": (
        ("torchvision", "resnet18", None, {"weights": "DEFAULT"}),
        "arguments: weights is none of them; name published weights, or a file, under weights",
    ),
    "pretrained": (
        ("timm", "resnet18", None, {"pretrained": True}),
        "arguments: pretrained is none of them; name published weights, or a file, under weights",
    ),
}


@pytest.mark.parametrize("mistake", REFUSED)
def test_what_a_library_does_not_have_is_one_line(mistake: str) -> None:
    asked, line = REFUSED[mistake]
    with pytest.raises(RivalryError) as refused:
        published(*asked)
    assert str(refused.value) == line


def test_another_number_of_classes_than_the_weights_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = placed(models.squeezenet1_1(), tmp_path / "torchvision", "squeezenet1_1")
    publish(monkeypatch, models.SqueezeNet1_1_Weights.DEFAULT, file)
    with pytest.raises(RivalryError, match="'num_classes' expected value 1000 but got 10 instead"):
        published("torchvision", "squeezenet1_1", "DEFAULT", {"num_classes": 10}, Fetch(str(tmp_path)))


def test_a_mirror_without_the_weights_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(RivalryError) as refused:
        published("torchvision", "resnet50", "IMAGENET1K_V1", {}, Fetch(str(tmp_path)))
    assert str(refused.value) == (
        f"data_mirror: {tmp_path} lacks torchvision/resnet50-0676ba61.pth; add it, or unset the mirror to download"
    )
