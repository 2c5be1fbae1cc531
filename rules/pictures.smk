"""Draw the pictures of the documents: `snakemake pictures --cores N`, not part of the main job.

Inputs: the pages of the default run, the tables of reference networks.
Outputs: results/pictures/shares.png, report.png and atlas.png, to be copied to docs/. They show no kernels of other people's
networks. Needs Chromium, chromedriver and selenium.
"""


rule draw_picture:
    input:
        page=lambda wildcards: (
            []
            if wildcards.picture == "shares"
            else f"results/{wildcards.picture}.html"
        ),
        drawn_by=beside("docs/pictures.py"),
        library=library("draw_picture.py"),
    output:
        picture="results/pictures/{picture}.png",
    log:
        "results/logs/draw_picture/{picture}.log",
    benchmark:
        "results/benchmarks/draw_picture/{picture}.tsv"
    wildcard_constraints:
        picture="shares|report|atlas",
    conda:
        "../envs/atlas.yaml"
    message:
        "Drawing {wildcards.picture}"
    script:
        "../workflow_scripts/draw_picture.py"


rule pictures:
    input:
        expand("results/pictures/{picture}.png", picture=["shares", "report", "atlas"]),
