"""Ask how sure the clusters are, and against what.

Inputs: the shards, the assignments, the encoders and their clusters, the tables of shares.
Outputs: results/evidence/KxK/kernels.parquet, the kernels that the evidence is about; results/evidence/KxK/TABLE.csv of
each size; results/evidence/TABLE.csv, those of all sizes together.
Each question is a module of kernel_atlas/evidence and a rule here. What trains asks for a GPU, as training does.
"""

# Tables with rows of each size, made by a job of each size, and those that one job makes for all.
SIZE_TABLES = ["controls"]
WHOLE_TABLES = []
EVIDENCE = (
    expand("results/evidence/{table}.csv", table=[*SIZE_TABLES, *WHOLE_TABLES])
    if config["evidence"]["wanted"]
    else []
)


localrules:
    collect_evidence,


rule pick_kernels:
    input:
        shards=files_of("results/kernels/{model}", *USES),
        assignments=files_of("results/assignments/{model}.parquet", *USES),
        inventory="results/inventory.parquet",
        library=library("pick_kernels.py"),
    output:
        kernels="results/evidence/{size}/kernels.parquet",
    log:
        "results/logs/pick_kernels/{size}.log",
    benchmark:
        "results/benchmarks/pick_kernels/{size}.tsv"
    conda:
        "../envs/atlas.yaml"
    resources:
        mem_mb=memory(4000),
        runtime=60,
    params:
        subjects={
            model: subject_of(*MODELS.loc[model, ["use", "convolution"]])
            for model in sorted(MODELS.index)
        },
        groups=MODELS["group"].dropna().sort_index().to_dict(),
        kernels=config["evidence"]["kernels"],
        seed=config["seed"],
    message:
        "Picking {wildcards.size} kernels for the evidence"
    script:
        "../workflow_scripts/pick_kernels.py"


rule compare_controls:
    input:
        kernels="results/evidence/{size}/kernels.parquet",
        encoder="results/autoencoder/{size}/encoder.safetensors",
        library=library("compare_controls.py"),
    output:
        controls="results/evidence/{size}/controls.csv",
        examples="results/evidence/{size}/examples.parquet",
    log:
        "results/logs/compare_controls/{size}.log",
    benchmark:
        "results/benchmarks/compare_controls/{size}.tsv"
    conda:
        "../envs/atlas.yaml"
    resources:
        mem_mb=memory(4000),
        runtime=120,
        gpu=1,
    params:
        threshold=lambda wildcards: config["thresholds"][wildcards.size],
        minimum=config["minimum_kernels"],
        steps=config["evidence"]["steps"],
        seed=config["seed"],
    message:
        "Comparing the {wildcards.size} kernels with controls"
    script:
        "../workflow_scripts/compare_controls.py"


rule collect_evidence:
    input:
        parts=of_sizes(
            *(f"results/evidence/{{size}}/{table}.csv" for table in SIZE_TABLES)
        ),
        library=library("collect_evidence.py"),
    output:
        tables=expand("results/evidence/{table}.csv", table=SIZE_TABLES),
    log:
        "results/logs/collect_evidence.log",
    benchmark:
        "results/benchmarks/collect_evidence.tsv"
    conda:
        "../envs/atlas.yaml"
    resources:
        mem_mb=memory(4000),
        runtime=30,
    message:
        "Putting the evidence of all sizes together"
    script:
        "../workflow_scripts/collect_evidence.py"
