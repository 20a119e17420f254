from snakemake.utils import min_version

min_version("9.0")


report: "report/workflow.rst"


include: "workflow/rules/common.smk"


rule all:
    input:
        REPORTS,


include: "workflow/rules/data.smk"
include: "workflow/rules/generators.smk"
include: "workflow/rules/poisoning.smk"
include: "workflow/rules/victims.smk"
include: "workflow/rules/attacks.smk"
include: "workflow/rules/defenses.smk"
include: "workflow/rules/filters.smk"
include: "workflow/rules/targeted_poisoning.smk"
include: "workflow/rules/fooling.smk"
include: "workflow/rules/transfers.smk"
include: "workflow/rules/statistics.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/report.smk"
