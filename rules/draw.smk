"""Draw the figures of each size and those of all sizes, each with its data beside it.

Inputs: tables of each figure as listed in kernel_atlas/figures/registry.py.
Outputs: results/figures/FIGURE_KxK.svg of one size and FIGURE.svg of all, the same for narrow screens as .phone.svg and for
print as .pdf, with fonts; the data as .csv; title, caption and alternative text as .json. The style is
kernel_atlas/figures/atlas.mplstyle.
"""


# local: many jobs of seconds, below the overhead of a cluster
localrules:
    draw_figure,
    draw_overview,


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
        phone="results/figures/{figure}_{size}.phone.svg",
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
        drawn=lambda wildcards: {
            "size": wildcards.size,
            "threshold": config["thresholds"][wildcards.size],
        },
    message:
        "Drawing {wildcards.figure} of the {wildcards.size} kernels"
    script:
        "../workflow_scripts/draw_figure.py"


use rule draw_figure as draw_overview with:
    output:
        figure=report(
            "results/figures/{figure}.svg",
            caption="captions/figure.rst",
            category=figure_category,
            subcategory="all sizes",
            labels={"figure": "{figure}", "model": "all", "size": "all"},
        ),
        phone="results/figures/{figure}.phone.svg",
        pdf="results/figures/{figure}.pdf",
        data="results/figures/{figure}.csv",
        words="results/figures/{figure}.json",
    log:
        "results/logs/draw_overview/{figure}.log",
    benchmark:
        "results/benchmarks/draw_overview/{figure}.tsv"
    wildcard_constraints:
        figure=r"(?!experiment_)[a-z_]+",  # those are of other rules
    params:
        drawn={},
    message:
        "Drawing {wildcards.figure} of all sizes"
