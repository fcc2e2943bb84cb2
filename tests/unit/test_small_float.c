/* f16 and bf16: every pattern widened, rounding of a stride over all f32 and of every halfway
 * case, against a reference in doubles that knows nothing of bits; then generated code, on three
 * levels of processor, against C. */
#include "runtime/base/scalar.h"
#include "runtime/base/small_float.h"
#include "tests/support/kernel_run.h"

#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A format by its numbers: digits of the significand, exponent of the smallest normal, largest
 * number. */
typedef struct {
    DType dtype;
    int digits, least;
    double largest;
    uint16_t (*round)(float x);
    float (*widen)(uint16_t bits);
} Format;

static const Format formats[] = {
    {DT_F16, 11, -14, 65504.0, f16_of_f32, f32_of_f16},
    {DT_BF16, 8, -126, 0x1.FEp127, bf16_of_f32, f32_of_bf16},
};

/* The number of a pattern: fields by division, not by shifting into place. */
static double meaning(const Format *f, unsigned bits)
{
    const int fraction = f->digits - 1, exponent_bits = 15 - fraction;
    const double sign = bits >= 0x8000 ? -1 : 1;
    const unsigned rest = bits % 0x8000, exponent = rest >> fraction,
                   tail = rest % (1u << fraction);
    if (exponent == (1u << exponent_bits) - 1)
        return tail ? (double)NAN : sign * (double)INFINITY;
    if (exponent == 0)
        return sign * ldexp(tail, f->least - fraction);
    return sign * ldexp(tail + (1 << fraction), (int)exponent - 1 + f->least - fraction);
}

/* x to the nearest multiple of the last place at its size, halves to even; the sum and the
 * difference are exact. */
static double nearest(const Format *f, double x)
{
    int exponent;
    if (x == 0 || !isfinite(x))
        return x;
    frexp(x, &exponent);
    exponent = exponent - 1 < f->least ? f->least : exponent - 1;
    const double place = ldexp(1, exponent - f->digits + 1);
    const double result = copysign(nearbyint(fabs(x) / place) * place, x);
    return fabs(result) > f->largest ? copysign((double)INFINITY, x) : result;
}

static bool same_number(double x, double y)
{
    return isnan(x) ? isnan(y) : x == y && signbit(x) == signbit(y);
}

static void check_round(const Format *f, float x)
{
    const double got = (double)f->widen(f->round(x)), wanted = nearest(f, (double)x);
    cr_assert(same_number(got, wanted), "%s(%a) is %a, not %a", dtype_name(f->dtype), (double)x,
              got, wanted);
}

Test(small_float, every_pattern_is_what_its_fields_say)
{
    for (size_t k = 0; k < 2; k++)
        for (unsigned bits = 0; bits < 0x10000; bits++) {
            const float wide = formats[k].widen((uint16_t)bits);
            cr_assert(same_number((double)wide, meaning(&formats[k], bits)), "%s %04x is %a",
                      dtype_name(formats[k].dtype), bits, (double)wide);
            const uint16_t again = formats[k].round(wide);
            cr_assert(isnan(wide) ? isnan(formats[k].widen(again)) : again == bits,
                      "%s %04x comes back as %04x", dtype_name(formats[k].dtype), bits, again);
        }
}

Test(small_float, rounding_is_to_nearest_even)
{
    for (size_t k = 0; k < 2; k++) {
        const Format *f = &formats[k];
        for (uint64_t word = 0; word < (uint64_t)1 << 32; word += 4099)
            check_round(f, f32_of_word((uint32_t)word));
        for (unsigned bits = 0; bits < 0x10000; bits++) {
            const double low = meaning(f, bits), high = meaning(f, bits + 1);
            if (!isfinite(low) || (bits & 0x7FFF) == 0x7FFF)
                continue;
            const float half = (float)((low + (isfinite(high) ? high : 2 * low)) / 2);
            check_round(f, half);
            check_round(f, nextafterf(half, INFINITY));
            check_round(f, nextafterf(half, -INFINITY));
        }
    }
}

Test(small_float, the_ends_of_the_range)
{
    cr_expect_eq(f16_of_f32(65519.996f), 0x7BFF);
    cr_expect_eq(f16_of_f32(65520.0f), 0x7C00, "half a place above the largest is infinity");
    cr_expect_eq(f16_of_f32(-1e30f), 0xFC00);
    cr_expect_eq(f16_of_f32(0x1p-25f), 0x0000, "half of the smallest rounds to even");
    cr_expect_eq(f16_of_f32(0x1.000002p-25f), 0x0001);
    cr_expect_eq(f16_of_f32(-0.0f), 0x8000);
    cr_expect_eq(bf16_of_f32(FLT_MAX), 0x7F80);
    cr_expect_eq(bf16_of_f32(f32_of_word(1)), 0x0000);
    cr_expect(isnan(f32_of_bf16(bf16_of_f32(f32_of_word(0x7F800001)))), "its low bits are all");
    cr_expect(isnan(f32_of_f16(f16_of_f32(f32_of_word(0xFF800001)))));
    cr_expect_float_eq(dtype_round(DT_BF16, 0.1), 0x1.9ap-4, 0);
    cr_expect_float_eq(dtype_round(DT_F16, 0.1), 0x1.998p-4, 0);
}

/* By way of f32, from every type and into every type. */
Test(small_float, conversions_of_other_types)
{
    const int64_t whole[] = {0, 1, -1, 255, -128, 257, 2049, 65519, 65520, INT64_MAX, INT64_MIN};
    const double real[] = {0.1, -2.75, 300.5, 1e300, -1e-300, INFINITY, NAN};
    for (size_t k = 0; k < 2; k++) {
        for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
            uint16_t bits;
            scalar_convert(DT_I64, formats[k].dtype, &whole[i], &bits, 1);
            cr_expect_eq(bits, formats[k].round((float)whole[i]), "%lld", (long long)whole[i]);
        }
        for (size_t i = 0; i < sizeof real / sizeof *real; i++) {
            uint16_t bits;
            int8_t cut;
            double wide;
            scalar_convert(DT_F64, formats[k].dtype, &real[i], &bits, 1);
            scalar_convert(formats[k].dtype, DT_F64, &bits, &wide, 1);
            scalar_convert(formats[k].dtype, DT_I8, &bits, &cut, 1);
            cr_expect(
                same_number(wide, (double)formats[k].widen(formats[k].round((float)real[i]))));
            cr_expect_eq(cut, isnan(wide) ? 0 : wide > 127 ? 127 : wide < -128 ? -128 : (int)wide);
        }
    }
}

/* ---- generated code ---- */

enum { COUNT = 1 << 20 };

static Kernel *converting(Arena *arena, DType from, DType to)
{
    Kernel *kernel = kernel_new(arena, "convert");
    uint32_t x = kernel_buffer(kernel, "x", from, true, false),
             y = kernel_buffer(kernel, "y", to, false, true);
    KBuilder b = kernel_builder(kernel);
    KInst *loop = kir_for(&b, kernel->body->args.data[0], kernel->body->args.data[1], 16, NULL, 0);
    KInst *at = kir_loop_arg(loop, 0);
    kir_store(&b, y, at, kir_convert(&b, kir_load(&b, x, at, 16, NULL), to), NULL);
    kir_end_for(&b, loop, NULL);
    return kernel;
}

static void check_compiled(const char *cpu, DType from, DType to, const void *in, int64_t count)
{
    Arena *arena = arena_new();
    const size_t bytes = dtype_bytes(to) * (size_t)count;
    char *got = malloc(bytes), *wanted = malloc(bytes);
    KernelRun run = {.cpu = cpu};
    kernel_run_open(&run, arena, converting(arena, from, to), count);
    kernel_run_call(&run, (void *[]){(void *)in, got});
    scalar_convert(from, to, in, wanted, (size_t)count);
    for (int64_t i = 0; i < count; i++) {
        double x, y;
        scalar_convert(to, DT_F64, got + (size_t)i * dtype_bytes(to), &x, 1);
        scalar_convert(to, DT_F64, wanted + (size_t)i * dtype_bytes(to), &y, 1);
        cr_assert(same_number(x, y), "%s to %s on %s, element %d: %a, not %a", dtype_name(from),
                  dtype_name(to), cpu ? cpu : "this machine", (int)i, x, y);
    }
    kernel_run_close(&run);
    free(got);
    free(wanted);
    arena_free(arena);
}

Test(small_float, generated_code_gives_the_same_bits_on_every_processor)
{
    static const char *const cpus[] = {NULL, "x86-64-v3", "x86-64"};
    uint16_t *patterns = malloc(0x10000 * sizeof *patterns);
    float *floats = malloc(COUNT * sizeof *floats);
    for (unsigned bits = 0; bits < 0x10000; bits++)
        patterns[bits] = (uint16_t)bits;
    for (uint32_t i = 0; i < COUNT; i++)
        floats[i] = f32_of_word(i < COUNT / 2 ? i * 8191
                                              : (i - COUNT / 2) << 13 | (i & 1 ? 0x1000 : 0x8000));
    for (size_t c = 0; c < 3; c++)
        for (size_t k = 0; k < 2; k++) {
            check_compiled(cpus[c], formats[k].dtype, DT_F32, patterns, 0x10000);
            check_compiled(cpus[c], formats[k].dtype, formats[1 - k].dtype, patterns, 0x10000);
            check_compiled(cpus[c], DT_F32, formats[k].dtype, floats, COUNT);
        }
    free(patterns);
    free(floats);
}
