"""``python -m jaxart``."""

from jaxart.cli import main

main()
