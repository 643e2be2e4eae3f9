/* The root-mean-square norm of rows of numbers, its first and second derivatives, in one pass (see norm.py):

       y = r x, r = 1 / sqrt(mean(x x) + eps);   dL/dx = r (g - y m), m = mean(g y), of a gradient g of y

   and with a direction t of x, whose change of y is dy = r (t - y mean(t y)), the derivatives of t.(dL/dx) are dy by g,
   and the change of dL/dx by x. */

#include <math.h>
#include <stdint.h>

typedef struct {
    int64_t n_rows, n, n_threads;
    double eps;
} Sizes;

static inline REAL mean(int64_t n, const REAL *a, const REAL *b) {
    REAL sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum / n;
}

static inline REAL inverse(const Sizes *z, const REAL *x) { return 1 / sqrt(mean(z->n, x, x) + (REAL)z->eps); }

/* All arrays (n_rows, n). */
void norm_forward(const Sizes *z, const REAL *x, REAL *y) {
#pragma omp parallel for num_threads(z->n_threads)
    for (int64_t row = 0; row < z->n_rows; row++) {
        int64_t at = row * z->n;
        REAL r = inverse(z, x + at);
        for (int64_t i = at; i < at + z->n; i++) y[i] = r * x[i];
    }
}

void norm_backward(const Sizes *z, const REAL *x, const REAL *g, REAL *by_x) {
#pragma omp parallel for num_threads(z->n_threads)
    for (int64_t row = 0; row < z->n_rows; row++) {
        int64_t at = row * z->n;
        REAL r = inverse(z, x + at), m = r * mean(z->n, g + at, x + at);
        for (int64_t i = at; i < at + z->n; i++) by_x[i] = r * (g[i] - r * x[i] * m);
    }
}

void norm_second(const Sizes *z, const REAL *x, const REAL *g, const REAL *t, REAL *by_x, REAL *by_g) {
#pragma omp parallel for num_threads(z->n_threads)
    for (int64_t row = 0; row < z->n_rows; row++) {
        int64_t at = row * z->n;
        REAL r = inverse(z, x + at), m = r * mean(z->n, g + at, x + at), along = r * mean(z->n, t + at, x + at);
        REAL dr = -r * r * along, dm = r * (mean(z->n, g + at, t + at) - along * m);
        for (int64_t i = at; i < at + z->n; i++) {
            REAL y = r * x[i], dy = r * (t[i] - y * along);
            by_g[i] = dy;
            by_x[i] = dr * (g[i] - y * m) - r * (dy * m + y * dm);
        }
    }
}
