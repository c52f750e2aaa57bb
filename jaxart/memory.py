"""Memory of this process and of the machine, in bytes."""

import ctypes
import os
import resource
import sys
from pathlib import Path


def resident() -> int:
    """Return the resident memory of this process now."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return peak()


def peak() -> int:
    """Return the largest resident memory that this process has had."""
    try:  # not `ru_maxrss`, which on Linux a process takes over from a larger parent
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def release() -> None:
    """Return freed memory to the system; glibc keeps it otherwise, a quarter of a gigabyte after compiling a VGG step."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def available() -> int | None:
    """Return the bytes that can still be allocated: the smaller of MemAvailable and what the control group leaves; None if unknown."""
    figures = []
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        figures += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")]
        group = Path("/sys/fs/cgroup")
        limit, used = ((group / name).read_text().strip() for name in ("memory.max", "memory.current"))
        figures += [int(limit) - int(used)] if limit != "max" else []
    except (OSError, ValueError):
        pass
    return min(figures) if figures else None
