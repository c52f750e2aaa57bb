"""What a user may choose of a run. Plain frozen dataclasses: the command line makes flags of them, a run's manifest keeps them.

Each field is ``Annotated[type, Option(help, group)]``. Importing this module imports nothing heavy, so that help appears at once.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

DATA, NETWORK, TRAINING = "The data", "The networks", "Training"


class Option(NamedTuple):
    """What help says of a field, the group under which it does, the flag where that is not the field's name.

    `before` is the value of runs from before the field was there, whose manifests lack it; ... for fields that always were.
    """

    help: str
    group: str = TRAINING
    flag: str | None = None
    before: Any = ...


@dataclass(frozen=True)
class RunOptions:
    """What every run has. A kind's own options inherit from it."""

    batch: Annotated[int, Option("Examples per step, over all devices.")] = 64
    steps: Annotated[
        int, Option("Steps in all; the learning rate falls over them. `resume --steps` makes it a longer run.")
    ] = 20_000
    save_every: Annotated[int, Option("Steps between checkpoints.")] = 1000
    sample_every: Annotated[int, Option("Steps between what is written to RUN/samples.")] = 500
    max_nonfinite_steps: Annotated[
        int, Option("Steps in a row that may fail (not finite) before it goes back a checkpoint.")
    ] = 5
    seed: Annotated[int, Option("The same seed gives the same run.")] = 0
    tensorboard: Annotated[bool, Option("Log for TensorBoard too (pip install 'jaxart[tensorboard]').")] = False


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
class StyleOptions(RunOptions):
    """What a network of many styles has beside what every run has."""

    batch: Annotated[int, Option("Photographs per step, over all devices.")] = 4
    crop: Annotated[int, Option("Side of the parts of photographs that it sees, pixels.", DATA)] = 192
    painting_size: Annotated[
        int, Option("Long side to which paintings are shrunk, pixels; smaller means finer brush strokes.", DATA)
    ] = 256
    width: Annotated[int, Option("Channels at half the size.", NETWORK)] = 32
    deep: Annotated[int, Option("Channels at a quarter of the size.", NETWORK)] = 64
    blocks: Annotated[int, Option("Residual blocks at a quarter of the size.", NETWORK)] = 5
    coarse_blocks: Annotated[int, Option("Residual blocks at an eighth of the size.", NETWORK)] = 2
    start: Annotated[
        Path | None,
        Option(
            "A network of `export` (.safetensors), or styles or any_style for one in the package. Of many styles, it learns the paintings "
            "beside its own, by what sets styles apart alone; of any style, it is trained to paint these better. Its sizes stand.",
            NETWORK,
            "--from",
        ),
    ] = None
    weights: Annotated[
        Path | None, Option("A file of VGG-16's weights, which compare pictures. [the package's or the hub's]", NETWORK)
    ] = None
    content_weight: Annotated[float, Option("More keeps more of the photograph, less has more of the style.")] = 0.01
    smoothness_weight: Annotated[float, Option("More has smoother pictures.")] = 2.0
    learning_rate: Annotated[float, Option("Learning rate of Adam; it rises briefly, then falls to 0 by a cosine.")] = (
        1e-3
    )
    half_life: Annotated[
        float, Option("Photographs after which the average of the weights, which paints, forgets half.")
    ] = 2_000


@dataclass(frozen=True)
class AnyStyleOptions(RunOptions):
    """What a network of any style has beside what every run has."""

    batch: Annotated[int, Option("Photographs per step, over all devices, each with a painting.")] = 4
    size: Annotated[
        int,
        Option(
            "Side of the squares that photographs and paintings are made, pixels; up to twice the crop or more.", DATA
        ),
    ] = 384
    crop: Annotated[
        int,
        Option(
            "Side of the parts of them that it sees, pixels, between the whole square shrunk and a part as it is.", DATA
        ),
    ] = 192
    recolored: Annotated[
        float, Option("How often, from 0 to 1, the hues of a photograph or painting are turned: more palettes.", DATA)
    ] = 0.5
    width: Annotated[int, Option("Channels at half the size.", NETWORK)] = 32
    deep: Annotated[int, Option("Channels at a quarter of the size.", NETWORK)] = 64
    blocks: Annotated[int, Option("Residual blocks at a quarter of the size.", NETWORK)] = 5
    coarse_blocks: Annotated[int, Option("Residual blocks at an eighth of the size.", NETWORK)] = 2
    style_width: Annotated[int, Option("Channels of what looks at the paintings, at half their size.", NETWORK)] = 32
    hidden: Annotated[int, Option("Units between what it measures of a painting and the style.", NETWORK)] = 192
    style: Annotated[int, Option("Dimensions of a style.", NETWORK)] = 64
    start: Annotated[
        Path | None,
        Option(
            "A network of `export` (.safetensors) to go on from, with other data, crops or weights; its sizes stand, but coarse blocks are "
            "added where it lacks them.",
            NETWORK,
            "--from",
        ),
    ] = None
    weights: Annotated[
        Path | None, Option("A file of VGG-16's weights, which compare pictures. [the package's or the hub's]", NETWORK)
    ] = None
    content_weight: Annotated[float, Option("More keeps more of the photograph, less has more of the style.")] = 0.01
    smoothness_weight: Annotated[float, Option("More has smoother pictures.")] = 2.0
    contrast_weight: Annotated[float, Option("More has pictures of different paintings differ more.")] = 0.05
    identity_weight: Annotated[float, Option("More has a painting in its own style come out as it is.")] = 1.0
    identity_chance: Annotated[float, Option("How often, from 0 to 1, a painting is its own photograph.")] = 0.125
    flicker_weight: Annotated[
        float, Option("More has a photograph that moves by a pixel come out moved; 0 saves that work.")
    ] = 0.0
    learning_rate: Annotated[float, Option("Learning rate of Adam; it rises briefly, then falls to 0 by a cosine.")] = (
        1e-3
    )
    half_life: Annotated[
        float, Option("Photographs after which the average of the weights, which paints, forgets half.")
    ] = 2_000


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


@dataclass(frozen=True)
class ClassifierOptions(RunOptions):
    """What a classifier has beside what every run has."""

    steps: Annotated[int, Option("Steps in all; the learning rate falls over them.")] = 2000
    size: Annotated[int, Option("Side to which pictures are brought, pixels. [64; 160 of VGG-16's features]", DATA)] = 0
    fit: Annotated[
        Literal["crop", "pad", "stretch"] | None,
        Option(
            "Other shapes: crop to the central square, pad to one, or stretch, which shows all of a picture. [crop; stretch of features]",
            DATA,
        ),
    ] = None
    labels: Annotated[Path | None, Option("A CSV with columns file,label, instead of subfolders.", DATA)] = None
    task: Annotated[
        Literal["label", "labels", "numbers"],
        Option(
            "label: one class each. labels: any number of them, written a;b;c in the CSV, - for none. numbers: columns of the CSV.",
            DATA,
        ),
    ] = "label"
    columns: Annotated[tuple[str, ...], Option("Of --task numbers: the columns of the CSV to predict.", DATA)] = ()
    group: Annotated[
        str | None,
        Option("A column of the CSV: what shares its value, pictures of one work say, is never on both sides.", DATA),
    ] = None
    split: Annotated[
        Literal["train", "test"],
        Option("Which part of data that comes in two: IDX files, or folders train and test.", DATA),
    ] = "train"
    validation: Annotated[
        float, Option("Share of the works that is kept back: reports, probabilities and sets are measured on it.", DATA)
    ] = 0.2
    features: Annotated[
        Literal["none", "vgg16", "vae"],
        Option(
            "none trains a network from scratch; vgg16 trains a head on statistics of VGG-16, best for few pictures; vae one on what an "
            "autoencoder of yours sees (--encoder).",
            NETWORK,
        ),
    ] = "none"
    encoder: Annotated[
        Path | None,
        Option(
            "Of --features vae: the folder of a trained run of the kind vae, without classes.", NETWORK, before=None
        ),
    ] = None
    model: Annotated[
        Literal["residual", "vit", "rows"],
        Option(
            "residual: convolutions; vit: a transformer of patches, for many pictures; rows: reads row after row.",
            NETWORK,
        ),
    ] = "residual"
    width: Annotated[
        int, Option("Channels of the first stage of residual, units of the others. [32; 192 vit; 128 rows]", NETWORK)
    ] = 0
    inner: Annotated[
        float,
        Option(
            "Of residual: channels between the two convolutions of a block, as a share of those around them; less is faster.",
            NETWORK,
            before=1.0,
        ),
    ] = 1.0
    head: Annotated[
        Literal["kernel", "network"] | None,
        Option(
            "Of features: kernel, ridge regression by a Gaussian kernel, or network, one or two layers. [kernel of VGG-16's; network for "
            "more than 12,000 pictures, or with options that are of one]",
            NETWORK,
            before="network",
        ),
    ] = None
    ridge: Annotated[float, Option("Of --head kernel: more smooths.", NETWORK, before=0.07)] = 0.07
    hidden: Annotated[
        int | None, Option("Of a network of features: units of a layer before the last; 0 for none. [512]", NETWORK)
    ] = None
    dropout: Annotated[
        float | None,
        Option("Share of the features that are left out in training. [0.2; 0.5 of VGG-16's features]", NETWORK),
    ] = None
    weights: Annotated[Path | None, Option("A file of VGG-16's weights. [the package's or the hub's]", NETWORK)] = None
    precision: Annotated[
        Literal["float32", "bfloat16"],
        Option(
            "Of the products in networks of pictures; bfloat16 is faster on a GPU or TPU, and takes half the memory.",
            NETWORK,
            before="float32",
        ),
    ] = "float32"
    scheme: Annotated[
        Literal["softmax", "one-vs-all", "one-vs-one"],
        Option("One distribution over all classes, or binary problems that are trained together."),
    ] = "softmax"
    balance: Annotated[
        Literal[
            "logit-adjustment", "none", "inverse", "effective-number", "focal", "square-root", "balanced", "deferred"
        ]
        | None,
        Option(
            "For classes of unequal size: shift logits; weigh classes by 1/n or their effective number; focal loss; draw rare ones more "
            "often (square-root, balanced), or only at the end (deferred). [logit-adjustment; inverse of other schemes and labels]"
        ),
    ] = None
    augment: Annotated[
        tuple[str, ...],
        Option(
            "Changes of pictures, at random: horizontal_flip, crop, rotate, ... (`jaxart data preview`); none: --augment with nothing."
        ),
    ] = ("horizontal_flip", "crop", "brightness", "contrast")
    augment_rare: Annotated[
        bool,
        Option(
            "Change pictures of rare classes more often: of the largest class 3 in 10, of ever smaller ones up to 9 in 10.",
            before=False,
        ),
    ] = False
    mix: Annotated[Literal["none", "mixup", "cutmix", "both"], Option("Mix pairs of pictures and their classes.")] = (
        "none"
    )
    smoothing: Annotated[
        float | None,
        Option("Label smoothing: share of the target that all classes get alike. [0; 0.2 of VGG-16's features]"),
    ] = None
    learning_rate: Annotated[
        float, Option("Learning rate of AdamW; it rises briefly, then falls to a hundredth by a cosine.")
    ] = 1e-3
    weight_decay: Annotated[float | None, Option("Of AdamW, on kernels alone. [0.05; 1 of VGG-16's features]")] = None
    l1: Annotated[float, Option("Penalty on the sum of the kernels' absolute values.")] = 0.0
    l2: Annotated[float, Option("Penalty on half the sum of the kernels' squares.")] = 0.0
    half_life: Annotated[
        float, Option("Pictures after which the average of the weights, which answers, forgets half.")
    ] = 5_000
    patience: Annotated[
        int,
        Option(
            "End after so many reports (--sample-every) without a better macro F1 (numbers: R2) of what is kept back; the weights of the "
            "best report then answer. 0 trains to the end.",
            before=0,
        ),
    ] = 0


@dataclass(frozen=True)
class SegmenterOptions(RunOptions):
    """What a segmentation has beside what every run has."""

    batch: Annotated[int, Option("Pictures per step, over all devices.")] = 16
    steps: Annotated[
        int, Option("Steps in all; the learning rate falls over them. `resume --steps` makes it a longer run.")
    ] = 4_000
    size: Annotated[
        int,
        Option("Side of the squares that pictures are brought to, pixels; pictures of any size are segmented.", DATA),
    ] = 128
    fit: Annotated[Literal["crop", "pad"], Option("Other shapes: crop to the central square, or pad to one.", DATA)] = (
        "crop"
    )
    classes: Annotated[
        Path | None,
        Option(
            "A CSV with columns name and color (#rrggbb), value (a number in the masks), or both; or JSON. [all that occur]",
            DATA,
        ),
    ] = None
    move: Annotated[
        tuple[str, ...],
        Option(
            "How pictures and masks are moved at random: horizontal_flip vertical_flip quarter_turn rotate translate crop.",
            DATA,
        ),
    ] = ("horizontal_flip", "crop")
    recolor: Annotated[
        tuple[str, ...],
        Option("How pictures alone are changed at random: brightness contrast saturation hue noise cutout.", DATA),
    ] = ("brightness", "contrast", "saturation")
    width: Annotated[int, Option("Channels of the first level; they double at each further one.", NETWORK)] = 24
    depth: Annotated[int, Option("Levels, each half the size of the one before.", NETWORK)] = 4
    squares: Annotated[
        int, Option("0 computes at full size, for fine borders; 1 at half, in a quarter of the time.", NETWORK)
    ] = 1
    dice_weight: Annotated[float, Option("More counts regions alike, however small; 0 counts pixels alone.")] = 1.0
    learning_rate: Annotated[
        float, Option("Learning rate of AdamW; it rises for a twentieth of the steps, then falls by a cosine.")
    ] = 1e-3
    weight_decay: Annotated[float, Option("Of AdamW, on kernels alone.")] = 0.05
    half_life: Annotated[
        float, Option("Pictures after which the average of the weights, which segments, forgets half.")
    ] = 10_000
