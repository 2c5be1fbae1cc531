"""The words of the field, each said once: families with their colours, formulas, kinds of kernels, measures."""

# One colour per family of labels, the same in every figure and size: hues of Okabe & Ito (2008), which colour-blind
# readers tell apart. Off is hatched beside its On, so that no family is told by colour alone.
FAMILIES = {
    "On-Centre": ("#d55e00", ""),
    "Off-Centre": ("#0072b2", "////"),
    "On-Square": ("#e69f00", ""),
    "Off-Square": ("#56b4e9", "////"),
    "On-Cross": ("#cc79a7", ""),
    "Off-Cross": ("#5b3a8c", "////"),
    "First-Derivative": ("#009e73", ""),
    "On-Second-Derivative": ("#f0e442", ""),
    "Off-Second-Derivative": ("#8a8a00", "////"),
    "Further patterns": ("#8c5a3c", "xxx"),
    "other": ("#cfcfcf", ""),
}
FITTED = {  # by evidence/families.py: name, whose colour, hatch and marker
    "centre": ("difference of Gaussians", "On-Centre", "", "o"),
    "first_derivative": ("first derivative", "First-Derivative", "////", "^"),
    "second_derivative": ("second derivative", "On-Second-Derivative", "----", "s"),
    "cross": ("cross", "On-Cross", "xxxx", "P"),
}

# Kinds of kernels in the tables of the evidence.
KINDS = {
    "real": "real kernels",
    "gaussian": "Gaussian noise",
    "shuffled": "shuffled taps",
    "phase": "random phases",
    "untrained": "control networks",
    "dense": "slices of regular convolutions",
}

# What experiments count of the kernels of a layer.
MEASURES = {
    "clustered": "in a cluster",
    "explained": "explained by a formula",
    "beyond": "beyond spectrum",
}
FORMULAS = {f"fit_{name}": look for name, look in FITTED.items()}  # as measures of experiments name them
