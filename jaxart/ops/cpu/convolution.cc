// Convolution in float32 for jax.ffi: images [N, H, W, C], kernels [kh, kw, C, O], results [N, H', W', O]. Every element is summed in one
// order, however many threads there are.

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

using Buffer = ffi::Buffer<ffi::F32>;
using Result = ffi::ResultBuffer<ffi::F32>;

ffi::Error Convolve(ffi::ThreadPool pool, Buffer images, Buffer kernel, int64_t stride, int64_t top, int64_t left, bool winograd,
                    Result result) {
  const Shape s = ShapeOf(images.dimensions(), kernel.dimensions(), result->dimensions(), stride, top, left);
  const Plane from{images.typed_data(), s.h, s.w, s.c, stride, top, left};
  const Plane to{result->typed_data(), s.oh, s.ow, s.o, 1, 0, 0};
  auto run = [&](auto form) { Winograd<decltype(form)>(pool, s, from, to, kernel.typed_data(), false); };
  if (!ByWinograd(s, winograd, run)) Direct(pool, s, images.typed_data(), kernel.typed_data(), result->typed_data());
  return ffi::Error::Success();
}

ffi::Error InputGradient(ffi::ThreadPool pool, Buffer errors, Buffer kernel, int64_t stride, int64_t top, int64_t left, bool winograd,
                         Result result) {
  const Shape s = ShapeOf(result->dimensions(), kernel.dimensions(), errors.dimensions(), stride, top, left);
  const Plane to{result->typed_data(), s.h, s.w, s.c, stride, top, left};
  auto run = [&](auto form) {
    constexpr int64_t reach = decltype(form)::kTaps - 1;
    const Plane from{errors.typed_data(), s.oh, s.ow, s.o, 1, reach, reach};
    Winograd<decltype(form)>(pool, s, from, to, kernel.typed_data(), true);
  };
  if (!ByWinograd(s, winograd, run)) return ffi::Error::InvalidArgument("no form of Winograd's for this shape");
  return ffi::Error::Success();
}

ffi::Error KernelGradient(ffi::ThreadPool pool, Buffer images, Buffer errors, int64_t stride, int64_t top, int64_t left, bool winograd,
                          Result result) {
  const Shape s = ShapeOf(images.dimensions(), result->dimensions(), errors.dimensions(), stride, top, left);
  const Plane pixels{images.typed_data(), s.h, s.w, s.c, stride, top, left};
  const Plane wrong{errors.typed_data(), s.oh, s.ow, s.o, 1, 0, 0};
  auto run = [&](auto form) { WinogradGradient<decltype(form)>(pool, s, pixels, wrong, result->typed_data()); };
  if (!ByWinograd(s, winograd, run)) DirectGradient(pool, s, images.typed_data(), errors.typed_data(), result->typed_data());
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

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(jaxart_convolve, Convolve, Signature());
XLA_FFI_DEFINE_HANDLER_SYMBOL(jaxart_input_gradient, InputGradient, Signature());
XLA_FFI_DEFINE_HANDLER_SYMBOL(jaxart_kernel_gradient, KernelGradient, Signature());
