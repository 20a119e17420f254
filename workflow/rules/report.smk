rule collect_report:
    input:
        RESULTS,
        FOOLING,
        expand("results/figures/{dataset}", dataset=PLAN.datasets),
        expand(
            "results/tables/{table}.csv",
            table=[
                "scores",
                "worst_cases",
                "comparisons",
                "transfers",
                "reported",
                "checks",
            ],
        ),
        "results/tables/kept_apart.json",
        configuration="results/configuration.json",
        plan="results/plan.json",
    output:
        "results/report/report.json",
    log:
        "results/logs/collect_report.log",
    benchmark:
        "results/benchmarks/collect_report.tsv"
    conda:
        "../../envs/report.yaml"
    params:
        code=PLAN.code("collect"),
    message:
        "collect every number of the report"
    shell:
        "python -m rivalry collect --results results --output {output} > {log} 2>&1"


rule render_html:
    input:
        expand("results/figures/{dataset}", dataset=PLAN.datasets),
        templates=templates("html"),
        facts="results/report/report.json",
    output:
        report(
            "results/report/report.html",
            caption="../../report/captions/report.rst",
            category="Report",
        ),
    log:
        "results/logs/render_html.log",
    conda:
        "../../envs/report.yaml"
    params:
        code=PLAN.code("report"),
    message:
        "render the page"
    shell:
        "python -m rivalry report html --input {input.facts} --output {output} > {log} 2>&1"


rule render_latex:
    input:
        expand("results/figures/{dataset}", dataset=PLAN.datasets),
        templates=templates("latex"),
        facts="results/report/report.json",
    output:
        "results/report/report.tex",
    log:
        "results/logs/render_latex.log",
    conda:
        "../../envs/report.yaml"
    params:
        code=PLAN.code("report"),
    message:
        "render the paper"
    shell:
        "python -m rivalry report latex --input {input.facts} --output {output} > {log} 2>&1"


rule compile_pdf:
    input:
        expand("results/figures/{dataset}", dataset=PLAN.datasets),
        tex="results/report/report.tex",
    output:
        report(
            "results/report/report.pdf",
            caption="../../report/captions/report.rst",
            category="Report",
        ),
    log:
        "results/logs/compile_pdf.log",
    conda:
        "../../envs/latex.yaml"
    params:
        code=PLAN.code("report"),
    message:
        "compile the paper"
    shell:
        "python -m rivalry report pdf --input {input.tex} --output {output} > {log} 2>&1"
