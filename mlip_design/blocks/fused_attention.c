/* Attention among the tokens of each centre and its first derivatives, without intermediate tensors in memory.

   For the heads h of every centre, with Legendre order l = h mod n_orders, tokens b and queries a:

       logit(b, a) = scale k_h(b) . q_h(a) P_l(b, a) + ln w(b)
       out_h(a)    = sum over b of softmax_b(logit(b, a)) u_h(b)

   where q, k are the projections or, with `normalized`, these over their root mean square, and u is v or, with
   `weighted`, w v. See attention/softmax.py and attention/smooth.py, which say the same in torch.

   All of a centre is kept in the first cache: tokens lie along vectors of W numbers, channels or other tokens across
   them. Tokens with ln w = -inf at the end of a centre are padding: their rows of all results are 0. */

#include "vectors.h"

typedef struct {
    int64_t n_atoms, n_tokens, n_queries, n_features, n_heads, n_orders, normalized, weighted, n_threads;
    double scale, eps;
} Sizes;

typedef struct {
    int64_t tokens, queries, nt, nq; /* of this centre without padding; vectors that they take */
    vec *q, *k;                      /* (n_features, tokens): queries and keys as they enter the product */
    vec *v, *u;                      /* (n_features, tokens): values, and as they enter the sum */
    vec *inverse_q, *inverse_k;      /* (n_heads, tokens): 1 / root mean square */
    vec *weight, *legendre;          /* (tokens); (n_orders, tokens, queries) */
    vec *dot, *share;                /* of one head, (tokens, queries) */
    vec *out, *change, *turned_share, *turned_change, *fading;
    vec *grad_q, *grad_k, *grad_u, *grad_legendre;
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

/* The transpose of W vectors, in place: blocks of 1, 2, .. numbers beside the diagonal change places. */
static inline void turn(vec *x) {
#pragma GCC unroll 4
    for (int size = 1; size < W; size *= 2) {
        bits low, high;
#pragma GCC unroll 8
        for (int l = 0; l < W; l++) low[l] = l & size ? W + l - size : l, high[l] = l & size ? W + l : l + size;
#pragma GCC unroll 8
        for (int i = 0; i < W; i++)
            if (!(i & size)) {
                vec a = x[i], b = x[i + size];
                x[i] = __builtin_shuffle(a, b, low), x[i + size] = __builtin_shuffle(a, b, high);
            }
    }
}

/* W rows of W numbers, of which (rows, columns) are there; the usual case, whole vectors, without a call. */
static inline void load(int64_t rows, int64_t columns, const REAL *from, int64_t step, vec *x) {
    if (rows >= W && columns >= W) {
#pragma GCC unroll 8
        for (int l = 0; l < W; l++) memcpy(x + l, from + l * step, BYTES);
        return;
    }
    memset(x, 0, W * BYTES);
    for (int l = 0; l < W && l < rows; l++)
        if (columns >= W) memcpy(x + l, from + l * step, BYTES);
        else memcpy(x + l, from + l * step, columns * sizeof(REAL));
}

static inline void store(int64_t rows, int64_t columns, const vec *x, REAL *to, int64_t step) {
    if (rows >= W && columns >= W) {
#pragma GCC unroll 8
        for (int l = 0; l < W; l++) memcpy(to + l * step, x + l, BYTES);
        return;
    }
    for (int l = 0; l < W && l < rows; l++)
        if (columns >= W) memcpy(to + l * step, x + l, BYTES);
        else memcpy(to + l * step, x + l, columns * sizeof(REAL));
}

/* Rows of numbers (rows, columns) -> columns along vectors (columns, vectors), zero behind the last row. */
static void gather(int64_t rows, int64_t columns, const REAL *from, int64_t step, vec *to, int64_t vectors) {
    for (int64_t j = 0; j < vectors; j++)
        for (int64_t c = 0; c < columns; c += W) {
            vec x[W];
            load(rows - j * W, columns - c, from + j * W * step + c, step, x);
            turn(x);
#pragma GCC unroll 8
            for (int l = 0; l < W; l++) to[(c + l) * vectors + j] = x[l];
        }
}

/* The way back; rows from `rows` to `all` become 0. */
static void scatter(int64_t rows, int64_t columns, const vec *from, int64_t vectors, int64_t all, REAL *to, int64_t step) {
    for (int64_t r = rows; r < all; r++) memset(to + r * step, 0, columns * sizeof(REAL));
    for (int64_t j = 0; j < vectors; j++)
        for (int64_t c = 0; c < columns; c += W) {
            vec x[W];
#pragma GCC unroll 8
            for (int l = 0; l < W; l++) x[l] = from[(c + l) * vectors + j];
            turn(x);
            store(rows - j * W, columns - c, x, to + j * W * step + c, step);
        }
}

static void allocate(Centre *s, const Sizes *z) {
    int64_t vectors = (z->n_tokens + W - 1) / W, channels = (z->n_features + W) * vectors;
    int64_t heads = z->n_heads * vectors, square = (z->n_tokens + W) * vectors, i = 0;
    vec **parts[] = {&s->q, &s->k, &s->v, &s->u, &s->out, &s->grad_q, &s->grad_k, &s->grad_u,
                     &s->inverse_q, &s->inverse_k, &s->weight, &s->fading,
                     &s->dot, &s->share, &s->change, &s->turned_share, &s->turned_change,
                     &s->legendre, &s->grad_legendre};
    int64_t counts[] = {channels, channels, channels, channels, channels, channels, channels, channels,
                        heads, heads, vectors, z->n_tokens,
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

/* Read centre i: tokens along vectors, queries and keys normalised, values weighted. */
static void read(const Sizes *z, Centre *s, int64_t i, const REAL *query, const REAL *key_value, const REAL *weight,
                 const REAL *log_weight, const REAL *legendre) {
    int64_t f = z->n_features, t = z->n_tokens;
    query += i * z->n_queries * f, key_value += i * t * 2 * f, weight += i * t, log_weight += i * t;
    legendre += i * z->n_orders * t * t;
    s->tokens = z->n_tokens;
    while (s->tokens && log_weight[s->tokens - 1] == -INFINITY) s->tokens--;
    s->queries = z->n_queries < s->tokens ? z->n_queries : s->tokens;
    s->nt = (s->tokens + W - 1) / W, s->nq = (s->queries + W - 1) / W;
    memset(s->weight, 0, s->nt * BYTES), memset(s->legendre, 0, z->n_orders * s->tokens * s->nq * BYTES);
    gather(s->queries, f, query, f, s->q, s->nq);
    gather(s->tokens, f, key_value, 2 * f, s->k, s->nt);
    gather(s->tokens, f, key_value + f, 2 * f, s->v, s->nt);
    memcpy(s->weight, weight, s->tokens * sizeof(REAL));
    for (int64_t l = 0; l < z->n_orders; l++)
        for (int64_t b = 0; b < s->tokens; b++)
            memcpy(s->legendre + (l * s->tokens + b) * s->nq, legendre + (l * z->n_tokens + b) * z->n_tokens,
                   s->queries * sizeof(REAL));
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
static void attend(const Sizes *z, Centre *s, int64_t head, const REAL *log_weight) {
    int64_t n = z->n_features / z->n_heads, nq = s->nq;
    const vec *legendre = s->legendre + head % z->n_orders * s->tokens * nq;
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

/* out (n_atoms, n_queries, n_features) of query, the same; key_value (n_atoms, n_tokens, 2 n_features); weight and
   log_weight (n_atoms, n_tokens); legendre (n_atoms, n_orders, n_tokens, n_tokens). */
void attention_forward(const Sizes *z, const REAL *query, const REAL *key_value, const REAL *weight,
                       const REAL *log_weight, const REAL *legendre, REAL *out) {
    int64_t f = z->n_features, n = f / z->n_heads, t = z->n_tokens, a = z->n_queries;
#pragma omp parallel num_threads(z->n_threads)
    {
        Centre s;
        allocate(&s, z);
#pragma omp for
        for (int64_t i = 0; i < z->n_atoms; i++) {
            read(z, &s, i, query, key_value, weight, log_weight, legendre);
            for (int64_t h = 0; h < z->n_heads; h++) {
                attend(z, &s, h, log_weight + i * t);
                product(n, s.nq, s.tokens, (REAL *)(s.u + h * n * s.nt), s.nt * W, 1, s.share, s.out + h * n * s.nq);
            }
            scatter(s.queries, f, s.out, s.nq, a, out + i * a * f, f);
        }
        free(s.memory);
    }
}

/* Gradients of the inputs, in their shapes, from that of out. */
void attention_backward(const Sizes *z, const REAL *query, const REAL *key_value, const REAL *weight,
                        const REAL *log_weight, const REAL *legendre, const REAL *grad_out, REAL *grad_query,
                        REAL *grad_key_value, REAL *grad_weight, REAL *grad_log_weight, REAL *grad_legendre) {
    int64_t f = z->n_features, n = f / z->n_heads, t = z->n_tokens, a = z->n_queries;
#pragma omp parallel num_threads(z->n_threads)
    {
        Centre s;
        allocate(&s, z);
#pragma omp for
        for (int64_t i = 0; i < z->n_atoms; i++) {
            const REAL *fading = log_weight + i * t;
            REAL *by_weight = grad_weight + i * t, *by_fading = grad_log_weight + i * t;
            REAL *by_legendre = grad_legendre + i * z->n_orders * t * t;
            read(z, &s, i, query, key_value, weight, log_weight, legendre);
            int64_t nt = s.nt, nq = s.nq, square = s.tokens * nq;
            gather(s.queries, f, grad_out + i * a * f, f, s.out, nq);
            memset(s.grad_legendre, 0, z->n_orders * square * BYTES);
            memset(by_weight, 0, t * sizeof(REAL)), memset(by_fading, 0, t * sizeof(REAL));
            memset(s.fading, 0, s.tokens * BYTES);
            for (int64_t h = 0; h < z->n_heads; h++) {
                const vec *legendre_h = s.legendre + h % z->n_orders * square, *out = s.out + h * n * nq;
                vec *grad_legendre_h = s.grad_legendre + h % z->n_orders * square;
                attend(z, &s, h, fading);
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
                gather(s.tokens, nq * W, (REAL *)s.share, nq * W, s.turned_share, nt);
                gather(s.tokens, nq * W, (REAL *)s.change, nq * W, s.turned_change, nt);
                product(n, nq, s.tokens, (REAL *)(s.k + h * n * nt), nt * W, 1, s.change, s.grad_q + h * n * nq);
                product(n, nt, s.queries, (REAL *)(s.q + h * n * nq), nq * W, 1, s.turned_change, s.grad_k + h * n * nt);
                product(n, nt, s.queries, (REAL *)out, nq * W, 1, s.turned_share, s.grad_u + h * n * nt);
            }
            for (int64_t b = 0; b < s.tokens; b++)
                for (int l = 0; l < W; l++) by_fading[b] += s.fading[b][l];
            if (z->normalized) {
                denormalize(z, nq, s.q, s.inverse_q, s.grad_q);
                denormalize(z, nt, s.k, s.inverse_k, s.grad_k);
            }
            for (int64_t j = 0; z->weighted && j < nt; j++) {
                vec sum = {0};
                for (int64_t c = 0; c < f; c++) {
                    sum += s.v[c * nt + j] * s.grad_u[c * nt + j];
                    s.grad_u[c * nt + j] *= s.weight[j];
                }
                store(1, s.tokens - j * W, &sum, by_weight + j * W, 0);
            }
            scatter(s.queries, f, s.grad_q, nq, a, grad_query + i * a * f, f);
            scatter(s.tokens, f, s.grad_k, nt, t, grad_key_value + i * t * 2 * f, 2 * f);
            scatter(s.tokens, f, s.grad_u, nt, t, grad_key_value + i * t * 2 * f + f, 2 * f);
            memset(by_legendre, 0, z->n_orders * t * t * sizeof(REAL));
            for (int64_t l = 0; l < z->n_orders; l++)
                for (int64_t b = 0; b < s.tokens; b++)
                    memcpy(by_legendre + (l * t + b) * t, s.grad_legendre + (l * s.tokens + b) * nq,
                           s.queries * sizeof(REAL));
        }
        free(s.memory);
    }
}
