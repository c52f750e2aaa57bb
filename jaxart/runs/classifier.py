"""Classifiers as a kind of run: networks trained from scratch, and heads on features of VGG-16 or of an autoencoder."""

import dataclasses
import functools
import hashlib
import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxart import data as shelf
from jaxart import io, losses, metrics, models, weights
from jaxart.arrays import Key, PyTree, check_choice
from jaxart.cache import cache_folder
from jaxart.runs import labels, shared
from jaxart.runs.encoder import Encoder, encoded, encoder_of, facts_of_encoder, read_encoder, shapes_of_encoder
from jaxart.runs.kind import Facts, Trained
from jaxart.runs.options import ClassifierOptions
from jaxart.tasks import classify as task
from jaxart.training import Recipe

KIND = "classifier"  # of a file of weights
_WIDTHS = {"residual": 32, "vit": 192, "rows": 128}
_LENGTH = 7616  # of the features of VGG-16
_DEFERRED, _LATER_RATE = (
    0.8,
    0.1,
)  # share of the steps before classes are balanced, and what the rate is multiplied by then
_FOCUS = 2.0
_MOST_OF_KERNEL = 12_000  # examples, whose kernel takes 0.6 GiB
_HIDDEN = 512  # units of the head
_OF_FEATURES = {"dropout": 0.5, "smoothing": 0.2, "weight_decay": 1.0}
_OF_PICTURES = {"dropout": 0.2, "smoothing": 0.0, "weight_decay": 0.05}
_OF_TRAINING = ("scheme", "l1", "l2", "learning_rate", "half_life")  # mean a network where they are not as by default
_DRAWING = {"square-root": 0.5, "balanced": 0.0}


load = labels.load


def facts(options: ClassifierOptions, data: dict[str, shelf.Dataset]) -> Facts:
    """Return what `labels.facts` does, and what is to be known of the encoder whose features are looked at.

    Args:
        options: of the run.
        data: by source.

    Raises:
        ValueError: as there; a head or an encoder that does not serve.
    """
    found = labels.facts(options, data)
    _check_head(options, found["train"])
    if options.encoder is None:
        return found
    return found | facts_of_encoder(read_encoder(options.encoder), labels.side_of(options))


def target_of(options: ClassifierOptions, facts: Facts) -> task.Target:
    """Return what is predicted.

    Args:
        options: of the run.
        facts: of its data.
    """
    if options.task == "numbers":
        return task.numbers(tuple(facts["means"]), tuple(facts["deviations"]))
    counts: Any = np.asarray(facts["counts"])
    solved, balance = by_kernel(options, facts["train"]), balance_of(options)
    if options.task == "labels":
        weighed = balance != "none" and not solved
        weights_of = tuple(shelf.positive_weights(counts, facts["train"]).tolist()) if weighed else None
        return task.several_labels(len(counts), weights=weights_of)
    offset = tuple(np.asarray(losses.logit_adjustment(counts)).tolist()) if balance == "logit-adjustment" else None
    return task.one_class(
        len(counts),
        scheme=options.scheme,
        offset=offset,
        weights=None if solved else _class_weights(balance, counts),
        smoothing=0.0 if solved else smoothing_of(options),
        focus=_FOCUS if balance == "focal" else 0.0,
    )


def network_of(options: ClassifierOptions, facts: Facts) -> Any:
    """Return the module that is trained.

    Args:
        options: of the run.
        facts: of its data.
    """
    outputs = target_of(options, facts).outputs
    if by_kernel(options, facts["train"]):
        return models.KernelHead(outputs, facts["train"])
    if options.features != "none":
        return models.FeatureHead(
            outputs, hidden=_HIDDEN if options.hidden is None else options.hidden, dropout=chosen(options, "dropout")
        )
    width = options.width or _WIDTHS[options.model]
    common: dict[str, Any] = {"classes": outputs, "dtype": getattr(jnp, options.precision)}
    if options.model == "residual":
        widths = tuple(width * times for times in (1, 2, 4, 8))
        inner = None if options.inner == 1 else tuple(_inner(each, options.inner) for each in widths)
        return models.ResidualClassifier(widths=widths, inner=inner, dropout=chosen(options, "dropout"), **common)
    if options.model == "vit":
        return models.VisionTransformer(width=width, dropout=chosen(options, "dropout"), **common)
    side = labels.side_of(options)
    return models.RowRecurrent(size=(side, side), width=width, **common)


def recipe(
    options: ClassifierOptions, facts: Facts, wrap: Callable[[Any], Any] = lambda optimizer: optimizer
) -> Recipe:
    """Return the recipe of a classifier.

    Args:
        options: of the run.
        facts: of its data.
        wrap: ``optimizer -> optimizer``, such as one that prunes.
    """
    network, target = network_of(options, facts), target_of(options, facts)
    if isinstance(network, models.KernelHead):
        return task.kernel_classifier(network, length=length_of(options, facts), target=target, ridge=options.ridge)
    common: dict[str, Any] = {
        "optimizer": wrap(usual_optimizer(options)),
        "target": target,
        "half_life": options.half_life,
        "l1": options.l1,
        "l2": options.l2,
    }
    if options.features != "none":
        encoder = None if options.encoder is None else shapes_of_encoder(facts)
        return task.classifier_of_features(network, length=length_of(options, facts), encoder=encoder, **common)
    side = labels.side_of(options)
    return task.classifier(
        network,
        shape=(side, side, 3),
        transform=_transform(options),
        rates=_rates(options, facts),
        mixing=_mixing(options),
        **common,
    )


def frozen(options: ClassifierOptions, data: dict[str, shelf.Dataset]) -> PyTree:
    """Return the features of all pictures and their scaling, where a head is trained; they are kept in the cache.

    Args:
        options: of the run.
        data: by source.
    """
    if options.features == "none":
        return None
    dataset = data["data"]
    encoder = None if options.encoder is None else read_encoder(options.encoder)
    found = features_of(options, dataset.column("image"), known=shelf.digest(dataset), encoder=encoder)
    rows, _ = labels.parts(options, dataset)
    train = found[rows].astype(np.float32)
    if by_kernel(options, len(rows)):
        return _known(options, facts(options, data), train, dataset.column("target")[rows])
    scaling = task.Scaling(jnp.asarray(train.mean(0)), jnp.asarray(train.std(0) + 1e-3))
    kept = {} if encoder is None else {"encoder": encoder.params}
    return {"features": jnp.asarray(found), "scaling": scaling, **kept}


def _known(options: ClassifierOptions, facts: Facts, features: np.ndarray, label: np.ndarray) -> task.Known:
    """Return what a kernel is fitted to; classes weigh as `--balance` says."""
    weight = None
    if options.task == "label":
        by_class = _class_weights(balance_of(options), np.asarray(facts["counts"]))
        weight = None if by_class is None else np.asarray(by_class)[label]
    scaling = task.block_scaling(features, task.feature_blocks())
    return task.known_examples(network_of(options, facts), features, label, scaling, weight=weight)


def features_of(
    options: ClassifierOptions, images: Any, *, known: str | None = None, encoder: Encoder | None = None
) -> np.ndarray:
    """Return features of pictures ``[N, F]``: float16 those of VGG-16, float32 those of an encoder.

    Args:
        options: of the run.
        images: ``[N, S, S, 3]``, uint8 or in [0, 1].
        known: what the pictures are known by; their features by VGG-16 are then kept in the cache.
        encoder: in the place of VGG-16.
    """
    if encoder is not None:
        return encoded(encoder, images)
    variables = weights.load(options.weights or "vgg16")
    kept = None
    if known is not None:
        told = json.dumps([known, metrics.content_hash(variables), task.FEATURE_LAYERS, task.GRAM_LAYERS, "mirrored"])
        kept = cache_folder() / "features" / f"{hashlib.sha256(told.encode()).hexdigest()[:32]}.npy"
        if kept.is_file():
            return np.load(kept, allow_pickle=False)
    found = task.picture_features(variables, images).astype(np.float16)
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with io.replacing(kept) as partial, open(partial, "wb") as stream:
            np.save(stream, found)
    return found


def batches(
    key: Key, options: ClassifierOptions, data: dict[str, shelf.Dataset], first: int, process: tuple[int, int]
) -> Iterator[shelf.Batch]:
    """Return batches of the training part, drawn as `--balance` says.

    Args: see `Kind`.
    """
    dataset = data["data"]
    train, _ = labels.parts(options, dataset)
    target, balance = dataset.column("target"), balance_of(options)
    columns = {"row": np.arange(dataset.count, dtype=np.int32), "label": target}
    if options.features == "none":
        columns["image"] = dataset.column("image")

    def make(balance: str, first: int) -> Iterator[shelf.Batch]:
        sampler = shelf.within(train, _sampler(balance, target[train]))
        return shelf.batches(key, shelf.Dataset(columns), options.batch, sampler=sampler, first=first, process=process)

    if balance != "deferred":
        return make(balance, first)
    change = round(_DEFERRED * options.steps)
    early = itertools.islice(make("none", first), max(0, change - first))
    return itertools.chain(early, make("balanced", max(0, first - change)))


def parameters(state: task.State) -> dict[str, PyTree]:
    """Return the parameters of the network."""
    return {"classifier": state.params}


def outputs_of(trained: Trained, images: Any) -> np.ndarray:
    """Return what the averaged network says of pictures: ``[N, O]``; of networks of pictures the mean over a picture and its mirror image.

    Args:
        trained: with a state.
        images: ``[N, S, S, 3]``, uint8 or in [0, 1].
    """
    if trained.options.features != "none":
        return outputs_of_features(trained, features_of(trained.options, images, encoder=own_encoder(trained)))
    model = task.Classifier(network_of(trained.options, trained.facts), trained.state.average)
    both = [task.predict(model, each)[0] for each in (images, images[:, :, ::-1])]
    return (both[0] + both[1]) / 2


def outputs_of_features(trained: Trained, features: np.ndarray) -> np.ndarray:
    """Return what a head says of features: ``[N, O]``.

    Args:
        trained: with a state.
        features: from `features_of`.
    """
    model = task.Classifier(network_of(trained.options, trained.facts), trained.state.average)
    return task.predict(model, task.Scaling(*trained.state.scaling)(jnp.asarray(features)), pictures=False)[0]


def export(trained: Trained, platforms: tuple[str, ...]) -> bytes:
    """Return a function of pictures ``[B, S, S, 3]`` in [0, 1] (of features ``[B, F]`` where it is a head) to its answers, serialized.

    Args:
        trained: with a state.
        platforms: of "cpu", "cuda" and "tpu".
    """
    network, target = network_of(trained.options, trained.facts), target_of(trained.options, trained.facts)
    params, scaling = trained.state.average, trained.state.scaling

    def run(inputs: Any) -> Any:
        scaled = inputs if scaling is None else task.Scaling(*scaling)(inputs)
        return target.answer(network.apply({"params": params}, scaled)[0])

    side = labels.side_of(trained.options)
    shape = ("b", length_of(trained.options, trained.facts)) if scaling is not None else ("b", side, side, 3)
    (batch,) = jax.export.symbolic_shape("b")
    struct = jax.ShapeDtypeStruct((batch, *shape[1:]), jnp.float32)
    return bytes(jax.export.export(jax.jit(run), platforms=platforms)(struct).serialize())


def network(trained: Trained) -> weights.Network:
    """Return what was learned and all that answers need, to be kept in a file; see `classifier_file.read_classifier`.

    Args:
        trained: with what was measured.
    """
    options: Any = json.loads(json.dumps(dataclasses.asdict(trained.options), default=str))
    about = {
        "kind": KIND,
        "options": options | {"labels": None, "group": None},  # where the data was
        "facts": trained.facts,
        "measured": trained.measured,
        "step": int(trained.state.step),
    }
    arrays = {"classifier": trained.state.average}
    if trained.state.scaling is not None:
        arrays["scaling"] = dict(task.Scaling(*trained.state.scaling)._asdict())
    if trained.options.encoder is not None:
        arrays["encoder"] = trained.state.encoder
    if trained.options.features == "vgg16":
        about["vgg16"] = metrics.content_hash(weights.load(trained.options.weights or "vgg16"))
    return weights.Network(arrays, about)


def _inner(width: int, share: float) -> int:
    """Return as many channels as `task.narrow` keeps of so many."""
    groups = models.ResidualClassifier.groups
    return groups * max(1, round(share * (width // groups)))


def length_of(options: ClassifierOptions, facts: Facts) -> int:
    """Return how many features a head looks at.

    Args:
        options: of the run.
        facts: of its data.
    """
    return _LENGTH if options.encoder is None else facts["encoder"]["latent"]


def own_encoder(trained: Trained) -> Encoder | None:
    """Return the encoder that is looked through, if one is.

    Args:
        trained: with a state.
    """
    return None if trained.options.encoder is None else encoder_of(trained)


def chosen(options: ClassifierOptions, name: str) -> float:
    """Return a number that was asked for; by default what suits features, which are regularized more, or pictures.

    Args:
        options: of the run.
        name: of an option.
    """
    value = getattr(options, name)
    return (_OF_PICTURES if options.features == "none" else _OF_FEATURES)[name] if value is None else value


def by_kernel(options: ClassifierOptions, count: int) -> bool:
    """Tell whether a kernel classifies features of so many training examples.

    Args:
        options: of the run.
        count: training examples.
    """
    if options.head is not None or options.features != "vgg16":
        return options.head == "kernel"
    return count <= _MOST_OF_KERNEL and not of_network(options)


def _check_head(options: ClassifierOptions, count: int) -> None:
    if options.head is not None and options.features != "vgg16":
        raise ValueError(f"head: is of features by VGG-16, got features {options.features}.")
    if options.head != "kernel":
        return
    if of_network(options):
        raise ValueError(
            f"head kernel: only a network has {', '.join(of_network(options))}; leave them out, or take head network."
        )
    if count > _MOST_OF_KERNEL:
        raise ValueError(
            f"head kernel: expected at most {_MOST_OF_KERNEL} training pictures, got {count}; take head network."
        )


def of_network(options: ClassifierOptions) -> list[str]:
    """Return the options that were given and are of a head that is a network.

    Args:
        options: of the run.
    """
    told = {name: getattr(options, name) is not None for name in ("hidden", "dropout", "smoothing", "weight_decay")}
    told |= {name: getattr(options, name) != getattr(ClassifierOptions, name) for name in _OF_TRAINING}
    solvable = ("logit-adjustment", "inverse", "effective-number") if options.task == "label" else ()
    told["balance"] = options.balance not in (None, "none", *solvable)
    return [name for name, given in told.items() if given]


def smoothing_of(options: ClassifierOptions) -> float:
    """Return how much labels are smoothed; by default not at all where that has no meaning.

    Args:
        options: of the run.
    """
    plain = options.scheme != "softmax" or balance_of(options) == "focal"
    return 0.0 if plain and options.smoothing is None else chosen(options, "smoothing")


def balance_of(options: ClassifierOptions) -> str:
    """Return how classes are balanced; by default as suits the task and the scheme.

    Args:
        options: of the run.
    """
    if options.balance is not None:
        return options.balance
    if options.task == "numbers":
        return "none"
    return "logit-adjustment" if options.task == "label" and options.scheme == "softmax" else "inverse"


def _class_weights(balance: str, counts: np.ndarray) -> tuple[float, ...] | None:
    if balance == "inverse":
        return tuple(shelf.inverse_weights(counts).tolist())
    return tuple(shelf.effective_number_weights(counts).tolist()) if balance == "effective-number" else None


def _sampler(balance: str, label: np.ndarray) -> shelf.Sampler:
    if balance not in _DRAWING:
        return shelf.shuffled
    return shelf.weighted(shelf.resampling_weights(label, int(label.max()) + 1, power=_DRAWING[balance]))


def _transform(options: ClassifierOptions) -> Any:
    names = [check_choice("augment", name, shelf.AUGMENTATIONS) for name in options.augment]
    transforms = tuple(shelf.AUGMENTATIONS[name] for name in names)
    return shared.partial(shelf.augment, transforms=transforms) if transforms else None


def _rates(options: ClassifierOptions, facts: Facts) -> tuple[float, ...] | None:
    return tuple(shelf.augmentation_probabilities(facts["counts"]).tolist()) if options.augment_rare else None


def _mixing(options: ClassifierOptions) -> Any:
    return {"none": None, "mixup": shelf.mixup, "cutmix": shelf.cutmix, "both": shelf.mixup_or_cutmix}[options.mix]


def usual_optimizer(options: ClassifierOptions) -> optax.GradientTransformation:
    """Return AdamW with clipped gradients; equal options give the same object.

    Args:
        options: of the run.
    """
    return _optimizer(options.learning_rate, chosen(options, "weight_decay"), options.steps, balance_of(options))


def varied_optimizer(options: ClassifierOptions) -> optax.GradientTransformation:
    """Return the usual optimizer with the learning rate and the weight decay in its state.

    Args:
        options: of the run.
    """
    course = _course(1.0, options.steps, balance_of(options))

    def make(learning_rate: Any, weight_decay: Any) -> optax.GradientTransformation:
        return _adamw(lambda count: learning_rate * course(count), weight_decay)

    return optax.inject_hyperparams(make)(options.learning_rate, chosen(options, "weight_decay"))


@functools.lru_cache(maxsize=32)
def _optimizer(rate: float, decay: float, steps: int, balance: str) -> optax.GradientTransformation:
    return _adamw(_course(rate, steps, balance), decay)


def _adamw(schedule: Any, decay: Any) -> optax.GradientTransformation:
    return optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule, weight_decay=decay, mask=_kernels))


def _course(rate: float, steps: int, balance: str) -> Callable:
    """Return a brief rise and a cosine; deferred balance lowers the rate where it begins."""
    warm = max(1, steps // 20)
    schedule = optax.warmup_cosine_decay_schedule(0.0, rate, warm, max(steps, warm + 1), rate / 100)
    if balance == "deferred":
        change = max(warm + 1, round(_DEFERRED * steps))
        before = optax.warmup_cosine_decay_schedule(0.0, rate, warm, change, _LATER_RATE * rate)
        after = optax.cosine_decay_schedule(_LATER_RATE * rate, max(1, steps - change), alpha=_LATER_RATE)
        schedule = optax.join_schedules([before, after], [change])
    return schedule


def _kernels(params: PyTree) -> PyTree:
    return jax.tree_util.tree_map_with_path(lambda path, leaf: getattr(path[-1], "key", None) == "kernel", params)
