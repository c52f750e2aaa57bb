"""Flags and values under their former names: understood for one more version, with a notice."""

import re
from collections.abc import Sequence

RENAMED = {  # patterns of a flag, or of a flag and its value
    "--rung": "--memory-mode",
    "--skips": "--max-nonfinite-steps",
    "--memory-mode rematerial[i]sed": "--memory-mode rematerialized",
}


def with_new_names(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Replace former names in the words of a command line.

    Args:
        arguments: the words, as typed.

    Returns:
        The words with today's names, and a line of notice for each name that was replaced.

    >>> with_new_names(["--rung=tiled"])
    (['--memory-mode', 'tiled'], ['--rung is now called --memory-mode; the old name goes with the next version.'])
    """
    words: list[str] = []
    notices: list[str] = []
    for word in _separated(arguments):
        phrases = [word, f"{words[-1]} {word}"] if words else [word]
        for old, new in RENAMED.items():
            for phrase in phrases:
                if re.fullmatch(old, phrase):
                    word = new.split()[-1]
                    notices.append(f"{phrase} is now called {new}; the old name goes with the next version.")
        words.append(word)
    return words, notices


def _separated(arguments: Sequence[str]) -> list[str]:
    """Return the words, with ``--flag=value`` as two where that flag is in the table."""
    flags = {old.split()[0] for old in RENAMED}
    separated: list[str] = []
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        separated += [flag, value] if equals and flag in flags else [argument]
    return separated
