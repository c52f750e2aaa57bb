"""A kind of run from outside, in one file: a linear model of numbers, a category and text tokens, with a float target."""

from typing import Any, NamedTuple

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import optax

from jaxart import cli, data, metrics, runs, training

ADAM = optax.adam(0.05)


class State(NamedTuple):
    step: jax.Array
    params: dict
    opt_state: Any


class Info(NamedTuple):
    loss: jax.Array


def logits(params, batch):
    words = params["words"][batch["tokens"]].mean(-1)  # [B, T] -> [B]
    return batch["numbers"] @ params["numbers"] + params["kinds"][batch["kind"]] + words


def init(key):
    params = {"words": jnp.zeros(50), "kinds": jnp.zeros(4), "numbers": jnp.zeros(3)}
    return State(jnp.int32(0), params, ADAM.init(params))


def step(key, state, batch, frozen):
    error = lambda params: optax.sigmoid_binary_cross_entropy(logits(params, batch), batch["target"]).mean()  # noqa: E731
    done = training.gradient_update(lambda params: (error(params), None), ADAM, state.params, state.opt_state)
    return State(state.step + 1, done.params, done.opt_state), Info(done.loss)


def score(trained, seen, held_out, count, seed):
    batch = held_out["table"].columns
    wrong = np.abs(jax.nn.sigmoid(logits(trained.state.params, batch)) - batch["target"])[:count]
    error = metrics.jackknife(jax.random.key(seed), lambda each: float(each.mean()), wrong)
    return [metrics.score_card("mean absolute error", error, n_fake=len(wrong), n_real=len(wrong))]


def export(trained, platforms):
    row = {"numbers": np.zeros((1, 3), np.float32), "kind": np.zeros(1, np.int32), "tokens": np.zeros((1, 5), np.int32)}
    model = jax.jit(lambda batch: logits(trained.state.params, batch))
    return bytes(jax.export.export(model, platforms=platforms)(row).serialize())


def load(options, source, path):
    return data.from_arrays(dict(np.load(path)))


def batches(key, options, found, first, process):
    return data.batches(key, found["table"], options.batch, first=first, process=process)


KIND = runs.Kind(
    "Train a linear model of a table with text.",
    runs.RunOptions,
    load,
    lambda options, found: {},
    lambda options, facts: training.Recipe(init, step),
    batches,
    lambda state: {"linear": state.params},
    sources=("table",),
    score=score,
    export=export,
)
runs.KINDS["linear"] = KIND
if __name__ == "__main__":
    cli.main()
