"""The spectrum of kernels in one pose: each pattern once, whatever its direction and sign."""

import pandas as pd

from kernel_atlas.figures.spectrum import draw_stretches
from kernel_atlas.figures.write import Drawing


def draw(size: str, threshold: float, spectrum: pd.DataFrame, clusters: pd.DataFrame, sample: pd.DataFrame) -> Drawing:
    """As the spectrum of the autoencoder, of the one in one pose."""
    is_near = sample["pose_dissimilarity"] < threshold
    figure, data = draw_stretches(spectrum, clusters, sample["pose_code"], is_near)
    caption = (
        f"Codes of {spectrum['kernels'].sum():,} {size} training kernels, each turned to one of 16 poses first (8 "
        "symmetries of the square, both signs), so that names have no sign or direction. Coloured kernels are near "
        f"what is drawn of their code (dissimilarity below {threshold:g}), grey ones are not. Below, what is drawn "
        "at the median code of each cluster."
    )
    alt = f"Density of the codes of {size} kernels in one pose, decoded kernels along the code, and the named clusters."
    return Drawing(figure, data, f"The code of {size} kernels in one pose", caption, alt)
