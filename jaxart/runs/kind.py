"""The contract of what can be trained, and the kinds that there are.

Importing this module imports nothing heavy: our kinds' functions are imported at their first call.
"""

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jaxart.runs.options import (
    AdaptOptions,
    AnyStyleOptions,
    AppraiserOptions,
    ClassifierOptions,
    FlowOptions,
    GanOptions,
    RestorerOptions,
    RunOptions,
    SegmenterOptions,
    StudentOptions,
    StyleOptions,
    TranslateOptions,
    VaeOptions,
)

if TYPE_CHECKING:
    from jaxart.arrays import Image, Key, PyTree
    from jaxart.data import Batch, Dataset
    from jaxart.metrics import ScoreCard
    from jaxart.tasks.generate import Generate, Styled
    from jaxart.training import Recipe
    from jaxart.weights import Network

Facts = dict[str, Any]  # JSON values read off the data


class Trained(NamedTuple):
    """What a run has come to: its options, the facts of its data, and a state.

    While it trains, the data too, by source; in files, and where it answers, what was measured when it ended (`Kind.calibration`).
    """

    options: Any
    facts: Facts
    state: Any
    data: "dict[str, Dataset]" = {}  # noqa: RUF012  never written to
    measured: dict[str, Any] = {}  # noqa: RUF012  never written to


class Tuning(NamedTuple):
    """How settings of a kind are searched for.

    Fields:
        measure: name of the score: in `Kind.calibration` under "validation", and of a card of `Kind.score`.
        higher: whether more of it is better.
        keeps_back: whether runs keep back data on which it is measured; if not, data has to be handed in.
        space: what is searched by default: by option, in the words of `jaxart tune --space`.
        values: of options that may be None, what they stand for.
        fixed: options that change the data, beside those of the group `DATA`.
    """

    measure: str
    higher: bool
    keeps_back: bool
    space: dict[str, str]
    values: dict[str, Any] = {}  # noqa: RUF012  never written to
    fixed: tuple[str, ...] = ()


class Generator(NamedTuple):
    """A trained generator of pictures.

    Fields:
        generate: latents ``[B, latent]`` and labels ``[B]`` int32 to pictures ``[B, H, W, C]`` in [0, 1].
        latent: dimensions of a latent.
        classes: names of the classes that it can be asked for; none if it knows none.
    """

    generate: "Generate"
    latent: int
    classes: tuple[str, ...]


class Guidance(NamedTuple):
    """What guides the drawing of pictures; those given are ``[H, W, C]`` in [0, 1], of any size, and are brought to the run's.

    Fields:
        steps: of the way from noise to a picture; None for the run's.
        weight: how much more a picture is of its class than of any; None for the run's.
        autoguidance: how much clearer than the network says; None for the run's.
        picture: to be varied, or filled where `mask` says.
        strength: from 0 to 1, how much of `picture` is made anew; with a mask it is not looked at.
        mask: ``[H, W, 1]`` of the picture's shape: 1 where it is to be filled, 0 where it stays as it is.
        repeats: with a mask, how often each step is taken; more fit what is filled better to the rest.
        style: a painting whose style the pictures are drawn toward.
        style_strength: how far that moves them, in units of pixels from -1 to 1.
    """

    steps: int | None = None
    weight: float | None = None
    autoguidance: float | None = None
    picture: "Image | None" = None
    strength: float = 0.5
    mask: "Image | None" = None
    repeats: int = 4
    style: "Image | None" = None
    style_strength: float = 0.5


class Kind(NamedTuple):
    """A kind of trained thing: what a run asks it for. O are its options.

    Fields:
        summary: what help says of it; the first line stands in lists.
        options: frozen dataclass, a subclass of `RunOptions`.
        load: ``(O, source, path) -> Dataset``: read one source of data; a tuple of paths where it is several files.
        facts: ``(O, {source: Dataset}) -> facts``: JSON values that the recipe needs; raises ValueError for data that does not serve.
        recipe: ``(O, facts) -> Recipe``.
        frozen: ``(O, {source: Dataset}) -> frozen``: the arrays of the recipe's `frozen`, where they are made of the data; or None.
        batches: ``(key, O, {source: Dataset}, first, process) -> batches``, endless, from step `first` on; `process` is (index, count).
        parameters: ``state -> {network: params}``, to be counted in a dry run.
        sources: names of its data, in the order of the command line, where those after the first are flags too.
        several: which of them may be several files.
        sample: ``(Trained, path) -> None``: write what the state makes to `path`, which has no suffix yet; or None. Trials of a search can
            end early where it is JSON with "validation", ``{measure: value}``.
        score: ``(Trained, seen, held_out, count, seed) -> cards``, of data seen and data held out, ``{source: Dataset}`` each; `count` is
            how many examples to make or take, `seed` of what is drawn; or None.
        export: ``(Trained, platforms) -> bytes`` for `jax.export.deserialize`; platforms are of "cpu", "cuda" and "tpu"; or None.
        onnx: ``Trained -> bytes`` of an ONNX file; or None.
        network: ``Trained -> weights.Network``: what it has learned, to be written as safetensors, with what was measured where the kind
            has a calibration; or None.
        generator: ``Trained -> Generator``, for kinds that make pictures from latents; or None.
        guided: ``(Trained, Guidance) -> Generator``, for those whose drawing can be guided; or None.
        calibration: ``Trained -> JSON values``, of a run that has ended, with its data: what is measured on data that it kept back;
            calibration.json in its folder; or None.
        styled: ``Trained -> Styled``: the generator by its styles, None where this one has none; or None.
        plots: ``(Trained, {source: Dataset}, folder) -> paths``: pictures of how good it is on data held out; or None.
        tuning: ``(O, facts) -> Tuning``, of options of trial 0; raises ValueError for options that exclude each other; or None.
        renewed: ``(Trained, params) -> Trained``: with other params in the place of those of `network`; or None.
        wrapped: ``(O, facts, wrap) -> Recipe``: the recipe with ``wrap(optimizer)`` for its optimizer; its states have the fields params,
            opt_state and average; or None.
        varied: ``(O, facts) -> Recipe``: the recipe with an optimizer of `optax.inject_hyperparams` around the usual one, whose arguments
            are options; raises ValueError if there is none; or None.
        narrowed: ``(Trained, keep) -> Trained``: with a share of the channels inside; raises ValueError if none can be left out; or None.
        timed: ``Trained -> (function, arguments)``: what answers for one picture, to be compiled and timed; or None.
        settled: ``(O, {source: Dataset}) -> O``: options that were left to the data, such as how many steps so many rows need; or None.
        found: ``(O, facts) -> (headings, rows)``: a table of what was found in the data, for people; or None.
        told: ``calibration -> lines``: what was measured when training ended, for people; or None.
        keeps_data: whether its folder holds a copy of the data, because answers need it.
    """

    summary: str
    options: type[RunOptions]
    load: "Callable[[Any, str, Any], Dataset]"
    facts: "Callable[[Any, dict[str, Dataset]], Facts]"
    recipe: "Callable[[Any, Facts], Recipe]"
    batches: "Callable[[Key, Any, dict[str, Dataset], int, tuple[int, int]], Iterator[Batch]]"
    parameters: "Callable[[Any], dict[str, PyTree]]"
    sources: tuple[str, ...] = ("data",)
    several: tuple[str, ...] = ()
    frozen: "Callable[[Any, dict[str, Dataset]], PyTree] | None" = None
    sample: Callable[[Trained, Path], None] | None = None
    score: "Callable[[Trained, dict[str, Dataset], dict[str, Dataset], int, int], list[ScoreCard]] | None" = None
    export: Callable[[Trained, tuple[str, ...]], bytes] | None = None
    onnx: Callable[[Trained], bytes] | None = None
    network: "Callable[[Trained], Network] | None" = None
    generator: Callable[[Trained], Generator] | None = None
    guided: Callable[[Trained, Guidance], Generator] | None = None
    styled: "Callable[[Trained], Styled | None] | None" = None
    calibration: "Callable[[Trained], dict[str, Any]] | None" = None
    plots: "Callable[[Trained, dict[str, Dataset], Path], list[Path]] | None" = None
    tuning: Callable[[Any, Facts], Tuning] | None = None
    renewed: "Callable[[Trained, PyTree], Trained] | None" = None
    wrapped: "Callable[[Any, Facts, Callable[[Any], Any]], Recipe] | None" = None
    varied: "Callable[[Any, Facts], Recipe] | None" = None
    narrowed: Callable[[Trained, float], Trained] | None = None
    timed: "Callable[[Trained], tuple[Callable[..., PyTree], tuple]] | None" = None
    settled: "Callable[[Any, dict[str, Dataset]], Any] | None" = None
    found: Callable[[Any, Facts], tuple[tuple[str, ...], list[tuple[str, ...]]]] | None = None
    told: Callable[[dict[str, Any]], list[str]] | None = None
    keeps_data: bool = False


_NEEDED = ("load", "facts", "recipe", "batches", "parameters")
_ABILITIES_OF_GENERATORS = ("sample", "score", "export", "generator")


def _ours(
    module: str,
    options: type[RunOptions],
    summary: str,
    *,
    sources: tuple[str, ...] = ("data",),
    several: tuple[str, ...] = (),
    abilities: tuple[str, ...] = _ABILITIES_OF_GENERATORS,
    further: dict[str, tuple[str, ...]] | None = None,
    keeps_data: bool = False,
) -> Kind:
    """Return the kind whose functions stand in a module under the names of the fields: those needed, its `abilities`, and `further` ones
    of other modules.
    """

    def deferred(module: str, name: str) -> Callable[..., Any]:
        return lambda *arguments: getattr(importlib.import_module(module), name)(*arguments)

    places = {module: (*_NEEDED, *abilities), **(further or {})}
    functions: Any = {name: deferred(place, name) for place, names in places.items() for name in names}
    return Kind(summary=summary, options=options, sources=sources, several=several, keeps_data=keeps_data, **functions)


KINDS: dict[str, Kind] = {
    "gan": _ours(
        "jaxart.runs.gan",
        GanOptions,
        """Train a generative adversarial network.

        Ctrl-C and SIGTERM save and end; `jaxart resume RUN` carries on exactly from there. RUN holds run.json, log.jsonl, samples and
        checkpoints.

        Example: `jaxart train gan drawings/ -o run --size 64 --diff-augment color translation cutout`
        """,
        abilities=(*_ABILITIES_OF_GENERATORS, "frozen", "styled"),
    ),
    "vae": _ours(
        "jaxart.runs.vae",
        VaeOptions,
        "Train a variational autoencoder: blurrier pictures than a GAN's, but a likelihood, and no mode is left out.",
        abilities=(*_ABILITIES_OF_GENERATORS, "frozen"),
    ),
    "flow": _ours(
        "jaxart.runs.flow",
        FlowOptions,
        """Train a flow: a network that carries noise to pictures along straight paths, in a few dozen looks.

        The steadiest of the generators: nothing plays against it, its loss says how it does, no mode is left out, and it can be
        guided. Drawing takes longer than with a GAN.

        Example: `jaxart train flow drawings/ -o run --size 64`
        """,
        abilities=(*_ABILITIES_OF_GENERATORS, "guided", "network"),
    ),
    "student": _ours(
        "jaxart.runs.student",
        StudentOptions,
        """Train the student of a flow: a network that draws in one or two looks what its teacher draws in forty.

        Its data are the pictures that the teacher, a run of the kind flow, learned from. The teacher first draws others for it, which
        takes minutes; they are kept in the cache. The teacher's folder must stay.

        Example: `jaxart train student drawings/ --teacher RUN -o STUDENT`
        """,
        abilities=(*_ABILITIES_OF_GENERATORS, "frozen", "network"),
    ),
    "adapt": _ours(
        "jaxart.runs.adapt",
        AdaptOptions,
        """Adapt a trained generator to one painting, in minutes: it draws what it drew, in the painting's style.

        Its data are the painting; it needs no other pictures. The generator is a run of the kind gan, vae, student or adapt, whose folder
        must stay until this run has ended, and for scores. One seed gives the same pictures before and after.

        Example: `jaxart train adapt painting.jpg --generator RUN -o ADAPTED`
        """,
        sources=("painting",),
        abilities=(*_ABILITIES_OF_GENERATORS, "frozen"),
    ),
    "style": _ours(
        "jaxart.runs.style",
        StyleOptions,
        """Train one network that paints photographs in the styles of many paintings, each in one pass.

        It needs two sources of data: the paintings (a folder, or files) and a folder of photographs to learn on.

        Example: `jaxart train style paintings/ --photos photos/ -o run`
        """,
        sources=("paintings", "photos"),
        several=("paintings",),
        abilities=("frozen", "sample", "export", "onnx", "network"),
    ),
    "any-style": _ours(
        "jaxart.runs.any_style",
        AnyStyleOptions,
        """Train one network that paints photographs in the style of any painting, each in one pass.

        It needs two sources of data: a folder of paintings, the more the better, and a folder of photographs.

        Example: `jaxart train any-style paintings/ --photos photos/ -o run`
        """,
        sources=("paintings", "photos"),
        abilities=("frozen", "sample", "export", "onnx", "network"),
    ),
    "translate": _ours(
        "jaxart.runs.translate",
        TranslateOptions,
        """Train networks that translate the pictures of one set, A, into those of another, B: photographs into paintings, say.

        A and B need no pairs. `jaxart translate RUN photo.jpg -o result.png` then translates pictures of any size.

        Example: `jaxart train translate photos/ paintings/ -o run`
        """,
        sources=("a", "b"),
        abilities=("sample", "score", "export", "network"),
    ),
    "classifier": _ours(
        "jaxart.runs.classifier",
        ClassifierOptions,
        """Train a classifier of pictures: by style, subject or artist, several labels at once, or numbers such as years.

        Each class is a subfolder of DATA, or a CSV (--labels) says of each file what it is. A share of the works is kept back, copies of
        a picture together; reports (RUN/samples), probabilities and sets (RUN/calibration.json) are measured on it.
        `jaxart classify RUN picture.jpg` then answers.

        With few pictures, `--features vgg16` trains a head on what VGG-16 sees, in minutes.

        Example: `jaxart train classifier paintings/ -o run --features vgg16`
        """,
        abilities=("frozen", "export", "network"),
        further={
            "jaxart.runs.classifier_scores": ("sample", "score", "calibration"),
            "jaxart.runs.classifier_parts": ("tuning", "renewed", "wrapped", "varied", "narrowed", "timed"),
            "jaxart.runs.classifier_plots": ("plots",),
        },
    ),
    "segmenter": _ours(
        "jaxart.runs.segmenter",
        SegmenterOptions,
        """Train a network that finds regions: it says of every pixel which class it is of.

        IMAGES and MASKS are folders with the same names. Masks are PNGs: palette or gray, whose numbers are classes (255 is ignored), or
        RGB, whose colors are. `jaxart segment RUN photo.jpg -o mask.png` then segments pictures of any size.

        `--features vgg16` sees by VGG-16 and finds much better what is in no picture it has learned from.

        Example: `jaxart train segmenter images/ masks/ -o run --features vgg16`
        """,
        sources=("images", "masks"),
        abilities=("frozen", "sample", "score", "export", "network"),
        further={"jaxart.runs.segmenter_parts": ("tuning", "renewed", "wrapped", "varied", "timed")},
    ),
    "restorer": _ours(
        "jaxart.runs.restorer",
        RestorerOptions,
        """Train a network that mends pictures: takes noise away, enlarges, fills holes, or finds cracks, scratches and dust.

        DATA are sharp and clean pictures, the more the better; how they come to harm is drawn anew at each step. Networks for all
        four come with the package; `jaxart restore --network RUN` takes one of your own, of pictures like yours, in their place. Pairs of
        your own, damaged and clean, are learned by `jaxart train translate --method pix2pix`.

        Example: `jaxart train restorer paintings/ -o run --task denoise`
        """,
        abilities=("frozen", "sample", "score", "export", "network"),
    ),
    "appraiser": _ours(
        "jaxart.runs.appraiser",
        AppraiserOptions,
        """Train an appraiser: it says what lots are worth, within which range, and why, from a table of lots that were sold.

        LOTS is a CSV of any delimiter and encoding, or a .parquet (pip install 'jaxart[tables]'). What its columns are is found and told
        before training; flags overrule it. The newest sales, or groups of lots, are kept back and valued by networks that never saw them,
        to say how good values are and how often ranges hold; what answers then learns from all lots. RUN holds a copy of the table.

        `jaxart appraise RUN LOTS -o valued.csv` then values lots.

        Example: `jaxart train appraiser sales.csv -o run --target price --date year --group sale lot --text title --after-sale buyer`
        """,
        sources=("lots",),
        abilities=("frozen", "sample", "settled", "found"),
        further={"jaxart.runs.appraiser_scores": ("calibration", "told")},
        keeps_data=True,
    ),
}
