GENERATOR = LAYOUT.generator("{dataset}", "{generator}")


rule train_generator:
    input:
        DATA.facts,
        DATA["train"],
    output:
        GENERATOR.files,
    log:
        LAYOUT.log("train_generator", GENERATOR),
    benchmark:
        LAYOUT.benchmark("train_generator", GENERATOR)
    conda:
        "../../envs/compute.yaml"
    threads: PLAN.config.threads.train
    params:
        options=lambda wildcards: PLAN.generate_options(*wildcards),
        code=lambda wildcards: PLAN.code("generate"),
    message:
        "train generator {wildcards.generator} on {wildcards.dataset}"
    shell:
        "python -m rivalry generate {params.options} > {log:q} 2>&1"
