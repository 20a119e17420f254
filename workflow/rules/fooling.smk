rule fool_victim:
    """One image per class that means nothing and that the victim is sure about."""
    input:
        facts="results/data/{dataset}/dataset.json",
        train="results/data/{dataset}/train.safetensors",
        test="results/data/{dataset}/test.safetensors",
        weights="results/victims/{dataset}/{victim}/victim.safetensors",
        victim="results/victims/{dataset}/{victim}/victim.json",
    output:
        "results/fooling/{dataset}/{victim}/{fooling}/images.safetensors",
        "results/fooling/{dataset}/{victim}/{fooling}/scores.parquet",
        facts="results/fooling/{dataset}/{victim}/{fooling}/fooling.json",
    log:
        "results/logs/fool_victim/{dataset}/{victim}/{fooling}.log",
    benchmark:
        "results/benchmarks/fool_victim/{dataset}/{victim}/{fooling}.tsv"
    conda:
        "../../envs/compute.yaml"
    threads: PLAN.config.threads.attack
    params:
        options=lambda wildcards: PLAN.fool_options(
            wildcards.dataset, wildcards.victim, wildcards.fooling
        ),
        code=lambda wildcards: PLAN.code(
            "fool", wildcards.dataset, wildcards.victim, fooling=wildcards.fooling
        ),
    message:
        "fool {wildcards.victim} on {wildcards.dataset} with {wildcards.fooling}"
    shell:
        "python -m rivalry fool {params.options} --data $(dirname {input.facts})"
        " --victim $(dirname {input.victim}) --output $(dirname {output.facts}) > {log} 2>&1"
