/* Queries and keys over their root mean square in each head, for `fused_attention.c`. */

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
