"""The cache folder: downloaded weights, compiled programs and the compiled kernel."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return the folder where weights and compiled programs are kept: ``$JAXART_CACHE``, else ``$XDG_CACHE_HOME/jaxart``, else
    ``~/.cache/jaxart``. It is not created here."""
    if named := os.environ.get("JAXART_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jaxart"
