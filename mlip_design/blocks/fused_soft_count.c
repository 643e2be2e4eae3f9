/* Soft counts, their first and second derivatives, all pairs of a row in one pass:

       K_j = sum over m of c_m y_jm,   y_jm = sigmoid(a_j - a_m)

   and with a gradient g of K, since y' = y (1 - y) is even and sigmoid(-u) = 1 - sigmoid(u),

       dK/da_j = sum over m of (g_j c_m - c_j g_m) y'_jm,   dK/dc_j = sum over m of g_m (1 - y_jm)

   With directions s of a and t of c, the derivatives of s.(dK/da) + t.(dK/dc) by g are the change of K along s and t, and
   those by a and c the changes of dK/da and dK/dc; y'' = y' (1 - 2 y). */

#include "vectors.h"

typedef struct {
    int64_t n_rows, n, n_threads;
} Sizes;

/* Sigmoid of u, and of -u. */
static inline vec sigmoid(vec u, vec *opposite) {
    bits negative = u < 0;
    vec small = exponential(choose(negative, u, -u)), one = (vec){0} + 1, inverse = 1 / (1 + small);
    *opposite = choose(negative, one, small) * inverse;
    return choose(negative, small, one) * inverse;
}

/* W numbers, of which n are there. */
static inline vec load(const REAL *from, int64_t n) {
    vec x = {0};
    if (n >= W) memcpy(&x, from, BYTES);
    else memcpy(&x, from, n * sizeof(REAL));
    return x;
}

static inline void store(vec x, REAL *to, int64_t n) { memcpy(to, &x, n >= W ? BYTES : n * sizeof(REAL)); }

/* All arrays (n_rows, n). */
void soft_count_forward(const Sizes *z, const REAL *values, const REAL *weights, REAL *counts) {
#pragma omp parallel for num_threads(z->n_threads)
    for (int64_t i = 0; i < z->n_rows; i++) {
        const REAL *a = values + i * z->n, *c = weights + i * z->n;
        for (int64_t j = 0; j < z->n; j += W) {
            vec x = load(a + j, z->n - j), sum = {0}, opposite;
            for (int64_t m = 0; m < z->n; m++) sum += c[m] * sigmoid(x - a[m], &opposite);
            store(sum, counts + i * z->n + j, z->n - j);
        }
    }
}

void soft_count_backward(const Sizes *z, const REAL *values, const REAL *weights, const REAL *gradient,
                         REAL *by_values, REAL *by_weights) {
#pragma omp parallel for num_threads(z->n_threads)
    for (int64_t i = 0; i < z->n_rows; i++) {
        const REAL *a = values + i * z->n, *c = weights + i * z->n, *g = gradient + i * z->n;
        for (int64_t j = 0; j < z->n; j += W) {
            int64_t left = z->n - j;
            vec x = load(a + j, left), weight = load(c + j, left), slope = load(g + j, left);
            vec by_value = {0}, by_weight = {0}, opposite;
            for (int64_t m = 0; m < z->n; m++) {
                vec y = sigmoid(x - a[m], &opposite);
                by_value += (slope * c[m] - weight * g[m]) * (y * opposite);
                by_weight += g[m] * opposite;
            }
            store(by_value, by_values + i * z->n + j, left);
            store(by_weight, by_weights + i * z->n + j, left);
        }
    }
}

void soft_count_second(const Sizes *z, const REAL *values, const REAL *weights, const REAL *gradient,
                       const REAL *along_values, const REAL *along_weights, REAL *by_values, REAL *by_weights,
                       REAL *by_gradient) {
#pragma omp parallel for num_threads(z->n_threads)
    for (int64_t i = 0; i < z->n_rows; i++) {
        const REAL *a = values + i * z->n, *c = weights + i * z->n, *g = gradient + i * z->n;
        const REAL *s = along_values + i * z->n, *t = along_weights + i * z->n;
        for (int64_t j = 0; j < z->n; j += W) {
            int64_t left = z->n - j;
            vec x = load(a + j, left), weight = load(c + j, left), slope = load(g + j, left);
            vec dx = load(s + j, left), dweight = load(t + j, left);
            vec by_value = {0}, by_weight = {0}, count = {0}, opposite;
            for (int64_t m = 0; m < z->n; m++) {
                vec y = sigmoid(x - a[m], &opposite), first = y * opposite, moved = first * (dx - s[m]);
                count += t[m] * y + c[m] * moved;
                by_weight -= g[m] * moved;
                by_value += (slope * t[m] - dweight * g[m]) * first + (slope * c[m] - weight * g[m]) * (moved * (opposite - y));
            }
            store(by_value, by_values + i * z->n + j, left);
            store(by_weight, by_weights + i * z->n + j, left);
            store(count, by_gradient + i * z->n + j, left);
        }
    }
}
