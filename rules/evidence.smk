"""Test the clusters: controls, baselines, stability and further questions.

Inputs: shards, assignments, the encoder, tables of shares.
Outputs: results/evidence/KxK/kernels.parquet, the sampled kernels; results/evidence/TABLE.csv, the tables with a
`question` in schemas/tables.yaml, some concatenated from results/evidence/KxK/TABLE.csv.
Each question is a module of kernel_atlas/evidence and a rule of the same name. Fits request a GPU; the autoencoders
trained here see few enough kernels for a CPU.
"""

from kernel_atlas.io.sheet import subjects_of

PICKED = "results/evidence/{size}/kernels.parquet"
PARTS = [path.split("**/")[1] for path in TABLES if path.startswith("evidence/**/")]
EVIDENCE = [
    f"results/evidence/{os.path.basename(path)}"
    for path, table in TABLES.items()
    if "question" in table and path.endswith(".csv") and config["evidence"]["wanted"]
]


localrules:
    collect_evidence,


rule pick_kernels:
    input:
        shards=files_of("results/kernels/{model}", *USES),
        assignments=files_of("results/assignments/{model}.parquet", *USES),
        inventory="results/inventory.parquet",
        library=library("pick_kernels.py"),
    output:
        kernels=PICKED,
    log:
        "results/logs/pick_kernels/{size}.log",
    benchmark:
        "results/benchmarks/pick_kernels/{size}.tsv"
    conda:
        "../envs/atlas.yaml"
    resources:
        mem_mb=memory(4096),
        runtime=120,
    params:
        subjects=subjects_of(MODELS),
        units=units(),
        kernels=config["evidence"]["kernels"],
        dense_per_layer=config["dense_per_layer"],
        seed=config["seed"],
    message:
        "Picking {wildcards.size} kernels for the evidence"
    script:
        "../workflow_scripts/pick_kernels.py"


# base of the rules of other questions, which inherit seed, script and message
rule scale_space:
    input:
        encoder=labeller,
        filters=beside("resources/master_key_filters.csv"),
        library=library("answer_question.py", "evidence/scale_space.py"),
    output:
        **answers("scale_space"),
    log:
        "results/logs/scale_space.log",
    benchmark:
        "results/benchmarks/scale_space.tsv"
    conda:
        "../envs/atlas.yaml"
    resources:
        mem_mb=memory(4096),
        runtime=120,
    params:
        question="scale_space",
        seed=config["seed"],
    message:
        "Answering a question: {rule} {wildcards}"
    script:
        "../workflow_scripts/answer_question.py"


use rule scale_space as controls with:
    input:
        picked=PICKED,
        encoder=labeller,
        library=library("answer_question.py", "evidence/controls.py"),
    output:
        **answers("controls"),
    log:
        "results/logs/controls/{size}.log",
    benchmark:
        "results/benchmarks/controls/{size}.tsv"
    params:
        question="controls",
        minimum=config["minimum_kernels"],
        steps=config["evidence"]["steps"],


use rule scale_space as baselines with:
    input:
        merged="results/merged/{size}.parquet",
        encoder=labeller,
        library=library("answer_question.py", "evidence/baselines.py"),
    output:
        **answers("baselines"),
    log:
        "results/logs/baselines/{size}.log",
    benchmark:
        "results/benchmarks/baselines/{size}.tsv"
    params:
        question="baselines",
        sample=config["evidence"]["kernels"],
        splits=config["evidence"]["splits"],
        restarts=config["evidence"]["restarts"],
        steps=config["evidence"]["steps"],


use rule scale_space as held_out with:
    input:
        merged="results/merged/{size}.parquet",
        encoder=labeller,
        library=library("answer_question.py", "evidence/held_out.py"),
    output:
        **answers("held_out"),
    log:
        "results/logs/held_out/{size}.log",
    benchmark:
        "results/benchmarks/held_out/{size}.tsv"
    params:
        question="held_out",
        sample=config["evidence"]["kernels"],
        steps=config["evidence"]["steps"],


use rule scale_space as stability with:
    input:
        merged="results/merged/{size}.parquet",
        encoder=labeller,
        posed="results/autoencoder/{size}/posed/clusters.tsv",
        library=library("answer_question.py", "evidence/stability.py"),
    output:
        **answers("stability"),
    log:
        "results/logs/stability/{size}.log",
    benchmark:
        "results/benchmarks/stability/{size}.tsv"
    params:
        question="stability",
        boundary=config["spectrum"]["boundary"],
        smallest=config["spectrum"]["smallest_cluster"],
        sample=config["evidence"]["kernels"],
        restarts=config["evidence"]["restarts"],
        bootstraps=config["evidence"]["bootstraps"],
        steps=config["evidence"]["steps"],


use rule scale_space as formulas with:
    input:
        picked=PICKED,
        library=library("answer_question.py", "evidence/formulas.py"),
    output:
        **answers("formulas"),
    log:
        "results/logs/formulas/{size}.log",
    benchmark:
        "results/benchmarks/formulas/{size}.tsv"
    resources:
        gpu=1,
    params:
        question="formulas",
        controls=4000,  # leaves 40 noise kernels above the threshold of 99 %
        synthetic=250,
        decibels=10,


use rule scale_space as keys with:
    input:
        picked=PICKED,
        spectrum="results/autoencoder/{size}/spectrum.parquet",
        encoder=labeller,
        filters=beside("resources/master_key_filters.csv"),
        library=library("answer_question.py", "evidence/keys.py"),
    output:
        **answers("keys"),
    log:
        "results/logs/keys/{size}.log",
    benchmark:
        "results/benchmarks/keys/{size}.tsv"
    params:
        question="keys",
        tolerance=config["evidence"]["key_tolerance"],


use rule scale_space as padding with:
    input:
        picked=PICKED,
        library=library("answer_question.py", "evidence/padding.py"),
    output:
        **answers("padding"),
    log:
        "results/logs/padding/{size}.log",
    benchmark:
        "results/benchmarks/padding/{size}.tsv"
    params:
        question="padding",
        padding=stated("padding"),


use rule scale_space as networks with:
    input:
        models="results/statistics/models.csv",
        layers="results/statistics/layers.csv",
        architectures="results/statistics/architectures.csv",
        thresholds="results/statistics/thresholds.csv",
        contrasts=find_file(config["contrasts"]),
        encoder=labeller,
        library=library("answer_question.py", "evidence/networks.py"),
    output:
        **{name: shown(path, "Evidence") for name, path in answers("networks").items()},
    log:
        "results/logs/networks.log",
    benchmark:
        "results/benchmarks/networks.tsv"
    params:
        question="networks",


use rule scale_space as layers with:
    input:
        shards=files_of("results/kernels/{model}", *USES),
        inventory="results/inventory.parquet",
        models="results/statistics/models.csv",
        library=library("answer_question.py", "evidence/layers.py"),
    output:
        **{name: shown(path, "Evidence") for name, path in answers("layers").items()},
    log:
        "results/logs/layers.log",
    benchmark:
        "results/benchmarks/layers.tsv"
    params:
        question="layers",
        subjects=subjects_of(MODELS),
        units=units(),
        sides=config["sizes"],


rule collect_evidence:
    input:
        parts=of_sizes(*(f"results/evidence/{{size}}/{part}" for part in PARTS)),
        library=library("collect_evidence.py"),
    output:
        tables=[shown(f"results/evidence/{part}", "Evidence") for part in PARTS],
    log:
        "results/logs/collect_evidence.log",
    benchmark:
        "results/benchmarks/collect_evidence.tsv"
    conda:
        "../envs/atlas.yaml"
    message:
        "Putting the evidence of all sizes together"
    script:
        "../workflow_scripts/collect_evidence.py"
