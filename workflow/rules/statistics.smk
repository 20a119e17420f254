localrules:
    record_plan,
    record_configuration,


# Two records, so that a new title does not make the tables again. They read what common.smk wrote down, since a command
# line has no room for a long text; parameters are functions, since Snakemake would look for wildcards in the text itself.
rule record_plan:
    output:
        LAYOUT.plan.facts,
    log:
        LAYOUT.log("record_plan", LAYOUT.plan),
    conda:
        "../../envs/report.yaml"
    params:
        content=lambda wildcards: json.dumps(PLAN.tables(), sort_keys=True),
    message:
        "record which jobs there are"
    shell:
        f"python -m rivalry record plan {GIVEN} --output {{output:q}} > {{log:q}} 2>&1"


rule record_configuration:
    output:
        LAYOUT.configuration.facts,
    log:
        LAYOUT.log("record_configuration", LAYOUT.configuration),
    conda:
        "../../envs/report.yaml"
    params:
        content=lambda wildcards: json.dumps(PLAN.config.recorded(), sort_keys=True),
    message:
        "record the configuration"
    shell:
        f"python -m rivalry record configuration {GIVEN} --output {{output:q}} > {{log:q}} 2>&1"


rule tabulate_results:
    input:
        made(*COMPUTED),
        LAYOUT.plan.facts,
    output:
        *(
            report(
                file,
                caption=f"../../report/captions/{file.stem}.rst",
                category="Tables",
            )
            for file in LAYOUT.tables.files
            if file.suffix == ".csv"
        ),
        LAYOUT.tables["kept_apart"],
    log:
        LAYOUT.log("tabulate_results", LAYOUT.tables),
    benchmark:
        LAYOUT.benchmark("tabulate_results", LAYOUT.tables)
    conda:
        "../../envs/report.yaml"
    params:
        options=PLAN.tabulate_options(),
        code=PLAN.code("tabulate"),
    message:
        "tabulate"
    shell:
        "python -m rivalry tabulate {params.options} > {log:q} 2>&1"


rule check_results:
    input:
        made(*COMPUTED, "tabulate"),
        LAYOUT.plan.facts,
    output:
        report(
            LAYOUT.checks["checks"],
            caption="../../report/captions/checks.rst",
            category="Tables",
        ),
    log:
        LAYOUT.log("check_results", LAYOUT.checks),
    benchmark:
        LAYOUT.benchmark("check_results", LAYOUT.checks)
    conda:
        "../../envs/compute.yaml"
    threads: PLAN.config.threads.attack
    params:
        options=lambda wildcards: PLAN.check_options(),
        code=PLAN.code("check"),
    message:
        "check the results against themselves"
    shell:
        "python -m rivalry check {params.options} > {log:q} 2>&1"
