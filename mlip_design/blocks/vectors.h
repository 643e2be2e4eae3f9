/* Vectors of W numbers of type REAL, their exponential, transposes and products of matrices, for the kernels beside.

   Compile with -DREAL=float or -DREAL=double -DWIDE. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef WIDE
typedef int64_t integer;
enum { DEGREE = 13, MANTISSA = 52 };
#define ROOT sqrt
#define LOWEST -708.0
#define ROUNDS 6755399441055744.0
#define LN2_HIGH 0x1.62e42fee00000p-1
#define LN2_LOW 0x1.a39ef35793c76p-33
#else
typedef int32_t integer;
enum { DEGREE = 7, MANTISSA = 23 };
#define ROOT sqrtf
#define LOWEST -87.0f
#define ROUNDS 12582912.0f
#define LN2_HIGH 0x1.62e4p-1f
#define LN2_LOW 0x1.7f7d1cp-20f
#endif

enum { BYTES = 32, W = BYTES / sizeof(REAL) };
typedef REAL vec __attribute__((vector_size(BYTES)));
typedef integer bits __attribute__((vector_size(BYTES)));

static const REAL INVERSE_FACTORIAL[] = {
    1, 1, 1. / 2, 1. / 6, 1. / 24, 1. / 120, 1. / 720, 1. / 5040, 1. / 40320, 1. / 362880, 1. / 3628800,
    1. / 39916800, 1. / 479001600, 1. / 6227020800};

static inline vec choose(bits mask, vec yes, vec no) { return (vec)(((bits)yes & mask) | ((bits)no & ~mask)); }

/* exp(x) for x <= 0; 0 where it underflows; NaN for NaN. x = n ln 2 + r, and n, as the last bits of a sum, is added to
   the exponent of exp(r), a Taylor polynomial. */
static inline vec exponential(vec x) {
    vec lowest = (vec){0} + (REAL)LOWEST;
    bits tiny = x < lowest;
    x = choose(tiny, lowest, x);
    vec shifted = x * (REAL)M_LOG2E + (REAL)ROUNDS;
    vec n = shifted - (REAL)ROUNDS;
    vec r = x - n * (REAL)LN2_HIGH - n * (REAL)LN2_LOW;
    vec y = (vec){0} + INVERSE_FACTORIAL[DEGREE];
    for (int i = DEGREE - 1; i >= 0; i--) y = y * r + INVERSE_FACTORIAL[i];
    return (vec)(((bits)y + ((bits)shifted << MANTISSA)) & ~tiny);
}

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

static inline void product(int64_t rows, int64_t vectors, int64_t depth, const REAL *a, int64_t row_step, int64_t depth_step,
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
