"""The words of the field: families with their colours, formulas, kinds of kernels, methods, measures; no imports."""

# One colour per family of labels, the same in every figure and size: hues of Okabe & Ito (2008), which colour-blind
# readers tell apart. Off is hatched beside its On, so that no family is told by colour alone.
FAMILIES = {
    "On-Centre": ("#d55e00", ""),
    "Off-Centre": ("#0072b2", "////"),
    "On-Square": ("#e69f00", ""),
    "Off-Square": ("#56b4e9", "////"),
    "On-Cross": ("#cc79a7", ""),
    "Off-Cross": ("#5b3a8c", "////"),
    "On-Shift": ("#ffb3a7", ""),
    "Off-Shift": ("#3f4a5a", "////"),
    "First-Derivative": ("#009e73", ""),
    "On-Second-Derivative": ("#f0e442", ""),
    "Off-Second-Derivative": ("#8a8a00", "////"),
    "Further patterns": ("#8c5a3c", "xxx"),
    "mixed": ("#b9b0c9", "xxx"),
    "other": ("#cfcfcf", ""),
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

METHODS = {  # beside which the autoencoder stands: name, colour and marker
    "kmeans": ("k-means", "#d55e00", "s"),
    "gaussian_mixture": ("Gaussian mixture", "#cc79a7", "^"),
    "hdbscan": ("HDBSCAN", "#8a8a00", "P"),
    "codebook": ("codebook in 16 poses", "#56b4e9", "v"),
    "patterns": ("reference patterns", "#5b3a8c", "X"),
    "pca": ("principal components", "#009e73", "D"),
    "retrained": ("autoencoder, retrained", "#0072b2", "o"),
    "autoencoder": ("this run's autoencoder (saw both halves)", "#222222", "*"),
}

# What experiments count of the kernels of a layer.
MEASURES = {
    "clustered": "in a cluster",
    "explained": "explained by a formula",
    "beyond": "beyond spectrum",
}
FORMULAS = {f"fit_{name}": look for name, look in FITTED.items()}  # as measures of experiments name them
