"""List what timm knows again: `snakemake timm_layers --cores N`, not part of the main job.

Inputs: the installed timm.
Outputs: results/timm/timm_layers.parquet (every depthwise layer of every pretrained tag) and timm_left_out.tsv (what only
looks depthwise). To make them those that `timm:` sources use, copy them to resources/.
"""


rule timm_layers:
    input:
        library=library("timm_layers.py"),
    output:
        layers="results/timm/timm_layers.parquet",
        left_out="results/timm/timm_left_out.tsv",
    log:
        "results/logs/timm_layers.log",
    benchmark:
        "results/benchmarks/timm_layers.tsv"
    conda:
        "../envs/atlas.yaml"
    resources:
        mem_mb=memory(4000),
    message:
        "Listing the depthwise layers of timm's pretrained networks"
    script:
        "../workflow_scripts/timm_layers.py"
