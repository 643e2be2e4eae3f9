/* Attention among the tokens of each centre, its first and second derivatives, without intermediate tensors in memory.

   For the heads h of every centre, with Legendre order l = h mod n_orders, tokens b and queries a:

       logit(b, a) = scale k_h(b) . q_h(a) P_l(n_b . n_a) + ln w(b)
       out_h(a)    = sum over b of softmax_b(logit(b, a)) u_h(b)

   where q, k are the projections or, with `normalized`, these over their root mean square, u is v or, with `weighted`,
   w v, and n is the direction of an edge. See attention/softmax.py and attention/smooth.py, which say the same in torch.

   Second derivatives: with a gradient g of out and a direction t of the inputs x, the derivatives of t.(dL/dx),
   L = g.out(x), are the change of out along t (by g) and that of dL/dx along t (by x). So what is called change below is
   the derivative along t of what is computed above it, all the way through values and gradients.

   The tokens of centre i are row i of every array and rows n_atoms + first[i] to n_atoms + first[i + 1] - 1. All of a
   centre is kept in the first cache: tokens lie along vectors of W numbers, channels or other tokens across them. */

#include "vectors.h"

typedef struct {
    int64_t n_atoms, most_tokens, n_features, n_heads, n_orders, selves_only, normalized, weighted, n_threads;
    double scale, eps;
} Sizes;

typedef struct {
    REAL *query, *key_value, *weight, *log_weight, *unit; /* of all centres, or gradients of them */
} Tensors;

typedef struct {
    int64_t tokens, queries, nt, nq;   /* of this centre; vectors that they take */
    int64_t self, others;              /* its tokens are row self and rows others + 1, others + 2 .. of an array */
    vec *q, *k;                        /* (n_features, tokens): queries and keys as they enter the product */
    vec *v, *u;                        /* (n_features, tokens): values, and as they enter the sum */
    vec *inverse_q, *inverse_k;        /* (n_heads, tokens): 1 / root mean square */
    vec *weight, *log_weight;          /* (tokens) */
    vec *unit, *legendre;              /* (3, tokens); (n_orders, tokens, queries) */
    vec *dot, *share, *lift, *slope;   /* of one head, (tokens, queries): k.q; softmax; gradients of share and of dot */
    vec *turned_share, *turned_slope;  /* (queries, tokens) */
    vec *out;                          /* (n_features, queries), or its gradient */
    vec *grad_q, *grad_k, *grad_u, *grad_weight, *grad_log_weight, *grad_unit, *grad_legendre;
    vec *memory;
} Centre;

/* c (rows, vectors) = a b, added to c if there is `more`; a(i, m) = a[i * row_step + m * depth_step], b (depth, vectors).
   Rows go by four: what stands behind the last one of a is read, what stands behind the last one of c is overwritten. */
#define BLOCK(N)                                                                                             \
    for (; j + N <= vectors; j += N) {                                                                       \
        vec sum[4][N];                                                                                       \
        for (int r = 0; r < 4; r++)                                                                          \
            for (int n = 0; n < N; n++) sum[r][n] = more ? c[(i + r) * vectors + j + n] : (vec){0};           \
        for (int64_t m = 0; m < depth; m++)                                                                  \
            for (int r = 0; r < 4; r++)                                                                      \
                for (int n = 0; n < N; n++) sum[r][n] += a[(i + r) * row_step + m * depth_step] * b[m * vectors + j + n]; \
        for (int r = 0; r < 4; r++)                                                                          \
            for (int n = 0; n < N; n++) c[(i + r) * vectors + j + n] = sum[r][n];                             \
    }

static void product(int64_t rows, int64_t vectors, int64_t depth, const REAL *a, int64_t row_step, int64_t depth_step,
                    const vec *b, vec *c, int more) {
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
    vec **parts[] = {&s->q, &s->k, &s->v, &s->u, &s->out, &s->grad_q, &s->grad_k, &s->grad_u, &s->inverse_q, &s->inverse_k,
                     &s->weight, &s->log_weight, &s->grad_weight, &s->grad_log_weight, &s->unit, &s->grad_unit,
                     &s->dot, &s->share, &s->lift, &s->slope, &s->turned_share, &s->turned_slope,
                     &s->legendre, &s->grad_legendre};
    int64_t counts[] = {channels, channels, channels, channels, channels, channels, channels, channels, heads, heads,
                        vectors, vectors, vectors, z->most_tokens, (3 + W) * vectors, 3 * vectors,
                        square, square, square, square, square, square,
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

/* The Jacobian of `normalize`, which is symmetric, times vectors, in place: x -> r (x - y mean(x y)). Gradients of what
   was normalised from those of the result, or changes of the result; these with the changes of r, if wanted. */
static void denormalize(const Sizes *z, int64_t vectors, const vec *values, const vec *inverse, vec *x, vec *inverse_change) {
    int64_t n = z->n_features / z->n_heads;
    for (int64_t h = 0; h < z->n_heads; h++)
        for (int64_t j = 0; j < vectors; j++) {
            const vec *y = values + h * n * vectors + j, r = inverse[h * vectors + j];
            vec *at = x + h * n * vectors + j, along = {0};
            for (int64_t c = 0; c < n; c++) along += at[c * vectors] * y[c * vectors];
            along /= (REAL)n;
            for (int64_t c = 0; c < n; c++) at[c * vectors] = r * (at[c * vectors] - y[c * vectors] * along);
            if (inverse_change) inverse_change[h * vectors + j] = -r * r * along;
        }
}

/* The change of r (g - y mean(g y)), in the place of that of the gradient g. */
static void denormalize_change(const Sizes *z, int64_t vectors, const vec *values, const vec *inverse, const vec *gradient,
                               const vec *values_change, const vec *inverse_change, vec *gradient_change) {
    int64_t n = z->n_features / z->n_heads;
    for (int64_t h = 0; h < z->n_heads; h++)
        for (int64_t j = 0; j < vectors; j++) {
            int64_t at = h * n * vectors + j;
            const vec *y = values + at, *g = gradient + at, *dy = values_change + at;
            vec *dg = gradient_change + at, along = {0}, along_change = {0};
            vec r = inverse[h * vectors + j], dr = inverse_change[h * vectors + j];
            for (int64_t c = 0; c < n * vectors; c += vectors) {
                along += g[c] * y[c];
                along_change += dg[c] * y[c] + g[c] * dy[c];
            }
            along /= (REAL)n, along_change /= (REAL)n;
            for (int64_t c = 0; c < n * vectors; c += vectors)
                dg[c] = dr * (g[c] - y[c] * along) + r * (dg[c] - dy[c] * along - y[c] * along_change);
        }
}

/* Number d of the direction of token t. */
static inline REAL direction(const Centre *s, int64_t d, int64_t t) { return ((REAL *)s->unit)[d * s->nt * W + t]; }

/* P_l of the cosines between the edges, by Bonnet's recurrence; a self token has the direction 0. */
static void legendre_polynomials(const Sizes *z, Centre *s) {
    int64_t square = s->tokens * s->nq;
    for (int64_t b = 0; b < s->tokens; b++)
        for (int64_t j = 0; j < s->nq; j++) {
            vec x = {0}, *p = s->legendre + b * s->nq + j;
            for (int64_t d = 0; d < 3; d++) x += direction(s, d, b) * s->unit[d * s->nt + j];
            p[0] = (vec){0} + 1;
            if (z->n_orders > 1) p[square] = x;
            for (int64_t l = 2; l < z->n_orders; l++)
                p[l * square] = (x * p[(l - 1) * square] * (REAL)(2 * l - 1) - p[(l - 2) * square] * (REAL)(l - 1)) / (REAL)l;
        }
}

static void legendre_polynomials_change(const Sizes *z, const Centre *s, Centre *d) {
    int64_t square = s->tokens * s->nq;
    for (int64_t b = 0; b < s->tokens; b++)
        for (int64_t j = 0; j < s->nq; j++) {
            const vec *p = s->legendre + b * s->nq + j;
            vec x = {0}, dx = {0}, *dp = d->legendre + b * s->nq + j;
            for (int64_t i = 0; i < 3; i++) {
                x += direction(s, i, b) * s->unit[i * s->nt + j];
                dx += direction(s, i, b) * d->unit[i * s->nt + j] + direction(d, i, b) * s->unit[i * s->nt + j];
            }
            dp[0] = (vec){0};
            if (z->n_orders > 1) dp[square] = dx;
            for (int64_t l = 2; l < z->n_orders; l++)
                dp[l * square] = ((dx * p[(l - 1) * square] + x * dp[(l - 1) * square]) * (REAL)(2 * l - 1)
                                  - dp[(l - 2) * square] * (REAL)(l - 1)) / (REAL)l;
        }
}

/* Add gradients of the direction of token b that stand across vectors. */
static void add_across(Centre *s, int64_t b, const vec *across) {
    for (int64_t i = 0; i < 3; i++)
        for (int l = 0; l < W; l++) ((REAL *)s->grad_unit)[i * s->nt * W + b] += across[i][l];
}

/* Gradients of the directions from those of the polynomials, P'_l = P'_(l-2) + (2 l - 1) P_(l-1). */
static void directions(const Sizes *z, Centre *s) {
    int64_t square = s->tokens * s->nq;
    memset(s->grad_unit, 0, 3 * s->nt * BYTES);
    for (int64_t b = 0; b < s->tokens; b++) {
        vec across[3] = {0};
        for (int64_t j = 0; j < s->nq; j++) {
            const vec *p = s->legendre + b * s->nq + j, *g = s->grad_legendre + b * s->nq + j;
            vec by_cosine = {0}, slope[2] = {0};
            for (int64_t l = 1; l < z->n_orders; l++) {
                slope[l % 2] += p[(l - 1) * square] * (REAL)(2 * l - 1);
                by_cosine += g[l * square] * slope[l % 2];
            }
            for (int64_t i = 0; i < 3; i++) {
                across[i] += by_cosine * s->unit[i * s->nt + j];
                s->grad_unit[i * s->nt + j] += by_cosine * direction(s, i, b);
            }
        }
        add_across(s, b, across);
    }
}

static void directions_change(const Sizes *z, const Centre *s, Centre *d) {
    int64_t square = s->tokens * s->nq;
    memset(d->grad_unit, 0, 3 * s->nt * BYTES);
    for (int64_t b = 0; b < s->tokens; b++) {
        vec across[3] = {0};
        for (int64_t j = 0; j < s->nq; j++) {
            int64_t at = b * s->nq + j;
            vec by_cosine = {0}, change = {0}, slope[2] = {0}, slope_change[2] = {0};
            for (int64_t l = 1; l < z->n_orders; l++) {
                slope[l % 2] += s->legendre[(l - 1) * square + at] * (REAL)(2 * l - 1);
                slope_change[l % 2] += d->legendre[(l - 1) * square + at] * (REAL)(2 * l - 1);
                by_cosine += s->grad_legendre[l * square + at] * slope[l % 2];
                change += d->grad_legendre[l * square + at] * slope[l % 2]
                          + s->grad_legendre[l * square + at] * slope_change[l % 2];
            }
            for (int64_t i = 0; i < 3; i++) {
                across[i] += change * s->unit[i * s->nt + j] + by_cosine * d->unit[i * s->nt + j];
                d->grad_unit[i * s->nt + j] += change * direction(s, i, b) + by_cosine * direction(d, i, b);
            }
        }
        add_across(d, b, across);
    }
}

/* Turn to centre i. */
static void enter(const Sizes *z, Centre *s, int64_t i, const int64_t *first) {
    s->self = i, s->others = z->n_atoms + first[i] - 1;
    s->tokens = 1 + first[i + 1] - first[i], s->queries = z->selves_only ? 1 : s->tokens;
    s->nt = (s->tokens + W - 1) / W, s->nq = (s->queries + W - 1) / W;
}

/* Its tokens along vectors. */
static void read(const Sizes *z, Centre *s, const Tensors *x) {
    int64_t f = z->n_features;
    memset(s->weight, 0, s->nt * BYTES);
    for (int64_t t = 0; t < s->tokens; t++) {
        ((REAL *)s->weight)[t] = *row(s, t, x->weight, 1);
        ((REAL *)s->log_weight)[t] = *row(s, t, x->log_weight, 1);
    }
    gather(s, s->queries, f, x->query, f, s->q);
    gather(s, s->tokens, f, x->key_value, 2 * f, s->k);
    gather(s, s->tokens, f, x->key_value + f, 2 * f, s->v);
    gather(s, s->tokens, 3, x->unit, 3, s->unit);
}

/* What is made of them before heads are told apart. */
static void prepare(const Sizes *z, Centre *s) {
    legendre_polynomials(z, s);
    if (z->normalized) {
        normalize(z, s->nq, s->q, s->inverse_q);
        normalize(z, s->nt, s->k, s->inverse_k);
    }
    for (int64_t c = 0; c < z->n_features; c++)
        for (int64_t j = 0; j < s->nt; j++) {
            int64_t at = c * s->nt + j;
            s->u[at] = z->weighted ? s->v[at] * s->weight[j] : s->v[at];
        }
}

static void prepare_change(const Sizes *z, const Centre *s, Centre *d) {
    legendre_polynomials_change(z, s, d);
    if (z->normalized) {
        denormalize(z, s->nq, s->q, s->inverse_q, d->q, d->inverse_q);
        denormalize(z, s->nt, s->k, s->inverse_k, d->k, d->inverse_k);
    }
    for (int64_t c = 0; c < z->n_features; c++)
        for (int64_t j = 0; j < s->nt; j++) {
            int64_t at = c * s->nt + j;
            d->u[at] = z->weighted ? d->v[at] * s->weight[j] + s->v[at] * d->weight[j] : d->v[at];
        }
}

/* Shares of one head, and the products of keys and queries that they come from. */
static void attend(const Sizes *z, Centre *s, int64_t h) {
    int64_t n = z->n_features / z->n_heads, nq = s->nq;
    const vec *legendre = s->legendre + h % z->n_orders * s->tokens * nq;
    const REAL *log_weight = (REAL *)s->log_weight;
    product(s->tokens, nq, n, (REAL *)(s->k + h * n * s->nt), 1, s->nt * W, s->q + h * n * nq, s->dot, 0);
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

static void attend_change(const Sizes *z, const Centre *s, Centre *d, int64_t h) {
    int64_t n = z->n_features / z->n_heads, nq = s->nq, legendre = h % z->n_orders * s->tokens * nq;
    const REAL *log_weight = (REAL *)d->log_weight;
    product(s->tokens, nq, n, (REAL *)(d->k + h * n * s->nt), 1, s->nt * W, s->q + h * n * nq, d->dot, 0);
    product(s->tokens, nq, n, (REAL *)(s->k + h * n * s->nt), 1, s->nt * W, d->q + h * n * nq, d->dot, 1);
    for (int64_t j = 0; j < nq; j++) {
        vec along = {0};
        for (int64_t b = 0; b < s->tokens; b++) {
            int64_t at = b * nq + j;
            vec turned = d->dot[at] * s->legendre[legendre + at] + s->dot[at] * d->legendre[legendre + at];
            d->share[at] = turned * (REAL)z->scale + log_weight[b];
            along += s->share[at] * d->share[at];
        }
        for (int64_t b = 0; b < s->tokens; b++) {
            int64_t at = b * nq + j;
            d->share[at] = s->share[at] * (d->share[at] - along);
        }
    }
}

/* Gradients of one head's products of keys and queries, of ln w and of the polynomials; s->out is the gradient of out. */
static void slopes(const Sizes *z, Centre *s, int64_t h) {
    int64_t n = z->n_features / z->n_heads, nq = s->nq, legendre = h % z->n_orders * s->tokens * nq;
    product(s->tokens, nq, n, (REAL *)(s->u + h * n * s->nt), 1, s->nt * W, s->out + h * n * nq, s->lift, 0);
    for (int64_t j = 0; j < nq; j++) {
        vec along = {0};
        for (int64_t b = 0; b < s->tokens; b++) along += s->share[b * nq + j] * s->lift[b * nq + j];
        for (int64_t b = 0; b < s->tokens; b++) {
            int64_t at = b * nq + j;
            s->lift[at] -= along;
            vec by_logit = s->share[at] * s->lift[at];
            s->grad_log_weight[b] += by_logit;
            s->grad_legendre[legendre + at] += by_logit * s->dot[at] * (REAL)z->scale;
            s->slope[at] = by_logit * s->legendre[legendre + at] * (REAL)z->scale;
        }
    }
}

static void slopes_change(const Sizes *z, const Centre *s, Centre *d, int64_t h) {
    int64_t n = z->n_features / z->n_heads, nq = s->nq, legendre = h % z->n_orders * s->tokens * nq;
    product(s->tokens, nq, n, (REAL *)(d->u + h * n * s->nt), 1, s->nt * W, s->out + h * n * nq, d->lift, 0);
    for (int64_t j = 0; j < nq; j++) {
        vec along = {0};
        for (int64_t b = 0; b < s->tokens; b++)
            along += d->share[b * nq + j] * s->lift[b * nq + j] + s->share[b * nq + j] * d->lift[b * nq + j];
        for (int64_t b = 0; b < s->tokens; b++) {
            int64_t at = b * nq + j;
            vec by_logit = s->share[at] * s->lift[at];
            vec change = d->share[at] * s->lift[at] + s->share[at] * (d->lift[at] - along);
            d->grad_log_weight[b] += change;
            d->grad_legendre[legendre + at] += (change * s->dot[at] + by_logit * d->dot[at]) * (REAL)z->scale;
            d->slope[at] = (change * s->legendre[legendre + at] + by_logit * d->legendre[legendre + at]) * (REAL)z->scale;
        }
    }
}

/* Nothing yet of what heads add up. */
static void clear(const Sizes *z, Centre *s) {
    memset(s->grad_legendre, 0, z->n_orders * s->tokens * s->nq * BYTES);
    memset(s->grad_log_weight, 0, s->tokens * BYTES);
}

/* Tokens along vectors for what is summed over queries. */
static void turn_head(Centre *s) {
    transpose(s, s->share, s->turned_share);
    transpose(s, s->slope, s->turned_slope);
}

/* Gradients of one head's queries and keys, added if there is `more`, of vectors of x and slopes of y. */
static void by_dot(const Sizes *z, const Centre *x, const Centre *y, Centre *to, int64_t h, int more) {
    int64_t n = z->n_features / z->n_heads, nt = to->nt, nq = to->nq;
    product(n, nq, to->tokens, (REAL *)(x->k + h * n * nt), nt * W, 1, y->slope, to->grad_q + h * n * nq, more);
    product(n, nt, to->queries, (REAL *)(x->q + h * n * nq), nq * W, 1, y->turned_slope, to->grad_k + h * n * nt, more);
}

/* Gradients of one head's values as they enter the sum, from that of out. */
static void by_share(const Sizes *z, const vec *grad_out, Centre *s, int64_t h) {
    int64_t n = z->n_features / z->n_heads;
    product(n, s->nt, s->queries, (REAL *)(grad_out + h * n * s->nq), s->nq * W, 1, s->turned_share,
            s->grad_u + h * n * s->nt, 0);
}

/* Gradients of values and weights from those of the weighted values. */
static void weigh(const Sizes *z, Centre *s) {
    for (int64_t j = 0; z->weighted && j < s->nt; j++) {
        vec by_weight = {0};
        for (int64_t c = j; c < z->n_features * s->nt; c += s->nt) {
            by_weight += s->v[c] * s->grad_u[c];
            s->grad_u[c] *= s->weight[j];
        }
        s->grad_weight[j] = by_weight;
    }
}

static void weigh_change(const Sizes *z, const Centre *s, Centre *d) {
    for (int64_t j = 0; z->weighted && j < s->nt; j++) {
        vec by_weight = {0};
        for (int64_t c = j; c < z->n_features * s->nt; c += s->nt) {
            by_weight += d->v[c] * s->grad_u[c] + s->v[c] * d->grad_u[c];
            d->grad_u[c] = d->grad_u[c] * s->weight[j] + s->grad_u[c] * d->weight[j];
        }
        d->grad_weight[j] = by_weight;
    }
}

/* Gradients of what was read, from those of what was made of it. */
static void write(const Sizes *z, const Centre *s, const Tensors *x) {
    int64_t f = z->n_features;
    for (int64_t t = 0; t < s->tokens; t++) {
        REAL faded = 0;
        for (int l = 0; l < W; l++) faded += s->grad_log_weight[t][l];
        *row(s, t, x->log_weight, 1) = faded;
        *row(s, t, x->weight, 1) = ((REAL *)s->grad_weight)[t];
        for (int64_t i = 0; i < 3; i++) row(s, t, x->unit, 3)[i] = ((REAL *)s->grad_unit)[i * s->nt * W + t];
    }
    scatter(s, s->queries, f, s->grad_q, x->query, f);
    scatter(s, s->tokens, f, s->grad_k, x->key_value, 2 * f);
    scatter(s, s->tokens, f, s->grad_u, x->key_value + f, 2 * f);
}

/* out, in the shape of query: (n_tokens, n_features), or (n_atoms, n_features) with `selves_only`; key_value (n_tokens,
   2 n_features); weight and log_weight (n_tokens); unit (n_tokens, 3); first (n_atoms + 1). */
void attention_forward(const Sizes *z, const int64_t *first, REAL *query, REAL *key_value, REAL *weight,
                       REAL *log_weight, REAL *unit, REAL *out) {
    int64_t f = z->n_features, n = f / z->n_heads;
    Tensors x = {query, key_value, weight, log_weight, unit};
#pragma omp parallel num_threads(z->n_threads)
    {
        Centre s;
        allocate(&s, z);
#pragma omp for
        for (int64_t i = 0; i < z->n_atoms; i++) {
            enter(z, &s, i, first);
            read(z, &s, &x);
            prepare(z, &s);
            for (int64_t h = 0; h < z->n_heads; h++) {
                attend(z, &s, h);
                product(n, s.nq, s.tokens, (REAL *)(s.u + h * n * s.nt), s.nt * W, 1, s.share, s.out + h * n * s.nq, 0);
            }
            scatter(&s, s.queries, f, s.out, out, f);
        }
        free(s.memory);
    }
}

/* Gradients of the inputs, in their shapes, from that of out. */
void attention_backward(const Sizes *z, const int64_t *first, REAL *query, REAL *key_value, REAL *weight,
                        REAL *log_weight, REAL *unit, REAL *grad_out, REAL *grad_query,
                        REAL *grad_key_value, REAL *grad_weight, REAL *grad_log_weight, REAL *grad_unit) {
    int64_t f = z->n_features;
    Tensors x = {query, key_value, weight, log_weight, unit};
    Tensors grad_x = {grad_query, grad_key_value, grad_weight, grad_log_weight, grad_unit};
#pragma omp parallel num_threads(z->n_threads)
    {
        Centre s;
        allocate(&s, z);
#pragma omp for
        for (int64_t i = 0; i < z->n_atoms; i++) {
            enter(z, &s, i, first);
            read(z, &s, &x);
            prepare(z, &s);
            gather(&s, s.queries, f, grad_out, f, s.out);
            clear(z, &s);
            for (int64_t h = 0; h < z->n_heads; h++) {
                attend(z, &s, h);
                slopes(z, &s, h);
                turn_head(&s);
                by_dot(z, &s, &s, &s, h, 0);
                by_share(z, s.out, &s, h);
            }
            directions(z, &s);
            if (z->normalized) {
                denormalize(z, s.nq, s.q, s.inverse_q, s.grad_q, NULL);
                denormalize(z, s.nt, s.k, s.inverse_k, s.grad_k, NULL);
            }
            weigh(z, &s);
            write(z, &s, &grad_x);
        }
        free(s.memory);
    }
}

/* Gradients of the inputs and of grad_out, in their shapes, from those of the gradients: t in the introduction. */
void attention_second(const Sizes *z, const int64_t *first, REAL *query, REAL *key_value, REAL *weight,
                      REAL *log_weight, REAL *unit, REAL *grad_out, REAL *t_query, REAL *t_key_value, REAL *t_weight,
                      REAL *t_log_weight, REAL *t_unit, REAL *by_query, REAL *by_key_value, REAL *by_weight,
                      REAL *by_log_weight, REAL *by_unit, REAL *by_grad_out) {
    int64_t f = z->n_features, n = f / z->n_heads;
    Tensors x = {query, key_value, weight, log_weight, unit};
    Tensors t = {t_query, t_key_value, t_weight, t_log_weight, t_unit};
    Tensors by_x = {by_query, by_key_value, by_weight, by_log_weight, by_unit};
#pragma omp parallel num_threads(z->n_threads)
    {
        Centre s, d;
        allocate(&s, z), allocate(&d, z);
#pragma omp for
        for (int64_t i = 0; i < z->n_atoms; i++) {
            enter(z, &s, i, first), enter(z, &d, i, first);
            read(z, &s, &x), read(z, &d, &t);
            prepare(z, &s), prepare_change(z, &s, &d);
            gather(&s, s.queries, f, grad_out, f, s.out);
            clear(z, &s), clear(z, &d);
            int64_t nt = s.nt, nq = s.nq;
            for (int64_t h = 0; h < z->n_heads; h++) {
                attend(z, &s, h), attend_change(z, &s, &d, h);
                product(n, nq, s.tokens, (REAL *)(d.u + h * n * nt), nt * W, 1, s.share, d.out + h * n * nq, 0);
                product(n, nq, s.tokens, (REAL *)(s.u + h * n * nt), nt * W, 1, d.share, d.out + h * n * nq, 1);
                slopes(z, &s, h), slopes_change(z, &s, &d, h);
                turn_head(&s), turn_head(&d);
                by_dot(z, &s, &s, &s, h, 0), by_dot(z, &s, &d, &d, h, 0), by_dot(z, &d, &s, &d, h, 1);
                by_share(z, s.out, &s, h), by_share(z, s.out, &d, h);
            }
            directions_change(z, &s, &d);
            if (z->normalized) {
                denormalize_change(z, nq, s.q, s.inverse_q, s.grad_q, d.q, d.inverse_q, d.grad_q);
                denormalize_change(z, nt, s.k, s.inverse_k, s.grad_k, d.k, d.inverse_k, d.grad_k);
            }
            weigh_change(z, &s, &d);
            scatter(&s, s.queries, f, d.out, by_grad_out, f);
            write(z, &d, &by_x);
        }
        free(s.memory), free(d.memory);
    }
}
