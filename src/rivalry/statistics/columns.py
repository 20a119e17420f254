"""The columns of the tables that tabulate writes; see the modules that make them for what they mean."""

from __future__ import annotations

from rivalry.statistics.tables import Table

SCORES = Table(
    ("text", "dataset victim"),
    ("count", "seed"),
    ("text", "attack defense setting goal target sees norm budget"),
    ("number", "eps"),
    ("count", "n n_attacked n_crafted"),
    ("number", "clean_accuracy clean_low clean_high adversarial_accuracy adversarial_low adversarial_high"),
    ("number", "success_rate success_low success_high"),
    ("number", "clean_confidence clean_confidence_low clean_confidence_high"),
    ("number", "confidence confidence_low confidence_high"),
    ("number", "mean_l0 median_l0 mean_l2 median_l2 mean_linf median_linf mean_l2_channels mean_linf_channels"),
    ("number", "rho_adv rho_adv_low rho_adv_high"),
    ("number", "iterations queries gradients zero_gradient_share"),
    ("count", "non_finite"),
    ("number", "flagged_clean flagged_clean_low flagged_clean_high"),
    ("number", "flagged_adversarial flagged_adversarial_low flagged_adversarial_high"),
    ("number", "auc auc_low auc_high"),
    ("number", "false_alarms_at_1 flagged_at_1 flagged_at_1_low flagged_at_1_high"),
    ("number", "false_alarms_at_5 flagged_at_5 flagged_at_5_low flagged_at_5_high"),
    ("number", "detection_accuracy macro_precision macro_recall seconds"),
)
WORST_CASES = Table(
    ("text", "dataset norm"),
    ("number", "eps"),
    ("flag", "headline"),
    ("text", "victim defense"),
    ("count", "seed n"),
    ("number", "clean_accuracy accuracy low high oblivious_accuracy"),
    ("text", "strongest"),
    ("number", "strongest_accuracy median_distance"),
    ("count", "n_right"),
    ("list", "attacks sees"),
    ("text", "reason"),
)
COMPARISONS = Table(
    ("text", "dataset kind victim attack defense setting goal norm"),
    *(("text", "a victim_a defense_a attack_a"), ("number", "eps_a"), ("count", "seeds_a n_a")),
    *(("text", "b victim_b defense_b attack_b"), ("number", "eps_b"), ("count", "seeds_b n_b")),
    ("number", "error_a error_b difference low high paired_low paired_high"),
    ("count", "discordant_a discordant_b"),
    ("number", "mcnemar_p deviation_a deviation_b seeds_p"),
    ("number", "median_l2_a median_l2_b median_difference rank_correlation wilcoxon_p"),
    ("text", "family"),
    ("number", "holm_p"),
    ("flag", "significant"),
    ("text", "verdict"),
    ("flag", "like_for_like"),
    ("text", "note"),
)
TRANSFERS = Table(
    ("text", "dataset attack norm"),
    ("number", "eps"),
    ("text", "goal source victim"),
    ("count", "seed n"),
    ("number", "transfer_rate low high"),
    ("count", "n_fooling"),
    ("number", "rate_fooling low_fooling high_fooling"),
)
TRIGGERS = Table(
    ("text", "dataset attack victim poisoning trigger_of"),
    ("count", "seeds n_poisoned"),
    ("number", "share_of_all share_of_target"),
    ("text", "class"),
    ("count", "n"),
    ("number", "success_rate low high"),
    ("text", "control"),
    ("number", "control_rate control_low control_high"),
)
"""One row a victim, a trigger and a true class of the stamped images, "" being all (`rivalry.statistics.triggers`)."""
SCREENINGS = Table(
    ("text", "dataset victim filter method poisoning"),
    ("count", "n n_poisoned"),
    ("number", "asked found found_low found_high false_alarms false_alarms_low false_alarms_high auc"),
    ("number", "flagged flagged_low flagged_high flagged_clean flagged_clean_low flagged_clean_high"),
)
PLANTINGS = Table(
    ("text", "dataset victim targeted method"),
    ("count", "n n_counted n_success"),
    ("number", "success_rate low high others"),
)
CLAIMS = Table(
    ("text", "dataset victim defense name role expects than source under norm"),
    ("number", "eps"),
    ("text", "base"),
    ("count", "n"),
    ("number", "accuracy base_accuracy value low high holm_p"),
    ("flag", "significant"),
    ("text", "outcome note"),
)
SPREADS = Table(
    ("text", "dataset victim defense setting attack source norm"),
    ("number", "eps"),
    ("text", "rate"),
    ("count", "seeds"),
    ("number", "mean low high deviation lowest highest"),
)
"""One row a rate of a victim that was trained several times: over its trainings (`rivalry.statistics.over_seeds`)."""
QUERIES = Table(
    ("text", "dataset victim defense attack sees norm budget"),
    ("number", "eps within"),
    ("count", "limit queries seeds n"),
    ("number", "success_rate low high median_change"),
)
"""What attacks that ask the victim achieve by numbers of queries (`rivalry.statistics.query_curves`)."""
SIZES = Table(
    ("text", "dataset victim defense attack"),
    ("number", "eps mean_l2 mean_linf mean_l2_channels mean_linf_channels"),
    ("count", "n"),
    ("number", "caught low high"),
)
"""Sizes of changes behind defenses, and the share that each catches (`rivalry.statistics.sizes`)."""
SIZE_CORRELATIONS = Table(
    ("text", "dataset victim defense size over"), ("count", "n"), ("number", "rho low high"), ("text", "verdict")
)
CERTIFIED = Table(
    ("text", "dataset victim defense"),
    ("number", "sigma alpha"),
    ("count", "samples seeds n"),
    ("number", "radius certified certified_low certified_high abstained accuracy low high"),
    ("list", "attacks"),
)
"""What is certified up to each radius, and what attacks leave (`rivalry.statistics.certified`)."""
FLAGS = Table(
    ("text", "dataset victim"),
    ("count", "seed"),
    ("text", "kind flagged setting"),
    *(("text", "detector_a attack_a"), ("number", "eps_a"), ("count", "n_a"), ("number", "rate_a low_a high_a")),
    *(("text", "detector_b attack_b"), ("number", "eps_b"), ("count", "n_b"), ("number", "rate_b low_b high_b")),
    ("number", "difference low high"),
    ("count", "n_shared"),
    ("number", "paired paired_low paired_high"),
    ("count", "discordant_a discordant_b"),
)
"""One row a pair of attacks behind detectors (`rivalry.statistics.detection`)."""
REPORTED = Table(
    ("text", "source where dataset what metric"),
    ("number", "reported measured low high"),
    ("flag", "within"),
    ("text", "mark note"),
)

TABLES = {
    "scores": SCORES,
    "worst_cases": WORST_CASES,
    "comparisons": COMPARISONS,
    "transfers": TRANSFERS,
    "triggers": TRIGGERS,
    "screening_rates": SCREENINGS,
    "planting_rates": PLANTINGS,
    "claims": CLAIMS,
    "spreads": SPREADS,
    "queries": QUERIES,
    "certified": CERTIFIED,
    "sizes": SIZES,
    "size_correlations": SIZE_CORRELATIONS,
    "flags": FLAGS,
    "reported": REPORTED,
}
"""By the names that `rivalry.layout` and report.json give them."""
