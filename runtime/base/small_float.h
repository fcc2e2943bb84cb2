/* f16 and bf16 as integers: widening, which is exact, and rounding to nearest even. Integer
 * arithmetic only, so the result is the same on every machine; generated code does the same
 * steps (compiler/codegen/cg_small.c).
 *
 *   f32   s eeeeeeee mmmmmmmmmmmmmmmmmmmmmmm
 *   bf16  s eeeeeeee mmmmmmm                      the upper half
 *   f16   s eeeee mmmmmmmmmm                      bias 15, from 2^-24 to 65504
 *
 * To round a word to its upper part is to add just under half of the last place kept, and one
 * more where that place is odd; a carry into the exponent is what it should be, up to infinity.
 * Small f16 have an exponent of their own: adding 0.5 to the f32 makes its last place that of
 * the smallest f16, and the addition rounds. */
#ifndef NNC_BASE_SMALL_FLOAT_H
#define NNC_BASE_SMALL_FLOAT_H
#include <stdint.h>
#include <string.h>

static inline uint32_t word_of_f32(float x)
{
    uint32_t word;
    memcpy(&word, &x, sizeof word);
    return word;
}

static inline float f32_of_word(uint32_t word)
{
    float x;
    memcpy(&x, &word, sizeof x);
    return x;
}

static inline float f32_of_bf16(uint16_t bits)
{
    return f32_of_word((uint32_t)bits << 16);
}

static inline uint16_t bf16_of_f32(float x)
{
    const uint32_t word = word_of_f32(x), infinity = 0x7F800000;
    if ((word & 0x7FFFFFFF) > infinity) {
        return (uint16_t)(word >> 16 | 0x40); /* a quiet NaN stays one though its low bits go */
    }
    return (uint16_t)((word + 0x7FFF + (word >> 16 & 1)) >> 16);
}

static inline float f32_of_f16(uint16_t bits)
{
    const uint32_t sign = (uint32_t)(bits & 0x8000) << 16, rest = (uint32_t)(bits & 0x7FFF) << 13;
    if (rest >= 0x0F800000) {
        return f32_of_word(sign | 0x7F800000 | rest); /* infinity, NaN */
    }
    /* An f32 with the fields of an f16 is 2^112 times too small: exact, for powers of two. */
    return f32_of_word(sign | word_of_f32(f32_of_word(rest) * 0x1p112f));
}

static inline uint16_t f16_of_f32(float x)
{
    const uint32_t word = word_of_f32(x), sign = word >> 16 & 0x8000, rest = word & 0x7FFFFFFF;
    if (rest > 0x7F800000) {
        return (uint16_t)(sign | 0x7E00 | (rest >> 13 & 0x3FF)); /* quiet */
    }
    if (rest >= 0x47800000) { /* 2^16 and more, infinity */
        return (uint16_t)(sign | 0x7C00);
    }
    if (rest < 0x38800000) { /* below 2^-14 */
        return (uint16_t)(sign | (word_of_f32(f32_of_word(rest) + 0.5f) - 0x3F000000));
    }
    return (uint16_t)(sign | ((rest - 0x38000000 + 0xFFF + (rest >> 13 & 1)) >> 13));
}

#endif
