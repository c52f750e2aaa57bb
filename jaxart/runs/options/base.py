"""What a user may choose of every run, and how a choice is described."""

from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

DATA, NETWORK, TRAINING = "The data", "The networks", "Training"


class Option(NamedTuple):
    """What help says of a field, the group under which it does, the flag where that is not the field's name.

    `before` is the value of runs from before the field was there, whose manifests lack it; ... for fields that always were.
    """

    help: str
    group: str = TRAINING
    flag: str | None = None
    before: Any = ...


@dataclass(frozen=True)
class RunOptions:
    """What every run has. A kind's own options inherit from it."""

    batch: Annotated[int, Option("Examples per step, over all devices.")] = 64
    steps: Annotated[
        int, Option("Steps in all; the learning rate falls over them. `resume --steps` makes it a longer run.")
    ] = 20_000
    save_every: Annotated[int, Option("Steps between checkpoints.")] = 1000
    sample_every: Annotated[int, Option("Steps between what is written to RUN/samples.")] = 500
    max_nonfinite_steps: Annotated[
        int, Option("Steps in a row that may fail (not finite) before it goes back a checkpoint.")
    ] = 5
    seed: Annotated[int, Option("The same seed gives the same run.")] = 0
    tensorboard: Annotated[bool, Option("Log for TensorBoard too (pip install 'jaxart[tensorboard]').")] = False
