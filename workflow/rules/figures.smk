rule draw_figures:
    input:
        RESULTS,
        FOOLING,
        "results/tables/scores.csv",
        "results/tables/worst_cases.csv",
        "results/tables/checks.csv",
        "results/tables/comparisons.csv",
        "results/tables/transfers.csv",
        plan="results/plan.json",
    output:
        report(
            directory("results/figures/{dataset}"),
            patterns=["{figure}.svg"],
            caption="../../report/captions/figure.rst",
            category="Figures",
            subcategory="{dataset}",
        ),
    log:
        "results/logs/draw_figures/{dataset}.log",
    benchmark:
        "results/benchmarks/draw_figures/{dataset}.tsv"
    conda:
        "../../envs/report.yaml"
    params:
        code=PLAN.code("draw"),
    message:
        "draw the figures of {wildcards.dataset}"
    shell:
        "python -m rivalry draw --dataset {wildcards.dataset} --results results --output {output} > {log} 2>&1"
