"""Plain functions ``hook(state, info)`` that `fit` calls: what is logged, and how often."""

import json
import math
import time
from pathlib import Path
from typing import Any

from jaxart.training.sharding import Hook


def periodically(every: int, hook: Hook, *, last: int | None = None) -> Hook:
    """Call a hook only at multiples of `every` steps, and at step `last`.

    Args:
        every: steps, at least 1; a multiple of the `every` given to `fit`, which else does not stop there.
        hook: ``hook(state, info)``.
        last: one more step at which it is called.
    """

    def call(state: Any, info: Any) -> None:
        if int(state.step) % every == 0 or int(state.step) == last:
            hook(state, info)

    return call


def log_jsonl(path: str | Path) -> Hook:
    """Write step, seconds and the terms of info as one JSON object a line; a value that is not finite becomes null.

    A resumed run drops the lines of the steps that it is about to repeat.

    Args:
        path: of the file; appended to.
    """
    path, begin = Path(path), time.perf_counter()
    begun = False

    def log(state: Any, info: Any) -> None:
        nonlocal begun
        step = int(state.step)
        if not begun:
            _drop_from(path, step)
            begun = True
        terms = {name: float(value) for name, value in info._asdict().items()}
        row = {name: value if math.isfinite(value) else None for name, value in terms.items()}
        with path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"step": step, "seconds": round(time.perf_counter() - begin, 3)} | row) + "\n")

    return log


def _drop_from(path: Path, step: int) -> None:
    """Keep the whole lines of earlier steps."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] < step:
                kept.append(line)
        except ValueError:  # a line that was being written when the process was killed
            continue
    path.write_text("".join(line + "\n" for line in kept), encoding="utf-8")


def log_tensorboard(folder: str | Path) -> Hook:
    """Write the terms of info for TensorBoard. Needs the package tensorboardX (``pip install 'jaxart[tensorboard]'``).

    Args:
        folder: of the event files.

    Raises:
        ImportError: tensorboardX is not installed.
    """
    from tensorboardX import SummaryWriter  # pyright: ignore[reportMissingImports]

    writer = SummaryWriter(str(folder))

    def log(state: Any, info: Any) -> None:
        for name, value in info._asdict().items():
            writer.add_scalar(name, float(value), int(state.step))
        writer.flush()

    return log
