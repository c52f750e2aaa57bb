"""Interleaved timing and tables, shared by the benchmarks: ratios of one run are what counts, the machine may be noisy."""

import argparse
import json
import math
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from importlib import metadata
from typing import Any

warnings.filterwarnings("ignore", module=r"torch(\.|$)")  # they would stand between the rows


def interleave(runs: dict[str, Callable[[], Any]], *, repeats: int, calls: int = 1) -> dict[str, list[float]]:
    """Time each function once per round, in turn, after one warm-up round; return seconds by name. Each function must block.

    With several `calls`, a round has that many of each in a row, after a pause, and counts the median of the last three quarters: PyTorch's
    threads go on spinning for a while, on the cores of whoever is next, which tells in calls of milliseconds.
    """
    for run in runs.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            time.sleep(0 if calls == 1 else 0.3)
            row = []
            for _ in range(calls):
                begin = time.perf_counter()
                run()
                row.append(time.perf_counter() - begin)
            seconds[name].append(statistics.median(row[calls // 4 :]))
    return seconds


def ratio(rival: list[float], ours: list[float]) -> float:
    """Return the median of the ratios round by round: above 1 means ours is faster."""
    return statistics.median(r / o for r, o in zip(rival, ours, strict=True))


def describe() -> dict[str, Any]:
    """Return device, threads and versions."""
    import jax

    packages = {}
    for name in ("jax", "torch"):
        try:
            packages[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    versions = " ".join(
        [f"python {platform.python_version()}", *(f"{name} {version}" for name, version in packages.items())]
    )
    return {"device": str(jax.devices()[0].device_kind), "threads": len(os.sched_getaffinity(0)), "versions": versions}


def table(rows: list[dict[str, Any]], ours: str, rival: str, facts: dict[str, Any]) -> None:
    """Print a Markdown table, or with --json one object a row."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true", help="one JSON object a row")
    if parser.parse_known_args()[0].json:
        for row in rows:
            print(json.dumps(row | facts))
        return
    print(f"{facts['device']}, {facts['threads']} threads, {facts['versions']}\n")
    print(f"| | {ours} | {rival} | unit | ratio |\n|---|---|---|---|---|")
    for row in rows:
        quotient = f"{row['ratio']:.2f}" if math.isfinite(row["ratio"]) else "-"
        print(f"| {row['name']} | {row['ours']} | {row['rival']} | {row['unit']} | {quotient} |")
