"""What the numbers say, in sentences: made from the tables by fixed rules, never by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rivalry.report.formatting import NORMS, between, epsilon, listing, number, percent, plural
from rivalry.report.transfers import at_headline
from rivalry.report.worst_case import headline_budget

Fact = dict[str, Any]

VANISHING = 0.2
"""Share of images with a zero loss gradient above which a gradient attack's failure proves nothing."""

PRICE = 0.03
"""Clean accuracy that a repair may cost before the report speaks of a price."""


def find(report: Fact) -> list[Fact]:
    """The report's key findings.

    Returns
    -------
    list of dict
        dataset ('' for the whole run), topic, verdict (a word or two), tone (good, bad, open, neutral), text.
    """
    findings: list[Fact] = []
    for dataset in [fact["dataset"] for fact in report["datasets"]]:
        part = {
            key: [row for row in report[key] if row["dataset"] == dataset]
            for key in (
                *("victims", "attacks", "defenses", "scores", "comparisons", "worst_cases", "transfers", "fooling"),
            )
        }
        for rule in (_clean, _robust, _strongest, _transferred, _defended, _backdoors, _fooled, _ties):
            for topic, verdict, tone, text in rule(part):
                findings.append({"dataset": dataset, "topic": topic, "verdict": verdict, "tone": tone, "text": text})
    for topic, verdict, tone, text in _whole_run(report):
        findings.append({"dataset": "", "topic": topic, "verdict": verdict, "tone": tone, "text": text})
    return findings


def _clean(part: Fact) -> Iterator[tuple[str, str, str, str]]:
    victims = sorted(part["victims"], key=lambda v: v["clean_accuracy"])
    worst, best = victims[0], victims[-1]
    said = f"{percent(best['clean_accuracy'])} % ({best['victim']})"
    if len(victims) > 1:
        said = f"from {percent(worst['clean_accuracy'])} % ({worst['victim']}) to {said}"
    yield (
        "Clean accuracy",
        "baseline",
        "neutral",
        f"Without an attack, accuracy on the {best['n_test']:,} test images is {said}.",
    )


def _robust(part: Fact) -> Iterator[tuple[str, str, str, str]]:
    """The most robust undefended victim by its worst case per image, for each norm at its headline budget."""
    cases = [case for case in part["worst_cases"] if case["defense"] == "none" and case["eps"] is not None]
    targeted = {score["attack"] for score in part["scores"] if score["goal"] == "targeted"}
    for norm in dict.fromkeys(case["norm"] for case in cases):
        top = headline_budget(case["eps"] for case in cases if case["norm"] == norm)
        met = sorted((c for c in cases if c["norm"] == norm and c["eps"] == top), key=lambda c: -c["accuracy"])
        best = met[0]
        tried = plural(len(best["attacks"]), "attack")
        at = f"At {NORMS.get(norm, norm)} ε {epsilon(top)}, with the worst of {tried} taken image by image"
        if best["accuracy"] < 0.05:
            yield (
                "Robustness",
                "broken",
                "bad",
                f"{at}, no victim withstands: at most {percent(best['accuracy'])} % of images survive.",
            )
            continue
        blind = max((s["zero_gradient_share"] or 0 for s in part["scores"] if s["victim"] == best["victim"]), default=0)
        if blind > VANISHING:
            yield (
                "Robustness",
                "gradients vanish",
                "open",
                f"{at}, {best['victim']} keeps {percent(best['accuracy'])} % of {best['n']} images, but on "
                f"{percent(blind)} % of them attacks met a gradient of zero: they fail for want of a direction, which "
                "is no evidence of robustness.",
            )
            met = [case for case in met if case["victim"] != best["victim"]]
            if not met:
                continue
            best = met[0]
            at = "Without it"
        # What only targeted attacks tried, an untargeted one has tried as well.
        others = sorted({a for c in met for a in c["attacks"]} - set(best["attacks"]) - targeted)
        if others:
            yield (
                "Robustness",
                "not comparable",
                "open",
                f"{at}, {best['victim']} keeps {percent(best['accuracy'])} % [{between(best['low'], best['high'])}] of "
                f"{best['n']} images, but it never met {listing(others)}, which other victims did.",
            )
            continue
        rest = [f"{c['victim']} {percent(c['accuracy'])} %" for c in met[1:]]
        clear = len(met) == 1 or best["low"] > met[1]["high"]
        yield (
            "Robustness",
            best["victim"] if clear else "no clear winner",
            "good" if clear else "open",
            f"{at}, {best['victim']} keeps {percent(best['accuracy'])} % "
            f"[{between(best['low'], best['high'])}] of {best['n']} images"
            + (f"; the others: {', '.join(rest)}." if rest else ".")
            + ("" if clear else f" Its interval overlaps that of {met[1]['victim']}.")
            + _fewer(best),
        )


def _fewer(case: Fact) -> str:
    """What attacks that met fewer images add to a worst case."""
    fewer = case["fewer"]
    if not fewer or fewer["accuracy"] >= fewer["before"]:
        return ""
    slow = sorted(set(fewer["attacks"]) - set(case["attacks"]))
    return (
        f" On the {fewer['n']} images that {listing(slow)} met too, {percent(fewer['accuracy'])} % "
        f"[{between(fewer['low'], fewer['high'])}] survive all attacks, {percent(fewer['before'])} % without "
        f"{'these' if len(slow) > 1 else 'it'}."
    )


def _strongest(part: Fact) -> Iterator[tuple[str, str, str, str]]:
    """Per victim the strongest untargeted attack at the largest budget, and the one with the smallest change."""
    rows = [s for s in part["scores"] if s["setting"] == "undefended" and s["goal"] == "untargeted" and s["n_attacked"]]
    same = [
        c
        for c in part["comparisons"]
        if c["kind"] == "attack" and _true(c["like_for_like"]) and not _true(c["significant"])
    ]
    for victim in dict.fromkeys(row["victim"] for row in rows):
        sentences, best_name = [], ""
        fixed = [s for s in rows if s["victim"] == victim and s["budget"] == "fixed" and s["eps"] is not None]
        for norm in dict.fromkeys(s["norm"] for s in fixed):
            top = max(s["eps"] for s in fixed if s["norm"] == norm)
            met = sorted(
                (s for s in fixed if s["norm"] == norm and s["eps"] == top),
                key=lambda s: s["adversarial_accuracy"],
            )
            best = met[0]
            if best["success_rate"] == 0:
                sentences.append(f"No {NORMS.get(norm, norm)} attack at ε {epsilon(top)} fools it on any image.")
                continue
            best_name = best_name or best["attack"]
            mine = f"{best['attack']} (eps {epsilon(top)})"
            ties = [
                (c["b"] if c["a"] == mine else c["a"]).split(" (eps ")[0]
                for c in same
                if c["victim"] == victim and mine in (c["a"], c["b"])
            ]
            ties = [name for name in ties if name in {s["attack"] for s in met}]
            sentences.append(
                f"Of {plural(len(met), 'attack')} with {NORMS.get(norm, norm)} budget ε {epsilon(top)}, "
                f"{best['attack']} hurts most: it leaves {percent(best['adversarial_accuracy'])} % "
                f"[{between(best['adversarial_low'], best['adversarial_high'])}] "
                f"of {best['n']} images." + (f" Not distinguishable from it: {listing(ties)}." if ties else "")
            )
        minimal = [s for s in rows if s["victim"] == victim and s["budget"] == "minimal" and s["median_l2"] is not None]
        if minimal:
            least = min(minimal, key=lambda s: s["median_l2"])
            best_name = best_name or least["attack"]
            sentences.append(
                f"Free to choose its budget, {least['attack']} succeeds on {percent(least['success_rate'])} "
                f"% with a median L2 of {number(least['median_l2'])}."
            )
        if sentences:
            yield (
                f"Attacks on {victim}",
                best_name or "none succeeds",
                "bad" if best_name else "good",
                " ".join(sentences),
            )


def _transferred(part: Fact) -> Iterator[tuple[str, str, str, str]]:
    """Between which victims an untargeted attack transfers best and worst, at the budget that the figures show.

    Noise looks at no victim, so it is no transfer.
    """
    blind = {fact["attack"] for fact in part["attacks"] if fact["sees"] == "nothing"}
    rows = [r for r in at_headline(part["transfers"]) if r["source"] != r["victim"] and r["attack"] not in blind]
    rows = [row for row in rows if row["goal"] == "untargeted"]
    for attack in dict.fromkeys(row["attack"] for row in rows):
        met = sorted((r for r in rows if r["attack"] == attack and r["n"]), key=lambda r: r["transfer_rate"])
        if not met:
            continue
        least, most = met[0], met[-1]
        at = "" if most["eps"] is None else f" (ε {epsilon(most['eps'])})"
        said = (
            f"Of images that {attack}{at} crafted on {most['source']}, {percent(most['transfer_rate'])} % "
            f"[{between(most['low'], most['high'])}] also fool {most['victim']}"
        )
        if len(met) > 1:
            said += f"; at the other end, crafted on {least['source']}, {percent(least['transfer_rate'])} % "
            said += f"[{between(least['low'], least['high'])}] fool {least['victim']}"
        strong, weak = most["low"] > 0.5, most["low"] > 0.05
        yield (
            f"Transfer of {attack}",
            "transfers" if strong else "transfers in part" if weak else "does not transfer",
            "bad" if strong else "open" if weak else "good",
            f"{said}.",
        )


def _defended(part: Fact) -> Iterator[tuple[str, str, str, str]]:
    """Whether each preprocessor or detector holds against attacks that know it."""
    for fact in part["defenses"]:
        victim, defense = fact["victim"], fact["defense"]
        if fact["kind"] == "transformer":
            continue
        topic = f"{defense} on {victim}"
        rows = [s for s in part["scores"] if (s["victim"], s["defense"]) == (victim, defense)]
        oblivious = [
            s["adversarial_accuracy"] for s in rows if s["setting"] == "oblivious" and s["goal"] == "untargeted"
        ]
        cases = [c for c in part["worst_cases"] if (c["victim"], c["defense"]) == (victim, defense)]
        limited = [c for c in cases if c["eps"] is not None]
        if not cases:
            yield (
                topic,
                "untested",
                "open",
                f"No attack that knows {defense} was run on {victim}, so no robustness is claimed"
                + (f"; attacks that ignore it leave at least {percent(min(oblivious))} %." if oblivious else "."),
            )
            continue
        case = max(limited or cases, key=lambda c: c["eps"] or 0)
        before = case["without"]
        bare = [c for c in part["worst_cases"] if (c["victim"], c["defense"]) == (victim, "none")]
        untried = sorted({a for c in bare if c["norm"] == case["norm"] for a in c["attacks"]} - set(case["attacks"]))
        untried = [
            a["attack"]
            for a in part["attacks"]
            if a["victim"] == victim and a["attack"] in untried and a["sees"] != "nothing"
        ]
        holds = before is not None and case["low"] > before["high"]
        at = NORMS.get(case["norm"], case["norm"]) + (
            f" ε {epsilon(case['eps'])}" if case["eps"] is not None else ", any size"
        )
        ignored = f"Attacks that ignore it leave at least {percent(min(oblivious))} %; " if oblivious else ""
        yield (
            topic,
            "does not hold" if not holds else "raises robustness" if not untried else "not fully tested",
            "bad" if not holds else "good" if not untried else "open",
            f"{ignored}{'attacks' if ignored else 'Attacks'} that know it leave {percent(case['accuracy'])} "
            f"% [{between(case['low'], case['high'])}] of {case['n']} images in the worst case ({at})"
            + (f", against {percent(before['accuracy'])} % without it." if before else ".")
            + (f" Not run against it: {listing(untried)}." if untried else ""),
        )


def _backdoors(part: Fact) -> Iterator[tuple[str, str, str, str]]:
    """What a trigger does to the victim trained on it, to the others, and after a repair."""
    triggers = [a["attack"] for a in part["attacks"] if "poisoning" in a["parameters"]]
    rows = [s for s in part["scores"] if s["attack"] in triggers and s["success_rate"] is not None]
    for victim in (v["victim"] for v in part["victims"] if v["poisoning"]):
        for mine in (s for s in rows if s["victim"] == victim and s["setting"] == "undefended"):
            control = [
                f"{s['victim']} {percent(s['success_rate'])} %"
                for s in rows
                if s["attack"] == mine["attack"] and s["setting"] == "undefended" and s["victim"] != victim
            ]
            strong, weak = mine["success_low"] > 0.5, mine["success_low"] > 0.05
            yield (
                f"Backdoor in {victim}",
                "backdoored" if strong else "weak backdoor" if weak else "no effect",
                "bad" if strong else "open" if weak else "neutral",
                f"{mine['attack']} takes {percent(mine['success_rate'])} % "
                f"[{between(mine['success_low'], mine['success_high'])}] of {mine['n_attacked']} images of "
                "other classes to its target"
                + (f"; on victims without the poison: {', '.join(control)}." if control else "."),
            )
            repaired = (
                s
                for s in rows
                if weak
                and (s["victim"], s["attack"], s["setting"]) == (victim, mine["attack"], "oblivious")
                and s["defense"] != "none"
            )
            for after in repaired:
                gone = after["success_high"] < mine["success_low"]
                dear = mine["clean_accuracy"] - after["clean_accuracy"] > PRICE
                yield (
                    f"{after['defense']} on {victim}",
                    "not repaired" if not gone else "repaired at a price" if dear else "repaired",
                    "bad" if not gone else "open" if dear else "good",
                    f"After {after['defense']}, {mine['attack']} succeeds on "
                    f"{percent(after['success_rate'])} % "
                    f"[{between(after['success_low'], after['success_high'])}]; clean accuracy goes from "
                    f"{percent(mine['clean_accuracy'])} % to {percent(after['clean_accuracy'])} %.",
                )


def _fooled(part: Fact) -> Iterator[tuple[str, str, str, str]]:
    """Of how many classes each victim is sure that it sees them in images of nothing."""
    for victim in dict.fromkeys(fact["victim"] for fact in part["fooling"]):
        mine = sorted((f for f in part["fooling"] if f["victim"] == victim), key=lambda f: -f["success_rate"])
        share = mine[0]["success_rate"]
        said = [
            f"{fact['n_success']} of {fact['n']} classes in those of {fact['fooling']} "
            f"(at least {epsilon(100 * fact['asked_confidence'])} %)"
            for fact in mine
        ]
        yield (
            f"Fooling {victim}",
            "fooled" if share == 1 else "partly fooled" if share > 0 else "not fooled",
            "bad" if share == 1 else "open" if share > 0 else "good",
            f"In images of nothing {victim} is sure that it sees {listing(said)}.",
        )


def _ties(part: Fact) -> Iterator[tuple[str, str, str, str]]:
    """How many like-for-like comparisons cannot tell the two sides apart."""
    fair = [c for c in part["comparisons"] if _true(c["like_for_like"])]
    tied = [c for c in fair if not _true(c["significant"])]
    if not tied:
        return
    attacks = [f"{c['a']} and {c['b']} on {c['victim']}" for c in tied if c["kind"] == "attack"]
    yield (
        "Comparisons",
        "not distinguishable",
        "open",
        f"{len(tied)} of {plural(len(fair), 'like-for-like comparison')} cannot tell the two sides apart"
        + (f", among attacks for instance {'; '.join(attacks[:3])}." if attacks else "."),
    )


def _whole_run(report: Fact) -> Iterator[tuple[str, str, str, str]]:
    checks = [row["status"] for row in report["checks"]]
    fails, warns = checks.count("fail"), checks.count("warn")
    yield (
        "Self-checks",
        "failed" if fails else "warnings" if warns else "passed",
        "bad" if fails else "open" if warns else "good",
        f"Of {plural(len(checks), 'self-check')} {checks.count('pass')} pass, {warns} warn and {fails} fail."
        + (" The failures below put the numbers they name in doubt." if fails else ""),
    )
    measured = [row for row in report["reported"] if row["measured"] is not None]
    if measured:
        within = sum(_true(row["within"]) for row in measured)
        yield (
            "Reported numbers",
            f"{within} of {len(measured)} agree",
            "neutral",
            f"{plural(len(measured), 'number')} that the source documents print could be measured; {within} "
            "of them lie within the interval of this run.",
        )


def _true(value: Any) -> bool:
    return str(value).lower() in ("true", "1", "1.0")
