// The hot loops of the GTO potential, forwards and backwards, for the CPU: vectors of 16 floats over channels or primitives.
//
// Layouts (float32, last index contiguous; E edges sorted by central atom, N atoms, C = 16·NV channels):
//   g [E, 16]         primitives times cutoff, zero beyond the P in use
//   Y [E, 16]         solid harmonics of degree 0 … 3
//   A [N, 16, C]      densities; h [N, H, C] what neighbours show; m [N, rows, C] messages
//   W [pairs, 4, 16, C], V [pairs, paths, 16, C]   contractions for each ordered pair of elements
// Row pointers give each atom's edges. Gradients with respect to parameters are summed over threads at the end.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include <omp.h>

namespace {

constexpr int LANES = 16;
constexpr int HARMONICS = 16;
typedef float Lanes __attribute__((vector_size(64), aligned(4), may_alias));

inline Lanes &at(float *p) { return *reinterpret_cast<Lanes *>(p); }
inline const Lanes &at(const float *p) { return *reinterpret_cast<const Lanes *>(p); }

inline float sum(const Lanes &x) {
    float total = 0.0f;
    for (int i = 0; i < LANES; ++i) total += x[i];
    return total;
}

template <int NV> struct Channels {
    Lanes v[NV];
    static Channels zero() {
        Channels c;
        for (int i = 0; i < NV; ++i) c.v[i] = Lanes{};
        return c;
    }
    static Channels load(const float *p) {
        Channels c;
        for (int i = 0; i < NV; ++i) c.v[i] = at(p + LANES * i);
        return c;
    }
    void store(float *p) const {
        for (int i = 0; i < NV; ++i) at(p + LANES * i) = v[i];
    }
    void add_to(float *p) const {
        for (int i = 0; i < NV; ++i) at(p + LANES * i) += v[i];
    }
    void fma(const Channels &a, const Channels &b) {
        for (int i = 0; i < NV; ++i) v[i] += a.v[i] * b.v[i];
    }
    void fma(float a, const Channels &b) {
        for (int i = 0; i < NV; ++i) v[i] += a * b.v[i];
    }
    Channels operator*(const Channels &b) const {
        Channels c;
        for (int i = 0; i < NV; ++i) c.v[i] = v[i] * b.v[i];
        return c;
    }
    Channels operator*(float b) const {
        Channels c;
        for (int i = 0; i < NV; ++i) c.v[i] = v[i] * b;
        return c;
    }
    // The lanes of a dot product, still to be summed.
    Lanes partial_dot(const Channels &b) const {
        Lanes total = v[0] * b.v[0];
        for (int i = 1; i < NV; ++i) total += v[i] * b.v[i];
        return total;
    }
};

constexpr int DEGREE[HARMONICS] = {0, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3};

inline int threads_for(int64_t items, int threads) { return items < 2 * threads ? 1 : threads; }

// Gradients of parameters: thread 0 writes into the result, the others into their own copy.
class Reduction {
  public:
    Reduction(float *result, int64_t size, int threads) : result_(result), size_(size) {
        if (!result) return;
        std::memset(result, 0, sizeof(float) * size);
        for (int t = 1; t < threads; ++t) copies_.emplace_back(new float[size]());
    }
    float *mine(int thread) { return !result_ || thread == 0 ? result_ : copies_[thread - 1].get(); }
    void finish() {
        for (auto &copy : copies_)
            for (int64_t i = 0; i < size_; ++i) result_[i] += copy[i];
    }

  private:
    float *result_;
    int64_t size_;
    std::vector<std::unique_ptr<float[]>> copies_;
};

// Real solid harmonics in e3nn's order and "component" normalisation.
inline void harmonics(float x, float y, float z, float *Y) {
    const float s3 = 1.7320508075688772f, s5 = 2.2360679774997896f, s15 = 3.872983346207417f;
    const float s7 = 2.6457513110645907f, s42 = 6.48074069840786f, s168 = 12.96148139681572f;
    Y[0] = 1.0f;
    Y[1] = s3 * x;
    Y[2] = s3 * y;
    Y[3] = s3 * z;
    const float a = s15 * x * z, b = s15 * x * y, d = s15 * y * z, e = 0.5f * s15 * (z * z - x * x);
    Y[4] = a;
    Y[5] = b;
    Y[6] = s5 * (y * y - 0.5f * (x * x + z * z));
    Y[7] = d;
    Y[8] = e;
    const float r = x * x + z * z;
    Y[9] = s42 / 6 * (a * z + e * x);
    Y[10] = s7 * a * y;
    Y[11] = s168 / 8 * (4 * y * y - r) * x;
    Y[12] = 0.5f * s7 * y * (2 * y * y - 3 * r);
    Y[13] = s168 / 8 * z * (4 * y * y - r);
    Y[14] = s7 * e * y;
    Y[15] = s42 / 6 * (e * z - a * x);
}

inline void harmonics_gradient(float x, float y, float z, const float *g, float *out) {
    const float s3 = 1.7320508075688772f, s5 = 2.2360679774997896f, s15 = 3.872983346207417f;
    const float s7 = 2.6457513110645907f, s42 = 6.48074069840786f, s168 = 12.96148139681572f;
    const float a = s15 * x * z, e = 0.5f * s15 * (z * z - x * x);
    const float r = x * x + z * z;
    // a and e also feed degree 3.
    const float ga = g[4] + s42 / 6 * (g[9] * z - g[15] * x) + s7 * y * g[10];
    const float ge = g[8] + s42 / 6 * (g[9] * x + g[15] * z) + s7 * y * g[14];
    const float q = s168 / 8;
    float dx = s3 * g[1] + s15 * (z * ga + y * g[5]) - s15 * x * ge - s5 * x * g[6];
    float dy = s3 * g[2] + s15 * (x * g[5] + z * g[7]) + 2 * s5 * y * g[6];
    float dz = s3 * g[3] + s15 * (x * ga + y * g[7]) + s15 * z * ge - s5 * z * g[6];
    dx += s42 / 6 * (e * g[9] - a * g[15]);
    dz += s42 / 6 * (a * g[9] + e * g[15]);
    dy += s7 * (a * g[10] + e * g[14]);
    dx += q * ((4 * y * y - r - 2 * x * x) * g[11] - 2 * x * z * g[13]) - 3 * s7 * x * y * g[12];
    dy += q * 8 * y * (x * g[11] + z * g[13]) + 0.5f * s7 * (6 * y * y - 3 * r) * g[12];
    dz += q * ((4 * y * y - r - 2 * z * z) * g[13] - 2 * x * z * g[11]) - 3 * s7 * y * z * g[12];
    out[0] += dx;
    out[1] += dy;
    out[2] += dz;
}

constexpr float MARGIN = 0.005f;
constexpr float SAME_POINT = 1e-12f;

} // namespace

extern "C" {

// g_p = exp(k log r² + n_p − α r²) f(r²) and Y. power [16], log_norm and exponent [pairs, 16]; k < 0 marks unused lanes.
void basis_forward(int64_t edges, int primitives, float cutoff, const float *vectors, const int64_t *pair,
                   const float *power, const float *log_norm, const float *exponent, float *g, float *Y, int threads) {
#pragma omp parallel for num_threads(threads_for(edges / 64, threads)) schedule(static)
    for (int64_t e = 0; e < edges; ++e) {
        const float x = vectors[3 * e], y = vectors[3 * e + 1], z = vectors[3 * e + 2];
        const float r2 = x * x + y * y + z * z;
        const float gap = 1.0f - r2 / (cutoff * cutoff);
        const float fade = gap > MARGIN ? std::exp(1.0f - 1.0f / gap) : 0.0f;
        const float log_r2 = std::log(std::max(r2, SAME_POINT));
        const float *n = log_norm + LANES * pair[e], *alpha = exponent + LANES * pair[e];
        float *row = g + LANES * e;
#pragma omp simd
        for (int p = 0; p < LANES; ++p) row[p] = p < primitives ? fade * std::exp(power[p] * log_r2 + n[p] - alpha[p] * r2) : 0.0f;
        harmonics(x, y, z, Y + HARMONICS * e);
    }
}

// d_alpha [pairs, 16] is the gradient by log α; null where it is not wanted.
void basis_backward(int64_t edges, int64_t pairs, int primitives, float cutoff, const float *vectors, const int64_t *pair,
                    const float *power, const float *exponent, const float *g, const float *dg, const float *dY,
                    float *d_vectors, float *d_alpha, int threads) {
    threads = threads_for(edges / 64, threads);
    Reduction alphas(d_alpha, pairs * LANES, threads);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t e = 0; e < edges; ++e) {
        const float x = vectors[3 * e], y = vectors[3 * e + 1], z = vectors[3 * e + 2];
        const float r2 = x * x + y * y + z * z;
        const float gap = 1.0f - r2 / (cutoff * cutoff);
        const float *alpha = exponent + LANES * pair[e];
        const Lanes gd = at(g + LANES * e) * at(dg + LANES * e);
        float slope = 0.0f;
        if (gap > MARGIN) {
            const float inverse = r2 > SAME_POINT ? 1.0f / r2 : 0.0f;
            const Lanes by_r2 = gd * (at(power) * inverse - at(alpha));
            slope = sum(by_r2) - sum(gd) / (gap * gap * cutoff * cutoff);
        }
        float *out = d_vectors + 3 * e;
        out[0] = 2 * x * slope;
        out[1] = 2 * y * slope;
        out[2] = 2 * z * slope;
        harmonics_gradient(x, y, z, dY + HARMONICS * e, out);
        if (float *mine = alphas.mine(omp_get_thread_num())) at(mine + LANES * pair[e]) += gd * (at(power) - at(alpha) * r2);
    }
    alphas.finish();
}
}

namespace {

struct Edges {
    const int64_t *start, *neighbour, *species;
    int64_t atoms, elements;
};

// D[s, lm, p] = Σ_j of element s g_p Y_lm of one atom.
inline void primitive_density(const Edges &edges, int64_t i, const float *g, const float *Y, float *D) {
    std::memset(D, 0, sizeof(float) * edges.elements * HARMONICS * LANES);
    for (int64_t e = edges.start[i]; e < edges.start[i + 1]; ++e) {
        float *block = D + edges.species[edges.neighbour[e]] * HARMONICS * LANES;
        const Lanes radial = at(g + LANES * e);
        for (int m = 0; m < HARMONICS; ++m) at(block + LANES * m) += Y[HARMONICS * e + m] * radial;
    }
}

template <int NV>
void density_forward(const Edges &edges, int primitives, const float *g, const float *Y, const float *W, float *A, int threads) {
    constexpr int C = LANES * NV;
#pragma omp parallel num_threads(threads_for(edges.atoms, threads))
    {
        std::vector<float> D(edges.elements * HARMONICS * LANES);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < edges.atoms; ++i) {
            primitive_density(edges, i, g, Y, D.data());
            float *out = A + i * HARMONICS * C;
            for (int l = 0; l < 4; ++l) {
                Channels<NV> total[7];
                for (int m = 0; m < 2 * l + 1; ++m) total[m] = Channels<NV>::zero();
                for (int64_t s = 0; s < edges.elements; ++s) {
                    const float *w = W + (edges.species[i] * edges.elements + s) * 4 * LANES * C + l * LANES * C;
                    const float *d = D.data() + (s * HARMONICS + l * l) * LANES;
                    for (int p = 0; p < primitives; ++p) {
                        const auto row = Channels<NV>::load(w + p * C);
                        for (int m = 0; m < 2 * l + 1; ++m) total[m].fma(d[m * LANES + p], row);
                    }
                }
                for (int m = 0; m < 2 * l + 1; ++m) total[m].store(out + (l * l + m) * C);
            }
        }
    }
}

// WT [pairs, 4, C, 16] is W transposed; dW null where it is not wanted.
template <int NV>
void density_backward(const Edges &edges, int primitives, const float *g, const float *Y, const float *WT, const float *dA,
                      float *dg, float *dY, float *dW, int threads) {
    constexpr int C = LANES * NV;
    threads = threads_for(edges.atoms, threads);
    const int64_t size = edges.elements * edges.elements * 4 * LANES * C;
    Reduction weights(dW, size, threads);
#pragma omp parallel num_threads(threads)
    {
        std::vector<float> D(edges.elements * HARMONICS * LANES), dD(edges.elements * HARMONICS * LANES);
        std::vector<char> present(edges.elements);
        float *mine = weights.mine(omp_get_thread_num());
#pragma omp for schedule(static)
        for (int64_t i = 0; i < edges.atoms; ++i) {
            const float *d_out = dA + i * HARMONICS * C;
            std::fill(present.begin(), present.end(), 0);
            for (int64_t e = edges.start[i]; e < edges.start[i + 1]; ++e) present[edges.species[edges.neighbour[e]]] = 1;
            for (int64_t s = 0; s < edges.elements; ++s) {
                if (!present[s]) continue;
                const float *wt = WT + (edges.species[i] * edges.elements + s) * 4 * LANES * C;
                for (int l = 0; l < 4; ++l) {
                    Lanes total[7] = {};
                    for (int c = 0; c < C; ++c) {
                        const Lanes row = at(wt + (l * C + c) * LANES);
                        for (int m = 0; m < 2 * l + 1; ++m) total[m] += d_out[(l * l + m) * C + c] * row;
                    }
                    for (int m = 0; m < 2 * l + 1; ++m) at(dD.data() + (s * HARMONICS + l * l + m) * LANES) = total[m];
                }
            }
            for (int64_t e = edges.start[i]; e < edges.start[i + 1]; ++e) {
                const float *block = dD.data() + edges.species[edges.neighbour[e]] * HARMONICS * LANES;
                const Lanes radial = at(g + LANES * e);
                Lanes total = {};
                for (int m = 0; m < HARMONICS; ++m) {
                    const Lanes d = at(block + LANES * m);
                    total += Y[HARMONICS * e + m] * d;
                    dY[HARMONICS * e + m] = sum(radial * d);
                }
                at(dg + LANES * e) = total;
            }
            if (!mine) continue;
            primitive_density(edges, i, g, Y, D.data());
            for (int64_t s = 0; s < edges.elements; ++s) {
                if (!present[s]) continue;
                float *w = mine + (edges.species[i] * edges.elements + s) * 4 * LANES * C;
                for (int l = 0; l < 4; ++l)
                    for (int p = 0; p < primitives; ++p) {
                        auto total = Channels<NV>::load(w + (l * LANES + p) * C);
                        for (int m = l * l; m < (l + 1) * (l + 1); ++m)
                            total.fma(D[(s * HARMONICS + m) * LANES + p], Channels<NV>::load(d_out + m * C));
                        total.store(w + (l * LANES + p) * C);
                    }
            }
        }
    }
    weights.finish();
}

// Channelwise Clebsch–Gordan products: x_row = Σ c a_m b_n over the row's terms; out_k += w_path x_row.
struct Products {
    int64_t rows, terms;
    const int32_t *path, *component, *start; // of rows; start has one more
    const int32_t *left, *right;             // of terms
    const float *coefficient;
};

template <int NV>
void product_forward(const Products &t, int64_t atoms, int64_t Ma, int64_t Mb, int64_t Mo, const float *a, const float *b,
                     const float *w, float *out, int threads) {
    constexpr int C = LANES * NV;
#pragma omp parallel for num_threads(threads_for(atoms, threads)) schedule(static)
    for (int64_t i = 0; i < atoms; ++i) {
        const float *ai = a + i * Ma * C, *bi = b + i * Mb * C;
        float *oi = out + i * Mo * C;
        std::memset(oi, 0, sizeof(float) * Mo * C);
        for (int64_t r = 0; r < t.rows; ++r) {
            auto x = Channels<NV>::zero();
            for (int q = t.start[r]; q < t.start[r + 1]; ++q)
                x.fma(Channels<NV>::load(ai + t.left[q] * C) * t.coefficient[q], Channels<NV>::load(bi + t.right[q] * C));
            (x * Channels<NV>::load(w + t.path[r] * C)).add_to(oi + t.component[r] * C);
        }
    }
}

// da and db may be the same array; both must come in as zeros. dw null where it is not wanted.
template <int NV>
void product_backward(const Products &t, int64_t atoms, int64_t paths, int64_t Ma, int64_t Mb, int64_t Mo, const float *a,
                      const float *b, const float *w, const float *d_out, float *da, float *db, float *dw, int threads) {
    constexpr int C = LANES * NV;
    threads = threads_for(atoms, threads);
    Reduction weights(dw, paths * C, threads);
#pragma omp parallel num_threads(threads)
    {
        float *mine = weights.mine(omp_get_thread_num());
#pragma omp for schedule(static)
        for (int64_t i = 0; i < atoms; ++i) {
            const float *ai = a + i * Ma * C, *bi = b + i * Mb * C, *oi = d_out + i * Mo * C;
            float *dai = da + i * Ma * C, *dbi = db + i * Mb * C;
            for (int64_t r = 0; r < t.rows; ++r) {
                const auto d = Channels<NV>::load(oi + t.component[r] * C);
                const auto dx = d * Channels<NV>::load(w + t.path[r] * C);
                auto x = Channels<NV>::zero();
                for (int q = t.start[r]; q < t.start[r + 1]; ++q) {
                    const auto aq = Channels<NV>::load(ai + t.left[q] * C) * t.coefficient[q];
                    const auto bq = Channels<NV>::load(bi + t.right[q] * C);
                    (dx * t.coefficient[q] * bq).add_to(dai + t.left[q] * C);
                    (dx * aq).add_to(dbi + t.right[q] * C);
                    if (mine) x.fma(aq, bq);
                }
                if (mine) (d * x).add_to(mine + t.path[r] * C);
            }
        }
    }
    weights.finish();
}

// Messages: m_row = Σ_j R_path(r_ij) Σ_q c Y_n h_j,q. Each row belongs to one path; its links to components of h carry
// Σ terms c Y_n.
struct Couplings {
    int64_t paths, rows, links, terms;
    const int32_t *path, *link_start;     // of rows
    const int32_t *source, *term_start;   // of links: component of h
    const int32_t *harmonic;              // of terms
    const float *coefficient;
};

inline void link_values(const Couplings &t, const float *Y, float *value) {
    for (int64_t k = 0; k < t.links; ++k) {
        float total = 0.0f;
        for (int q = t.term_start[k]; q < t.term_start[k + 1]; ++q) total += t.coefficient[q] * Y[t.harmonic[q]];
        value[k] = total;
    }
}

template <int NV>
inline void contract(int64_t paths, int primitives, const float *g, const float *V, float *R) {
    constexpr int C = LANES * NV;
    for (int64_t path = 0; path < paths; ++path) {
        auto total = Channels<NV>::zero();
        const float *v = V + path * LANES * C;
        for (int p = 0; p < primitives; ++p) total.fma(g[p], Channels<NV>::load(v + p * C));
        total.store(R + path * C);
    }
}

template <int NV>
void message_forward(const Edges &edges, const Couplings &t, int primitives, int64_t H, const float *g, const float *Y,
                     const float *h, const float *V, float *m, int threads) {
    constexpr int C = LANES * NV;
#pragma omp parallel num_threads(threads_for(edges.atoms, threads))
    {
        std::vector<float> R(t.paths * C), value(t.links);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < edges.atoms; ++i) {
            float *mi = m + i * t.rows * C;
            std::memset(mi, 0, sizeof(float) * t.rows * C);
            for (int64_t e = edges.start[i]; e < edges.start[i + 1]; ++e) {
                const int64_t j = edges.neighbour[e];
                const float *hj = h + j * H * C;
                contract<NV>(t.paths, primitives, g + LANES * e,
                             V + (edges.species[i] * edges.elements + edges.species[j]) * t.paths * LANES * C, R.data());
                link_values(t, Y + HARMONICS * e, value.data());
                for (int64_t row = 0; row < t.rows; ++row) {
                    auto x = Channels<NV>::zero();
                    for (int k = t.link_start[row]; k < t.link_start[row + 1]; ++k)
                        x.fma(value[k], Channels<NV>::load(hj + t.source[k] * C));
                    (x * Channels<NV>::load(R.data() + t.path[row] * C)).add_to(mi + row * C);
                }
            }
        }
    }
}

// dh comes in as zeros; dV null where it is not wanted.
template <int NV>
void message_backward(const Edges &edges, const Couplings &t, int primitives, int64_t H, const float *g, const float *Y,
                      const float *h, const float *V, const float *dm, float *dg, float *dY, float *dh, float *dV, int threads) {
    constexpr int C = LANES * NV;
    threads = threads_for(edges.atoms, threads);
    const int64_t pairs = edges.elements * edges.elements;
    Reduction weights(dV, pairs * t.paths * LANES * C, threads), sources(dh, edges.atoms * H * C, threads);
#pragma omp parallel num_threads(threads)
    {
        std::vector<float> R(t.paths * C), dR(t.paths * C), value(t.links);
        Lanes d_harmonics[HARMONICS];
        float *mine = weights.mine(omp_get_thread_num()), *my_h = sources.mine(omp_get_thread_num());
#pragma omp for schedule(static)
        for (int64_t i = 0; i < edges.atoms; ++i) {
            const float *dmi = dm + i * t.rows * C;
            for (int64_t e = edges.start[i]; e < edges.start[i + 1]; ++e) {
                const int64_t j = edges.neighbour[e];
                const int64_t pair = edges.species[i] * edges.elements + edges.species[j];
                const float *hj = h + j * H * C, *v = V + pair * t.paths * LANES * C;
                float *dhj = my_h + j * H * C;
                contract<NV>(t.paths, primitives, g + LANES * e, v, R.data());
                link_values(t, Y + HARMONICS * e, value.data());
                std::memset(dR.data(), 0, sizeof(float) * t.paths * C);
                for (Lanes &lanes : d_harmonics) lanes = Lanes{};
                for (int64_t row = 0; row < t.rows; ++row) {
                    const auto d = Channels<NV>::load(dmi + row * C);
                    const auto dx = d * Channels<NV>::load(R.data() + t.path[row] * C);
                    auto x = Channels<NV>::zero();
                    for (int k = t.link_start[row]; k < t.link_start[row + 1]; ++k) {
                        const auto source = Channels<NV>::load(hj + t.source[k] * C);
                        x.fma(value[k], source);
                        const Lanes by_value = dx.partial_dot(source);
                        for (int q = t.term_start[k]; q < t.term_start[k + 1]; ++q)
                            d_harmonics[t.harmonic[q]] += t.coefficient[q] * by_value;
                        (dx * value[k]).add_to(dhj + t.source[k] * C);
                    }
                    (d * x).add_to(dR.data() + t.path[row] * C);
                }
                float *dy = dY + HARMONICS * e;
                for (int n = 0; n < HARMONICS; ++n) dy[n] = sum(d_harmonics[n]);
                const float *ge = g + LANES * e;
                float *dge = dg + LANES * e;
                for (int p = 0; p < LANES; ++p) dge[p] = 0.0f;
                for (int p = 0; p < primitives; ++p) {
                    Lanes total = {};
                    for (int64_t path = 0; path < t.paths; ++path)
                        for (int c = 0; c < C; c += LANES)
                            total += at(dR.data() + path * C + c) * at(v + (path * LANES + p) * C + c);
                    dge[p] = sum(total);
                }
                if (!mine) continue;
                float *dv = mine + pair * t.paths * LANES * C;
                for (int64_t path = 0; path < t.paths; ++path) {
                    const auto d = Channels<NV>::load(dR.data() + path * C);
                    for (int p = 0; p < primitives; ++p) (d * ge[p]).add_to(dv + (path * LANES + p) * C);
                }
            }
        }
    }
    weights.finish();
    sources.finish();
}

} // namespace

#define FOR_CHANNELS(call)                                                                                             \
    switch (channels) {                                                                                                \
    case 16: { constexpr int NV = 1; call; break; }                                                                    \
    case 32: { constexpr int NV = 2; call; break; }                                                                    \
    case 48: { constexpr int NV = 3; call; break; }                                                                    \
    case 64: { constexpr int NV = 4; call; break; }                                                                    \
    default: return 1;                                                                                                 \
    }                                                                                                                  \
    return 0

extern "C" {

int gto_density_forward(int channels, Edges edges, int primitives, const float *g, const float *Y, const float *W, float *A,
                        int threads) {
    FOR_CHANNELS(density_forward<NV>(edges, primitives, g, Y, W, A, threads));
}

int gto_density_backward(int channels, Edges edges, int primitives, const float *g, const float *Y, const float *WT,
                         const float *dA, float *dg, float *dY, float *dW, int threads) {
    FOR_CHANNELS(density_backward<NV>(edges, primitives, g, Y, WT, dA, dg, dY, dW, threads));
}

int gto_product_forward(int channels, Products t, int64_t atoms, int64_t Ma, int64_t Mb, int64_t Mo, const float *a,
                        const float *b, const float *w, float *out, int threads) {
    FOR_CHANNELS(product_forward<NV>(t, atoms, Ma, Mb, Mo, a, b, w, out, threads));
}

int gto_product_backward(int channels, Products t, int64_t atoms, int64_t paths, int64_t Ma, int64_t Mb, int64_t Mo,
                         const float *a, const float *b, const float *w, const float *d_out, float *da, float *db, float *dw,
                         int threads) {
    FOR_CHANNELS(product_backward<NV>(t, atoms, paths, Ma, Mb, Mo, a, b, w, d_out, da, db, dw, threads));
}

int gto_message_forward(int channels, Edges edges, Couplings t, int primitives, int64_t H, const float *g, const float *Y,
                        const float *h, const float *V, float *m, int threads) {
    FOR_CHANNELS(message_forward<NV>(edges, t, primitives, H, g, Y, h, V, m, threads));
}

int gto_message_backward(int channels, Edges edges, Couplings t, int primitives, int64_t H, const float *g, const float *Y,
                         const float *h, const float *V, const float *dm, float *dg, float *dY, float *dh, float *dV,
                         int threads) {
    FOR_CHANNELS(message_backward<NV>(edges, t, primitives, H, g, Y, h, V, dm, dg, dY, dh, dV, threads));
}
}
