"""Question: does `plan` predict the peak memory of a stylization? Rival: the truth.

Each size runs in a process of its own: `plan`, then the run itself; the predicted peak against the kernel's figure.
"""

import json
import subprocess
import sys

from timing import describe, table

CHILD = """
import json, sys, jax
from jaxart import io, memory, samples, weights
from jaxart.tasks import stylize as task
size = int(sys.argv[1])
job = task.prepare(io.read(samples.path("coffee")), io.read(samples.path("church_at_auvers")), variables=weights.load("vgg16"),
                   size=size, min_size=min(size, 128), steps=2)
predicted = max(row.bytes for row in task.plan(job, key=jax.random.key(0)))
before = memory.peak()
task.run(job, key=jax.random.key(0))
print(json.dumps({"predicted": predicted, "measured": memory.peak(), "before": before}))
"""


def main() -> None:
    """Print predicted and measured peaks at five sizes."""
    rows = []
    for size in (256, 384, 512, 768, 1024):
        done = subprocess.run([sys.executable, "-c", CHILD, str(size)], capture_output=True, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        predicted, measured = (found[name] / 2**20 for name in ("predicted", "measured"))
        rows.append(
            {
                "name": f"{size} px",
                "ours": round(predicted),
                "rival": round(measured),
                "ratio": measured / predicted,
                "unit": "MiB",
            }
        )
    table(rows, "predicted", "measured", describe())


if __name__ == "__main__":
    main()
