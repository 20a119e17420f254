FOOLING = LAYOUT.fooling("{dataset}", "{victim}", "{fooling}")


rule fool_victim:
    """One image per class without any object, in which the victim is sure to see that class."""
    input:
        DATA.files,
        VICTIM.facts,
        VICTIM["weights"],
        lambda wildcards: PLAN.fool_inputs(*wildcards),
    output:
        FOOLING.files,
    log:
        LAYOUT.log("fool_victim", FOOLING),
    benchmark:
        LAYOUT.benchmark("fool_victim", FOOLING)
    conda:
        "../../envs/compute.yaml"
    threads: PLAN.config.threads.attack
    params:
        options=lambda wildcards: PLAN.fool_options(*wildcards),
        files=lambda wildcards: PLAN.files_state(
            "fooling", wildcards.fooling, wildcards.dataset
        ),
        code=lambda wildcards: PLAN.code(
            "fool", wildcards.dataset, wildcards.victim, fooling=wildcards.fooling
        ),
    message:
        "fool {wildcards.victim} on {wildcards.dataset} with {wildcards.fooling}"
    shell:
        "python -m rivalry fool {params.options} > {log:q} 2>&1"
