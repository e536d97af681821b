// Energies of the GTO potential and their derivatives by all edge vectors in one call, with weights that are not trained.
//
// The same steps as in model.py, in order, and then backwards. Layouts and the loops over edges are those of gto.cpp;
// matrices are [in, out], and those marked _t are transposed.

#include "gto.cpp"

namespace {

// y [rows, out] = or += x [rows, in] W [in, out], with rows ldx, ldw and ldy floats apart; out is a multiple of LANES.
template <int ROWS, int WIDTH>
inline void multiply_block(int64_t in, const float *x, int64_t ldx, const float *W, int64_t ldw, float *y, int64_t ldy, bool add) {
    Lanes total[ROWS][WIDTH];
    for (int r = 0; r < ROWS; ++r)
        for (int v = 0; v < WIDTH; ++v) total[r][v] = add ? at(y + r * ldy + LANES * v) : Lanes{};
    for (int64_t k = 0; k < in; ++k) {
        Lanes w[WIDTH];
        for (int v = 0; v < WIDTH; ++v) w[v] = at(W + k * ldw + LANES * v);
        for (int r = 0; r < ROWS; ++r)
            for (int v = 0; v < WIDTH; ++v) total[r][v] += x[r * ldx + k] * w[v];
    }
    for (int r = 0; r < ROWS; ++r)
        for (int v = 0; v < WIDTH; ++v) at(y + r * ldy + LANES * v) = total[r][v];
}

template <int ROWS>
inline void multiply_rows(int64_t in, int64_t out, const float *x, int64_t ldx, const float *W, int64_t ldw, float *y, int64_t ldy, bool add) {
    int64_t o = 0;
    for (; o + 2 * LANES <= out; o += 2 * LANES) multiply_block<ROWS, 2>(in, x, ldx, W + o, ldw, y + o, ldy, add);
    if (o < out) multiply_block<ROWS, 1>(in, x, ldx, W + o, ldw, y + o, ldy, add);
}

inline void multiply(int64_t rows, int64_t in, int64_t out, const float *x, int64_t ldx, const float *W, int64_t ldw, float *y, int64_t ldy, bool add) {
    for (; rows >= 8; rows -= 8, x += 8 * ldx, y += 8 * ldy) multiply_rows<8>(in, out, x, ldx, W, ldw, y, ldy, add);
    switch (rows) {
    case 7: multiply_rows<7>(in, out, x, ldx, W, ldw, y, ldy, add); break;
    case 6: multiply_rows<6>(in, out, x, ldx, W, ldw, y, ldy, add); break;
    case 5: multiply_rows<5>(in, out, x, ldx, W, ldw, y, ldy, add); break;
    case 4: multiply_rows<4>(in, out, x, ldx, W, ldw, y, ldy, add); break;
    case 3: multiply_rows<3>(in, out, x, ldx, W, ldw, y, ldy, add); break;
    case 2: multiply_rows<2>(in, out, x, ldx, W, ldw, y, ldy, add); break;
    case 1: multiply_rows<1>(in, out, x, ldx, W, ldw, y, ldy, add); break;
    default: break;
    }
}

// Not infinite: -ffast-math divides by an approximate reciprocal and its refinement, which is NaN there.
inline float logistic(float x) { return 1.0f / (1.0f + std::exp(-std::max(x, -80.0f))); }
inline float silu(float x) { return x * logistic(x); }
inline float silu_slope(float x) {
    const float s = logistic(x);
    return s * (1.0f + x * (1.0f - s));
}

constexpr int DEGREES = 4;
constexpr int TOGETHER = 8;           // atoms whose readout shares a pass over the weights
constexpr int SQUARES = HARMONICS;    // first invariant of a square
constexpr int64_t MOST_HIDDEN = 256;  // width of a readout, as evaluation.py knows it

struct Product {
    Products tables;
    int64_t paths, size;  // components of the result
    const float *weights; // [paths, C]
};

struct Round {
    const float *mix[DEGREES], *mix_t[DEGREES]; // [C, C]
    Product square, cube, fourth;
    const float *first, *first_t;        // [13 C, H]
    const float *first_bias;             // [elements, H]
    const float *second, *second_t;      // [H, H]
    const float *second_bias;            // [H]
    const float *energy;                 // [elements, H]
    float correction;                    // factor of what is not linear in hidden features
    int64_t linear, l_message;           // l_message < 0 in the last round, which has none of the following
    const float *scalars, *scalars_t;    // [H, C]
    const float *scalars_bias;           // [C]
    const float *vectors[DEGREES - 1], *vectors_t[DEGREES - 1]; // [3 C, C]
    Couplings couplings;
    const float *radial;                 // [pairs, paths, 16, C]
    const int32_t *row, *degree;         // of paths: first row of the message, degree
    const float *next[DEGREES], *next_t[DEGREES]; // [(1 + paths of the degree) C, C]
    int64_t blocks[DEGREES];             // 1 + paths of the degree
};

struct Network {
    int64_t rounds, hidden, primitives, elements;
    float cutoff;
    const float *power, *log_norm, *exponent; // of the basis
    const float *density, *density_t;         // [pairs, 4, 16, C], [pairs, 4, C, 16]
    const Round *round;
};

// Memory of a call, kept for the next.
class Workspace {
  public:
    void begin() { used_ = 0; wanted_ = 0; spilt_.clear(); }
    float *take(int64_t size) {
        size = (size + LANES - 1) / LANES * LANES;
        wanted_ += size;
        if (used_ + size <= int64_t(kept_.size())) {
            used_ += size;
            return kept_.data() + used_ - size;
        }
        spilt_.emplace_back(new float[size]);
        return spilt_.back().get();
    }
    void end() {
        spilt_.clear();
        if (wanted_ > int64_t(kept_.size()) && wanted_ < MOST) std::vector<float>(wanted_).swap(kept_);
    }

  private:
    static constexpr int64_t MOST = int64_t(1) << 28; // floats, 1 GB
    std::vector<float> kept_;
    std::vector<std::unique_ptr<float[]>> spilt_;
    int64_t used_ = 0, wanted_ = 0;
};

struct Stored {
    float *density, *mixed, *square, *cube, *fourth, *first, *second, *shown, *message;
};

// The four parts of the invariants: where they are, how far apart from atom to atom, and how many blocks of C they have.
struct Part {
    float *start;
    int64_t stride, blocks;
};

template <int NV> void parts_of(const Round &round, float *mixed, float *square, float *cube, float *fourth, Part *parts) {
    constexpr int64_t C = LANES * NV;
    parts[0] = {mixed, HARMONICS * C, 1};
    parts[1] = {square + SQUARES * C, round.square.size * C, DEGREES};
    parts[2] = {cube, round.cube.size * C, DEGREES};
    parts[3] = {fourth, round.fourth.size * C, DEGREES};
}

template <int NV>
void round_forward(const Network &net, const Round &round, const Edges &edges, Stored &s, float *energy, float *features, int threads) {
    constexpr int64_t C = LANES * NV;
    const int64_t N = edges.atoms, H = net.hidden, all = net.rounds * H;
#pragma omp parallel for num_threads(threads_for(N, threads)) schedule(static)
    for (int64_t i = 0; i < N; ++i)
        for (int l = 0; l < DEGREES; ++l)
            multiply(2 * l + 1, C, C, s.density + (i * HARMONICS + l * l) * C, C, round.mix[l], C, s.mixed + (i * HARMONICS + l * l) * C, C, false);
    product_forward<NV>(round.square.tables, N, HARMONICS, HARMONICS, round.square.size, s.mixed, s.mixed, round.square.weights, s.square, threads);
    product_forward<NV>(round.cube.tables, N, round.square.size, HARMONICS, round.cube.size, s.square, s.mixed, round.cube.weights, s.cube, threads);
    product_forward<NV>(round.fourth.tables, N, round.square.size, round.square.size, round.fourth.size, s.square, s.square, round.fourth.weights, s.fourth, threads);
    Part parts[4];
    parts_of<NV>(round, s.mixed, s.square, s.cube, s.fourth, parts);
    const int64_t groups = (N + TOGETHER - 1) / TOGETHER;
#pragma omp parallel for num_threads(threads_for(groups, threads)) schedule(static)
    for (int64_t group = 0; group < groups; ++group) {
        const int64_t i0 = group * TOGETHER, n = std::min<int64_t>(TOGETHER, N - i0);
        float *first = s.first + i0 * H, *second = s.second + i0 * H;
        float inner[TOGETHER * MOST_HIDDEN];
        for (int64_t i = 0; i < n; ++i) std::memcpy(first + i * H, round.first_bias + edges.species[i0 + i] * H, sizeof(float) * H);
        int64_t block = 0;
        for (const Part &part : parts) {
            multiply(n, part.blocks * C, H, part.start + i0 * part.stride, part.stride, round.first + block * C * H, H, first, H, true);
            block += part.blocks;
        }
        for (int64_t k = 0; k < n * H; ++k) inner[k] = round.linear ? first[k] : silu(first[k]);
        for (int64_t i = 0; i < n; ++i) std::memcpy(second + i * H, round.second_bias, sizeof(float) * H);
        multiply(n, H, H, inner, H, round.second, H, second, H, true);
        for (int64_t i = 0; i < n; ++i) {
            float *hidden = features + (i0 + i) * all;
            const float *weight = round.energy + edges.species[i0 + i] * H;
            float total = 0.0f;
            for (int64_t k = 0; k < H; ++k) {
                hidden[k] = inner[i * H + k] + round.correction * silu(second[i * H + k]);
                total += hidden[k] * weight[k];
            }
            energy[i0 + i] += total;
        }
        if (round.l_message < 0) continue;
        const int64_t M = (round.l_message + 1) * (round.l_message + 1);
        for (int64_t i = 0; i < n; ++i) std::memcpy(s.shown + (i0 + i) * M * C, round.scalars_bias, sizeof(float) * C);
        multiply(n, H, C, features + i0 * all, all, round.scalars, C, s.shown + i0 * M * C, M * C, true);
        for (int64_t i = i0; i < i0 + n; ++i)
            for (int l = 1; l <= round.l_message; ++l) {
                float *out = s.shown + (i * M + l * l) * C;
                const float *w = round.vectors[l - 1];
                multiply(2 * l + 1, C, C, s.mixed + (i * HARMONICS + l * l) * C, C, w, C, out, C, false);
                multiply(2 * l + 1, C, C, s.square + (i * round.square.size + l * l) * C, C, w + C * C, C, out, C, true);
                multiply(2 * l + 1, C, C, s.cube + (i * round.cube.size + DEGREES - 1 + l * l) * C, C, w + 2 * C * C, C, out, C, true);
            }
    }
}

template <int NV>
void message_mix_forward(const Round &round, int64_t N, const Stored &s, float *next, int threads) {
    constexpr int64_t C = LANES * NV;
#pragma omp parallel for num_threads(threads_for(N, threads)) schedule(static)
    for (int64_t i = 0; i < N; ++i) {
        for (int l = 0; l < DEGREES; ++l)
            multiply(2 * l + 1, C, C, s.density + (i * HARMONICS + l * l) * C, C, round.next[l], C, next + (i * HARMONICS + l * l) * C, C, false);
        int64_t block[DEGREES] = {1, 1, 1, 1};
        for (int64_t p = 0; p < round.couplings.paths; ++p) {
            const int l = round.degree[p];
            multiply(2 * l + 1, C, C, s.message + (i * round.couplings.rows + round.row[p]) * C, C, round.next[l] + block[l]++ * C * C, C, next + (i * HARMONICS + l * l) * C, C, true);
        }
    }
}

// d_next becomes the derivative by the density of this round's beginning (in d_density) and by the message.
template <int NV>
void message_mix_backward(const Round &round, int64_t N, const float *d_next, float *d_density, float *d_message, int threads) {
    constexpr int64_t C = LANES * NV;
#pragma omp parallel for num_threads(threads_for(N, threads)) schedule(static)
    for (int64_t i = 0; i < N; ++i) {
        for (int l = 0; l < DEGREES; ++l)
            multiply(2 * l + 1, C, C, d_next + (i * HARMONICS + l * l) * C, C, round.next_t[l], round.blocks[l] * C, d_density + (i * HARMONICS + l * l) * C, C, false);
        int64_t block[DEGREES] = {1, 1, 1, 1};
        for (int64_t p = 0; p < round.couplings.paths; ++p) {
            const int l = round.degree[p];
            multiply(2 * l + 1, C, C, d_next + (i * HARMONICS + l * l) * C, C, round.next_t[l] + block[l]++ * C, round.blocks[l] * C, d_message + (i * round.couplings.rows + round.row[p]) * C, C, false);
        }
    }
}

// Adds to d_density; d_shown is null in the last round.
template <int NV>
void round_backward(const Network &net, const Round &round, const Edges &edges, const Stored &s, const float *d_shown, float *d_density, Workspace &memory, int threads) {
    constexpr int64_t C = LANES * NV;
    const int64_t N = edges.atoms, H = net.hidden;
    const int64_t sizes[4] = {HARMONICS * C, round.square.size * C, round.cube.size * C, round.fourth.size * C};
    float *d[4];
    for (int k = 0; k < 4; ++k) {
        d[k] = memory.take(N * sizes[k]);
        std::memset(d[k], 0, sizeof(float) * N * sizes[k]);
    }
    Part parts[4];
    parts_of<NV>(round, d[0], d[1], d[2], d[3], parts);
    const int64_t groups = (N + TOGETHER - 1) / TOGETHER, M = (round.l_message + 1) * (round.l_message + 1);
#pragma omp parallel for num_threads(threads_for(groups, threads)) schedule(static)
    for (int64_t group = 0; group < groups; ++group) {
        const int64_t i0 = group * TOGETHER, n = std::min<int64_t>(TOGETHER, N - i0);
        const float *first = s.first + i0 * H, *second = s.second + i0 * H;
        float outer[TOGETHER * MOST_HIDDEN], inner[TOGETHER * MOST_HIDDEN];
        for (int64_t i = 0; i < n; ++i) std::memcpy(outer + i * H, round.energy + edges.species[i0 + i] * H, sizeof(float) * H);
        if (d_shown) multiply(n, C, H, d_shown + i0 * M * C, M * C, round.scalars_t, H, outer, H, true);
        for (int64_t k = 0; k < n * H; ++k) inner[k] = round.correction * outer[k] * silu_slope(second[k]);
        multiply(n, H, H, inner, H, round.second_t, H, outer, H, true);
        if (!round.linear)
            for (int64_t k = 0; k < n * H; ++k) outer[k] *= silu_slope(first[k]);
        int64_t block = 0;
        for (const Part &part : parts) {
            multiply(n, H, part.blocks * C, outer, H, round.first_t + block * C, (1 + 3 * DEGREES) * C, part.start + i0 * part.stride, part.stride, true);
            block += part.blocks;
        }
        if (!d_shown) continue;
        for (int64_t i = i0; i < i0 + n; ++i)
            for (int l = 1; l <= round.l_message; ++l) {
                const float *in = d_shown + (i * M + l * l) * C, *w = round.vectors_t[l - 1];
                multiply(2 * l + 1, C, C, in, C, w, 3 * C, d[0] + (i * HARMONICS + l * l) * C, C, true);
                multiply(2 * l + 1, C, C, in, C, w + C, 3 * C, d[1] + (i * round.square.size + l * l) * C, C, true);
                multiply(2 * l + 1, C, C, in, C, w + 2 * C, 3 * C, d[2] + (i * round.cube.size + DEGREES - 1 + l * l) * C, C, true);
            }
    }
    const auto back = [&](const Product &p, int64_t Ma, int64_t Mb, const float *a, const float *b, const float *d_out, float *da, float *db) {
        product_backward<NV>(p.tables, N, p.paths, Ma, Mb, p.size, a, b, p.weights, d_out, da, db, nullptr, threads);
    };
    back(round.fourth, round.square.size, round.square.size, s.square, s.square, d[3], d[1], d[1]);
    back(round.cube, round.square.size, HARMONICS, s.square, s.mixed, d[2], d[1], d[0]);
    back(round.square, HARMONICS, HARMONICS, s.mixed, s.mixed, d[1], d[0], d[0]);
#pragma omp parallel for num_threads(threads_for(N, threads)) schedule(static)
    for (int64_t i = 0; i < N; ++i)
        for (int l = 0; l < DEGREES; ++l)
            multiply(2 * l + 1, C, C, d[0] + (i * HARMONICS + l * l) * C, C, round.mix_t[l], C, d_density + (i * HARMONICS + l * l) * C, C, true);
}

template <int NV>
void evaluate(const Network &net, const Edges &edges, int64_t n_edges, const float *vectors, const int64_t *pair, float *energy, float *features, float *d_vectors, int threads) {
    constexpr int64_t C = LANES * NV;
    static thread_local Workspace memory;
    memory.begin();
    const int64_t N = edges.atoms, H = net.hidden, width = HARMONICS * C;
    float *g = memory.take(n_edges * LANES), *Y = memory.take(n_edges * HARMONICS);
    basis_forward(n_edges, net.primitives, net.cutoff, vectors, pair, net.power, net.log_norm, net.exponent, g, Y, threads);
    std::vector<Stored> stored(net.rounds);
    stored[0].density = memory.take(N * width);
    density_forward<NV>(edges, net.primitives, g, Y, net.density, stored[0].density, threads);
    std::memset(energy, 0, sizeof(float) * N);
    for (int64_t r = 0; r < net.rounds; ++r) {
        const Round &round = net.round[r];
        Stored &s = stored[r];
        s.mixed = memory.take(N * width);
        s.square = memory.take(N * round.square.size * C);
        s.cube = memory.take(N * round.cube.size * C);
        s.fourth = memory.take(N * round.fourth.size * C);
        s.first = memory.take(N * H);
        s.second = memory.take(N * H);
        const int64_t M = (round.l_message + 1) * (round.l_message + 1);
        if (round.l_message >= 0) s.shown = memory.take(N * M * C);
        round_forward<NV>(net, round, edges, s, energy, features + r * H, threads);
        if (round.l_message < 0) continue;
        s.message = memory.take(N * round.couplings.rows * C);
        message_forward<NV>(edges, round.couplings, net.primitives, M, g, Y, s.shown, round.radial, s.message, threads);
        stored[r + 1].density = memory.take(N * width);
        message_mix_forward<NV>(round, N, s, stored[r + 1].density, threads);
    }
    float *dg = memory.take(n_edges * LANES), *dY = memory.take(n_edges * HARMONICS);
    float *more_g = memory.take(n_edges * LANES), *more_Y = memory.take(n_edges * HARMONICS);
    float *d_density = memory.take(N * width), *d_before = memory.take(N * width);
    std::memset(d_density, 0, sizeof(float) * N * width);
    std::memset(dg, 0, sizeof(float) * n_edges * LANES);
    std::memset(dY, 0, sizeof(float) * n_edges * HARMONICS);
    const auto add = [&](float *to, const float *from, int64_t size) {
        for (int64_t k = 0; k < size; ++k) to[k] += from[k];
    };
    for (int64_t r = net.rounds - 1; r >= 0; --r) {
        const Round &round = net.round[r];
        float *d_shown = nullptr;
        if (round.l_message >= 0) {
            const int64_t M = (round.l_message + 1) * (round.l_message + 1);
            float *d_message = memory.take(N * round.couplings.rows * C);
            d_shown = memory.take(N * M * C);
            message_mix_backward<NV>(round, N, d_density, d_before, d_message, threads);
            std::swap(d_density, d_before);
            message_backward<NV>(edges, round.couplings, net.primitives, M, g, Y, stored[r].shown, round.radial, d_message, more_g, more_Y, d_shown, nullptr, threads);
            add(dg, more_g, n_edges * LANES);
            add(dY, more_Y, n_edges * HARMONICS);
        }
        round_backward<NV>(net, round, edges, stored[r], d_shown, d_density, memory, threads);
    }
    density_backward<NV>(edges, net.primitives, g, Y, net.density_t, d_density, more_g, more_Y, nullptr, threads);
    add(dg, more_g, n_edges * LANES);
    add(dY, more_Y, n_edges * HARMONICS);
    basis_backward(n_edges, edges.elements * edges.elements, net.primitives, net.cutoff, vectors, pair, net.power, net.exponent, g, dg, dY, d_vectors, nullptr, threads);
    memory.end();
}

} // namespace

extern "C" {

// energy [N], features [N, rounds · H], d_vectors [E, 3]: the derivative of the sum of the energies.
int gto_evaluate(int channels, const Network *net, Edges edges, int64_t n_edges, const float *vectors, const int64_t *pair,
                 float *energy, float *features, float *d_vectors, int threads) {
    FOR_CHANNELS(evaluate<NV>(*net, edges, n_edges, vectors, pair, energy, features, d_vectors, threads));
}
}
