/* Random numbers: known answers of Philox, ranges and moments of uniform numbers, permutations. */
#include "runtime/base/rng.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The published test vectors of Philox4x32-10. */
Test(rng, philox_known_answers)
{
    static const struct {
        uint32_t counter[4], key[2], want[4];
    } cases[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (int i = 0; i < 3; i++) {
        uint32_t out[4];
        rng_philox(cases[i].counter, cases[i].key, out);
        cr_assert_arr_eq(out, cases[i].want, sizeof out);
    }
}

Test(rng, layout_of_counters)
{
    uint64_t seed = 0x123456789ABCDEF0, step = 0x500000007, element = 64 * 5 + 16 * 2 + 9;
    uint32_t counter[] = {5 * 16 + 9, 5, 77, 7}, key[] = {0x9ABCDEF0, 0x12345678}, out[4];
    rng_philox(counter, key, out);
    cr_assert_eq(rng_word(seed, step, 77, element), out[2]);
    cr_assert_eq(rng_uniform_f32(seed, step, 77, element), (float)(out[2] >> 8) / 16777216.0f);
}

Test(rng, uniform_numbers)
{
    enum { N = 200000 };
    double sum32 = 0, square32 = 0, sum64 = 0, square64 = 0, product = 0, previous = 0;
    for (uint64_t i = 0; i < N; i++) {
        double x = rng_uniform_f32(1, 2, 3, i), y = rng_uniform_f64(1, 2, 4, i);
        cr_assert(x >= 0 && x < 1 && y >= 0 && y < 1);
        sum32 += x;
        square32 += x * x;
        sum64 += y;
        square64 += y * y;
        product += (x - 0.5) * (previous - 0.5);
        previous = x;
    }
    cr_assert_float_eq(sum32 / N, 0.5, 0.003);
    cr_assert_float_eq(sum64 / N, 0.5, 0.003);
    cr_assert_float_eq(square32 / N, 1.0 / 3, 0.003);
    cr_assert_float_eq(square64 / N, 1.0 / 3, 0.003);
    cr_assert_float_eq(product / N, 0, 0.001);
    cr_assert_neq(rng_word(1, 2, 3, 4), rng_word(2, 2, 3, 4));
    cr_assert_neq(rng_word(1, 2, 3, 4), rng_word(1, 3, 3, 4));
    cr_assert_neq(rng_word(1, 2, 3, 4), rng_word(1, 2, 4, 4));
    cr_assert_neq(rng_word(1, 2, 3, 4), rng_word(1, 2 + ((uint64_t)1 << 32), 3, 4));
}

Test(rng, permutation_is_one)
{
    const uint64_t sizes[] = {1, 2, 3, 4, 5, 16, 17, 150, 1000, 4097, 60000};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        uint64_t n = sizes[s];
        unsigned char *seen = calloc(n, 1);
        for (uint64_t i = 0; i < n; i++) {
            uint64_t image = rng_permute(9, s, n, i);
            cr_assert_lt(image, n);
            cr_assert_eq(seen[image]++, 0);
        }
        free(seen);
    }
}

/* Over many seeds every place gets every value about equally often. */
Test(rng, permutation_is_fair)
{
    enum { N = 7, SEEDS = 70000 };
    static int count[N][N];
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        for (uint64_t i = 0; i < N; i++) {
            count[i][rng_permute(seed, seed % 3, N, i)]++;
        }
    }
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++) {
            cr_assert_float_eq(count[i][j], SEEDS / N, 500, "place %d value %d: %d", i, j,
                               count[i][j]);
        }
    }
}

Test(rng, permutation_of_neighbours_is_unrelated)
{
    enum { N = 60000 };
    double sum = 0;
    uint64_t fixed = 0, differs = 0;
    for (uint64_t i = 0; i < N; i++) {
        uint64_t image = rng_permute(0, 1, N, i);
        sum += ((double)i - N / 2.0) * ((double)image - N / 2.0);
        fixed += image == i;
        differs += image != rng_permute(0, 2, N, i);
    }
    cr_assert_lt(fabs(sum / N / ((double)N * N / 12)), 0.02);
    cr_assert_lt(fixed, 10u);
    cr_assert_gt(differs, N - 10u);
}

Test(rng, hash_of_bytes)
{
    cr_assert_eq(rng_hash("dropout", 7, 0), rng_hash("dropout", 7, 0));
    cr_assert_neq(rng_hash("dropout", 7, 0), rng_hash("dropouu", 7, 0));
    cr_assert_neq(rng_hash("dropout", 7, 0), rng_hash("dropout", 7, 1));
    cr_assert_neq(rng_hash("a\0", 2, 0), rng_hash("a", 1, 0));
    cr_assert_neq(rng_hash("", 0, 0), rng_hash("", 0, 1));
}
