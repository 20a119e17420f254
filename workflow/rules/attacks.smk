ATTACK = LAYOUT.attack("{dataset}", "{defended}", "{attack}")


rule attack_victim:
    """The victim may be a defended one, called victim+defense: an adaptive attack."""
    input:
        DATA.facts,
        DATA["test"],
        lambda wildcards: PLAN.attack_inputs(*wildcards),
    output:
        ATTACK.files,
    log:
        LAYOUT.log("attack_victim", ATTACK),
    benchmark:
        LAYOUT.benchmark("attack_victim", ATTACK)
    conda:
        "../../envs/compute.yaml"
    threads: PLAN.config.threads.attack
    params:
        options=lambda wildcards: PLAN.attack_options(*wildcards),
        files=lambda wildcards: PLAN.files_state(
            "attacks", wildcards.attack, wildcards.dataset
        ),
        code=lambda wildcards: PLAN.code("attack", *wildcards),
    message:
        "attack {wildcards.defended} on {wildcards.dataset} with {wildcards.attack}"
    shell:
        "python -m rivalry attack {params.options} > {log:q} 2>&1"
