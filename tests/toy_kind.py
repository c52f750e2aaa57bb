"""A kind of run from outside, in one file: a linear model of numbers, a category and text tokens, with a float target."""

from typing import Any, NamedTuple

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import optax

from jaxart import cli, data, metrics, runs, training

ADAM = optax.adam(0.05)
State = NamedTuple("State", [("step", jax.Array), ("params", dict), ("opt_state", Any)])
Info = NamedTuple("Info", [("loss", jax.Array)])


def logits(params, batch):
    words = params["words"][batch["tokens"]].mean(-1)  # [B, T] -> [B]
    return batch["numbers"] @ params["numbers"] + params["kinds"][batch["kind"]] + words


def recipe(options, facts):
    def init(key):
        params = {name: jnp.zeros(size) for name, size in facts.items()}
        return State(jnp.int32(0), params, ADAM.init(params))

    def step(key, state, batch, frozen):
        loss = lambda params: (optax.sigmoid_binary_cross_entropy(logits(params, batch), batch["target"]).mean(), None)  # noqa: E731
        done = training.gradient_update(loss, ADAM, state.params, state.opt_state)
        return State(state.step + 1, done.params, done.opt_state), Info(done.loss)

    return training.Recipe(init, step)


def score(trained, seen, held_out, count, seed):
    batch = {name: column[:count] for name, column in held_out["table"].columns.items()}
    wrong = np.abs(jax.nn.sigmoid(logits(trained.state.params, batch)) - batch["target"])
    error = metrics.jackknife(jax.random.key(seed), lambda each: float(each.mean()), wrong)
    return [metrics.score_card("mean absolute error", error, n_fake=len(wrong), n_real=len(wrong))]


def export(trained, platforms):
    row = {"numbers": np.zeros((1, 3), np.float32), "kind": np.zeros(1, np.int32), "tokens": np.zeros((1, 5), np.int32)}
    exported = jax.export.export(jax.jit(lambda batch: logits(trained.state.params, batch)), platforms=platforms)
    return bytes(exported(row).serialize())


runs.KINDS["linear"] = runs.Kind(
    summary="Train a linear model of a table with text.",
    options=runs.RunOptions,
    sources=("table",),
    load=lambda options, source, path: data.from_arrays(dict(np.load(path))),
    facts=lambda options, found: {"words": 50, "kinds": 4, "numbers": 3},
    recipe=recipe,
    batches=lambda key, options, found, first, process: data.batches(
        key, found["table"], options.batch, first=first, process=process
    ),
    parameters=lambda state: {"linear": state.params},
    score=score,
    export=export,
)
cli.main() if __name__ == "__main__" else None
