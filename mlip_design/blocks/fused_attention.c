/* Attention among the tokens of each centre, its first and second derivatives, without intermediate tensors in memory.

   For the heads h of every centre, with Legendre order l = h mod n_orders, tokens b and queries a:

       logit(b, a) = scale k_h(b) . q_h(a) P_l(n_b . n_a) + ln w(b)
       out_h(a)    = sum over b of softmax_b(logit(b, a)) u_h(b)

   where q, k are the projections or, with `normalized`, these over their root mean square, u is v or, with `weighted`,
   w v, and n is the direction of an edge. See attention/softmax.py and attention/smooth.py, which say the same in torch.

   Second derivatives: with a gradient g of out and a direction t of the inputs x, the derivatives of t.(dL/dx),
   L = g.out(x), are the change of out along t (by g) and that of dL/dx along t (by x). So what is called change below is
   the derivative along t of what is computed above it, all the way through values and gradients. */

#include "attention_centre.h"

#include "attention_angles.h"
#include "attention_norm.h"

/* What is made of a centre's tensors before heads are told apart. */
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
