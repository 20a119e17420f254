from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from torch import Tensor, nn

from rivalry.codehash import code_hash
from rivalry.errors import RivalryError
from rivalry.external.building import bring
from rivalry.external.preflight import preflight
from rivalry.external.spec import code_in, has_gradients
from rivalry.training._recipe import Ready, training_method
from rivalry.types import Arguments, ClassNames, InputForm, Normalization, UserCode, WeightsFile


@training_method(source="", epochs=False, architecture=False)
def external(
    images: Tensor,
    labels: Tensor,
    *,
    model: UserCode,
    weights: WeightsFile | None = None,
    arguments: Arguments | None = None,
    normalize: Normalization | None = None,
    input: InputForm | None = None,
    outputs: Literal["logits", "probabilities", "sigmoid"] = "logits",
    classes: ClassNames | None = None,
) -> Ready:
    """A network from outside, trained already.

    Images are resized, given the channels and the range that the network wants, and normalised in front of it. All
    of that has gradients, so that attacks and their budgets are in the data set's own pixels. Nothing is trained.

    Parameters
    ----------
    model : str
        A class or function that gives a torch.nn.Module (`my_model.py:build`, `package.module:name`), a network of
        torchvision or timm (`torchvision:resnet50`), or a file with a TorchScript (.pt), ONNX or skops classifier.
    weights : str
        Its weights: safetensors, or a state dict or Lightning checkpoint that loads without running code. For a
        network of torchvision or timm also the name of published weights, such as DEFAULT.
    arguments : dict
        What the class or function is called with.
    normalize : dict
        What is done to the pixels at last, after `input`.
    input : dict
        What the network wants of images, where the data set has it otherwise.
    outputs : str
        What it gives: logits; probabilities, which become logits again and lose precision; sigmoid, one
        probability, that of the second of two classes. One logit of the second of two classes is logits.
    classes : list
        Of each output, the class of the data set, by name or number. Left out: in the data set's order.
    """

    def made(class_names: Sequence[str]) -> tuple[nn.Module, dict[str, Any]]:
        brought = bring(
            model,
            weights=weights,
            arguments=arguments,
            normalize=normalize,
            input=input,
            outputs=outputs,
            classes=classes,
            class_names=class_names,
        )
        warnings = preflight(
            brought.victim,
            images,
            labels,
            names=class_names,
            source=brought.code,
            gradients=has_gradients(model),
        )
        given = brought.victim.given(images.shape[1:])
        return brought.victim, {
            "code": _code(model),
            "files": brought.files,
            "notes": brought.notes,
            "warnings": warnings,
            "prepared": given,
        }

    return Ready(made)


def restore(facts: Mapping[str, Any]) -> nn.Module:
    """The classifier of a victim's facts, to be given the tensors that were stored of it.

    Raises
    ------
    RivalryError
        The user's code is another by now; or it cannot be built.
    """
    model = facts["parameters"]["model"]
    if facts["code"] != _code(model):
        raise RivalryError(f"{model}: is not the code that {facts['victim']} was brought with; bring it again")
    return bring(**facts["parameters"], class_names=facts["class_names"], learned=False).victim


def _code(model: str) -> str | None:
    """The hash of the user's code that a network is built by; None where there is none."""
    code = code_in(model)
    return code_hash(code) if code else None
