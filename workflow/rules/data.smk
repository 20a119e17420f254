DATA = LAYOUT.data("{dataset}")


rule prepare_dataset:
    output:
        DATA.files,
    log:
        LAYOUT.log("prepare_dataset", DATA),
    benchmark:
        LAYOUT.benchmark("prepare_dataset", DATA)
    conda:
        "../../envs/compute.yaml"
    params:
        options=lambda wildcards: PLAN.prepare_options(*wildcards),
        files=lambda wildcards: PLAN.files_state(
            "datasets", wildcards.dataset, wildcards.dataset
        ),
        code=lambda wildcards: PLAN.code("prepare", *wildcards),
    message:
        "prepare {wildcards.dataset}"
    shell:
        "python -m rivalry prepare {params.options} > {log:q} 2>&1"
