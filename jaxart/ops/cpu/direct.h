// The direct form: a tile of results stays in registers while every tap and input channel is added to it.
#pragma once

#include <vector>

#include "common.h"

namespace {

// Few output channels leave most lanes of a vector empty. There the lanes take the input channels instead: vectors of products are
// summed over all taps, and their lanes at the end.
constexpr int64_t kFew = 4;
bool ByInputs(const Shape& s) { return s.o >= 1 && s.o <= kFew && s.c % kLanes == 0; }

inline float SumOfLanes(Vector v) {
  float lanes[kLanes];
  Store(lanes, v);
  for (int size = kLanes / 2; size > 0; size /= 2)
    for (int l = 0; l < size; ++l) lanes[l] += lanes[l + size];
  return lanes[0];
}

// y[p, o] = sum over rows and taps for P pixels from pixel `first` on and all O channels; weights are [kh, length, O] in vectors.
template <int P, int O>
void InputTile(const float* const* rows, int64_t kh, int64_t length, int64_t step, const float* weights, float* y, int64_t first) {
  Vector sum[P][O];
  for (int p = 0; p < P; ++p)
    for (int o = 0; o < O; ++o) sum[p][o] = Vector{};
  const float* w = weights;
  for (int64_t a = 0; a < kh; ++a) {
    const float* x = rows[a] + first * step;
    for (int64_t t = 0; t < length; t += kLanes, w += O * kLanes, x += kLanes) {
      Vector weight[O];
      for (int o = 0; o < O; ++o) weight[o] = Load(w + o * kLanes);
#pragma GCC unroll 28
      for (int p = 0; p < P; ++p) {
        const Vector pixel = Load(x + p * step);
#pragma GCC unroll 4
        for (int o = 0; o < O; ++o) sum[p][o] += pixel * weight[o];
      }
    }
  }
  for (int p = 0; p < P; ++p)
    for (int o = 0; o < O; ++o) y[(first + p) * O + o] = SumOfLanes(sum[p][o]);
}

template <int O>
void InputTiles(const float* const* rows, int64_t kh, int64_t length, int64_t step, const float* weights, float* y, int64_t pixels) {
  constexpr int kTile = kPixels * kVectors / O;
  int64_t j = 0;
  for (; j + kTile <= pixels; j += kTile) InputTile<kTile, O>(rows, kh, length, step, weights, y, j);
  for (; j < pixels; ++j) InputTile<1, O>(rows, kh, length, step, weights, y, j);
}

// Pixels of a row that share their pointers to the pixels.
int64_t MostPixels(const Shape& s) {
  return ByInputs(s) ? 4 * (kPixels * kVectors / std::max<int64_t>(1, s.o)) : Part(std::max<int64_t>(1, s.ow), kPixels);
}

// Copies block `block` of kBlock output channels to packed[kh, kw, C, WidthOf(those left)], filled up with zeros; for InputTile, to vectors
// of kLanes taps and channels, [kh kw C / kLanes, O].
void Pack(const Shape& s, const float* kernel, float* packed, int64_t block) {
  const int64_t taps = s.kh * s.kw * s.c, first = block * kBlock, left = s.o - first, width = WidthOf(left);
  if (ByInputs(s)) {
    for (int64_t t = 0; t < taps; ++t)
      for (int64_t o = 0; o < s.o; ++o) packed[(t / kLanes * s.o + o) * kLanes + t % kLanes] = kernel[t * s.o + o];
    return;
  }
  float* to = packed + block * taps * kBlock;
  for (int64_t t = 0; t < taps; ++t, to += width)
    for (int64_t o = 0; o < width; o += kLanes) Store(to + o, LoadSome(kernel + t * s.o + first + o, left - o));
}

// Computes rows [begin, end) of picture n in blocks [first, last) of channels.
void Rows(const Shape& s, const float* images, const float* packed, float* y, int64_t n, int64_t begin, int64_t end, int64_t first,
          int64_t last, std::vector<float>& patch) {
  const int64_t length = s.kw * s.c, step = s.stride * s.c, most = MostPixels(s);
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
      if (ByInputs(s)) {
        static constexpr decltype(&InputTiles<1>) by_outputs[kFew] = {InputTiles<1>, InputTiles<2>, InputTiles<3>, InputTiles<4>};
        by_outputs[s.o - 1](rows.data(), s.kh, length, step, packed, to, pixels);
        continue;
      }
      // The cache lines of the results are fetched while the products are computed: with few input channels, waiting for them took longer.
      for (float* line = to; line < to + pixels * s.o; line += 16) __builtin_prefetch(line, 1);
      for (int64_t block = first; block < last; ++block) {
        const int64_t channels = s.o - block * kBlock;
        FindTile(pixels, WidthOf(channels))(rows.data(), s.kh, length, step, packed + block * s.kh * length * kBlock,
                                            to + block * kBlock, s.o, channels, false);
      }
    }
  }
}

void Direct(Pool& pool, const Shape& s, const float* images, const float* kernel, float* result) {
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
  const int64_t most = MostPixels(s);
  Parallel(pool, s.n * chunks * sets, [&](int64_t task) {
    static thread_local std::vector<float> patch;
    patch.resize(s.kh * ((most - 1) * s.stride + s.kw) * s.c);
    const int64_t first = task % sets * together, chunk = task / sets % chunks, n = task / sets / chunks;
    Rows(s, images, packed.get(), result, n, chunk * rows, std::min(s.oh, (chunk + 1) * rows), first,
         std::min(blocks, first + together), patch);
  });
}

// The range of results whose tap `tap` falls on a pixel: from <= i < until.
std::pair<int64_t, int64_t> Met(int64_t tap, int64_t before, int64_t stride, int64_t size, int64_t results) {
  const int64_t shift = before - tap;
  const int64_t from = std::max<int64_t>(0, Ceiling(shift, stride));
  const int64_t last = size - 1 + shift;
  return {from, last < 0 ? 0 : std::min(results, last / stride + 1)};
}


void DirectGradient(Pool& pool, const Shape& s, const float* images, const float* errors, float* whole) {
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
  // A unit is a row of taps times a group of neighboring (tap, channel) pairs; units are disjoint in the result.
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
          const float* from = images + ((n * s.h + i0 * s.stride + a - s.top) * s.w + j0 * s.stride - s.left) * s.c + t0;
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

}  // namespace
