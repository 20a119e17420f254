"""Figures state their numbers in words, look the same everywhere, and are drawn alike each time."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex

import synthetic_results
from rivalry import artifacts, registry
from rivalry.figures._figure import Absent, Drawn, all_figures
from rivalry.figures._figure import figure as registered
from rivalry.figures._looks import CONTROLS, INK, looks
from rivalry.figures._results import Results
from rivalry.figures._saving import save
from rivalry.figures._style import log_axis, matrix, plt, use_style
from rivalry.figures.examples import examples
from rivalry.formatting import printed
from rivalry.layout import Layout
from rivalry.stages.draw import draw
from rivalry.statistics import worst_case
from rivalry.statistics.checked import CHECKED
from rivalry.statistics.columns import (
    CERTIFIED,
    COMPARISONS,
    QUERIES,
    SCORES,
    SCREENINGS,
    SIZE_CORRELATIONS,
    SIZES,
    SPREADS,
    TRANSFERS,
    TRIGGERS,
    WORST_CASES,
)
from synthetic_results import DATASETS, PLAN


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic_results.make(tmp_path_factory.mktemp("run") / "results")


@pytest.fixture(scope="module")
def drawn(results: Path) -> Path:
    output = results / "figures" / "digits"
    draw(results, output, dataset="digits", plan=PLAN)
    return output


def test_every_figure_is_drawn_when_its_data_exists(drawn: Path) -> None:
    listed = artifacts.read_json(drawn / "figures.json")
    elsewhere = {"poisoned_share", "sweeps"}  # see test_triggers.py and test_sweeps.py
    assert {item["name"] for item in listed["absent"]} == elsewhere
    assert {figure["kind"] for figure in listed["figures"]} == set(all_figures()) - elsewhere
    assert len({figure["name"] for figure in listed["figures"]}) == len(listed["figures"])
    for figure in listed["figures"]:
        assert (drawn / figure["files"]["svg"]).is_file()
        assert (drawn / figure["files"]["pdf"]).read_bytes().startswith(b"%PDF")


def test_a_name_is_one_figure_s() -> None:
    def accuracy(data: Results) -> list[Drawn]:
        return []

    assert "accuracy" in all_figures()
    with pytest.raises(TypeError, match=r"rivalry.figures.accuracy and in test_figures"):
        registered(accuracy)


def test_alt_texts_state_numbers_and_captions_say_how_to_read(drawn: Path) -> None:
    for figure in artifacts.read_json(drawn / "figures.json")["figures"]:
        assert re.search(r"\d", figure["alt"]), figure["name"]
        assert len(figure["caption"]) > 100, figure["name"]


def test_alt_text_of_accuracy_holds_the_table_s_numbers(results: Path, drawn: Path) -> None:
    figures = {figure["name"]: figure for figure in artifacts.read_json(drawn / "figures.json")["figures"]}
    scores = Results(results, "digits", PLAN).undefended
    row = scores[(scores["victim"] == "adversarial") & (scores["attack"] == "pgd") & (scores["eps"] == 0.3)].iloc[0]
    assert f"pgd  ε 0.3 {100 * row['adversarial_accuracy']:.1f} %" in figures["accuracy"]["alt"].split("poisoned:")[0]


def test_the_same_results_give_the_same_bytes(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = ["worst_case", "accuracy", "accuracy_by_eps", "preprocessors", "gallery"]
    figures = all_figures()
    monkeypatch.setattr("rivalry.stages.draw.all_figures", lambda: {kind: figures[kind] for kind in kinds})
    for name in ("one", "two"):
        draw(results, tmp_path / name, dataset="shapes", plan=PLAN)
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
    shown = [Results(results, dataset, PLAN).looks for dataset in DATASETS]
    assert shown[0] == shown[1]
    assert shown[0]["fgsm"].color == shown[0]["fgsm_targeted"].color
    assert shown[0]["fgsm"].marker != shown[0]["fgsm_targeted"].marker
    optimised = ["fgsm", "i_fgsm", "pgd", "deepfool"]
    assert len({shown[0][attack].color for attack in optimised}) == len(optimised)


def test_no_two_of_all_attacks_look_alike() -> None:
    """Every registered attack, and a targeted one beside each, and as many again that are still to come."""
    names = [*registry.names("attacks"), *(f"later_{name}" for name in registry.names("attacks"))]
    methods = {name: (name, "untargeted") for name in names} | {
        f"{name}_targeted": (name, "targeted") for name in names
    }
    shown = looks(methods)
    assert set(shown) == set(methods)
    assert len({(one.color, one.marker) for one in shown.values()}) == len(shown)
    few = [name for name in names if name not in CONTROLS][:13]
    assert len({one.marker for one in looks({name: methods[name] for name in few}).values()}) == len(few)


def _points(drawn: Drawn, victim: str, part: pd.DataFrame) -> dict[str, tuple[str, bytes]]:
    """Colour and shape of each attack's point in the axes of a victim."""
    axes = next(one for one in drawn.figure.axes if one.get_title(loc="left").startswith(victim))
    (found,) = (
        points
        for points in axes.collections
        if isinstance(points, PathCollection) and len(points.get_paths()) == len(part)
    )
    colors = [to_hex(color) for color in found.get_facecolor()]
    shapes = [path.vertices.tobytes() for path in found.get_paths()]
    return dict(zip(part["attack"], zip(colors, shapes, strict=True), strict=True))


def test_an_attack_is_drawn_alike_in_every_figure_and_like_no_other(results: Path) -> None:
    use_style()
    data = Results(results, "digits", PLAN)
    part = data.strongest(data.undefended[data.undefended["victim"] == "plain"])
    asked = part[part["success_rate"].notna() & (part["queries"] + part["gradients"] > 0)]
    figures = all_figures()
    one, other = (figures[name](data)[0] for name in ("accuracy", "cost"))
    rows, places = _points(one, "plain", part), _points(other, "plain", asked)
    assert len(set(rows.values())) == len(rows) > 6
    assert places == {attack: rows[attack] for attack in places}
    assert {attack: color for attack, (color, _) in rows.items()} == {name: data.palette[name] for name in rows}
    plt.close("all")


def test_what_is_drawn_are_the_table_s_numbers(results: Path) -> None:
    """Points, intervals and curves; nothing is averaged or resampled on the way."""
    use_style()
    data = Results(results, "digits", PLAN)
    scores = data.undefended[data.undefended["victim"] == "plain"]
    part = data.strongest(scores)
    axes = all_figures()["accuracy"](data)[0].figure.axes[0]
    drawn = [shape for shape in axes.collections if isinstance(shape, LineCollection)]
    ends = {(line[0, 1], *line[:, 0]) for lines in drawn for line in lines.get_segments()}
    intervals = zip(range(1, len(part) + 1), part["adversarial_low"], part["adversarial_high"], strict=True)
    assert set(intervals) <= ends
    axes = all_figures()["accuracy_by_eps"](data)[0].figure.axes[0]
    curves = {tuple(line.get_ydata()) for line in axes.lines}
    for _, line in data.budgeted(scores).groupby("attack"):
        left = tuple(line["adversarial_accuracy"])
        assert ((line["clean_accuracy"].iloc[0], *left) if len(left) > 1 else left) in curves
    plt.close("all")


@pytest.mark.parametrize(("low", "high"), [(0.1, 0.985), (0.9, 0.975), (0.9905, 0.9985)])
def test_percent_at_a_tick_is_where_it_stands(results: Path, tmp_path: Path, low: float, high: float) -> None:
    """However narrow an axis is, no tick is rounded to a neighbouring number."""
    shutil.copytree(results, tmp_path / "results")
    for file in (tmp_path / "results" / "victims" / "digits").rglob("training.csv"):
        file.with_name(".train.manifest.json").unlink(missing_ok=True)
        curve = pd.read_csv(file)
        curve.assign(validation_accuracy=np.linspace(low, high, len(curve))).to_csv(file, index=False)
    use_style()
    checked = 0
    for drawn in all_figures()["training"](Results(tmp_path / "results", "digits", PLAN)):
        for axes in drawn.figure.axes:
            for tick, text in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True):
                if text.get_text().endswith(" %"):
                    assert float(text.get_text().removesuffix(" %").replace("−", "-")) == pytest.approx(100 * tick)
                    checked += 1
    assert checked
    plt.close("all")


def test_controls_share_no_colour_with_attacks(results: Path) -> None:
    methods = Results(results, "digits", PLAN).methods
    shown = Results(results, "digits", PLAN).looks
    controls = {shown[name].color for name, fact in methods.items() if fact["method"] in CONTROLS}
    others = {shown[name].color for name, fact in methods.items() if fact["method"] not in CONTROLS}
    assert controls
    assert not controls & others


def test_what_was_not_run_is_absent_with_a_reason(results: Path, tmp_path: Path) -> None:
    plan = PLAN | {
        "victims": [["digits", "plain"]],
        "attacks": [["digits", "plain", "fgsm"]],
        "evaluations": [],
        "fooling": [],
        "poisonings": [],
        "screenings": [],
        "plantings": [],
    }
    lean = tmp_path / "results"
    lean.mkdir()
    tree = Layout(Path())
    for place in (tree.data("digits"), tree.victim("digits", "plain"), tree.attack("digits", "plain", "fgsm")):
        room = place.folder.parts[0]
        (lean / room).symlink_to(results / room)
    for name, table in (("scores", SCORES), ("comparisons", COMPARISONS)):
        rows = table.read(results / "tables" / f"{name}.csv")
        kept = (rows["dataset"] == "digits") & (rows["victim"] == "plain")
        if table is SCORES:
            kept &= (rows["attack"] == "fgsm") & (rows["defense"] == "none")
        else:
            kept &= kept.isna()  # none of them
        table.write(lean / "tables" / f"{name}.csv", rows[kept])
    cases = worst_case.worst_cases(Layout(lean), plan=plan | {"transfers": []}, confidence=0.95)
    WORST_CASES.write(lean / "tables" / "worst_cases.csv", [case.row for case in cases])
    CHECKED.write(lean / "tables" / "checks.csv", [])
    TRANSFERS.write(lean / "tables" / "transfers.csv", [])
    SPREADS.write(lean / "tables" / "spreads.csv", [])
    TRIGGERS.write(lean / "tables" / "triggers.csv", [])
    for name, empty in (
        ("screenings", SCREENINGS),
        ("queries", QUERIES),
        ("sizes", SIZES),
        ("size_correlations", SIZE_CORRELATIONS),
        ("certified", CERTIFIED),
    ):
        empty.write(lean / "tables" / f"{name}.csv", [])
    draw(lean, tmp_path / "figures", dataset="digits", plan=plan)
    listed = artifacts.read_json(tmp_path / "figures" / "figures.json")
    absent = {item["name"]: item["reason"] for item in listed["absent"]}
    assert {"detectors", "preprocessors", "backdoor", "fooling", "significance", "transfer"} <= set(absent)
    assert all(absent.values())
    assert {"accuracy", "accuracy_by_eps", "gallery"} <= {figure["kind"] for figure in listed["figures"]}


@pytest.mark.parametrize(
    "values", [[1000.0, 1000.0], [430.0, 1110.0], [1.0, 3.0], [2.0, 90000.0], [0.5, 0.6], [98.0, 99.0]]
)
def test_a_logarithmic_axis_has_two_labelled_ticks_at_least(values: list[float]) -> None:
    figure, axes = plt.subplots()
    log_axis(axes, values)
    low, high = axes.get_xlim()
    ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
    assert len(ticks) >= 2
    assert len({axes.xaxis.get_major_formatter()(tick, None) for tick in ticks}) == len(ticks)
    assert low < min(values) <= max(values) < high
    plt.close(figure)


@pytest.mark.parametrize("columns", [2, 6, 9, 12])
def test_numbers_of_a_matrix_stay_within_their_cells(columns: int) -> None:
    cells = pd.DataFrame(1.0, index=["hopskipjump_long", "fgsm"], columns=[f"victim_{k}" for k in range(columns)])
    figure, axes = plt.subplots(figsize=(4.8, 2.0), layout="constrained")
    matrix(axes, cells, cells.astype(object).replace(1.0, "?"), {})
    figure.draw_without_rendering()
    cell = abs(axes.transData.transform((1, 0))[0] - axes.transData.transform((0, 0))[0])
    widest = max(text.get_window_extent().width for text in axes.texts)
    assert widest <= cell
    plt.close(figure)


def test_an_attack_at_one_budget_stands_beside_the_curves(results: Path, drawn: Path) -> None:
    """Noise was run at one eps, fgsm at three: the figure shows both."""
    figures = {figure["name"]: figure for figure in artifacts.read_json(drawn / "figures.json")["figures"]}
    alt = figures["accuracy_by_eps_inf"]["alt"]
    scores = Results(results, "digits", PLAN).undefended
    once = scores[(scores["attack"] == "noise") & (scores["victim"] == "plain")]
    assert len(once) == 1
    assert f"plain under noise keeps {100 * once['adversarial_accuracy'].iloc[0]:.1f} % at ε 0.3" in alt
    assert "plain under fgsm goes from" in alt


def test_a_check_that_warns_or_fails_marks_the_labels_that_it_touches(results: Path) -> None:
    data = Results(results, "digits", PLAN)
    scores = data.undefended.to_dict("records")
    signs = {
        score["victim"]: {data.label(one)[-1] for one in scores if one["victim"] == score["victim"]} for score in scores
    }
    warned = {row["victim"] for row in data.checks if row["status"] == "warn" and not row["attack"]}
    assert warned
    for victim, found in signs.items():
        assert ("?" in found) == (victim in warned)


def test_where_nothing_was_attacked_figures_are_drawn_or_absent(results: Path, tmp_path: Path) -> None:
    """As when every chosen image is misclassified without an attack, or is of the attacks' target class."""
    empty = Path(shutil.copytree(results, tmp_path / "results", ignore=shutil.ignore_patterns("*.manifest.json")))
    tree = Layout(Path())
    patterns = [str(place["scores"]) for place in (tree.attack("*", "*", "*"), tree.evaluation("*", "*", "*"))]
    for file in [file for pattern in patterns for file in empty.glob(pattern)]:
        table = artifacts.read_table(file)
        artifacts.write_table(file, table.assign(**dict.fromkeys({"attacked", "success"} & {*table.columns}, False)))
    scores = SCORES.read(empty / "tables/scores.csv").assign(n_attacked=0)
    rates = [column for column in scores if column.startswith(("success_", "mean_", "median_"))]
    SCORES.write(empty / "tables/scores.csv", scores.assign(**dict.fromkeys(rates, float("nan"))))
    use_style()
    data = Results(empty, "digits", PLAN)
    reasons = {}
    for name, function in all_figures().items():
        try:
            for one in function(data):
                plt.close(one.figure)
        except Absent as reason:
            reasons[name] = str(reason)
    assert {"queries", "budgets"} <= set(reasons)


def test_identifiers_that_differ_in_every_process_are_renamed_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def once(name: str) -> tuple[bytes, bytes]:
        use_style()
        # Without a salt Matplotlib draws identifiers at random, as its older versions do for clip paths in any case.
        monkeypatch.setitem(plt.rcParams, "svg.hashsalt", None)
        figure, axes = plt.subplots()
        (line,) = axes.plot([0, 1, 2], [0, 2, 1], marker="o")
        axes.bar([0, 1], [1, 2], hatch=["////", "xxxx"])
        line.set_clip_path(plt.Circle((1, 1), 0.5, transform=axes.transData))
        files = save(Drawn("drawn", "title", "caption", "alt", figure), tmp_path / name, "digits")
        svg, pdf = (tmp_path / name / files[kind] for kind in ("svg", "pdf"))
        return svg.read_bytes(), pdf.read_bytes()

    one, two = once("one"), once("two")
    assert one == two
    text = one[0].decode()
    used = set(re.findall(r"(?:url\(#|href=\"#)([^)\"]+)", text))
    assert len(used) > 2
    assert used == set(re.findall(r' id="([^"]+)"', text))


def test_two_processes_draw_the_same_bytes(results: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from rivalry.stages import draw as stage\n"
        "from synthetic_results import PLAN\n"
        "figures = {kind: stage.all_figures()[kind] for kind in ('training', 'fitted')}\n"
        "stage.all_figures = lambda: figures\n"
        "stage.draw(Path(sys.argv[1]), Path(sys.argv[2]), dataset='digits', plan=PLAN)\n"
    )
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        subprocess.run([sys.executable, "-c", program, results, tmp_path / seed], env=environment, check=True)
    first, second = ({file.name: file.read_bytes() for file in (tmp_path / seed).iterdir()} for seed in ("1", "2"))
    assert {Path(name).suffix for name in first} == {".svg", ".pdf", ".json"}
    assert first == second


# ---- examples of a data set ----


def sheets(folder: Path, names: list[str], shape: tuple[int, ...], n: int) -> tuple[list[Drawn], np.ndarray]:
    """The figures of a data set whose image i, of class i modulo the number of classes, is of random pixels."""
    place = Layout(folder).data("toy")
    pixels = np.random.default_rng(0).integers(0, 256, (n, *shape), dtype=np.uint8)
    tensors = {"images": torch.from_numpy(pixels), "labels": torch.arange(n) % len(names)}
    artifacts.write_tensors(place["train"], tensors)
    artifacts.write_json(place.facts, {"class_names": names, "shape": shape})
    artifacts.write_manifest(place, [place["train"], place.facts])
    return examples(Results(folder, "toy", {})), pixels


def rows_of(drawn: list[Drawn]) -> dict[str, np.ndarray]:
    """The strip of images that stands behind each name, RGBA."""
    found = {}
    for axes in (axes for page in drawn for axes in page.figure.axes):
        (strip,) = axes.images
        canvas, labels = strip.get_array().data, [label.get_text() for label in axes.get_yticklabels()]
        found |= dict(zip(labels, np.split(canvas, len(labels)), strict=True))
        # One pixel is as wide as it is high.
        box = axes.get_position()
        width, height = axes.get_figure().get_size_inches() * (box.width, box.height)
        assert width / canvas.shape[1] == pytest.approx(height / canvas.shape[0])
        plt.close(axes.get_figure())
    return found


@pytest.mark.parametrize(
    ("classes", "shape", "pages", "each"),
    [
        (2, (3, 8, 6), 1, 10),
        (2, (1, 40, 6), 1, 10),
        (12, (1, 5, 5), 1, 10),
        (13, (1, 5, 9), 1, 5),
        (101, (3, 4, 4), 3, 5),
    ],
)
def test_a_sheet_shows_the_first_training_images_of_every_class(tmp_path, classes, shape, pages, each) -> None:
    names = [f"class {k}" for k in range(classes)]
    drawn, pixels = sheets(tmp_path, names, shape, 7 * classes + 1)
    assert [page.name for page in drawn] == ["examples", *(f"examples_{k}" for k in range(2, pages + 1))]
    rows = rows_of(drawn)
    assert list(rows) == names
    for label, (name, strip) in enumerate(rows.items()):
        assert any(name in page.alt for page in drawn)
        mine = pixels[label::classes][:each]
        shown = np.split(strip, each, axis=1)
        covered = [np.flatnonzero(cell[..., 3].any(axis=1)) for cell in shown[: len(mine)]]
        assert all(len(lines) == shape[1] for lines in covered)
        for image, cell, lines in zip(mine, shown, covered, strict=False):
            colours = cell[lines, : shape[2], :3].transpose(2, 0, 1)
            np.testing.assert_array_equal(colours, np.broadcast_to(image, colours.shape))
        assert not any(cell.any() for cell in shown[len(mine) :])


def test_a_sheet_of_large_images_or_very_many_classes_says_what_it_leaves_out(tmp_path) -> None:
    (large,), _ = sheets(tmp_path / "large", ["a", "b"], (3, 300, 200), 4)
    assert "Drawn smaller than they are, 200×300 pixels" in large.caption
    assert large.figure.axes[0].images[0].get_array().shape[0] < 300
    plt.close(large.figure)
    drawn, _ = sheets(tmp_path / "many", [str(k) for k in range(1000)], (1, 2, 2), 1000)
    rows = rows_of(drawn)
    assert len(rows) == 200
    assert {"0", "999"} < {*rows}
    assert all("200 of 1000 classes" in page.caption for page in drawn)


def test_names_of_classes_stay_in_front_of_their_images(tmp_path) -> None:
    use_style()
    names = ["Granny Smith apples, ripe ones", "ﾊﾝ" + "あ" * 100, "plain", "$5_to_$20"]
    drawn, _ = sheets(tmp_path, names, (3, 8, 8), 8)
    made = drawn[0].figure
    (axes,) = made.axes
    texts = [label.get_text() for label in axes.get_yticklabels()]
    assert texts[2:] == names[2:]
    assert all(text.endswith("…") for text in texts[:2])
    axes.set_yticklabels(map(printed, texts))
    made.draw_without_rendering()
    assert all(label.get_window_extent().x0 >= 0 for label in axes.get_yticklabels())
    plt.close(made)
