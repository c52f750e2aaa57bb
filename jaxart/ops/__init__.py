"""Array operations that need an algorithm or a derivative of their own."""

from jaxart.ops.convolution import compiler_options, conv2d, conv_transpose2d, depthwise_conv2d, modulated_conv2d
from jaxart.ops.morphology import (
    box_sums,
    closed,
    dilate,
    erode,
    line_means,
    line_offsets,
    open_lines,
    opened,
    reconstruct,
)
from jaxart.ops.native import convolution_path, native_in_use, use_native
from jaxart.ops.poisson import divergence, gradient, laplacian, solve_plate, solve_rectangle, solve_region
from jaxart.ops.pooling import avg_pool, max_pool
from jaxart.ops.resample import downsample_low_pass, low_pass, upsample_low_pass
from jaxart.ops.structure import similarity_maps
from jaxart.ops.symmetric import newton_schulz, spectral_map, symmetric_sqrt, trace_sqrt
from jaxart.ops.tiles import sharded_rows, sharded_sum, tiled_map, tiled_pixels, tiled_sum
from jaxart.ops.warp import affine_warp
from jaxart.ops.winograd import transform_kernel

__all__ = [
    "affine_warp",
    "avg_pool",
    "box_sums",
    "closed",
    "compiler_options",
    "conv2d",
    "conv_transpose2d",
    "convolution_path",
    "depthwise_conv2d",
    "dilate",
    "divergence",
    "downsample_low_pass",
    "erode",
    "gradient",
    "laplacian",
    "line_means",
    "line_offsets",
    "low_pass",
    "max_pool",
    "modulated_conv2d",
    "native_in_use",
    "newton_schulz",
    "open_lines",
    "opened",
    "reconstruct",
    "sharded_rows",
    "sharded_sum",
    "similarity_maps",
    "solve_plate",
    "solve_rectangle",
    "solve_region",
    "spectral_map",
    "symmetric_sqrt",
    "tiled_map",
    "tiled_pixels",
    "tiled_sum",
    "trace_sqrt",
    "transform_kernel",
    "upsample_low_pass",
    "use_native",
]
