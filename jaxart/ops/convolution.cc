// Direct convolution in float32 for jax.ffi: images [N, H, W, C], kernels [kh, kw, C, O], results [N, H', W', O].
//
// A tile of kPixels results times two vectors of channels stays in registers while every tap and input channel is added to it;
// blocks of rows and of channels are chosen so that what a task reads stays in the second-level cache. Borders are met by copying
// the pixels of a tile into a small buffer with zeros around them. The weight gradient keeps a tile of input channels times two
// vectors of output channels while it walks over the pixels. Every element is summed in one order, however many threads there are.

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16, kPixels = 14;
#elif defined(__AVX__)
constexpr int kLanes = 8, kPixels = 6;
#else
constexpr int kLanes = 4, kPixels = 6;
#endif
constexpr int kVectors = 2, kBlock = kLanes * kVectors;

typedef float Vector __attribute__((vector_size(kLanes * 4), aligned(4)));

inline Vector Load(const float* p) { return *reinterpret_cast<const Vector*>(p); }

// Runs task(0) ... task(count - 1) on the pool and on the calling thread; returns when all are done.
template <typename Task>
void Parallel(ffi::ThreadPool& pool, int64_t count, const Task& task) {
  struct Shared {
    std::atomic<int64_t> next{0};
    std::mutex mutex;
    std::condition_variable done;
    int64_t finished = 0;
  };
  auto shared = std::make_shared<Shared>();
  const Task* body = &task;
  auto work = [shared, body, count] {
    int64_t mine = 0;
    for (int64_t i; (i = shared->next.fetch_add(1)) < count; ++mine) (*body)(i);
    if (mine == 0) return;
    std::lock_guard<std::mutex> lock(shared->mutex);
    shared->finished += mine;
    if (shared->finished == count) shared->done.notify_all();
  };
  int64_t helpers = std::min<int64_t>(pool.num_threads(), count) - 1;
  for (int64_t i = 0; i < helpers; ++i) pool.Schedule(decltype(work)(work));
  work();
  std::unique_lock<std::mutex> lock(shared->mutex);
  shared->done.wait(lock, [&] { return shared->finished == count; });
}

struct Shape {
  int64_t n, h, w, c, kh, kw, o, oh, ow, stride, top, left;
};

// y[p, :] = sum_a sum_t rows[a][p * step + t] * weights[a, t, :] for P pixels; weights are packed [kh, length, V * kLanes].
template <int P, int V>
void Tile(const float* const* rows, int64_t kh, int64_t length, int64_t step, const float* weights, float* y, int64_t y_step,
          int64_t channels) {
  Vector sum[P][V];
  for (int p = 0; p < P; ++p)
    for (int v = 0; v < V; ++v) sum[p][v] = Vector{};
  const float* w = weights;
  for (int64_t a = 0; a < kh; ++a) {
    const float* x = rows[a];
    for (int64_t t = 0; t < length; ++t, w += V * kLanes, ++x) {
      Vector weight[V];
      for (int v = 0; v < V; ++v) weight[v] = Load(w + v * kLanes);
#pragma GCC unroll 16
      for (int p = 0; p < P; ++p)
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) sum[p][v] += x[p * step] * weight[v];
    }
  }
  for (int p = 0; p < P; ++p) {
    float* to = y + p * y_step;
    if (channels >= V * kLanes) {
      for (int v = 0; v < V; ++v) *reinterpret_cast<Vector*>(to + v * kLanes) = sum[p][v];
    } else {
      std::memcpy(to, &sum[p][0], channels * sizeof(float));
    }
  }
}

using TileFunction = void (*)(const float* const*, int64_t, int64_t, int64_t, const float*, float*, int64_t, int64_t);

template <int V, int... P>
TileFunction FindTile(int pixels, std::integer_sequence<int, P...>) {
  static constexpr TileFunction table[] = {Tile<P + 1, V>...};
  return table[pixels - 1];
}

// Splits `count` into the fewest parts of at most `most`, as even as possible.
inline int64_t Part(int64_t count, int64_t most) {
  int64_t parts = (count + most - 1) / most;
  return (count + parts - 1) / parts;
}

void Pack(const Shape& s, const float* kernel, float* packed, int64_t block) {
  int64_t taps = s.kh * s.kw * s.c, first = block * kBlock, width = std::min<int64_t>(kBlock, s.o - first);
  float* to = packed + block * taps * kBlock;
  for (int64_t t = 0; t < taps; ++t, to += kBlock) {
    std::memcpy(to, kernel + t * s.o + first, width * sizeof(float));
    if (width < kBlock) std::memset(to + width, 0, (kBlock - width) * sizeof(float));
  }
}

void Rows(const Shape& s, const float* images, const float* packed, float* y, int64_t n, int64_t begin, int64_t end,
          int64_t block, std::vector<float>& patch) {
  const int64_t length = s.kw * s.c, step = s.stride * s.c, most = Part(s.ow, kPixels);
  const int64_t patch_length = ((most - 1) * s.stride + s.kw) * s.c;
  const float* image = images + n * s.h * s.w * s.c;
  const float* weights = packed + block * s.kh * length * kBlock;
  const int64_t channels = s.o - block * kBlock;
  std::vector<const float*> rows(s.kh);
  for (int64_t i = begin; i < end; ++i) {
    const int64_t top = i * s.stride - s.top;
    for (int64_t j = 0; j < s.ow; j += most) {
      const int64_t pixels = std::min(most, s.ow - j), left = j * s.stride - s.left;
      const int64_t right = left + (pixels - 1) * s.stride + s.kw;
      const bool inside = top >= 0 && top + s.kh <= s.h && left >= 0 && right <= s.w;
      for (int64_t a = 0; a < s.kh; ++a) {
        if (inside) {
          rows[a] = image + ((top + a) * s.w + left) * s.c;
          continue;
        }
        float* to = patch.data() + a * patch_length;
        std::fill(to, to + patch_length, 0.0f);
        const int64_t from = std::max<int64_t>(left, 0), until = std::min(right, s.w);
        if (top + a >= 0 && top + a < s.h && from < until)
          std::memcpy(to + (from - left) * s.c, image + ((top + a) * s.w + from) * s.c, (until - from) * s.c * sizeof(float));
        rows[a] = to;
      }
      float* to = y + ((n * s.oh + i) * s.ow + j) * s.o + block * kBlock;
      FindTile<kVectors>(pixels, std::make_integer_sequence<int, kPixels>{})(rows.data(), s.kh, length, step, weights, to, s.o,
                                                                              channels);
    }
  }
}

ffi::Error Convolve(ffi::ThreadPool pool, ffi::Buffer<ffi::F32> images, ffi::Buffer<ffi::F32> kernel, int64_t stride,
                    int64_t top, int64_t left, ffi::ResultBuffer<ffi::F32> result) {
  auto x = images.dimensions(), k = kernel.dimensions(), y = result->dimensions();
  const Shape s{x[0], x[1], x[2], x[3], k[0], k[1], k[3], y[1], y[2], stride, top, left};
  const int64_t blocks = (s.o + kBlock - 1) / kBlock;
  std::unique_ptr<float[]> packed(new float[blocks * s.kh * s.kw * s.c * kBlock]);
  Parallel(pool, blocks, [&](int64_t block) { Pack(s, kernel.typed_data(), packed.get(), block); });
  // Rows of a task: their input in about half a megabyte, and at least four tasks a thread.
  int64_t rows = std::max<int64_t>(1, (1 << 17) / std::max<int64_t>(1, s.stride * s.w * s.c));
  rows = std::min(rows, std::max<int64_t>(1, s.n * s.oh * blocks / (4 * std::max<int64_t>(1, pool.num_threads()))));
  const int64_t chunks = (s.oh + rows - 1) / rows;
  const int64_t most = Part(std::max<int64_t>(s.ow, 1), kPixels);
  Parallel(pool, s.n * chunks * blocks, [&](int64_t task) {
    static thread_local std::vector<float> patch;
    patch.resize(s.kh * ((most - 1) * s.stride + s.kw) * s.c);
    const int64_t block = task % blocks, chunk = task / blocks % chunks, n = task / blocks / chunks;
    Rows(s, images.typed_data(), packed.get(), result->typed_data(), n, chunk * rows, std::min(s.oh, (chunk + 1) * rows), block,
         patch);
  });
  return ffi::Error::Success();
}

// dk[r, :] += sum over pixels of x[r] * g[:], for R neighbouring input channels and V vectors of output channels.
template <int R, int V>
void GradientTile(const float* x, int64_t x_row, int64_t x_step, const float* g, int64_t g_row, int64_t g_step, int64_t rows,
                  int64_t pixels, float* out, int64_t out_step, int64_t channels) {
  Vector sum[R][V];
  for (int r = 0; r < R; ++r)
    for (int v = 0; v < V; ++v) sum[r][v] = Vector{};
  for (int64_t i = 0; i < rows; ++i) {
    const float* from = x + i * x_row;
    const float* error = g + i * g_row;
    for (int64_t j = 0; j < pixels; ++j, from += x_step, error += g_step) {
      Vector e[V];
      for (int v = 0; v < V; ++v) e[v] = Load(error + v * kLanes);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) sum[r][v] += from[r] * e[v];
    }
  }
  for (int r = 0; r < R; ++r) {
    float* to = out + r * out_step;
    const float* value = reinterpret_cast<const float*>(&sum[r][0]);
    for (int64_t l = 0; l < std::min<int64_t>(channels, V * kLanes); ++l) to[l] += value[l];
  }
}

using GradientFunction = void (*)(const float*, int64_t, int64_t, const float*, int64_t, int64_t, int64_t, int64_t, float*,
                                  int64_t, int64_t);

template <int V, int... R>
GradientFunction FindGradient(int channels, std::integer_sequence<int, R...>) {
  static constexpr GradientFunction table[] = {GradientTile<R + 1, V>...};
  return table[channels - 1];
}

// The range of results whose tap `tap` falls on a pixel: from <= i < until.
std::pair<int64_t, int64_t> Met(int64_t tap, int64_t before, int64_t stride, int64_t size, int64_t results) {
  const int64_t shift = before - tap;
  const int64_t from = shift > 0 ? (shift + stride - 1) / stride : 0;
  const int64_t last = size - 1 + shift;
  return {from, last < 0 ? 0 : std::min(results, last / stride + 1)};
}

ffi::Error KernelGradient(ffi::ThreadPool pool, ffi::Buffer<ffi::F32> images, ffi::Buffer<ffi::F32> errors, int64_t stride,
                          int64_t top, int64_t left, ffi::ResultBuffer<ffi::F32> result) {
  auto x = images.dimensions(), g = errors.dimensions(), k = result->dimensions();
  const Shape s{x[0], x[1], x[2], x[3], k[0], k[1], k[3], g[1], g[2], stride, top, left};
  const int64_t size = s.kh * s.kw * s.c * s.o;
  // Errors are read in whole vectors: where the channels do not fill them, a copy does.
  const int64_t wide = (s.o + kBlock - 1) / kBlock * kBlock;
  std::unique_ptr<float[]> padded;
  const float* error = errors.typed_data();
  if (wide != s.o) {
    padded.reset(new float[s.n * s.oh * s.ow * wide]());
    Parallel(pool, s.n * s.oh, [&](int64_t row) {
      for (int64_t j = row * s.ow; j < (row + 1) * s.ow; ++j)
        std::memcpy(padded.get() + j * wide, errors.typed_data() + j * s.o, s.o * sizeof(float));
    });
    error = padded.get();
  }
  // A unit is a row of taps times a group of neighbouring (tap, channel) pairs; units are disjoint in the result.
  const int64_t length = s.kw * s.c, most = Part(length, kPixels), groups = (length + most - 1) / most, units = s.kh * groups;
  const int64_t rows = std::max<int64_t>(1, (1 << 16) / std::max<int64_t>(1, s.w * s.stride * s.c + s.ow * wide));
  // With few units the rows are divided instead, into a fixed number of parts whose sums are added in order.
  const int64_t bands = (s.oh + rows - 1) / rows, parts = units < 16 ? std::min<int64_t>(16, s.n * bands) : 1;
  const int64_t shares = parts > 1 ? 1 : std::min(units, 4 * std::max<int64_t>(1, pool.num_threads()));
  std::unique_ptr<float[]> sums(parts > 1 ? new float[parts * size]() : nullptr);
  float* whole = result->typed_data();
  std::fill(whole, whole + size, 0.0f);
  const int64_t inner = Met(0, s.left, s.stride, s.w, s.ow).first;  // from here on, until `outer`, every tap meets a pixel
  const int64_t outer = std::max(inner, Met(s.kw - 1, s.left, s.stride, s.w, s.ow).second);
  Parallel(pool, parts * shares, [&](int64_t task) {
    const int64_t part = task / shares, share = task % shares;
    float* out = parts > 1 ? sums.get() + part * size : whole;
    for (int64_t band = s.n * bands * part / parts; band < s.n * bands * (part + 1) / parts; ++band) {
      const int64_t n = band / bands, first = band % bands * rows;
      for (int64_t unit = units * share / shares; unit < units * (share + 1) / shares; ++unit) {
        const int64_t a = unit / groups, begin = unit % groups * most, end = std::min(begin + most, length);
        auto [i0, i1] = Met(a, s.top, s.stride, s.h, s.oh);
        i0 = std::max(i0, first), i1 = std::min(i1, first + rows);
        if (i0 >= i1) continue;
        auto add = [&, i0 = i0, i1 = i1](int64_t j0, int64_t j1, int64_t t0, int64_t t1) {
          if (j0 >= j1 || t0 >= t1) return;
          const float* from = images.typed_data() +
                              ((n * s.h + i0 * s.stride + a - s.top) * s.w + j0 * s.stride - s.left) * s.c + t0;
          for (int64_t o = 0; o < s.o; o += kBlock)
            FindGradient<kVectors>(t1 - t0, std::make_integer_sequence<int, kPixels>{})(
                from, s.stride * s.w * s.c, s.stride * s.c, error + ((n * s.oh + i0) * s.ow + j0) * wide + o, s.ow * wide,
                wide, i1 - i0, j1 - j0, out + (a * length + t0) * s.o + o, s.o, s.o - o);
        };
        add(inner, outer, begin, end);
        for (int64_t b = begin / s.c; b * s.c < end; ++b) {  // at the borders, tap by tap
          auto [j0, j1] = Met(b, s.left, s.stride, s.w, s.ow);
          const int64_t t0 = std::max(begin, b * s.c), t1 = std::min(end, (b + 1) * s.c);
          add(j0, std::min(j1, inner), t0, t1);
          add(std::max(j0, outer), j1, t0, t1);
        }
      }
    }
  });
  for (int64_t part = 0; parts > 1 && part < parts; ++part)
    for (int64_t i = 0; i < size; ++i) whole[i] += sums[part * size + i];
  return ffi::Error::Success();
}

// Both take two arrays and the stride and offsets of the convolution, and give one array.
auto Signature() {
  return ffi::Ffi::Bind()
      .Ctx<ffi::ThreadPool>()
      .Arg<ffi::Buffer<ffi::F32>>()
      .Arg<ffi::Buffer<ffi::F32>>()
      .Attr<int64_t>("stride")
      .Attr<int64_t>("top")
      .Attr<int64_t>("left")
      .Ret<ffi::Buffer<ffi::F32>>();
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(jaxart_convolve, Convolve, Signature());
XLA_FFI_DEFINE_HANDLER_SYMBOL(jaxart_kernel_gradient, KernelGradient, Signature());
