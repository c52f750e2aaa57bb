"""Generators adapted to one painting as a kind of run: they begin as another run's, and learn from what that draws."""

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxart import data as shelf
from jaxart import io, metrics
from jaxart.arrays import Key, PyTree
from jaxart.runs import painting, pictures, shared
from jaxart.runs.kind import KINDS, Facts, Generator, Trained
from jaxart.runs.options import AdaptOptions
from jaxart.runs.results import generator as generator_of_run
from jaxart.runs.run import Run, manifest_of, open_run, with_data
from jaxart.tasks import generate as task
from jaxart.training import Recipe

CONTENT_LAYERS = ("relu3_1",)  # of VGG-16, one of those of the style
_WARM_UP = 20  # steps over which the learning rate rises, a tenth of the run at most
_PAIRS = 32  # on a sheet


def load(options: AdaptOptions, source: str, path: Path) -> shelf.Dataset:
    """Read the painting at the size of the generator's pictures; or a folder or a file of many pictures, to score with.

    Args:
        options: of the run.
        source: there is one.
        path: of the painting, or of pictures as the generator's run reads them.

    Raises:
        ValueError: no generator, or a run whose kind makes no pictures or is guided; a painting that does not serve.
    """
    del source
    run = _original(options)
    if path.is_dir() or path.suffix.lower() not in io.READABLE:
        learned = _learned(run)
        return KINDS[learned.kind].load(learned.options, "data", path)
    size, _, channels = _shape(_told(run))
    return shelf.from_arrays({"image": painting.read(path, size, channels)[None]})


def facts(options: AdaptOptions, data: dict[str, shelf.Dataset]) -> Facts:
    """Return kind, options and facts of the generator's run, and what its weights are known by.

    Args:
        options: of the run.
        data: by source.

    Raises:
        ValueError: many pictures instead of a painting, numbers out of range, a generator that is not trained yet.
    """
    painting.check(options, "style_weight", "learning_rate", "half_life")
    if (count := data["painting"].count) != 1:
        raise ValueError(f"painting: expected the file of one picture, got {count} pictures.")
    run = _original(options)
    return {**_told(run), "identity": metrics.content_hash(generator_of_run(run).generate.variables)}


def recipe(options: AdaptOptions, facts: Facts) -> Recipe:
    """Return the recipe of the adaptation; it begins with the generator's averaged weights.

    Args:
        options: of the run.
        facts: of the generator.
    """
    made = _untrained(facts)
    return task.adapted_generator(
        made.generate,
        latent=made.latent,
        classes=len(made.classes),
        style=painting.style_term(options.style_weight),
        content_layers=CONTENT_LAYERS,
        content_weight=options.content_weight,
        start=functools.partial(_first_variables, options, facts["identity"]),
        optimizer=shared.cosine_adam(
            options.learning_rate, options.steps, warm_up=min(_WARM_UP, options.steps // 10), b2=0.99
        ),
        half_life=options.half_life,
    )


def frozen(options: AdaptOptions, data: dict[str, shelf.Dataset]) -> PyTree:
    """Return VGG-16 and what it sees in the painting.

    Args:
        options: of the run.
        data: the painting.
    """
    term = painting.style_term(options.style_weight)
    return painting.arrays(term, options.weights, data["painting"].column("image")[0])


def batches(
    key: Key, options: AdaptOptions, data: dict[str, shelf.Dataset], first: int, process: tuple[int, int]
) -> Iterator[shelf.Batch]:
    """Return batches of numbers of pictures, which the step draws.

    Args: see `Kind`.
    """
    del key, data
    index, count = process
    here = options.batch // count
    while True:
        yield {"number": np.arange(here, dtype=np.int32) + index * here}


def parameters(state: task.AdaptedState) -> dict[str, PyTree]:
    """Return the parameters of the generator."""
    return {"generator": state.params}


def generator(trained: Trained) -> Generator:
    """Return the averaged generator."""
    return _with(_untrained(trained.facts), {**trained.state.original, "params": trained.state.average})


def sample(trained: Trained, path: Path) -> None:
    """Write a sheet: a row of pictures as they were, below it the same latents now, and so on.

    Args:
        trained: what the run has come to.
        path: without a suffix.
    """
    now = generator(trained)
    before, z = _with(now, trained.state.original), pictures.draw(now, 0, _PAIRS, None)
    rows = [pictures.make(each, *z).reshape(-1, 1, 8, *_shape(trained.facts)) for each in (before, now)]
    sheet = np.concatenate(rows, axis=1).reshape(-1, *_shape(trained.facts))
    io.write(path.with_suffix(".png"), io.grid(sheet, columns=8))


def score(
    trained: Trained, seen: dict[str, shelf.Dataset], held_out: dict[str, shelf.Dataset], count: int, seed: int
) -> list[metrics.ScoreCard]:
    """Score as the generator's own run is scored, beside the pictures that it learned from.

    Args: see `Kind`.

    Raises:
        ValueError: as `pictures.score_generator`; the generator learned from these pictures.
    """
    del seen
    learned = with_data(_learned(_original(trained.options))).data["data"]
    if shelf.digest(learned) == shelf.digest(held_out["painting"]):
        raise ValueError("the generator learned from these pictures; scores need others. Hand in others.")
    return pictures.score_generator(generator(trained), learned, held_out["painting"], count=count, seed=seed)


_, _, export = pictures.uses_of(generator)


def _original(options: AdaptOptions) -> Run:
    if options.generator is None:
        raise ValueError("generator: expected the folder of a trained run that makes pictures, such as a GAN's.")
    run = open_run(options.generator)
    kind = KINDS[run.kind]
    if kind.generator is None:
        raise ValueError(f"{options.generator}: expected a run that makes pictures, got one of the kind {run.kind}.")
    if kind.guided is not None:
        raise ValueError(
            f"{options.generator}: a run of the kind {run.kind} takes too many steps to a picture to be adapted. Train a student of it."
        )
    return run


def _learned(run: Run) -> Run:
    """Return the run that learned from pictures, behind any number of adaptations."""
    return _learned(_original(run.options)) if isinstance(run.options, AdaptOptions) else run


def _told(run: Run) -> Facts:
    return {"kind": run.kind, "options": manifest_of(run).options, "facts": run.facts}


def _untrained(facts: Facts) -> Generator:
    """Return the generator with the shapes of its variables in their place."""
    return _from_json(json.dumps({name: facts[name] for name in ("kind", "options", "facts")}))


@functools.lru_cache(maxsize=8)
def _from_json(told: str) -> Generator:
    facts, made = json.loads(told), []
    kind = KINDS[facts["kind"]]
    values: Any = {name: tuple(value) if isinstance(value, list) else value for name, value in facts["options"].items()}
    options = kind.options(**values)

    def variables(key: Key) -> PyTree:
        assert kind.generator is not None
        made.append(kind.generator(Trained(options, facts["facts"], kind.recipe(options, facts["facts"]).init(key))))
        return made[0].generate.variables

    shapes = jax.eval_shape(variables, jax.random.key(0))
    return made[0]._replace(generate=made[0].generate._replace(variables=shapes))


def _with(found: Generator, variables: PyTree) -> Generator:
    return found._replace(generate=found.generate._replace(variables=jax.tree.map(jnp.asarray, variables)))


def _shape(facts: Facts) -> tuple[int, ...]:
    """Return the shape of a picture."""
    made = _untrained(facts)
    z, label = jax.ShapeDtypeStruct((1, made.latent), jnp.float32), jax.ShapeDtypeStruct((1,), jnp.int32)
    return jax.eval_shape(functools.partial(*made.generate[:2]), made.generate.variables, z, label).shape[1:]


def _first_variables(options: AdaptOptions, identity: str) -> PyTree:
    variables = generator_of_run(_original(options)).generate.variables
    if metrics.content_hash(variables) != identity:
        raise ValueError(f"{options.generator}: the generator was trained on since this run began. Begin a new one.")
    return variables
