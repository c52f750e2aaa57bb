"""Adversarial losses and penalties against NumPy and JAX's own convolution; terms of the evidence bound against SciPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxart import losses, models, ops
from jaxart.models import blocks

pytestmark = pytest.mark.usefixtures("strict")
KEY = jax.random.key(0)
NAMES = ("NON_SATURATING", "SATURATING", "HINGE", "LEAST_SQUARES", "WASSERSTEIN_CRITIC", "RELATIVISTIC")
ALL = {name: getattr(losses, name) for name in NAMES}


def sp(x):
    return np.logaddexp(0, x)


def log_sigmoid(x):
    return -sp(-x)


NUMPY = {  # discriminator and generator, of real r and fake f
    "NON_SATURATING": (lambda r, f: -log_sigmoid(r) - np.log(1 - 1 / (1 + np.exp(-f))), lambda r, f: -log_sigmoid(f)),
    "SATURATING": (lambda r, f: -log_sigmoid(r) - log_sigmoid(-f), lambda r, f: np.log(1 - 1 / (1 + np.exp(-f)))),
    "HINGE": (lambda r, f: np.maximum(0, 1 - r) + np.maximum(0, 1 + f), lambda r, f: -f),
    "LEAST_SQUARES": (lambda r, f: (r - 1) ** 2 + f**2, lambda r, f: (f - 1) ** 2),
    "WASSERSTEIN_CRITIC": (lambda r, f: f - r, lambda r, f: -f),
    "RELATIVISTIC": (lambda r, f: sp(-(r - f)), lambda r, f: sp(-(f - r))),
}


@pytest.mark.parametrize("name", NAMES)
def test_losses_equal_numpy(name, rng):
    real, fake = rng.standard_normal((2, 7)).astype(np.float32) * 3
    for mine, expected in zip(ALL[name][:2], NUMPY[name], strict=True):
        got = mine(jnp.asarray(real), jnp.asarray(fake))
        assert got.shape == (7,)
        np.testing.assert_allclose(
            got, expected(real.astype(np.float64), fake.astype(np.float64)), rtol=1e-4, atol=1e-6
        )


@pytest.mark.parametrize("name", NAMES)
def test_losses_and_their_gradients_are_finite_everywhere_and_point_the_right_way(name):
    logits = jnp.float32([-1e4, -100, -1, 0, 1, 100, 1e4])
    real, fake = (each.reshape(-1) for each in jnp.meshgrid(logits, logits))
    for side, loss in zip(("discriminator", "generator"), ALL[name][:2], strict=True):
        slopes = jax.grad(lambda r, f, loss=loss: jnp.sum(loss(r, f)), (0, 1))(real, fake)
        assert all(bool(jnp.all(jnp.isfinite(each))) for each in (loss(real, fake), *slopes))
        if name != "LEAST_SQUARES":  # it alone pulls back beyond its targets
            sign = 1 if side == "discriminator" else -1
            assert float(jnp.max(sign * slopes[0])) <= 0 <= float(jnp.min(sign * slopes[1]))
            assert float(jnp.max(sign * slopes[1])) > 0


def test_only_the_paired_loss_looks_at_reals_in_the_generator():
    fake = jnp.float32([0.3, -2])
    for name, loss in ALL.items():
        changed = float(jnp.max(jnp.abs(loss.generator(fake, fake) - loss.generator(fake + 1, fake)))) > 1e-3
        assert changed == loss.paired == (name == "RELATIVISTIC")


def test_the_relativistic_loss_ignores_a_constant_and_non_saturating_does_not_fade():
    real, fake = jnp.float32([1.0, 2]), jnp.float32([-1.0, 0])
    np.testing.assert_allclose(
        losses.RELATIVISTIC.discriminator(real + 5, fake + 5), losses.RELATIVISTIC.discriminator(real, fake), rtol=1e-5
    )
    fades, stays = (
        jax.grad(lambda f, loss=loss: loss.generator(f, f)[0])(jnp.float32([-20.0]))
        for loss in (losses.SATURATING, losses.NON_SATURATING)
    )
    assert abs(float(fades[0])) < 1e-6
    assert abs(float(stays[0])) > 0.99


# Penalties


def linear(weights):
    return lambda x: jnp.sum(x * weights[None], axis=(1, 2, 3))


def test_penalties_of_a_linear_network_have_closed_forms(rng):
    weights = jnp.asarray(rng.standard_normal((4, 4, 2)), jnp.float32)
    real, fake = (jnp.asarray(rng.standard_normal((3, 4, 4, 2)), jnp.float32) for _ in range(2))
    square = float(jnp.sum(weights**2))
    np.testing.assert_allclose(losses.gradient_norm_penalty(linear(weights), real), [square] * 3, rtol=1e-5)
    got = losses.gradient_penalty(linear(weights), real, fake, jnp.float32([0, 0.5, 1]))
    np.testing.assert_allclose(got, [(square**0.5 - 1) ** 2] * 3, rtol=1e-5)


def test_the_mixture_lies_between_real_and_fake(rng):
    """For D = sum x^2 / 2 the slope is |x| itself."""
    real, fake = (jnp.asarray(rng.standard_normal((3, 5)), jnp.float32) for _ in range(2))
    got = losses.gradient_penalty(lambda x: jnp.sum(x**2, axis=1) / 2, real, fake, jnp.float32([0, 0.25, 1]))
    between = np.stack([fake[0], 0.25 * real[1] + 0.75 * fake[1], real[2]])
    np.testing.assert_allclose(got, (np.linalg.norm(between, axis=1) - 1) ** 2, rtol=1e-4)


@pytest.mark.parametrize("penalty", ["norm", "mixture"])
def test_a_flat_network_has_a_finite_gradient(penalty):
    x = jnp.ones((2, 4, 4, 2))

    def loss(weights):
        if penalty == "norm":
            return jnp.sum(losses.gradient_norm_penalty(linear(weights), x))
        return jnp.sum(losses.gradient_penalty(linear(weights), x, -x, jnp.float32([0.5, 0.5])))

    value, gradient = jax.value_and_grad(loss)(jnp.zeros((4, 4, 2)))
    np.testing.assert_allclose(value, 0 if penalty == "norm" else 2, atol=1e-5)
    assert bool(jnp.all(jnp.isfinite(gradient)))


def small_network(convolve, kernels, x):
    for kernel, stride in zip(kernels, (1, 2), strict=True):
        x = jnp.sin(convolve(x, kernel, stride))
    return jnp.sum(x, axis=(1, 2, 3))


def of_xla(x, kernel, stride):
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        (((kernel.shape[0] - 1) // 2,) * 2,) * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def ours(x, kernel, stride):
    return ops.conv2d(x, kernel, stride=stride, padding=((1, 1), (1, 1)))


def test_second_derivatives_through_our_convolution_equal_those_through_xla(rng):
    kernels = [jnp.asarray(rng.standard_normal(s) * 0.3, jnp.float32) for s in ((3, 3, 2, 3), (4, 4, 3, 2))]
    real, fake = (jnp.asarray(rng.standard_normal((2, 6, 6, 2)), jnp.float32) for _ in range(2))
    mix = jnp.float32([0.3, 0.8])

    def both(convolve):
        def loss(kernels):
            apply = functools.partial(small_network, convolve, kernels)
            squares = losses.gradient_norm_penalty(apply, real)
            return jnp.sum(squares) + jnp.sum(losses.gradient_penalty(apply, real, fake, mix))

        return jax.value_and_grad(loss)(kernels)

    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4), both(ours), both(of_xla))


@pytest.mark.parametrize("network", [models.DCGANDiscriminator(width=2), models.SNGANDiscriminator(width=2)])
def test_the_gradient_of_a_networks_penalty_is_that_with_xlas_convolution(network, rng, monkeypatch):
    x = jnp.asarray(rng.standard_normal((2, 8, 8, 1)), jnp.float32)
    variables = jax.jit(network.init)(KEY, x)

    def penalty(params):
        apply = functools.partial(network.apply, {**variables, "params": params})
        return jnp.sum(losses.gradient_norm_penalty(apply, x))

    got = jax.jit(jax.grad(penalty))(variables["params"])
    replaced = []

    def conv2d(x, kernel, *, stride=1, padding=None):
        replaced.append(padding)
        return of_xla(x, kernel, stride)

    monkeypatch.setattr(blocks, "conv2d", conv2d)
    expected = jax.jit(jax.grad(lambda params: penalty(params)))(variables["params"])
    assert replaced
    scale = max(float(jnp.max(jnp.abs(leaf))) for leaf in jax.tree.leaves(expected))
    assert scale > 1e-3
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-5 * scale), got, expected)


# The evidence bound


def test_divergence_equals_an_integral_and_is_zero_at_the_prior(rng):
    mean, log_variance = rng.standard_normal((2, 3, 4)).astype(np.float32)
    got = losses.kl_to_standard_normal(jnp.asarray(mean), jnp.asarray(log_variance))
    grid = np.linspace(-25, 25, 200_001)
    q = stats.norm(mean[..., None], np.exp(log_variance / 2)[..., None])
    integrand = q.pdf(grid) * (q.logpdf(grid) - stats.norm.logpdf(grid))
    np.testing.assert_allclose(got, np.trapezoid(integrand, grid).sum(-1), rtol=1e-4)
    zero = jnp.zeros((2, 3))
    np.testing.assert_array_equal(losses.kl_to_standard_normal(zero, zero), [0, 0])
    tiny = losses.kl_to_standard_normal(zero, zero + 1e-3)  # (e^l - 1 - l) / 2, about l^2 / 4
    np.testing.assert_allclose(tiny, [3 * 2.500833e-7] * 2, rtol=1e-3)


def test_gaussian_log_likelihood_equals_scipy(rng):
    x, mean = rng.standard_normal((2, 3, 4, 4, 2)).astype(np.float32)
    for log_variance in (np.float32(-0.7), rng.standard_normal((1, 1, 1, 2)).astype(np.float32)):
        got = losses.gaussian_log_likelihood(jnp.asarray(x), jnp.asarray(mean), jnp.asarray(log_variance))
        expected = stats.norm.logpdf(x, mean, np.exp(log_variance / 2)).sum((1, 2, 3))
        np.testing.assert_allclose(got, expected, rtol=1e-5)
    plain = losses.gaussian_log_likelihood(jnp.asarray(x), jnp.asarray(mean), 0.0)
    np.testing.assert_allclose(plain, stats.norm.logpdf(x, mean).sum((1, 2, 3)), rtol=1e-5)


def test_bernoulli_log_likelihood_equals_scipy_and_is_finite_far_out(rng):
    x = (rng.random((3, 5)) < 0.5).astype(np.float32)
    logits = rng.standard_normal((3, 5)).astype(np.float32) * 4
    got = losses.bernoulli_log_likelihood(jnp.asarray(x), jnp.asarray(logits))
    expected = stats.bernoulli.logpmf(x, 1 / (1 + np.exp(-logits.astype(np.float64)))).sum(1)
    np.testing.assert_allclose(got, expected, rtol=1e-4)
    far = jnp.float32([[1e4, -1e4]])
    value, slope = jax.value_and_grad(lambda x: losses.bernoulli_log_likelihood(jnp.float32([[0, 0]]), x)[0])(far)
    np.testing.assert_allclose(value, -1e4)
    np.testing.assert_array_equal(slope, [[-1, 0]])


# Logits of patches


@pytest.mark.parametrize("name", NAMES)
def test_losses_of_patches_are_their_mean_per_example(name, rng):
    real, fake = (jnp.asarray(rng.standard_normal((3, 4, 5, 1)), jnp.float32) for _ in range(2))
    for loss in ALL[name][:2]:
        got = loss(real, fake)
        assert got.shape == (3,)
        alone = loss(real.reshape(-1), fake.reshape(-1)).reshape(3, -1).mean(1)
        np.testing.assert_allclose(got, alone, rtol=1e-5, atol=1e-6)


def test_in_penalties_the_logit_of_patches_is_their_mean(rng):
    real, fake = (jnp.asarray(rng.standard_normal((3, 4, 4, 2)), jnp.float32) for _ in range(2))
    mix = jnp.float32([0.1, 0.5, 0.9])

    def patches(x):
        return jnp.sin(x).sum(-1, keepdims=True)  # [B, 4, 4, 1]

    def whole(x):
        return patches(x).mean((1, 2, 3))  # [B]

    for penalty, inputs in ((losses.gradient_norm_penalty, (real,)), (losses.gradient_penalty, (real, fake, mix))):
        got = penalty(patches, *inputs)
        assert got.shape == (3,)
        np.testing.assert_allclose(got, penalty(whole, *inputs), rtol=1e-5)
    expected = np.sum((np.cos(real) / 16) ** 2, (1, 2, 3))
    np.testing.assert_allclose(losses.gradient_norm_penalty(patches, real), expected, rtol=1e-4)


def test_interleaved_batches_come_apart_again(rng):
    first, second = (jnp.asarray(rng.standard_normal((3, 4, 5)), jnp.float32) for _ in range(2))
    both = losses.interleave(first, second)
    np.testing.assert_array_equal(both[2:4], jnp.stack([first[1], second[1]]))
    for mine, expected in zip(losses.deinterleave(both), (first, second), strict=True):
        np.testing.assert_array_equal(mine, expected)
