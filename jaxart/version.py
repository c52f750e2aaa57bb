"""The version, alone, so that every layer may state it without importing the package."""

__version__ = "0.2.0.dev0"
