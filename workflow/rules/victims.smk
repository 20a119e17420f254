rule train_victim:
    input:
        lambda wildcards: PLAN.train_inputs(wildcards.dataset, wildcards.victim),
        facts="results/data/{dataset}/dataset.json",
        train="results/data/{dataset}/train.safetensors",
        test="results/data/{dataset}/test.safetensors",
    output:
        "results/victims/{dataset}/{victim}/victim.safetensors",
        "results/victims/{dataset}/{victim}/predictions.parquet",
        "results/victims/{dataset}/{victim}/training.csv",
        facts="results/victims/{dataset}/{victim}/victim.json",
    log:
        "results/logs/train_victim/{dataset}/{victim}.log",
    benchmark:
        "results/benchmarks/train_victim/{dataset}/{victim}.tsv"
    conda:
        "../../envs/compute.yaml"
    threads: PLAN.config.threads.train
    params:
        options=lambda wildcards: PLAN.train_options(
            wildcards.dataset, wildcards.victim
        ),
        code=lambda wildcards: PLAN.code("train", wildcards.dataset, wildcards.victim),
    message:
        "train {wildcards.victim} on {wildcards.dataset}"
    shell:
        "python -m rivalry train {params.options} --data $(dirname {input.facts})"
        " --output $(dirname {output.facts}) > {log} 2>&1"
