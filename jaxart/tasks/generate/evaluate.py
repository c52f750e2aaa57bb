"""Scoring a trained generator against pictures that it has not seen: by the spectrum, and on features of judges that are handed in."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxart import metrics, models
from jaxart.arrays import Array, Key, PyTree
from jaxart.image import unit
from jaxart.tasks.generate.sample import Generate, draw_latents, pictures
from jaxart.training import apply_in_batches

VGG_LAYERS = ("relu2_2", "relu3_3", "relu4_3")
Examples = dict[str, Any]  # arrays: "image" [N, H, W, C], uint8 or in [0, 1], and "label" [N] where there are classes


class Judge(NamedTuple):
    """By what pictures are compared: a network, as functions.

    Fields:
        name: of its features, for the cards: "vgg16 relu2_2 relu3_3 relu4_3 mean".
        digest: `metrics.content_hash` of its weights.
        describe: ``images [N, H, W, C], uint8 or in [0, 1] -> (logits [N, classes] or None, features [N, F])``, NumPy arrays.
        retrain: ``(key, examples) -> Judge``, which trains one like it on other examples of the same classes; None where it cannot.

    Example, with the classifier of `tasks.classify`:
        >>> def judge_of(key, examples, classes=10):
        ...     trained = classify.train_small_classifier(key, examples["image"], examples["label"], classes=classes)
        ...     describe = functools.partial(classify.predict, trained)
        ...     return Judge("small classifier", metrics.content_hash(trained.params), describe, judge_of)
    """

    name: str
    digest: str
    describe: Callable[[Any], tuple[Any, Any]]
    retrain: "Callable[[Key, Examples], Judge] | None" = None


class Setting(NamedTuple):
    """What the cards of one comparison share: name and hash of the features, hash of the real pictures, resize filter, seed."""

    features: str
    features_hash: str
    data_hash: str
    resize: str
    seed: int


def vgg_judge(variables: PyTree, *, layers: Sequence[str] = VGG_LAYERS) -> Judge:
    """Return a judge by the features of VGG: for each layer the means over the pixels, one after another.

    Args:
        variables: from ``weights.load("vgg16")`` or "vgg19".
        layers: whose features, such as "relu2_2". Fine ones see textures that coarse ones do not.
    """
    depth = models.vgg_depth(variables)
    network, on_device = models.VGG(depth=depth, layers=tuple(layers)), jax.tree.map(jnp.asarray, variables)

    def describe(images: Any) -> tuple[None, Any]:
        return None, apply_in_batches(_vgg_features, network, on_device, images)

    return Judge(f"vgg{depth} {' '.join(layers)} mean", metrics.content_hash(variables), describe)


def _vgg_features(network: Any, variables: PyTree, images: Array) -> jax.Array:
    pictures = unit(images)
    features = network.apply(variables, jnp.broadcast_to(pictures, (*pictures.shape[:3], 3)))
    return jnp.concatenate([jnp.mean(features[layer], (1, 2)) for layer in network.layers], -1)  # [B, sum of F]


def draw_examples(key: Key, generate: Generate, count: int, *, latent: int, classes: int = 0) -> Examples:
    """Return made pictures, rounded to bytes as a file would hold them.

    Args:
        key: typed key.
        generate: from `generator_of` or `decoder_of`.
        count: pictures.
        latent: dimensions of z.
        classes: of which there are equally many; 0 for a generator without classes, whose examples have no "label".
    """
    z = draw_latents(key, count, latent=latent)
    label = jnp.arange(count, dtype=jnp.int32) % max(classes, 1)
    examples = {"image": np.rint(255 * pictures(generate, z, label)).astype(np.uint8)}
    return {**examples, "label": np.asarray(label)} if classes else examples


def score_pictures(
    key: Key,
    judge: Judge,
    *,
    real: Examples,
    fake: Examples,
    train: Examples,
    data_hash: str,
    others: Sequence[Judge] = (),
    resize: str = "none",
    seed: int = 0,
) -> list[metrics.ScoreCard]:
    """Return the cards of made pictures: of `score_features`, `score_spectrum`, and `score_classes` where `fake` has labels.

    Args:
        key: typed key. Of ``jax.random.split(key, 3)`` the first is not used here, and left for the training of a judge.
        judge: whose features are compared; with logits and `retrain` where `fake` has labels.
        real: pictures that the generator has not seen; features are taken of as many of them as there are made ones.
        fake: made pictures, from `draw_examples`.
        train: those that the generator was trained on.
        data_hash: of the real pictures, for the cards.
        others: judges on whose features the kernel distance is taken too.
        resize: filter that brought pictures to the network's size, for the cards.
        seed: of the made pictures, for the cards.

    Raises:
        ValueError: made pictures with labels and a judge that knows no classes.
    """
    if "label" in fake:
        _check_classes(judge)
    _, key_features, key_classes = jax.random.split(key, 3)
    setting = Setting(judge.name, judge.digest, data_hash, resize, seed)
    sets = real["image"][: len(fake["image"])], fake["image"], train["image"]
    cards = score_features(key_features, *(judge.describe(images)[1] for images in sets), setting=setting)
    for index, other in enumerate(others):
        features = [other.describe(images)[1] for images in sets[:2]]
        named = setting._replace(features=other.name, features_hash=other.digest)
        cards.append(_kernel_card(jax.random.fold_in(key_features, index), *features, setting=named))
    cards += score_spectrum(key_features, *sets[:2], setting=setting)
    if "label" in fake:
        cards += score_classes(key_classes, judge, real=real, fake=fake, setting=setting)
    return cards


def score_spectrum(key: Key, real: Array, fake: Array, *, setting: Setting) -> list[metrics.ScoreCard]:
    """Return cards of the spectrum: the power of made pictures over that of real ones, by octave and at a checkerboard's frequencies.

    Args:
        key: typed key, of the resamples.
        real: pictures ``[N, S, S, C]``, uint8 or in [0, 1], that the generator has not seen.
        fake: made pictures ``[M, S, S, C]``.
        setting: for the cards, whose features are not asked.
    """
    ratio = metrics.spectrum_ratio(key, real, fake)
    octaves = [f"spectrum, octave at 1/{2 ** (index + 1)} of the sampling rate" for index in range(len(ratio.octaves))]
    boards = [f"spectrum, checkerboard of {period} pixels" for period in metrics.CHECKERBOARDS]
    named = dict(zip([*octaves, *boards], [*ratio.octaves, *ratio.checkerboards], strict=True))
    named["largest deviation of the spectrum"] = ratio.deviation
    shared = {"n_real": len(real), "n_fake": len(fake), **setting._replace(features="", features_hash="")._asdict()}
    return [metrics.score_card(name, value, **shared) for name, value in named.items()]


def score_classes(
    key: Key, judge: Judge, *, real: Examples, fake: Examples, setting: Setting
) -> list[metrics.ScoreCard]:
    """Return cards of accuracies: of the judge on made pictures, and on real ones of one trained on made pictures and of the judge.

    Args:
        key: typed key, of the resamples and of the training.
        judge: with logits and `retrain`.
        real: pictures with labels that neither generator nor judge has seen.
        fake: made pictures with the labels that were asked for.
        setting: for the cards.

    Raises:
        ValueError: a judge that knows no classes.

    Reference: Ravuri and Vinyals, Classification Accuracy Score for Conditional Generative Models, 2019.
    """
    after = _check_classes(judge)(key, fake)
    pairs = {
        "accuracy on made pictures": (judge, fake),
        "classification accuracy score": (after, real),
        "accuracy after real pictures": (judge, real),
    }
    numbers = {"n_real": len(real["image"]), "n_fake": len(fake["image"]), **setting._asdict()}
    cards = []
    for name, (each, examples) in pairs.items():
        logits = each.describe(examples["image"])[0]
        value = metrics.jackknife(key, lambda pair: metrics.accuracy(*pair), (logits, examples["label"]))
        cards.append(metrics.score_card(name, value, **numbers))
    return cards


def _check_classes(judge: Judge) -> Callable[[Key, Examples], Judge]:
    if judge.retrain is None:
        raise ValueError(
            f"judge: expected one that knows classes, with `retrain`, got {judge.name!r}. Hand in such a one, "
            "or made pictures without labels."
        )
    return judge.retrain


def score_features(
    key: Key, real: Array, fake: Array, train: Array, *, setting: Setting, most: int = 5000
) -> list[metrics.ScoreCard]:
    """Return cards of kernel and Frechet distance, precision, recall, density, coverage and originality.

    Args:
        key: typed key, of subsets and resamples.
        real: features ``[N, F]`` of pictures that the generator has not seen.
        fake: features ``[M, F]`` of made pictures.
        train: features of those that it was trained on.
        setting: for the cards.
        most: of each, for the scores that look at all pairs.
    """
    keys = jax.random.split(key, 4)
    numbers = {"n_real": len(real), "n_fake": len(fake), **setting._asdict()}
    cards = [_kernel_card(keys[0], real, fake, setting=setting)]
    if min(len(real), len(fake)) >= 2 * real.shape[1]:
        frechet = metrics.jackknife(keys[1], metrics.frechet_distance, real, fake, resamples=30)
        cards.append(metrics.score_card("Frechet distance", frechet, **numbers))
    real, fake = real[:most], fake[:most]
    numbers |= {"n_real": len(real), "n_fake": len(fake)}
    near = metrics.jackknife(keys[2], metrics.precision_recall, real, fake, resamples=10)
    cards += [metrics.score_card(name, value, **numbers) for name, value in near._asdict().items()]
    new = metrics.originality(keys[3], fake[:1000], train, real, permutations=99)
    rows = {"share of near copies": new.close, "p-value of copying": new.p_value}
    return cards + [metrics.score_card(name, metrics.Estimate(value, 0.0), **numbers) for name, value in rows.items()]


def _kernel_card(key: Key, real: Array, fake: Array, *, setting: Setting) -> metrics.ScoreCard:
    kernel = metrics.kernel_distance(key, real, fake, subset_size=min(1000, len(real), len(fake)))
    return metrics.score_card("kernel distance", kernel, n_real=len(real), n_fake=len(fake), **setting._asdict())
