TRANSFER = LAYOUT.transfer("{dataset}", "{victim}")


rule transfer_images:
    """Images crafted on one victim, the source, are shown to others."""
    input:
        DATA.facts,
        DATA["test"],
        lambda wildcards: PLAN.transfer_inputs(*wildcards),
    output:
        TRANSFER.files,
    log:
        LAYOUT.log("transfer_images", TRANSFER),
    benchmark:
        LAYOUT.benchmark("transfer_images", TRANSFER)
    conda:
        "../../envs/compute.yaml"
    threads: PLAN.config.threads.attack
    params:
        options=lambda wildcards: PLAN.transfer_options(*wildcards),
        code=lambda wildcards: PLAN.code("transfer", *wildcards),
    message:
        "replay on {wildcards.dataset} what was crafted on {wildcards.victim}"
    shell:
        "python -m rivalry transfer {params.options} > {log:q} 2>&1"
