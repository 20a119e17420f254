"""A rubbish class: what is learned, and how a victim that refuses goes through attacks, tables and checks."""

from __future__ import annotations

import itertools
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rivalry import load_victim
from rivalry.artifacts import read_json, read_table, write_json, write_tensors
from rivalry.checks._evidence import Evidence
from rivalry.checks.images import images as images_repeat
from rivalry.checks.scoring import scoring
from rivalry.cli import main
from rivalry.config import Mistakes, load_config
from rivalry.errors import RivalryError
from rivalry.fooling._fooling import fool
from rivalry.layout import Layout
from rivalry.plan import Plan
from rivalry.report.tables.attacks import attacks as tables_of_attacks
from rivalry.report.tables.fooling import fooling as tables_of_fooling
from rivalry.report.tables.victims import victims as tables_of_victims
from rivalry.stages.attack import attack
from rivalry.stages.defend import defend
from rivalry.stages.evaluate import evaluate
from rivalry.stages.fool import fool as fool_stage
from rivalry.stages.tabulate import tabulate
from rivalry.stages.train import train
from rivalry.stages.transfer import transfer
from rivalry.statistics.columns import SCORES
from rivalry.statistics.merging import over_seeds
from rivalry.training._recipe import Recipe
from rivalry.training.defensive_distillation import defensive_distillation
from rivalry.training.rubbish_class import rubbish_class
from test_config import changed
from test_training import FITTING, PowerCut, learn, save_untrained, stripes, weights

ASCENT = {"method": "gradient_ascent", "steps": 20, "start": "noise"}


# ---- what is learned ----


@pytest.fixture
def fooled(tmp_path: Path) -> str:
    save_untrained(tmp_path / "fooled")
    return str(tmp_path / "fooled")


def rubbish_of(recipe: Recipe) -> tuple[Tensor, Tensor]:
    """The images of the rubbish class, and which of them are copies of each other."""
    assert recipe.images is not None
    assert recipe.sources is not None
    return recipe.images[recipe.targets == 3], recipe.sources[recipe.targets == 3]


def test_rubbish_is_what_fools_the_named_victim_as_often_as_asked(fooled: str) -> None:
    images, labels = stripes(300)
    recipe = rubbish_class(images, labels, victim=fooled, fooling=ASCENT, runs=5, times=0.5)
    assert recipe.images is not None
    assert recipe.labels is not None
    assert torch.equal(recipe.images[:300], images)
    assert torch.equal(recipe.labels[:300], labels)
    rubbish, sources = rubbish_of(recipe)
    assert len(rubbish) == 50  # half of an average class
    assert len(sources.unique()) == 15  # five runs for three classes
    assert (sources < -1).all()
    for source in sources.unique():
        assert len(rubbish[sources == source].flatten(1).unique(dim=0)) == 1
    victim = load_victim(fooled)
    sure = victim(rubbish.float() / 255).softmax(dim=1).amax(dim=1)
    assert sure.min() > victim(images.float() / 255).softmax(dim=1).amax(dim=1).mean()
    again = rubbish_class(images, labels, victim=fooled, fooling=ASCENT, runs=5, times=0.5)
    assert again.images is not None
    assert torch.equal(again.images, recipe.images)


def test_over_represented_and_mixed_with_noise(fooled: str) -> None:
    recipe = rubbish_class(*stripes(300), victim=fooled, fooling=ASCENT, runs=2, times=3, noise=0.5)
    rubbish, sources = rubbish_of(recipe)
    assert len(rubbish) == 300
    times = sources.unique(return_counts=True)[1].sort().values
    assert (times[:150] == 1).all()  # noise, each image once
    assert (times[150:] == 25).all()  # six images in turn
    assert len(times) == 156


def test_noise_alone_needs_no_fooling_image(fooled: str) -> None:
    rubbish, sources = rubbish_of(rubbish_class(*stripes(300), victim=fooled, fooling="map_elites_cppn", noise=1.0))
    assert len(rubbish) == len(sources.unique()) == 100
    assert 120 < rubbish.float().mean() < 135


def test_rubbish_that_is_none_is_told(fooled: str) -> None:
    with pytest.raises(RivalryError, match=r"^times: 0.001 times an average class of 100 images is none$"):
        rubbish_class(*stripes(300), victim=fooled, fooling=ASCENT, times=0.001)


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 4))


def test_interrupted_it_ends_with_the_same_bytes(fooled: str, tmp_path: Path) -> None:
    recipe = rubbish_class(*stripes(), victim=fooled, fooling=ASCENT, runs=5)
    losses = itertools.count(1)

    def cut(*batch: Any) -> Tensor:
        if next(losses) == 30:
            raise PowerCut
        return recipe.loss(*batch)

    whole, again = small(), small()
    outcome = learn(None, whole, recipe)
    with pytest.raises(PowerCut):
        learn(tmp_path / "cut", small(), replace(recipe, loss=cut))
    assert learn(tmp_path / "cut", again, recipe) == outcome
    assert torch.equal(weights(again), weights(whole))


# ---- a victim that refuses ----


class Refusing(nn.Module):
    """Three classes by the brightest third of the image; refuses what is dark everywhere."""

    reject_class = 3

    def forward(self, images: Tensor) -> Tensor:
        thirds = images.unflatten(2, (3, 2)).mean(dim=(1, 3, 4))
        return torch.cat([20 * thirds, (8 - 0 * thirds[:, :1]) - 10 * thirds.amax(dim=1, keepdim=True)], dim=1)


@pytest.mark.parametrize("method", ["gradient_ascent", "map_elites_direct", "map_elites_cppn"])
def test_there_is_no_fooling_image_for_refusal_and_refusing_is_no_success(method: str) -> None:
    made = fool(method, Refusing(), (1, 6, 6), 3, **({} if method == "gradient_ascent" else {"generations": 5}))
    assert len(made.images) == 3
    logits = Refusing()(made.images)
    assert torch.equal(made.predictions == -1, logits.argmax(dim=1) == 3)
    torch.testing.assert_close(made.confidence, logits.softmax(dim=1).diagonal())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """A plain victim and one with a rubbish class: attacked, replayed, smoothed, fooled, tabulated."""
    root = tmp_path_factory.mktemp("run")
    layout = Layout(root)
    data = layout.data("stripes").folder
    sums = {}
    for split, seed in (("train", 0), ("test", 1)):
        images, labels = stripes(300, seed)
        if split == "test":
            images[::10] = torch.randint(0, 256, images[::10].shape, dtype=torch.uint8)  # nothing to be seen
        write_tensors(data / f"{split}.safetensors", {"images": images, "labels": labels})
        sums[split] = split
    facts = {
        "dataset": "stripes",
        "source": "own",
        "shape": [1, 6, 6],
        "classes": 3,
        "class_names": ["a", "b", "c"],
        "sha256": sums,
    }
    write_json(data / "dataset.json", facts)
    places = {name: layout.victim("stripes", name).folder for name in ("plain", "rubbish")}
    options: dict[str, Any] = {"seed": 3, "accelerator": "cpu"}
    fit = FITTING | {"epochs": 12, "patience": 12}
    train("plain", "mlp512", {}, "plain", {"temperature": 1.0}, fit, data, places["plain"], **options)
    told = {"victim": str(places["plain"]), "fooling": ASCENT, "runs": 10, "noise": 0.8, "times": 2.0}
    train("rubbish", "mlp512", {}, "rubbish_class", told, fit, data, places["rubbish"], **options)
    smooth = layout.defense("stripes", "rubbish", "mean3").folder
    defend(
        "mean3",
        "spatial_smoothing",
        {"kind": "mean", "window": 3},
        data,
        places["rubbish"],
        smooth,
        victim_name="rubbish",
    )
    folders = [("plain", places["plain"]), ("rubbish", places["rubbish"]), ("rubbish+mean3", smooth)]
    for name, folder in folders:
        for method, parameters in (("fgsm", {"eps": [0.1, 0.3]}), ("random_noise", {"eps": [0.9]})):
            out = layout.attack("stripes", name, method).folder
            attack(method, method, parameters, data, folder, out, victim_name=name, images=300, accelerator="cpu")
    crafted = {
        name: [layout.attack("stripes", name, how).folder for how in ("fgsm", "random_noise")] for name, _ in folders
    }
    evaluate(
        data,
        smooth,
        layout.evaluation("stripes", "rubbish", "mean3").folder,
        oblivious=crafted["rubbish"],
        adaptive=crafted["rubbish+mean3"][:1],
        images=300,
        accelerator="cpu",
    )
    transfer(
        data, crafted["plain"], list(places.values()), layout.transfer("stripes", "plain").folder, accelerator="cpu"
    )
    out = layout.fooling("stripes", "rubbish", "ascent").folder
    fool_stage(
        "ascent",
        "gradient_ascent",
        {"steps": 20, "start": "noise"},
        data,
        places["rubbish"],
        out,
        victim_name="rubbish",
    )
    tabulate(root, layout.tables.folder, plan=plan())
    return layout


def plan() -> dict[str, Any]:
    return {
        "datasets": ["stripes"],
        "victims": [["stripes", "plain"], ["stripes", "rubbish"]],
        "attacks": [["stripes", v, a] for v in ("plain", "rubbish") for a in ("fgsm", "random_noise")],
        "evaluations": [["stripes", "rubbish", "mean3"]],
        "adaptive": [["stripes", "rubbish+mean3", "fgsm"]],
        "transfers": [["stripes", "plain"]],
        "fooling": [["stripes", "rubbish", "ascent"]],
        "poisonings": [],
        "kept_apart": [],
    }


def test_its_network_has_one_output_more_and_its_facts_say_what_it_refuses(run: Layout) -> None:
    place = run.victim("stripes", "rubbish")
    facts, predictions = read_json(place.facts), read_table(place["predictions"])
    assert facts["reject_class"] == 3
    assert facts["layers"][0]["output"] == [4]
    assert facts["refused_clean"] == (predictions["prediction"] == -1).mean()
    shown_nothing = predictions["index"] % 10 == 0
    assert (predictions[shown_nothing]["prediction"] == -1).mean() > 0.8
    assert (predictions[~shown_nothing]["prediction"] == -1).mean() < 0.1
    assert set(predictions["prediction"]) <= {-1, 0, 1, 2}
    # Refusing a clean image is an error.
    assert facts["clean_accuracy"] == (predictions["prediction"] == predictions["label"]).mean()
    victim = load_victim(place.folder)
    assert victim.reject_class == 3
    assert victim(torch.zeros(2, 1, 6, 6)).shape == (2, 4)
    plain = read_json(run.victim("stripes", "plain").facts)
    assert "reject_class" not in plain
    assert "refused_clean" not in plain


def test_refusing_helps_only_where_it_was_attacked(run: Layout) -> None:
    table = read_table(run.attack("stripes", "rubbish", "random_noise")["scores"])
    refused = table["prediction"] == -1
    assert (refused & table["attacked"]).mean() > 0
    assert (refused & ~table["attacked"]).mean() > 0
    assert not (table["success"] & refused).any()
    clean_right = table["clean_prediction"] == table["label"]
    assert (table["attacked"] == clean_right).all()  # a refused image is not attacked
    scores = SCORES.read(run.tables["scores"])
    row = scores[(scores["victim"] == "rubbish") & (scores["attack"] == "random_noise") & (scores["defense"] == "none")]
    held = clean_right & (refused | (table["prediction"] == table["label"]))
    assert row["clean_accuracy"].item() == clean_right.mean()
    assert row["adversarial_accuracy"].item() == held.mean()
    assert row["flagged_clean"].item() == (table["clean_prediction"] == -1).mean()
    assert row["flagged_adversarial"].item() == refused[table["attacked"]].mean()
    undefended = scores[scores["defense"] == "none"]
    assert (undefended["adversarial_accuracy"] <= undefended["clean_accuracy"]).all()
    assert undefended.loc[undefended["victim"] == "plain", "flagged_clean"].isna().all()


def test_a_preprocessor_before_it_lets_refusals_through(run: Layout) -> None:
    table = read_table(run.evaluation("stripes", "rubbish", "mean3")["scores"])
    assert (table["flagged"] == (table["prediction"] == -1)).all()
    assert table["flagged"].any()
    assert not (table["flagged"] & table["success"]).any()
    scores = SCORES.read(run.tables["scores"])
    rows = scores[scores["defense"] == "mean3"]
    assert set(rows["setting"]) == {"oblivious", "adaptive"}
    assert rows[["flagged_clean", "flagged_adversarial"]].notna().all().all()
    assert rows["auc"].isna().all()


def test_replayed_images_and_fooling_images_that_are_refused_are_no_success(run: Layout) -> None:
    table = read_table(run.transfer("stripes", "plain")["scores"])
    refused = table["prediction"] == -1
    assert refused.any()
    assert set(table.loc[refused, "victim"]) == {"rubbish"}
    assert not table.loc[refused, "success"].any()
    made = read_table(run.fooling("stripes", "rubbish", "ascent")["scores"])
    assert len(made) == 3
    assert (made["prediction"] >= -1).all()
    facts = read_json(run.fooling("stripes", "rubbish", "ascent").facts)
    assert facts["refused_rate"] == (made["prediction"] == -1).mean()
    assert facts["success_rate"] + facts["refused_rate"] <= 1
    never = {key: value for key, value in facts.items() if key != "refused_rate"}
    table = tables_of_fooling({"fooling": [never, facts], "checks": []}, "stripes")
    assert "refused_rate" in [column.key for column in table.columns]
    without = tables_of_fooling({"fooling": [never], "checks": []}, "stripes")
    assert "refused_rate" not in [column.key for column in without.columns]


def test_tables_of_the_report_say_what_is_refused(run: Layout) -> None:
    facts = [read_json(run.victim("stripes", name).facts) for name in ("plain", "rubbish")]
    scores = SCORES.read(run.tables["scores"]).to_dict("records")
    facts = over_seeds("victims", [fact | {"n_test": 1, "clean_low": 0.0, "clean_high": 1.0} for fact in facts], [])
    report: dict[str, Any] = {"victims": facts, "scores": over_seeds("scores", scores, []), "checks": []}
    assert "refused_clean" in [column.key for column in tables_of_victims(report, "stripes").columns]
    alone = report | {"victims": facts[:1]}
    assert "refused_clean" not in [column.key for column in tables_of_victims(alone, "stripes").columns]
    plain, rubbish = tables_of_attacks(report, "stripes")
    assert "flagged_adversarial" not in [column.key for column in plain.columns]
    assert "refuse" not in plain.note
    assert "flagged_adversarial" in [column.key for column in rubbish.columns]
    assert "an attacked image that is refused counts as held, a clean one that is refused as lost" in rubbish.note


def test_its_recorded_answers_repeat(run: Layout) -> None:
    evidence = Evidence(run, "stripes", plan(), "cpu")
    rows = [*images_repeat(evidence), *scoring(evidence)]
    assert {row["status"] for row in rows if row["check"] == "predictions repeat"} == {"pass"}
    assert {row["status"] for row in rows if row["check"] == "scored on its goal"} == {"pass"}


def test_a_student_does_not_learn_to_refuse(run: Layout) -> None:
    teacher = str(run.victim("stripes", "rubbish").folder)
    with pytest.raises(RivalryError, match=r"^teacher: .*rubbish may refuse images, which a student cannot learn"):
        defensive_distillation(*stripes(), teacher=teacher)


# ---- in a configuration ----


def configured(**keys: Any) -> dict[str, Any]:
    own = {"method": "rubbish_class", "architecture": "lenet5", "victim": "plain", "fooling": "ascent"} | keys
    content = changed("victims.rubbish", own)
    content["matches"][0]["victims"].append("rubbish")
    content["matches"][0]["defenses"] = ["median"]
    return content


def test_the_job_that_trains_it_makes_the_fooling_images_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rivalry.cli._limit_threads", lambda threads: None)
    monkeypatch.chdir(tmp_path)
    plan = Plan(load_config(configured()))
    told = plan.train_options("digits", "rubbish")
    assert main(["train", *shlex.split(told)]) == 1
    assert re.match(r"rivalry: results/data/digits/\S*: no such file", capsys.readouterr().err)
    assert main(["train", *shlex.split(told.replace("gradient_ascent", "gradient_descent"))]) == 1
    said = "rivalry: --set fooling: 'gradient_descent' is no fooling method; did you mean 'gradient_ascent'?"
    assert capsys.readouterr().err.startswith(said)
    assert 'fooling={"method": "gradient_ascent", ' in told
    assert 'victim="results/victims/digits/plain"' in told
    assert "rivalry.fooling.gradient_ascent" in plan.modules("train", "digits", "rubbish")
    assert plan.layout.victim("digits", "plain")["weights"] in plan.train_inputs("digits", "rubbish")
    assert "fooling.ascent" not in plan.unused()


@pytest.mark.parametrize(
    ("keys", "defenses", "line"),
    [
        (
            {},
            ["detector"],
            "matches[0].defenses: 'detector' cannot stand around 'rubbish', which may refuse an image by itself; only "
            "preprocessors can",
        ),
        (
            {"warm_start": "plain"},
            ["median"],
            "victims.rubbish.warm_start: 'rubbish' may refuse an image, for which its network has one output more than "
            "that of 'plain'; name another victim",
        ),
        (
            {"fooling": "descent"},
            ["median"],
            "victims.rubbish.fooling: 'descent' is not in fooling; did you mean 'ascent'?",
        ),
    ],
)
def test_what_does_not_fit_is_one_line(keys: dict[str, Any], defenses: list[str], line: str) -> None:
    content = configured(**keys)
    content["matches"][0]["defenses"] = defenses
    with pytest.raises(Mistakes) as caught:
        load_config(content)
    assert caught.value.lines == [f"config.yaml: {line}"]


def test_labels_are_not_smoothed_for_a_source_with_one_output_more() -> None:
    content = configured()
    ensemble = {"method": "ensemble_adversarial_training", "architecture": "lenet5", "sources": ["plain", "rubbish"]}
    content["victims"]["ensemble"] = ensemble | {"label_smoothing": 0.1}
    with pytest.raises(Mistakes) as caught:
        load_config(content)
    assert caught.value.lines == [
        "config.yaml: victims.ensemble.label_smoothing: 'rubbish' in sources may refuse an image, so that it has one "
        "output more than smoothed labels have; leave this key out, or name another victim"
    ]
    for keys in ({"label_smoothing": None}, {"label_smoothing": 0.1, "sources": ["plain"]}):
        content["victims"]["ensemble"] = ensemble | keys
        load_config(content)
