FIGURES = LAYOUT.figures("{dataset}")


rule draw_figures:
    input:
        made(*COMPUTED),
        LAYOUT.plan.facts,
        LAYOUT.tables.files,
        LAYOUT.checks.files,
    output:
        report(
            directory(FIGURES.folder),
            patterns=["{figure}.svg"],
            caption="../../report/captions/figure.rst",
            category="Figures",
            subcategory="{dataset}",
        ),
    log:
        LAYOUT.log("draw_figures", FIGURES),
    benchmark:
        LAYOUT.benchmark("draw_figures", FIGURES)
    conda:
        "../../envs/report.yaml"
    params:
        code=PLAN.code("draw"),
    message:
        "draw the figures of {wildcards.dataset}"
    shell:
        "python -m rivalry draw --dataset {wildcards.dataset} --results {LAYOUT.root} --output {output} > {log} 2>&1"
