"""What all commands share with the person at the terminal: lines, tables, sizes, durations, interrupts.

No heavy imports, here or in any file of commands: those wait inside the functions that need them, so that help is quick.
"""

import contextlib
import functools
import math
import re
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console
    from rich.table import Table

_PREFIXES = ("", "K", "M", "G", "T")
_BINARY = {unit: 1024**power for power, prefix in enumerate(_PREFIXES) for unit in (prefix, f"{prefix}IB")}
_DECIMAL = {f"{prefix}B": 1000**power for power, prefix in enumerate(_PREFIXES)}
_UNITS = _BINARY | _DECIMAL | {"": 1024**3}  # upper case; a bare number is in GiB


@functools.cache
def messages() -> "Console":
    """Return the console of everything but results: standard error."""
    from rich.console import Console

    return Console(stderr=True)


def say(text: str) -> None:
    """Print a line for the person, as it is, on standard error."""
    messages().print(text, highlight=False, markup=False, soft_wrap=True)


def show(result: "str | Table") -> None:
    """Print what a command was asked for, a line or a table, on standard output."""
    from rich.console import Console

    Console().print(result, highlight=False, markup=False, soft_wrap=isinstance(result, str))


def table(
    rows: Iterable[Sequence[str]], *, columns: Sequence[str] = (), title: str | None = None, lines: bool = False
) -> "Table":
    """Return a table of texts, for `show` or `messages`.

    Args:
        rows: texts, as many in each as there are columns.
        columns: their headings; none for a table without.
        title: a line above it.
        lines: whether to draw lines between rows.
    """
    from rich.box import HEAVY_HEAD
    from rich.table import Column, Table

    made = Table(
        *(Column(heading, overflow="fold") for heading in columns),
        title=title,
        show_header=bool(columns),
        show_lines=lines,
        box=HEAVY_HEAD if columns or lines else None,
    )
    for row in rows:
        made.add_row(*row)
    return made


def fail(message: str) -> int:
    """Print an error on standard error; return the exit code of bad input."""
    print(f"jaxart: {message}", file=sys.stderr)
    return 2


def format_duration(seconds: float) -> str:
    """Return seconds as people say them.

    >>> [format_duration(seconds) for seconds in (45, 200, 7500)]
    ['45 s', '3 min 20 s', '2 h 5 min']
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def format_size(count: float) -> str:
    """Return bytes as people say them: in MiB below 1 GiB, in GiB from there on.

    >>> format_size(512 * 2**20), format_size(1.5 * 2**30)
    ('512 MiB', '1.5 GiB')
    """
    return f"{count / 2**20:.0f} MiB" if count < 2**30 else f"{count / 2**30:.1f} GiB"


def parse_size(text: str) -> int:
    """Return the bytes of a size as people write it; a bare number is in GiB.

    Args:
        text: a positive number and a unit, in any case: KiB, MiB, GiB, TiB or K, M, G, T are powers of 1024; KB, MB, GB, TB of 1000.

    Raises:
        ValueError: another form, or less than one byte.

    >>> parse_size("1.5GiB") == parse_size("1.5") == parse_size("1536 m")
    True
    >>> parse_size("1500MB")
    1500000000
    """
    found = re.fullmatch(r"(\d+\.?\d*|\.\d+)\s*([a-z]*)", text.strip(), re.IGNORECASE)
    unit = _UNITS.get(found[2].upper()) if found else None
    count = float(found[1]) * unit if found and unit else 0
    if not 1 <= count < math.inf:
        raise ValueError(f"expected a size such as 1.5GiB, 1500MB, 512MiB or 1.5 (GiB), got {text!r}.")
    return int(count)


class Size(int):
    """Bytes, as the help names the value of a flag."""


def _size_of(kind: Any, tokens: Sequence[Any]) -> Size:
    del kind
    return Size(parse_size(tokens[0].value))


MemorySize = Annotated[Size, Parameter(converter=_size_of, n_tokens=1)]


@contextlib.contextmanager
def interruptible() -> "Iterator[Callable[[], bool]]":
    """Turn the first Ctrl-C (and SIGTERM) into a question that the loop asks; the second interrupts at once."""
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        del number, frame
        if asked:
            raise KeyboardInterrupt
        asked = True

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
