/* Legendre polynomials of the angles between the edges of a centre, for `fused_attention.c`. */

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
