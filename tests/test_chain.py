"""Facts about preprocessors in a chain, and about how a configuration names them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
import torch

from rivalry import registry
from rivalry.cli import main
from rivalry.config import Mistakes, load_config
from rivalry.defenses._defended import Preprocessed, Randomised
from rivalry.defenses.bit_depth import BitDepthReduction
from rivalry.defenses.chain import _joined, chain
from rivalry.defenses.spatial_smoothing import Smoothing
from rivalry.errors import RivalryError
from rivalry.plan import Plan
from rivalry.victims import load_victim
from test_preprocessors import Linear, pictures

SHAPE = (1, 12, 12)
BITS: dict[str, Any] = {"method": "bit_depth", "bits": 1}
MEDIAN: dict[str, Any] = {"method": "spatial_smoothing", "kind": "median"}
MEAN: dict[str, Any] = {"method": "spatial_smoothing", "kind": "mean"}
NOISY: dict[str, Any] = {"method": "denoising_autoencoder", "epochs": 1, "width": 2, "draws": 3}
CONFIG: dict[str, Any] = {
    "datasets": {"digits": {"source": "digits", "train_images": 60, "images": 20}},
    "victims": {"plain": {"method": "scikit_learn", "architecture": "linear"}},
    "attacks": {"fgsm": {"method": "fgsm", "eps": 0.2}},
    "defenses": {
        "bits": BITS,
        "median": MEDIAN,
        "both": {"method": "chain", "steps": ["bits", "median"]},
    },
    "matches": [{"datasets": ["digits"], "victims": ["plain"], "attacks": ["fgsm"], "defenses": ["both"]}],
}


def chained(*steps: dict[str, Any]) -> tuple[torch.nn.Module, dict[str, Any]]:
    images = pictures(SHAPE)
    labels = torch.zeros(len(images), dtype=torch.int64)
    made = chain(Linear(SHAPE), images, labels, 5, 8, steps=list(steps))
    return made.module, made.facts


def test_the_victim_sees_what_the_last_made_of_what_the_others_made() -> None:
    module, facts = chained(BITS, MEAN)
    images = pictures(SHAPE).float() / 255
    assert isinstance(module, Preprocessed)
    seen = Smoothing("mean", 3)(BitDepthReduction(1)(images))
    assert torch.equal(module(images), module.victim(seen))
    assert not torch.equal(seen, BitDepthReduction(1)(Smoothing("mean", 3)(images)))
    assert facts == {"steps": [{}, {}]}


def test_gradients_go_through_stand_ins_and_through_what_has_its_own() -> None:
    module, _ = chained(BITS, {"method": "low_pass", "cutoff": 0.5})
    leaf = (pictures(SHAPE).float() / 255).requires_grad_(True)
    (slope,) = torch.autograd.grad(module(leaf)[:, 0].sum(), leaf)
    assert (slope != 0).all()


@pytest.mark.parametrize("steps", [(BITS, MEDIAN), (NOISY, BITS), (MEDIAN, NOISY, NOISY)], ids=len)
def test_a_stored_chain_answers_the_same(steps: tuple[dict[str, Any], ...]) -> None:
    module, found = chained(*steps)
    facts = {"parameters": {"steps": list(steps)}, "facts": found, "seed": 5, "shape": SHAPE, "classes": 3}
    again = registry.method("defenses", "chain").load("restore")(module.victim, facts)
    own = {key: value for key, value in module.state_dict().items() if not key.startswith("victim.")}
    assert not again.load_state_dict(own, strict=False).unexpected_keys
    images = pictures(SHAPE).float()[:5] / 255
    assert torch.equal(again(images), module(images))


def test_one_that_draws_makes_the_chain_draw() -> None:
    module, _ = chained(NOISY, MEAN)
    assert isinstance(module, Randomised)
    assert module.draws == 3
    images = pictures(SHAPE).float()[:5] / 255
    before = module(images)
    assert torch.equal(before, module(images))
    module.redraw()
    assert not torch.equal(before, module(images))


def test_a_detector_is_no_part_of_a_chain() -> None:
    with pytest.raises(Mistakes, match=r"defenses\.both\.steps: 'nc' is a transformer; a chain is of preprocessors"):
        load_config(
            CONFIG
            | {
                "defenses": {
                    "bits": BITS,
                    "nc": {"method": "neural_cleanse"},
                    "both": {"method": "chain", "steps": ["bits", "nc"]},
                }
            },
            "config.yaml",
        )
    with pytest.raises(RivalryError, match="a chain is of preprocessors, and Linear is none"):
        _joined([Linear(SHAPE)], Linear(SHAPE), 0)


@pytest.mark.parametrize(
    ("steps", "fault"),
    [
        (["bits", "medain"], r"defenses\.both\.steps: 'medain' is not in defenses; did you mean 'median'"),
        (["bits", "both"], r"defenses\.both\.steps: goes in a circle: both -> both"),
        (["bits"], r"defenses\.both\.steps: "),
    ],
)
def test_a_wrong_chain_is_one_line(steps: list[str], fault: str) -> None:
    defenses = CONFIG["defenses"] | {"both": {"method": "chain", "steps": steps}}
    with pytest.raises(Mistakes, match=fault):
        load_config(CONFIG | {"defenses": defenses}, "config.yaml")


def test_a_chain_s_job_is_told_its_steps_in_full_and_depends_on_their_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rivalry.cli._limit_threads", lambda threads: None)
    plan = Plan(load_config(CONFIG, "config.yaml"))
    assert plan.unused() == []
    modules = plan.modules("attack", "digits", "plain+both", "fgsm")
    assert {"rivalry.defenses.chain", "rivalry.defenses.bit_depth", "rivalry.defenses.spatial_smoothing"} <= {*modules}
    main(["prepare", *shlex.split(plan.prepare_options("digits"))])
    main(["train", *shlex.split(plan.train_options("digits", "plain"))])
    assert main(["defend", *shlex.split(plan.defend_options("digits", "plain", "both"))]) == 0
    module = load_victim(plan.layout.defense("digits", "plain", "both").folder)
    first, second = module.preprocessor
    assert (first.steps, second.kind, second.window) == (1, "median", 3)


def test_a_wrong_step_on_the_command_line_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    told = 'steps=[{"method": "bit_depth", "bits": 9}, "spatial_smoothing"]'
    words = "--defense c --method chain --data d --victim v --output o --victim-name v --set"
    assert main(["defend", *words.split(), told]) != 0
    assert "--set steps[0].bits: 9" in capsys.readouterr().err
