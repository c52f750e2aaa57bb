"""The command restore: mends pictures: noise, varnish, holes, size."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from cyclopts import Parameter

from jaxart.cli.devices import keep_compiled_programs
from jaxart.cli.files import given_pictures, one_after_another, written_name
from jaxart.cli.options import look, picture, running
from jaxart.cli.terminal import say

if TYPE_CHECKING:
    from jaxart.io import Pair, Picture
    from jaxart.tasks.restore import Plan, Restoration


class _Wishes(NamedTuple):
    """What the command line asked for, of every picture."""

    plan: "Plan"
    inpaint: str | None
    varnish: str | None
    networks: "dict[str, Restoration]"
    bits: Literal[8, 16] | None
    seed: int
    uncertain: bool


def restore(
    first: Annotated[Path, Parameter(name="PICTURES", help="A picture, several, or a folder of them.")],
    /,
    *more: Annotated[Path, Parameter(name="PICTURES", help="Further pictures.")],
    output: Annotated[
        Path,
        Parameter(
            name=["--output", "-o"],
            group=picture,
            help="The result: .png .jpg .webp .tif; a folder for several pictures or a folder of them.",
        ),
    ],
    denoise: Annotated[
        str | None,
        Parameter(
            group=look, help="Take noise away: auto estimates how much there is; or its standard deviation, of 255."
        ),
    ] = None,
    denoiser: Annotated[
        Literal["network", "both", "self-supervised", "non-local", "tv"],
        Parameter(
            group=look,
            help="How: the package's network; both, the mean of it and non-local means, slower and better; a network that is trained "
            "on this picture alone, in minutes; non-local means; total variation.",
        ),
    ] = "network",
    keep_grain: Annotated[
        bool,
        Parameter(group=look, help="Keep what repeats itself all over the picture, such as the weave of a canvas."),
    ] = False,
    varnish: Annotated[
        str | None,
        Parameter(
            group=look,
            help="Take a yellowed varnish off: auto; X,Y,WIDTH,HEIGHT of what should be white or gray; or a picture that shows it cleaned.",
        ),
    ] = None,
    inpaint: Annotated[
        str | None,
        Parameter(
            group=look,
            help="Fill holes: a mask of the picture's size, white where it is damaged; auto finds cracks, scratches and dust, and "
            "writes the mask beside the result, to be corrected.",
        ),
    ] = None,
    fill: Annotated[
        Literal["auto", "network", "exemplar", "biharmonic", "combined", "prior"],
        Parameter(
            group=look,
            help="How: auto takes what suits each hole; exemplar, pieces of the picture; biharmonic, a thin plate; combined, the mean "
            "of all, weighed by how near each comes elsewhere in the picture; prior, a network that is trained on this picture alone.",
        ),
    ] = "auto",
    upscale: Annotated[Literal[2, 3, 4] | None, Parameter(group=look, help="Enlarge this many times.")] = None,
    enlarger: Annotated[
        Literal["network", "lanczos", "bicubic"],
        Parameter(
            group=look,
            help="How. All make the result such that it becomes the picture again when it is shrunk, but with --old.",
        ),
    ] = "network",
    old: Annotated[
        bool, Parameter(group=look, help="The picture to be enlarged is blurred, noisy or compressed: mend that too.")
    ] = False,
    thorough: Annotated[
        bool,
        Parameter(
            group=look,
            help="Let networks look at the picture from all eight sides: a little better, in eight times the time.",
        ),
    ] = False,
    network: Annotated[
        list[Path] | None,
        Parameter(
            group=running,
            help="A run of `train restorer`, or a .safetensors of `export`, in the place of the package's; several.",
        ),
    ] = None,
    report: Annotated[
        Path | None,
        Parameter(
            group=picture,
            help="An .html file: before and after with a slider, what changed, how uncertain each pixel is.",
        ),
    ] = None,
    bits: Annotated[
        Literal[8, 16] | None,
        Parameter(group=picture, help="Of each channel of the result. [the picture's, where the format has them]"),
    ] = None,
    seed: Annotated[int, Parameter(group=running, help="The same seed gives the same result.")] = 0,
) -> int:
    """Mend pictures: take noise and varnish away, fill what is damaged, enlarge.

    Steps may be combined; they are taken in the order in which harm is undone: noise, varnish, holes, size. What `--inpaint` does not fill
    stays as it is, bit for bit; alpha, color profile and 16 bits are kept. Gray pictures are not colored: that is another task.

    Examples:

    `jaxart restore scan.tif -o clean.tif --denoise auto --keep-grain`

    `jaxart restore painting.jpg -o mended.png --inpaint auto --report report.html`

    `jaxart restore small.jpg -o large.png --upscale 4 --old`
    """
    from jaxart import io
    from jaxart.tasks.restore import Plan

    plan = Plan(
        noise=_noise(denoise),
        denoiser=denoiser,
        keep_grain=keep_grain,
        filler=fill,
        scale=upscale or 1,
        enlarger=enlarger,
        old=old,
        views=8 if thorough else 1,
    )
    if denoise is None and varnish is None and inpaint is None and upscale is None:
        raise ValueError("nothing to do: ask for --denoise, --varnish, --inpaint or --upscale, or several of them.")
    single = not more and not first.is_dir()
    if single:
        io.check_writable(output, bits=bits or 8)
    if report is not None:
        io.check_writable(report, suffixes=(".html", ".htm"))
    pictures = given_pictures(first, more)
    if inpaint not in (None, "auto") and not single:
        raise ValueError(f"--inpaint {inpaint}: is the mask of one picture; hand that in alone, or take auto.")
    keep_compiled_programs()
    wishes = _Wishes(plan, inpaint, varnish, _networks(network or []), bits, seed, report is not None)
    shown: list[str] = []

    def work(job: tuple[Path, Path]) -> None:
        pair = _mended(job[0], job[1], wishes)
        if report is not None:
            shown.append(io.report_section(pair))

    if single:
        work((pictures[0], output))
        code = 0
    else:
        output.mkdir(parents=True, exist_ok=True)
        targets = [written_name(path, pictures, output, bits or 8) for path in pictures]
        jobs = list(zip(pictures, targets, strict=True))
        code = one_after_another(jobs, work, folder=output, name=lambda job: job[0].name)
    if report is not None and shown:
        io.write_report(report, f"{pictures[0].name}, restored" if single else "Restored pictures", shown)
        say(f"{report}: before and after of {len(shown)} of {len(pictures)}")
    return code


def _noise(given: str | None) -> Any:
    """Return the deviation in units of a picture, or auto."""
    if given is None or given == "auto":
        return given
    try:
        level = float(given)
    except ValueError:
        level = -1.0
    if not 0 < level < 255:
        raise ValueError(f"--denoise: expected auto, or a standard deviation between 0 and 255, got {given!r}.")
    return level / 255


def _networks(paths: list[Path]) -> "dict[str, Restoration]":
    """Return networks by their task."""
    from jaxart import runs
    from jaxart.tasks import restore as task

    found = {}
    for path in paths:
        if path.is_file():
            model = task.load_restoration(path)
        else:
            run = runs.open_run(path)
            if run.kind != "restorer":
                raise ValueError(f"{path}: a run of the kind {run.kind}; expected one of `jaxart train restorer`.")
            from jaxart.runs.restorer import model_of

            model = model_of(runs.Trained(run.options, run.facts, runs.newest_state(run)))
        found[model.task] = model
    return found


def _mended(path: Path, output: Path, wishes: _Wishes) -> "Pair":
    """Restore a picture from a file to a file; return what a report shows of it."""
    import jax

    from jaxart import io
    from jaxart.tasks import restore as task

    begin = time.perf_counter()
    given = io.read_picture(path, own_colors=True)
    try:
        plan = wishes.plan._replace(tone=_tone(wishes.varnish, given.rgb), holes=_holes(wishes, given.rgb, output))
        made = task.Mended(given.rgb, ())
        if plan.holds_something:
            made = task.mend(
                given.rgb,
                plan,
                key=jax.random.key(wishes.seed),
                networks=wishes.networks,
                uncertain=wishes.uncertain,
                on_step=lambda step: say(f"{path.name}: {step.told}"),
            )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    _write(output, made.picture, given, wishes.bits)
    if plan.tone is not None:
        with io.replacing(output.with_name(f"{output.stem}.tone.json")) as partial:
            partial.write_text(json.dumps(task.tone_record(plan.tone), indent=1) + "\n")
    height, width = made.picture.shape[:2]
    say(f"{output}: {width} x {height}, {time.perf_counter() - begin:.1f} s")
    maps = [] if plan.holes is None else [("What was filled", plan.holes)]
    errors = [(step.name, step.uncertainty[..., 0]) for step in made.steps if step.uncertainty is not None]
    maps += [(f"Uncertainty of {name}, white is 10 % of the range", (10 * each).clip(0, 1)) for name, each in errors]
    numbers = [
        (f"Error to be expected of {name}, of 255", f"{255 * float((each**2).mean()) ** 0.5:.2f}")
        for name, each in errors
    ]
    return io.Pair(path.name, given.rgb, made.picture, [step.told for step in made.steps], maps, numbers)


def _tone(wish: str | None, pixels: Any) -> Any:
    """Return the correction that was asked for."""
    from jaxart import io
    from jaxart.tasks import restore as task

    if wish is None:
        return None
    if wish == "auto":
        return task.remove_varnish(pixels)[1]
    if Path(wish).is_file():
        cleaned: Any = io.read(wish)
        return task.remove_varnish(pixels, cleaned=cleaned)[1]
    try:
        region = task.Region(*(int(number) for number in wish.split(",")))
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"--varnish: expected auto, X,Y,WIDTH,HEIGHT in pixels, or a picture that shows it cleaned, got {wish!r}."
        ) from error
    return task.remove_varnish(pixels, white=[region])[1]


def _holes(wishes: _Wishes, pixels: Any, output: Path) -> Any:
    """Return the shares that are to be filled, read or found; what was found is written beside the result."""
    import numpy as np

    from jaxart import io
    from jaxart.tasks import restore as task

    if wishes.inpaint is None:
        return None
    if wishes.inpaint != "auto":
        holes = task.holes_of(io.read(wishes.inpaint), pixels.shape[:2])
        if holes.notice:
            say(f"{wishes.inpaint}: {holes.notice}")
        return holes.share
    found = np.asarray(task.damaged(pixels, wishes.networks.get("cracks")))
    beside = output.with_name(f"{output.stem}.mask.png")
    io.write_mask(beside, found.astype(np.uint8), np.array([[0, 0, 0], [255, 255, 255]], np.uint8))
    say(
        f"{beside}: {100 * found.mean():.2f} % found to be damaged; correct it and hand it in as --inpaint {beside.name}"
    )
    return found.astype(np.float32) if found.any() else None


def _write(output: Path, made: Any, given: "Picture", bits: Literal[8, 16] | None) -> None:
    """Write a result with the alpha, the color profile and, where the format has it, the depth of what was given."""
    import numpy as np

    from jaxart import io
    from jaxart.image import resize

    alpha = given.alpha
    if alpha is not None and alpha.shape != made.shape[:2]:
        alpha = np.clip(np.asarray(resize(alpha[..., None], made.shape[:2]))[..., 0], 0, 1)
    deep = given.bits if output.suffix.lower() in io.DEEP else 8
    io.write(output, made, alpha=alpha, bits=bits or deep, profile=given.profile)
