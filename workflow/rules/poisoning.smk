POISONING = LAYOUT.poisoning("{dataset}", "{poisoning}")


rule poison_dataset:
    input:
        DATA.facts,
        DATA["train"],
        lambda wildcards: PLAN.poison_inputs(*wildcards),
    output:
        POISONING.files,
    log:
        LAYOUT.log("poison_dataset", POISONING),
    benchmark:
        LAYOUT.benchmark("poison_dataset", POISONING)
    conda:
        "../../envs/compute.yaml"
    threads: PLAN.config.threads.attack
    params:
        options=lambda wildcards: PLAN.poison_options(*wildcards),
        files=lambda wildcards: PLAN.files_state(
            "poisonings", wildcards.poisoning, wildcards.dataset
        ),
        code=lambda wildcards: PLAN.code(
            "poison", wildcards.dataset, poisoning=wildcards.poisoning
        ),
    message:
        "poison {wildcards.dataset} with {wildcards.poisoning}"
    shell:
        "python -m rivalry poison {params.options} > {log:q} 2>&1"
