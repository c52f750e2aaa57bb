"""Question: does `plan`, which compiles nothing, predict the peak memory of a stylization? Rival: the truth.

Each setting runs in a process of its own: `needed_memory`, then two steps; the predicted peak against the kernel's figure. At the end it
prints the constant PROCESS of `tasks/stylize/predict.py` that fits these settings best.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys

from timing import describe, table

from jaxart.tasks.stylize.predict import PROCESS

CHILD = """
import json, sys, jax, jax.numpy as jnp
from jaxart import io, memory, samples, weights
from jaxart.tasks import stylize as task
size, mode, styles, dtype, sheet = json.loads(sys.argv[1])
photo, style = io.read(samples.path("coffee")), io.read(samples.path("church_at_auvers"))
job = task.prepare(photo, [style] * styles, variables=weights.load("vgg16"), size=size, min_size=size, steps=1,
                   dtype=getattr(jnp, dtype), memory_mode=task.MEMORY_MODES[mode])
key = jax.random.key(0)
if sheet:
    jobs = task.variations(job, [style], [0.01] * sheet)
    predicted = task.plan_sheet(jobs, key=key, max_memory=1 << 50).bytes
    before = memory.peak()
    task.run_sheet(jobs, key=key)
else:
    predicted = task.needed_memory(job, key=key)
    before = memory.peak()
    task.run(job, key=key)
print(json.dumps({"predicted": predicted, "measured": memory.peak(), "before": before}))
"""
# name, JAXART_NATIVE, (size, memory mode, styles, precision, pictures of a sheet)
SETTINGS = (
    ("256 px", 0, (256, 0, 1, "float32", 0)),
    ("512 px", 0, (512, 0, 1, "float32", 0)),
    ("768 px", 0, (768, 0, 1, "float32", 0)),
    ("1024 px", 0, (1024, 0, 1, "float32", 0)),
    ("1536 px", 0, (1536, 0, 1, "float32", 0)),
    ("1024 px, rematerialized", 0, (1024, 1, 1, "float32", 0)),
    ("2048 px, tiled 1024", 0, (2048, 2, 1, "float32", 0)),
    ("2048 px, tiled 512", 0, (2048, 3, 1, "float32", 0)),
    ("1024 px, tiled 256, recomputed", 0, (1024, 4, 1, "float32", 0)),
    ("512 px, two styles", 0, (512, 0, 2, "float32", 0)),
    ("1024 px, bfloat16", 0, (1024, 0, 1, "bfloat16", 0)),
    ("256 px, sheet of four", 0, (256, 0, 1, "float32", 4)),
    ("256 px, compiled kernel", 1, (256, 0, 1, "float32", 0)),
    ("1024 px, compiled kernel", 1, (1024, 0, 1, "float32", 0)),
    ("2048 px, tiled 512, compiled kernel", 1, (2048, 3, 1, "float32", 0)),
)


def measure(native: int, setting: tuple) -> dict[str, float]:
    """Predict and run one setting in a process of its own; return bytes."""
    command = [sys.executable, "-c", CHILD, json.dumps(setting)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"JAXART_NATIVE": str(native)})
    if done.returncode:
        sys.exit(f"memory: {setting} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Print predicted and measured peaks, and the fitted constant."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="+", default=[], help="words that a setting's name must contain, one of them")
    chosen, rows = parser.parse_args().only, []
    for name, native, setting in SETTINGS:
        if chosen and not any(word in name for word in chosen):
            continue
        found = measure(native, setting)
        predicted, measured = (found[key] / 2**20 for key in ("predicted", "measured"))
        print(
            f"{name}: before {found['before'] / 2**20:.0f}, {predicted:.0f}, {measured:.0f}",
            file=sys.stderr,
            flush=True,
        )
        ratio = measured / predicted
        rows.append({"name": name, "ours": round(predicted), "rival": round(measured), "ratio": ratio, "unit": "MiB"})
    table(rows, "predicted", "measured", describe())
    beside = statistics.median(row["rival"] - row["ours"] for row in rows) + PROCESS / 2**20
    print(f"\nPROCESS = {beside:.0f} << 20")


if __name__ == "__main__":
    main()
