/* Tries every f32 (or every STRIDE-th) in each function of one argument and prints the largest error in units of the last place
 * and where it is; then the same for a sample of f64 against long double.
 *
 *   cc -O2 -mfma -ffp-contract=off -I. tests/bench/ulp_sweep.c tests/support/ulp.c runtime/base/scalar*.c \
 *      runtime/base/dtype.c runtime/base/bug.c -lm -o /tmp/ulp_sweep && /tmp/ulp_sweep [STRIDE [FUNCTION]] */
#include "tests/support/ulp.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 4096 };

typedef struct {
    double worst, at;
} Worst;

static void note(Worst *worst, double error, double at)
{
    if (error > worst->worst) {
        *worst = (Worst){error, at};
    }
}

static Worst sweep_f32(const UlpFunction *function, uint64_t stride)
{
    Worst worst = {0, 0};
    float x[CHUNK], y[CHUNK];
    for (uint64_t first = 0; first < UINT64_C(1) << 32; first += stride * CHUNK) {
        size_t count = 0;
        for (uint64_t bits = first; count < CHUNK && bits < UINT64_C(1) << 32; bits += stride) {
            uint32_t word = (uint32_t)bits;
            memcpy(&x[count], &word, sizeof word);
            count += !(fabsf(x[count]) > function->limit_f32);
        }
        const void *args[] = {x};
        scalar_map(function->op, DT_F32, args, y, count);
        for (size_t i = 0; i < count; i++) {
            note(&worst, ulp_error_f32(y[i], function->in_double(x[i])), x[i]);
        }
    }
    return worst;
}

/* Arguments spread evenly over the bit patterns, and as many over [-40, 40]. */
static Worst sample_f64(const UlpFunction *function, uint64_t samples)
{
    Worst worst = {0, 0};
    uint64_t state = 1;
    for (uint64_t i = 0; i < samples; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        uint64_t bits = state ^ (state >> 29);
        double x = ((double)(bits >> 11) * 0x1p-53 - 0.5) * 80;
        if (i % 2) {
            memcpy(&x, &bits, sizeof x);
        }
        if (fabs(x) > function->limit_f64) {
            continue;
        }
        note(&worst, ulp_error_f64(scalar_eval_f64(function->op, &x), function->in_long_double(x)),
             x);
    }
    return worst;
}

int main(int argc, char **argv)
{
    uint64_t stride = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    for (int i = 0; i < ulp_function_count; i++) {
        const UlpFunction *function = &ulp_functions[i];
        if (argc > 2 && strcmp(argv[2], scalar_name(function->op)) != 0) {
            continue;
        }
        Worst f32 = sweep_f32(function, stride ? stride : 1);
        Worst f64 = sample_f64(function, 4000000);
        printf("%-6s f32 %.4f ulp at %a   f64 %.4f ulp at %a\n", scalar_name(function->op),
               f32.worst, f32.at, f64.worst, f64.at);
        fflush(stdout);
    }
    return 0;
}
