"""Run the command line and kill it, as by a power cut, at a chosen point: ``python kill_at.py POINT train gan ...``.

POINT is ``step:N`` (after the report of step N), ``save:N`` (while the checkpoint of step N is being written), or ``term:N`` (SIGTERM after
the report of step N). The kind of `toy_kind` is known too.
"""

import os
import signal
import sys
import threading
from pathlib import Path

import toy_kind  # noqa: F401

from jaxart import training
from jaxart.cli import main

POINT, STEP = sys.argv.pop(1).split(":")


def die(by: int = signal.SIGKILL) -> None:
    os.kill(os.getpid(), by)


def deadly_log(path, log=training.log_jsonl):
    hook = log(path)

    def call(state, info):
        hook(state, info)
        if POINT in ("step", "term") and int(state.step) == int(STEP):
            die(signal.SIGKILL if POINT == "step" else signal.SIGTERM)

    return call


def deadly_save(self, step, *arguments, save=training.Checkpoints.save, **named):
    def watch():
        while not any(path.name.startswith(f"{STEP}.") for path in Path(self.folder).glob("*")):
            pass
        die()

    if POINT == "save" and step == int(STEP):
        threading.Thread(target=watch, daemon=True).start()
    return save(self, step, *arguments, **named)


training.log_jsonl, training.Checkpoints.save = deadly_log, deadly_save
main()
