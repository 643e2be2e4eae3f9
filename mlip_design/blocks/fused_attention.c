/* Attention among the tokens of each centre and its first derivatives, without intermediate tensors in memory.

   For the heads h of every centre, with Legendre order l = h mod n_orders, tokens b and queries a:

       logit(b, a) = scale k_h(b) . q_h(a) P_l(n_b . n_a) + ln w(b)
       out_h(a)    = sum over b of softmax_b(logit(b, a)) u_h(b)

   where q, k are the projections or, with `normalized`, these over their root mean square, u is v or, with `weighted`,
   w v, and n is the direction of an edge. See attention/softmax.py and attention/smooth.py, which say the same in torch.

   The tokens of centre i are row i of every array and rows n_atoms + first[i] to n_atoms + first[i + 1] - 1. All of a
   centre is kept in the first cache: tokens lie along vectors of W numbers, channels or other tokens across them. */

#include "vectors.h"

typedef struct {
    int64_t n_atoms, most_tokens, n_features, n_heads, n_orders, selves_only, normalized, weighted, n_threads;
    double scale, eps;
} Sizes;

typedef struct {
    int64_t tokens, queries, nt, nq; /* of this centre; vectors that they take */
    int64_t self, others;            /* its tokens are row self and rows others + 1, others + 2 .. of an array */
    vec *q, *k;                      /* (n_features, tokens): queries and keys as they enter the product */
    vec *v, *u;                      /* (n_features, tokens): values, and as they enter the sum */
    vec *inverse_q, *inverse_k;      /* (n_heads, tokens): 1 / root mean square */
    vec *weight, *log_weight;        /* (tokens) */
    vec *unit, *legendre;            /* (3, tokens); (n_orders, tokens, queries) */
    vec *dot, *share;                /* of one head, (tokens, queries) */
    vec *out, *change, *turned_share, *turned_change, *fading;
    vec *grad_q, *grad_k, *grad_u, *grad_legendre, *grad_unit;
    vec *memory;
} Centre;

/* c (rows, vectors) = a b, with a(i, m) = a[i * row_step + m * depth_step] and b (depth, vectors); rows go by four:
   what stands behind the last one of a is read, what stands behind the last one of c is overwritten. */
#define BLOCK(N)                                                                                             \
    for (; j + N <= vectors; j += N) {                                                                       \
        vec sum[4][N];                                                                                       \
        memset(sum, 0, sizeof sum);                                                                          \
        for (int64_t m = 0; m < depth; m++)                                                                  \
            for (int r = 0; r < 4; r++)                                                                      \
                for (int n = 0; n < N; n++) sum[r][n] += a[(i + r) * row_step + m * depth_step] * b[m * vectors + j + n]; \
        for (int r = 0; r < 4; r++)                                                                          \
            for (int n = 0; n < N; n++) c[(i + r) * vectors + j + n] = sum[r][n];                             \
    }

static void product(int64_t rows, int64_t vectors, int64_t depth, const REAL *a, int64_t row_step, int64_t depth_step,
                    const vec *b, vec *c) {
    for (int64_t i = 0; i < rows; i += 4) {
        int64_t j = 0;
        BLOCK(3) BLOCK(2) BLOCK(1)
    }
}

#define MIX(low, high, a, b, step, ...)                                                                      \
    low = __builtin_shuffle(a, b, (bits){__VA_ARGS__}), high = __builtin_shuffle(a, b, (bits){__VA_ARGS__} + step)

/* The transpose of W vectors, in place: numbers of two vectors interleaved, then pairs of them, then halves, each of
   which is one instruction. */
static inline void turn(vec *x) {
    vec y[W];
#ifdef WIDE
#pragma GCC unroll 2
    for (int i = 0; i < 4; i += 2) MIX(y[i], y[i + 1], x[i], x[i + 1], 1, 0, 4, 2, 6);
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) MIX(x[i], x[i + 2], y[i], y[i + 2], 2, 0, 1, 4, 5);
#else
    vec z[W];
#pragma GCC unroll 4
    for (int i = 0; i < 8; i += 2) MIX(y[i], y[i + 1], x[i], x[i + 1], 2, 0, 8, 1, 9, 4, 12, 5, 13);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        int j = i / 2 * 4, h = i % 2;
        MIX(z[j + 2 * h], z[j + 2 * h + 1], y[j + h], y[j + h + 2], 2, 0, 1, 8, 9, 4, 5, 12, 13);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) MIX(x[i], x[i + 4], z[i], z[i + 4], 4, 0, 1, 2, 3, 8, 9, 10, 11);
#endif
}

/* Where token t of this centre stands in an array of rows of so many numbers. */
static inline REAL *row(const Centre *s, int64_t t, const REAL *array, int64_t step) {
    return (REAL *)array + (t ? s->others + t : s->self) * step;
}

/* Columns of the tokens from t on, of which so many are there, as W vectors; the usual case, whole vectors, without a
   call. */
static inline void load(const Centre *s, int64_t t, int64_t tokens, int64_t columns, const REAL *from, int64_t step, vec *x) {
    if (tokens - t >= W && columns >= W) {
#pragma GCC unroll 8
        for (int l = 0; l < W; l++) memcpy(x + l, row(s, t + l, from, step), BYTES);
        return;
    }
    memset(x, 0, W * BYTES);
    for (int l = 0; l < W && t + l < tokens; l++)
        if (columns >= W) memcpy(x + l, row(s, t + l, from, step), BYTES);
        else memcpy(x + l, row(s, t + l, from, step), columns * sizeof(REAL));
}

static inline void store(const Centre *s, int64_t t, int64_t tokens, int64_t columns, const vec *x, REAL *to, int64_t step) {
    if (tokens - t >= W && columns >= W) {
#pragma GCC unroll 8
        for (int l = 0; l < W; l++) memcpy(row(s, t + l, to, step), x + l, BYTES);
        return;
    }
    for (int l = 0; l < W && t + l < tokens; l++)
        if (columns >= W) memcpy(row(s, t + l, to, step), x + l, BYTES);
        else memcpy(row(s, t + l, to, step), x + l, columns * sizeof(REAL));
}

/* Rows of tokens -> columns along vectors (columns, vectors), zero behind the last token. */
static void gather(const Centre *s, int64_t tokens, int64_t columns, const REAL *from, int64_t step, vec *to) {
    int64_t vectors = (tokens + W - 1) / W;
    for (int64_t j = 0; j < vectors; j++)
        for (int64_t c = 0; c < columns; c += W) {
            vec x[W];
            load(s, j * W, tokens, columns - c, from + c, step, x);
            turn(x);
#pragma GCC unroll 8
            for (int l = 0; l < W; l++) to[(c + l) * vectors + j] = x[l];
        }
}

/* The way back. */
static void scatter(const Centre *s, int64_t tokens, int64_t columns, const vec *from, REAL *to, int64_t step) {
    int64_t vectors = (tokens + W - 1) / W;
    for (int64_t j = 0; j < vectors; j++)
        for (int64_t c = 0; c < columns; c += W) {
            vec x[W];
#pragma GCC unroll 8
            for (int l = 0; l < W; l++) x[l] = from[(c + l) * vectors + j];
            turn(x);
            store(s, j * W, tokens, columns - c, x, to + c, step);
        }
}

/* The transpose of a matrix (tokens, queries) with queries along vectors: tokens along vectors. */
static void transpose(const Centre *s, const vec *from, vec *to) {
    for (int64_t j = 0; j < s->nt; j++)
        for (int64_t i = 0; i < s->nq; i++) {
            vec x[W];
            for (int l = 0; l < W; l++) x[l] = j * W + l < s->tokens ? from[(j * W + l) * s->nq + i] : (vec){0};
            turn(x);
#pragma GCC unroll 8
            for (int l = 0; l < W; l++) to[(i * W + l) * s->nt + j] = x[l];
        }
}

static void allocate(Centre *s, const Sizes *z) {
    int64_t vectors = (z->most_tokens + W - 1) / W, channels = (z->n_features + W) * vectors;
    int64_t heads = z->n_heads * vectors, square = (z->most_tokens + W) * vectors, i = 0;
    vec **parts[] = {&s->q, &s->k, &s->v, &s->u, &s->out, &s->grad_q, &s->grad_k, &s->grad_u,
                     &s->inverse_q, &s->inverse_k, &s->weight, &s->log_weight, &s->fading, &s->unit, &s->grad_unit,
                     &s->dot, &s->share, &s->change, &s->turned_share, &s->turned_change,
                     &s->legendre, &s->grad_legendre};
    int64_t counts[] = {channels, channels, channels, channels, channels, channels, channels, channels,
                        heads, heads, vectors, vectors, z->most_tokens, (3 + W) * vectors, 3 * vectors,
                        square, square, square, square, square,
                        z->n_orders * square, z->n_orders * square};
    int64_t total = 0, n = sizeof counts / sizeof counts[0];
    for (i = 0; i < n; i++) total += counts[i];
    s->memory = aligned_alloc(BYTES, total * BYTES);
    memset(s->memory, 0, total * BYTES);
    vec *next = s->memory;
    for (i = 0; i < n; i++) *parts[i] = next, next += counts[i];
}

/* Vectors over their root mean square in each head, in place. */
static void normalize(const Sizes *z, int64_t vectors, vec *values, vec *inverse) {
    int64_t n = z->n_features / z->n_heads;
    REAL *numbers = (REAL *)inverse;
    for (int64_t h = 0; h < z->n_heads; h++)
        for (int64_t j = 0; j < vectors; j++) {
            const vec *x = values + h * n * vectors + j;
            vec sum = {0};
            for (int64_t c = 0; c < n; c++) sum += x[c * vectors] * x[c * vectors];
            inverse[h * vectors + j] = sum / (REAL)n + (REAL)z->eps;
        }
    for (int64_t i = 0; i < z->n_heads * vectors * W; i++) numbers[i] = 1 / ROOT(numbers[i]);
    for (int64_t h = 0; h < z->n_heads; h++)
        for (int64_t c = h * n; c < h * n + n; c++)
            for (int64_t j = 0; j < vectors; j++) values[c * vectors + j] *= inverse[h * vectors + j];
}

/* Gradients of the vectors from those of what `normalize` made of them, in place: r (g - y mean(g y)). */
static void denormalize(const Sizes *z, int64_t vectors, const vec *values, const vec *inverse, vec *gradient) {
    int64_t n = z->n_features / z->n_heads;
    for (int64_t h = 0; h < z->n_heads; h++)
        for (int64_t j = 0; j < vectors; j++) {
            const vec *y = values + h * n * vectors + j;
            vec *g = gradient + h * n * vectors + j, along = {0};
            for (int64_t c = 0; c < n; c++) along += g[c * vectors] * y[c * vectors];
            along /= (REAL)n;
            for (int64_t c = 0; c < n; c++)
                g[c * vectors] = inverse[h * vectors + j] * (g[c * vectors] - y[c * vectors] * along);
        }
}

/* P_l of the cosines between the edges, by Bonnet's recurrence; a self token has the direction 0. */
static void legendre_polynomials(const Sizes *z, Centre *s) {
    int64_t square = s->tokens * s->nq;
    const REAL *unit = (REAL *)s->unit;
    for (int64_t b = 0; b < s->tokens; b++)
        for (int64_t j = 0; j < s->nq; j++) {
            vec cosine = {0}, *p = s->legendre + b * s->nq + j;
            for (int64_t d = 0; d < 3; d++) cosine += unit[d * s->nt * W + b] * s->unit[d * s->nt + j];
            *p = (vec){0} + 1;
            if (z->n_orders > 1) p[square] = cosine;
            for (int64_t l = 2; l < z->n_orders; l++)
                p[l * square] = (cosine * p[(l - 1) * square] * (REAL)(2 * l - 1) - p[(l - 2) * square] * (REAL)(l - 1)) / (REAL)l;
        }
}

/* Gradients of the directions from those of the polynomials, P'_l = P'_(l-2) + (2 l - 1) P_(l-1). */
static void directions(const Sizes *z, Centre *s, REAL *grad_unit) {
    int64_t square = s->tokens * s->nq;
    const REAL *unit = (REAL *)s->unit, *along = (REAL *)s->grad_unit;
    memset(s->grad_unit, 0, 3 * s->nt * BYTES);
    for (int64_t b = 0; b < s->tokens; b++) {
        vec across[3] = {0};
        for (int64_t j = 0; j < s->nq; j++) {
            const vec *p = s->legendre + b * s->nq + j, *g = s->grad_legendre + b * s->nq + j;
            vec by_cosine = {0}, slope[2] = {{0}, {0}};
            for (int64_t l = 1; l < z->n_orders; l++) {
                slope[l % 2] += p[(l - 1) * square] * (REAL)(2 * l - 1);
                by_cosine += g[l * square] * slope[l % 2];
            }
            for (int64_t d = 0; d < 3; d++) {
                across[d] += by_cosine * s->unit[d * s->nt + j];
                s->grad_unit[d * s->nt + j] += by_cosine * unit[d * s->nt * W + b];
            }
        }
        REAL *by_unit = row(s, b, grad_unit, 3);
        for (int64_t d = 0; d < 3; d++) {
            by_unit[d] = 0;
            for (int l = 0; l < W; l++) by_unit[d] += across[d][l];
        }
    }
    for (int64_t a = 0; a < s->queries; a++)
        for (int64_t d = 0; d < 3; d++) row(s, a, grad_unit, 3)[d] += along[d * s->nt * W + a];
}

/* Read centre i: tokens along vectors, queries and keys normalised, values weighted. */
static void read(const Sizes *z, Centre *s, int64_t i, const int64_t *first, const REAL *query, const REAL *key_value,
                 const REAL *weight, const REAL *log_weight, const REAL *unit) {
    int64_t f = z->n_features;
    s->self = i, s->others = z->n_atoms + first[i] - 1;
    s->tokens = 1 + first[i + 1] - first[i], s->queries = z->selves_only ? 1 : s->tokens;
    s->nt = (s->tokens + W - 1) / W, s->nq = (s->queries + W - 1) / W;
    memset(s->weight, 0, s->nt * BYTES);
    for (int64_t t = 0; t < s->tokens; t++) {
        ((REAL *)s->weight)[t] = *row(s, t, weight, 1);
        ((REAL *)s->log_weight)[t] = *row(s, t, log_weight, 1);
    }
    gather(s, s->queries, f, query, f, s->q);
    gather(s, s->tokens, f, key_value, 2 * f, s->k);
    gather(s, s->tokens, f, key_value + f, 2 * f, s->v);
    gather(s, s->tokens, 3, unit, 3, s->unit);
    legendre_polynomials(z, s);
    if (z->normalized) {
        normalize(z, s->nq, s->q, s->inverse_q);
        normalize(z, s->nt, s->k, s->inverse_k);
    }
    for (int64_t c = 0; c < f; c++)
        for (int64_t j = 0; j < s->nt; j++) {
            int64_t at = c * s->nt + j;
            s->u[at] = z->weighted ? s->v[at] * s->weight[j] : s->v[at];
        }
}

/* Shares of one head, (tokens, queries), and the products of keys and queries that they come from. */
static void attend(const Sizes *z, Centre *s, int64_t head) {
    int64_t n = z->n_features / z->n_heads, nq = s->nq;
    const vec *legendre = s->legendre + head % z->n_orders * s->tokens * nq;
    const REAL *log_weight = (REAL *)s->log_weight;
    product(s->tokens, nq, n, (REAL *)(s->k + head * n * s->nt), 1, s->nt * W, s->q + head * n * nq, s->dot);
    for (int64_t j = 0; j < nq; j++) {
        vec highest = (vec){0} - (REAL)INFINITY, sum = {0};
        for (int64_t b = 0; b < s->tokens; b++) {
            vec logit = s->dot[b * nq + j] * legendre[b * nq + j] * (REAL)z->scale + log_weight[b];
            highest = choose(logit > highest, logit, highest);
            s->share[b * nq + j] = logit;
        }
        for (int64_t b = 0; b < s->tokens; b++)
            sum += s->share[b * nq + j] = exponential(s->share[b * nq + j] - highest);
        sum = 1 / sum;
        for (int64_t b = 0; b < s->tokens; b++) s->share[b * nq + j] *= sum;
    }
}

/* out, in the shape of query: (n_tokens, n_features), or (n_atoms, n_features) with `selves_only`; key_value (n_tokens,
   2 n_features); weight and log_weight (n_tokens); unit (n_tokens, 3); first (n_atoms + 1). */
void attention_forward(const Sizes *z, const int64_t *first, const REAL *query, const REAL *key_value, const REAL *weight,
                       const REAL *log_weight, const REAL *unit, REAL *out) {
    int64_t f = z->n_features, n = f / z->n_heads;
#pragma omp parallel num_threads(z->n_threads)
    {
        Centre s;
        allocate(&s, z);
#pragma omp for
        for (int64_t i = 0; i < z->n_atoms; i++) {
            read(z, &s, i, first, query, key_value, weight, log_weight, unit);
            for (int64_t h = 0; h < z->n_heads; h++) {
                attend(z, &s, h);
                product(n, s.nq, s.tokens, (REAL *)(s.u + h * n * s.nt), s.nt * W, 1, s.share, s.out + h * n * s.nq);
            }
            scatter(&s, s.queries, f, s.out, out, f);
        }
        free(s.memory);
    }
}

/* Gradients of the inputs, in their shapes, from that of out. */
void attention_backward(const Sizes *z, const int64_t *first, const REAL *query, const REAL *key_value, const REAL *weight,
                        const REAL *log_weight, const REAL *unit, const REAL *grad_out, REAL *grad_query,
                        REAL *grad_key_value, REAL *grad_weight, REAL *grad_log_weight, REAL *grad_unit) {
    int64_t f = z->n_features, n = f / z->n_heads;
#pragma omp parallel num_threads(z->n_threads)
    {
        Centre s;
        allocate(&s, z);
#pragma omp for
        for (int64_t i = 0; i < z->n_atoms; i++) {
            read(z, &s, i, first, query, key_value, weight, log_weight, unit);
            int64_t nt = s.nt, nq = s.nq, square = s.tokens * nq;
            gather(&s, s.queries, f, grad_out, f, s.out);
            memset(s.grad_legendre, 0, z->n_orders * square * BYTES);
            memset(s.fading, 0, s.tokens * BYTES);
            for (int64_t h = 0; h < z->n_heads; h++) {
                const vec *legendre_h = s.legendre + h % z->n_orders * square, *out = s.out + h * n * nq;
                vec *grad_legendre_h = s.grad_legendre + h % z->n_orders * square;
                attend(z, &s, h);
                product(s.tokens, nq, n, (REAL *)(s.u + h * n * nt), 1, nt * W, out, s.change);
                for (int64_t j = 0; j < nq; j++) {
                    vec along = {0};
                    for (int64_t b = 0; b < s.tokens; b++) along += s.share[b * nq + j] * s.change[b * nq + j];
                    for (int64_t b = 0; b < s.tokens; b++) {
                        int64_t at = b * nq + j;
                        vec by_logit = s.share[at] * (s.change[at] - along);
                        s.fading[b] += by_logit;
                        grad_legendre_h[at] += by_logit * s.dot[at] * (REAL)z->scale;
                        s.change[at] = by_logit * legendre_h[at] * (REAL)z->scale;
                    }
                }
                transpose(&s, s.share, s.turned_share);
                transpose(&s, s.change, s.turned_change);
                product(n, nq, s.tokens, (REAL *)(s.k + h * n * nt), nt * W, 1, s.change, s.grad_q + h * n * nq);
                product(n, nt, s.queries, (REAL *)(s.q + h * n * nq), nq * W, 1, s.turned_change, s.grad_k + h * n * nt);
                product(n, nt, s.queries, (REAL *)out, nq * W, 1, s.turned_share, s.grad_u + h * n * nt);
            }
            directions(z, &s, grad_unit);
            if (z->normalized) {
                denormalize(z, nq, s.q, s.inverse_q, s.grad_q);
                denormalize(z, nt, s.k, s.inverse_k, s.grad_k);
            }
            for (int64_t j = 0; j < nt; j++) {
                vec by_weight = {0};
                for (int64_t c = 0; z->weighted && c < f; c++) {
                    by_weight += s.v[c * nt + j] * s.grad_u[c * nt + j];
                    s.grad_u[c * nt + j] *= s.weight[j];
                }
                s.weight[j] = by_weight;
            }
            for (int64_t t = 0; t < s.tokens; t++) {
                REAL faded = 0;
                for (int l = 0; l < W; l++) faded += s.fading[t][l];
                *row(&s, t, grad_weight, 1) = ((REAL *)s.weight)[t];
                *row(&s, t, grad_log_weight, 1) = faded;
            }
            scatter(&s, s.queries, f, s.grad_q, grad_query, f);
            scatter(&s, s.tokens, f, s.grad_k, grad_key_value, 2 * f);
            scatter(&s, s.tokens, f, s.grad_u, grad_key_value + f, 2 * f);
        }
        free(s.memory);
    }
}
