/* Vectors of W numbers of type REAL, and their exponential, for the kernels beside.

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
