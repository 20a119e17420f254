rule collect_report:
    input:
        made(*COMPUTED, "draw"),
        LAYOUT.plan.facts,
        LAYOUT.configuration.facts,
        LAYOUT.tables.files,
        LAYOUT.checks.files,
    output:
        LAYOUT.report.facts,
    log:
        LAYOUT.log("collect_report", LAYOUT.report),
    benchmark:
        LAYOUT.benchmark("collect_report", LAYOUT.report)
    conda:
        "../../envs/report.yaml"
    params:
        options=lambda wildcards: PLAN.collect_options(),
        works=lambda wildcards: PLAN.works(),
        code=PLAN.code("collect"),
    message:
        "collect every number of the report"
    shell:
        "python -m rivalry collect {params.options} > {log:q} 2>&1"


rule render_html:
    input:
        made("draw"),
        templates=templates("html"),
        facts=LAYOUT.report.facts,
    output:
        report(
            LAYOUT.page.target,
            caption="../../report/captions/report.rst",
            category="Report",
        ),
    log:
        LAYOUT.log("render_html", LAYOUT.page),
    conda:
        "../../envs/report.yaml"
    params:
        code=PLAN.code("report"),
    message:
        "render the page"
    shell:
        "python -m rivalry report html --input {input.facts:q} --output {output:q} > {log:q} 2>&1"


rule render_latex:
    input:
        made("draw"),
        templates=templates("latex"),
        facts=LAYOUT.report.facts,
    output:
        LAYOUT.paper.target,
    log:
        LAYOUT.log("render_latex", LAYOUT.paper),
    conda:
        "../../envs/report.yaml"
    params:
        code=PLAN.code("report"),
    message:
        "render the paper"
    shell:
        "python -m rivalry report latex --input {input.facts:q} --output {output:q} > {log:q} 2>&1"


rule compile_pdf:
    input:
        made("draw"),
        tex=LAYOUT.paper.target,
    output:
        report(
            LAYOUT.pdf.target,
            caption="../../report/captions/report.rst",
            category="Report",
        ),
    log:
        LAYOUT.log("compile_pdf", LAYOUT.pdf),
    conda:
        "../../envs/latex.yaml"
    params:
        code=PLAN.code("report"),
    message:
        "compile the paper"
    shell:
        "python -m rivalry report pdf --input {input.tex:q} --output {output:q} > {log:q} 2>&1"
