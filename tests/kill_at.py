"""Run the command line and kill it, as by a power cut, at a chosen point: ``python kill_at.py POINT train gan ...``.

POINT is ``step:N`` (after the report of step N), ``save:N`` (while the checkpoint of step N is being written), or ``term:N`` (SIGTERM after
the report of step N). The kind of `toy_kind` is known too.
"""

import functools
import os
import signal
import sys
from pathlib import Path

import toy_kind  # noqa: F401

from jaxart import training
from jaxart.cli import main


def die(by: int = signal.SIGKILL) -> None:
    os.kill(os.getpid(), by)


def deadly_log(path, point, at, log=training.log_jsonl):
    hook = log(path)

    def call(state, info):
        hook(state, info)
        if point in ("step", "term") and int(state.step) == at:
            die(signal.SIGKILL if point == "step" else signal.SIGTERM)

    return call


def deadly_save(self, step, *arguments, at, save=training.Checkpoints.save, **named):
    def rename(source, target, rename=os.rename):
        if Path(target).name == str(at):  # all is written, and nothing is in its place yet
            die()
        rename(source, target)

    if step == at:
        os.rename = os.replace = rename
    save(self, step, *arguments, **named)
    if step == at:
        sys.exit("the save was not met")


if __name__ == "__main__":
    point, at = sys.argv.pop(1).split(":")
    training.log_jsonl = functools.partial(deadly_log, point=point, at=int(at))
    if point == "save":
        training.Checkpoints.save = functools.partialmethod(deadly_save, at=int(at))
    main()
