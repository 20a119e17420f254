rule prepare_dataset:
    input:
        lambda wildcards: PLAN.prepare_inputs(wildcards.dataset),
    output:
        train="results/data/{dataset}/train.safetensors",
        test="results/data/{dataset}/test.safetensors",
        facts="results/data/{dataset}/dataset.json",
    log:
        "results/logs/prepare_dataset/{dataset}.log",
    benchmark:
        "results/benchmarks/prepare_dataset/{dataset}.tsv"
    conda:
        "../../envs/compute.yaml"
    params:
        options=lambda wildcards: PLAN.prepare_options(wildcards.dataset),
        folder=lambda wildcards: PLAN.folder_state(wildcards.dataset),
        code=lambda wildcards: PLAN.code("prepare", wildcards.dataset),
    message:
        "prepare {wildcards.dataset}"
    shell:
        "python -m rivalry prepare {params.options} --output $(dirname {output.facts}) > {log} 2>&1"
