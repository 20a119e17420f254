"""Figures state their numbers in words, look the same everywhere, and are drawn alike each time."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pandas as pd
import pytest

import synthetic_results
from rivalry import artifacts
from rivalry.figures.results import Results
from rivalry.figures.style import CONTROLS, INK, look
from rivalry.report.worst_case import worst_cases
from rivalry.stages.draw import FIGURES, draw
from synthetic_results import CONFIG, DATASETS, PLAN


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic_results.make(tmp_path_factory.mktemp("run") / "results")


@pytest.fixture(scope="module")
def drawn(results: Path) -> Path:
    output = results / "figures" / "digits"
    draw(results, output, dataset="digits", plan=PLAN, confidence=CONFIG["confidence"])
    return output


def test_every_figure_is_drawn_when_its_data_exists(drawn: Path) -> None:
    listed = artifacts.read_json(drawn / "figures.json")
    assert listed["absent"] == []
    assert {figure["kind"] for figure in listed["figures"]} == set(FIGURES)
    assert len({figure["name"] for figure in listed["figures"]}) == len(listed["figures"])
    for figure in listed["figures"]:
        assert (drawn / figure["files"]["svg"]).is_file()
        assert (drawn / figure["files"]["pdf"]).read_bytes().startswith(b"%PDF")


def test_alt_texts_state_numbers_and_captions_say_how_to_read(drawn: Path) -> None:
    for figure in artifacts.read_json(drawn / "figures.json")["figures"]:
        assert re.search(r"\d", figure["alt"]), figure["name"]
        assert len(figure["caption"]) > 100, figure["name"]


def test_alt_text_of_accuracy_holds_the_table_s_numbers(results: Path, drawn: Path) -> None:
    figures = {figure["name"]: figure for figure in artifacts.read_json(drawn / "figures.json")["figures"]}
    scores = Results(results, "digits", PLAN, 0.95).undefended
    row = scores[(scores["victim"] == "adversarial") & (scores["attack"] == "pgd") & (scores["eps"] == 0.3)].iloc[0]
    assert f"pgd  ε 0.3 {100 * row['adversarial_accuracy']:.1f} %" in figures["accuracy"]["alt"].split("poisoned:")[0]


def test_the_same_results_give_the_same_bytes(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = ["worst_case", "accuracy", "accuracy_by_eps", "preprocessors", "gallery"]
    monkeypatch.setattr("rivalry.stages.draw.FIGURES", {kind: FIGURES[kind] for kind in kinds})
    for name in ("one", "two"):
        draw(results, tmp_path / name, dataset="shapes", plan=PLAN, confidence=CONFIG["confidence"])
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert len(files) > 2 * len(kinds)
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_svg_follows_the_page_and_keeps_its_text(drawn: Path) -> None:
    identifiers: list[str] = []
    for figure in artifacts.read_json(drawn / "figures.json")["figures"]:
        svg = (drawn / figure["files"]["svg"]).read_text(encoding="utf-8")
        root = ET.fromstring(svg)
        assert root.findall(".//{http://www.w3.org/2000/svg}text"), figure["name"]
        assert INK not in svg
        assert "currentColor" in svg
        assert not re.search(r'(?:href|src)="(?!#|data:)', svg)
        identifiers += re.findall(r' id="([^"]+)"', svg)
    assert len(identifiers) == len(set(identifiers)), "identifiers must stay unique when figures share a page"


def test_an_attack_looks_the_same_for_every_data_set(results: Path) -> None:
    looks = [
        {name: look(name, fact) for name, fact in Results(results, dataset, PLAN, 0.95).methods.items()}
        for dataset in DATASETS
    ]
    assert looks[1]
    assert all(looks[0][name] == shown for name, shown in looks[1].items())
    assert looks[0]["fgsm"].color == looks[0]["fgsm_targeted"].color
    assert looks[0]["fgsm"].hatch != looks[0]["fgsm_targeted"].hatch
    optimised = ["fgsm", "i_fgsm", "pgd", "deepfool"]
    assert len({looks[0][attack].color for attack in optimised}) == len(optimised)


def test_controls_share_no_colour_with_attacks(results: Path) -> None:
    methods = Results(results, "digits", PLAN, 0.95).methods
    controls = {look(name, fact).color for name, fact in methods.items() if fact["method"] in CONTROLS}
    others = {look(name, fact).color for name, fact in methods.items() if fact["method"] not in CONTROLS}
    assert controls
    assert not controls & others


def test_what_was_not_run_is_absent_with_a_reason(results: Path, tmp_path: Path) -> None:
    plan = PLAN | {
        "victims": [["digits", "plain"]],
        "attacks": [["digits", "plain", "fgsm"]],
        "evaluations": [],
        "fooling": [],
    }
    lean = tmp_path / "results"
    lean.mkdir()
    for room in ("data", "victims", "attacks"):
        (lean / room).symlink_to(results / room)
    for table in ("scores", "comparisons"):
        rows = artifacts.read_table(results / "tables" / f"{table}.csv")
        kept = (rows["dataset"] == "digits") & (rows["victim"] == "plain")
        if table == "scores":
            kept &= (rows["attack"] == "fgsm") & (rows["defense"] == "none")
        else:
            kept &= kept.isna()  # none of them
        artifacts.write_table(lean / "tables" / f"{table}.csv", rows[kept])
    transfers = artifacts.read_table(results / "tables" / "transfers.csv")
    artifacts.write_table(lean / "tables" / "transfers.csv", transfers[:0])
    draw(lean, tmp_path / "figures", dataset="digits", plan=plan, confidence=0.95)
    listed = artifacts.read_json(tmp_path / "figures" / "figures.json")
    absent = {item["name"]: item["reason"] for item in listed["absent"]}
    assert {"detectors", "preprocessors", "backdoor", "fooling", "significance", "transfer"} <= set(absent)
    assert all(absent.values())
    assert {"accuracy", "accuracy_by_eps", "gallery"} <= {figure["kind"] for figure in listed["figures"]}


def test_worst_case_is_at_most_every_single_attack_and_falls_with_eps(results: Path) -> None:
    cases = worst_cases(results, dataset="digits", plan=PLAN, confidence=0.95)
    scores = Results(results, "digits", PLAN, 0.95).undefended
    for case in cases:
        assert case["low"] - 1e-9 <= case["accuracy"] <= case["high"] + 1e-9
        if case["defense"] == "none" and case["eps"] is not None:
            single = scores[(scores["victim"] == case["victim"]) & (scores["norm"] == case["norm"])]
            single = single[(single["eps"] == case["eps"]) & (single["goal"] == "untargeted")]
            assert case["accuracy"] <= single["adversarial_accuracy"].min() + 1e-12
    for victim in ("plain", "adversarial"):
        series = [c["accuracy"] for c in cases if (c["victim"], c["defense"], c["norm"]) == (victim, "none", "inf")]
        assert len(series) == 3
        assert series == sorted(series, reverse=True)


def test_worst_case_never_mixes_norms_or_triggers(results: Path) -> None:
    for case in worst_cases(results, dataset="digits", plan=PLAN, confidence=0.95):
        assert "trigger" not in case["attacks"]
        assert ("deepfool" in case["attacks"]) == (case["norm"] == "2")


def test_a_defense_without_adaptive_attacks_has_no_worst_case(results: Path) -> None:
    cases = worst_cases(results, dataset="digits", plan=PLAN, confidence=0.95)
    assert not [case for case in cases if case["defense"] == "cleanse"]
    assert [case for case in cases if case["defense"] == "median3"]


def test_slow_attacks_on_fewer_images_do_not_shrink_the_worst_case(tmp_path: Path) -> None:
    scores = pd.DataFrame({"index": range(6), "eps": 0.1, "prediction": 1, "label": 1, "clean_correct": True})
    scores = scores.assign(l0=1.0, l2=0.1, linf=0.1)
    for name, rows, fooled in (("quick", range(6), [0]), ("slow", range(3), [0, 1])):
        part = scores.iloc[list(rows)].copy()
        part.loc[part["index"].isin(fooled), "prediction"] = 2
        folder = tmp_path / "attacks/toy/plain" / name
        artifacts.write_table(folder / "scores.parquet", part)
        artifacts.write_json(folder / "attack.json", {"norm": "inf", "parameters": {}})
    plan = {"attacks": [["toy", "plain", "quick"], ["toy", "plain", "slow"]], "evaluations": []}
    (case,) = worst_cases(tmp_path, dataset="toy", plan=plan, confidence=0.95)
    assert (case["attacks"], case["n"], case["accuracy"]) == (["quick"], 6, 5 / 6)
    fewer = case["fewer"]
    assert (fewer["attacks"], fewer["n"], fewer["accuracy"], fewer["before"]) == (["quick", "slow"], 3, 1 / 3, 2 / 3)
