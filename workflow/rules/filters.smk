SCREENING = LAYOUT.screening("{dataset}", "{victim}", "{filter}")


rule screen_training_set:
    """How suspicious every image of a victim's training set is."""
    input:
        DATA.files,
        VICTIM.facts,
        VICTIM["weights"],
        lambda wildcards: PLAN.screen_inputs(*wildcards),
    output:
        SCREENING.files,
    log:
        LAYOUT.log("screen_training_set", SCREENING),
    benchmark:
        LAYOUT.benchmark("screen_training_set", SCREENING)
    conda:
        "../../envs/compute.yaml"
    threads: PLAN.config.threads.attack
    params:
        options=lambda wildcards: PLAN.screen_options(*wildcards),
        files=lambda wildcards: PLAN.files_state(
            "filters", wildcards.filter, wildcards.dataset
        ),
        code=lambda wildcards: PLAN.code(
            "screen", wildcards.dataset, wildcards.victim, filter=wildcards.filter
        ),
    message:
        "screen what {wildcards.victim} learned from on {wildcards.dataset} with {wildcards.filter}"
    shell:
        "python -m rivalry screen {params.options} > {log:q} 2>&1"
