/* The tokens of one centre, for `fused_attention.c`: read from where they stand among those of all, and written back.

   Centre i has row i of every array and rows n_atoms + first[i] to n_atoms + first[i + 1] - 1. Tokens then lie along
   vectors of W numbers, channels or other tokens across them, and all of a centre stays in the nearest caches. */

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
