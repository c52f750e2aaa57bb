// What both forms of convolution stand on: vectors, threads, and the tiles of registers that multiply.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
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

// XLA's threads beside the calling one; none in the self-test. XLA has one at least for each device: with several devices simulated on
// one CPU that is more than it has cores, and what is divided among them is divided for nothing.
class Pool {
 public:
  Pool() = default;
  explicit Pool(ffi::ThreadPool& threads) : threads_(&threads) {}
  int64_t num_threads() const {
    static const int64_t cores = std::max<int64_t>(1, std::thread::hardware_concurrency());
    return threads_ ? std::min<int64_t>(threads_->num_threads(), cores) : 1;
  }
  template <typename Work>
  void Schedule(Work work) {
    threads_->Schedule(std::move(work));
  }

 private:
  ffi::ThreadPool* threads_ = nullptr;
};

// Runs task(0) ... task(count - 1) on the pool and on the calling thread; returns when all are done.
template <typename Task>
void Parallel(Pool& pool, int64_t count, const Task& task) {
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
  for (int64_t i = 0; i < helpers; ++i) pool.Schedule(work);
  work();
  std::unique_lock<std::mutex> lock(shared->mutex);
  shared->done.wait(lock, [&] { return shared->finished == count; });
}

// Splits `count` into the fewest parts of at most `most`, as even as possible.
inline int64_t Part(int64_t count, int64_t most) { return Ceiling(count, Ceiling(count, most)); }

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
      for (int v = 0; v < V; ++v) Store(to + v * kLanes, sum[p][v]);
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

// dk[r, :] += sum over pixels of x[r] * g[:], for R neighboring input channels and V vectors of output channels.
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

}  // namespace
