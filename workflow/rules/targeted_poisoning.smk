PLANTING = LAYOUT.planting("{dataset}", "{victim}", "{targeted}")


rule plant_poisons:
    """Training images that turn single test images, and a training on them for each."""
    input:
        DATA.files,
        VICTIM.facts,
        VICTIM["weights"],
        lambda wildcards: PLAN.plant_inputs(*wildcards),
    output:
        PLANTING.files,
    log:
        LAYOUT.log("plant_poisons", PLANTING),
    benchmark:
        LAYOUT.benchmark("plant_poisons", PLANTING)
    conda:
        "../../envs/compute.yaml"
    threads: PLAN.config.threads.train
    params:
        options=lambda wildcards: PLAN.plant_options(*wildcards),
        files=lambda wildcards: PLAN.files_state(
            "targeted_poisonings", wildcards.targeted, wildcards.dataset
        ),
        code=lambda wildcards: PLAN.code(
            "plant", wildcards.dataset, wildcards.victim, targeted=wildcards.targeted
        ),
    message:
        "turn test images of {wildcards.dataset} on {wildcards.victim} with {wildcards.targeted}"
    shell:
        "python -m rivalry plant {params.options} > {log:q} 2>&1"
