"""A spectrum of each image of a camera: what is above a threshold, summed along the rows."""

import numpy as np
from ami_node import per_event


@per_event(outputs={"spectrum": "u8[:]", "total": "u8"})
def spectrum(image, *, threshold: int = 160):
    """Sums each column of the image over the pixels that are bright enough.

    Args:
        threshold: pixels below it count as 0.
    """
    kept = np.where(image >= threshold, image, 0)
    columns = kept.sum(axis=0)
    return columns, columns.sum()
