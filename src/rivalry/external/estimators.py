"""Classifiers that another library runs: scikit-learn's in a skops file, and whatever is in an ONNX file.

They have no gradients. Their file is among their tensors, so that a stored victim is whole.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rivalry.architectures._estimator import log_shares, one_per_class
from rivalry.errors import RivalryError, one_line
from rivalry.external.weights import beginning

TRUSTED = re.compile(
    r"sklearn\.(calibration\._(CalibratedClassifier|SigmoidCalibration)|ensemble\._hist_gradient_boosting\.\w+\.\w+|"
    r"metrics\._dist_metrics\.\w+Distance\d*|neighbors\._(ball_tree\.BallTree|kd_tree\.KDTree)\d*|"
    r"neural_network\._stochastic_optimizers\.\w+Optimizer|tree\._tree\.Tree|utils\._bunch\.Bunch)"
)
"""Parts of scikit-learn's own classifiers that skops leaves to its caller: they hold numbers, and run nothing."""
FLOATS = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16}
"""What an ONNX input may hold, as ONNX Runtime calls it."""
LENGTH = 120
"""Letters of another library's words that a line repeats."""

Scores = Callable[[np.ndarray], np.ndarray]
"""From images, float32 (N,C,H,W), to scores, (N,K)."""


class Stored(nn.Module):
    """A classifier that is a file's bytes, opened when it is first asked.

    Parameters
    ----------
    content : bytes
    path : path
        Where the bytes are from, for messages.
    """

    content: Tensor

    def __init__(self, content: bytes, path: str | Path) -> None:
        super().__init__()
        self.path = str(path)
        self.register_buffer("content", torch.frombuffer(bytearray(content), dtype=torch.uint8))
        self._opened: Scores | None = None

    def open(self, content: bytes) -> Scores:
        """The classifier in a file's bytes."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it is opened")

    def opened(self) -> Scores:
        if self._opened is None:
            self._opened = self.open(self.content.cpu().numpy().tobytes())
        return self._opened

    def forward(self, images: Tensor) -> Tensor:
        scores = torch.from_numpy(np.asarray(self.opened()(images.detach().cpu().numpy()), dtype=np.float32))
        # Nothing of the pixels, so that asking for a gradient gives zero and not an error.
        return scores.to(images.device) + 0 * images.flatten(1).sum(dim=1, keepdim=True)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        given = state_dict.get(f"{prefix}content")
        if given is not None and given.dtype == torch.uint8 and given.dim() == 1 and not given.equal(self.content):
            self.content, self._opened = torch.empty_like(given), None
        super()._load_from_state_dict(state_dict, prefix, *rest)


class Skops(Stored):
    """A fitted classifier of scikit-learn: logs of its probabilities, or its decision function where it has none."""

    def open(self, content: bytes) -> Scores:
        skops = _package("skops.io", self.path)
        import_module("sklearn")
        try:
            unsure = skops.get_untrusted_types(data=content)
            if foreign := sorted(name for name in unsure if not TRUSTED.fullmatch(name)):
                raise RivalryError(
                    f"{self.path}: holds {one_line(', '.join(foreign))}, whose code would run; build the classifier of "
                    "scikit-learn's own parts, or export it to ONNX"
                )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about versions; what cannot be read is refused below
                found = skops.loads(content, trusted=unsure)
        except RivalryError:
            raise
        except Exception as error:  # whatever its reader makes of the bytes
            raise RivalryError(
                f"{self.path}: skops cannot read it ({_said(error)}); write it by skops.io.dump(classifier, ...)"
            ) from error
        return self._scores(found)

    def _scores(self, found: Any) -> Scores:
        kind = type(found).__name__
        if not hasattr(found, "classes_") or not callable(getattr(found, "predict", None)):
            raise RivalryError(f"{self.path}: holds a {kind}, which is no fitted classifier; fit one and save that")
        # Threads would add up in whatever order they end.
        found.set_params(**{name: 1 for name in found.get_params() if name.split("__")[-1] == "n_jobs"})
        if callable(getattr(found, "predict_proba", None)):

            def scores(pixels: np.ndarray) -> np.ndarray:
                return log_shares(torch.from_numpy(np.asarray(found.predict_proba(pixels)))).numpy()

        elif callable(getattr(found, "decision_function", None)):

            def scores(pixels: np.ndarray) -> np.ndarray:
                margins = torch.from_numpy(np.atleast_2d(found.decision_function(pixels).T))
                return one_per_class(margins).T.numpy()

        else:
            raise RivalryError(
                f"{self.path}: the {kind} gives classes only; take one with predict_proba or decision_function"
            )

        def asked(images: np.ndarray) -> np.ndarray:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that pixels have no names
                return scores(images.reshape(len(images), -1))

        return asked


class Onnx(Stored):
    """A classifier that ONNX Runtime runs on the CPU, with as many threads as PyTorch; it gives what the file gives.

    That is logits or probabilities, a tensor (N,K); or, of what scikit-learn's converter writes, the probabilities
    beside the label, in any of their three forms.
    """

    def open(self, content: bytes) -> Scores:
        runtime = _package("onnxruntime", self.path)
        options = runtime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = torch.get_num_threads(), 1
        options.use_deterministic_compute = True
        options.log_severity_level = 4
        try:
            session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # whatever its reader makes of the bytes
            raise RivalryError(
                f"{self.path}: ONNX Runtime cannot load it ({_said(error)}); export it again, in one file and for an "
                "opset that this ONNX Runtime knows"
            ) from error
        name, kind, flat = self._input(session)
        taken = self._output(session)

        def scores(images: np.ndarray) -> np.ndarray:
            given: np.ndarray = (images.reshape(len(images), -1) if flat else images).astype(kind)
            try:
                return _columns(session.run(taken, {name: given}))
            except Exception as error:  # ONNX Runtime's own kinds have no common base
                raise RivalryError(f"{self.path}: ONNX Runtime cannot run it ({_said(error)})") from error

        return scores

    def _input(self, session: Any) -> tuple[str, type, bool]:
        """The name of its input, what that holds, and whether an image is one row of it."""
        inputs = session.get_inputs()
        if len(inputs) != 1:
            names = one_line(", ".join(one.name for one in inputs))
            raise RivalryError(f"{self.path}: takes {len(inputs)} inputs ({names}); export it with images alone")
        (one,) = inputs
        if one.type not in FLOATS:
            raise RivalryError(
                f"{self.path}: takes {one.type}, and images are floats; export it with an input of tensor(float)"
            )
        if len(one.shape) not in (2, 4):
            raise RivalryError(
                f"{self.path}: takes an input of {len(one.shape)} dimensions; export it for images (N, C, H, W), or "
                "(N, pixels)"
            )
        if isinstance(one.shape[0], int):
            raise RivalryError(
                f"{self.path}: takes exactly {one.shape[0]} images at a time; export it with a first dimension that "
                "is free (dynamic_axes, dynamic_shapes)"
            )
        return one.name, FLOATS[one.type], len(one.shape) == 2

    def _output(self, session: Any) -> list[str]:
        """Of what it gives, the scores of the classes: one table of floats, or one column or mapping of each."""
        outputs = [one for one in session.get_outputs() if one.type in FLOATS or one.type.startswith("seq(map(")]
        tables = [one.name for one in outputs if one.type.startswith("seq(map(") or len(one.shape) == 2]
        columns = [one.name for one in outputs if len(one.shape) == 1 and one.type in FLOATS]
        if len(tables) == 1:
            return tables
        if not tables and columns:
            return columns
        names = one_line(", ".join(one.name for one in session.get_outputs()))
        raise RivalryError(
            f"{self.path}: gives {names}, of which {len(tables)} are scores of classes (N, K); export it with one"
        )


BUILDERS: Mapping[str, type[Stored]] = {"skops": Skops, "onnx": Onnx}


def estimator(kind: str, path: str | Path) -> Stored:
    """The classifier in a file.

    Parameters
    ----------
    kind : str
        "skops" or "onnx".
    path : path

    Returns
    -------
    Stored
        From images, float32 (N,C,H,W) in whatever scale it was trained on, to scores (N,K), float32: of skops logits,
        of ONNX what the file gives. A classifier that takes rows is given each image's pixels channel by channel.

    Raises
    ------
    RivalryError
        It is none, cannot be run here, or holds code.
    """
    path = Path(path)
    beginning(path)
    made = BUILDERS[kind](path.read_bytes(), path)
    made.opened()
    return made.eval()


def _columns(found: Sequence[Any]) -> np.ndarray:
    if len(found) > 1 or (np.ndim(found[0]) == 1 and not isinstance(found[0], list)):
        return np.stack(found, axis=1)
    (only,) = found
    return np.array([list(row.values()) for row in only]) if isinstance(only, list) else only


def _package(name: str, path: str) -> ModuleType:
    try:
        return import_module(name)
    except ImportError as error:
        raise RivalryError(
            f"{path}: needs the package {name.split('.')[0]}, which is not installed; pip install 'rivalry[models]'"
        ) from error


def _said(error: Exception) -> str:
    """Another library's words, on one line and without what is of use to its authors only."""
    words = one_line(" ".join(str(error).split()))
    words = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : (Load model from \S* failed:)?(/\S+:\d+ .*?\) )?", "", words)
    return f"{words[:LENGTH]}..." if len(words) > LENGTH else words or type(error).__name__
