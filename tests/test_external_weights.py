"""Weights that users bring: every form that is read, and the line that every other file gets."""

from __future__ import annotations

import argparse
import io
import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file, save_model
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from rivalry.errors import RivalryError
from rivalry.external.weights import load_into, load_torchscript, read_weights


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(bool((one[name] == other[name]).all()) for name in one)


STATE = network().state_dict()

READ: dict[str, Callable[[Path], object]] = {
    "safetensors": lambda path: save_file(STATE, path),
    "state dict": lambda path: torch.save(STATE, path),
    "state dict of before PyTorch 1.6": lambda path: torch.save(STATE, path, _use_new_zipfile_serialization=False),
    "Parameters": lambda path: torch.save(dict(network().named_parameters()) | dict(network().named_buffers()), path),
    "state_dict": lambda path: torch.save({"state_dict": STATE, "epoch": 3, "loss": torch.tensor(0.5)}, path),
    "model": lambda path: torch.save({"model": STATE, "model_ema": STATE, "optimizer": {"state": {}}}, path),
    "model_state_dict": lambda path: torch.save({"model_state_dict": STATE, "classes": ["a", "b"]}, path),
    "net": lambda path: torch.save({"net": STATE, "acc": 93.1}, path),
    "two levels": lambda path: torch.save({"model": {"state_dict": STATE, "version": 2}}, path),
    "a key of one's own": lambda path: torch.save({"student": STATE, "history": [1, 2]}, path),
    "TorchScript": lambda path: torch.jit.script(network()).save(str(path)),
}


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("form", READ)
def test_weights_are_read_whatever_form_they_were_saved_in(form: str, tmp_path: Path) -> None:
    # Content tells, so the name says something else.
    path = tmp_path / "weights.bin"
    READ[form](path)
    fresh = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    assert load_into(fresh, read_weights(path), path) == []
    assert same(fresh.state_dict(), STATE)


def test_a_checkpoint_of_lightning_is_read(tmp_path: Path) -> None:
    # The keys that Lightning 2 writes; its networks are attributes of the module, here `model`.
    checkpoint = {
        "epoch": 1,
        "global_step": 10,
        "pytorch-lightning_version": "2.6.0",
        "state_dict": {f"model.{name}": tensor for name, tensor in STATE.items()},
        "loops": {"fit_loop": {"state_dict": {}}},
        "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.1)}},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]}],
        "hyper_parameters": {"width": 4},
    }
    torch.save(checkpoint, tmp_path / "last.ckpt")
    fresh = network()
    notes = load_into(fresh, read_weights(tmp_path / "last.ckpt"), "last.ckpt")
    assert notes == ["names of weights have 'model.' in front in the file, and nothing in the network"]
    assert same(fresh.state_dict(), STATE)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_torchscript_archive_is_a_network_too(tmp_path: Path) -> None:
    path, images = tmp_path / "net.pt", torch.rand(5, 6)
    torch.jit.script(network()).save(str(path))
    assert bool((load_torchscript(path)(images) == network().eval()(images)).all())
    torch.save(STATE, path)
    with pytest.raises(RivalryError, match="has weights but no network; give the code of the network as model"):
        load_torchscript(path)


class Net(nn.Linear):
    pass


class Harmful:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, (self.mark,)


def tar(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("tensors"), io.BytesIO())


def cut(write: Callable[[Path], object], share: float) -> Callable[[Path], object]:
    def half(path: Path) -> None:
        write(path)
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])

    return half


def flipped(path: Path) -> None:
    torch.save({"weight": torch.arange(1000.0)}, path)
    content = bytearray(path.read_bytes())
    content[content.index(np.float32(500).tobytes())] ^= 1
    path.write_bytes(content)


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights.pth", b"text")


SAVE = "torch.save(model.state_dict(), 'weights.pth')"
MORE = "and loading it would run code; where you trust it, load it and save the weights alone: " + SAVE
REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "a whole network": (
        lambda path: torch.save(Net(6, 3), path),
        f"is a pickle that holds more than tensors ({Net.__module__}.Net), {MORE}",
    ),
    "a whole network, old format": (
        lambda path: torch.save(nn.Sequential(), path, _use_new_zipfile_serialization=False),
        f"is a pickle that holds more than tensors (torch.nn.modules.container.Sequential), {MORE}",
    ),
    "code": (
        lambda path: torch.save({"weight": Harmful(path.with_name("ran"))}, path),
        f"is a pickle that holds more than tensors ({os.mkdir.__module__}.mkdir), {MORE}",
    ),
    "a plain pickle with code": (
        lambda path: path.write_bytes(pickle.dumps({"weight": Net(6, 3)}, protocol=4)),
        f"is a pickle that holds more than tensors ({Net.__module__}.Net), {MORE}",
    ),
    "options beside the weights": (
        lambda path: torch.save({"state_dict": STATE, "args": argparse.Namespace(lr=0.1)}, path),
        f"is a pickle that holds more than tensors (argparse.Namespace), {MORE}",
    ),
    "an estimator": (
        lambda path: path.write_bytes(pickle.dumps(LogisticRegression(), protocol=4)),
        "is a pickle that holds more than tensors (sklearn.linear_model._logistic.LogisticRegression), and loading it "
        "would run code; save the classifier by skops.io.dump(classifier, 'model.skops'), and give that as model",
    ),
    "a state dict, pickled": (
        lambda path: path.write_bytes(pickle.dumps(STATE, protocol=4)),
        f"PyTorch did not write this pickle; save the network's weights: {SAVE}",
    ),
    "a tensor": (
        lambda path: torch.save(torch.zeros(3), path),
        f"holds a Tensor, not weights by name; give what {SAVE} writes",
    ),
    "no tensors": (
        lambda path: torch.save({"epoch": 3}, path),
        f"holds no tensors by name; give what {SAVE} writes",
    ),
    "two networks": (
        lambda path: torch.save({"generator": STATE, "critic": STATE}, path),
        f"holds the weights of several networks ('generator', 'critic'); save those of one: {SAVE}",
    ),
    "nothing": (lambda path: path.touch(), "is empty; copy or save it again"),
    "a folder": (lambda path: path.mkdir(), "is a folder; give the file in it"),
    "absent": (lambda path: None, "no such file"),
    "cut short": (cut(READ["state dict"], 0.5), "is cut short or damaged; copy or save it again"),
    "safetensors cut short": (
        cut(READ["safetensors"], 0.95),
        "is cut short or damaged (Error while deserializing header: incomplete metadata, file not fully covered); "
        "copy or save it again",
    ),
    "safetensors cut in the header": (cut(READ["safetensors"], 0.1), "is cut short or damaged; copy or save it again"),
    "one bit": (flipped, "is damaged at weights/data/0; copy or save it again"),
    "a pointer": (
        lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"),
        "is a Git LFS pointer, not the file itself; fetch it: git lfs pull",
    ),
    "a web page": (
        lambda path: path.write_text("\n<!DOCTYPE html><html><body>Sign in</body></html>"),
        "is a web page, not the file; download the file itself",
    ),
    "text": (
        lambda path: path.write_text("weights"),
        f"holds no weights; give a safetensors file, or what {SAVE} writes",
    ),
    "Keras": (
        lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100)),
        f"is an HDF5 file, as Keras writes; give PyTorch's weights: {SAVE}",
    ),
    "NumPy": (
        lambda path: np.savez(path.open("wb"), weight=np.zeros(3)),
        "holds NumPy arrays; write them as safetensors.numpy.save_file({name: array}, 'weights.safetensors')",
    ),
    "a tar archive": (
        tar,
        "is a tar archive; unpack it, or, where PyTorch before 0.2 wrote it, load it there and save it anew: " + SAVE,
    ),
    "a zip archive": (zipped, f"is an archive without weights; unpack it, or give what {SAVE} writes"),
}


@pytest.mark.parametrize("mistake", REFUSED)
def test_any_other_file_is_refused_in_one_line_that_says_what_would_be_right(mistake: str, tmp_path: Path) -> None:
    write, line = REFUSED[mistake]
    path = tmp_path / "weights.pth"
    write(path)
    with pytest.raises(RivalryError) as refused:
        read_weights(path)
    assert str(refused.value) == f"{path}: {line}"
    assert not path.with_name("ran").exists()


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("module.", ""), ("_orig_mod.", ""), ("module.model.", ""), ("", "_orig_mod."), ("model.", "net.")],
)
def test_what_a_container_put_in_front_of_all_names_is_no_part_of_them(theirs: str, ours: str) -> None:
    fresh: nn.Module = network()
    for part in reversed(ours.split(".")[:-1]):
        fresh = nn.ModuleDict({part: fresh})
    (note,) = load_into(fresh, {theirs + name: tensor + 1 for name, tensor in STATE.items()}, "w.pth")
    assert "in front in the file" in note
    assert same(fresh.state_dict(), {ours + name: tensor + 1 for name, tensor in STATE.items()})


def renamed(old: str, new: str) -> dict[str, Tensor]:
    return {name.replace(old, new): tensor for name, tensor in STATE.items()}


UNFIT: dict[str, tuple[dict[str, Tensor], str]] = {
    "another name": (
        renamed("2.", "head."),
        "lacks 2 of the network's 9 tensors (2.weight, 2.bias) and has 2 that the network lacks (head.weight, "
        "head.bias); is head.weight the network's 2.weight?",
    ),
    "a layer less": (
        {name: tensor for name, tensor in STATE.items() if not name.startswith("2.")},
        "lacks 2 of the network's 9 tensors (2.weight, 2.bias); give the architecture and the arguments with which it "
        "was trained",
    ),
    "more": (
        STATE | {f"criterion.{number}": torch.zeros(1) for number in range(5)},
        "has 5 that the network lacks (criterion.0, criterion.1, criterion.2, ...); give the architecture and the "
        "arguments with which it was trained",
    ),
    "a prefix on some": (
        STATE | {"module.2.bias": torch.zeros(3)},
        "has 1 that the network lacks (module.2.bias); give the architecture and the arguments with which it was "
        "trained",
    ),
    "a layer less, in a container": (
        {f"module.{name}": tensor for name, tensor in STATE.items() if not name.startswith("2.")},
        "lacks 2 of the network's 9 tensors (2.weight, 2.bias); give the architecture and the arguments with which it "
        "was trained",
    ),
    "another network": (
        {"features.0.weight": torch.zeros(1), "features.0.bias": torch.zeros(1)},
        "none of its 2 tensors (features.0.weight, features.0.bias) is among the network's (0.weight, 0.bias, "
        "1.weight, ...); give the architecture and the arguments with which it was trained",
    ),
    "another number of classes": (
        STATE | {"2.weight": torch.zeros(10, 4), "2.bias": torch.zeros(10)},
        "2.weight has shape (10, 4) in the file and (3, 4) in the network, and 1 more differs; give the number of "
        "classes and the other arguments with which it was trained",
    ),
    "NaN": (
        STATE | {"0.bias": torch.tensor([0.0, torch.nan, 0.0, 0.0])},
        "0.bias holds NaN or infinity; give the weights of a training that did not fail",
    ),
    "too large": (
        STATE | {"0.bias": torch.full((4,), 1e200, dtype=torch.float64)},
        "0.bias holds NaN or infinity; give the weights of a training that did not fail",
    ),
    "quantised": (
        STATE | {"0.weight": torch.zeros(4, 6, dtype=torch.int8)},
        "0.weight is int8, and the network's is float32; save it as float32",
    ),
}


@pytest.mark.parametrize("mistake", UNFIT)
def test_weights_of_another_network_are_refused_by_name(mistake: str) -> None:
    tensors, line = UNFIT[mistake]
    with pytest.raises(RivalryError) as refused:
        load_into(network(), tensors, "w.pth")
    assert str(refused.value) == f"w.pth: {line}"


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_another_precision_is_converted_and_said(kind: torch.dtype) -> None:
    fresh = network()
    tensors = {name: tensor.to(kind) if tensor.is_floating_point() else tensor for name, tensor in STATE.items()}
    name = str(kind).removeprefix("torch.")
    assert load_into(fresh, tensors, "w") == [f"weights are {name} in the file, and were converted to float32"]
    assert all(bool((tensor == tensors[name].float()).all()) for name, tensor in fresh.state_dict().items())


def test_one_tensor_with_two_names_may_be_stored_once(tmp_path: Path) -> None:
    def tied() -> nn.Module:
        first, second = nn.Linear(4, 4), nn.Linear(4, 4)
        second.weight = first.weight
        return nn.Sequential(first, second)

    whole, fresh = tied(), tied()
    save_model(whole, str(tmp_path / "w.safetensors"))
    tensors = read_weights(tmp_path / "w.safetensors")
    assert len(tensors) == 3
    assert load_into(fresh, tensors, "w") == []
    assert same(fresh.state_dict(), whole.state_dict())


def test_counts_of_batches_that_old_pytorch_did_not_store_are_not_missed() -> None:
    old = {f"module.{name}": tensor for name, tensor in STATE.items() if "num_batches" not in name}
    assert len(load_into(network(), old, "w")) == 1
