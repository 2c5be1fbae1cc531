"""One size: its spectrum, and the kernels that trained -> stretches of the code, named by their members."""

import numpy as np
from safetensors.numpy import load_file

from kernel_atlas.core.kernels import size_name, taps_array
from kernel_atlas.core.patterns import kind_of, read_patterns
from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.io.merge import training_kernels
from kernel_atlas.io.tables import read_table, write_csv
from kernel_atlas.model.assign import Assigner, Labeller
from kernel_atlas.model.clusters import read_clusters
from kernel_atlas.model.coder import Coder
from kernel_atlas.model.naming import find_clusters, name_clusters
from kernel_atlas.model.poses import PosedCoder, find_poses, turn_back

with job_log(snakemake.log[0]):
    given, params = snakemake.input, snakemake.params
    if given.by_hand:
        clusters = read_clusters(given.by_hand[0])
    else:
        spectrum = read_table(given.spectrum)
        clusters = find_clusters(
            taps_array(spectrum["decoded"]),
            spectrum["kernels"].to_numpy(),
            boundary=params.boundary,
            smallest=params.smallest_cluster,
        )
        kernels, threshold = training_kernels(given.merged), params.threshold
        if params.posed:
            posed = PosedCoder(load_file(given.encoder))
            kernels, coder = turn_back(kernels, find_poses(kernels, posed.codebook)), posed.coder
        else:
            coder = Coder(load_file(given.encoder))
        *_, members = Labeller(coder, clusters, threshold).assign(kernels)
        assigner = Assigner(read_patterns(given.patterns), {}, {size_name(coder.side): threshold})
        labels = assigner.label(kernels)["label"]
        if params.posed:  # one pose stands for all signs and directions
            labels = np.array([kind_of(label) for label in labels], object)
        clusters = name_clusters(clusters, members, labels)
    write_csv(clusters, snakemake.output.clusters)
end_job()
