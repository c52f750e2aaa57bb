"""What a user may choose of classifiers and of networks that find regions."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from jaxart.runs.options.base import DATA, NETWORK, Option, RunOptions


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
    features: Annotated[
        Literal["none", "vgg16"],
        Option(
            "none trains a U-Net from scratch; vgg16 finds regions by what VGG-16 sees, best where there are few pictures of a class.",
            NETWORK,
            before="none",
        ),
    ] = "none"
    weights: Annotated[
        Path | None, Option("A file of VGG-16's weights. [the package's or the hub's]", NETWORK, before=None)
    ] = None
    width: Annotated[
        int | None,
        Option("Channels of the first level; they double at each further one. [24; 16 of VGG-16's features]", NETWORK),
    ] = None
    depth: Annotated[
        int | None, Option("Levels, each half the size of the one before. [4; 5 of VGG-16's features]", NETWORK)
    ] = None
    squares: Annotated[
        int | None,
        Option(
            "0 computes at full size, for fine borders; 1 at half, in a quarter of the time. [1; 0 of VGG-16's features]",
            NETWORK,
        ),
    ] = None
    dice_weight: Annotated[float, Option("More counts regions alike, however small; 0 counts pixels alone.")] = 1.0
    learning_rate: Annotated[
        float, Option("Learning rate of AdamW; it rises for a twentieth of the steps, then falls by a cosine.")
    ] = 1e-3
    weight_decay: Annotated[float, Option("Of AdamW, on kernels alone.")] = 0.05
    half_life: Annotated[
        float, Option("Pictures after which the average of the weights, which segments, forgets half.")
    ] = 10_000
