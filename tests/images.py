"""Images of two classes, to train networks on within a few steps."""

import io

import numpy as np
from PIL import Image

RANDOM = np.random.default_rng(0)


def encode(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def bright_and_dark(number: int, shape: tuple[int, ...]) -> tuple[list[bytes], list[int]]:
    """Images of two classes that a network tells apart within a few steps."""
    labels = [i % 2 for i in range(number)]
    return [encode(RANDOM.integers(128 * label, 128 * label + 100, shape, np.uint8)) for label in labels], labels
