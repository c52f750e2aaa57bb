"""Convolution with its own derivatives and, on a CPU, its own algorithms (docs/performance.md); elsewhere it is XLA's.

Three bilinear functions, each the derivative of the other two, so that reverse mode works to any order: `_convolve`, `_input_gradient`
(the transposed convolution) and `_kernel_gradient`.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from jaxart.arrays import Array
from jaxart.ops import native, winograd
from jaxart.ops.winograd import Pads, Pair

# Read once: strings would be read in every call.
_LAYOUT = jax.lax.conv_dimension_numbers((1,) * 4, (1,) * 4, ("NHWC", "HWIO", "NHWC"))
_LAYOUT_OF_TAPS = jax.lax.conv_dimension_numbers((1,) * 4, (1,) * 4, ("CHWN", "IHWO", "HWNC"))
Padding = Literal["same", "valid"] | Pads


class _Geometry(NamedTuple):
    stride: int
    pads: Pads
    winograd: bool


def conv2d(
    images: Array,
    kernel: Array,
    *,
    stride: int = 1,
    padding: Padding = "same",
    transformed: Array | None = None,
    winograd: bool = True,
) -> jax.Array:
    """Correlate `images` with `kernel`: ``y[n,i,j,o] = sum_{a,b,c} x[n, s i + a, s j + b, c] k[a,b,c,o]``.

    Reverse mode works to any order. Forward mode (`jax.jvp`, `jax.linearize`) is refused by JAX with "can't apply forward-mode
    differentiation (jvp) to a custom_vjp function". On GPU and TPU this is XLA's convolution.

    Args:
        images: ``[N, H, W, C]``.
        kernel: ``[kh, kw, C, O]``, of the same dtype.
        stride: step in both directions, at least 1.
        padding: "same" (zeros, output ``ceil(H / stride)``), "valid", or ((top, bottom), (left, right)) zeros.
        transformed: ``ops.transform_kernel(kernel)``, for a kernel that is not trained: saves transforming it in every call on a CPU.
        winograd: allow Winograd's algorithm for wide 3 x 3 layers of stride 1 in float32 or float64 on a CPU: up to twice as fast, within
            5e-5 of the direct form relative to the largest result. False keeps to the direct form.

    Returns:
        ``[N, H', W', O]``.

    Raises:
        ValueError: ranks or channels that do not fit, or an unknown padding.

    >>> conv2d(jnp.ones((1, 4, 4, 2)), jnp.ones((3, 3, 2, 5)), stride=2).shape
    (1, 2, 2, 5)
    """
    if images.ndim != 4 or kernel.ndim != 4 or images.shape[-1] != kernel.shape[2]:
        raise ValueError(f"conv2d: expected [N, H, W, C] and [kh, kw, C, O], got {images.shape} and {kernel.shape}.")
    pads = _pads("conv2d", images.shape[1:3], kernel.shape[:2], stride, padding)
    return _convolve(images, kernel, transformed, _Geometry(stride, pads, winograd))


def conv_transpose2d(
    images: Array, kernel: Array, *, stride: int = 1, padding: Padding = "same", winograd: bool = True
) -> jax.Array:
    """Transpose `conv2d`: the gradient in its images, so ``kernel[a, b, c, o]`` leads from channel o to channel c.

    For upsampling a picture, nearest neighbors or pixel shuffle followed by `conv2d` give fewer artifacts.

    Args:
        images: ``[N, H, W, O]``.
        kernel: ``[kh, kw, C, O]``, as `conv2d` has it from C to O channels.
        stride: upsampling factor, at least 1.
        padding: of the `conv2d` whose transpose this is. "same" gives ``[N, stride H, stride W, C]``, "valid" and pads the largest picture
            that `conv2d` takes to H x W.
        winograd: as in `conv2d`.

    Returns:
        ``[N, H', W', C]``.

    Raises:
        ValueError: ranks or channels that do not fit, or an unknown padding.

    >>> conv_transpose2d(jnp.ones((1, 4, 4, 2)), jnp.ones((4, 4, 5, 2)), stride=2).shape
    (1, 8, 8, 5)
    """
    if images.ndim != 4 or kernel.ndim != 4 or images.shape[-1] != kernel.shape[3]:
        raise ValueError(
            f"conv_transpose2d: expected [N, H, W, O] and [kh, kw, C, O], got {images.shape} and {kernel.shape}."
        )
    size = [stride * n for n in images.shape[1:3]]
    pads = _pads("conv_transpose2d", size, kernel.shape[:2], stride, padding)
    if padding != "same":
        size = [
            (n - 1) * stride + k - sum(pad) for n, k, pad in zip(images.shape[1:3], kernel.shape[:2], pads, strict=True)
        ]
    return _input_gradient(images, kernel, None, (size[0], size[1]), _Geometry(stride, pads, winograd))


def depthwise_conv2d(images: Array, kernel: Array, *, stride: int = 1, padding: Padding = "same") -> jax.Array:
    """Filter every channel by itself: ``y[n,i,j,c] = sum_{a,b} x[n, s i + a, s j + b, c] k[a,b,c]``.

    A sum of shifted products: XLA's grouped convolution is many times slower on a CPU. All derivatives are JAX's.

    Args:
        images: ``[N, H, W, C]``.
        kernel: ``[kh, kw, C]``.
        stride: step in both directions, at least 1.
        padding: as in `conv2d`.

    Returns:
        ``[N, H', W', C]``.

    Raises:
        ValueError: ranks or channels that do not fit, or an unknown padding.

    >>> depthwise_conv2d(jnp.ones((1, 4, 4, 2)), jnp.ones((3, 3, 2)), padding="valid")[0, 0, 0].tolist()
    [9.0, 9.0]
    """
    if images.ndim != 4 or kernel.ndim != 3 or images.shape[-1] != kernel.shape[2]:
        raise ValueError(
            f"depthwise_conv2d: expected [N, H, W, C] and [kh, kw, C], got {images.shape} and {kernel.shape}."
        )
    pads = _pads("depthwise_conv2d", images.shape[1:3], kernel.shape[:2], stride, padding)
    return jax.lax.platform_dependent(
        images,
        kernel,
        cpu=functools.partial(_shifted_products, stride=stride, pads=pads),
        default=functools.partial(_grouped, stride=stride, pads=pads),
    )


def modulated_conv2d(
    images: Array,
    kernel: Array,
    styles: Array,
    *,
    demodulate: bool = True,
    padding: Padding = "same",
    winograd: bool = True,
) -> jax.Array:
    """Convolve every example with a kernel whose input channels are scaled by its style, and normalize the output channels.

    The images are scaled instead of the kernel, and the results by ``(sum_{a,b,c} (s_c k[a,b,c,o])^2 + 1e-8)^(-1/2)``: one
    convolution for the whole batch, the same numbers.

    Args:
        images: ``[N, H, W, C]``.
        kernel: ``[kh, kw, C, O]``.
        styles: ``[N, C]``.
        demodulate: divide by the norm above.
        padding: as in `conv2d`.
        winograd: as in `conv2d`.

    Returns:
        ``[N, H', W', O]``.

    Raises:
        ValueError: ranks or channels that do not fit, or an unknown padding.

    Reference: Karras et al., Analyzing and Improving the Image Quality of StyleGAN, 2020, section 2.2, eq. 1 and 3.
    """
    if styles.shape != (images.shape[0], images.shape[-1]):
        raise ValueError(f"modulated_conv2d: expected styles [N, C] for {images.shape}, got {styles.shape}.")
    y = conv2d(images * styles[:, None, None, :], kernel, padding=padding, winograd=winograd)
    if not demodulate:
        return y
    norms = (styles**2) @ jnp.sum(kernel**2, axis=(0, 1))
    return y * jax.lax.rsqrt(norms + 1e-8)[:, None, None, :]


def compiler_options() -> dict[str, str | bool]:
    """Return options for `jax.jit` and `compile` with which these convolutions are at their fastest on a CPU; `training.fit` uses them.

    Before jax 0.12, XLA drops optimization barriers ahead of fusion on a CPU, so that what is kept apart here is fused and computed
    several times over; the option keeps them. Empty elsewhere.
    """
    old = jax.__version_info__ < (0, 12)
    return {"xla_disable_hlo_passes": "cse_barrier_expander"} if old and jax.default_backend() == "cpu" else {}


def _pads(name: str, size: Sequence[int], kernel_size: Sequence[int], stride: int, padding: Padding) -> Pads:
    if padding == "valid":
        return ((0, 0), (0, 0))
    if padding == "same":
        totals = [max((-(-n // stride) - 1) * stride + k - n, 0) for n, k in zip(size, kernel_size, strict=True)]
        top, left = totals[0] // 2, totals[1] // 2
        return ((top, totals[0] - top), (left, totals[1] - left))
    if isinstance(padding, str):
        raise ValueError(
            f"{name}: expected padding 'same', 'valid' or ((top, bottom), (left, right)), got {padding!r}."
        )
    (top, bottom), (left, right) = padding
    return ((top, bottom), (left, right))


# The three functions. Each takes its algorithm by shape, and by platform when the program is lowered.


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _convolve(images: Array, kernel: Array, transformed: Any, geometry: _Geometry) -> jax.Array:
    def direct(images, kernel, transformed):
        del transformed
        return _xla(images, kernel, (geometry.stride,) * 2, geometry.pads)

    def fast(images, kernel, transformed):
        return winograd.convolve(images, _transformed(kernel, transformed), geometry.pads)

    def compiled(images, kernel, transformed):
        del transformed
        return native.convolve(images, kernel, *geometry)

    size = [n + sum(pad) - 2 for n, pad in zip(images.shape[1:3], geometry.pads, strict=True)]
    if _native_pays(kernel.shape[2], kernel.shape[3], images.dtype):
        cpu = compiled
    else:
        cpu = fast if _winograd_pays(images, kernel, geometry, size, transformed is not None) else direct
    return _by_platform(cpu, direct, images, kernel, transformed)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _input_gradient(cotangent: Array, kernel: Array, transformed: Any, size: Pair, geometry: _Geometry) -> jax.Array:
    stride, pads, _ = geometry
    back = []
    for axis in (0, 1):
        low = kernel.shape[axis] - 1 - pads[axis][0]
        back.append((low, size[axis] + kernel.shape[axis] - 2 - (cotangent.shape[1 + axis] - 1) * stride - low))

    def direct(cotangent, kernel, transformed):
        """Convolve with the flipped kernel, its channel axes swapped; the cotangent spread by the stride."""
        del transformed
        return _xla(cotangent, _flipped(kernel), (1, 1), back, dilation=(stride, stride))

    def compiled(cotangent, kernel, transformed):
        del transformed
        if geometry.winograd and native.suits_input_gradient(kernel, stride):
            return native.input_gradient(cotangent, kernel, size, stride, pads)
        return native.convolve(cotangent, _flipped(kernel), 1, (back[0], back[1]), geometry.winograd)

    def fast(cotangent, kernel, transformed):
        return winograd.input_gradient(cotangent, _transformed(kernel, transformed), size, pads)

    def phases(cotangent, kernel, transformed):
        del transformed
        return _by_phases(cotangent, kernel, stride, size, pads)

    in_one = stride == 1 or (geometry.winograd and native.suits_input_gradient(kernel, stride))
    if in_one and _native_pays(kernel.shape[3], kernel.shape[2], cotangent.dtype):
        cpu = compiled
    elif _winograd_pays(cotangent, kernel, geometry, cotangent.shape[1:3], transformed is not None):
        cpu = fast
    else:
        cpu = phases if 1 < stride <= min(kernel.shape[:2]) else direct
    return _by_platform(cpu, direct, cotangent, kernel, transformed)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _kernel_gradient(images: Array, cotangent: Array, kernel_size: Pair, geometry: _Geometry) -> jax.Array:
    stride, pads, allowed = geometry

    def direct(images, cotangent):
        spread = [(n - 1) * stride + 1 for n in cotangent.shape[1:3]]
        padding = [
            (pads[a][0], kernel_size[a] - 1 + spread[a] - images.shape[1 + a] - pads[a][0]) for a in (0, 1)
        ]  # just the pixels that a tap meets
        return jax.lax.conv_general_dilated(
            images, cotangent, (1, 1), padding, rhs_dilation=(stride,) * 2, dimension_numbers=_LAYOUT_OF_TAPS
        )

    def fast(images, cotangent):
        return winograd.kernel_gradient(images, cotangent, pads)

    def by_taps(images, cotangent):
        return _by_taps(images, cotangent, kernel_size, stride, pads)

    def compiled(images, cotangent):
        if stride == 1 and cotangent.shape[-1] < native.LEAST:  # the wider side fills the kernel's vectors
            back = [(kernel_size[a] - 1 - pads[a][0], kernel_size[a] - 1 - pads[a][1]) for a in (0, 1)]
            return _flipped(native.kernel_gradient(cotangent, images, kernel_size, 1, (back[0], back[1]), allowed))
        return native.kernel_gradient(images, cotangent, kernel_size, stride, pads, allowed)

    count = cotangent.shape[0] * winograd.tile_count(cotangent.shape[1:3])
    wide = min(images.shape[-1], cotangent.shape[-1]) >= 32
    if native.suits(max(images.shape[-1], cotangent.shape[-1]), images.dtype):
        cpu = compiled
    else:
        cpu = (
            fast
            if allowed and _suits_winograd(images, kernel_size, stride) and wide and _reaches(count, 64)
            else by_taps
        )
    return _by_platform(cpu, direct, images, cotangent)


def _by_platform(cpu: Callable, default: Callable, *operands: Any) -> jax.Array:
    if cpu is default:
        return default(*operands)
    return jax.lax.platform_dependent(*operands, cpu=cpu, default=default)


def _native_pays(inputs: int, outputs: int, dtype: Any) -> bool:
    """Tell whether the compiled convolution has a form for these channels: its vectors hold outputs, or inputs where outputs are few."""
    fills = outputs >= 8 or (outputs <= 4 and inputs % native.LEAST == 0)
    return fills and native.suits(max(inputs, outputs), dtype)


def _transformed(kernel: Array, ready: Array | None) -> jax.Array:
    return jax.lax.optimization_barrier(winograd.transform_kernel(kernel)) if ready is None else ready


def _suits_winograd(images: Array, kernel_size: Sequence[int], stride: int) -> bool:
    return tuple(kernel_size) == (3, 3) and stride == 1 and images.dtype in (jnp.float32, jnp.float64)


def _winograd_pays(images: Array, kernel: Array, geometry: _Geometry, size: Sequence[int], ready: bool) -> bool:
    """Tell whether Winograd's form is faster here: enough tiles to make up for the kernel's transformation, enough channels for that of
    the pixels (measured by benchmarks/convolution.py). XLA's own convolution is half as fast with a batch as for one picture."""
    if not (geometry.winograd and _suits_winograd(images, kernel.shape[:2], geometry.stride)):
        return False
    count = images.shape[0] * winograd.tile_count(size)
    if not _reaches(count, 16 if ready else 64):
        return False
    return min(kernel.shape[2:]) >= (128 if images.shape[0] == 1 else 32)


def _reaches(count: Any, least: int) -> bool:
    """Tell whether `count` reaches `least`; false for a batch of unknown size (`jax.export`)."""
    return not jax.export.is_symbolic_dim(count) and count >= least


def _convolve_forward(images, kernel, transformed, geometry):
    return _convolve(images, kernel, transformed, geometry), (images, kernel, transformed)


def _convolve_backward(geometry, residual, cotangent):
    images, kernel, transformed = residual
    size = (images.shape[1], images.shape[2])
    return (
        _input_gradient(cotangent, kernel, transformed, size, geometry),
        _kernel_gradient(images, cotangent, tuple(kernel.shape[:2]), geometry),
        None,  # the kernel's derivative says it all
    )


def _input_gradient_forward(cotangent, kernel, transformed, size, geometry):
    return _input_gradient(cotangent, kernel, transformed, size, geometry), (cotangent, kernel, transformed)


def _input_gradient_backward(size, geometry, residual, images):
    cotangent, kernel, transformed = residual
    return (
        _convolve(images, kernel, transformed, geometry),
        _kernel_gradient(images, cotangent, tuple(kernel.shape[:2]), geometry),
        None,
    )


def _kernel_gradient_forward(images, cotangent, kernel_size, geometry):
    return _kernel_gradient(images, cotangent, kernel_size, geometry), (images, cotangent)


def _kernel_gradient_backward(kernel_size, geometry, residual, kernel):
    images, cotangent = residual
    size = (images.shape[1], images.shape[2])
    return _input_gradient(cotangent, kernel, None, size, geometry), _convolve(images, kernel, None, geometry)


_convolve.defvjp(_convolve_forward, _convolve_backward)
_input_gradient.defvjp(_input_gradient_forward, _input_gradient_backward)
_kernel_gradient.defvjp(_kernel_gradient_forward, _kernel_gradient_backward)


# Algorithms


def _xla(images, kernel, stride, pads, dilation=(1, 1)):
    if min(pads[0] + pads[1]) < 0:  # on a CPU, jax 0.10.2 then reads beyond the picture: crop beforehand
        rows, columns = ((min(low, 0), min(high, 0)) for low, high in pads)
        images = winograd.pad(images, rows, columns, dilation)
        pads, dilation = tuple((max(low, 0), max(high, 0)) for low, high in pads), (1, 1)
    return jax.lax.conv_general_dilated(
        images,
        kernel,
        stride,
        pads,
        lhs_dilation=dilation,
        dimension_numbers=_LAYOUT,
        precision=jax.lax.Precision.DEFAULT,
    )


def _flipped(kernel: Array) -> jax.Array:
    return jnp.swapaxes(kernel[::-1, ::-1], 2, 3)


@functools.partial(jax.jit, static_argnums=(2, 3, 4))
def _by_phases(cotangent, kernel, stride, size, pads):
    """Compute the ``stride x stride`` phases of the input gradient as channels of one convolution without holes, then shuffle."""
    cotangent = jax.lax.optimization_barrier(cotangent)
    taps = [-(-k // stride) for k in kernel.shape[:2]]
    channels, filters = kernel.shape[2:]
    ends = [stride * t - k for t, k in zip(taps, kernel.shape[:2], strict=True)]
    split = jnp.pad(kernel, ((0, ends[0]), (0, ends[1]), (0, 0), (0, 0)))
    split = split.reshape(taps[0], stride, taps[1], stride, channels, filters).transpose(0, 2, 1, 3, 4, 5)
    split = split.reshape(*taps, stride * stride * channels, filters)
    flipped, around = _flipped(split), ((taps[0] - 1,) * 2, (taps[1] - 1,) * 2)
    if _native_pays(flipped.shape[2], flipped.shape[3], cotangent.dtype):
        y = native.convolve(cotangent, flipped, 1, around, False)
    else:
        y = _xla(cotangent, flipped, (1, 1), around)
    n, high, wide, _ = y.shape
    y = y.reshape(n, high, wide, stride, stride, channels).transpose(0, 1, 3, 2, 4, 5)  # [N, H', s, W', s, C]
    y = y.reshape(n, stride * high, stride * wide, channels)
    back = [(-pads[a][0], size[a] + pads[a][0] - y.shape[1 + a]) for a in (0, 1)]
    return winograd.pad(y, back[0], back[1])


@functools.partial(jax.jit, static_argnums=(2, 3, 4))
def _by_taps(images, cotangent, kernel_size, stride, pads):
    """Multiply, for each tap, the pixels it met with the cotangents they met: ``[C, N H' W'] x [N H' W', O]``."""
    if stride == 1 and cotangent.shape[-1] <= 16 < images.shape[-1]:
        # Shift the narrower of the two, which makes the flipped gradient.
        back = [(k - 1 - pad[0], k - 1 - pad[1]) for k, pad in zip(kernel_size, pads, strict=True)]
        return _flipped(_by_taps(cotangent, images, kernel_size, 1, (back[0], back[1])))
    images, cotangent = jax.lax.optimization_barrier((images, cotangent))
    height, width = cotangent.shape[1:3]
    spans = [(n - 1) * stride + 1 for n in (height, width)]
    rows, columns = ((pads[a][0], kernel_size[a] - 1 + spans[a] - images.shape[1 + a] - pads[a][0]) for a in (0, 1))
    padded = winograd.pad(images, rows, columns)
    channels, errors = images.shape[-1], cotangent.reshape(-1, cotangent.shape[-1])
    if channels <= 16:  # so few that all taps side by side make one product
        gathered = [padded[:, :, b : b + spans[1] : stride] for b in range(kernel_size[1])]
        gathered = jax.lax.optimization_barrier(jnp.concatenate(gathered, -1))
        gathered = [gathered[:, a : a + spans[0] : stride] for a in range(kernel_size[0])]
        gathered = jax.lax.optimization_barrier(jnp.stack(gathered, 3))  # jax 0.12 copies parts to concatenate
        product = (errors.T @ gathered.reshape(errors.shape[0], -1)).T
        return product.reshape(*kernel_size, channels, -1)

    def tap(index, _):  # a loop: the same code for all taps, and one window at a time in memory
        corner = (0, index // kernel_size[1], index % kernel_size[1], 0)
        window = jax.lax.dynamic_slice(padded, corner, (padded.shape[0], *spans, channels))
        return index + 1, window[:, ::stride, ::stride].reshape(-1, channels).T @ errors

    products = jax.lax.scan(tap, 0, length=kernel_size[0] * kernel_size[1])[1]
    return products.reshape(*kernel_size, channels, -1)


def _shifted_products(images, kernel, *, stride, pads):
    padded = jnp.pad(images, ((0, 0), *pads, (0, 0)))
    ends = [n - k + 1 for n, k in zip(padded.shape[1:3], kernel.shape[:2], strict=True)]
    terms = [
        padded[:, a : a + ends[0] : stride, b : b + ends[1] : stride] * kernel[a, b].reshape(1, 1, 1, -1)
        for a in range(kernel.shape[0])
        for b in range(kernel.shape[1])
    ]
    return functools.reduce(jnp.add, terms)


def _grouped(images, kernel, *, stride, pads):
    return jax.lax.conv_general_dilated(
        images,
        kernel[:, :, None, :],
        (stride, stride),
        pads,
        dimension_numbers=_LAYOUT,
        feature_group_count=images.shape[-1],
    )
