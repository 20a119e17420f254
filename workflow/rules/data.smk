rule prepare_dataset:
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
        files=lambda wildcards: PLAN.source_state(wildcards.dataset),
        code=lambda wildcards: PLAN.code("prepare", wildcards.dataset),
    message:
        "prepare {wildcards.dataset}"
    shell:
        "python -m rivalry prepare {params.options} --output $(dirname {output.facts}) > {log} 2>&1"
