"""The commands that steer a trained generator: project, edit, mix, interpolate. Flags and printing; the work is in `jaxart.runs`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter

from jaxart.cli.devices import keep_compiled_programs
from jaxart.cli.progress import Bar
from jaxart.cli.terminal import format_duration, interruptible, say

if TYPE_CHECKING:
    from jaxart.runs import Projected, Run, Steered
    from jaxart.tasks.generate import Latent

_FRAMES = Group("Key frames", sort_key=1)
_FILM = Group("The film", sort_key=2)
_LABELED = Group("A direction of your own", sort_key=1)

RunFolder = Annotated[
    Path,
    Parameter(
        name="RUN",
        help="The folder of a run that makes pictures, of train gan, vae, flow, student or adapt; or a flow's .safetensors of `export`.",
    ),
]


def project(
    run: RunFolder,
    picture: Annotated[Path, Parameter(help="The picture to be found; any size and format.")],
    /,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"], help="The latent: a .safetensors.")],
    space: Annotated[
        Literal["w", "w+", "z"] | None,
        Parameter(
            help="With styles (stylegan2) w: one style for all layers, good to edit; w+: one for each, nearer to the picture. "
            "Other models have z alone. [w, or z]"
        ),
    ] = None,
    steps: Annotated[int, Parameter(help="Of the search; a flow is run backwards instead.")] = 500,
    seed: Annotated[int, Parameter(help="Of what is drawn in the search.")] = 0,
    label: Annotated[str | None, Parameter(help="The picture's class; by default the first.")] = None,
    preview: Annotated[Path | None, Parameter(help="Write the picture and what was found, side by side.")] = None,
    features: Annotated[str, Parameter(help="vgg16, or a file of its weights: what compares the pictures.")] = "vgg16",
) -> int:
    """Find the point of a generator's latent space that is nearest to a picture, to edit it or to walk to it.

    A generator finds what is like its own pictures. The distance is that of features of VGG-16; where it is said to be a third of
    a random picture's or less, one knows the picture again. Ctrl-C ends the search and keeps what was found.

    Example: `jaxart project RUN face.jpg -o face.safetensors --preview face.png`
    """
    from jaxart import io, runs

    io.check_writable(output, suffixes=(".safetensors",))
    if preview is not None:
        io.check_writable(preview)
    keep_compiled_programs()
    opened, pixels = runs.opened(run), io.read(picture)
    with Bar(steps) as bar, interruptible() as interrupted:
        found = _searched(
            opened, pixels, bar, steps, stop=interrupted, space=space, seed=seed, label=label, weights=features
        )
        early = interrupted()
    runs.write_latent(output, found.latent)
    if preview is not None:
        io.write(preview, io.grid(_pair(found), columns=2))
    _say_found(picture, pixels.shape, found)
    say(f"{output}: {found.latent.space}, {format_duration(bar.seconds)}{', interrupted' if early else ''}")
    return 130 if early else 0


def _searched(run: "Run | Path", pixels: Any, bar: Bar, steps: int, **how: Any) -> "Projected":
    from jaxart import runs, training

    def hook(state: Any, info: Any) -> None:
        terms = f"features {float(info.features):.3f}  pixels {float(info.pixels):.4f}"
        bar.update(int(state.step), f"step {int(state.step)}/{steps}", terms, total=steps)

    try:
        return runs.project(run, pixels, steps=steps, hooks=(hook,), **how)
    except training.NotFiniteError as error:
        raise ValueError(f"{error} Another --seed may do.") from error


def _pair(found: "Projected") -> Any:
    import numpy as np

    return np.stack([found.target, found.picture])[..., :3]


def _say_found(picture: Path, shape: tuple[int, ...], found: "Projected") -> None:
    height, width, _ = found.target.shape
    if shape[:2] != (height, width):
        say(f"{picture}: {shape[1]} x {shape[0]}, brought to the run's {width} x {height} as its data was")
    if found.distance is None or not found.usual:
        say(f"run backwards; drawn again it differs by {found.error:.3f} (root mean square of pixels in 0 to 1)")
    else:
        share = found.distance / found.usual
        say(f"distance {found.distance:.3f}, {share:.2f} of a random picture's; pixels differ by {found.error:.3f}")


def edit(
    run: RunFolder,
    latent: Annotated[str, Parameter(help="A file of `jaxart project`, or a number: the seed of a random picture.")],
    /,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"], help="The result.")],
    direction: Annotated[
        tuple[int, ...],
        Parameter(consume_multiple=True, show_default=False, help="From 1, the strongest; several make rows. [1]"),
    ] = (1,),
    strength: Annotated[
        tuple[float, ...],
        Parameter(
            consume_multiple=True,
            show_default=False,
            help="How far, in deviations; several make a row of pictures. [-3 -1.5 0 1.5 3]",
        ),
    ] = (-3.0, -1.5, 0.0, 1.5, 3.0),
    method: Annotated[
        Literal["principal", "factorized"],
        Parameter(help="principal: in which pictures differ most. factorized: read off the weights."),
    ] = "principal",
    toward: Annotated[
        Path | None,
        Parameter(
            group=_LABELED,
            help="In place of --direction: a folder of some pictures of `generate --separate`, named as they were, to go toward.",
        ),
    ] = None,
    away: Annotated[Path | None, Parameter(group=_LABELED, help="Another such folder, to go away from.")] = None,
    seed: Annotated[int, Parameter(group=_LABELED, help="With which these pictures were made.")] = 0,
    layers: Annotated[
        tuple[int, int] | None,
        Parameter(help="With styles: first and last layer that move, from 0: first ones form, last ones color. [all]"),
    ] = None,
    label: Annotated[str | None, Parameter(help="With a seed: the picture's class; by default the first.")] = None,
    save: Annotated[Path | None, Parameter(help="Write the latent of the last picture too, as .safetensors.")] = None,
) -> int:
    """Change a picture along directions that were found without labels: what one does, the pictures show.

    Or along one that you teach: sort pictures of `jaxart generate RUN -o pictures -n 200 --separate` into two folders, and name them
    with --toward and --away. Strengths up to 3 stay among what the generator knows; beyond, pictures come apart.

    Example: `jaxart edit RUN face.safetensors --direction 1 2 3 --strength -3 0 3 -o edits.png`
    """
    from jaxart import io, runs

    io.check_writable(output)
    if save is not None:
        io.check_writable(save, suffixes=(".safetensors",))
    if not direction or not strength:
        raise ValueError("--direction, --strength: expected at least one number each.")
    keep_compiled_programs()
    labels = _labels(toward, away)
    opened = runs.steered_of(runs.opened(run))
    given, chosen = _latent(opened, latent, label), direction
    if labels:
        chosen = (runs.labeled_direction(opened, labels, seed=seed),)
    moved = [
        place for each in chosen for place in runs.edit(opened, given, each, strength, method=method, layers=layers)
    ]
    io.write(output, io.grid(runs.paint(opened, moved)[..., :3], columns=len(strength)))
    if save is not None:
        runs.write_latent(save, moved[-1])
    say(f"{output}: {len(chosen)} x {len(strength)} pictures, strengths {' '.join(f'{each:g}' for each in strength)}")
    return 0


def _labels(toward: Path | None, away: Path | None) -> dict[int, float]:
    """Return labels of pictures by the numbers in their files' names; none where no folder was told."""
    if toward is None and away is None:
        return {}
    if toward is None or away is None:
        raise ValueError("--toward and --away belong together: two folders of pictures that tell what is meant.")
    found: dict[int, float] = {}
    for folder, label in ((away, 0.0), (toward, 1.0)):
        numbers = [int(path.stem) for path in folder.glob("*.png") if path.stem.isdecimal()]
        if not numbers:
            raise ValueError(
                f"{folder}: expected pictures of `jaxart generate --separate`, such as 00012.png, got none."
            )
        if both := sorted(set(numbers) & set(found)):
            raise ValueError(f"{folder}: {both[0]:05d}.png is in the other folder too.")
        found |= dict.fromkeys(numbers, label)
    return found


def mix(
    run: RunFolder,
    /,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"], help="The table of pictures.")],
    rows: Annotated[
        tuple[str, ...],
        Parameter(
            consume_multiple=True,
            show_default=False,
            help="What gives form: files of `jaxart project`, or seeds of random pictures. [0 1 2]",
        ),
    ] = ("0", "1", "2"),
    columns: Annotated[
        tuple[str, ...],
        Parameter(consume_multiple=True, show_default=False, help="What gives color and grain. [3 4 5 6]"),
    ] = ("3", "4", "5", "6"),
    crossover: Annotated[int, Parameter(help="How many of the layers are the rows', from the coarsest.")] = 4,
    label: Annotated[str | None, Parameter(help="Of seeds: the pictures' class; by default the first.")] = None,
) -> int:
    """Mix the styles of pictures in a table: the form of each row with the colors and grain of each column (stylegan2).

    Example: `jaxart mix RUN -o table.png --rows face.safetensors 7 --columns 1 2 3 --crossover 6`
    """
    from jaxart import io, runs

    io.check_writable(output)
    if not rows or not columns:
        raise ValueError("--rows, --columns: expected at least one each.")
    keep_compiled_programs()
    opened = runs.steered_of(runs.opened(run))
    given = [[_latent(opened, each, label) for each in side] for side in (rows, columns)]
    io.write(output, io.grid(runs.mix(opened, *given, crossover=crossover)[..., :3], columns=len(columns) + 1))
    say(f"{output}: {len(rows)} x {len(columns)} pictures, the first {crossover} layers of the rows")
    return 0


def _latent(run: "Steered", given: str, label: str | None) -> "Latent":
    from jaxart import runs

    if given.lstrip("-").isdigit() and not Path(given).exists():
        return runs.latent_of_seed(run, int(given), label=label)
    return runs.read_latent(given)


def interpolate(
    run: RunFolder,
    /,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"], help="A .gif or .webp, or .mp4 with jaxart[video].")],
    latents: Annotated[
        tuple[Path, ...],
        Parameter(
            group=_FRAMES, consume_multiple=True, show_default=False, help="Files of `jaxart project`, `edit --save`."
        ),
    ] = (),
    seeds: Annotated[
        tuple[int, ...],
        Parameter(
            group=_FRAMES, consume_multiple=True, show_default=False, help="Of random pictures, after the latents."
        ),
    ] = (),
    stops: Annotated[int, Parameter(group=_FRAMES, help="Without both: how many random pictures.")] = 8,
    seed: Annotated[int, Parameter(group=_FRAMES, help="Without both: which random pictures.")] = 0,
    label: Annotated[
        str | None, Parameter(group=_FRAMES, help="Class of the random pictures; by default the first.")
    ] = None,
    truncation: Annotated[
        float | None,
        Parameter(
            group=_FRAMES, help="With styles: less than 1 makes random pictures likelier and more alike; 0.7, say."
        ),
    ] = None,
    frames: Annotated[int, Parameter(group=_FILM, help="From one key frame to the next.")] = 12,
    fps: Annotated[int, Parameter(group=_FILM, help="Frames per second.")] = 12,
    scale: Annotated[int, Parameter(group=_FILM, help="Enlarge by this factor.")] = 4,
    loop: Annotated[bool, Parameter(group=_FILM, negative="--no-loop", help="Return to the first key frame.")] = True,
    ease: Annotated[
        bool, Parameter(group=_FILM, negative="--no-ease", help="Slow down at each key frame; else the pace is even.")
    ] = True,
) -> int:
    """Walk through what a generator can make, from key frame to key frame.

    Example: `jaxart interpolate RUN -o walk.mp4 --latents face.safetensors --seeds 1 5 9 --frames 48 --fps 24`
    """
    from jaxart import runs

    if fps < 1 or scale < 1:
        raise ValueError(f"--fps, --scale: expected at least 1, got {fps} and {scale}.")
    runs.check_film(output)
    keep_compiled_programs()
    images = runs.walk(
        runs.opened(run),
        stops=stops,
        frames=frames,
        seed=seed,
        label=label,
        seeds=seeds,
        latents=[runs.read_latent(path) for path in latents],
        truncation=truncation,
        loop=loop,
        ease=ease,
    )
    runs.write_film(output, images.repeat(scale, axis=1).repeat(scale, axis=2), fps=fps)
    say(f"{output}: {len(images)} frames, {len(images) / fps:.1f} s")
    return 0
