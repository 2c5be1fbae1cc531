"""Write a run as a data set: `snakemake release --cores N`, not part of the main job.

Inputs: shards and assignments of every model, the labeller, results/sources.csv for the licences.
Outputs: results/release/, in the layout of a data set on the Hugging Face hub.
"""


localrules:
    release,


rule release:
    input:
        "results/release",


rule write_release:
    input:
        kernels=files_of("results/kernels/{model}", *USES),
        assignments=files_of("results/assignments/{model}.parquet", *USES),
        encoder=labeller,
        patterns=PATTERNS,
        sources="results/sources.csv",
        sheet=SHEET,
        tables=beside("schemas/tables.yaml"),
        schema=beside("schemas/config.schema.yaml"),
        citation=beside("CITATION.cff"),
        card=beside("resources/release/card.md"),
        example=beside("resources/release/load_encoder.py"),
        library=library("write_release.py"),
    output:
        release=directory("results/release"),
    log:
        "results/logs/write_release.log",
    benchmark:
        "results/benchmarks/write_release.tsv"
    conda:
        "../envs/atlas.yaml"
    resources:
        mem_mb=memory(4096),
    params:
        title=config["title"],
        # parameters that determine kernels and labels
        parameters={
            name: config[name]
            for name in (
                "licences",
                "patterns",
                "sizes",
                "minimum_kernels",
                "thresholds",
                "seed",
                "training",
                "spectrum",
                "clusters",
                "dense_per_layer",
            )
        },
    message:
        "Writing the data for others"
    script:
        "../workflow_scripts/write_release.py"
