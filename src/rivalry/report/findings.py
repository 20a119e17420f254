"""What the numbers say, in sentences: made from the tables by fixed rules, never by hand.

A finding says what was found and is neither good nor bad by itself; its tone is "open" where the numbers leave the
question open, "good" only where a test on the same images says so, "bad" only where one says the opposite.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from rivalry.formatting import (
    NORMS,
    between,
    between_points,
    epsilon,
    fine_percent,
    guarded,
    listing,
    missing,
    number,
    percent,
    plural,
    points,
    shortened,
    tied,
)
from rivalry.references import named
from rivalry.report.summary import checked, doubted, judged_at, leader, paired, standing, within
from rivalry.statistics import marks
from rivalry.statistics.comparisons import SIZED
from rivalry.statistics.headlines import Listed, at_headline
from rivalry.statistics.literature import ROLES, expected, found, together
from rivalry.statistics.triggers import curves

Fact = dict[str, Any]


class Finding(NamedTuple):
    """One finding; `touched` are the kinds of self-checks that touch its numbers."""

    topic: str
    verdict: str
    tone: str
    text: str
    touched: list[Fact] = []  # noqa: RUF012 (never changed)


def find(report: Fact) -> list[Fact]:
    """The report's key findings.

    Returns
    -------
    list of dict
        dataset ('' for the whole run), topic, verdict (a word or two), tone (good, bad, open, neutral), text, mark
        ('!', '?' or ''), doubts (which self-checks warn or fail about its numbers, in words).
    """
    findings: list[Fact] = []
    for dataset in [fact["dataset"] for fact in report["datasets"]]:
        part = {
            key: [row for row in rows if row["dataset"] == dataset]
            for key, rows in report.items()
            if isinstance(rows, list) and all(isinstance(row, dict) and "dataset" in row for row in rows)
        }
        for rule in RULES:
            findings += [_listed(dataset, finding) for finding in rule(part)]
    return findings + [_listed("", finding) for finding in _whole_run(report)]


def _listed(dataset: str, finding: Finding) -> Fact:
    touched = marks.kinds(finding.touched)
    about = {name: getattr(finding, name) for name in ("topic", "verdict", "tone", "text")}
    return {"dataset": dataset, **about, "mark": marks.sign(touched), "doubts": marks.words(touched)}


def _doubted(part: Fact) -> Iterator[Finding]:
    """What was remarked on a network from outside: it touches all of its numbers."""
    for fact, text in doubted(part):
        yield Finding("Network from outside", "doubtful", "open", f"{fact['victim']}: {text}.")


def _clean(part: Fact) -> Iterator[Finding]:
    victims = sorted(part["victims"], key=lambda v: v["clean_accuracy"])
    worst, best = victims[0], victims[-1]
    text = f"{percent(best['clean_accuracy'])} % ({best['victim']})"
    if best["clean_accuracy"] > worst["clean_accuracy"]:
        text = f"from {percent(worst['clean_accuracy'])} % ({worst['victim']}) to {text}"
    elif len(victims) > 1:
        text = f"{percent(best['clean_accuracy'])} % of each of the {len(victims)} victims"
    yield Finding(
        "Test accuracy",
        "baseline",
        "neutral",
        f"Without an attack, accuracy on all {best['n_test']:,} test images is {text}.",
        [*marks.of_victim(part["checks"], worst), *marks.of_victim(part["checks"], best)],
    )


def _robust(part: Fact) -> Iterator[Finding]:
    """Who leads each ranking."""
    for place in part["rankings"]:
        text = leader(part, place)
        rows = [row for row in place["rows"] if not row["reason"]]
        if not any(row["strongest"] for row in rows):
            verdict, tone = "nothing to withstand", "open"
        elif place["eps"] is None:
            verdict, tone = "no budget", "neutral"
        elif rows[0]["accuracy"] == 0:
            verdict, tone = "none withstands", "neutral"
        else:
            test = paired(part, place, *rows[:2]) if len(rows) > 1 else None
            clear = test is not None and test["significant"] and test["ahead"] > 0
            verdict = guarded(rows[0]["victim"], rows[0]["defense"]) if clear else "no clear leader"
            tone = "neutral" if clear else "open"
        unknown = [guarded(row["victim"], row["defense"]) for row in place["rows"] if row["reason"]]
        text += f". Not measured (reasons under rankings): {shortened(unknown)}" if unknown else ""
        touched = [mark for row in rows[:2] for mark in row["marks"]]
        yield Finding("Robustness", verdict, tone, f"{text[0].upper()}{text[1:]}.", touched)


def _strongest(part: Fact) -> Iterator[Finding]:
    """Per victim the attack that leaves least at the headline budget, and the change that its images needed."""
    for victim in dict.fromkeys(fact["victim"] for fact in part["attacks"]):
        sentences, names, touched = [], [], []
        for case in part["worst_cases"]:
            if (case["victim"], case["defense"]) != (victim, "none") or case["reason"]:
                continue
            if case["headline"]:
                touched += case["marks"]
            if case["headline"] and case["eps"] is not None:
                at = f"{NORMS[case['norm']]} ε {epsilon(case['eps'])}"
                if not case["strongest"]:
                    sentences.append(f"No attack at {at} fools it on any image.")
                    continue
                names.append(case["strongest"])
                sentences.append(
                    f"Of {_tried(case['attacks'])} at {at}, {tied(case['strongest'])} leaves least: "
                    f"{percent(case['strongest_accuracy'])} % of {case['n']} images; all together leave "
                    f"{percent(case['accuracy'])} %."
                )
            if case["eps"] is None and case["median_distance"] is not None:
                sentences.append(
                    f"The smallest {NORMS[case['norm']]} change that an attack found has a median of "
                    f"{number(case['median_distance'])} over {case['n_right']} images."
                )
        if sentences:
            yield Finding(
                f"Attacks on {victim}",
                tied(names[0]) if names else "measured by size",
                "neutral",
                " ".join(sentences),
                touched,
            )


def _tried(names: list[str]) -> str:
    """How many attacks were run on a victim, and how many sets replayed on it."""
    replayed = sum(bool(Listed.read(name).source) for name in names)
    text = plural(len(names) - replayed, "attack")
    return f"{text} and {plural(replayed, 'replayed set')}" if replayed else text


def _transferred(part: Fact) -> Iterator[Finding]:
    """Between which victims an untargeted attack transfers best and worst, at the budget that the figures show.

    Noise looks at no victim, so it is no transfer.
    """
    blind = {fact["attack"] for fact in part["attacks"] if fact["sees"] == "nothing"}
    shown = at_headline(part["transfers"], part["worst_cases"])
    rows = [r for r in shown if r["source"] != r["victim"] and r["attack"] not in blind]
    rows = [row for row in rows if row["goal"] == "untargeted"]
    for attack in dict.fromkeys(row["attack"] for row in rows):
        met = sorted((r for r in rows if r["attack"] == attack and r["n"]), key=lambda r: r["transfer_rate"])
        if not met:
            continue
        least, most = met[0], met[-1]
        at = "" if most["eps"] is None else f" (ε {epsilon(most['eps'])})"
        text = f"Images that {attack}{at} crafted on {most['source']} fool {most['victim']} in {_rate(most)}"
        if len(met) > 1:
            text += f"; at the other end, those crafted on {least['source']} fool {least['victim']} in {_rate(least)}"
        text += ". The first rate is over the images that both had right, the second over those that fooled the source"
        strong, weak = most["low"] > 0.5, most["low"] > 0.05
        yield Finding(
            f"Transfer of {attack}",
            "transfers" if strong else "transfers in part" if weak else "little transfer shown",
            "neutral",
            f"{text}.",
            [mark for row in (least, most) for mark in marks.of_transfer(part["checks"], row)],
        )


def _rate(row: Fact) -> str:
    """A rate of transfer over all images, and over those that fooled their source."""
    fooling = f"{percent(row['rate_fooling'])} %" if row["n_fooling"] else "–"
    return f"{percent(row['transfer_rate'])} % [{between(row['low'], row['high'])}] and {fooling} of {row['n_fooling']}"


def _defended(part: Fact) -> Iterator[Finding]:
    """Whether each preprocessor or detector keeps more images than no defense, against attacks that know it."""
    unjudged: dict[tuple[str, str], list[str]] = {}
    for fact in part["defenses"]:
        victim, defense = fact["victim"], fact["defense"]
        if fact["kind"] == "transformer":
            continue
        topic = f"{defense} on {victim}"
        judged = False
        for place in judged_at(part, fact):
            rows = {(row["victim"], row["defense"]): row for row in place["rows"]}
            mine, bare = rows.get((victim, defense)), rows.get((victim, "none"))
            if mine is None or mine["reason"]:
                continue
            judged = True
            text = f"{within(place)}: all attacks together, those that know it among them, "
            text += f"leave {percent(mine['accuracy'])} % "
            text += f"[{between(mine['low'], mine['high'])}] of {mine['n']} images"
            if mine["strongest"]:
                text += f"; the strongest, {tied(mine['strongest'])}, leaves {percent(mine['strongest_accuracy'])} %"
            text += _told_apart(part, fact)
            test = paired(part, place, mine, bare) if bare and not bare["reason"] else None
            if bare is None or test is None or test["holm_p"] is None:
                text += f". It was not compared with {victim} without the defense."
                yield Finding(topic, "not compared", "open", text, mine["marks"])
                continue
            with_it, without = test["accuracies"]
            text += (
                f". Under the attacks that were aimed at both, {percent(with_it)} % of {test['n']} images remain with "
            )
            text += f"it and {percent(without)} % without, a difference of {points(test['ahead'])} points "
            text += f"[{between_points(test['low'], test['high'])}]."
            if mine["oblivious_accuracy"] is not None:
                text += f" Attackers who do not know it leave {percent(mine['oblivious_accuracy'])} %."
            verdict = standing(test, fact, mine, bare)
            tone = {"keeps more": "good", "no difference shown": "open"}.get(verdict, "neutral")
            yield Finding(
                topic,
                verdict,
                "bad" if test["significant"] and test["ahead"] < 0 else tone,
                text,
                [*mine["marks"], *bare["marks"]],
            )
        if not judged:
            reasons = {
                row["reason"]
                for row in part["worst_cases"]
                if (row["victim"], row["defense"]) == (victim, defense) and row["reason"]
            }
            why = f" ({listing(sorted(reasons))})" if reasons else ""
            unjudged.setdefault((victim, why), []).append(defense)
    for (victim, why), defenses in unjudged.items():
        topic = f"{defenses[0] if len(defenses) == 1 else f'{len(defenses)} defenses'} on {victim}"
        text = f"No robustness is claimed for {victim} behind {listing(defenses)}{why}."
        yield Finding(topic, "not measured", "open", text)


def _attack_at(row: Fact) -> str:
    """An attack and its budget, if it has one."""
    return str(row["attack"]) if missing(row["eps"]) else f"{row['attack']} (ε {epsilon(row['eps'])})"


def _told_apart(part: Fact, fact: Fact) -> str:
    """At how many false alarms a detector works, and how well it tells attackers who ignore it from clean images."""
    mine = [row for row in part["scores"] if (row["victim"], row["defense"]) == (fact["victim"], fact["defense"])]
    mine = [row for row in mine if not missing(row["flagged_clean"])]
    if fact["kind"] != "detector" or not mine:
        return ""
    most = max(mine, key=lambda row: int(row["n"]))
    text = f"; it refuses {percent(most['flagged_clean'])} % of {most['n']} clean images"
    allowed = fact["parameters"].get("false_positive_rate")
    text += f", where {percent(allowed)} % were allowed" if allowed is not None else ""
    blind = [row for row in mine if row["setting"] == "oblivious" and row["sees"] != "nothing"]
    blind = sorted((row for row in blind if not missing(row["auc"])), key=lambda row: float(row["auc"]))
    if blind:
        easy, hard = blind[-1], blind[0]
        text += f"; of the attacks that ignore it, it tells {_attack_at(easy)} from the same images unchanged with an "
        text += f"AUC of {number(easy['auc'])} (chance: 0.5)"
        text += f", and {_attack_at(hard)} with one of {number(hard['auc'])}" if easy["auc"] > hard["auc"] else ""
    return text


def _sizes(part: Fact) -> Iterator[Finding]:
    """Whether larger changes are caught more easily, as the course says, by whatever defense met some."""
    rows = [row for row in part["size_correlations"] if row["over"] == "images" and row["size"] == "l2"]
    if all(row["verdict"] == "not measured" for row in rows):
        return
    by_verdict: dict[str, list[str]] = {}
    for row in rows:
        words = f"{row['defense']} on {row['victim']}"
        if row["low"] is not None:
            words += f" ({number(row['rho'])} [{number(row['low'])} to {number(row['high'])}])"
        by_verdict.setdefault(row["verdict"], []).append(words)
    said = {
        "larger ones more": "larger changes are caught more easily by",
        "larger ones less": "smaller changes are caught more easily by",
        "hardly related": "size hardly matters to",
        "not shown": "no such connection is shown for",
        "not measured": "nothing can be said of",
    }
    parts = [f"{words} {listing(by_verdict[verdict])}" for verdict, words in said.items() if verdict in by_verdict]
    text = "; ".join(parts)
    yield Finding(
        "Larger changes and defenses",
        "in all"
        if {*by_verdict} - {"not measured"} == {"larger ones more"}
        else "not in all"
        if "larger ones more" in by_verdict
        else "in none",
        "neutral",
        f"{text[0].upper()}{text[1:]}: rank correlations of L2 and being flagged or brought back, over adversarial "
        "images that were made without knowing the defense, of those that the defended victim has right when they are "
        "unchanged.",
    )


def _published(part: Fact) -> Iterator[Finding]:
    """What the literature says of each method and defense, and whether this run shows it."""
    groups: dict[tuple[str, str, str], list[Fact]] = {}
    for row in part["claims"]:
        groups.setdefault((row["victim"], row["defense"], row["name"]), []).append(row)
    for (victim, defense, name), rows in groups.items():
        text, verdicts = [], {}
        for role, title in ROLES.items():
            mine = [row for row in rows if row["role"] == role]
            if not mine:
                continue
            verdicts[title] = together(role, [row["outcome"] for row in mine])
            said = listing(list(dict.fromkeys(map(_said, mine))))
            ours = [found(row) for row in mine if row["outcome"] != "not measured"]
            why = dict.fromkeys(row["note"] for row in mine)
            known = {expected(row) for row in mine if row["outcome"] != "not measured"}
            left = dict.fromkeys(words for row in mine if (words := expected(row)) not in known)
            text.append(
                f"{title.capitalize()}: it {said}; {verdicts[title]}: {'; '.join(ours or why)}"
                + (f". Whether it {' or '.join(left)} was not measured." if ours and left else ".")
            )
        if {*verdicts.values()} == {"not measured"}:
            continue
        if verdicts.get("known break") in ("not reproduced", "not shown"):
            text.append("Before a gain is believed that others took away, it needs stronger attacks, or more images.")
        if verdicts.get("control") in ("not reproduced", "not shown"):
            text.append(
                "A gain of what is no defense is a fault of the attacks until attacks of other kinds, and of more "
                "steps, find no more."
            )
        settled = {*verdicts.values()} <= {"reproduced", "reproduced in part"}
        yield Finding(
            f"{name[0].upper()}{name[1:]}: {guarded(victim, defense)}",
            "; ".join(f"{title} {verdict}" for title, verdict in verdicts.items()),
            "neutral" if settled else "open",
            " ".join(text),
            marks.of_victim(part["checks"], rows[0]),
        )


def _said(row: Fact) -> str:
    """What is said of a classifier, and by whom."""
    return f"{expected(row)} ({named(row['source'])})" if row["source"] else expected(row)


def _backdoors(part: Fact) -> Iterator[Finding]:
    """What a trigger does to the victim trained on it, to the others, and after a repair."""
    triggers = {a["attack"]: a["parameters"]["poisoning"] for a in part["attacks"] if "poisoning" in a["parameters"]}
    aims = {fact["poisoning"]: fact["target"] for fact in part.get("poisonings", [])}
    rows = [s for s in part["scores"] if s["attack"] in triggers and s["success_rate"] is not None]
    poisoned = {fact["victim"] for fact in part["victims"] if fact["poisoning"]}
    for victim in (v["victim"] for v in part["victims"] if v["poisoning"]):
        for mine in (s for s in rows if s["victim"] == victim and s["setting"] == "undefended"):
            controls = [
                s
                for s in rows
                if s["attack"] == mine["attack"] and s["setting"] == "undefended" and s["victim"] not in poisoned
            ]
            listed = [f"{s['victim']} {percent(s['success_rate'])} %" for s in controls]
            usual = max((s["success_high"] for s in controls), default=None)
            works = usual is not None and mine["success_low"] > usual
            to_next = aims.get(triggers[mine["attack"]]) == "next"
            aim = (
                "images into the class after their own" if to_next else "images of other classes into its target class"
            )
            yield Finding(
                f"Backdoor in {victim}",
                "no control" if usual is None else _backdoored(mine["success_low"]) if works else "no effect shown",
                "open" if usual is None else "neutral",
                f"{mine['attack']} turns {percent(mine['success_rate'])} % "
                f"[{between(mine['success_low'], mine['success_high'])}] of {mine['n_attacked']} {aim}"
                + (f"; on victims without its poison: {', '.join(listed)}." if listed else "; no other victim met it."),
                marks.of_score(part["checks"], mine),
            )
            for after in rows:
                if (after["victim"], after["attack"], after["setting"]) != (victim, mine["attack"], "oblivious"):
                    continue
                less = after["success_high"] < mine["success_low"]
                gone = less and usual is not None and after["success_rate"] <= usual
                price: Fact | None = next(
                    (
                        c
                        for c in part["comparisons"]
                        if (c["kind"], c["victim"], c["defense"], c["defense_b"])
                        == ("clean", victim, after["defense"], "none")
                    ),
                    None,
                )
                dear = price is not None and price["significant"] and price["difference"] > 0
                still = "no difference shown" if usual is None else "no working trigger shown"
                still = "trigger still works" if works else still
                verdict = "trigger gone" if gone else "trigger weaker" if less else still
                repair = next(
                    (f for f in part["defenses"] if (f["victim"], f["defense"]) == (victim, after["defense"])), None
                )
                innocent = (repair or {}).get("innocent_flagged") or []
                yield Finding(
                    f"{after['defense']} on {victim}",
                    f"{verdict} at a price" if dear and less else verdict,
                    "open",
                    f"After {after['defense']}, {mine['attack']} succeeds on {percent(after['success_rate'])} % "
                    f"[{between(after['success_low'], after['success_high'])}]; clean accuracy goes from "
                    f"{percent(mine['clean_accuracy'])} % to {percent(after['clean_accuracy'])} %"
                    + (
                        f" ({points(price['difference'])} points of error "
                        f"[{between_points(price['paired_low'], price['paired_high'])}])."
                        if price
                        else "."
                    )
                    + " The attacker did not adapt the trigger to the repair."
                    + (
                        f" Classes without a backdoor that were flagged as well: {listing([str(k) for k in innocent])}."
                        if innocent
                        else ""
                    ),
                )


def _needed(part: Fact) -> Iterator[Finding]:
    """How much has to be poisoned for a trigger to work."""
    victims = {fact["victim"]: fact for fact in part["victims"]}
    poisonings = {fact["poisoning"]: fact for fact in part.get("poisonings", [])}
    rows = {(row["victim"], row["attack"]): row for row in part.get("triggers", []) if not row["class"]}
    found = curves(part.get("triggers", []), victims, poisonings)
    for curve in found:
        line = [rows[victim, curve.attack] for victim in curve.victims]
        told = [
            f"{percent(row['success_rate'])} % [{between(row['low'], row['high'])}] "
            f"with {fine_percent(row['share_of_all'])} % of all training images"
            + (
                ""
                if row["share_of_target"] is None
                else f" ({fine_percent(row['share_of_target'])} % of those labelled as the target class)"
            )
            for row in line
            if row["success_rate"] is not None
        ]
        control = next((row for row in line if row["control"]), None)
        works = [
            row for row in line if None not in (row["low"], row["control_high"]) and row["low"] > row["control_high"]
        ]
        most = max((row["low"] for row in works), default=0.0)
        verdict = "no effect shown" if not works else "works" if most > 0.5 else "works on some"
        verdict = "no control" if control is None else verdict
        aim = f", target {curve.settings['target']}" if "target" in curve.settings else ""
        text = f"Poisoned by {curve.told_apart(found)}{aim}: {curve.attack} succeeds on {listing(told)}."
        if control:
            text += f" On {control['control']}, of clean data, it succeeds on {percent(control['control_rate'])} %."
        if works:
            text += (
                f" The smallest share at which it does more than there is {fine_percent(works[0]['share_of_all'])} %."
            )
        yield Finding(f"Poison that {curve.attack} needs", verdict, "neutral" if control else "open", text)


def _backdoored(low: float) -> str:
    """How far a trigger works that does more than on clean victims, by the lower end of its success."""
    return "backdoored" if low > 0.5 else "weakly backdoored"


def _noticed(part: Fact) -> Iterator[Finding]:
    """What filters find of the poisoned images."""
    found = [row for row in part.get("screening_rates", []) if row["n_poisoned"]]
    for victim in dict.fromkeys(row["victim"] for row in found):
        mine = [row for row in found if row["victim"] == victim]
        beyond = [row for row in mine if row["found_low"] > row["false_alarms_high"]]
        told = [
            f"{row['filter']} {percent(row['found'])} % [{between(row['found_low'], row['found_high'])}] where "
            f"{percent(row['false_alarms'])} % of the clean ones are suspected"
            for row in mine
        ]
        yield Finding(
            f"Poison in {victim}",
            "noticed" if beyond else "not noticed",
            "neutral",
            f"Of the {mine[0]['n_poisoned']} images that {mine[0]['poisoning']} poisoned, found: {'; '.join(told)}."
            + ("" if beyond else " No filter is shown to find more of them than of clean images."),
        )


def _aimed(part: Fact) -> Iterator[Finding]:
    """How often poisons turn the test image that they aim at."""
    facts = {(fact["victim"], fact["targeted"]): fact for fact in part.get("plantings", [])}
    for row in part.get("planting_rates", []):
        fact = facts[row["victim"], row["targeted"]]
        if row["success_rate"] is None:
            continue
        retrained = fact["parameters"].get("retrain", "again").replace("_", " ")
        yield Finding(
            f"Aimed poisons: {row['targeted']} on {row['victim']}",
            _aim(row),
            "neutral",
            f"{plural(fact['poisons'], 'poison')} by {row['method']} turned {percent(row['success_rate'])} % "
            f"[{between(row['low'], row['high'])}] of {row['n_counted']} test images, each by itself, after a training "
            f"({retrained}); {percent(row['others'])} % became a third class."
            + (
                f" For it, the images that became poisons were changed by an L2 of {number(fact['l2'])}; their targets "
                f"were {number(fact['target_l2'])} away."
                if "target_l2" in fact
                else ""
            ),
        )


def _aim(row: Fact) -> str:
    """Whether poisons do more than a training that comes out otherwise, which turns images into any class."""
    if not row["n_success"]:
        return "no success"
    if row["low"] <= row["others"]:
        return "no more than by chance"
    return "works" if row["low"] > 0.5 else "works on some"


def _fooled(part: Fact) -> Iterator[Finding]:
    """Of how many classes each victim is sure that it sees them in fooling images."""
    for victim in dict.fromkeys(fact["victim"] for fact in part["fooling"]):
        mine = sorted((f for f in part["fooling"] if f["victim"] == victim), key=lambda f: -f["success_rate"])
        share = mine[0]["success_rate"]
        counts = [
            f"{fact['n_success']} of {fact['n']} classes in those that {fact['fooling']} made "
            f"(at least {epsilon(100 * fact['asked_confidence'])} %)"
            for fact in mine
        ]
        yield Finding(
            f"Fooling {victim}",
            "fooled" if share == 1 else "partly fooled" if share > 0 else "not fooled",
            "neutral",
            f"In images without any object, {victim} is sure that it sees {listing(counts)}.",
            [mark for fact in mine for mark in marks.of_fooling(part["checks"], fact)],
        )


def _ties(part: Fact) -> Iterator[Finding]:
    """How many like-for-like comparisons cannot tell the two sides apart."""
    fair = [c for c in part["comparisons"] if c["like_for_like"]]
    tied = [c for c in fair if not c["significant"]]
    if not tied:
        return
    same = sum(c["kind"] not in SIZED and not c["discordant_a"] and not c["discordant_b"] for c in tied)
    attacks = [f"{c['a']} and {c['b']} on {c['victim']}" for c in tied if c["kind"] == "attack"]
    yield Finding(
        "Comparisons",
        "not distinguishable",
        "open",
        f"{len(tied)} of {plural(len(fair), 'like-for-like comparison')} cannot tell the two sides apart ({same} of "
        "them agree on every image)" + (f", among attacks for instance {'; '.join(attacks[:3])}." if attacks else "."),
    )


def _whole_run(report: Fact) -> Iterator[Finding]:
    kinds = report["check_summary"]
    fails, warns = sum(kind["fail"] for kind in kinds), sum(kind["warn"] for kind in kinds)
    yield Finding(
        "Self-checks",
        "failed" if fails else "warnings" if warns else "passed" if kinds else "none",
        "bad" if fails else "open" if warns or not kinds else "good",
        checked(report) + (" A failed check means that the numbers which it names may be wrong." if fails else ""),
    )
    judged = [row for row in report["reported"] if row["within"] is not None]
    if judged:
        agree = sum(row["within"] for row in judged)
        yield Finding(
            "Reported numbers",
            f"{agree} of {len(judged)} agree",
            "neutral",
            f"{plural(len(judged), 'measured number')} can be set beside one that a source document prints (a printed "
            f"one may stand beside several); in {agree} of them, the interval of this run, which is that of its test "
            "images alone, holds the printed one.",
        )


RULES = (
    _doubted,
    _clean,
    _robust,
    _strongest,
    _transferred,
    _defended,
    _sizes,
    _published,
    _backdoors,
    _needed,
    _noticed,
    _aimed,
    _fooled,
    _ties,
)
"""What is said of each data set, in this order."""
