"""Array operations that need an algorithm or a derivative of their own."""

from jaxart.ops.convolution import conv2d
from jaxart.ops.pooling import avg_pool, max_pool
from jaxart.ops.symmetric import newton_schulz, spectral_map, trace_sqrt

__all__ = ["avg_pool", "conv2d", "max_pool", "newton_schulz", "spectral_map", "trace_sqrt"]
