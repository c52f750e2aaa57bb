"""Flags of the commands that train generators and use them. No heavy imports: what they do is in `cli.generating`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Group, Parameter

from jaxart.cli.options import Data

train_app = App(name="train", help="Train a generator on your own pictures: gan or vae.")

_data = Group("The data", sort_key=1)
_network = Group("The networks", sort_key=2)
_training = Group("Training", sort_key=3)
_devices = Group("Devices", sort_key=4)

RunFolder = Annotated[Path, Parameter(help="The folder of a run.")]
Output = Annotated[Path, Parameter(name=["--output", "-o"], help="The result.")]


@dataclass(frozen=True)
class Options:
    """What training a GAN and a VAE share."""

    size: Annotated[int, Parameter(group=_data, help="Side of the pictures, a power of two.")] = 32
    channels: Annotated[Literal[1, 3], Parameter(group=_data, help="1 for gray, 3 for color.")] = 3
    fit: Annotated[
        Literal["crop", "pad"],
        Parameter(group=_data, help="Other shapes: crop to the central square, or pad to one."),
    ] = "crop"
    labels: Annotated[
        Path | None, Parameter(group=_data, help="A CSV with columns file,label, instead of subfolders.")
    ] = None
    split: Annotated[
        Literal["train", "test"], Parameter(group=_data, help="Which part of IDX files that come in two.")
    ] = "train"
    augment: Annotated[
        tuple[str, ...],
        Parameter(
            group=_data,
            consume_multiple=True,
            help="More pictures from few, each changed at random: horizontal_flip, crop, rotate, ... (`jaxart data preview`).",
        ),
    ] = ()
    conditional: Annotated[
        bool, Parameter(group=_network, help="Learn the classes of the data, so that one can be asked for.")
    ] = False
    width: Annotated[int, Parameter(group=_network, help="Channels at half the size; they double toward 4 x 4.")] = 64
    latent: Annotated[int, Parameter(group=_network, help="Dimensions of the random input.")] = 128
    batch: Annotated[int, Parameter(group=_training, help="Pictures a step, over all devices.")] = 64
    steps: Annotated[int, Parameter(group=_training, help="Steps in all; `resume --steps` goes on further.")] = 20_000
    half_life: Annotated[
        float, Parameter(group=_training, help="Of the averaged generator from which pictures are made, in pictures.")
    ] = 10_000
    save_every: Annotated[int, Parameter(group=_training, help="Steps between checkpoints.")] = 1000
    sample_every: Annotated[int, Parameter(group=_training, help="Steps between sheets in RUN/samples.")] = 500
    seed: Annotated[int, Parameter(group=_training, help="The same seed gives the same run.")] = 0
    devices: Annotated[
        int | None,
        Parameter(group=_devices, help="How many to use; on a CPU, how many to simulate. [all]"),
    ] = None
    coordinator: Annotated[
        str | None,
        Parameter(
            group=_devices, help="HOST:PORT of process 0, for a run of several processes; auto on Slurm and TPU."
        ),
    ] = None
    processes: Annotated[int | None, Parameter(group=_devices, help="How many processes.")] = None
    process: Annotated[int | None, Parameter(group=_devices, help="The number of this process, from 0.")] = None
    tensorboard: Annotated[
        bool, Parameter(group=_training, help="Log for TensorBoard too (pip install 'jaxart[tensorboard]').")
    ] = False
    dry_run: Annotated[
        bool,
        Parameter(group=_training, help="Print parameters, operations, memory and the first batch; train nothing."),
    ] = False


@dataclass(frozen=True)
class GanOptions(Options):
    """What a GAN needs beside them."""

    model: Annotated[
        Literal["dcgan", "sngan"],
        Parameter(group=_network, help="dcgan is small and quick, sngan residual and better."),
    ] = "dcgan"
    loss: Annotated[
        Literal["relativistic", "non-saturating", "saturating", "hinge", "least-squares", "wasserstein"],
        Parameter(group=_training, help="relativistic wants --r1 and --r2; wasserstein --gradient-penalty 10."),
    ] = "relativistic"
    learning_rate: Annotated[float, Parameter(group=_training, help="Of Adam; falls to a tenth by a cosine.")] = 2e-4
    beta1: Annotated[float, Parameter(group=_training, help="Of Adam.")] = 0.0
    beta2: Annotated[float, Parameter(group=_training, help="Of Adam.")] = 0.99
    r1: Annotated[
        float,
        Parameter(group=_training, help="Gradient penalty on real pictures; more where classes or samples collapse."),
    ] = 2.0
    r2: Annotated[float, Parameter(group=_training, help="Gradient penalty on made pictures.")] = 2.0
    gradient_penalty: Annotated[float, Parameter(group=_training, help="Gradient penalty of WGAN-GP.")] = 0.0
    penalty_every: Annotated[
        int, Parameter(group=_training, help="Steps between penalties, which are multiplied by it; more is faster.")
    ] = 4
    discriminator_steps: Annotated[int, Parameter(group=_training, help="Per step of the generator.")] = 1
    diff_augment: Annotated[
        tuple[str, ...],
        Parameter(
            group=_training,
            consume_multiple=True,
            help="For few pictures: color translation cutout. Shown to the discriminator on both sides, so it is not learned.",
        ),
    ] = ()
    max_nonfinite_steps: Annotated[
        int,
        Parameter(group=_training, help="Steps in a row that may fail (not finite) before it goes back a checkpoint."),
    ] = 5


@dataclass(frozen=True)
class VaeOptions(Options):
    """What a VAE needs beside them."""

    learning_rate: Annotated[float, Parameter(group=_training, help="Of Adam; falls to a tenth by a cosine.")] = 1e-3
    max_nonfinite_steps: Annotated[
        int,
        Parameter(group=_training, help="Steps in a row that may fail (not finite) before it goes back a checkpoint."),
    ] = 5


@train_app.command
def gan(
    data: Data,
    /,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"], help="The folder of the run, new.")],
    options: Annotated[GanOptions, Parameter(name="*")] = GanOptions(),
) -> int:
    """Train a generative adversarial network.

    Ctrl-C and SIGTERM save and end; `jaxart resume RUN` carries on exactly from there. RUN holds run.json, log.jsonl, samples and
    checkpoints.

    Example: `jaxart train gan drawings/ -o run --size 64 --diff-augment color translation cutout`
    """
    from jaxart.cli import generating

    return generating.train("gan", data, output, options)


@train_app.command
def vae(
    data: Data,
    /,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"], help="The folder of the run, new.")],
    options: Annotated[VaeOptions, Parameter(name="*")] = VaeOptions(latent=32),
) -> int:
    """Train a variational autoencoder: blurrier pictures than a GAN's, but a likelihood, and never a collapse."""
    from jaxart.cli import generating

    return generating.train("vae", data, output, options)


def resume(
    run: RunFolder,
    /,
    *,
    steps: Annotated[int | None, Parameter(help="A new count at which to end.")] = None,
    devices: Annotated[int | None, Parameter(help="As in train; may differ from the run's so far.")] = None,
    coordinator: Annotated[str | None, Parameter(help="As in train.")] = None,
    processes: Annotated[int | None, Parameter(help="As in train.")] = None,
    process: Annotated[int | None, Parameter(help="As in train.")] = None,
) -> int:
    """Carry on with an interrupted run, exactly as if it had not been interrupted."""
    from jaxart.cli import generating

    placed = {"devices": devices, "coordinator": coordinator, "processes": processes, "process": process}
    return generating.resume(run, steps, placed)


def generate(
    run: RunFolder,
    /,
    *,
    output: Output,
    count: Annotated[int, Parameter(name=["--count", "-n"], help="How many pictures.")] = 64,
    seed: Annotated[int, Parameter(help="Picture i depends on the seed and i alone.")] = 0,
    label: Annotated[str | None, Parameter(help="One class; by default a row of each.")] = None,
    separate: Annotated[bool, Parameter(help="Write each picture to its own file in the folder OUTPUT.")] = False,
) -> int:
    """Make pictures with a trained generator, on one sheet or as files."""
    from jaxart.cli import generating

    return generating.generate(run, output, count=count, seed=seed, label=label, separate=separate)


def interpolate(
    run: RunFolder,
    /,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"], help="A .gif or .webp that loops.")],
    stops: Annotated[int, Parameter(help="Random pictures that it passes.")] = 8,
    frames: Annotated[int, Parameter(help="From one to the next.")] = 12,
    fps: Annotated[int, Parameter(help="Frames a second.")] = 12,
    scale: Annotated[int, Parameter(help="Enlarge by this factor.")] = 4,
    seed: Annotated[int, Parameter(help="Of the stops.")] = 0,
    label: Annotated[str | None, Parameter(help="One class; by default the first.")] = None,
) -> int:
    """Walk through what a generator can make."""
    from jaxart.cli import generating

    return generating.interpolate(run, output, stops=stops, frames=frames, fps=fps, scale=scale, seed=seed, label=label)


def score(
    run: RunFolder,
    data: Data,
    /,
    *,
    count: Annotated[int, Parameter(name=["--count", "-n"], help="Pictures to make and to compare with.")] = 5000,
    seed: Annotated[int, Parameter(help="Of the pictures and the subsets.")] = 0,
    split: Annotated[Literal["train", "test"], Parameter(help="Of IDX files that come in two.")] = "test",
    output: Annotated[Path | None, Parameter(name=["--output", "-o"], help="Cards as JSON. [RUN/scores.json]")] = None,
) -> int:
    """Compare made pictures with DATA, which the run should not have seen.

    Distances are on features of a small classifier that is trained on the run's own data where that has classes, else of VGG-16. They
    compare runs with each other; they are no FID.
    """
    from jaxart.cli import generating

    return generating.score(run, data, count=count, seed=seed, split=split, output=output)


def export(
    run: RunFolder,
    /,
    *,
    output: Output,
    platforms: Annotated[tuple[str, ...], Parameter(consume_multiple=True, help="cpu cuda tpu.")] = (
        "cpu",
        "cuda",
        "tpu",
    ),
) -> int:
    """Write the generator with its weights as one file that JAX runs without this program (jax.export)."""
    from jaxart.cli import generating

    return generating.export(run, output, platforms)
