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
        options=lambda wildcards: PLAN.draw_options(*wildcards),
        code=PLAN.code("draw"),
    message:
        "draw the figures of {wildcards.dataset}"
    shell:
        "python -m rivalry draw {params.options} > {log:q} 2>&1"
