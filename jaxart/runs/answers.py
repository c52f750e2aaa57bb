"""What a trained classifier says of pictures, how sure it is, and why."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np

from jaxart import data as shelf
from jaxart import explain as shelf_of_reasons
from jaxart import io, weights
from jaxart.arrays import Image, PyTree, check_choice
from jaxart.runs import classifier as kind
from jaxart.runs import labels
from jaxart.runs.classifier_file import read_classifier
from jaxart.runs.encoder import encoder_of
from jaxart.runs.kind import Trained
from jaxart.runs.results import measured_of, trained_of
from jaxart.runs.run import Run
from jaxart.tasks import classify as task

Method = Literal["grad-cam", "hires-cam", "integrated-gradients", "smooth-grad", "occlusion"]
METHODS: tuple[str, ...] = get_args(Method)
_LIKELY = 0.5  # from which a label of several holds
_MAPPED = ("residual", "vit")  # models with maps


class Answer(NamedTuple):
    """What is said of a picture.

    Fields:
        label: the likeliest class; None where it is like none of them. With several labels, those that hold, joined by ";".
        probability: of the likeliest class, calibrated; None of several labels and numbers.
        probabilities: by class or label; of numbers, the numbers by column.
        set: the classes that the true one is among: nine times in ten, or more often where a picture has one likely class, which is
            always in it; perhaps empty where the picture is like none of them. Of several labels those that hold.
        familiarity: the share of known pictures that are as strange or stranger; None of several labels and numbers.
        coverage: how often such sets held the true class of pictures that were kept back; None of several labels and numbers.
    """

    label: str | None
    probability: float | None
    probabilities: dict[str, float]
    set: tuple[str, ...]
    familiarity: float | None
    coverage: float | None = None


class Reasons(NamedTuple):
    """Where in a picture the reasons for an answer are.

    Fields:
        image: the picture as the run sees it, ``[S, S, 3]`` in [0, 1].
        maps: by class ``[S, S]`` in [0, 1].
        method: how they were found.
    """

    image: np.ndarray
    maps: dict[str, np.ndarray]
    method: str


def classifier_of(source: Run | Path | Trained) -> Trained:
    """Return a trained classifier with all that its answers need; `classify` and `explain` take it too, and then read nothing again.

    Args:
        source: a run of the kind classifier, or a .safetensors of `export` or `compress`.

    Raises:
        ValueError: a run of another kind, or one that has no checkpoint.
        weights.WeightsError: a file that holds no classifier.
    """
    return _opened(source, measured=True)


def _opened(source: Run | Path | Trained, *, measured: bool) -> Trained:
    """Return a classifier; with what was measured only where that is asked for and is of classes, as it may have to be measured now."""
    if isinstance(source, Trained):
        return source
    if isinstance(source, Path):
        return read_classifier(source)
    if source.kind != kind.KIND:
        raise ValueError(
            f"{source.folder}: a run of the kind {source.kind}, which classifies no pictures; expected one of `jaxart train classifier`."
        )
    return measured_of(source) if measured and source.options.task == "label" else trained_of(source)


def classify(run: Run | Path | Trained, pictures: Sequence[Image | io.Picture]) -> list[Answer]:
    """Answer what pictures show.

    Args:
        run: of the kind classifier, trained; or a file, as in `classifier_of`.
        pictures: of any size, ``[H, W, C]`` uint8 or in [0, 1], or as `io.read_picture` reads them.

    Raises:
        ValueError: as `classifier_of`, or no pictures.
    """
    trained = classifier_of(run)
    options, facts = trained.options, trained.facts
    outputs: Any = kind.outputs_of(trained, _as_seen(trained, pictures))
    target = kind.target_of(options, facts)
    if options.task == "label":
        calibration = task.Calibration(**trained.measured["calibration"])
        return _of_classes(facts["classes"], task.answers(outputs, target, calibration), calibration.coverage)
    values = np.asarray(target.answer(outputs))
    names = facts["classes"] if options.task == "labels" else facts["columns"]
    return [_of_values(dict(zip(names, map(float, row), strict=True)), options.task) for row in values]


def explain(
    run: Run | Path | Trained,
    picture: Image | io.Picture,
    *,
    classes: Sequence[str] = (),
    method: Method | None = None,
    seed: int = 0,
) -> Reasons:
    """Show where in a picture the reasons for an answer are.

    Args:
        run: as in `classify`.
        picture: of any size, as in `classify`.
        classes: to be explained; by default the likeliest.
        method: see `METHODS`; by default "grad-cam", and "integrated-gradients" where the network has no maps (features, rows).
        seed: of what "smooth-grad" draws.

    Raises:
        ValueError: as `classify`; an unknown class or method, or class activation maps of a network without maps.
    """
    trained = _opened(run, measured=False)
    names = trained.facts.get("classes") or trained.facts["columns"]
    seen = _as_seen(trained, [picture])[0].astype(np.float32) / 255
    asked = [check_choice("class", name, names) for name in classes] or [names[_likeliest(trained, seen)]]
    chosen = method or ("grad-cam" if _has_maps(trained) else "integrated-gradients")
    check_choice("method", chosen, METHODS)
    if chosen.endswith("cam") and not _has_maps(trained):
        raise ValueError(f"method {chosen}: needs a network with maps (residual, vit, no features); take another.")
    targets = jnp.asarray([names.index(name) for name in asked])
    images = jnp.broadcast_to(seen, (len(asked), *seen.shape))
    found = np.asarray(_maps(trained, images, targets, chosen, jax.random.key(seed)))
    return Reasons(seen, dict(zip(asked, found, strict=True)), chosen)


def reasons_sheet(reasons: Reasons) -> np.ndarray:
    """Return the picture, and beside it for each class the map and the map over the picture: ``[H, W, 3]`` in [0, 1].

    Args:
        reasons: from `explain`.
    """
    maps = list(reasons.maps.values())
    images = jnp.broadcast_to(reasons.image, (len(maps), *reasons.image.shape))
    return np.asarray(shelf_of_reasons.sheet(images, [jnp.stack([jnp.asarray(each) for each in maps])]))


def _maps(trained: Trained, images: jax.Array, targets: jax.Array, method: str, key: jax.Array) -> jax.Array:
    """Return a map in [0, 1] for each picture and class, ``[B, S, S]``."""
    params = trained.state.average
    if method.endswith("cam"):
        network = kind.network_of(trained.options, trained.facts)
        find = {"grad-cam": shelf_of_reasons.grad_cam, "hires-cam": shelf_of_reasons.hires_cam}[method]
        scores = _scores_of(trained.options, trained.facts)
        maps, head = functools.partial(_called, network, "maps"), lambda *of: scores(_called(network, "head", *of))
        return find(maps, head, params, images, targets, size=(images.shape[1], images.shape[2]))
    apply, variables = whole(trained)
    if method == "occlusion":
        side = max(4, images.shape[1] // 8)
        drop = shelf_of_reasons.occlusion(apply, variables, images, targets, window=side, stride=max(1, side // 2))
        return shelf_of_reasons.pixel_map(drop[..., None], positive=True)
    if method == "smooth-grad":
        found = shelf_of_reasons.smooth_grad(key, apply, variables, images, targets)
        return shelf_of_reasons.pixel_map(found)
    baselines = [shelf_of_reasons.black(images), shelf_of_reasons.blurred(images)]
    found = shelf_of_reasons.integrated_gradients(apply, variables, images, baselines, targets, chunk=1)
    return shelf_of_reasons.pixel_map(found, positive=True)


def _called(network: Any, method: str, params: PyTree, x: jax.Array) -> jax.Array:
    return network.apply({"params": params}, x, method=method)


def whole(trained: Trained) -> tuple[Any, PyTree]:
    """Return a function of (variables, pictures) to outputs, and the variables; where a head looks at features, of what makes them too.

    Args:
        trained: with a state.
    """
    network, scores = kind.network_of(trained.options, trained.facts), _scores_of(trained.options, trained.facts)
    if trained.options.features == "none":
        return lambda params, x: scores(network.apply({"params": params}, x)[0]), trained.state.average
    look, seen_by = _features(trained)
    scaling = task.Scaling(*trained.state.scaling)

    def apply(variables: PyTree, x: jax.Array) -> jax.Array:
        features = scaling(look(variables["features"], x))
        return scores(network.apply({"params": variables["head"]}, features)[0])

    return apply, {"head": trained.state.average, "features": seen_by}


def _features(trained: Trained) -> tuple[Any, PyTree]:
    """Return a function of (variables, pictures) to what a head looks at, and the variables."""
    if trained.options.encoder is None:
        return task.feature_statistics, weights.load(trained.options.weights or "vgg16")
    encoder = encoder_of(trained)
    return encoder, encoder.params


def _likeliest(trained: Trained, picture: np.ndarray) -> int:
    outputs: Any = kind.outputs_of(trained, picture[None])
    answer = kind.target_of(trained.options, trained.facts).answer
    return int(np.argmax(outputs if trained.options.task == "numbers" else answer(outputs)))


def _scores_of(options: Any, facts: Any) -> Any:
    return kind.target_of(options, facts).scores


def _has_maps(trained: Trained) -> bool:
    return trained.options.features == "none" and trained.options.model in _MAPPED


def _as_seen(trained: Trained, pictures: Sequence[Image | io.Picture]) -> np.ndarray:
    if not len(pictures):
        raise ValueError("pictures: expected at least one, got none.")
    shape = shelf.Shape(labels.side_of(trained.options), 3, labels.fit_of(trained.options))
    return np.stack([shelf.shaped(_as_picture(each), shape) for each in pictures])


def _as_picture(picture: Image | io.Picture) -> io.Picture:
    if isinstance(picture, io.Picture):
        return picture
    pixels = np.asarray(picture)
    return io.Picture(pixels[..., :3], pixels[..., 3] if pixels.shape[-1] == 4 else None)


def _of_classes(names: list[str], found: task.Answers, coverage: float | None) -> list[Answer]:
    made = []
    for row, inside, novel, known in zip(found.probabilities, found.shown, found.novel, found.familiarity, strict=True):
        best = int(np.argmax(row))
        chosen = tuple(names[place] for place in np.argsort(-row) if inside[place])
        by_class = dict(zip(names, map(float, row), strict=True))
        label = None if novel else names[best]
        made.append(Answer(label, float(row[best]), by_class, chosen, float(known), coverage))
    return made


def _of_values(values: dict[str, float], about: str) -> Answer:
    if about == "numbers":
        return Answer(None, None, values, (), None)
    holding = tuple(name for name, value in values.items() if value > _LIKELY)
    return Answer(";".join(holding), None, values, holding, None)
