"""The digest that version 0.1 wrote into run folders."""

import hashlib

import numpy as np

from jaxart.data.dataset import Dataset


def picture_digest(dataset: Dataset) -> str:
    """Return the SHA-256 of the columns "image" and "label" and of the label's classes, as version 0.1 took it."""
    images, labels = dataset.column("image"), dataset.column("label")
    content = hashlib.sha256(repr((images.dtype.name, images.shape, dataset.classes.get("label", ()))).encode())
    for array in (images, labels):
        content.update(np.ascontiguousarray(array).data.cast("B"))
    return content.hexdigest()
