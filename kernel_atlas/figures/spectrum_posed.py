"""The spectrum of kernels in one pose: each pattern once, whatever its direction and sign."""

import pandas as pd

from kernel_atlas.figures.spectrum import draw_stretches
from kernel_atlas.figures.write import Drawing


def draw(size: str, threshold: float, spectrum: pd.DataFrame, clusters: pd.DataFrame, sample: pd.DataFrame) -> Drawing:
    """As the spectrum of the autoencoder, of the one in one pose."""
    count = f"{spectrum['kernels'].sum():,}"
    title = f"The spectrum of {count} trained {size} kernels in one pose"
    is_near = sample["pose_dissimilarity"] < threshold
    figure, data = draw_stretches(title, spectrum, clusters, sample["pose_code"], is_near)
    caption = (
        f"As the spectrum, of {count} {size} training kernels turned to one of 16 poses first (8 symmetries of the "
        "square, both signs), so that each pattern appears once and names have no sign or direction. "
        "Grey kernels are not near what the decoder draws of their code."
    )
    alt = f"Spectrum of the {size} kernels in one pose, with the named stretches along the code."
    return Drawing(figure, data, "Spectrum in one pose", caption, alt)
