"""What a user may choose of generators, and of translations between sets of pictures."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from jaxart.runs.options.base import DATA, NETWORK, Option, RunOptions


@dataclass(frozen=True)
class GeneratorOptions(RunOptions):
    """What a GAN, a flow and a VAE share: pictures in, pictures out."""

    size: Annotated[int, Option("Side of the pictures, a power of two.", DATA)] = 32
    channels: Annotated[Literal[1, 3], Option("1 for gray, 3 for color.", DATA)] = 3
    fit: Annotated[Literal["crop", "pad"], Option("Other shapes: crop to the central square, or pad to one.", DATA)] = (
        "crop"
    )
    labels: Annotated[Path | None, Option("A CSV with columns file,label, instead of subfolders.", DATA)] = None
    split: Annotated[
        Literal["train", "test"],
        Option("Which part of data that comes in two: IDX files, or folders train and test.", DATA),
    ] = "train"
    augment: Annotated[
        tuple[str, ...],
        Option(
            "More pictures from few, each changed at random: horizontal_flip, crop, rotate, ... (`jaxart data preview`).",
            DATA,
        ),
    ] = ()
    conditional: Annotated[bool, Option("Learn the classes of the data, so that one can be asked for.", NETWORK)] = (
        False
    )
    width: Annotated[int, Option("Channels at half the size; they double toward 4 x 4.", NETWORK)] = 64
    half_life: Annotated[
        float, Option("Pictures after which the average of the weights, from which pictures are made, forgets half.")
    ] = 10_000


@dataclass(frozen=True)
class GanOptions(GeneratorOptions):
    """What a GAN has beside them."""

    model: Annotated[
        Literal["dcgan", "sngan", "stylegan2", "r3gan"],
        Option(
            "dcgan is small and quick, sngan residual; stylegan2 has styles that can be steered, r3gan is plain and modern.",
            NETWORK,
        ),
    ] = "dcgan"
    smooth: Annotated[
        bool, Option("Of dcgan and sngan: blur what is doubled, or grids appear.", NETWORK, before=False)
    ] = True
    latent: Annotated[int, Option("Dimensions of the random input.", NETWORK)] = 128
    loss: Annotated[
        Literal["relativistic", "non-saturating", "saturating", "hinge", "least-squares", "wasserstein"],
        Option("relativistic wants --r1 and --r2; wasserstein --gradient-penalty 10."),
    ] = "relativistic"
    learning_rate: Annotated[
        float | None, Option("Learning rate of Adam; it falls to a tenth by a cosine. [2e-4; 2e-3 of stylegan2]")
    ] = None
    beta1: Annotated[float, Option("Of Adam's moments.")] = 0.0
    beta2: Annotated[float, Option("Of Adam's moments.")] = 0.99
    r1: Annotated[float, Option("Gradient penalty on real pictures; more where classes or samples collapse.")] = 2.0
    r2: Annotated[float, Option("Gradient penalty on generated pictures.")] = 2.0
    gradient_penalty: Annotated[float, Option("Gradient penalty of WGAN-GP.")] = 0.0
    penalty_every: Annotated[int, Option("Steps between penalties, which are multiplied by it; more is faster.")] = 4
    discriminator_steps: Annotated[int, Option("Per step of the generator.")] = 1
    diff_augment: Annotated[
        tuple[str, ...],
        Option(
            "For few pictures: color translation cutout. Shown to the discriminator on both sides, so it is not learned."
        ),
    ] = ()
    ada: Annotated[
        bool,
        Option(
            "For few pictures, in place of --diff-augment: many changes, the more often the more the discriminator overfits.",
            before=False,
        ),
    ] = False
    ada_target: Annotated[
        float,
        Option(
            "Of --ada: share of the pictures that the discriminator takes for real, less that of the others; lower changes more.",
            before=0.6,
        ),
    ] = 0.6
    ada_span: Annotated[
        float | None,
        Option(
            "Of --ada: pictures in which changes go from never to always at most. [a quarter of the run's, at most 500 000]",
            before=500_000,
        ),
    ] = None
    path_length: Annotated[
        float,
        Option("Penalty on uneven steps through the styles, for models with styles alone; 2 in the paper.", before=0.0),
    ] = 0.0
    path_length_every: Annotated[
        int, Option("Steps between penalties on path lengths, which are multiplied by it.", before=4)
    ] = 4
    style: Annotated[
        Path | None, Option("A painting, toward whose style it learns to draw, by features of VGG-16.", before=None)
    ] = None
    style_weight: Annotated[float, Option("Of --style: more has more of the style.", before=0.2)] = 0.2
    weights: Annotated[
        Path | None,
        Option("Of --style: a file of VGG-16's weights. [the package's or the hub's]", NETWORK, before=None),
    ] = None


@dataclass(frozen=True)
class FlowOptions(GeneratorOptions):
    """What a flow has beside them."""

    batch: Annotated[int, Option("Examples per step, over all devices.")] = 32
    width: Annotated[int, Option("Channels of the network's first level.", NETWORK)] = 32
    factors: Annotated[
        tuple[int, ...],
        Option("Its levels, each half the size of the one before: widths, in times the first.", NETWORK),
    ] = (1, 2, 4, 6)
    blocks: Annotated[int, Option("Residual blocks of a level, down and up.", NETWORK)] = 1
    squares: Annotated[
        int, Option("1 to compute at half the size, which costs a quarter; 0 at the full size.", NETWORK)
    ] = 1
    attention: Annotated[int, Option("How many of the smallest levels see the whole picture at once.", NETWORK)] = 1
    learning_rate: Annotated[
        float, Option("Learning rate of Adam; it rises briefly, then falls to a tenth by a cosine.")
    ] = 1e-3
    half_life: Annotated[
        float, Option("Pictures after which the average of the weights, from which pictures are made, forgets half.")
    ] = 50_000
    time_mean: Annotated[
        float, Option("Below 0 learns more from noisy pictures, above 0 from nearly finished ones.")
    ] = 0.0
    time_std: Annotated[float, Option("More learns from all times alike.")] = 1.0
    drop_class: Annotated[float, Option("How often a picture's class is left out, so that guidance can work.")] = 0.1
    sampling_steps: Annotated[int, Option("Steps from noise to a picture, of two looks each.")] = 20
    guidance: Annotated[
        float, Option("With classes: 1 draws them as they are, more draws what is most typical of them.")
    ] = 1.5
    autoguidance: Annotated[
        float,
        Option(
            "How much clearer it draws than it has learned to; 0.5 suits drawings on white, 0 is as it has learned.",
            before=0.0,
        ),
    ] = 0.2


@dataclass(frozen=True)
class StudentOptions(RunOptions):
    """What a flow's student has beside what every run has; the rest is its teacher's."""

    batch: Annotated[int, Option("Examples per step, over all devices.")] = 32
    steps: Annotated[int, Option("Steps in all; the learning rate falls over them.")] = 3000
    teacher: Annotated[Path | None, Option("The folder of a trained run of the kind flow. Needed.", NETWORK)] = None
    split: Annotated[
        Literal["train", "test"] | None,
        Option(
            "Which part of data that comes in two: IDX files, or folders train and test. [the teacher's]",
            DATA,
            before=None,
        ),
    ] = None
    pairs: Annotated[int, Option("Pictures that the teacher draws for it.", DATA)] = 4096
    looks: Annotated[int, Option("Of the network at a picture that it draws: 1 or 2.", NETWORK)] = 2
    learning_rate: Annotated[float, Option("Learning rate of Adam; it rises briefly, then falls to 0 by a cosine.")] = (
        3e-4
    )
    pixel_weight: Annotated[float, Option("Of the error of pixels, beside that of features of VGG-16.")] = 1.0
    half_life: Annotated[
        float, Option("Pictures after which the average of the weights, from which pictures are made, forgets half.")
    ] = 10_000
    weights: Annotated[
        Path | None, Option("A file of VGG-16's weights, which compare pictures. [the package's or the hub's]", NETWORK)
    ] = None


@dataclass(frozen=True)
class VaeOptions(GeneratorOptions):
    """What a VAE has beside them."""

    latent: Annotated[int, Option("Dimensions of the random input.", NETWORK)] = 32
    learning_rate: Annotated[float, Option("Learning rate of Adam; it falls to a tenth by a cosine.")] = 1e-3
    style: Annotated[
        Path | None, Option("A painting, toward whose style it learns to draw, by features of VGG-16.", before=None)
    ] = None
    style_weight: Annotated[float, Option("Of --style: more has more of the style.", before=0.1)] = 0.1
    weights: Annotated[
        Path | None,
        Option("Of --style: a file of VGG-16's weights. [the package's or the hub's]", NETWORK, before=None),
    ] = None


@dataclass(frozen=True)
class AdaptOptions(RunOptions):
    """What the adaptation of a generator has beside what every run has; the rest is the generator's."""

    batch: Annotated[int, Option("Pictures drawn per step, over all devices.")] = 16
    steps: Annotated[int, Option("Steps in all; the learning rate falls over them.")] = 300
    sample_every: Annotated[int, Option("Steps between what is written to RUN/samples.")] = 100
    generator: Annotated[
        Path | None, Option("The folder of a trained run that makes pictures: gan, vae, student. Needed.", NETWORK)
    ] = None
    weights: Annotated[
        Path | None, Option("A file of VGG-16's weights, which compare pictures. [the package's or the hub's]", NETWORK)
    ] = None
    content_weight: Annotated[float, Option("More keeps more of what the generator draws: 0.02 little, 0.05 much.")] = (
        0.03
    )
    style_weight: Annotated[float, Option("More has more of the painting's style.")] = 1.0
    learning_rate: Annotated[float, Option("Learning rate of Adam; it rises briefly, then falls to 0 by a cosine.")] = (
        1e-3
    )
    half_life: Annotated[
        float, Option("Pictures after which the average of the weights, from which pictures are made, forgets half.")
    ] = 500


@dataclass(frozen=True)
class TranslateOptions(RunOptions):
    """What a translation between two sets of pictures has beside what every run has."""

    batch: Annotated[int, Option("Pictures of each set per step, over all devices.")] = 4
    method: Annotated[
        Literal["cyclegan", "cut", "pix2pix", "cyclic-vae"],
        Option(
            "cyclegan learns both directions, each undoing the other. cut learns from A to B alone, faster and freer. pix2pix learns from "
            "pairs: pictures of one name in A and B. cyclic-vae learns a latent space of both.",
            NETWORK,
        ),
    ] = "cyclegan"
    size: Annotated[
        int, Option("Side of the parts of pictures that it sees, pixels; pictures of any size can be translated.", DATA)
    ] = 128
    no_flip: Annotated[bool, Option("Mirror no picture: for writing and maps.", DATA)] = False
    width: Annotated[
        int, Option("Channels at the full size, of translators and discriminators; 64 on a GPU or TPU.", NETWORK)
    ] = 32
    blocks: Annotated[int, Option("Residual blocks at a quarter of the size; 9 for 256 pixels.", NETWORK)] = 6
    halvings: Annotated[
        int, Option("Of the discriminators, which judge patches: 3 of 70 pixels, 2 of 34, 1 of 16.", NETWORK)
    ] = 3
    norm: Annotated[Literal["instance", "spectral"], Option("What the discriminators are normalized by.", NETWORK)] = (
        "instance"
    )
    cycle_weight: Annotated[float, Option("cyclegan and cyclic-vae: more brings a picture back more as it was.")] = 10.0
    identity_weight: Annotated[
        float | None,
        Option("cyclegan and cut: more leaves pictures of B as they are, so keeps colors. [cyclegan: 5, cut: 1]"),
    ] = None
    contrast_weight: Annotated[float, Option("cut: more keeps each patch nearer to what it was made from.")] = 1.0
    patches: Annotated[int, Option("cut: patches of each layer that are told apart.")] = 256
    pixel_weight: Annotated[float, Option("pix2pix: more comes nearer to the pair, pixel by pixel.")] = 100.0
    reconstruction_weight: Annotated[float, Option("cyclic-vae: more draws a picture as it is.")] = 10.0
    divergence_weight: Annotated[float, Option("cyclic-vae: more makes what is encoded of a picture less.")] = 0.01
    pool: Annotated[int, Option("cyclegan: past pictures of each set that the discriminators see again.")] = 50
    learning_rate: Annotated[
        float, Option("Learning rate of Adam; it stays for half of the steps, then falls to 0.")
    ] = 2e-4
    half_life: Annotated[
        float, Option("Pictures after which the average of the weights, which translates, forgets half.")
    ] = 2_000
