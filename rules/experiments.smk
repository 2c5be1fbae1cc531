"""Train networks under different conditions: `snakemake experiment_data --cores N --config images=FOLDER`, and
experiment_covariance, experiment_decay, experiment_dense, experiment_dynamics, experiment_init and experiment_pull; not
part of the main job.

Inputs: config/experiments.tsv (conditions), config/verdict.tsv (pairs that decide experiment_covariance), Parquet image
sets in the configured folder, encoder, published master keys, reference patterns.
Outputs:
- results/experiments/runs/CONDITION_sSEED/: a network, its kernels and accuracy during training, its last answers;
- results/experiments/EXPERIMENT/: runs.csv (measures of kernels at each step), summary.csv, a figure (.svg, .pdf) with
  texts (.json), for experiment_dynamics also kernels.gif;
- results/experiments/verdict/: verdict.csv (each pair judged), of experiment_covariance, with figure and texts.
For the report, copy runs.csv or verdict.csv to resources/experiments/EXPERIMENT.csv and kernels.gif to dynamics.gif
there, and state their origin in experiments.tsv. With smoke=true all outputs are in results/smoke.
"""

CONDITIONS = pd.read_csv(
    beside("config/experiments.tsv"),
    sep="\t",
    index_col="condition",
    keep_default_na=False,
    true_values=["yes"],
    false_values=["no"],
)
SEEDS = config["experiments"]["seeds"][: 1 if config["smoke"] else None]
KEPT = pd.read_csv(
    beside("resources/experiments/experiments.tsv"), sep="\t", index_col="experiment"
)


ENCODER = find_file(config["experiments"]["encoder"])
# a smoke test must not overwrite results of hours
RUNS = "results/smoke" if config["smoke"] else "results/experiments"
JUDGED = "covariance"  # the experiment that config/verdict.tsv decides
EXPERIMENTS = sorted(set(chain.from_iterable(CONDITIONS["experiments"].str.split())))


# local: jobs of seconds, below the overhead of a cluster
localrules:
    draw_kept_experiment,


rule train_experiment_net:
    input:
        units=unit_file,
        library=library("train_experiment_net.py"),
    output:
        weights=f"{RUNS}/runs/{{condition}}_s{{seed}}/net.safetensors",
        kernels=f"{RUNS}/runs/{{condition}}_s{{seed}}/kernels.parquet",
        curve=f"{RUNS}/runs/{{condition}}_s{{seed}}/curve.csv",
        answers=f"{RUNS}/runs/{{condition}}_s{{seed}}/answers.parquet",
    log:
        "results/logs/train_experiment_net/{condition}_s{seed}.log",
    benchmark:
        "results/benchmarks/train_experiment_net/{condition}_s{seed}.tsv"
    wildcard_constraints:
        condition="|".join(CONDITIONS.index),
        seed="[0-9]+",
    conda:
        "../envs/atlas.yaml"
    resources:
        mem_mb=memory(8192),
        runtime=720,
        gpu=1,
    params:
        images=config["images"],
        condition=lambda wildcards: CONDITIONS.drop(
            columns=["title", "experiments", "against"]
        )
        .loc[wildcards.condition]
        .to_dict(),
        seed=lambda wildcards: int(wildcards.seed),
        smoke=config["smoke"],
    message:
        "Training {wildcards.condition} from seed {wildcards.seed}"
    script:
        "../workflow_scripts/train_experiment_net.py"


rule sum_up_experiment:
    input:
        weights=run_files("net.safetensors"),
        kernels=run_files("kernels.parquet"),
        curves=run_files("curve.csv"),
        encoder=ENCODER,
        library=library("sum_up_experiment.py"),
    output:
        table=f"{RUNS}/{{experiment}}/runs.csv",
    log:
        "results/logs/sum_up_experiment/{experiment}.log",
    benchmark:
        "results/benchmarks/sum_up_experiment/{experiment}.tsv"
    wildcard_constraints:
        experiment="|".join(EXPERIMENTS),
    conda:
        "../envs/atlas.yaml"
    params:
        runs=lambda wildcards: runs_of(wildcards.experiment),
        seed=config["seed"],
    message:
        "Labelling the kernels of experiment_{wildcards.experiment}"
    script:
        "../workflow_scripts/sum_up_experiment.py"


rule draw_experiment:
    input:
        table=f"{RUNS}/{{experiment}}/runs.csv",
        style=beside("kernel_atlas/figures/atlas.mplstyle"),
        library=library("draw_experiment.py"),
    output:
        data=f"{RUNS}/{{experiment}}/summary.csv",
        figure=experiment_figure(f"{RUNS}/{{experiment}}/figure.svg"),
        phone=f"{RUNS}/{{experiment}}/figure.phone.svg",
        pdf=f"{RUNS}/{{experiment}}/figure.pdf",
        words=f"{RUNS}/{{experiment}}/figure.json",
    log:
        "results/logs/draw_experiment/{experiment}.log",
    benchmark:
        "results/benchmarks/draw_experiment/{experiment}.tsv"
    wildcard_constraints:
        experiment="|".join(EXPERIMENTS),
    conda:
        "../envs/atlas.yaml"
    params:
        experiment=lambda wildcards: wildcards.experiment,
        seed=config["seed"],
    message:
        "Drawing an experiment"
    script:
        "../workflow_scripts/draw_experiment.py"


rule judge_experiment:
    input:
        pairs=beside("config/verdict.tsv"),
        answers=run_files("answers.parquet"),
        library=library("judge_experiment.py"),
    output:
        table=f"{RUNS}/verdict/verdict.csv",
    log:
        "results/logs/judge_experiment.log",
    benchmark:
        "results/benchmarks/judge_experiment.tsv"
    conda:
        "../envs/atlas.yaml"
    params:
        runs=runs_of(JUDGED),
    message:
        "Judging whether patterns are worth more than their covariance"
    script:
        "../workflow_scripts/judge_experiment.py"


use rule draw_experiment as draw_verdict with:
    input:
        table=f"{RUNS}/verdict/verdict.csv",
        style=beside("kernel_atlas/figures/atlas.mplstyle"),
        library=library("draw_experiment.py"),
    output:
        data=f"{RUNS}/verdict/figure.csv",
        figure=experiment_figure(f"{RUNS}/verdict/figure.svg", "verdict"),
        phone=f"{RUNS}/verdict/figure.phone.svg",
        pdf=f"{RUNS}/verdict/figure.pdf",
        words=f"{RUNS}/verdict/figure.json",
    log:
        "results/logs/draw_verdict.log",
    benchmark:
        "results/benchmarks/draw_verdict.tsv"
    params:
        experiment="verdict",
        seed=config["seed"],


use rule draw_experiment as draw_kept_experiment with:
    input:
        table=beside("resources/experiments/{experiment}.csv"),
        cosines=lambda wildcards: (
            [beside("resources/experiments/ablation_cosines.csv")]
            if wildcards.experiment == "ablation"
            else []
        ),
        style=beside("kernel_atlas/figures/atlas.mplstyle"),
        library=library("draw_experiment.py"),
    output:
        data="results/figures/experiment_{experiment}.csv",
        figure=experiment_figure("results/figures/experiment_{experiment}.svg"),
        phone="results/figures/experiment_{experiment}.phone.svg",
        pdf="results/figures/experiment_{experiment}.pdf",
        words="results/figures/experiment_{experiment}.json",
    log:
        "results/logs/draw_kept_experiment/{experiment}.log",
    benchmark:
        "results/benchmarks/draw_kept_experiment/{experiment}.tsv"
    wildcard_constraints:
        experiment="|".join(KEPT.index),


rule animate_kernels:
    input:
        kernels=f"{RUNS}/runs/natural_s{SEEDS[0]}/kernels.parquet",
        encoder=ENCODER,
        library=library("animate_kernels.py"),
    output:
        animation=f"{RUNS}/dynamics/kernels.gif",
    log:
        "results/logs/animate_kernels.log",
    benchmark:
        "results/benchmarks/animate_kernels.tsv"
    conda:
        "../envs/atlas.yaml"
    message:
        "Animating the kernels of a layer"
    script:
        "../workflow_scripts/animate_kernels.py"


for experiment in EXPERIMENTS:

    rule:
        name:
            f"experiment_{experiment}"
        input:
            f"{RUNS}/{experiment}/figure.svg",
            [f"{RUNS}/dynamics/kernels.gif"] if experiment == "dynamics" else [],
            [f"{RUNS}/verdict/figure.svg"] if experiment == JUDGED else [],
