VICTIM = LAYOUT.victim("{dataset}", "{victim}")


rule train_victim:
    input:
        DATA.files,
        lambda wildcards: PLAN.train_inputs(*wildcards),
    output:
        VICTIM.files,
    log:
        LAYOUT.log("train_victim", VICTIM),
    benchmark:
        LAYOUT.benchmark("train_victim", VICTIM)
    conda:
        "../../envs/compute.yaml"
    threads: PLAN.config.threads.train
    params:
        options=lambda wildcards: PLAN.train_options(*wildcards),
        files=lambda wildcards: PLAN.files_state(
            "victims", wildcards.victim, wildcards.dataset
        ),
        code=lambda wildcards: PLAN.code("train", *wildcards),
    message:
        "train {wildcards.victim} on {wildcards.dataset}"
    shell:
        "python -m rivalry train {params.options} > {log:q} 2>&1"


# A network from outside is looked at before long trainings begin, so that what is wrong with it is told at once.
use rule train_victim as bring_victim with:
    log:
        LAYOUT.log("bring_victim", VICTIM),
    benchmark:
        LAYOUT.benchmark("bring_victim", VICTIM)
    wildcard_constraints:
        victim="|".join(PLAN.brought) or "(?!)",
    priority: 1
    message:
        "bring {wildcards.victim} to {wildcards.dataset}"


ruleorder: bring_victim > train_victim
