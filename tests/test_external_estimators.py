"""Classifiers that other libraries run: scikit-learn's through skops, and what ONNX files hold."""

from __future__ import annotations

import copy
import importlib
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import skops.io
import torch
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC, LinearSVC
from torch import Tensor

from rivalry.errors import RivalryError
from rivalry.external.estimators import estimator

PIXELS = 9
CLASSES = 3


@cache
def images() -> tuple[Tensor, np.ndarray]:
    """Images of three classes (N,1,3,3), each with its own bright row."""
    labels = torch.arange(60) % CLASSES
    pixels = 0.4 * torch.rand(60, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    pixels[torch.arange(60), 0, labels] += 0.3
    return pixels, labels.numpy()


def fitted(made: Any, labels: np.ndarray | None = None) -> Any:
    pixels, own = images()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that few iterations have not converged
        return made.fit(pixels.flatten(1).numpy(), own if labels is None else labels)


CLASSIFIERS = [
    RandomForestClassifier(5, random_state=0, n_jobs=-1),
    GradientBoostingClassifier(n_estimators=2),
    HistGradientBoostingClassifier(max_iter=2),
    LogisticRegression(),
    GaussianNB(),
    KNeighborsClassifier(3, n_jobs=2),
    KNeighborsClassifier(3, algorithm="kd_tree"),
    KNeighborsClassifier(3, algorithm="ball_tree"),
    MLPClassifier((4,), max_iter=5),
    MLPClassifier((4,), max_iter=5, solver="sgd"),
    CalibratedClassifierCV(LinearSVC()),
    LinearSVC(),
    SVC(),
    make_pipeline(StandardScaler(), SVC()),
]


@pytest.mark.parametrize("classifier", CLASSIFIERS, ids=str)
def test_what_scikit_learn_answers_the_victim_answers(classifier: Any, tmp_path: Path) -> None:
    pixels, _ = images()
    skops.io.dump(fitted(classifier), tmp_path / "model.skops")
    logits = estimator("skops", tmp_path / "model.skops")(pixels)
    assert logits.shape == (60, CLASSES)
    assert logits.dtype == torch.float32
    rows = pixels.flatten(1).numpy()
    if hasattr(classifier, "predict_proba"):
        shares = torch.from_numpy(classifier.predict_proba(rows)).float().clamp_min(1e-6)
        assert bool(((logits.exp() - shares).abs() < 1e-5).all())
    else:
        assert (logits.argmax(dim=1).numpy() == classifier.predict(rows)).all()


def test_of_two_classes_both_have_a_score(tmp_path: Path) -> None:
    pixels, labels = images()
    classifier = fitted(LinearSVC(), labels == 1)
    skops.io.dump(classifier, tmp_path / "model.skops")
    logits = estimator("skops", tmp_path / "model.skops")(pixels)
    assert logits.shape == (60, 2)
    assert (logits.argmax(dim=1).bool().numpy() == classifier.predict(pixels.flatten(1).numpy())).all()


def forest() -> Any:
    return fitted(RandomForestClassifier(5, random_state=0))


FORMS = {"a list of mappings": True, "a table": False, "columns": "columns"}


@pytest.mark.parametrize("form", FORMS)
def test_the_three_forms_of_probabilities_in_onnx_are_one(form: str, tmp_path: Path) -> None:
    pixels, _ = images()
    classifier = forest()
    rows = pixels.flatten(1).numpy()
    model = to_onnx(classifier, rows[:1], options={id(classifier): {"zipmap": FORMS[form]}})
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    found = estimator("onnx", tmp_path / "model.onnx")(pixels)
    assert np.allclose(found.numpy(), classifier.predict_proba(rows), atol=1e-6)


def onnx_file(
    path: Path,
    *,
    kind: int = TensorProto.FLOAT,
    shape: tuple[Any, ...] = ("n", PIXELS),
    opset: int = 18,
    inputs: int = 1,
    give: tuple[str, ...] = ("logits",),
) -> None:
    """A linear network: the sums of each row of an image."""
    weight = np.kron(np.eye(3), np.ones((3, 1)))
    numpy_kind = helper.tensor_dtype_to_np_dtype(kind)
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["logits"]),
        helper.make_node("Identity", ["logits"], ["again"]),
    ]
    made = helper.make_graph(
        nodes,
        "sums",
        [helper.make_tensor_value_info(name, kind, shape) for name in ("image", "mask")[:inputs]],
        [helper.make_tensor_value_info(name, kind, ("n", CLASSES)) for name in give],
        [onnx.numpy_helper.from_array(weight.astype(numpy_kind), "weight")],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize("shape", [("n", PIXELS), ("n", 1, 3, 3)])
@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.DOUBLE])
def test_an_onnx_network_gives_what_the_file_gives(shape: tuple[Any, ...], kind: int, tmp_path: Path) -> None:
    pixels, _ = images()
    onnx_file(tmp_path / "net.onnx", shape=shape, kind=kind)
    found = estimator("onnx", tmp_path / "net.onnx")(pixels)
    assert bool(((found - pixels.squeeze(1).sum(dim=2)).abs() < 1e-5).all())


def test_a_stored_classifier_is_whole_and_can_be_copied(tmp_path: Path) -> None:
    pixels, labels = images()
    paths = [tmp_path / "one.skops", tmp_path / "other.skops"]
    for path, made in zip(paths, (forest(), fitted(RandomForestClassifier(9), 2 - labels)), strict=True):
        skops.io.dump(made, path)
    one, other = (estimator("skops", path) for path in paths)
    before = other(pixels)
    assert bool((before != one(pixels)).any())
    one.load_state_dict(other.state_dict())
    assert bool((one(pixels) == before).all())
    assert bool((copy.deepcopy(one)(pixels) == before).all())


def test_gradients_are_zero(tmp_path: Path) -> None:
    pixels = images()[0].clone().requires_grad_(True)
    skops.io.dump(forest(), tmp_path / "model.skops")
    (gradient,) = torch.autograd.grad(estimator("skops", tmp_path / "model.skops")(pixels).sum(), pixels)
    assert not bool(gradient.any())


def brighter(pixels: np.ndarray) -> np.ndarray:
    return pixels + 1


def dumped(made: Any) -> Callable[[Path], None]:
    return lambda path: skops.io.dump(fitted(made), path)


REFUSED: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "a user's function": (
        "skops",
        dumped(make_pipeline(FunctionTransformer(brighter), LogisticRegression())),
        f"holds {__name__}.brighter, whose code would run; build the classifier of scikit-learn's own parts, or export "
        "it to ONNX",
    ),
    "a regression": (
        "skops",
        dumped(LinearRegression()),
        "holds a LinearRegression, which is no fitted classifier; fit one and save that",
    ),
    "not fitted": (
        "skops",
        lambda path: skops.io.dump(LogisticRegression(), path),
        "holds a LogisticRegression, which is no fitted classifier; fit one and save that",
    ),
    "no skops": (
        "skops",
        lambda path: path.write_bytes(b"PK\x03\x04 and no more"),
        "skops cannot read it (File is not a zip file); write it by skops.io.dump(classifier, ...)",
    ),
    "a pointer": (
        "skops",
        lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"),
        "is a Git LFS pointer, not the file itself; fetch it: git lfs pull",
    ),
    "no ONNX": (
        "onnx",
        lambda path: path.write_bytes(b"\x08\x00junk"),
        "ONNX Runtime cannot load it (Failed to load model because protobuf parsing failed.); export it again, in one "
        "file and for an opset that this ONNX Runtime knows",
    ),
    "an opset of the future": (
        "onnx",
        lambda path: onnx_file(path, opset=99),
        "ONNX Runtime cannot load it (ONNX Runtime only *guarantees* support for models stamped with official released "
        "onnx opset versions. Opset 99 is under ...); export it again, in one file and for an opset that this ONNX "
        "Runtime knows",
    ),
    "bytes as pixels": (
        "onnx",
        lambda path: onnx_file(path, kind=TensorProto.INT64),
        "takes tensor(int64), and images are floats; export it with an input of tensor(float)",
    ),
    "three dimensions": (
        "onnx",
        lambda path: onnx_file(path, shape=("n", 3, 3)),
        "takes an input of 3 dimensions; export it for images (N, C, H, W), or (N, pixels)",
    ),
    "one image at a time": (
        "onnx",
        lambda path: onnx_file(path, shape=(1, PIXELS)),
        "takes exactly 1 images at a time; export it with a first dimension that is free (dynamic_axes, "
        "dynamic_shapes)",
    ),
    "two inputs": (
        "onnx",
        lambda path: onnx_file(path, inputs=2),
        "takes 2 inputs (image, mask); export it with images alone",
    ),
    "two outputs": (
        "onnx",
        lambda path: onnx_file(path, give=("logits", "again")),
        "gives logits, again, of which 2 are scores of classes (N, K); export it with one",
    ),
}


@pytest.mark.parametrize("mistake", REFUSED)
def test_every_other_file_is_refused_in_one_line(mistake: str, tmp_path: Path) -> None:
    kind, write, line = REFUSED[mistake]
    path = tmp_path / f"model.{kind}"
    write(path)
    with pytest.raises(RivalryError) as refused:
        estimator(kind, path)
    assert str(refused.value) == f"{path}: {line}"


def test_another_number_of_pixels_is_said(tmp_path: Path) -> None:
    onnx_file(tmp_path / "net.onnx")
    with pytest.raises(RivalryError, match=r"ONNX Runtime cannot run it .*Got: 16 Expected: 9"):
        estimator("onnx", tmp_path / "net.onnx")(torch.zeros(2, 1, 4, 4))
    skops.io.dump(forest(), tmp_path / "model.skops")
    with pytest.raises(ValueError, match="X has 16 features, but RandomForestClassifier is expecting 9 features"):
        estimator("skops", tmp_path / "model.skops")(torch.zeros(2, 1, 4, 4))


@pytest.mark.parametrize(("kind", "package"), [("skops", "skops"), ("onnx", "onnxruntime")])
def test_a_package_that_is_missing_is_named(
    kind: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"model.{kind}"
    path.write_bytes(b"PK\x03\x04")
    found = importlib.import_module

    def without(name: str) -> Any:
        if name.split(".")[0] == package:
            raise ModuleNotFoundError(f"No module named '{package}'")
        return found(name)

    monkeypatch.setattr("rivalry.external.estimators.import_module", without)
    with pytest.raises(RivalryError) as refused:
        estimator(kind, path)
    assert str(refused.value) == (
        f"{path}: needs the package {package}, which is not installed; pip install 'rivalry[models]'"
    )
