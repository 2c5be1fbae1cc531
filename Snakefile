"""Which patterns do the depthwise kernels of trained networks fall into? One stage of the way is one file in rules/."""

from snakemake.utils import min_version

min_version("9.0")


configfile: workflow.source_path("config.yaml")


include: "rules/project.smk"
include: "rules/common.smk"
include: "rules/extract.smk"
include: "rules/merge.smk"
include: "rules/train.smk"
include: "rules/spectrum.smk"
include: "rules/assign.smk"
include: "rules/summarise.smk"
include: "rules/evidence.smk"
include: "rules/draw.smk"
include: "rules/experiments.smk"
include: "rules/report.smk"
include: "rules/atlas.smk"
include: "rules/release.smk"
include: "rules/ablation.smk"
include: "rules/maps.smk"
include: "rules/zoo.smk"
include: "rules/timm.smk"
include: "rules/patterns.smk"
include: "rules/reference.smk"
include: "rules/pictures.smk"


onstart:
    start_run()


onsuccess:
    results.end_run(RESULTS, STARTED, registry.FIGURES)
    end_with([])


onerror:
    end_with(results.errors_of(RESULTS, log))


rule all:
    default_target: True
    input:
        expand("results/kernels/{model}", model=sorted(MODELS.index)),
        files_of("results/assignments/{model}.parquet", *USES),
        EVIDENCE,
        figure_files("svg"),
        "results/report.html",
        "results/atlas.html",
