"""What the commands train, resume, generate, interpolate, score and export do. A run is a folder; run.json says how it was made."""

import dataclasses
import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from rich.console import Console
from rich.table import Table

import jaxart
from jaxart import data as shelf
from jaxart import io, losses, metrics, models, training, weights
from jaxart.arrays import check_choice
from jaxart.cli.devices import keep_compiled_programs, mesh_of
from jaxart.cli.generate import GanOptions, Options, VaeOptions
from jaxart.cli.progress import Bar, training_hook
from jaxart.cli.terminal import format_duration, interruptible
from jaxart.tasks import generate as task

FORMAT = 1  # of a run's folder
LOSSES = {
    "relativistic": losses.RELATIVISTIC,
    "non-saturating": losses.NON_SATURATING,
    "saturating": losses.SATURATING,
    "hinge": losses.HINGE,
    "least-squares": losses.LEAST_SQUARES,
    "wasserstein": losses.WASSERSTEIN_CRITIC,
}
NETWORKS = {
    "dcgan": (models.DCGANGenerator, models.DCGANDiscriminator),
    "sngan": (models.SNGANGenerator, models.SNGANDiscriminator),
}
OPTIONS = {"gan": GanOptions, "vae": VaeOptions}
_BATCHES_PER_CALL, _CLASSIFIER_BATCH, _VGG_LAYER = 4, 128, "relu4_3"
_PLACES = ("devices", "coordinator", "processes", "process")  # where it runs, not what


class Run(NamedTuple):
    """A run's folder and what run.json says of it."""

    folder: Path
    kind: str
    data: Path
    options: Any
    classes: tuple[str, ...]

    @property
    def conditional_on(self) -> tuple[str, ...]:
        """Return the classes that the networks know; none if they were not asked to learn them."""
        return self.classes if self.options.conditional else ()


def train(kind: str, data: Path, output: Path, options: Options) -> int:
    """Begin a run; return the exit code."""
    if (output / "run.json").exists():
        raise ValueError(
            f"{output} holds a run already: `jaxart resume {output}` carries it on, or choose another folder."
        )
    mesh = _devices(options)
    dataset = _read(data, options)
    if options.conditional and not dataset.classes:
        raise ValueError(
            f"--conditional: {data} has no classes. Put pictures into one folder a class, or give --labels."
        )
    run = Run(output, kind, data.absolute(), options, dataset.classes)
    if options.dry_run:
        return _dry_run(run, dataset)
    if training.this_process()[0] == 0:
        _write_facts(run, dataset)
    return _train(run, dataset, mesh)


def resume(folder: Path, steps: int | None, placed: dict[str, Any]) -> int:
    """Carry a run on; return the exit code."""
    run = read_run(folder)
    changes = placed | ({} if steps is None else {"steps": steps})
    run = run._replace(options=dataclasses.replace(run.options, **changes))
    mesh = _devices(run.options)
    dataset = _read(run.data, run.options)
    facts = json.loads((folder / "run.json").read_text())
    if dataset.digest != facts["digest"]:
        raise ValueError(f"{run.data} has changed since the run began; it would not be the same run. Start a new one.")
    if steps is not None and training.this_process()[0] == 0:
        _write_facts(run, dataset)
    return _train(run, dataset, mesh)


def read_run(folder: Path) -> Run:
    """Read run.json.

    Raises:
        ValueError: there is none, it cannot be read, or it is of another version's form.
    """
    path = folder / "run.json"
    if not path.is_file():
        raise ValueError(f"{folder}: no run there (run.json is missing). `jaxart train` begins one.")
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        form, version = facts["format"], facts["jaxart"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: cannot be read ({error}). The checkpoints beside it are untouched.") from error
    if form != FORMAT:
        raise ValueError(
            f"{path}: written by jaxart {version} in form {form}; this is {jaxart.__version__}, which reads form {FORMAT}. "
            "Use that version."
        )
    known = {field.name: field for field in dataclasses.fields(OPTIONS[facts["kind"]])}
    values = {name: _typed(value) for name, value in facts["options"].items() if name in known}
    return Run(folder, facts["kind"], Path(facts["data"]), OPTIONS[facts["kind"]](**values), tuple(facts["classes"]))


def _typed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _write_facts(run: Run, dataset: shelf.Dataset) -> None:
    """Write run.json, whole or not at all, and the list of what could not be read."""
    run.folder.mkdir(parents=True, exist_ok=True)
    options = {name: value for name, value in dataclasses.asdict(run.options).items() if name not in _PLACES}
    facts = {
        "format": FORMAT,
        "jaxart": jaxart.__version__,
        "kind": run.kind,
        "data": str(run.data),
        "digest": dataset.digest,
        "examples": len(dataset.images),
        "classes": run.classes,
        "options": options,
    }
    with io.replacing(run.folder / "run.json") as partial:
        partial.write_text(json.dumps(facts, indent=2, default=str) + "\n", encoding="utf-8")
    if dataset.failures:
        (run.folder / "failures.txt").write_text("\n".join(dataset.failures) + "\n", encoding="utf-8")


def _devices(options: Options) -> Mesh | None:
    keep_compiled_programs()
    where = {"coordinator": options.coordinator, "processes": options.processes, "process": options.process}
    return mesh_of(options.devices, **where)


def _read(data: Path, options: Options, *, split: str | None = None) -> shelf.Dataset:
    console = Console(stderr=True)
    labels = None if options.labels is None else Path(options.labels)
    dataset = shelf.load(
        data,
        size=options.size,
        channels=options.channels,
        fit=options.fit,
        labels=labels,
        split=split or options.split,
    )
    if training.this_process()[0] == 0:
        told = f", {len(dataset.classes)} classes" if dataset.classes else ""
        console.print(f"{data}: {len(dataset.images)} pictures{told}", highlight=False, markup=False, soft_wrap=True)
        for reason in dataset.failures:
            console.print(f"  left out: {reason}", highlight=False, markup=False, soft_wrap=True)
    return dataset


def _networks(run: Run) -> tuple[Any, Any]:
    """Return (generator, discriminator), or (encoder, decoder)."""
    options, classes = run.options, len(run.conditional_on)
    shared = {"width": options.width, "classes": classes}
    if run.kind == "vae":
        encoder = models.VAEEncoder(latent=options.latent, **shared)
        return encoder, models.VAEDecoder(size=options.size, channels=options.channels, **shared)
    make_generator, make_discriminator = NETWORKS[options.model]
    return make_generator(size=options.size, channels=options.channels, **shared), make_discriminator(**shared)


def recipe_of(run: Run) -> training.Recipe:
    """Rebuild the recipe of a run."""
    options = run.options
    shape = (options.size, options.size, options.channels)
    first, second = _networks(run)
    rate = optax.cosine_decay_schedule(options.learning_rate, options.steps, alpha=0.1)
    transform = _chosen_transforms(options)
    if run.kind == "vae":
        return task.vae(
            first,
            second,
            shape=shape,
            latent=options.latent,
            optimizer=optax.adam(rate),
            half_life=options.half_life,
            transform=transform,
        )
    adam = optax.adam(rate, b1=options.beta1, b2=options.beta2)
    policies = tuple(check_choice("--diff-augment", name, shelf.POLICIES) for name in options.diff_augment)
    return task.gan(
        first,
        second,
        shape=shape,
        latent=options.latent,
        loss=LOSSES[options.loss],
        r1=options.r1,
        r2=options.r2,
        gradient_penalty=options.gradient_penalty,
        penalty_every=options.penalty_every,
        discriminator_steps=options.discriminator_steps,
        generator_optimizer=adam,
        discriminator_optimizer=adam,
        half_life=options.half_life,
        transform=transform,
        augment=functools.partial(shelf.diff_augment, policy=policies) if policies else None,
    )


def _chosen_transforms(options: Options) -> Callable | None:
    names = [check_choice("--augment", name, shelf.AUGMENTATIONS) for name in options.augment]
    chosen = tuple(shelf.AUGMENTATIONS[name] for name in names)
    return functools.partial(shelf.augment, transforms=chosen) if chosen else None


def _batches(run: Run, dataset: shelf.Dataset, first: int) -> Iterator[shelf.Batch]:
    size = run.options.batch * getattr(run.options, "discriminator_steps", 1)
    return shelf.batches(_keys(run)[0], dataset, size, first=first, process=training.this_process())


def _keys(run: Run) -> jax.Array:
    """Return the keys of the data's order and of the steps."""
    return jax.random.split(jax.random.key(run.options.seed))


def _train(run: Run, dataset: shelf.Dataset, mesh: Mesh | None) -> int:
    options, console = run.options, Console(stderr=True)
    recipe, key = recipe_of(run), _keys(run)[1]
    kept = training.Checkpoints(run.folder / "checkpoints")
    begin = kept.steps()[:1] or [0]
    every = int(np.gcd(np.gcd(options.save_every, options.sample_every), 100))
    with Bar(options.steps, done=begin[0]) as bar:
        with interruptible() as interrupted:
            shown = training_hook(bar, steps=options.steps, batch=options.batch, dataset_size=len(dataset.images))
            hooks = [shown, *_hooks(run, every)]
            try:
                state, _ = training.fit(
                    recipe,
                    functools.partial(_batches, run, dataset),
                    key=key,
                    steps=options.steps,
                    mesh=mesh,
                    batches_per_call=_BATCHES_PER_CALL,
                    every=every,
                    hooks=tuple(training.on_first_process(hook) for hook in hooks),
                    stop=interrupted,
                    max_nonfinite_steps=options.max_nonfinite_steps,
                    checkpoints=kept,
                    save_every=options.save_every,
                )
            except training.NotFiniteError as error:
                raise ValueError(
                    f"{error} The last checkpoint is in {run.folder}. Begin anew with a lower --learning-rate."
                ) from error
            finally:
                kept.close()
    done = int(state.step)
    if training.this_process()[0] == 0:
        _say(console, f"{run.folder}: {done} of {options.steps} steps, {format_duration(bar.seconds)}")
        if done < options.steps:
            _say(console, f"Interrupted and saved: `jaxart resume {run.folder}` carries on.")
    return 130 if done < options.steps else 0


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def _hooks(run: Run, every: int) -> list[Callable]:
    log = [training.log_jsonl(run.folder / "log.jsonl")]
    if run.options.tensorboard:
        log.append(training.log_tensorboard(run.folder / "tensorboard"))

    def sheet(state: Any, info: Any) -> None:
        del info
        folder = run.folder / "samples"
        folder.mkdir(exist_ok=True)
        local = jax.tree.map(np.asarray, state)
        z, label = _inputs(run, 0, 8 * max(8, len(run.conditional_on)), None)
        io.write(folder / f"step{int(state.step):07d}.png", io.grid(_make(run, local, z, label), columns=8))

    pairs = [*((every, hook) for hook in log), (run.options.sample_every, sheet)]
    return [training.periodically(often, hook, last=run.options.steps) for often, hook in pairs]


def _dry_run(run: Run, dataset: shelf.Dataset) -> int:
    """Print what training would take."""
    console, recipe, key = Console(), recipe_of(run), _keys(run)[1]
    state = jax.eval_shape(recipe.init, key)
    batch = next(iter(_batches(run, dataset, 0)))
    stack = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((_BATCHES_PER_CALL, *leaf.shape), leaf.dtype), batch)
    first, second = ("encoder", "decoder") if run.kind == "vae" else ("generator", "discriminator")
    for name in (first, second):
        params = state.params[name] if run.kind == "vae" else getattr(state, name)["params"]
        console.print(f"{name}: {sum(leaf.size for leaf in jax.tree.leaves(params)):,} parameters", highlight=False)
    for name, step in (("a step", recipe.step), *((f"every {k} steps", lazy) for k, lazy in recipe.lazy)):
        single = jax.jit(step).lower(key, state, batch, None).compile(compiler_options=jaxart.ops.compiler_options())
        facts: Any = single.cost_analysis()
        needed: Any = training.compile_steps(recipe, key=key, state=state, batches=stack, step=step).memory_analysis()
        size = needed.temp_size_in_bytes + needed.argument_size_in_bytes
        console.print(f"{name}: {facts['flops'] / 1e9:.2f} GFLOP as compiled, {size / 2**20:.0f} MiB", highlight=False)
    image, counts = batch.image, np.bincount(batch.label, minlength=len(run.classes) or 1)
    console.print(f"first batch: {image.dtype} {image.shape}, {image.min()} to {image.max()}, mean {image.mean():.1f}")
    if run.classes:
        console.print(", ".join(f"{name} {n}" for name, n in zip(run.classes, counts, strict=True)), highlight=False)
    return 0


def _trained(run: Run) -> Any:
    """Return the newest intact state of a run."""
    recipe, key = recipe_of(run), _keys(run)[1]
    kept = training.Checkpoints(run.folder / "checkpoints")
    try:
        return kept.newest(lambda notes: jax.eval_shape(recipe.init, key))[0]
    finally:
        kept.close()


def _make(run: Run, state: Any, z: Any, label: Any) -> np.ndarray:
    return task.pictures(_generate(run, state), z, label)


def _generate(run: Run, state: Any) -> task.Generate:
    first, second = _networks(run)
    if run.kind == "vae":
        return task.decoder_of(second, state.average["decoder"])
    return task.generator_of(first, {**state.generator, "params": state.average})


def _inputs(run: Run, seed: int, count: int, label: str | None) -> tuple[jax.Array, jax.Array]:
    """Return latents and labels; without a label, classes come in rows of eight."""
    z = task.draw_latents(jax.random.key(seed), count, latent=run.options.latent)
    classes = run.conditional_on
    if label is not None:
        if not classes:
            raise ValueError("--label: this run was not trained with --conditional.")
        check_choice("--label", label, classes)
        return z, jnp.full(count, classes.index(label), jnp.int32)
    return z, jnp.arange(count, dtype=jnp.int32) // 8 % max(len(classes), 1)


def generate(folder: Path, output: Path, *, count: int, seed: int, label: str | None, separate: bool) -> int:
    """Write pictures of a run."""
    run = read_run(folder)
    if not separate:
        io.check_writable(output)
    images = _make(run, _trained(run), *_inputs(run, seed, count, label))
    if separate:
        output.mkdir(parents=True, exist_ok=True)
        for number, image in enumerate(images):
            io.write(output / f"{number:05d}.png", io.grid(image[None], columns=1))
    else:
        io.write(output, io.grid(images, columns=8))
    _say(Console(stderr=True), f"{output}: {count} pictures")
    return 0


def interpolate(
    folder: Path, output: Path, *, stops: int, frames: int, fps: int, scale: int, seed: int, label: str | None
) -> int:
    """Write a looping walk."""
    run = read_run(folder)
    io.check_writable(output, suffixes=io.ANIMATIONS)
    z, names = _inputs(run, seed, stops, label)
    path = task.walk(z, frames=frames)
    images = _make(run, _trained(run), path, jnp.full(len(path), names[0]))
    io.write_animation(output, images.repeat(scale, axis=1).repeat(scale, axis=2), fps=fps)
    _say(Console(stderr=True), f"{output}: {len(images)} frames")
    return 0


def export(folder: Path, output: Path, platforms: tuple[str, ...]) -> int:
    """Write the generator as a file for `jax.export.deserialize`."""
    run = read_run(folder)
    for platform in platforms:
        check_choice("--platforms", platform, task.PLATFORMS)
    content = task.export(_generate(run, _trained(run)), latent=run.options.latent, platforms=platforms)
    with io.replacing(output) as partial:
        partial.write_bytes(content)
    _say(Console(stderr=True), f"{output}: {len(content) / 2**20:.1f} MiB for {', '.join(platforms)}")
    return 0


def score(folder: Path, data: Path, *, count: int, seed: int, split: str, output: Path | None) -> int:
    """Print and write the cards of a run."""
    if count < 100:
        raise ValueError(f"--count: expected at least 100, got {count}.")
    run, console = read_run(folder), Console(stderr=True)
    keep_compiled_programs()
    seen, real = _read(run.data, run.options), _read(data, run.options, split=split)
    if seen.digest == real.digest:
        raise ValueError(f"{data} is what the run was trained on; scores need pictures that it has not seen.")
    keys = jax.random.split(jax.random.key(seed), 3)
    fake = _fakes(run, count, seed)
    if seen.classes:
        _say(console, "training a classifier on the run's data, for its features")
        judge, digest = _classifier(keys[0], seen)
        name = "small classifier"
    else:
        judge, digest = _vgg()
        name = f"vgg16 {_VGG_LAYER} mean"
    sets = {"real": real.images[:count], "fake": fake.images, "train": seen.images}
    judged = {part: task.apply_in_batches(judge, images) for part, images in sets.items()}
    setting = task.Setting(name, digest, real.digest, "as loaded", seed)
    cards = task.score_features(keys[1], **{part: features for part, (_, features) in judged.items()}, setting=setting)
    if run.conditional_on:
        _say(console, "training the same classifier on made pictures")
        cards += _by_class(keys[2], judged["fake"][0], fake, real, judge, setting)
    path = metrics.write_cards(output or folder / "scores.json", cards)
    table = Table("score", "value", "95 % interval", "made")
    for card in cards:
        table.add_row(card.name, f"{card.value:.4g}", f"{card.low:.4g} to {card.high:.4g}", str(card.n_fake))
    Console().print(table)
    _say(console, str(path))
    return 0


def _fakes(run: Run, count: int, seed: int) -> shelf.Dataset:
    """Return made pictures as a dataset, as many of each class."""
    z = task.draw_latents(jax.random.key(seed), count, latent=run.options.latent)
    label = np.arange(count, dtype=np.int32) % max(len(run.conditional_on), 1)
    images = np.rint(255 * _make(run, _trained(run), z, label)).astype(np.uint8)
    return shelf.Dataset(images, label, run.conditional_on, (), "")


def _classifier(key: jax.Array, dataset: shelf.Dataset) -> tuple[Callable, str]:
    """Train a classifier for about three epochs; return ``images -> (logits, features)`` and its hash."""
    key_order, key_steps = jax.random.split(key)
    network = models.SmallClassifier(classes=len(dataset.classes), width=16)
    steps = int(np.clip(3 * len(dataset.images) // _CLASSIFIER_BATCH, 600, 1500))
    batches = functools.partial(_classifier_batches, key_order, dataset)
    params = task.train_classifier(key_steps, network, batches, shape=dataset.images.shape[1:], steps=steps)
    return lambda images: network.apply({"params": params}, images), metrics.content_hash(params)


def _classifier_batches(key: jax.Array, dataset: shelf.Dataset, first: int) -> Iterator[shelf.Batch]:
    return shelf.batches(key, dataset, _CLASSIFIER_BATCH, first=first)


def _vgg() -> tuple[Callable, str]:
    """Return ``images -> (nothing, features)`` of VGG-16 and its hash."""
    variables = weights.load("vgg16")
    network = models.VGG(layers=(_VGG_LAYER,))

    def judge(images):
        features: Any = network.apply(variables, jnp.broadcast_to(images, (*images.shape[:3], 3)))
        layer = features[_VGG_LAYER]
        return layer[:, 0, 0, :0], jnp.mean(layer, (1, 2))

    return judge, metrics.content_hash(variables)


def _by_class(
    key: jax.Array, logits: np.ndarray, fake: shelf.Dataset, real: shelf.Dataset, judge: Callable, setting: task.Setting
) -> list[metrics.ScoreCard]:
    """Return cards of accuracies: of the classifier on made pictures, and of one trained on those on real pictures."""
    rows = {
        "accuracy on made pictures": metrics.jackknife(key, lambda pair: metrics.accuracy(*pair), (logits, fake.labels))
    }
    after, _ = _classifier(key, fake)
    for name, function in (("classification accuracy score", after), ("accuracy after real pictures", judge)):
        told = task.apply_in_batches(lambda images, f=function: f(images)[0], real.images)
        rows[name] = metrics.jackknife(key, lambda pair: metrics.accuracy(*pair), (told, real.labels))
    numbers = {"n_real": len(real.images), "n_fake": len(fake.images), **setting._asdict()}
    return [metrics.score_card(name, value, **numbers) for name, value in rows.items()]
