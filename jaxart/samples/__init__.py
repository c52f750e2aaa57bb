"""Small free pictures to try the library on; origin and rights are in SOURCES.md beside them."""

from importlib.resources import files
from pathlib import Path

NAMES = ("cafe_terrace", "cat", "church_at_auvers", "coffee")


def path(name: str) -> Path:
    """Return the file of a sample picture, one of `NAMES`."""
    return Path(str(files(__name__) / f"{name}.jpg"))
