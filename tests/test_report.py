"""The report prints what was measured, escapes what users wrote, and works offline, in the dark and on a phone."""

from __future__ import annotations

import csv
import importlib
import inspect
import itertools
import json
import math
import os
import pkgutil
import re
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jinja2
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import synthetic_results
from rivalry import artifacts, formatting, registry
from rivalry.errors import RivalryError
from rivalry.figures._figure import all_figures
from rivalry.layout import Layout
from rivalry.references import all_references
from rivalry.report import html as pages
from rivalry.report import latex, tables
from rivalry.report.collecting import _hashes, environment
from rivalry.report.sections import RESULTS, SECTIONS, Shown, shown
from rivalry.report.tables import checks, comparisons, data, defenses, robustness
from rivalry.report.tables._table import Table, interval, text
from rivalry.report.tables.queries import query_limits
from rivalry.report.tables.reported import MARKS, counts, reported
from rivalry.report.tables.side_by_side import smallest_changes, under_attacks
from rivalry.report.templates import FOLDER
from rivalry.report.tex import breakable, tex
from rivalry.stages.collect import collect
from rivalry.stages.draw import draw
from rivalry.stages.report import NO_LATEX, compile_pdf, render_html, render_latex
from rivalry.statistics import holm
from rivalry.statistics.comparisons import SIZED
from synthetic_results import CONFIG, DATASETS, PLAN

ROOT = Path(__file__).resolve().parent.parent
ALL_SECTIONS = (*SECTIONS, *RESULTS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """results/report of a synthetic run, with page and paper and some of the figures."""
    results = synthetic_results.make(tmp_path_factory.mktemp("run") / "results")
    kinds, figures = ["worst_case", "accuracy", "preprocessors", "significance", "examples"], all_figures()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rivalry.stages.draw.all_figures", lambda: {kind: figures[kind] for kind in kinds})
        for dataset in DATASETS:
            draw(results, results / "figures" / dataset, dataset=dataset, plan=PLAN)
    report = results / "report"
    collect(results, report / "report.json", config=CONFIG, plan=PLAN)
    render_html(report / "report.json", report / "report.html")
    render_latex(report / "report.json", report / "report.tex")
    return report


@pytest.fixture(scope="module")
def facts(folder: Path) -> dict[str, Any]:
    return artifacts.read_json(folder / "report.json")


@pytest.fixture(scope="module")
def html(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def paper(folder: Path) -> str:
    return (folder / "report.tex").read_text(encoding="utf-8")


class Page(HTMLParser):
    """Tags with their attributes, whether they are nested properly, and the cells of tables."""

    VOID = frozenset({"meta", "link", "br", "img", "hr", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.faults: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        # HTML lets a list item or a paragraph end with its parent.
        while self.open and self.open[-1] != tag and self.open[-1] in ("li", "p", "dd", "dt"):
            self.open.pop()
        if not self.open or self.open.pop() != tag:
            self.faults.append(tag)


def test_report_json_holds_the_whole_run(facts: dict[str, Any]) -> None:
    assert {(v["dataset"], v["victim"]) for v in facts["victims"]} == {tuple(entry) for entry in PLAN["victims"]}
    assert len(facts["attacks"]) == len(PLAN["attacks"])
    assert len(facts["defenses"]) == len(PLAN["evaluations"])
    assert facts["environment"]["packages"]["torch"]
    assert facts["configuration"].startswith("title:")
    assert {row["what"].split(":")[0] for row in facts["kept_apart"]} >= {"digits", "digits, plain"}
    files = {row["file"] for row in facts["hashes"]}
    assert "data/digits/test.safetensors" in files
    assert all(re.fullmatch("[0-9a-f]{64}", row["sha256"]) for row in facts["hashes"])
    assert {row["what"] for row in facts["seeds"]} >= {
        "digits, plain",
        "shapes, plain, pgd",
        "digits, badnets",
    }


def test_what_an_earlier_configuration_left_is_not_listed(folder: Path) -> None:
    old = Layout(folder.parent).attack("digits", "plain", "of_an_old_plan")
    artifacts.write_json(old.facts, {"attack": "of_an_old_plan"})
    old.manifest.write_text("damaged", encoding="utf-8")
    try:
        assert not [row for row in _hashes(Layout(folder.parent), PLAN) if "of_an_old_plan" in row["file"]]
    finally:
        shutil.rmtree(old.folder)


def test_every_score_of_the_tables_is_on_the_page_with_full_precision(folder: Path, html: str) -> None:
    with open(folder.parent / "tables" / "scores.csv", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["setting"] == "undefended":
                assert f'data-sort="{float(row["adversarial_accuracy"])}"' in html
                assert f">{100 * float(row['adversarial_accuracy']):.1f} <" in html


def test_every_number_in_a_table_comes_from_report_json(facts: dict[str, Any], html: str) -> None:
    known = set()

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            for item in value.values():
                walk(item)
        elif isinstance(value, list):
            known.add(float(len(value)))
            for item in value:
                walk(item)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            known.add(float(value))

    walk(facts)
    shares = {fact["n_poisoned"] / fact["n_train"] for fact in facts["poisonings"]}
    known |= {-number for number in known}  # a difference, seen from its other side
    cells = re.findall(r'<td class="[^"]*\bnum\b[^"]*" data-sort="([^"]+)"', html)
    assert len(cells) > 500
    assert {float(cell) for cell in cells} <= known | shares


def test_templates_hold_no_numbers() -> None:
    """Words only: what is left of a template without its code, markup and identifiers has no digit."""
    for name in ("report", "special"):
        page = (FOLDER / "html" / f"{name}.html.j2").read_text(encoding="utf-8")
        page = re.sub(r"\{%.*?%\}|\{\{.*?\}\}|<[^>]*>", " ", page, flags=re.DOTALL).replace("SHA-256", "")
        assert not re.findall(r".*\d.*", page)
        paper = (FOLDER / "latex" / f"{name}.tex.j2").read_text(encoding="utf-8")
        paper = re.sub(r"<%.*?%>|<<.*?>>", " ", paper.rpartition("\\begin{document}")[2], flags=re.DOTALL)
        assert not re.findall(r".*\d.*", paper.replace("SHA-256", ""))
    for section in ALL_SECTIONS:
        words = " ".join((section.title, *section.words, *(f"{a} {b}" for a, b in section.terms), section.empty))
        words = re.sub(r"\{cite:.*?\}", " ", words).replace("SHA-256", "")
        assert not re.findall(r"\d", words), section.key


def test_a_missing_number_is_an_error(facts: dict[str, Any]) -> None:
    lacking = {key: value for key, value in facts.items() if key != "confidence"}
    with pytest.raises(jinja2.UndefinedError, match="confidence"):
        pages.page(lacking, {})
    with pytest.raises(jinja2.UndefinedError, match="confidence"):
        latex.paper(lacking, {})


def test_a_missing_template_is_a_line_that_names_it(facts: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rivalry.report.templates.FOLDER", Path("nowhere"))
    with pytest.raises(RivalryError, match=r"^nowhere/html/report\.html\.j2: no such template$"):
        pages.page(facts, {})


def test_a_wheel_holds_the_templates(folder: Path, tmp_path: Path) -> None:
    """Installed, the report is made in a folder with nothing but results."""
    pytest.importorskip("setuptools", reason="needs setuptools to build a wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("src", "report"):
        left_out = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(ROOT / name, tmp_path / name, symlinks=True, ignore=left_out)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation", "."]
    subprocess.run([*build, "--wheel-dir", "wheels"], cwd=tmp_path, check=True)
    (wheel,) = (tmp_path / "wheels").iterdir()
    installed, elsewhere = tmp_path / "installed", tmp_path / "elsewhere"
    zipfile.ZipFile(wheel).extractall(installed)
    shutil.copytree(folder.parent, elsewhere / "results")
    for kind, name in (("html", "report.html"), ("latex", "report.tex")):
        made = elsewhere / "results" / "report" / name
        whole = made.read_bytes()
        made.unlink()
        command = [sys.executable, "-m", "rivalry", "report", kind, "--input", "results/report/report.json"]
        environment = os.environ | {"PYTHONPATH": str(installed)}
        subprocess.run([*command, "--output", f"results/report/{name}"], cwd=elsewhere, env=environment, check=True)
        assert made.read_bytes() == whole
    asked = "from rivalry.report.templates import FOLDER; print(FOLDER)"
    where = subprocess.run([sys.executable, "-c", asked], env=environment, capture_output=True, text=True, check=True)
    assert where.stdout.strip() == str(installed / "rivalry/report/templates")


def test_a_checkout_reads_its_own_templates() -> None:
    assert FOLDER == ROOT / "report"


def test_every_table_and_figure_stands_in_one_place() -> None:
    """A new one is its function and a line in `sections`; one that is placed nowhere would never be seen."""
    made = set()
    for found in pkgutil.iter_modules(tables.__path__, f"{tables.__name__}."):
        module = importlib.import_module(found.name)
        for function in vars(module).values():
            if inspect.isfunction(function) and function.__module__ == module.__name__:
                returned = str(function.__annotations__["return"])
                if not function.__name__.startswith("_") and returned in ("Table", "list[Table]"):
                    made.add(function)
    assert len(made) > 20
    assert Counter(table for section in ALL_SECTIONS for table in section.tables) == Counter(made)
    assert Counter(name for section in ALL_SECTIONS for name in section.figures) == Counter(list(all_figures()))


def test_what_is_special_has_a_macro_in_both() -> None:
    for section in ALL_SECTIONS:
        for kind, made in (("html", pages.environment()), ("tex", latex.environment())):
            has = hasattr(made.get_template(f"special.{kind}.j2").module, section.key)
            assert has == (section.special and (kind, section.key) != ("tex", "summary")), (kind, section.key)


def test_a_section_without_anything_in_it_is_left_out(facts: dict[str, Any]) -> None:
    for one in (*shown(facts, paper=False), *shown(facts, paper=True)):
        keys = [part.section.key for part in one.parts]
        assert ("fooling" in keys) == ("poisoning" in keys) == (one.dataset == "digits")
    (kept_apart,) = (one for one in shown(facts | {"kept_apart": []}, paper=False) if one.section.key == "apart")
    assert not kept_apart.tables
    assert kept_apart.section.empty


def test_page_is_well_formed_and_its_anchors_exist(html: str) -> None:
    page = Page(html)
    assert page.faults == []
    identifiers = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    for tag, attributes in page.tags:
        target = attributes.get("href") or ""
        if tag == "a" and target.startswith("#"):
            assert target[1:] in identifiers, target


def test_page_loads_nothing_from_elsewhere(html: str) -> None:
    for tag, attributes in Page(html).tags:
        for name in ("src", "href", "xlink:href", "action", "poster", "data", "srcset"):
            value = attributes.get(name) or ""
            if tag != "a":
                assert value == "" or value.startswith(("#", "data:")), (tag, name, value)
    style = (FOLDER / "html" / "style.css").read_text(encoding="utf-8")
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src 'none'" in html


def test_every_figure_has_an_alternative_text(facts: dict[str, Any], html: str) -> None:
    labels = [a["aria-label"] for _, a in Page(html).tags if a.get("role") == "img" and "aria-label" in a]
    drawn = [figure["alt"] for listed in facts["figures"].values() for figure in listed["figures"]]
    assert sorted(labels) == sorted(drawn)  # type: ignore[type-var]


def test_page_sorts_and_knows_the_dark(html: str) -> None:
    assert "aria-sort" in html
    assert "color-scheme: light dark" in html
    assert "light-dark(" in html
    assert "@media print" in html


def test_hostile_words_reach_neither_the_page_nor_the_paper(html: str, paper: str) -> None:
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;" in html
    assert "<img src=x" not in html
    assert html.count("<script") == 1
    assert "\\input{/etc" not in paper
    assert "\\textbackslash{}input\\{/etc/passwd\\} \\#1 \\$x\\_y\\textasciicircum{}2\\$" in paper
    assert paper.count("\\end{document}") == 1
    assert "\\} Shu}" in paper  # 数, which no font of LaTeX has
    assert "数" in html


@pytest.mark.parametrize(
    ("given", "printed"),
    [
        ("50 % & more", "50 \\% \\& more"),
        ("a_b^c~d", "a\\_b\\textasciicircum{}c\\textasciitilde{}d"),
        ("\\write18{ls}", "\\textbackslash{}write18\\{ls\\}"),
        ("Tramèr", "Tramèr"),
        ("ﬁne", "fine"),
        ("--", "-{}-{}"),
        ("tab\there\nline", "tab here line"),
        ("\u202e", ""),
        ("a\a\x00b", "ab"),
        ("中", "Zhong"),
        ("Ω", "\\ensuremath{\\Omega}"),
        ("ά", "\\ensuremath{\\acute{\\alpha}}"),
        ("e\u0301", "é"),
    ],
)
def test_tex_prints_any_text(given: str, printed: str) -> None:
    assert tex(given) == printed


def test_breaking_adds_no_letters() -> None:
    name = "results/attacks/some_very_long_name+half_mean3"
    assert breakable(name).replace("\\allowbreak{}", "") == tex(name)


def test_a_defense_is_judged_by_the_paired_test_of_worst_cases(facts: dict[str, Any]) -> None:
    judged = 0
    for item in facts["findings"]:
        name, on, victim = item["topic"].partition(" on ")
        tests = [
            row
            for row in facts["comparisons"]
            if (row["dataset"], row["kind"]) == (item["dataset"], "worst case")
            and {(row["victim_a"], row["defense_a"]), (row["victim_b"], row["defense_b"])}
            == {(victim, name), (victim, "none")}
        ]
        if not on or not tests:
            continue
        judged += 1
        (test,) = tests
        sign = -1 if test["defense_a"] == name else 1
        ahead = (test["error_a"] - test["error_b"]) * sign
        cases = {
            (case["victim"], case["defense"]): case
            for case in facts["worst_cases"]
            if (case["dataset"], case["norm"], case["eps"]) == (item["dataset"], test["norm"], test["eps_a"])
        }
        unknown, alone = cases[victim, name]["oblivious_accuracy"], cases[victim, "none"]["accuracy"]
        most = max(sign * test[end] for end in ("paired_low", "paired_high"))
        right = "no difference shown"
        if test["significant"] and ahead > 0:
            right = "keeps more"
        elif test["significant"] or most < 0.05:
            fallen = "keeps less" if test["significant"] else "gains nothing"
            right = "broken when the attacker knows it" if unknown - alone >= 0.05 else fallen
        assert item["verdict"] == right
        assert (
            f"leave {100 * (1 - (test['error_a'] if test['defense_a'] == name else test['error_b'])):.1f} %"
            in item["text"]
        )
    assert judged == 5
    verdicts = {item["topic"]: item["verdict"] for item in facts["findings"] if item["dataset"] == "digits"}
    robust = [f["verdict"] for f in facts["findings"] if (f["dataset"], f["topic"]) == ("digits", "Robustness")]
    assert robust == ["adversarial", "no budget"]
    assert verdicts["Backdoor in poisoned"] == "backdoored"


def test_no_finding_is_good_or_bad_without_a_test(facts: dict[str, Any]) -> None:
    """Only defenses that a paired test sets against none, repairs, and the self-checks take sides."""
    for item in facts["findings"]:
        if item["tone"] in ("good", "bad"):
            sided = ("keeps more", "broken when the attacker knows it", "not repaired", "passed", "failed")
            assert item["verdict"] in sided, item


def test_accuracies_on_different_images_have_different_names(facts: dict[str, Any]) -> None:
    def all_tables(sections: list[Shown]) -> Iterator[Table]:
        for one in sections:
            yield from one.tables
            yield from all_tables(one.parts)

    titles = {
        table.name: column.title
        for table in all_tables(shown(facts, paper=False))
        for column in table.columns
        if column.key == "clean_accuracy"
    }
    assert {"test %", "clean %"} == {*titles.values()}
    assert all((title == "test %") == name.endswith("-victims") for name, title in titles.items())


def test_the_classes_of_each_data_set_are_counted(facts: dict[str, Any]) -> None:
    for fact in facts["datasets"]:
        table = data.classes(facts, fact["dataset"])
        assert [row["name"] for row in table.rows] == fact["class_names"]
        for split in ("train", "test"):
            assert sum(row[split] for row in table.rows) == fact[f"n_{split}"]
    hundred = {"class_names": [str(k) for k in range(100)], "train_counts": [5] * 100, "test_counts": [1] * 100}
    long = data.classes({"datasets": [{"dataset": "many"} | hundred]}, "many")
    assert (long.folded, len(long.rows)) == (True, 100)
    assert len(long.in_paper().rows) == 20
    assert "80 more rows" in long.in_paper().note


def test_the_first_screen_is_the_ranking_of_the_worst_cases(facts: dict[str, Any], html: str) -> None:
    for place, table in zip(facts["rankings"], robustness.rankings(facts), strict=True):
        rows = [row for row in place["rows"] if not row["reason"]]
        if place["eps"] is not None:
            assert [row["accuracy"] for row in rows] == sorted((row["accuracy"] for row in rows), reverse=True)
        stands = [row for row in facts["worst_cases"] if row["headline"]]
        assert all(row in stands for row in place["rows"])
        assert [row["classifier"] for row in table.rows] == [
            formatting.guarded(r["victim"], r["defense"]) for r in rows
        ]
        for row in place["rows"]:
            if row["reason"]:
                assert row["reason"] in table.note
    order = [html.index(f">{item['topic']}.</strong>") for item in facts["summary"]]
    assert order == sorted(order)
    assert len(facts["summary"]) == 5
    assert order[-1] < html.index('data-name="digits-ranking-inf"') < html.index('id="findings"')


def test_marks_stand_at_the_numbers_that_checks_touch(facts: dict[str, Any], html: str) -> None:
    warned = [row for row in facts["checks"] if row["status"] != "pass"]
    assert warned
    for row in facts["worst_cases"]:
        met = [
            check
            for check in warned
            if check["dataset"] == row["dataset"]
            and check["victim"] in ("", None, row["victim"])
            and check["defense"] in ("", None, row["defense"])
            and not check["attack"]
        ]
        if row["attacks"]:
            assert {check["check"] for check in met} <= {mark["check"] for mark in row["marks"]}
    assert 'class="mark warn"' in html or 'class="mark fail"' in html


def test_the_side_that_has_more_is_the_one_that_the_verdict_names(facts: dict[str, Any]) -> None:
    met = set()
    for dataset in ("digits", "shapes"):
        for table in comparisons.comparisons(facts, dataset):
            for row in table.rows:
                met.add(row["shown"])
                if row["shown"] in ("a", "b"):
                    more, less = (row["a"], row["b"]) if row["shown"] == "a" else (row["b"], row["a"])
                    before, after = row["verdict"].index(f"{more} "), row["verdict"].rindex(f" {less} (")
                    assert (before, row["significant"]) == (0, True)
                    assert after > len(more)
                else:
                    assert row["shown"].startswith("neither") or not row["like_for_like"]
                    assert row["verdict"].startswith(("not ", "sizes differ"))
    assert {"a", "b", "neither shown", "not tested"} <= met


def test_findings_and_comparisons_carry_the_marks_of_their_numbers(facts: dict[str, Any]) -> None:
    """On digits a check warns about adversarial, and about nothing else."""
    for item in facts["findings"]:
        if item["dataset"] == "digits" and item["topic"] in ("Attacks on adversarial", "Attacks on plain"):
            assert (item["mark"] == "?") == ("adversarial" in item["topic"])
            assert ("gradient masking" in item["doubts"]) == ("adversarial" in item["topic"])
    marked = 0
    for table in comparisons.comparisons(facts, "digits"):
        for row in table.rows:
            about = "adversarial" in (row["victim_a"], row["victim_b"])
            assert (row["mark"] == "?") == about, row
            marked += about
    assert marked


def test_defense_tables_pair_oblivious_with_adaptive(facts: dict[str, Any]) -> None:
    table = next(t for t in defenses.defenses(facts, "digits") if t.name == "digits-defense-plain-median3")
    row = next(row for row in table.rows if row["attack"] == "pgd" and row["eps"] == 0.2)
    scores = {
        s["setting"]: s["adversarial_accuracy"]
        for s in facts["scores"]
        if (s["dataset"], s["victim"], s["attack"], s["eps"]) == ("digits", "plain", "pgd", 0.2)
        and s["defense"] in ("none", "median3")
    }
    assert (row["undefended"], row["oblivious_accuracy"], row["adaptive_accuracy"]) == (
        scores["undefended"],
        scores["oblivious"],
        scores["adaptive"],
    )


def test_victims_stand_side_by_side_under_each_attack_with_the_numbers_of_the_scores(facts: dict[str, Any]) -> None:
    tables = {table.title: table for table in under_attacks(facts, "digits")}
    scores = [row for row in facts["scores"] if row["dataset"] == "digits" and row["setting"] == "undefended"]
    met = {attack: {row["victim"] for row in scores if row["attack"] == attack} for attack in attack_names(scores)}
    assert set(tables) == {f"Victims under {attack}" for attack, victims in met.items() if len(victims) > 1}
    for attack, victims in met.items():
        if len(victims) < 2:
            continue
        table = tables[f"Victims under {attack}"]
        assert {row["victim"] for row in table.rows} == victims
        keys = {column.title: column for column in table.columns}
        for row, score in itertools.product(table.rows, scores):
            if (score["attack"], score["victim"]) != (attack, row["victim"]):
                continue
            title = attack if score["eps"] is None else f"ε {score['eps']:g}"
            accuracy, confidence = keys[f"{title} %"], keys[f"{title}: confidence %"]
            shown = [row[key] for key in (accuracy.key, accuracy.low, accuracy.high)]
            assert shown == [score[key] for key in ("adversarial_accuracy", "adversarial_low", "adversarial_high")]
            shown = [row[key] for key in (confidence.key, confidence.low, confidence.high)]
            assert shown == [score[key] for key in ("confidence", "confidence_low", "confidence_high")]
            assert row[keys["clean %"].key] == score["clean_accuracy"]
            assert row[keys["clean: confidence %"].key] == score["clean_confidence"]


def attack_names(scores: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(row["attack"] for row in scores))


def grid(**parameters: dict[str, Any]) -> dict[str, Any]:
    """Facts of some victims under one attack at two budgets; victim b met only the second."""
    base = {"dataset": "d", "architecture": "mlp", "method": "l1_l2", "poisoning": None, "fitting": {"epochs": 3}}
    score = {"dataset": "d", "attack": "fgsm", "setting": "undefended", "defense": "none", "n": 10}
    score |= dict.fromkeys(("clean_accuracy", "clean_low", "clean_high", "clean_confidence"), 0.9)
    score |= dict.fromkeys(("clean_confidence_low", "clean_confidence_high"), 0.9)
    numbers = ("adversarial_accuracy", "adversarial_low", "adversarial_high")
    numbers += ("confidence", "confidence_low", "confidence_high")
    return {
        "checks": [],
        "victims": [base | {"victim": name} | own for name, own in parameters.items()],
        "scores": [
            score | {"victim": name, "eps": eps} | dict.fromkeys(numbers, eps)
            for name in parameters
            for eps in (0.1, 0.2)
            if (name, eps) != ("b", 0.1)
        ],
    }


def test_victims_are_told_apart_by_the_parameters_that_differ() -> None:
    report = grid(
        plain={"method": "plain", "parameters": {"temperature": 1.0}},
        a={"parameters": {"l1": 0.0, "l2": 1e-4}},
        b={"parameters": {"l1": 0.0, "l2": 1e-5}, "fitting": {"epochs": 4}},
    )
    (table,) = under_attacks(report, "d")
    told = {row["victim"]: row["told"] for row in table.rows}
    assert told == {
        "plain": "method plain; epochs 3",
        "a": "method l1_l2; l2 0.0001; epochs 3",
        "b": "method l1_l2; l2 1e-05; epochs 4",
    }
    assert [row["at 0.1 accuracy"] for row in table.rows] == [0.1, 0.1, None]
    assert text(next(c for c in table.columns if c.key == "at 0.1 accuracy"), table.rows[2]) == "–"


def test_one_victim_alone_stands_beside_nobody() -> None:
    assert under_attacks(grid(a={"parameters": {}}), "d") == []


def test_the_paper_has_few_budgets_the_smallest_and_the_largest_among_them() -> None:
    report = grid(a={"parameters": {}}, c={"parameters": {}})
    one = report["scores"][0]
    report["scores"] = [one | {"victim": v, "eps": k / 10} for v in ("a", "c") for k in range(1, 10)]
    (table,) = under_attacks(report, "d")
    printed = [column.key for column in table.in_paper().columns if column.key.startswith("at ")]
    assert printed == [f"at {eps} accuracy" for eps in (0.1, 0.4, 0.6, 0.9)]


def change(attack: str, eps: float | None, held: float, **other: Any) -> dict[str, Any]:
    row = {"dataset": "d", "victim": "v", "attack": attack, "defense": "none", "setting": "undefended", "n": 100}
    row |= {"goal": "untargeted", "sees": "gradients", "norm": "2", "budget": "fixed" if eps else "minimal", "eps": eps}
    row |= {"adversarial_accuracy": held, "adversarial_low": held - 0.01, "adversarial_high": held + 0.01}
    row |= {"queries": 2.0, "gradients": 1.0}
    return row | {"rho_adv": 0.2, "rho_adv_low": 0.19, "rho_adv_high": 0.21, "seconds": 0.1} | other


def test_smallest_changes_stand_beside_the_budget_that_misclassifies_nearly_all() -> None:
    rows = [
        *(change("fgsm", eps, held) for eps, held in ((0.1, 0.5), (0.2, 0.12), (0.3, 0.1), (0.4, 0.0))),
        change("deepfool", None, 0.3),
        change("at_once", 0.1, 0.0),
        *(change("never", eps, held) for eps, held in ((0.1, 0.4), (0.2, 0.6))),
        change("noise", 0.1, 0.9, sees="nothing"),
        change("aimed", 0.1, 0.0, goal="targeted"),
        change("fgsm", 0.1, 0.0, defense="median", setting="adaptive"),
        change("fgsm", 0.1, 0.0, dataset="other"),
    ]
    table = smallest_changes({"scores": rows, "checks": []}, "d")
    assert [(row["attack"], row["limit"], row["before"]) for row in table.rows] == [
        ("fgsm", "0.3", "0.2: 88.0 %"),
        ("deepfool", "none", "–"),
        ("at_once", "0.1", "none was run"),
    ]
    assert [round(row["wrong"], 2) for row in table.rows] == [0.9, 0.7, 1.0]
    assert all(row["wrong_low"] < row["wrong"] < row["wrong_high"] for row in table.rows)
    assert "No ε of this run goes so far with never on v (60.0 %)." in table.note
    column = next(one for one in table.columns if one.key == "rho_adv")
    assert interval(column, table.rows[0]) == "0.190–0.210"


def test_a_run_without_attacks_has_no_smallest_changes() -> None:
    table = smallest_changes({"scores": [], "checks": []}, "d")
    assert (table.rows, "No ε" in table.note) == ([], False)


def test_printed_numbers_are_counted_by_document_and_mark() -> None:
    marked = [("S3", "agrees"), ("S3", "differs"), ("S3", "differs"), ("S4", "not comparable"), ("S3", "not measured")]
    table = counts({"reported": [{"source": source, "mark": mark} for source, mark in marked]})
    assert [row["source"] for row in table.rows] == ["S3", "S4"]
    assert [row["rows"] for row in table.rows] == [4, 1]
    assert [table.rows[0][mark] for mark in MARKS] == [1, 2, 0, 0, 1]


def test_the_paper_has_the_printed_numbers_that_were_measured() -> None:
    about = ("source", "where", "dataset", "what", "metric", "reported", "measured", "low", "high", "note")
    report = {"reported": [dict.fromkeys(about, "x") | {"mark": mark} for mark in MARKS]}
    assert [row["mark"] for row in reported(report).rows] == list(MARKS)
    paper = reported(report).in_paper()
    assert [row["mark"] for row in paper.rows] == [mark for mark in MARKS if mark != "not measured"]
    assert "left out" in paper.note
    assert not reported({"reported": report["reported"][-1:]}).in_paper().rows


@pytest.mark.parametrize(
    ("limit", "printed"),
    [(None, [100, 1000, 10_000]), (250, [250, 1000, 10_000])],
)
def test_the_paper_has_room_for_few_numbers_of_queries(limit: int | None, printed: list[int]) -> None:
    asked = [1, 10, 30, 100, 250, 300, 1000, 3000, 10_000]
    about = {"dataset": "d", "victim": "v", "attack": "square", "norm": "inf", "eps": 0.3, "within": 0.3, "n": 9}
    rates = {"success_rate": 0.5, "low": 0.4, "high": 0.6}
    rows = [about | rates | {"queries": number, "defense": "none", "limit": None} for number in asked]
    if limit:
        rows += [about | rates | {"queries": limit, "defense": "limited", "limit": limit}]
    table = query_limits({"queries": rows}, "d")
    shown = [column.key for column in table.columns if column.key.startswith("at_")]
    assert len(shown) == 7 + (limit is not None)
    kept = [column.key for column in table.in_paper().columns if column.key.startswith("at_")]
    assert kept == [f"at_{number}" for number in printed]


def test_self_checks_are_counted_by_kind_and_only_doubts_are_listed(
    facts: dict[str, Any], html: str, paper: str
) -> None:
    counted = facts["check_summary"]
    assert [kind["n"] for kind in counted] == [kind["pass"] + kind["warn"] + kind["fail"] for kind in counted]
    assert sum(kind["n"] for kind in counted) == len(facts["checks"])
    assert {kind["check"] for kind in counted} == {row["check"] for row in facts["checks"]}
    listed = [row["status"] for row in checks.doubts(facts).rows]
    assert listed == ["fail"] * sum(k["fail"] for k in counted) + ["warn"] * sum(k["warn"] for k in counted)
    for printed in (html, paper):
        assert "self-check-kinds" in printed
        assert "2 images fall to fgsm and not to i" in printed.replace("\\allowbreak{}", "")
        assert "every image in [0, 1] and within" not in printed  # it passed


def test_a_run_without_doubts_lists_none(facts: dict[str, Any], tmp_path: Path) -> None:
    sound = {"checks": [row for row in facts["checks"] if row["status"] == "pass"]}
    artifacts.write_json(tmp_path / "report" / "report.json", facts | sound)
    for dataset, listed in facts["figures"].items():
        for figure in listed["figures"]:
            drawing = tmp_path / "figures" / dataset / figure["files"]["svg"]
            drawing.parent.mkdir(parents=True, exist_ok=True)
            drawing.write_text("<svg/>")
    render_html(tmp_path / "report" / "report.json", tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Self-checks by kind" in text
    assert "failed or warned" not in text


def test_every_method_s_source_is_on_file() -> None:
    for kind in registry.ROOMS:
        for name in registry.names(kind):
            source = registry.method(kind, name).traits.get("source")
            assert not source or source in all_references(), f"{kind} {name}: {source}"


def test_a_data_set_s_own_work_is_cited(facts: dict[str, Any], html: str, paper: str) -> None:
    assert any(fact["source"] == "digits" for fact in facts["datasets"])
    assert "alpaydin1998" in facts["references"]
    assert 'href="#ref-alpaydin1998"' in html
    assert r"\citet{alpaydin1998}" in paper


def test_what_is_cited_is_listed(facts: dict[str, Any], html: str, paper: str) -> None:
    cited = {key for keys in re.findall(r"\\cite[tp]\{([^}]*)\}", paper) for key in keys.split(",")}
    assert cited | set(facts["references"]) == set(re.findall(r"\\bibitem\[.*?\]\{([a-z0-9]+)\}", paper))
    cited = set(re.findall(r'href="#ref-([a-z0-9]+)"', html))
    assert cited | set(facts["references"]) == set(re.findall(r'id="ref-([a-z0-9]+)"', html))


def test_paper_takes_figures_from_where_they_lie(folder: Path, paper: str) -> None:
    included = re.findall(r"\\includegraphics\[.*?\]\{\\detokenize\{(.*?)\}\}", paper)
    assert len(included) > 6
    assert all((folder / name).is_file() for name in included)


def test_a_second_run_writes_the_same_page_and_paper(folder: Path, html: str, paper: str, tmp_path: Path) -> None:
    again = folder.parent / "again"
    render_html(folder / "report.json", again / "report.html")
    render_latex(folder / "report.json", again / "report.tex")
    assert (again / "report.html").read_text(encoding="utf-8") == html
    assert (again / "report.tex").read_text(encoding="utf-8") == paper


@pytest.mark.parametrize(
    ("function", "value", "printed"),
    [
        (formatting.percent, 0.299, "29.9"),
        (formatting.percent, None, "–"),
        (formatting.fine_percent, 0.299, "29.9"),
        (formatting.fine_percent, 0.0001, "0.01"),
        (formatting.fine_percent, 0.0006, "0.1"),
        (formatting.fine_percent, 0.00005, "0.005"),
        (formatting.fine_percent, 0.0, "0.0"),
        (formatting.fine_percent, math.nan, "–"),
        (formatting.points, -0.0109, "−1.1"),
        (formatting.points, 0.0001, "0.0"),
        (formatting.number, 1.6543, "1.65"),
        (formatting.number, 0.0314, "0.0314"),
        (formatting.number, 1234.5, "1,234"),
        (formatting.epsilon, 8 / 255, "0.03137"),
        (formatting.probability, 1e-9, "< 0.001"),
        (formatting.probability, 0.0342, "0.034"),
        (formatting.probability, 0.0498, "0.0498"),
        (formatting.probability, 0.05, "0.050"),
        (formatting.probability, 1.0, "1.000"),
        (formatting.duration, 125, "2 min 05 s"),
        (formatting.duration, 7800, "2 h 10 min"),
    ],
)
def test_numbers_are_printed_one_way(function: Any, value: float | None, printed: str) -> None:
    assert function(value) == printed


@pytest.mark.parametrize(
    ("low", "high", "printed"),
    [
        (-0.0021, 0.0243, "−0.2 to +2.4"),
        (0.0003, 0.035, "+0.03 to +3.5"),
        (-0.035, -0.00001, "−3.5 to −0.001"),
        (0.0, 0.035, "0.0 to +3.5"),
        (math.nan, math.nan, "–"),
    ],
)
def test_a_printed_interval_shows_on_which_side_of_0_it_ends(low: float, high: float, printed: str) -> None:
    assert formatting.between_points(low, high) == printed


def printed_ends(table: Table, row: dict[str, Any]) -> list[float]:
    """The interval that stands beside a verdict, read from the page's cells; empty where none is printed."""
    columns = {column.key: column for column in table.columns}
    if "difference" in columns:
        ends = interval(columns["difference"], row).split(" to ")
    else:
        ends = [text(columns[end], row) for end in ("low", "high")]
    return [float(end.replace("−", "-").replace(",", "")) for end in ends if end not in ("", formatting.MISSING)]


def test_every_verdict_agrees_with_the_interval_and_p_printed_beside_it(facts: dict[str, Any]) -> None:
    seen = set()
    for dataset in ("digits", "shapes"):
        for table in comparisons.comparisons(facts, dataset):
            p_column = next(column for column in table.columns if column.key == "holm_p")
            for row in table.rows:
                said, p, ends = row["verdict"], text(p_column, row), printed_ends(table, row)
                if row["like"] == "no":
                    assert (said, p) == ("not tested: not like for like", formatting.MISSING)
                    continue
                significant = p.startswith("<") or float(p) < 0.05
                assert said.startswith("not distinguishable") == (not significant), row
                if ends:
                    holds_zero = ends[0] <= 0 <= ends[1]
                    assert ("contains 0" in said) == holds_zero, row
                    assert ("excludes 0" in said) == (not holds_zero and not significant), row
                seen.add((significant, row["kind"] in SIZED))
    assert len(seen) == 4  # rates and sizes, distinguishable and not


def test_every_p_is_corrected_in_the_family_that_the_table_names(facts: dict[str, Any]) -> None:
    """Recomputed from the p-values of single rows; claims and the first screen show those of the same rows."""
    tested = [row for row in facts["comparisons"] if row["holm_p"] is not None]
    worst, others = ([row for row in tested if (row["kind"] == "worst case") == own] for own in (True, False))
    for name, rows in (("primary", worst), ("secondary", others)):
        raw = [next(row[p] for p in ("wilcoxon_p", "seeds_p", "mcnemar_p") if row[p] is not None) for row in rows]
        assert [row["holm_p"] for row in rows] == pytest.approx(holm(raw))
        assert {row["family"] for row in rows} == {name}
    for table in comparisons.comparisons(facts, "digits"):
        own = table.name == "digits-comparisons-worst-case"
        assert f"for the {len(worst if own else others)} like-for-like comparisons" in table.note
        assert f"the {'primary' if own else 'secondary'} family" in table.note


@given(st.floats(1e-12, 1), st.sampled_from([0.05, 0.01, 0.1]))
def test_a_printed_p_value_lies_on_its_side_of_the_level(p: float, level: float) -> None:
    printed = formatting.probability(p)
    shown = 0.0 if printed.startswith("<") else float(printed)
    assume(abs(p - level) > 1e-8)  # nine digits are printed at most
    assert (shown < level) == (p < level)


def test_without_latex_one_line_says_what_to_install(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert compile_pdf(folder / "report.tex", tmp_path / "report.pdf") is False
    assert capsys.readouterr().out == NO_LATEX + "\n"
    assert "\n" not in NO_LATEX
    assert not (tmp_path / "report.pdf").exists()


@pytest.mark.skipif(not shutil.which("latexmk"), reason="needs latexmk")
def test_paper_compiles_alone_to_the_same_bytes_and_fits_its_pages(folder: Path, tmp_path: Path) -> None:
    assert compile_pdf(folder / "report.tex", tmp_path / "one.pdf") is True
    compile_pdf(folder / "report.tex", tmp_path / "two.pdf")
    assert (tmp_path / "one.pdf").read_bytes() == (tmp_path / "two.pdf").read_bytes()
    names = sorted(path.name for path in folder.iterdir() if not path.name.endswith(".manifest.json"))
    assert names == ["report.html", "report.json", "report.tex"]

    from pypdf import PdfReader

    pages = [page.extract_text() for page in PdfReader(tmp_path / "one.pdf").pages]
    assert "alert(" in pages[0]
    assert "??" not in "".join(pages)
    assert "Goodfellow" in "".join(pages)
    for number, page in enumerate(PdfReader(tmp_path / "one.pdf").pages, 1):
        right, beyond = float(page.mediabox.right) - 55, list[tuple[float, str]]()  # the margin is 60

        def look(text: str, _: Any, at: Any, *__: Any, right: float = right, beyond: list[Any] = beyond) -> None:
            if text.strip() and at[4] > right:
                beyond.append((at[4], text))

        page.extract_text(visitor_text=look)
        assert not beyond, (number, beyond[:3])


@pytest.mark.skipif(not shutil.which("latexmk"), reason="needs latexmk")
def test_a_latex_error_is_one_line(tmp_path: Path) -> None:
    source = tmp_path / "broken.tex"
    source.write_text("\\documentclass{article}\\begin{document}\\nosuchmacro\\end{document}\n")
    with pytest.raises(RivalryError, match=r"broken\.tex: LaTeX failed: Undefined control sequence") as error:
        compile_pdf(source, tmp_path / "broken.pdf")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "broken.pdf").exists()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs chromium")
    arguments = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(executable_path=chromium, args=arguments)
        yield started
        started.close()


def open_page(browser: Any, folder: Path, **options: Any) -> tuple[Any, list[str]]:
    page = browser.new_page(**options)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url) if request.url.startswith("http") else None)
    page.goto((folder / "report.html").as_uri())
    return page, said


def test_page_fits_a_phone_without_complaint(browser: Any, folder: Path) -> None:
    page, said = open_page(browser, folder, viewport={"width": 360, "height": 740})
    page.evaluate("document.querySelectorAll('main details').forEach((part) => { part.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert said == []
    page.close()


def test_sorting_works_by_keyboard_and_says_so(browser: Any, folder: Path) -> None:
    page, said = open_page(browser, folder, viewport={"width": 1200, "height": 800})
    table = page.locator("table[data-name='digits-attacks-plain']")
    head = table.locator("th[data-key='adversarial_accuracy']")
    shown = """(table) => [...table.tBodies[0].rows].map(
        (row) => Number(row.querySelector('.k-adversarial-accuracy').dataset.sort)
    )"""
    for order, reverse in (("descending", True), ("ascending", False)):
        head.locator("button").focus()
        page.keyboard.press("Enter")
        assert head.get_attribute("aria-sort") == order
        values = table.evaluate(shown)
        assert values == sorted(values, reverse=reverse)
    assert len(set(values)) > 4
    assert said == []
    page.close()


def test_tables_are_saved_as_csv(browser: Any, folder: Path, facts: dict[str, Any]) -> None:
    page, _ = open_page(browser, folder, viewport={"width": 1200, "height": 800})
    with page.expect_download() as download:
        page.locator("#digits-victims .save").click()
    rows = list(csv.DictReader(Path(download.value.path()).read_text(encoding="utf-8").splitlines()))
    expected = [v["clean_accuracy"] for v in facts["victims"] if v["dataset"] == "digits"]
    assert [float(row["clean_accuracy"]) for row in rows] == expected
    assert download.value.suggested_filename == "digits-victims.csv"
    page.close()


def test_page_is_dark_when_the_system_is_and_on_request(browser: Any, folder: Path) -> None:
    color = "getComputedStyle(document.body).backgroundColor"
    ink = "getComputedStyle(document.querySelector('.drawing svg text')).fill"
    found = {}
    for scheme in ("light", "dark"):
        page, _ = open_page(browser, folder, color_scheme=scheme)
        found[scheme] = (page.evaluate(color), page.evaluate(ink))
        if scheme == "light":
            page.locator("#theme").click()  # light
            page.locator("#theme").click()  # dark
            chosen = (page.evaluate(color), page.evaluate(ink))
        page.close()
    assert found["light"][0] != found["dark"][0]
    assert found["light"][1] != found["dark"][1]
    assert chosen == found["dark"]


def test_report_json_is_plain_json(folder: Path) -> None:
    text = (folder / "report.json").read_text(encoding="utf-8")
    assert "NaN" not in text
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


@pytest.mark.parametrize(
    ("model", "package"),
    [
        ("timm:vit_tiny_patch16_224", "timm"),
        ("nets/forest.skops", "skops"),
        ("nets/net.onnx", "onnxruntime"),
        ("yaml.nodes:Node", "PyYAML"),
        ("nets/my_model.py:build", None),
        ("torchvision:resnet18", None),
        ("net.pt", None),
    ],
)
def test_the_environment_lists_what_runs_a_network_from_outside(model: str, package: str | None) -> None:
    usual = environment([])["packages"]
    found = environment([{"parameters": {"model": model}}])["packages"]
    assert [*found] == [*usual, *([package] if package else [])]
    assert all(found.values())
