"""The words of the field: families with their colours, formulas, kinds of kernels, methods, measures; no imports."""

# One colour per family of labels, the same in every figure and size. Each has a contrast of at least 3 to 1 on a white
# and on a dark page. Off is hatched beside its On, so that no family is told by colour alone.
FAMILIES = {
    "On-Centre": ("#d55e00", ""),
    "Off-Centre": ("#0072b2", "////"),
    "On-Square": ("#b07d00", ""),
    "Off-Square": ("#2e8fc4", "////"),
    "On-Cross": ("#cc79a7", ""),
    "Off-Cross": ("#8a5fc0", "////"),
    "On-Shift": ("#d9606a", ""),
    "Off-Shift": ("#6a7a92", "////"),
    "First-Derivative": ("#009e73", ""),
    "On-Second-Derivative": ("#8a8a00", ""),
    "Off-Second-Derivative": ("#5f8a2a", "////"),
    "Further patterns": ("#a36a47", "xxx"),
    "mixed": ("#8d84a0", "xxx"),
    "other": ("#949494", ""),
}
FITTED = {  # by evidence/families.py: name, whose colour, hatch and marker
    "centre": ("difference of Gaussians", "On-Centre", "", "o"),
    "first_derivative": ("first derivative", "First-Derivative", "////", "^"),
    "second_derivative": ("second derivative", "On-Second-Derivative", "----", "s"),
    "cross": ("cross", "On-Cross", "xxxx", "P"),
}

NAMED = {  # what labels of a formula have in their names
    "-Centre": "centre",
    "-Shift": "centre",
    "-Cross": "cross",
    "First-Derivative": "first_derivative",
    "Second-Derivative": "second_derivative",
}

# Limits of a stable cluster, set before results were seen: share of runs with its prototype, mean Jaccard index.
STABLE = {"recurs": 0.8, "jaccard": 0.6}

# Axes of second derivatives, each 45 degrees further.
AXES = ("EW", "NE-SW", "NS", "NW-SE")

# Kinds of kernels in the tables of the evidence.
KINDS = {
    "real": "real kernels",
    "gaussian": "Gaussian noise",
    "shuffled": "shuffled taps",
    "phase": "random phases",
    "untrained": "control networks",
    "dense": "slices of regular convolutions",
}

METHODS = {  # beside which the autoencoder stands
    "patterns": "reference patterns",
    "codebook": "codebook in 16 poses",
    "posed": "autoencoder in one pose",
    "autoencoder": "autoencoder",
    "kmeans": "k-means",
    "gaussian_mixture": "Gaussian mixture",
    "hdbscan": "HDBSCAN",
    "pca": "principal components",
    "retrained": "autoencoder, retrained",
}

# What experiments count of the kernels of a layer.
MEASURES = {
    "clustered": "in a cluster",
    "explained": "explained by a formula",
    "beyond": "beyond spectrum",
}
FORMULAS = {f"fit_{name}": look for name, look in FITTED.items()}  # as measures of experiments name them
