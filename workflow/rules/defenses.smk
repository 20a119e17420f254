DEFENSE = LAYOUT.defense("{dataset}", "{victim}", "{defense}")
EVALUATION = LAYOUT.evaluation("{dataset}", "{victim}", "{defense}")


rule defend_victim:
    input:
        DATA.facts,
        DATA["train"],
        VICTIM.facts,
        VICTIM["weights"],
        lambda wildcards: PLAN.defend_inputs(*wildcards),
    output:
        DEFENSE.files,
    log:
        LAYOUT.log("defend_victim", DEFENSE),
    benchmark:
        LAYOUT.benchmark("defend_victim", DEFENSE)
    conda:
        "../../envs/compute.yaml"
    threads: PLAN.config.threads.train
    params:
        options=lambda wildcards: PLAN.defend_options(*wildcards),
        files=lambda wildcards: PLAN.files_state(
            "defenses", wildcards.defense, wildcards.dataset
        ),
        code=lambda wildcards: PLAN.code(
            "defend",
            wildcards.dataset,
            defended(wildcards.victim, wildcards.defense),
        ),
    message:
        "defend {wildcards.victim} on {wildcards.dataset} with {wildcards.defense}"
    shell:
        "python -m rivalry defend {params.options} > {log:q} 2>&1"


rule evaluate_defense:
    """Adversarial images made without knowing the defense (oblivious) and against it (adaptive)."""
    input:
        DATA.facts,
        DATA["test"],
        DEFENSE.facts,
        DEFENSE["weights"],
        lambda wildcards: PLAN.evaluate_inputs(*wildcards),
    output:
        EVALUATION.files,
    log:
        LAYOUT.log("evaluate_defense", EVALUATION),
    benchmark:
        LAYOUT.benchmark("evaluate_defense", EVALUATION)
    conda:
        "../../envs/compute.yaml"
    threads: PLAN.config.threads.attack
    params:
        options=lambda wildcards: PLAN.evaluate_options(*wildcards),
        code=lambda wildcards: PLAN.code(
            "evaluate",
            wildcards.dataset,
            defended(wildcards.victim, wildcards.defense),
        ),
    message:
        "evaluate {wildcards.defense} of {wildcards.victim} on {wildcards.dataset}"
    shell:
        "python -m rivalry evaluate {params.options} > {log:q} 2>&1"
