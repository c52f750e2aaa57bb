"""A kind of run from outside that can be tuned and made smaller: a network on numbers, a part of which it keeps back.

As a program it is the command line with this kind. There KILL ends the process, as by a power cut, when a sample is written whose path ends
so, and KILL_STEP when a checkpoint of that step was written.
"""

import json
import os
import signal
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxart import cli, data, runs, training, weights
from jaxart.runs import Option
from jaxart.runs.options import DATA

INSIDE = 16


@dataclass(frozen=True)
class Options(runs.RunOptions):
    learning_rate: Annotated[float, Option("Of Adam.")] = 0.01
    decay: Annotated[float | None, Option("Of the weights. [0.1]")] = None
    curve: Annotated[Literal["tanh", "sine"], Option("Of the units.")] = "tanh"
    kept: Annotated[int, Option("Examples that are kept back.", DATA)] = 16


class State(NamedTuple):
    step: jax.Array
    params: dict
    opt_state: Any
    average: dict


class Info(NamedTuple):
    loss: jax.Array


def outputs(curve, params, x):
    for name in ("first", "inside"):
        x = {"tanh": jnp.tanh, "sine": jnp.sin}[curve](x @ params[name]["kernel"])
    return x @ params["last"]["kernel"]


def recipe(options, facts, wrap=lambda optimizer: optimizer):
    if options.curve == "sine" and options.learning_rate > 0.5:
        raise ValueError("learning_rate: a sine takes less.")
    decay = 0.1 if options.decay is None else options.decay
    optimizer = wrap(optax.adamw(options.learning_rate, weight_decay=decay))
    sides = {"first": (6, INSIDE), "inside": (INSIDE, INSIDE), "last": (INSIDE, 1)}

    def init(key):
        keys = dict(zip(sides, jax.random.split(key, len(sides)), strict=True))
        params = {name: {"kernel": 0.5 * jax.random.normal(keys[name], side)} for name, side in sides.items()}
        return State(jnp.int32(0), params, optimizer.init(params), params)

    def step(key, state, batch, frozen):
        def objective(params):
            return jnp.mean((outputs(options.curve, params, batch["x"]) - batch["y"]) ** 2), None

        done = training.gradient_update(objective, optimizer, state.params, state.opt_state)
        average = training.exponential_average(state.average, done.params, decay=0.5)
        return State(state.step + 1, done.params, done.opt_state, average), Info(done.loss)

    return training.Recipe(init, step)


def load(options, source, path):
    found = np.load(path)
    return data.Dataset({"x": found["x"], "y": found["y"]})


def batches(key, options, found, first, process):
    dataset = found["table"]
    columns = {name: dataset.column(name)[options.kept :] for name in ("x", "y")}
    return data.batches(key, data.Dataset(columns), options.batch, first=first, process=process)


def calibration(trained):
    x, y = (trained.data["table"].column(name)[: trained.options.kept] for name in ("x", "y"))
    error = np.mean((np.asarray(outputs(trained.options.curve, trained.state.average, x)) - y) ** 2)
    return {"validation": {"error": float(error)}}


def sample(trained, path):
    told = {"step": int(trained.state.step), **calibration(trained)}
    path.with_suffix(".json").write_text(json.dumps(told))
    if "KILL" in os.environ and str(path).endswith(os.environ["KILL"]):
        os.kill(os.getpid(), signal.SIGKILL)


def tuning(options, facts):
    decay = 0.1 if options.decay is None else options.decay
    return runs.Tuning("error", False, True, {"learning_rate": "0.001:0.1:log"}, {"decay": decay})


def varied(options, facts):
    if options.curve == "sine":
        raise ValueError("together: sines are trained one by one.")
    make = optax.inject_hyperparams(lambda learning_rate, decay: optax.adamw(learning_rate, weight_decay=decay))
    decay = 0.1 if options.decay is None else options.decay
    return recipe(options, facts, lambda usual: make(options.learning_rate, decay))


KIND = runs.Kind(
    "Train a small network on a table.",
    Options,
    load,
    lambda options, found: {},
    recipe,
    batches,
    lambda state: {"network": state.params},
    sources=("table",),
    sample=sample,
    network=lambda trained: weights.Network(trained.state.average, {"kind": "tunable", **trained.measured}),
    calibration=calibration,
    tuning=tuning,
    renewed=lambda trained, params: trained._replace(
        state=trained.state._replace(
            params=jax.tree.map(jnp.asarray, params), average=jax.tree.map(jnp.asarray, params)
        )
    ),
    wrapped=recipe,
    varied=varied,
    timed=lambda trained: (
        lambda params, x: outputs(trained.options.curve, params, x),
        (trained.state.average, jnp.zeros((1, 6))),
    ),
)
runs.KINDS["tunable"] = KIND


def save_and_die(self, step, *arguments, save=training.Checkpoints.save, **named):
    save(self, step, *arguments, **named)
    if step == int(os.environ["KILL_STEP"]):
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    if "KILL_STEP" in os.environ:
        training.Checkpoints.save = save_and_die
    cli.main()
