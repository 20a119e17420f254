"""The report's sections: what stands in each, and in which order.

The page and the paper are both made from this list. A new figure or table is its function and its name here; what a
section has besides its words, figures and tables is a macro of the templates, called like the section.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from rivalry.report.tables import (
    attacks,
    certified,
    checks,
    comparisons,
    data,
    defenses,
    detectors,
    figures,
    filters,
    fooling,
    literature,
    networks,
    poisoning,
    provenance,
    queries,
    reported,
    robustness,
    side_by_side,
    sizes,
    targeted,
    transfer,
    victims,
)
from rivalry.report.tables._table import Table

Report = dict[str, Any]


@dataclass(frozen=True)
class Section:
    """A section. It is shown if there is something to show in it.

    Attributes
    ----------
    key, title : str
        In its anchor; what stands above it. {} in the title is the data set.
    words : tuple of str
        Paragraphs, with **strong** words and citations such as {cite:holm1979,mcnemar1947}. No numbers: those come
        from report.json.
    terms : tuple of (str, str)
        Words that are explained, and what they mean.
    special : bool
        Whether the templates have a macro for it, called like `key`.
    figures : tuple of str
        Names of functions of `rivalry.figures`.
    tables : tuple of functions
        From the report's facts to a table or several; in `parts` from the facts and a data set.
    empty : str
        What is said where there is neither figure nor table; without it the section is left out then.
    parts : tuple of Section
        What is told of each data set; the section stands once for each.
    """

    key: str
    title: str
    words: tuple[str, ...] = ()
    terms: tuple[tuple[str, str], ...] = ()
    special: bool = False
    figures: tuple[str, ...] = ()
    tables: tuple[Callable[..., Table | list[Table]], ...] = ()
    empty: str = ""
    parts: tuple[Section, ...] = ()


TERMS = (
    (
        "Victim",
        "A trained classifier: its architecture, how it was trained, and on what data, poisoned or not; or a network "
        "that the user brought.",
    ),
    (
        "Accuracy",
        "The share of the n test images that are classified correctly. An image that the victim has wrong without any "
        "attack is lost under every attack. A detector, or a victim that may refuse, also keeps an attacked image by "
        "refusing it; if it refuses an image that was not attacked, that image is lost. Without an attack there are "
        "two accuracies: **test accuracy** on the whole test split, and **clean accuracy** on those of its images that "
        "the attacks were given. Only the second can be compared with an accuracy under attack.",
    ),
    (
        "Success",
        "The share of images that an attack turned, among those that were classified correctly before and could be "
        "attacked. An untargeted attack may turn an image into any other class, a targeted one only into its target. "
        "An image that is refused is no success. Targeted and untargeted rates are never compared.",
    ),
    (
        "Budget ε",
        "How much an attack may change an image, measured in one norm, with pixel values between zero and one. An "
        "attack without ε looks for the smallest change that works, and is judged by the size of that change.",
    ),
    (
        "Oblivious and adaptive",
        "An oblivious attack does not know the defense. An adaptive one does: it is aimed at the defended victim "
        "itself {cite:athalye2018,tramer2020}. **Only the adaptive number is called robustness.**",
    ),
    (
        "Worst case",
        "The most important number. An image counts only if the classifier has it right and no attack of one norm "
        "turned it within the budget. To measure it takes attacks by at least two methods, aimed at this very "
        "classifier; where there were fewer, the report says “not measured”. Norms are never averaged "
        "{cite:carlini2019}.",
    ),
    (
        "Intervals",
        "Single rates have Wilson intervals {cite:wilson1927}. Differences have an interval for paired rates "
        "{cite:bonett2012}, because all attacks see the same images. The page's tables also have the course's "
        "interval for independent rates {cite:mitchell1997}.",
    ),
    (
        "Verdicts",
        "Two error rates differ when an exact McNemar test {cite:mcnemar1947} says so after Holm's correction "
        "{cite:holm1979}. There are two families of tests, the same in every report: the comparisons of worst cases, "
        "which say who withstands more, and all others. Each is corrected by itself, over all data sets: the chance "
        "that any two equal ones in it are told apart is at most the level of the test. Sizes of changes are compared "
        "with Wilcoxon's test {cite:wilcoxon1945}. What is not like for like is not tested. “Not distinguishable” "
        "means that this run cannot tell the two apart, not that they are equal.",
    ),
    (
        "Seeds",
        "A victim may be trained several times, each time with a seed of its own, since what one training gives is "
        "partly luck {cite:bouthillier2021}. Its numbers are then means over trainings, beside the spread between "
        "them. The interval of a rate joins that of the images (Wilson) and that of the seeds (Student) "
        "{cite:howe1974}. Two victims differ only where the difference exceeds the spread between seeds: the test "
        "joins the variance between trainings, with Welch's degrees of freedom {cite:welch1938}, and that of paired "
        "images in the same way. Two attacks on one victim, or a victim with and without a defense, differ where "
        "McNemar's test says so in every training {cite:berger1982}.",
    ),
    (
        "Tables",
        "On the page, a click on a column's title sorts by it, and every table can be saved as a CSV file with full "
        "precision. All numbers are in report.json beside it.",
    ),
)

RESULTS = (
    Section("robustness", "Robustness", figures=("worst_case",), tables=(robustness.worst_cases,)),
    Section(
        "victims",
        "Victims",
        figures=("training", "sweeps"),
        tables=(victims.victims, victims.trainings, victims.spreads, victims.brought),
    ),
    Section(
        "attacks",
        "Attacks",
        figures=("accuracy", "accuracy_by_eps", "budgets", "cost", "queries"),
        tables=(side_by_side.under_attacks, side_by_side.smallest_changes, attacks.attacks, attacks.fitted),
    ),
    Section(
        "transfer",
        "Transfer",
        words=(
            "Images that were crafted on one victim often fool another one, even of a very different kind "
            "{cite:papernot2016transfer}. Then an attacker does not need to know the victim at all.",
        ),
        figures=("transfer",),
        tables=(transfer.transfers,),
    ),
    Section(
        "defenses",
        "Defenses",
        words=(
            "Each defense meets attacks that do not know it and attacks that do. Only the adaptive number is called "
            "robustness. Where it is no higher than without the defense, the defense only hid the victim from attacks "
            "that did not know of it.",
        ),
        figures=(
            "attack_defense",
            "preprocessors",
            "detectors",
            "roc",
            "defense_budgets",
            "sizes",
            "certified",
            "query_limits",
        ),
        tables=(
            defenses.worth,
            defenses.defenses,
            detectors.found,
            detectors.unseen,
            detectors.differences,
            sizes.correlations,
            sizes.behind,
            certified.certificates,
            queries.query_limits,
        ),
    ),
    Section(
        "literature",
        "Claims of the literature",
        words=(
            "Some methods are known to be broken, and good attacks must break them here too; others are known to "
            "work. Where a known result does not show, the attack, the training or the number of images is the first "
            "suspect.",
        ),
        tables=(literature.claims,),
    ),
    Section(
        "poisoning",
        "Poisoning",
        words=(
            "A poisoning changes training images, so that a victim that learned from them misbehaves when an image "
            "bears a trigger {cite:gu2017,turner2019}. Images of the target class never count as successes: a victim "
            "that always answered that class would get none.",
        ),
        figures=("poisons", "backdoor", "poisoned_share", "filters", "suspicious", "planted"),
        tables=(
            poisoning.poisonings,
            poisoning.triggers,
            poisoning.triggers_by_class,
            poisoning.cleansed,
            poisoning.pruned,
            filters.screenings,
            targeted.plantings,
        ),
    ),
    Section(
        "fooling",
        "Fooling images",
        words=(
            "Fooling images are not made from images of the data but from grey, noise or patterns. A person sees no "
            "object in them; the victim is sure that it sees one.",
        ),
        figures=("fooling",),
        tables=(fooling.fooling,),
    ),
    Section("images", "Images", figures=("gallery", "gallery_by_eps", "fitted")),
    Section(
        "comparisons",
        "Comparisons",
        words=(
            "Differences are in percentage points, with the interval that belongs to the test. Two sides are “like for "
            "like” when goal and budget agree.",
        ),
        figures=("significance",),
        tables=(comparisons.comparisons,),
    ),
    Section("sheet", "The data set", figures=("examples",), tables=(data.classes,)),
    Section("absent", "Figures left out", tables=(figures.absent,)),
)
"""What is told of each data set."""

SECTIONS = (
    Section("summary", "Summary", special=True),
    Section(
        "rankings",
        "Rankings",
        tables=(robustness.rankings,),
        empty="There is no ranking: no classifier met two attacks of one norm.",
    ),
    Section("findings", "Findings", special=True),
    Section("limits", "What limits this report", special=True),
    Section("reading", "How to read this report", terms=TERMS),
    Section("threats", "Threat models", tables=(attacks.threat_models,)),
    Section("data", "Data", tables=(data.data_sets,), special=True),
    Section("results", "Results: {}", parts=RESULTS),
    Section(
        "checks",
        "Self-checks",
        words=(
            "The run checks its own results. A failure means that the numbers which it names may be wrong; a warning "
            "means that they need a second look.",
        ),
        tables=(checks.kinds, checks.doubts),
        empty="No self-check was made.",
    ),
    Section("reported", "Reported against measured", tables=(reported.counts, reported.reported)),
    Section(
        "apart",
        "Not compared or not run",
        tables=(comparisons.kept_apart,),
        empty="Nothing: everything that can be compared in this run is compared.",
    ),
    Section(
        "networks",
        "Networks",
        words=("The layers of the victims' networks, in the order in which an image meets them.",),
        tables=(networks.networks,),
    ),
    Section(
        "provenance",
        "Environment, seeds and run times",
        words=(
            "Each job's seed follows from the configuration's seed; the seed of a training also from what is trained, "
            "whatever it is called, and that of another job from the job's own name. All seeds, and the SHA-256 of "
            "every file that the numbers rest on, are in report.json.",
        ),
        tables=(provenance.versions, provenance.run_times, provenance.seeds, provenance.hashes),
    ),
    Section("configuration", "Configuration", words=("As the run used it, with all defaults.",), special=True),
    Section("references", "References", special=True),
)
"""The report, from its first line to its last."""


@dataclass(frozen=True)
class Shown:
    """A section as one report has it.

    Attributes
    ----------
    section : Section
    anchor, title : str
    dataset : str
        "" for the whole run.
    figures : list of list of dict
        Entries of figures.json. What is the same for several victims is one list; its first stands for all.
    tables : list of Table
        With a row at least.
    parts : list of Shown
    """

    section: Section
    anchor: str
    title: str
    dataset: str = ""
    figures: list[list[dict[str, Any]]] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    parts: list[Shown] = field(default_factory=list)


def shown(report: Report, *, paper: bool) -> list[Shown]:
    """The sections that a report has, with what stands in them, on the page or in the paper."""
    found: list[Shown] = []
    for section in SECTIONS:
        if not section.parts:
            found += _filled(section, report, paper)
            continue
        for dataset in (fact["dataset"] for fact in report["datasets"]):
            parts = [one for part in section.parts for one in _filled(part, report, paper, section.key, dataset)]
            anchor = f"{section.key}.{dataset}"
            found.append(Shown(section, anchor, section.title.format(dataset), dataset, parts=parts))
    return found


def _filled(section: Section, report: Report, paper: bool, within: str = "", dataset: str = "") -> Iterator[Shown]:
    """A section with what there is to show in it, if there is anything."""
    # No name of a data set holds a dot, so that no anchor is met twice.
    anchor = f"{within}.{dataset}.{section.key}" if dataset else section.key
    about = (report, dataset) if dataset else (report,)
    tables: list[Table] = []
    for make in section.tables:
        made = make(*about)
        tables += made if isinstance(made, list) else [made]
    tables = [table for table in (each.in_paper() if paper else each for each in tables) if table.rows]
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for kind in section.figures:
        for one in report["figures"][dataset]["figures"]:
            if one["kind"] == kind:
                groups.setdefault((kind, one["group"] or one["name"]), []).append(one)
    if tables or groups or section.terms or section.special or section.empty:
        yield Shown(section, anchor, section.title, dataset, list(groups.values()), tables)


def cited(sections: Iterable[Shown]) -> set[str]:
    """Keys of the works that the words of these sections cite."""
    keys: set[str] = set()
    for one in sections:
        for words in (*one.section.words, *(meaning for _, meaning in one.section.terms)):
            keys.update(*(found.split(",") for found in re.findall(r"\{cite:(.*?)\}", words)))
        keys |= cited(one.parts)
    return keys
