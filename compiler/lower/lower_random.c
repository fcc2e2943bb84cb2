/* Random numbers as kernel IR: the layout of runtime/base/rng.h with the rounds of
 * runtime/base/philox.inc.
 *
 * element e: block (e >> 6) * 16 + (e & 15), word (e >> 4) & 3 of the four that the block's counter
 * gives. */
#include "compiler/lower/context.h"

typedef KInst *Word;
#define WORD Word
#define WCONST(i) kir_int(b, DT_I32, (int64_t)(int32_t)(i))
#define WADD(x, y) kir_binary(b, K_ADD, x, y)
#define WXOR(x, y) kir_binary(b, K_XOR, x, y)
#define WMUL(x, y) kir_binary(b, K_MUL, x, y)
#define WMULHI(x, y) kir_binary(b, K_UMULHI, x, y)

static KInst *low_word(KBuilder *b, KInst *x)
{
    return kir_convert(b, x, DT_I32);
}

static KInst *high_word(KBuilder *b, KInst *x)
{
    return kir_convert(b, kir_binary(b, K_LSHR, x, kir_index(b, 32)), DT_I32);
}

static KInst *word_of(KBuilder *b, KInst *element, uint32_t site)
{
    KInst *group =
        kir_binary(b, K_MUL, kir_binary(b, K_LSHR, element, kir_index(b, 6)), kir_index(b, 16));
    KInst *block = kir_binary(b, K_ADD, group, kir_binary(b, K_AND, element, kir_index(b, 15)));
    KInst *which = low_word(
        b, kir_binary(b, K_AND, kir_binary(b, K_LSHR, element, kir_index(b, 4)), kir_index(b, 3)));
    KInst *k0 = low_word(b, kir_seed(b)), *k1 = high_word(b, kir_seed(b));
    KInst *c0 = low_word(b, block),
          *c1 = kir_binary(b, K_XOR, high_word(b, block), high_word(b, kir_step(b)));
    KInst *c2 = WCONST(site), *c3 = low_word(b, kir_step(b));
#include "runtime/base/philox.inc"
    KInst *first = kir_select(b, kir_binary(b, K_EQ, which, WCONST(0)), c0, c1);
    KInst *last = kir_select(b, kir_binary(b, K_EQ, which, WCONST(2)), c2, c3);
    return kir_select(b, kir_binary(b, K_LT, which, WCONST(2)), first, last);
}

static KInst *wide_word(KBuilder *b, KInst *word)
{
    return kir_binary(b, K_AND, kir_convert(b, word, DT_I64), kir_index(b, 0xFFFFFFFF));
}

KInst *lower_random(LowerContext *c, const Node *node, const Place *place)
{
    KBuilder *b = &c->b;
    uint32_t site = node->attr.random.site;
    KInst *element = index_value(c, place_flat(c, place));
    KInst *word = word_of(b, element, site);
    if (node->type.dtype == DT_F32) {
        KInst *bits = kir_binary(b, K_LSHR, word, WCONST(8));
        return kir_binary(b, K_MUL, kir_convert(b, bits, DT_F32), kir_float(b, DT_F32, 0x1p-24));
    }
    KInst *low = wide_word(b, word_of(b, element, site ^ 0x80000000u));
    KInst *both =
        kir_binary(b, K_OR, kir_binary(b, K_SHL, wide_word(b, word), kir_index(b, 32)), low);
    KInst *bits = kir_binary(b, K_LSHR, both, kir_index(b, 11));
    return kir_binary(b, K_MUL, kir_convert(b, bits, DT_F64), kir_float(b, DT_F64, 0x1p-53));
}
