/* Counter-based random numbers: see rng.h for the layout of counters. Nothing here has state. */
#include "runtime/base/rng.h"

#include "runtime/base/bug.h"

#include <string.h>

#define WORD uint32_t
#define WCONST(i) UINT32_C(i)
#define WADD(x, y) ((x) + (y))
#define WXOR(x, y) ((x) ^ (y))
#define WMUL(x, y) ((x) * (y))
#define WMULHI(x, y) ((uint32_t)(((uint64_t)(x) * (y)) >> 32))

void rng_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    WORD c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    WORD k0 = key[0], k1 = key[1];
#include "runtime/base/philox.inc"
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

uint32_t rng_word(uint64_t seed, uint64_t step, uint32_t site, uint64_t element)
{
    uint64_t block = (element >> 6) * 16 + (element & 15);
    uint32_t counter[4] = {(uint32_t)block, (uint32_t)(block >> 32) ^ (uint32_t)(step >> 32), site,
                           (uint32_t)step};
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    uint32_t out[4];
    rng_philox(counter, key, out);
    return out[(element >> 4) & 3];
}

float rng_uniform_f32(uint64_t seed, uint64_t step, uint32_t site, uint64_t element)
{
    return (float)(rng_word(seed, step, site, element) >> 8) * 0x1p-24f;
}

double rng_uniform_f64(uint64_t seed, uint64_t step, uint32_t site, uint64_t element)
{
    uint64_t high = rng_word(seed, step, site, element);
    uint64_t low = rng_word(seed, step, site ^ 0x80000000u, element);
    return (double)(((high << 32) | low) >> 11) * 0x1p-53;
}

/* A bijection of 64-bit words in which every input bit reaches every output bit (two rounds of
 * xor-shift and multiply by odd constants with balanced bits). */
static uint64_t mix(uint64_t x)
{
    x ^= x >> 32;
    x *= 0xD6E8FEB86659FD93u;
    x ^= x >> 32;
    x *= 0xD6E8FEB86659FD93u;
    x ^= x >> 32;
    return x;
}

/* Little endian on every machine, where the machine is that itself by one load of eight bytes. */
static inline uint64_t word_at(const unsigned char *p, uint64_t bytes)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (bytes == 8) {
        uint64_t whole;
        memcpy(&whole, p, sizeof whole);
        return whole;
    }
#endif
    uint64_t word = 0;
    for (uint64_t i = 0; i < bytes; i++) {
        word |= (uint64_t)p[i] << (8 * i);
    }
    return word;
}

static inline uint64_t add_word(uint64_t hash, uint64_t word)
{
    return mix(hash + word * 0x9E3779B97F4A7C15u) + 0x2545F4914F6CDD1Du;
}

uint64_t rng_hash(const void *data, uint64_t bytes, uint64_t seed)
{
    const unsigned char *p = data;
    uint64_t hash = mix(seed + 0x9E3779B97F4A7C15u) ^ bytes;
    for (; bytes >= 8; p += 8, bytes -= 8) {
        hash = add_word(hash, word_at(p, 8));
    }
    if (bytes) {
        hash = add_word(hash, word_at(p, bytes));
    }
    return mix(hash);
}

/* One pass of a eight-round Feistel network over words of 2 * half bits. */
static uint64_t feistel(uint64_t value, unsigned half, uint64_t key)
{
    uint64_t mask = (UINT64_C(1) << half) - 1;
    uint64_t left = value >> half, right = value & mask;
    for (uint64_t round = 0; round < 8; round++) {
        uint64_t next = left ^ (mix(right + mix(key + round)) & mask);
        left = right;
        right = next;
    }
    return (left << half) | right;
}

uint64_t rng_permute(uint64_t seed, uint64_t epoch, uint64_t n, uint64_t index)
{
    NNC_ASSERT(index < n);
    if (n <= 1) {
        return 0;
    }
    unsigned half = 3;
    while (half < 32 && (UINT64_C(1) << (2 * half)) < n) {
        half++;
    }
    uint64_t key = mix(seed + 0x9E3779B97F4A7C15u) ^ mix(epoch + 0x5851F42D4C957F2Du);
    do { /* the walk stays on the cycle of `index`, which comes back below n at the latest at index itself */
        index = feistel(index, half, key);
    } while (index >= n);
    return index;
}
