// Convolution in float32 for jax.ffi: images [N, H, W, C], kernels [kh, kw, C, O], results [N, H', W', O].
//
// Two forms. The direct one keeps a tile of kPixels results times two vectors of channels in registers while every tap and input
// channel is added to it; its weight gradient keeps a tile of input channels times two vectors of output channels while it walks over the
// pixels. Winograd's, for 3 x 3 kernels of stride 1 and 4 x 4 kernels of stride 2 (2 x 2 for each phase), uses the same register
// tiles for the products at every point of evaluation, on blocks that stay in the second-level cache with what they are made from.
// Every element is summed in one order, however many threads there are.

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

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
inline void Store(float* p, Vector v) { *reinterpret_cast<Vector*>(p) = v; }

// As many lanes as there are channels left: the others are zero, or left alone.
inline Vector LoadSome(const float* p, int64_t count) {
  if (count >= kLanes) return Load(p);
  Vector v{};
  if (count > 0) std::memcpy(&v, p, count * sizeof(float));
  return v;
}
inline void StoreSome(float* p, Vector v, int64_t count) {
  if (count >= kLanes) return Store(p, v);
  if (count > 0) std::memcpy(p, &v, count * sizeof(float));
}

// The least whole number of units, and what they hold together.
inline int64_t Ceiling(int64_t count, int64_t unit) { return count > 0 ? (count + unit - 1) / unit : -(-count / unit); }
inline int64_t Whole(int64_t count, int64_t unit) { return Ceiling(count, unit) * unit; }

// Memory that a thread keeps from call to call, in huge pages where the system has them: the transforms write to dozens of
// places in turn, more than a processor holds ordinary pages of.
class Room {
 public:
  float* Take(int64_t size) {
    if (size > size_) {
      constexpr size_t kPage = size_t{1} << 21;
      size_ = size;
      const size_t bytes = Whole(size * sizeof(float), kPage);
      data_.reset(static_cast<float*>(std::aligned_alloc(kPage, bytes)));
#if defined(__linux__)
      madvise(data_.get(), bytes, MADV_HUGEPAGE);
#endif
    }
    return data_.get();
  }

 private:
  struct Free {
    void operator()(float* p) const { std::free(p); }
  };
  std::unique_ptr<float, Free> data_;
  int64_t size_ = 0;
};

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

// --- The direct form -------------------------------------------------------------------------------------------------------------

struct Shape {
  int64_t n, h, w, c, kh, kw, o, oh, ow, stride, top, left;
};

// y[p, :] = sum_a sum_t rows[a][p * step + t] * weights[a, t, :] for P pixels, or += if `add`, for whole vectors of channels; weights
// are packed [kh, length, V * kLanes].
template <int P, int V>
void Tile(const float* const* rows, int64_t kh, int64_t length, int64_t step, const float* weights, float* y, int64_t y_step,
          int64_t channels, bool add) {
  Vector sum[P][V];
  for (int p = 0; p < P; ++p)
    for (int v = 0; v < V; ++v) sum[p][v] = add ? Load(y + p * y_step + v * kLanes) : Vector{};
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

// Channels that a tile of registers takes of those that are left: one or kVectors whole vectors.
inline int64_t WidthOf(int64_t channels) { return channels > kLanes ? kBlock : kLanes; }

using TileFunction = void (*)(const float* const*, int64_t, int64_t, int64_t, const float*, float*, int64_t, int64_t, bool);

template <int... P>
TileFunction FindTile(int64_t pixels, int64_t width, std::integer_sequence<int, P...>) {
  static constexpr TileFunction narrow[] = {Tile<P + 1, 1>...}, wide[] = {Tile<P + 1, kVectors>...};
  return (width == kBlock ? wide : narrow)[pixels - 1];
}
inline TileFunction FindTile(int64_t pixels, int64_t width) {
  return FindTile(pixels, width, std::make_integer_sequence<int, kPixels>{});
}

// Splits `count` into the fewest parts of at most `most`, as even as possible.
inline int64_t Part(int64_t count, int64_t most) {
  return Ceiling(count, Ceiling(count, most));
}

// Copies block `block` of kBlock output channels to packed[kh, kw, C, WidthOf(those left)], filled up with zeros.
void Pack(const Shape& s, const float* kernel, float* packed, int64_t block) {
  const int64_t taps = s.kh * s.kw * s.c, first = block * kBlock, left = s.o - first, width = WidthOf(left);
  float* to = packed + block * taps * kBlock;
  for (int64_t t = 0; t < taps; ++t, to += width)
    for (int64_t o = 0; o < width; o += kLanes) Store(to + o, LoadSome(kernel + t * s.o + first + o, left - o));
}

// Computes rows [begin, end) of picture n in blocks [first, last) of channels.
void Rows(const Shape& s, const float* images, const float* packed, float* y, int64_t n, int64_t begin, int64_t end, int64_t first,
          int64_t last, std::vector<float>& patch) {
  const int64_t length = s.kw * s.c, step = s.stride * s.c, most = Part(s.ow, kPixels);
  const int64_t patch_length = ((most - 1) * s.stride + s.kw) * s.c;
  const float* image = images + n * s.h * s.w * s.c;
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
      float* to = y + ((n * s.oh + i) * s.ow + j) * s.o;
      for (int64_t block = first; block < last; ++block) {
        const int64_t channels = s.o - block * kBlock;
        FindTile(pixels, WidthOf(channels))(rows.data(), s.kh, length, step, packed + block * s.kh * length * kBlock,
                                            to + block * kBlock, s.o, channels, false);
      }
    }
  }
}

void Direct(ffi::ThreadPool& pool, const Shape& s, const float* images, const float* kernel, float* result) {
  const int64_t blocks = Ceiling(s.o, kBlock), size = s.kh * s.kw * s.c * kBlock;
  std::unique_ptr<float[]> packed(new float[blocks * size]);
  Parallel(pool, blocks, [&](int64_t block) { Pack(s, kernel, packed.get(), block); });
  // Weights that fit the first-level cache are used together, others block by block.
  const int64_t together = std::clamp<int64_t>((1 << 13) / std::max<int64_t>(1, size), 1, std::max<int64_t>(1, blocks));
  const int64_t sets = Ceiling(blocks, together);
  // Rows of a task: their input in about half a megabyte, and at least four tasks a thread.
  int64_t rows = std::max<int64_t>(1, (1 << 17) / std::max<int64_t>(1, s.stride * s.w * s.c));
  rows = std::min(rows, std::max<int64_t>(1, s.n * s.oh * sets / (4 * std::max<int64_t>(1, pool.num_threads()))));
  const int64_t chunks = Ceiling(s.oh, rows);
  const int64_t most = Part(std::max<int64_t>(s.ow, 1), kPixels);
  Parallel(pool, s.n * chunks * sets, [&](int64_t task) {
    static thread_local std::vector<float> patch;
    patch.resize(s.kh * ((most - 1) * s.stride + s.kw) * s.c);
    const int64_t first = task % sets * together, chunk = task / sets % chunks, n = task / sets / chunks;
    Rows(s, images, packed.get(), result, n, chunk * rows, std::min(s.oh, (chunk + 1) * rows), first,
         std::min(blocks, first + together), patch);
  });
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
  for (int r = 0; r < R; ++r)
    for (int v = 0; v < V; ++v) {
      float* to = out + r * out_step + v * kLanes;
      const int64_t left = channels - v * kLanes;
      StoreSome(to, LoadSome(to, left) + sum[r][v], left);
    }
}

using GradientFunction = void (*)(const float*, int64_t, int64_t, const float*, int64_t, int64_t, int64_t, int64_t, float*,
                                  int64_t, int64_t);

template <int... R>
GradientFunction FindGradient(int64_t channels, int64_t width, std::integer_sequence<int, R...>) {
  static constexpr GradientFunction narrow[] = {GradientTile<R + 1, 1>...}, wide[] = {GradientTile<R + 1, kVectors>...};
  return (width == kBlock ? wide : narrow)[channels - 1];
}
inline GradientFunction FindGradient(int64_t channels, int64_t width) {
  return FindGradient(channels, width, std::make_integer_sequence<int, kPixels>{});
}

// The range of results whose tap `tap` falls on a pixel: from <= i < until.
std::pair<int64_t, int64_t> Met(int64_t tap, int64_t before, int64_t stride, int64_t size, int64_t results) {
  const int64_t shift = before - tap;
  const int64_t from = std::max<int64_t>(0, Ceiling(shift, stride));
  const int64_t last = size - 1 + shift;
  return {from, last < 0 ? 0 : std::min(results, last / stride + 1)};
}


void DirectGradient(ffi::ThreadPool& pool, const Shape& s, const float* images, const float* errors, float* whole) {
  const int64_t size = s.kh * s.kw * s.c * s.o;
  // Errors are read in whole vectors: where the channels do not fill them, a copy does.
  const int64_t wide = s.o / kBlock * kBlock + (s.o % kBlock ? WidthOf(s.o % kBlock) : 0);
  std::unique_ptr<float[]> padded;
  const float* error = errors;
  if (wide != s.o) {
    padded.reset(new float[s.n * s.oh * s.ow * wide]());
    Parallel(pool, s.n * s.oh, [&](int64_t row) {
      for (int64_t j = row * s.ow; j < (row + 1) * s.ow; ++j)
        std::memcpy(padded.get() + j * wide, errors + j * s.o, s.o * sizeof(float));
    });
    error = padded.get();
  }
  // A unit is a row of taps times a group of neighbouring (tap, channel) pairs; units are disjoint in the result.
  const int64_t length = s.kw * s.c, most = Part(length, kPixels), groups = Ceiling(length, most), units = s.kh * groups;
  const int64_t rows = std::max<int64_t>(1, (1 << 16) / std::max<int64_t>(1, s.w * s.stride * s.c + s.ow * wide));
  // With few units the rows are divided instead, into a fixed number of parts whose sums are added in order.
  const int64_t bands = Ceiling(s.oh, rows), parts = units < 16 ? std::min<int64_t>(16, s.n * bands) : 1;
  const int64_t shares = parts > 1 ? 1 : std::min(units, 4 * std::max<int64_t>(1, pool.num_threads()));
  std::unique_ptr<float[]> sums(parts > 1 ? new float[parts * size]() : nullptr);
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
          const float* from = images +
                              ((n * s.h + i0 * s.stride + a - s.top) * s.w + j0 * s.stride - s.left) * s.c + t0;
          for (int64_t o = 0; o < s.o; o += kBlock)
            FindGradient(t1 - t0, WidthOf(s.o - o))(
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
}


// --- Winograd's form -------------------------------------------------------------------------------------------------------------

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

constexpr int kOut = 4;        // results of a tile along each axis
constexpr int64_t kLeast = 16;  // channels on either side from which the transforms pay

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

// Swaps rows and columns of kLanes vectors, block by block of growing size.
inline void Transpose(Vector* m) {
  typedef int32_t Index __attribute__((vector_size(kLanes * 4)));
#pragma GCC unroll 4
  for (int size = 1; size < kLanes; size *= 2) {
    Index low, high;
#pragma GCC unroll 16
    for (int l = 0; l < kLanes; ++l) {
      low[l] = l & size ? kLanes + (l ^ size) : l;
      high[l] = l & size ? kLanes + l : l ^ size;
    }
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) {
      if (i & size) continue;
      const Vector a = m[i], b = m[i + size];
      m[i] = __builtin_shuffle(a, b, low);
      m[i + size] = __builtin_shuffle(a, b, high);
    }
  }
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
void Winograd(ffi::ThreadPool& pool, const Shape& s, const Plane& from, const Plane& to, const float* kernel, bool back) {
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
void WinogradGradient(ffi::ThreadPool& pool, const Shape& s, const Plane& images, const Plane& errors, float* result) {
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

// --- What JAX calls ---------------------------------------------------------------------------------------------------------------

Shape ShapeOf(ffi::Span<const int64_t> x, ffi::Span<const int64_t> k, ffi::Span<const int64_t> y, int64_t stride, int64_t top, int64_t left) {
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
