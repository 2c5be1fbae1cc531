"""Draw the figures of each size, each with its data beside it.

Inputs: tables of each figure as listed in kernel_atlas/figures/registry.py.
Outputs: results/figures/FIGURE_KxK.svg for pages and .pdf for print, with fonts; its data as .csv; title, caption and
alternative text as .json. The style is kernel_atlas/figures/atlas.mplstyle.
"""

FIGURES = {name: dict(tables) for name, tables in registry.FIGURES.items()}
if config["evidence"]["wanted"]:
    FIGURES |= registry.EVIDENCE
    FIGURES["thresholds"] |= whole("knees")


# local: many jobs of seconds, below the overhead of a cluster
localrules:
    draw_figure,


rule draw_figure:
    input:
        unpack(tables_drawn),
        style=beside("kernel_atlas/figures/atlas.mplstyle"),
        library=figure_library,
    output:
        figure=report(
            "results/figures/{figure}_{size}.svg",
            caption="captions/figure.rst",
            category=figure_category,
            subcategory="{size}",
            labels={"figure": "{figure}", "model": "all", "size": "{size}"},
        ),
        pdf="results/figures/{figure}_{size}.pdf",
        data="results/figures/{figure}_{size}.csv",
        words="results/figures/{figure}_{size}.json",
    log:
        "results/logs/draw_figure/{figure}_{size}.log",
    benchmark:
        "results/benchmarks/draw_figure/{figure}_{size}.tsv"
    wildcard_constraints:
        figure=r"[a-z_]+",
    conda:
        "../envs/atlas.yaml"
    params:
        threshold=lambda wildcards: config["thresholds"][wildcards.size],
    message:
        "Drawing {wildcards.figure} of the {wildcards.size} kernels"
    script:
        "../workflow_scripts/draw_figure.py"
