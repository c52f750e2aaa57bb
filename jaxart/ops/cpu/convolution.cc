// Convolution in float32 for jax.ffi: images [N, H, W, C], kernels [kh, kw, C, O], results [N, H', W', O]. Every element is summed in one
// order, however many threads there are.

#include <cmath>
#include <vector>

#include "direct.h"
#include "winograd.h"

namespace {

Shape ShapeOf(ffi::Span<const int64_t> x, ffi::Span<const int64_t> k, ffi::Span<const int64_t> y, int64_t stride, int64_t top,
              int64_t left) {
  return {x[0], x[1], x[2], x[3], k[0], k[1], k[3], y[1], y[2], stride, top, left};
}

// Calls run(Three{}) or run(Two{}) and tells whether there is such a form for this shape, wide enough to pay.
template <typename Run>
bool ByWinograd(const Shape& s, bool allowed, const Run& run) {
  if (!allowed || s.kh != s.kw || std::min(s.c, s.o) < kLeast) return false;
  if (s.kh == 3 && s.stride == 1) return run(Three{}), true;
  if (s.kh == 4 && s.stride == 2) return run(Two{}), true;
  return false;
}

void Convolve(Pool pool, const Shape& s, float* images, const float* kernel, bool winograd, float* result) {
  const Plane from{images, s.h, s.w, s.c, s.stride, s.top, s.left};
  const Plane to{result, s.oh, s.ow, s.o, 1, 0, 0};
  auto run = [&](auto form) { Winograd<decltype(form)>(pool, s, from, to, kernel, false); };
  if (!ByWinograd(s, winograd, run)) Direct(pool, s, images, kernel, result);
}

// Tells whether there is a form for this shape.
bool InputGradient(Pool pool, const Shape& s, float* errors, const float* kernel, bool winograd, float* result) {
  const Plane to{result, s.h, s.w, s.c, s.stride, s.top, s.left};
  auto run = [&](auto form) {
    constexpr int64_t reach = decltype(form)::kTaps - 1;
    const Plane from{errors, s.oh, s.ow, s.o, 1, reach, reach};
    Winograd<decltype(form)>(pool, s, from, to, kernel, true);
  };
  return ByWinograd(s, winograd, run);
}

void KernelGradient(Pool pool, const Shape& s, float* images, float* errors, bool winograd, float* result) {
  const Plane pixels{images, s.h, s.w, s.c, s.stride, s.top, s.left};
  const Plane wrong{errors, s.oh, s.ow, s.o, 1, 0, 0};
  auto run = [&](auto form) { WinogradGradient<decltype(form)>(pool, s, pixels, wrong, result); };
  if (!ByWinograd(s, winograd, run)) DirectGradient(pool, s, images, errors, result);
}

using Buffer = ffi::Buffer<ffi::F32>;
using Result = ffi::ResultBuffer<ffi::F32>;

ffi::Error CallConvolve(ffi::ThreadPool pool, Buffer images, Buffer kernel, int64_t stride, int64_t top, int64_t left, bool winograd,
                        Result result) {
  const Shape s = ShapeOf(images.dimensions(), kernel.dimensions(), result->dimensions(), stride, top, left);
  Convolve(Pool(pool), s, images.typed_data(), kernel.typed_data(), winograd, result->typed_data());
  return ffi::Error::Success();
}

ffi::Error CallInputGradient(ffi::ThreadPool pool, Buffer errors, Buffer kernel, int64_t stride, int64_t top, int64_t left,
                             bool winograd, Result result) {
  const Shape s = ShapeOf(result->dimensions(), kernel.dimensions(), errors.dimensions(), stride, top, left);
  if (!InputGradient(Pool(pool), s, errors.typed_data(), kernel.typed_data(), winograd, result->typed_data()))
    return ffi::Error::InvalidArgument("no form of Winograd's for this shape");
  return ffi::Error::Success();
}

ffi::Error CallKernelGradient(ffi::ThreadPool pool, Buffer images, Buffer errors, int64_t stride, int64_t top, int64_t left,
                              bool winograd, Result result) {
  const Shape s = ShapeOf(images.dimensions(), result->dimensions(), errors.dimensions(), stride, top, left);
  KernelGradient(Pool(pool), s, images.typed_data(), errors.typed_data(), winograd, result->typed_data());
  return ffi::Error::Success();
}

// All take two arrays and the geometry of the convolution, and give one array.
auto Signature() {
  return ffi::Ffi::Bind()
      .Ctx<ffi::ThreadPool>()
      .Arg<ffi::Buffer<ffi::F32>>()
      .Arg<ffi::Buffer<ffi::F32>>()
      .Attr<int64_t>("stride")
      .Attr<int64_t>("top")
      .Attr<int64_t>("left")
      .Attr<bool>("winograd")
      .Ret<ffi::Buffer<ffi::F32>>();
}

// What the three functions compute, term by term: each pairs pixel x, tap k and result y.
template <typename Pair>
void EachPair(const Shape& s, const Pair& pair) {
  for (int64_t n = 0; n < s.n; ++n)
    for (int64_t i = 0; i < s.oh; ++i)
      for (int64_t j = 0; j < s.ow; ++j)
        for (int64_t a = 0; a < s.kh; ++a)
          for (int64_t b = 0; b < s.kw; ++b) {
            const int64_t row = i * s.stride + a - s.top, column = j * s.stride + b - s.left;
            if (row < 0 || row >= s.h || column < 0 || column >= s.w) continue;
            for (int64_t c = 0; c < s.c; ++c)
              for (int64_t o = 0; o < s.o; ++o)
                pair(((n * s.h + row) * s.w + column) * s.c + c, ((a * s.kw + b) * s.c + c) * s.o + o,
                     ((n * s.oh + i) * s.ow + j) * s.o + o);
          }
}

std::vector<float> Numbers(int64_t size, uint32_t seed) {
  std::vector<float> numbers(size);
  for (float& each : numbers) each = static_cast<float>((seed = seed * 1664525u + 1013904223u) >> 8) / (1 << 23) - 1;
  return numbers;
}

bool Near(const std::vector<float>& found, const std::vector<double>& expected) {
  double most = 0, apart = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    most = std::max(most, std::abs(expected[i]));
    if (!(std::abs(found[i] - expected[i]) <= apart)) apart = std::abs(found[i] - expected[i]);
  }
  return apart <= 1e-4 * most;
}

bool Right(const Shape& s) {
  std::vector<float> x = Numbers(s.n * s.h * s.w * s.c, 1), k = Numbers(s.kh * s.kw * s.c * s.o, 2);
  std::vector<float> g = Numbers(s.n * s.oh * s.ow * s.o, 3);
  std::vector<double> y(g.size()), dx(x.size()), dk(k.size());
  EachPair(s, [&](int64_t p, int64_t t, int64_t q) {
    y[q] += double{x[p]} * k[t];
    dx[p] += double{k[t]} * g[q];
    dk[t] += double{x[p]} * g[q];
  });
  std::vector<float> found(y.size()), back(x.size()), taps(k.size());
  Convolve(Pool(), s, x.data(), k.data(), true, found.data());
  KernelGradient(Pool(), s, x.data(), g.data(), true, taps.data());
  const bool both = InputGradient(Pool(), s, g.data(), k.data(), true, back.data());
  return Near(found, y) && Near(taps, dk) && (!both || Near(back, dx));
}

}  // namespace

// Returns 0 if all forms compute what they should on this processor. Called in a process of its own, which may die of it.
extern "C" int jaxart_self_test() {
  const Shape shapes[] = {
      {2, 9, 11, 3, 3, 3, 40, 9, 11, 1, 1, 1},
      {1, 13, 8, 5, 5, 4, 17, 6, 4, 2, 1, 2},
      {2, 10, 13, 20, 3, 3, 24, 10, 13, 1, 1, 1},
      {1, 12, 14, 16, 4, 4, 33, 6, 7, 2, 1, 1},
      {1, 9, 15, 32, 3, 3, 3, 9, 15, 1, 1, 1},
  };
  for (const Shape& shape : shapes)
    if (!Right(shape)) return 1;
  return 0;
}

XLA_FFI_DEFINE_HANDLER_SYMBOL(jaxart_convolve, CallConvolve, Signature());
XLA_FFI_DEFINE_HANDLER_SYMBOL(jaxart_input_gradient, CallInputGradient, Signature());
XLA_FFI_DEFINE_HANDLER_SYMBOL(jaxart_kernel_gradient, CallKernelGradient, Signature());
