"""Update the list of timm's layers: `snakemake timm_layers --cores N`, not part of the main job.

Inputs: the installed timm.
Outputs: results/timm/timm_layers.parquet (depthwise layers of every pretrained tag) and timm_left_out.tsv (lookalikes).
Copy them to resources/ for use by `timm:` sources.
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
        mem_mb=memory(4096),
    message:
        "Listing the depthwise layers of timm's pretrained networks"
    script:
        "../workflow_scripts/timm_layers.py"
