"""Reading and writing picture files. The only room that knows Pillow."""

from jaxart.io.files import ANIMATIONS, DEEP, READABLE, WRITABLE, ImageError, check_writable, pictures_in, replacing
from jaxart.io.layout import grid, side_by_side, square
from jaxart.io.masks import Mask, decode_mask, write_mask
from jaxart.io.opening import dimensions, upright_size
from jaxart.io.reading import Picture, decode, on_white, read, read_picture
from jaxart.io.report import Pair, report_section, thumbnail, write_report
from jaxart.io.writing import write, write_animation

__all__ = [
    "ANIMATIONS",
    "DEEP",
    "READABLE",
    "WRITABLE",
    "ImageError",
    "Mask",
    "Pair",
    "Picture",
    "check_writable",
    "decode",
    "decode_mask",
    "dimensions",
    "grid",
    "on_white",
    "pictures_in",
    "read",
    "read_picture",
    "replacing",
    "report_section",
    "side_by_side",
    "square",
    "thumbnail",
    "upright_size",
    "write",
    "write_animation",
    "write_mask",
    "write_report",
]
