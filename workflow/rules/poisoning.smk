rule poison_dataset:
    input:
        "results/data/{dataset}/train.safetensors",
        facts="results/data/{dataset}/dataset.json",
    output:
        "results/poisoning/{dataset}/{poisoning}/train.safetensors",
        "results/poisoning/{dataset}/{poisoning}/trigger.safetensors",
        facts="results/poisoning/{dataset}/{poisoning}/poisoning.json",
    log:
        "results/logs/poison_dataset/{dataset}/{poisoning}.log",
    benchmark:
        "results/benchmarks/poison_dataset/{dataset}/{poisoning}.tsv"
    conda:
        "../../envs/compute.yaml"
    params:
        options=lambda wildcards: PLAN.poison_options(
            wildcards.dataset, wildcards.poisoning
        ),
        code=lambda wildcards: PLAN.code(
            "poison", wildcards.dataset, wildcards.poisoning
        ),
    message:
        "poison {wildcards.dataset} with {wildcards.poisoning}"
    shell:
        "python -m rivalry poison {params.options} --data $(dirname {input.facts})"
        " --output $(dirname {output.facts}) > {log} 2>&1"
