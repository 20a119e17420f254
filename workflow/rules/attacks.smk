rule attack_victim:
    """The victim may be a defended one, called victim+defense: an adaptive attack."""
    input:
        lambda wildcards: PLAN.attack_inputs(
            wildcards.dataset, wildcards.defended, wildcards.attack
        ),
        facts="results/data/{dataset}/dataset.json",
        test="results/data/{dataset}/test.safetensors",
    output:
        "results/attacks/{dataset}/{defended}/{attack}/adversarial.safetensors",
        "results/attacks/{dataset}/{defended}/{attack}/scores.parquet",
        facts="results/attacks/{dataset}/{defended}/{attack}/attack.json",
    log:
        "results/logs/attack_victim/{dataset}/{defended}/{attack}.log",
    benchmark:
        "results/benchmarks/attack_victim/{dataset}/{defended}/{attack}.tsv"
    conda:
        "../../envs/compute.yaml"
    threads: PLAN.config.threads.attack
    params:
        options=lambda wildcards: PLAN.attack_options(
            wildcards.dataset, wildcards.defended, wildcards.attack
        ),
        code=lambda wildcards: PLAN.code(
            "attack", wildcards.dataset, wildcards.defended, wildcards.attack
        ),
    message:
        "attack {wildcards.defended} on {wildcards.dataset} with {wildcards.attack}"
    shell:
        "python -m rivalry attack {params.options} --data $(dirname {input.facts})"
        " --output $(dirname {output.facts}) > {log} 2>&1"
