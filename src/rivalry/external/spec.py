"""What names a network that a user brings; read without importing it, or PyTorch."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from rivalry.errors import RivalryError, nearest
from rivalry.usercode import defined_names, source_file, syntax_tree

LIBRARIES = ("torchvision", "timm")
"""Packages whose networks have names: `torchvision:resnet50`."""
STORED = {".pt": "torchscript", ".pth": "torchscript", ".onnx": "onnx", ".skops": "skops"}
"""Files that hold a classifier with its weights, by their endings."""
OTHERS = {
    ".safetensors": "holds weights and no network; put it under weights, and the network's code here",
    ".pkl": "is a pickle, which runs code when it is read; save a scikit-learn classifier by skops.io.dump",
    ".pickle": "is a pickle, which runs code when it is read; save a scikit-learn classifier by skops.io.dump",
    ".joblib": "is a pickle, which runs code when it is read; save a scikit-learn classifier by skops.io.dump",
    ".h5": "is Keras's; export the network to ONNX",
    ".keras": "is Keras's; export the network to ONNX",
    ".ckpt": "holds weights and no network; put it under weights, and the network's code here",
    ".bin": "holds weights and no network; put it under weights, and the network's code here",
    ".pt2": "is a program of torch.export; name the network's code here, and its weights under weights",
}
FORMS = "my_model.py:build, package.module:name, torchvision:resnet50, timm:resnet18, or a .pt, .onnx or .skops file"


@dataclass(frozen=True)
class Spec:
    """A network as it is named.

    Attributes
    ----------
    kind : str
        "code", "torchvision", "timm", "torchscript", "onnx" or "skops".
    source : str
        The file of code or its dotted module; what a library calls the network; or the file that holds it.
    name : str
        Of code: the class or function in it. Else "".
    """

    kind: str
    source: str
    name: str = ""

    @property
    def of_library(self) -> bool:
        """Whether a library knows it by name, and may have published weights for it."""
        return self.kind in LIBRARIES

    @property
    def stored(self) -> bool:
        """Whether it is a file that has its weights, and takes no arguments."""
        return self.kind in STORED.values()


def code_in(text: str) -> str:
    """The user's code that a text names, as `rivalry.codehash` counts it; "" where it is a library's, or none."""
    named_by_library = text.partition(":")[0] in LIBRARIES
    return "" if named_by_library or Path(text).suffix.lower() in STORED else text


def has_gradients(text: str) -> bool:
    """Whether PyTorch runs the network that a text names, so that its logits have gradients."""
    return STORED.get(Path(text).suffix.lower(), "") not in ("onnx", "skops")


def names_network(text: str) -> bool:
    """Whether a text is meant to name a network, and not a folder that holds a victim."""
    return not Path(text).is_dir() and (":" in text or Path(text).suffix.lower() in {*STORED, *OTHERS, ".py"})


def parse(text: str) -> Spec:
    """What a text names.

    Raises
    ------
    RivalryError
        It names no network; one line that says what would be right, without the key's name.
    """
    before, colon, name = text.rpartition(":")
    if colon and before in LIBRARIES:
        if not name:
            raise RivalryError(f"'{text}' names no network; write {before}:resnet18")
        return Spec(before, name)
    suffix = Path(text).suffix.lower()
    if suffix in STORED:
        return Spec(STORED[suffix], text)
    if suffix in OTHERS:
        raise RivalryError(f"'{text}' {OTHERS[suffix]}")
    if suffix == ".py":
        raise RivalryError(f"'{text}' names a file and nothing in it; write {text}:name, of a class or function there")
    if not name.isidentifier() or not (
        before.endswith(".py") or all(part.isidentifier() for part in before.split("."))
    ):
        raise RivalryError(f"'{text}' names no network; write {FORMS}")
    if close := difflib.get_close_matches(before, LIBRARIES, n=1, cutoff=0.8):
        raise RivalryError(f"'{text}' is unknown; did you mean '{close[0]}:{name}'?")
    return Spec("code", before, name)


def found(text: str) -> Spec:
    """What a text names, once it is sure, as far as one can tell without running anything, that it is there.

    Raises
    ------
    RivalryError
        It is not; one line, without the key's name.
    """
    spec = parse(text)
    if spec.kind == "code":
        names = defined_names(syntax_tree(spec.source))
        if names is not None and spec.name not in names:
            raise RivalryError(f"{source_file(spec.source)} defines no '{spec.name}'; {nearest(spec.name, names)}")
    elif spec.stored and not Path(spec.source).is_file():
        raise RivalryError(f"'{spec.source}' {'is no file' if Path(spec.source).exists() else 'does not exist'}")
    return spec
