"""Facts about single self-checks, above all that none passes where there was nothing to look at.

The toy run is that of test_tables.py: images 0 to 3 are easy to turn, 4 to 6 hard, and 7 is never attacked.
"""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from rivalry import registry
from rivalry.artifacts import read_table, read_tensors, write_json, write_table, write_tensors
from rivalry.checks import _evidence as evidence
from rivalry.checks._evidence import Crafted
from rivalry.checks._rows import clearly, stronger
from rivalry.checks.again import BEST, LONGER
from rivalry.checks.images import _predict
from rivalry.checks.scoring import _monotone, _replayed
from rivalry.checks.strength import _sizes, masking
from rivalry.layout import Layout
from rivalry.statistics.rates import wilson_interval
from rivalry.usermethods import read as read_plugins
from test_tables import ALL, LABELS, Run, Toy, row, status, toy_images

EASY = torch.arange(4)
NEVER = torch.tensor([7])
PLACE = Layout().victim("toy", "plain")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    use(monkeypatch, Toy())
    run = Run(tmp_path)
    run.victim()
    return run


def use(monkeypatch: pytest.MonkeyPatch, module: nn.Module) -> None:
    """Make a module every victim of the run."""
    monkeypatch.setattr(evidence, "load_victim", lambda folder: module)


def defend(run: Run, rows: Tensor = ALL, oblivious: float = 1.0, adaptive: float = 1.0, stops: bool = True) -> None:
    """A defense, and fgsm against it by attackers of two strengths: one that does not know it, one that does."""
    run.plan["evaluations"].append(["toy", "plain", "bid"])
    layout = Layout(run.results)
    write_json(layout.defense("toy", "plain", "bid").facts, {"kind": "detector", "method": "bid"})
    tables = []
    for setting, strength in (("oblivious", oblivious), ("adaptive", adaptive)):
        run.attack("fgsm", (0.2, 0.4), victim="plain+bid", rows=rows, strength=strength, stops=stops)
        table = read_table(layout.attack("toy", "plain+bid", "fgsm")["scores"])
        tables.append(table.assign(attack="fgsm", setting=setting))
    write_table(layout.evaluation("toy", "plain", "bid")["scores"], pd.concat(tables))


def crowd(run: Run, rows: Tensor, strength: float) -> None:
    """An attack of each kind, each with its partner, all on the same images and as strong."""
    common: dict[str, Any] = {"rows": rows, "strength": strength}
    many = {"stops": True, "method": "pgd"} | common
    few = {"sees": "decisions", "stops": True, "method": "hopskipjump"} | common
    run.attack("noise", (0.2, 0.4), rows=rows, strength=0, sees="nothing")
    run.attack("fgsm", (0.2, 0.4), **common)
    run.attack("pgd", (0.2, 0.4), parameters={"steps": 20, "step_size": 0.02}, **many)
    run.attack("pgd_long", (0.2, 0.4), parameters={"steps": 40, "step_size": 0.02}, **many)
    run.attack("square", (0.2, 0.4), sees="scores", **common)
    run.attack("deepfool", None, stops=True, **common)
    run.attack("hopskipjump", None, parameters={"iterations": 4}, **few)
    run.attack("hopskipjump_long", None, parameters={"iterations": 12}, **few)
    run.victim("distilled", method="defensive_distillation")
    run.attack("fgsm", (0.2, 0.4), victim="distilled", **common)
    run.plan["transfers"].append(["toy", "distilled"])
    layout = Layout(run.results)
    replayed = read_table(layout.attack("toy", "distilled", "fgsm")["scores"])
    replayed = replayed.assign(attack="fgsm", victim="plain")
    write_table(layout.transfer("toy", "distilled")["scores"], replayed)
    defend(run, rows, strength, strength)


ABOUT_VICTIMS = {"logits", "passes agree", "gradients", "unbounded attack succeeds"}
ABOUT_FILES = {"images in [0,1]", "budget kept", "only attackable images touched", "predictions repeat", "same images"}
ABOUT_DATA = {"splits apart", "one label an image"}
ABOUT_STRENGTH = {
    *("iterative at least single-step", "white-box at least noise", "black box at most white box"),
    *("adaptive at least oblivious", "white-box at least transfer", "converged"),
}
ABOUT_SUCCESS = {"success grows with eps", "scored on its goal"}
AGAIN = {LONGER, BEST}


@pytest.mark.parametrize(
    ("rows", "strength", "passing", "warning"),
    [
        (NEVER, 1.0, set(), ABOUT_STRENGTH | ABOUT_SUCCESS | AGAIN),
        (ALL, 0.0, ABOUT_STRENGTH | ABOUT_SUCCESS | {BEST}, {"distance converged", LONGER}),
        (EASY, 1.0, ABOUT_STRENGTH | ABOUT_SUCCESS | AGAIN | {"distance converged"}, set()),
        (EASY[:1], 1.0, ABOUT_STRENGTH | ABOUT_SUCCESS | AGAIN | {"distance converged"}, set()),
    ],
    ids=["nothing attacked", "no success", "all success", "one image"],
)
def test_what_could_not_be_looked_at_never_passes(run, rows, strength, passing, warning):
    crowd(run, rows, strength)
    found = run.checks().groupby("check")["status"].agg(set).to_dict()
    passing = passing | ABOUT_FILES | ABOUT_DATA | ABOUT_VICTIMS
    assert found == {check: {"pass"} for check in passing} | {check: {"warn"} for check in warning}
    assert "nan" not in " ".join(run.checks()["found"])


def test_one_attack_alone_is_compared_with_nothing(run):
    assert set(run.checks()["check"]) == ABOUT_DATA | ABOUT_VICTIMS
    run.attack("fgsm", (0.4,))
    found = run.checks()
    assert set(found["check"]) == ABOUT_DATA | ABOUT_VICTIMS | ABOUT_FILES | {"scored on its goal", BEST}
    assert set(found["status"]) == {"pass"}


def test_one_eps_at_which_nothing_was_attacked_is_told(run):
    run.attack("fgsm", (0.2, 0.4, 0.6))
    file = Layout(run.results).attack("toy", "plain", "fgsm")["scores"]
    scores = read_table(file)
    scores.loc[scores["eps"] == 0.4, ["attacked", "success"]] = False
    write_table(file, scores)
    found = run.checks().query("check == 'success grows with eps'")
    assert found[["status", "eps"]].to_numpy().tolist() == [["warn", "0.4"], ["pass", ""]]


def test_a_victim_that_answers_nan_agrees_with_nothing(run, monkeypatch):
    use(monkeypatch, Toy(lambda logits: logits * torch.nan))
    found = run.checks()
    assert status(found, "logits") == ["fail"]
    assert status(found, "passes agree") == ["warn"]


def test_no_fooling_image_is_no_pass(run):
    place = Layout(run.results).fooling("toy", "plain", "ascent")
    write_tensors(place["images"], {"images": torch.zeros(0, 1, 1, 3)})
    write_table(place["scores"], pd.DataFrame({"target": [0], "confidence": [0.9]})[:0])
    run.plan["fooling"].append(["toy", "plain", "ascent"])
    assert status(run.checks(), "fooling images repeat") == ["warn"]


def test_images_that_the_table_lacks_or_has_too_many_of_are_found(run):
    run.attack("fgsm", (0.4,))
    file = Layout(run.results).attack("toy", "plain", "fgsm")["images"]
    tensors = read_tensors(file)
    for change in ({"images": tensors["images"][:3]}, {"index": tensors["index"].flip(0)}):
        write_tensors(file, tensors | change)
        assert status(run.checks(), "predictions repeat") == ["fail"]


@pytest.mark.parametrize(
    ("lost", "won", "n", "verdict"),
    [
        (1, 0, 20, False),  # one image, whatever its share
        (4, 0, 7, True),
        (9, 1, 1000, False),  # below a point
        (10, 10, 50, False),
        (12, 6, 200, False),  # as 18 coins may fall: 9 +- 2.1
        (30, 10, 200, True),
    ],
)
def test_weaker_beyond_noise(lost, won, n, verdict):
    assert clearly(lost, won, n) is verdict


@pytest.mark.parametrize(
    ("oblivious", "adaptive", "stops", "verdicts"),
    [
        (1.0, 1.0, True, ["pass", "pass"]),
        (0.5, 1.0, True, ["pass", "pass"]),
        (1.0, 0.5, True, ["fail", "warn"]),  # at .2 the four easy images are lost, at .4 the three hard ones
        (1.0, 0.5, False, ["warn", "warn"]),  # one step
    ],
)
def test_an_attacker_who_knows_the_defense_does_no_worse(run, oblivious, adaptive, stops, verdicts):
    defend(run, oblivious=oblivious, adaptive=adaptive, stops=stops)
    found = run.checks().query("check == 'adaptive at least oblivious'")
    assert found["status"].tolist() == verdicts
    touched = [["plain", "bid", "fgsm", "0.2"], ["plain", "bid", "fgsm", "0.4"]]
    assert found[["victim", "defense", "attack", "eps"]].to_numpy().tolist() == touched


class Guarded(Toy):
    """Refuses every image but the test images."""

    reject_class = 3

    def forward(self, images: Tensor) -> Tensor:
        logits = super().forward(images)
        known = (images.flatten(1)[:, None] - toy_images().flatten(1) / 255).abs().amax(dim=2).amin(dim=1)
        return torch.cat([logits, 1000 * (known.detach()[:, None] - 1e-4)], dim=1)


@pytest.mark.parametrize(
    ("victim", "verdict"),
    [
        (Toy(), "pass"),
        (Toy(lambda logits: 1000 * logits), "warn"),  # so sure that its slopes are less than the least float32
        (Toy(lambda logits: logits.detach()), "warn"),  # only square finds the way
        (Toy(lambda logits: 0 * logits + torch.tensor([1.0, 0, 0])), "fail"),  # nothing moves it
        (Guarded(), "fail"),  # what fools it is refused, and no slope leads to what is not
        (Toy(lambda logits: logits.roll(1, dims=1)), "warn"),  # always wrong: nothing to attack
    ],
)
def test_an_unbounded_attack_fools_everything(run, monkeypatch, victim, verdict):
    use(monkeypatch, victim)
    found = row(run.checks(), check="unbounded attack succeeds")
    assert found["status"] == verdict
    assert found[["victim", "defense", "attack"]].tolist() == ["plain", "none", ""]


@pytest.mark.parametrize(
    ("planted", "flagged", "indices", "largest", "verdict", "said"),
    [
        (2, [2], [0.1, 0.5, 4.0], None, "pass", "flags class 2"),
        (None, [], [0.1, 0.5, 1.0], None, "pass", "flags no class"),
        (2, [0, 2], [3.0, 0.5, 4.0], None, "warn", "class 0 innocent"),
        (2, [], [0.1, 0.5, 1.0], None, "warn", "missed"),
        (None, [1], [0.1, 4.0, 1.0], None, "warn", "class 1 innocent"),
        (None, [], [None, None, None], None, "warn", "could have stood out"),
        (None, [], [0.67, 0.67], 0.67, "warn", "could have stood out"),
        ("next", [1, 2], [0.5, 4.0, 3.0], None, "pass", "one from each class to the next"),
        ("next", [], [0.5, 0.6, 0.7], None, "warn", "missed"),
    ],
)
def test_classes_without_a_backdoor_are_innocent(run, planted, flagged, indices, largest, verdict, said):
    defend(run)
    facts = {"flagged": flagged, "anomaly_index": indices, "largest_index": largest}
    about = {"parameters": {"anomaly": 2.0}, "facts": facts, "backdoor_target": planted}
    about["innocent_flagged"] = [label for label in flagged if planted not in (label, "next")]
    write_json(run.results / "defenses/toy/plain/bid/defense.json", about)
    found = row(run.checks(), check="only the backdoor's class flagged")
    assert found[["status", "victim", "defense"]].tolist() == [verdict, "plain", "bid"]
    assert said in found["found"]


@pytest.mark.parametrize(
    ("hits", "control", "flagged", "verdict", "said"),
    [
        (0, 0, [], "pass", "which does not work (0.0 % of 100 images; on a clean victim 0.0 %)"),
        (3, 2, [], "pass", "which does not work (3.0 % of 100 images; on a clean victim 2.0 %)"),
        (0, 0, [2], "warn", "which does not work"),
        (99, 0, [], "warn", "class 2: it is missed"),
        (99, 0, [2], "pass", "the victim has one in class 2"),
        (99, 99, [], "pass", "which does not work"),  # whatever it does, it does without poison
        (0, None, [], "warn", "class 2: it is missed"),  # without a control, who knows
    ],
)
def test_a_backdoor_that_does_not_work_is_not_missed(run, hits, control, flagged, verdict, said):
    defend(run)
    facts = {"flagged": flagged, "anomaly_index": [0.1, 0.5, 1.0], "largest_index": None}
    about = {"parameters": {"anomaly": 2.0}, "facts": facts, "backdoor_target": 2, "innocent_flagged": []}
    write_json(run.results / "defenses/toy/plain/bid/defense.json", about)
    low, high = wilson_interval(hits, 100)
    row_ = {"dataset": "toy", "attack": "trigger", "victim": "plain", "poisoning": "corner", "class": "", "n": 100}
    row_ |= {"success_rate": hits / 100, "low": low, "high": high, "control": ""}
    if control is not None:
        ends = dict(zip(("control_low", "control_high"), wilson_interval(control, 100), strict=True))
        row_ |= {"control": "clean", "control_rate": control / 100} | ends
    run.triggers = [row_]
    found = row(run.checks(), check="only the backdoor's class flagged")
    assert found["status"] == verdict
    assert said in found["found"]


@pytest.mark.parametrize(("stops", "verdict"), [(True, "pass"), (False, "warn")])
def test_a_distance_that_still_falls_has_not_converged(run, stops, verdict):
    run.attack("short", None, sees="decisions", method="hopskipjump", parameters={"iterations": 4}, stops=stops)
    run.attack("long", None, sees="decisions", method="hopskipjump", parameters={"iterations": 12}, stops=True)
    found = row(run.checks(), check="distance converged")
    assert found[["status", "attack", "eps"]].tolist() == [verdict, "short long", ""]


@pytest.mark.parametrize(("stops", "verdict"), [(True, "pass"), (False, "warn")])
def test_a_decision_attack_is_set_beside_gradients_where_no_longer_run_is(run, stops, verdict):
    run.attack("deepfool", None, stops=True)
    run.attack("hopskipjump", None, sees="decisions", stops=stops)
    found = row(run.checks(), check="distance converged")
    assert found[["status", "attack"]].tolist() == [verdict, "hopskipjump"]


def test_images_that_only_a_decision_attack_fools_betray_masked_gradients(run):
    run.attack("deepfool", None, strength=0.0)
    run.attack("hopskipjump", None, sees="decisions", stops=True)
    found = row(run.checks(), check="black box at most white box")
    assert found[["status", "images", "attack"]].tolist() == ["fail", "0, 1, 2, 3, 4, 5, 6", "deepfool"]


def test_entries_that_differ_in_more_than_effort_are_not_set_side_by_side(run):
    run.attack("pgd", (0.4,), method="pgd", parameters={"steps": 20, "restarts": 1})
    run.attack("other", (0.4,), method="pgd", parameters={"steps": 40})
    run.attack("third", (0.4,), method="pgd", parameters={"steps": 40, "momentum": 1.0})
    assert status(run.checks(), "converged") == []


def test_a_test_image_that_was_trained_on_is_found(run):
    images = toy_images() + 1
    images[2] = toy_images()[6]
    write_tensors(run.results / "data/toy/train.safetensors", {"images": images, "labels": LABELS})
    found = run.checks()
    assert row(found, check="one label an image", subject="training split")["status"] == "fail"  # class 2, not 0
    found = row(found, check="splits apart")
    assert found[["status", "images", "victim", "attack"]].tolist() == ["fail", "6", "", ""]


def test_an_image_under_two_labels_is_found(run):
    labels = LABELS.clone()
    labels[3] = 1
    write_tensors(run.results / "data/toy/test.safetensors", {"images": toy_images(), "labels": labels})
    found = row(run.checks(), check="one label an image")
    assert found[["status", "images"]].tolist() == ["fail", "0, 3"]


def test_few_shared_images_are_a_warning_and_none_a_pass(run):
    pictures = torch.arange(200, dtype=torch.uint8).view(200, 1, 1, 1).repeat(1, 1, 1, 3)
    for name, images in (("test", pictures), ("train", pictures[100:101])):
        write_tensors(
            run.results / f"data/toy/{name}.safetensors",
            {"images": images, "labels": torch.zeros(len(images), dtype=torch.int64)},
        )
    found = run.checks()
    assert row(found, check="splits apart")[["status", "images"]].tolist() == ["warn", "100"]
    assert row(found, check="one label an image")["status"] == "pass"


def test_success_that_a_detector_stops_says_so() -> None:
    """Three images fall at the small eps; at the large one two are refused (class 3 of 3) and one is right."""
    rows = pd.DataFrame({"index": range(40), "attacked": True, "success": True, "prediction": 1})
    above = rows.assign(success=rows["index"] >= 30, prediction=[3] * 20 + [0] * 10 + [1] * 10)
    crafted = SimpleNamespace(
        subject="square on plain+bid", touched={}, single=False, budgets=[(0.1, rows), (0.2, above)]
    )
    (found,) = _monotone(crafted, 3)
    assert found["status"] == "fail"
    assert found["found"].endswith("of the 30 images that no longer fall, 20 are refused")


def test_what_ignores_a_defense_and_succeeds_less_with_more_is_remarked_on() -> None:
    scores = pd.DataFrame({"eps": [0.1] * 10 + [0.2] * 10, "attacked": True, "success": [True] * 5 + [False] * 15})
    scores = scores.assign(index=[*range(10), *range(10)], flagged=[False] * 13 + [True] * 7)
    (found,) = _replayed("fgsm", scores, "plain", "bid")
    assert (found["status"], found["eps"]) == ("warn", 0.2)
    assert (
        "falls by 50.0 points from eps 0.1 to 0.2; of the 5 images that no longer fool, 2 are refused" in found["found"]
    )
    (found,) = _replayed("fgsm", scores.assign(flagged=False), "plain", "bid")
    assert found["found"].endswith("from eps 0.1 to 0.2")
    assert list(_replayed("fgsm", scores.assign(success=True), "plain", "bid")) == []
    assert list(_replayed("fgsm", scores[:10], "plain", "bid")) == []


def test_a_victim_without_an_answer_repeats_itself() -> None:
    """NaN is recorded as no answer (-2), and predicted as such again."""
    predicted, _ = _predict(lambda images: torch.full((len(images), 3), torch.nan), torch.zeros(2, 1, 4, 4))
    assert predicted.tolist() == [-2, -2]


def test_only_attacks_that_seek_the_smallest_change_are_compared_by_it() -> None:
    """One pixel has neither an eps nor a smallest change: its sizes say nothing beside JSMA's."""
    rows = pd.DataFrame({"index": range(4), "attacked": True, "success": True, "l0": 1.0})
    gradient = {"attack": "jsma", "sees": "gradients", "budget": "minimal"}
    found = {}
    for budget in ("fixed", "minimal"):
        blind = {"attack": "one_pixel", "sees": "scores", "budget": budget}
        sets = [
            SimpleNamespace(
                facts=facts,
                budgets=[(math.nan, rows)],
                subject="s",
                size="l0",
                touched={},
                same_game=lambda _: True,
            )
            for facts in (blind, gradient)
        ]
        found[budget] = list(masking(SimpleNamespace(crafted=sets)))
    assert (len(found["fixed"]), len(found["minimal"])) == (0, 1)


def test_what_was_fitted_beforehand_is_no_single_step() -> None:
    scores = pd.DataFrame({"iterations": [0, 0]})
    assert Crafted(PLACE, PLACE, {"fits": None}, scores).single
    assert not Crafted(PLACE, PLACE, {"fits": [{"queries": 9}]}, scores).single


@pytest.mark.parametrize(
    ("eps", "strength", "verdict", "fell"),
    [
        (0.08, 0.1, "pass", []),  # no image is so near
        (0.16, 0.1, "warn", [0, 1, 2, 3]),  # the easy ones are
        (0.4, 1.0, "pass", []),  # none withstood it
    ],
)
def test_what_withstood_an_attack_meets_twice_the_steps(run, eps, strength, verdict, fell):
    settings = {"steps": 4, "eps_step": eps / 4}
    run.attack("i_fgsm", (eps,), strength=strength, stops=True, parameters=settings)
    found = run.checks().query(f"check == '{LONGER}'")
    assert found["status"].tolist() == [verdict]
    assert found["images"].tolist() == [", ".join(map(str, fell))]
    if verdict == "warn":
        assert "from 4 to 8 steps, 4 of 7 images fall that withstood it" in found["found"].item()


FORGETFUL = '''
from torch import Tensor

from rivalry.plugins import Goal, Gradients, NonNegative, Random, attack


@attack(sees="gradients", goals=["untargeted"], norms=["inf"], budget="fixed")
def forgetful(victim: Gradients, images: Tensor, goal: Goal, random: Random, *, eps: NonNegative = 0.3) -> Tensor:
    """Asks about a step and forgets it.

    Parameters
    ----------
    eps : float
        Linf budget.
    """
    _, _, gradient = victim.loss_gradient(images, goal)
    victim.logits((images + LENGTH * gradient.sign()).clamp(0, 1))
    return images
'''


@pytest.mark.parametrize(("length", "verdict"), [("eps", "warn"), ("0.5 * eps", "pass"), ("2 * eps", "pass")])
def test_an_attack_that_passes_by_what_it_wants_is_found(run, tmp_path, length, verdict):
    file = tmp_path / "mine.py"
    file.write_text(FORGETFUL.replace("LENGTH", length))
    run.attack("forgetful", (0.2,), strength=0.1, stops=True)
    with registry.using(read_plugins([file])):
        found = run.checks().query(f"check == '{BEST}'")
    assert found["status"].tolist() == [verdict]
    assert found["images"].tolist() == ["0, 1, 2, 3" if verdict == "warn" else ""]


def test_what_one_answer_of_a_random_victim_says_of_an_image_is_no_fault_of_the_attack(run, tmp_path, monkeypatch):
    victim = Toy()
    victim.draws = 4
    use(monkeypatch, victim)
    file = tmp_path / "mine.py"
    file.write_text(FORGETFUL.replace("LENGTH", "eps"))
    run.attack("forgetful", (0.2,), strength=0.1, stops=True)
    with registry.using(read_plugins([file])):
        assert run.checks().query(f"check == '{BEST}'").empty


@pytest.mark.parametrize(
    ("lost", "won", "verdict"),
    [(0, 0, "pass"), (9, 0, "pass"), (10, 40, "warn"), (10, 0, "warn"), (11, 0, "fail"), (40, 40, "warn")],
)
def test_fewer_than_one_image_in_a_hundred_is_noise(lost: int, won: int, verdict: str) -> None:
    rows = pd.DataFrame({"index": range(1000), "attacked": True, "success": True})
    strong, weak = (
        rows.assign(success=rows["index"].ge(first) & rows["index"].lt(last))
        for first, last in ((lost, 1000), (0, 1000 - won))
    )
    assert stronger("check", "subject", strong, weak)["status"] == verdict


@pytest.mark.parametrize(
    ("lost", "won", "verdict", "words"),
    [
        (9, 0, "pass", "success falls by 0.9 points at most: 100.0 % to 99.1 % over 2 eps"),
        (40, 31, "pass", "success falls by 0.9 points at most: 96.9 % to 96.0 % over 2 eps"),
        (40, 30, "warn", "success falls by 1.0 points from eps 0.1 to 0.2"),
        (11, 0, "fail", "success falls by 1.1 points from eps 0.1 to 0.2"),
        (0, 9, "pass", "success never falls: 99.1 % to 100.0 % over 2 eps"),
    ],
)
def test_a_fall_of_less_than_a_point_from_one_eps_to_the_next_is_noise(lost, won, verdict, words) -> None:
    images = pd.DataFrame({"index": range(1000), "attacked": True, "prediction": 0, "flagged": False})
    small, large = images.assign(eps=0.1, success=images["index"] < 1000 - won), images.assign(eps=0.2, success=True)
    large["success"] = large["index"] >= lost
    crafted = SimpleNamespace(budgets=[(0.1, small), (0.2, large)], subject="fgsm on plain", touched={}, single=False)
    (found,) = _monotone(crafted, classes=10)  # type: ignore[arg-type]
    assert (found["status"], found["found"]) == (verdict, words)
    shown = list(_replayed("fgsm", pd.concat([small, large]), "plain", "median"))
    assert len(shown) == (verdict != "pass")


@pytest.mark.parametrize(
    ("smaller", "lost", "verdict"),
    [
        (0, 0, "pass"),
        (9, 0, "pass"),
        (10, 0, "warn"),
        (501, 0, "fail"),
        (0, 9, "pass"),
        (0, 10, "warn"),
        (0, 11, "fail"),
    ],
)
def test_of_smallest_changes_fewer_than_one_image_in_a_hundred_is_noise(smaller: int, lost: int, verdict: str) -> None:
    images = pd.DataFrame({"index": range(1000), "attacked": True, "success": True, "l2": 1.0})
    blind = images.assign(l2=images["l2"].where(images["index"] >= smaller, 0.5))
    seeing = images.assign(success=images["index"] < 1000 - lost)
    found = _sizes(SimpleNamespace(size="l2"), "subject", seeing, [seeing], blind, {})  # type: ignore[arg-type]
    assert found["status"] == verdict
