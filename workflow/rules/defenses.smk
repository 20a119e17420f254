rule defend_victim:
    input:
        facts="results/data/{dataset}/dataset.json",
        train="results/data/{dataset}/train.safetensors",
        weights="results/victims/{dataset}/{victim}/victim.safetensors",
        victim="results/victims/{dataset}/{victim}/victim.json",
    output:
        "results/defenses/{dataset}/{victim}/{defense}/defense.safetensors",
        facts="results/defenses/{dataset}/{victim}/{defense}/defense.json",
    log:
        "results/logs/defend_victim/{dataset}/{victim}/{defense}.log",
    benchmark:
        "results/benchmarks/defend_victim/{dataset}/{victim}/{defense}.tsv"
    conda:
        "../../envs/compute.yaml"
    threads: PLAN.config.threads.train
    params:
        options=lambda wildcards: PLAN.defend_options(
            wildcards.dataset, wildcards.victim, wildcards.defense
        ),
        code=lambda wildcards: PLAN.code(
            "defend", wildcards.dataset, f"{wildcards.victim}+{wildcards.defense}"
        ),
    message:
        "defend {wildcards.victim} on {wildcards.dataset} with {wildcards.defense}"
    shell:
        "python -m rivalry defend {params.options} --data $(dirname {input.facts})"
        " --victim $(dirname {input.victim}) --output $(dirname {output.facts}) > {log} 2>&1"


rule evaluate_defense:
    """Adversarial images made without knowing the defense (oblivious) and against it (adaptive)."""
    input:
        facts="results/data/{dataset}/dataset.json",
        test="results/data/{dataset}/test.safetensors",
        weights="results/defenses/{dataset}/{victim}/{defense}/defense.safetensors",
        defense="results/defenses/{dataset}/{victim}/{defense}/defense.json",
        oblivious=lambda wildcards: PLAN.evaluate_inputs(
            wildcards.dataset, wildcards.victim, wildcards.defense, "oblivious"
        ),
        adaptive=lambda wildcards: PLAN.evaluate_inputs(
            wildcards.dataset, wildcards.victim, wildcards.defense, "adaptive"
        ),
    output:
        "results/evaluations/{dataset}/{victim}/{defense}/scores.parquet",
    log:
        "results/logs/evaluate_defense/{dataset}/{victim}/{defense}.log",
    benchmark:
        "results/benchmarks/evaluate_defense/{dataset}/{victim}/{defense}.tsv"
    conda:
        "../../envs/compute.yaml"
    threads: PLAN.config.threads.attack
    params:
        options=lambda wildcards: PLAN.evaluate_options(
            wildcards.dataset, f"{wildcards.victim}+{wildcards.defense}"
        ),
        code=lambda wildcards: PLAN.code(
            "evaluate", wildcards.dataset, f"{wildcards.victim}+{wildcards.defense}"
        ),
        oblivious=lambda wildcards, input: [
            str(Path(file).parent) for file in input.oblivious
        ],
        adaptive=lambda wildcards, input: [
            str(Path(file).parent) for file in input.adaptive
        ],
    message:
        "evaluate {wildcards.defense} of {wildcards.victim} on {wildcards.dataset}"
    shell:
        "python -m rivalry evaluate {params.options} --data $(dirname {input.facts})"
        " --defended $(dirname {input.defense}) --output $(dirname {output})"
        " --oblivious {params.oblivious} --adaptive {params.adaptive} > {log} 2>&1"
