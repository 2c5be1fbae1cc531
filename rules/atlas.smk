"""Write the atlas, a page to explore every kernel.

Inputs: shards and assignments of every model, the labeller, the patterns, spectra, statistics, the model sheet; with
evidence, the fits.
Outputs: results/atlas.html, a self-contained page; results/atlas, the kernels of a large run, which it reads from there.
"""


rule write_atlas:
    input:
        kernels=files_of("results/kernels/{model}", *USES),
        assignments=files_of("results/assignments/{model}.parquet", *USES),
        spectra=of_sizes("results/autoencoder/{size}/spectrum.parquet"),
        encoder=labeller,
        patterns=PATTERNS,
        statistics=expand(
            "results/statistics/{table}.csv",
            table=["models", "totals", "labels", "layers", "chance"],
        ),
        fits=[*whole("fits").values()] if config["evidence"]["wanted"] else [],
        sheet=SHEET,
        template=beside("kernel_atlas/publish/pages/atlas.html"),
        head=beside("kernel_atlas/publish/pages/head.html"),
        style=beside("kernel_atlas/publish/pages/atlas.css"),
        scripts=[
            beside(f"kernel_atlas/publish/pages/{name}.js")
            for name in ("kernels", "wall", "map", "views", "atlas")
        ],
        library=library("write_atlas.py"),
    output:
        atlas=report(
            "results/atlas.html",
            caption="captions/atlas.rst",
            category="Findings",
            labels={"page": "atlas", "model": "all", "size": "all"},
        ),
        blocks=directory("results/atlas"),
    log:
        "results/logs/write_atlas.log",
    benchmark:
        "results/benchmarks/write_atlas.tsv"
    conda:
        "../envs/atlas.yaml"
    resources:
        mem_mb=memory(4096),
    params:
        title=config["title"],
        thresholds=config["thresholds"],
        seed=config["seed"],
    message:
        "Writing the atlas"
    script:
        "../workflow_scripts/write_atlas.py"
