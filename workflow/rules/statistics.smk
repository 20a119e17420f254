RESULTS = [
    *(f"results/data/{dataset}/dataset.json" for dataset in PLAN.datasets),
    *(
        f"results/victims/{dataset}/{victim}/victim.json"
        for dataset, victim in PLAN.victims
    ),
    *(
        f"results/attacks/{dataset}/{victim}/{attack}/attack.json"
        for dataset, victim, attack in PLAN.attacks
    ),
    *(
        f"results/evaluations/{dataset}/{victim}/{defense}/scores.parquet"
        for dataset, victim, defense in PLAN.evaluations
    ),
    *(
        f"results/transfers/{dataset}/{source}/scores.parquet"
        for dataset, source in PLAN.transfers
    ),
]
FOOLING = [
    f"results/fooling/{dataset}/{victim}/{fooling}/fooling.json"
    for dataset, victim, fooling in PLAN.foolings
]


localrules:
    record_plan,
    record_configuration,


# Two records, so that a new title does not make the tables again. They read what common.smk wrote down, since a command
# line has no room for a long text; parameters are functions, since Snakemake would look for wildcards in the text itself.
rule record_plan:
    output:
        "results/plan.json",
    log:
        "results/logs/record_plan.log",
    conda:
        "../../envs/report.yaml"
    params:
        content=lambda wildcards: json.dumps(PLAN.tables(), sort_keys=True),
    message:
        "record which jobs there are"
    shell:
        f"python -m rivalry record plan {GIVEN} --output {{output}} > {{log}} 2>&1"


rule record_configuration:
    output:
        "results/configuration.json",
    log:
        "results/logs/record_configuration.log",
    conda:
        "../../envs/report.yaml"
    params:
        content=lambda wildcards: json.dumps(PLAN.config.recorded(), sort_keys=True),
    message:
        "record the configuration"
    shell:
        f"python -m rivalry record configuration {GIVEN} --output {{output}} > {{log}} 2>&1"


rule tabulate_results:
    input:
        RESULTS,
        plan="results/plan.json",
    output:
        report(
            "results/tables/scores.csv",
            caption="../../report/captions/scores.rst",
            category="Tables",
        ),
        report(
            "results/tables/worst_cases.csv",
            caption="../../report/captions/worst_cases.rst",
            category="Tables",
        ),
        report(
            "results/tables/comparisons.csv",
            caption="../../report/captions/comparisons.rst",
            category="Tables",
        ),
        report(
            "results/tables/reported.csv",
            caption="../../report/captions/reported.rst",
            category="Tables",
        ),
        report(
            "results/tables/transfers.csv",
            caption="../../report/captions/transfers.rst",
            category="Tables",
        ),
        "results/tables/kept_apart.json",
    log:
        "results/logs/tabulate_results.log",
    benchmark:
        "results/benchmarks/tabulate_results.tsv"
    conda:
        "../../envs/report.yaml"
    params:
        options=PLAN.tabulate_options(),
        code=PLAN.code("tabulate"),
    message:
        "tabulate"
    shell:
        "python -m rivalry tabulate {params.options} --results results --output results/tables > {log} 2>&1"


rule check_results:
    input:
        RESULTS,
        FOOLING,
        plan="results/plan.json",
    output:
        report(
            "results/tables/checks.csv",
            caption="../../report/captions/checks.rst",
            category="Tables",
        ),
    log:
        "results/logs/check_results.log",
    benchmark:
        "results/benchmarks/check_results.tsv"
    conda:
        "../../envs/compute.yaml"
    threads: PLAN.config.threads.attack
    params:
        options=f"--threads {PLAN.config.threads.attack} --accelerator {PLAN.config.accelerator}",
        code=PLAN.code("check"),
    message:
        "check the results against themselves"
    shell:
        "python -m rivalry check {params.options} --results results --output results/tables > {log} 2>&1"
