// Winograd's form, for 3 x 3 kernels of stride 1 and 4 x 4 kernels of stride 2, which are 2 x 2 for each phase: pixels and kernel
// are transformed to 36 or 25 points, multiplied there, and transformed back, in blocks that stay in the second-level cache.
#pragma once

#include "common.h"

namespace {

// The transforms at the points 0 (where there is an even number of points), 3/2, -3/2, 2/3, -2/3 and infinity. A row for each but the
// negative ones, which have those of the positive ones with every other sign turned.
template <int kPoints, int kWidth>
struct Table {
  static constexpr int kZero = kPoints % 2 == 0, kRows = 3 + kZero;
  float row[kRows][kWidth];

  __attribute__((always_inline)) Vector Dot(int r, const Vector* x, int64_t x_step, int first, int step) const {
    Vector total{};
#pragma GCC unroll 8
    for (int k = first; k < kWidth; k += step)
      if (row[r][k] != 0) total += row[r][k] * x[k * x_step];
    return total;
  }

  // y [kPoints] = table * x [kWidth]
  __attribute__((always_inline)) void ToPoints(const Vector* x, int64_t x_step, Vector* y) const {
    if (kZero) y[0] = Dot(0, x, x_step, 0, 1);
#pragma GCC unroll 2
    for (int pair = 0; pair < 2; ++pair) {
      const Vector even = Dot(kZero + pair, x, x_step, 0, 2), odd = Dot(kZero + pair, x, x_step, 1, 2);
      y[kZero + 2 * pair] = even + odd;
      y[kZero + 2 * pair + 1] = even - odd;
    }
    y[kPoints - 1] = Dot(kRows - 1, x, x_step, 0, 1);
  }

  // y [kWidth] = table^T * x [kPoints]
  __attribute__((always_inline)) void FromPoints(const Vector* x, int64_t x_step, Vector* y) const {
    Vector sum[2], difference[2];
#pragma GCC unroll 2
    for (int pair = 0; pair < 2; ++pair) {
      const Vector plus = x[(kZero + 2 * pair) * x_step], minus = x[(kZero + 2 * pair + 1) * x_step];
      sum[pair] = plus + minus;
      difference[pair] = plus - minus;
    }
#pragma GCC unroll 8
    for (int k = 0; k < kWidth; ++k) {
      y[k] = row[kZero][k] * (k % 2 ? difference[0] : sum[0]) + row[kZero + 1][k] * (k % 2 ? difference[1] : sum[1]);
      if (kZero && row[0][k] != 0) y[k] += row[0][k] * x[0];
      if (row[kRows - 1][k] != 0) y[k] += row[kRows - 1][k] * x[(kPoints - 1) * x_step];
    }
  }
};

constexpr float kA = 1.5f, kB = 2.0f / 3.0f, kA2 = kA * kA, kB2 = kB * kB;  // kA * kB == 1

// F(4 x 4, 3 x 3)
struct Three {
  static constexpr int kTaps = 3, kIn = 6;
  static constexpr float kNormA = 1 / (2 * kA2 * (kA2 - kB2)), kNormB = 1 / (2 * kB2 * (kB2 - kA2));
  static constexpr Table<6, 6> kPixels{
      {{1, 0, -kA2 - kB2, 0, 1, 0}, {0, -kB, -kB2, kA, 1, 0}, {0, -kA, -kA2, kB, 1, 0}, {0, 1, 0, -kA2 - kB2, 0, 1}}};
  static constexpr Table<6, 4> kResults{{{1, 0, 0, 0}, {1, kA, kA2, kA2 * kA}, {1, kB, kB2, kB2 * kB}, {0, 0, 0, 1}}};
  static constexpr Table<6, 3> kKernel{
      {{1, 0, 0}, {kNormA, kNormA * kA, kNormA * kA2}, {kNormB, kNormB * kB, kNormB * kB2}, {0, 0, 1}}};
};

// F(4 x 4, 2 x 2), without the point 0
struct Two {
  static constexpr int kTaps = 2, kIn = 5;
  static constexpr float kNormA = 1 / (2 * kA * (kA2 - kB2)), kNormB = 1 / (2 * kB * (kB2 - kA2));
  static constexpr Table<5, 5> kPixels{{{-kB, -kB2, kA, 1, 0}, {-kA, -kA2, kB, 1, 0}, {1, 0, -kA2 - kB2, 0, 1}}};
  static constexpr Table<5, 4> kResults{{{1, kA, kA2, kA2 * kA}, {1, kB, kB2, kB2 * kB}, {0, 0, 0, 1}}};
  static constexpr Table<5, 2> kKernel{{{kNormA, kNormA * kA}, {kNormB, kNormB * kB}, {0, 1}}};
};

constexpr int kOut = 4;  // results of a tile along each axis
constexpr int64_t kLeast = 16;  // channels on both sides from which the transforms pay

// One side of a convolution: row i of its grid is, in phase a, row step * i + a - top of the pixels.
struct Plane {
  float* data;
  int64_t h, w, c, step, top, left;
};

struct Tiling {
  int64_t n, high, wide;  // pictures, and tiles of each
  int64_t count() const { return n * high * wide; }
};

Tiling TilesOf(int64_t n, int64_t height, int64_t width) { return {n, Ceiling(height, kOut), Ceiling(width, kOut)}; }

// Transforms a window of kWidth x kWidth pixels of one phase, that of tile `t`, with zeros around the picture: channels
// [first, first + count), followed by zeros up to whole vectors. The points lie `to_step` apart.
template <int kPoints, int kWidth>
__attribute__((always_inline)) inline void PixelsToPoints(const Table<kPoints, kWidth>& table, const Plane& from, int64_t phase,
                                                          const Tiling& tiles, int64_t t, int64_t first, int64_t count, float* to,
                                                          int64_t to_step) {
  const int64_t n = t / (tiles.high * tiles.wide);
  const int64_t row = from.step * kOut * (t / tiles.wide % tiles.high) + phase / from.step - from.top;
  const int64_t column = from.step * kOut * (t % tiles.wide) + phase % from.step - from.left;
  const int64_t reach = from.step * (kWidth - 1), down = from.step * from.w * from.c, right = from.step * from.c;
  const bool inside = row >= 0 && column >= 0 && row + reach < from.h && column + reach < from.w;
  const float* corner = from.data + ((n * from.h + row) * from.w + column) * from.c + first;
  for (int64_t c = 0; c < count; c += kLanes) {
    Vector half[kWidth][kPoints], whole[kPoints];
#pragma GCC unroll 8
    for (int j = 0; j < kWidth; ++j) {
      Vector pixels[kWidth];
      if (inside && count - c >= kLanes) {
#pragma GCC unroll 8
        for (int i = 0; i < kWidth; ++i) pixels[i] = Load(corner + i * down + j * right + c);
      } else {
        for (int i = 0; i < kWidth; ++i) {
          const int64_t y = row + i * from.step, x = column + j * from.step;
          const bool there = y >= 0 && x >= 0 && y < from.h && x < from.w;
          pixels[i] = there ? LoadSome(corner + i * down + j * right + c, count - c) : Vector{};
        }
      }
      table.ToPoints(pixels, 1, half[j]);
    }
#pragma GCC unroll 8
    for (int p = 0; p < kPoints; ++p) {
      table.ToPoints(&half[0][p], kPoints, whole);
#pragma GCC unroll 8
      for (int q = 0; q < kPoints; ++q) Store(to + (p * kPoints + q) * to_step + c, whole[q]);
    }
  }
}

// Lane l of a step of Transpose: of two vectors' lanes in a row, those whose bit `size` is that of the one `upper` tells.
constexpr int Swapped(int l, int size, bool upper) {
  const int from = upper == bool(l & size) ? l : l ^ size;
  return l & size ? kLanes + from : from;
}

template <int size, int... L>
void SwapBlocks(Vector* m, std::integer_sequence<int, L...>) {
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) {
    if (i & size) continue;
    const Vector a = m[i], b = m[i + size];
#if defined(__clang__)
    m[i] = __builtin_shufflevector(a, b, Swapped(L, size, false)...);
    m[i + size] = __builtin_shufflevector(a, b, Swapped(L, size, true)...);
#else
    typedef int32_t Index __attribute__((vector_size(kLanes * 4)));
    m[i] = __builtin_shuffle(a, b, Index{Swapped(L, size, false)...});
    m[i + size] = __builtin_shuffle(a, b, Index{Swapped(L, size, true)...});
#endif
  }
}

// Swaps rows and columns of kLanes vectors, block by block of growing size.
inline void Transpose(Vector* m) {
  constexpr auto lanes = std::make_integer_sequence<int, kLanes>{};
  SwapBlocks<1>(m, lanes);
  SwapBlocks<2>(m, lanes);
  if constexpr (kLanes > 4) SwapBlocks<4 % kLanes>(m, lanes);
  if constexpr (kLanes > 8) SwapBlocks<8 % kLanes>(m, lanes);
}

// Transforms what leads from channels [k0, k0 + count) of one phase to `width` channels from `first` on: to[point][input][width]. With
// `back` the kernel is turned round, and leads from its output channels to its input channels.
template <typename Form>
void KernelToPoints(const Shape& s, const float* kernel, bool back, int64_t phase, int64_t k0, int64_t count, int64_t first,
                    int64_t width, float* to, int64_t to_step) {
  constexpr int kTaps = Form::kTaps;
  for (int64_t k = k0; k < k0 + count; k += kLanes, to += kLanes * width)
    for (int64_t v = 0; v < width; v += kLanes) {
      const int64_t o = first + v;
      Vector taps[kTaps * kTaps][kLanes];
      for (int64_t i = 0; i < kTaps * kTaps; ++i) {
        const int64_t a = s.stride * (i / kTaps) + phase / s.stride, b = s.stride * (i % kTaps) + phase % s.stride;
        const float* tap = kernel + (a * s.kw + b) * s.c * s.o;
        Vector* into = taps[back ? kTaps * kTaps - 1 - i : i];
        for (int64_t r = 0; r < kLanes; ++r) {
          const int64_t c = back ? o + r : k + r;
          into[r] = c < s.c ? LoadSome(tap + c * s.o + (back ? k : o), s.o - (back ? k : o)) : Vector{};
        }
        if (back) Transpose(into);
      }
      for (int64_t r = 0; r < kLanes; ++r) {
        Vector half[kTaps][Form::kIn], whole[Form::kIn];
#pragma GCC unroll 8
        for (int j = 0; j < kTaps; ++j) Form::kKernel.ToPoints(&taps[j][r], kTaps * kLanes, half[j]);
#pragma GCC unroll 8
        for (int p = 0; p < Form::kIn; ++p) {
          Form::kKernel.ToPoints(&half[0][p], Form::kIn, whole);
#pragma GCC unroll 8
          for (int q = 0; q < Form::kIn; ++q) Store(to + (p * Form::kIn + q) * to_step + r * width + v, whole[q]);
        }
      }
    }
}

// Turns the products of tile `t` into its results in channels [first, first + width) of one phase.
template <typename Form>
void PointsToResults(const float* from, int64_t from_step, const Plane& to, int64_t phase, const Tiling& tiles, int64_t t,
                     int64_t first, int64_t width) {
  const int64_t n = t / (tiles.high * tiles.wide);
  const int64_t row = to.step * kOut * (t / tiles.wide % tiles.high) + phase / to.step - to.top;
  const int64_t column = to.step * kOut * (t % tiles.wide) + phase % to.step - to.left;
  for (int64_t v = 0; v < width; v += kLanes) {
    Vector half[Form::kIn][kOut], whole[kOut];
#pragma GCC unroll 8
    for (int q = 0; q < Form::kIn; ++q) {
      Vector points[Form::kIn];
#pragma GCC unroll 8
      for (int p = 0; p < Form::kIn; ++p) points[p] = Load(from + (p * Form::kIn + q) * from_step + v);
      Form::kResults.FromPoints(points, 1, half[q]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < kOut; ++i) {
      Form::kResults.FromPoints(&half[0][i], kOut, whole);
      const int64_t y = row + i * to.step;
      if (y < 0 || y >= to.h) continue;
#pragma GCC unroll 4
      for (int j = 0; j < kOut; ++j) {
        const int64_t x = column + j * to.step;
        if (x < 0 || x >= to.w) continue;
        StoreSome(to.data + ((n * to.h + y) * to.w + x) * to.c + first + v, whole[j], to.c - first - v);
      }
    }
  }
}

constexpr int64_t kChannels = 64;  // that are transformed together

// Convolves `from` into every phase of `to`; with `back` the kernel is turned round.
template <typename Form>
void Winograd(Pool& pool, const Shape& s, const Plane& from, const Plane& to, const float* kernel, bool back) {
  constexpr int64_t kPoints = Form::kIn * Form::kIn;
  const Tiling tiles = TilesOf(s.n, Ceiling(to.h, to.step), Ceiling(to.w, to.step));
  const int64_t sources = from.step * from.step, targets = to.step * to.step;
  const int64_t parts = Ceiling(from.c, kChannels), groups = Ceiling(to.c, kBlock);
  // A task is a chunk of tiles, enough to be worth transforming the kernel for; where there are few, a share of the channels too.
  const int64_t threads = std::max<int64_t>(1, pool.num_threads()), most = 8 * kPixels, least = 3 * kPixels;
  int64_t chunks = Ceiling(tiles.count(), most);
  if (tiles.count() / Whole(chunks, threads) >= least) chunks = Whole(chunks, threads);
  const int64_t shares = std::min(groups, Ceiling(2 * threads, targets * chunks));
  Parallel(pool, targets * chunks * shares, [&](int64_t task) {
    const int64_t share = task % shares, chunk = task / shares % chunks, target = task / shares / chunks;
    const int64_t begin = tiles.count() * chunk / chunks, end = tiles.count() * (chunk + 1) / chunks, size = end - begin;
    if (size == 0) return;
    // The first row and column of the grid that this phase of `to` has in the picture.
    const int64_t row = Ceiling(to.top - target / to.step, to.step), column = Ceiling(to.left - target % to.step, to.step);
    Plane source = from, result = to;
    source.top -= row, source.left -= column, result.top -= to.step * row, result.left -= to.step * column;
    // A cache line more than needed between the points keeps them from falling into the same sets of the cache.
    const int64_t wide = std::min(kChannels, Whole(from.c, kLanes)), group = Part(size, kPixels);
    const int64_t pixel_step = size * wide + 16, kernel_step = wide * kBlock + 16, product_step = size * kBlock + 16;
    static thread_local Room room;
    float* pixels = room.Take(kPoints * (sources * parts * pixel_step + kernel_step + product_step));
    float *weights = pixels + sources * parts * kPoints * pixel_step, *products = weights + kPoints * kernel_step;
    for (int64_t part = 0; part < sources * parts; ++part) {
      const int64_t first = part % parts * kChannels, count = std::min(kChannels, from.c - first);
      for (int64_t t = 0; t < size; ++t)
        PixelsToPoints(Form::kPixels, source, part / parts, tiles, begin + t, first, count,
                       pixels + part * kPoints * pixel_step + t * wide, pixel_step);
    }
    for (int64_t o = groups * share / shares * kBlock; o < groups * (share + 1) / shares * kBlock; o += kBlock) {
      const int64_t width = WidthOf(to.c - o);
      for (int64_t part = 0; part < sources * parts; ++part) {
        const int64_t first = part % parts * kChannels, count = std::min(kChannels, from.c - first);
        KernelToPoints<Form>(s, kernel, back, back ? target : part / parts, first, count, o, width, weights, kernel_step);
        for (int64_t point = 0; point < kPoints; ++point)
          for (int64_t t = 0; t < size; t += group) {
            const float* row = pixels + (part * kPoints + point) * pixel_step + t * wide;
            FindTile(std::min(group, size - t), width)(&row, 1, count, wide, weights + point * kernel_step,
                                                       products + point * product_step + t * width, width, width, part > 0);
          }
      }
      for (int64_t t = 0; t < size; ++t)
        PointsToResults<Form>(products + t * width, product_step, result, target, tiles, begin + t, o, width);
    }
  });
}

// result [kh, kw, C, O] = the weight gradient of `images` and `errors`.
template <typename Form>
void WinogradGradient(Pool& pool, const Shape& s, const Plane& images, const Plane& errors, float* result) {
  constexpr int kTaps = Form::kTaps, kPoints = Form::kIn * Form::kIn;
  constexpr int64_t size = 56;  // tiles that are transformed at a time
  const Tiling tiles = TilesOf(s.n, s.oh, s.ow);
  // A unit is a phase, a block of input and a block of output channels; with few units the tiles are divided instead, into a fixed
  // number of parts whose gradients are added in order.
  const int64_t ins = Ceiling(s.c, kChannels), outs = Ceiling(s.o, kChannels);
  const int64_t units = s.stride * s.stride * ins * outs, whole = s.kh * s.kw * s.c * s.o;
  const int64_t chunks = Ceiling(tiles.count(), size), parts = std::clamp<int64_t>(16 / units, 1, std::max<int64_t>(1, chunks));
  std::unique_ptr<float[]> sums(parts > 1 ? new float[parts * whole] : nullptr);
  Parallel(pool, parts * units, [&](int64_t task) {
    const int64_t part = task / units, unit = task % units, phase = unit / (ins * outs);
    const int64_t c0 = unit / outs % ins * kChannels, o0 = unit % outs * kChannels;
    const int64_t channels = std::min(kChannels, s.c - c0), filters = std::min(kChannels, s.o - o0);
    const int64_t wide = Whole(channels, kLanes), tall = Whole(filters, kLanes), group = Part(channels, kPixels);
    const int64_t image_step = size * wide + 16, error_step = size * tall + 16, sum_step = wide * tall + 16;
    static thread_local Room room;
    float* pixels = room.Take(kPoints * (image_step + error_step + sum_step));
    float *wrongs = pixels + kPoints * image_step, *sum = wrongs + kPoints * error_step;
    std::fill(sum, sum + kPoints * sum_step, 0.0f);
    for (int64_t begin = tiles.count() * part / parts; begin < tiles.count() * (part + 1) / parts; begin += size) {
      const int64_t end = std::min(begin + size, tiles.count() * (part + 1) / parts);
      for (int64_t t = begin; t < end; ++t) {
        PixelsToPoints(Form::kPixels, images, phase, tiles, t, c0, channels, pixels + (t - begin) * wide, image_step);
        PixelsToPoints(Form::kResults, errors, 0, tiles, t, o0, filters, wrongs + (t - begin) * tall, error_step);
      }
      for (int64_t point = 0; point < kPoints; ++point)
        for (int64_t o = 0; o < tall; o += kBlock)
          for (int64_t c = 0; c < channels; c += group)
            FindGradient(std::min(group, channels - c), WidthOf(tall - o))(
                pixels + point * image_step + c, 0, wide, wrongs + point * error_step + o, 0, tall, 1, end - begin,
                sum + point * sum_step + c * tall + o, tall, kBlock);
    }
    float* out = (parts > 1 ? sums.get() + part * whole : result) + o0;
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t o = 0; o < filters; o += kLanes) {
        Vector half[Form::kIn][kTaps], taps[kTaps];
        for (int q = 0; q < Form::kIn; ++q) {
          Vector points[Form::kIn];
          for (int p = 0; p < Form::kIn; ++p) points[p] = Load(sum + (p * Form::kIn + q) * sum_step + c * tall + o);
          Form::kKernel.FromPoints(points, 1, half[q]);
        }
        for (int i = 0; i < kTaps; ++i) {
          Form::kKernel.FromPoints(&half[0][i], kTaps, taps);
          for (int j = 0; j < kTaps; ++j) {
            const int64_t a = s.stride * i + phase / s.stride, b = s.stride * j + phase % s.stride;
            StoreSome(out + ((a * s.kw + b) * s.c + c0 + c) * s.o + o, taps[j], filters - o);
          }
        }
      }
  });
  if (parts == 1) return;
  std::fill(result, result + whole, 0.0f);
  for (int64_t part = 0; part < parts; ++part)
    for (int64_t i = 0; i < whole; ++i) result[i] += sums[part * whole + i];
}

}  // namespace
