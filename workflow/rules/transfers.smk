rule transfer_images:
    """Images crafted on one victim, the source, are shown to others."""
    input:
        lambda wildcards: PLAN.transfer_inputs(wildcards.dataset, wildcards.victim),
        facts="results/data/{dataset}/dataset.json",
        test="results/data/{dataset}/test.safetensors",
    output:
        "results/transfers/{dataset}/{victim}/scores.parquet",
    log:
        "results/logs/transfer_images/{dataset}/{victim}.log",
    benchmark:
        "results/benchmarks/transfer_images/{dataset}/{victim}.tsv"
    conda:
        "../../envs/compute.yaml"
    threads: PLAN.config.threads.attack
    params:
        options=lambda wildcards: PLAN.transfer_options(
            wildcards.dataset, wildcards.victim
        ),
        code=lambda wildcards: PLAN.code(
            "transfer", wildcards.dataset, wildcards.victim
        ),
    message:
        "replay on {wildcards.dataset} what was crafted on {wildcards.victim}"
    shell:
        "python -m rivalry transfer {params.options} --data $(dirname {input.facts})"
        " --output $(dirname {output}) > {log} 2>&1"
