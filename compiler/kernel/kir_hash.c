/* Equal kernels are compiled once: a network with twelve equal layers has the code of one. Two
 * kernels are equal when their instructions are, one by one in order, with operands at the same
 * places; names of kernel and buffers do not count.
 *
 * A value's place is its rank in a walk over the kernel, so numbers left out or given in another
 * order do not matter. */
#include "compiler/kernel/kir.h"
#include "compiler/kernel/kir_rules.h"
#include "runtime/base/bug.h"
#include "runtime/base/rng.h"

#include <stdlib.h>

typedef struct {
    uint32_t *place; /* by id */
    uint32_t count;
} Places;

static Places new_places(const Kernel *kernel)
{
    Places places = {calloc(kernel->next_id + 1, sizeof(uint32_t)), 0};
    if (!places.place) {
        NNC_BUG("out of memory");
    }
    return places;
}

static void enter(Places *places, const KInst *inst)
{
    places->place[inst->id] = ++places->count;
}

static int child_blocks(const KInst *inst, const KBlock *blocks[2])
{
    if (inst->op == K_FOR) {
        blocks[0] = inst->loop.body;
        return 1;
    }
    if (inst->op == K_IF) {
        blocks[0] = inst->branch.then_block;
        blocks[1] = inst->branch.else_block;
        return 2;
    }
    return 0;
}

/* ---- hash ---- */

/* Two hashes at once, of different multipliers: together they are a key. */
typedef struct {
    uint64_t a, b;
} Hash;

static Hash mix(Hash hash, uint64_t value)
{
    hash.a = (hash.a ^ value) * 0x9E3779B97F4A7C15u;
    hash.b = (hash.b + value) * 0xC2B2AE3D27D4EB4Fu;
    return (Hash){hash.a ^ hash.a >> 29, hash.b ^ hash.b >> 31};
}

static uint64_t extra_bits(const KInst *inst)
{
    return inst->op == K_FOR        ? (uint64_t)inst->loop.step
           : inst->op == K_PREFETCH ? inst->write_hint
                                    : 0;
}

static Hash hash_block(Places *places, const KBlock *block, Hash hash)
{
    for (uint32_t i = 0; i < block->args.count; i++) {
        enter(places, block->args.data[i]);
    }
    for (uint32_t i = 0; i < block->insts.count; i++) {
        const KInst *inst = block->insts.data[i];
        const KBlock *children[2];
        hash = mix(mix(mix(hash, kir_shallow_hash(inst)), extra_bits(inst)), inst->nsrc);
        for (uint32_t s = 0; s < inst->nsrc; s++) {
            hash = mix(hash, places->place[inst->src[s]->id]);
        }
        enter(places, inst);
        int count = child_blocks(inst, children);
        for (int c = 0; c < count; c++) {
            hash = mix(hash_block(places, children[c], hash), 3);
        }
    }
    return hash;
}

static uint64_t buffer_bits(const KBuffer *buffer)
{
    return (uint64_t)buffer->dtype << 3 | (uint64_t)buffer->read << 2 |
           (uint64_t)buffer->written << 1 | buffer->shares;
}

static Hash hash_kernel(const Kernel *kernel)
{
    Places places = new_places(kernel);
    Hash hash = {17, kernel->buffers.count};
    for (uint32_t i = 0; i < kernel->buffers.count; i++) {
        hash = mix(hash, buffer_bits(&kernel->buffers.data[i]));
    }
    hash = hash_block(&places, kernel->body, hash);
    free(places.place);
    return hash;
}

uint64_t kernel_hash(const Kernel *kernel)
{
    return hash_kernel(kernel).a;
}

void kernel_key(const Kernel *kernel, uint64_t key[2])
{
    Hash hash = hash_kernel(kernel);
    key[0] = hash.a;
    key[1] = hash.b;
}

/* ---- equality ---- */

static bool equal_blocks(Places *p, Places *q, const KBlock *a, const KBlock *b);

static bool equal_insts(Places *p, Places *q, const KInst *a, const KInst *b)
{
    if (a->op != b->op || !ktype_equal(a->type, b->type) || a->nsrc != b->nsrc ||
        !kir_same_immediate(a, b) || extra_bits(a) != extra_bits(b)) {
        return false;
    }
    for (uint32_t i = 0; i < a->nsrc; i++) {
        if (p->place[a->src[i]->id] != q->place[b->src[i]->id]) {
            return false;
        }
    }
    enter(p, a);
    enter(q, b);
    const KBlock *left[2], *right[2];
    int count = child_blocks(a, left);
    child_blocks(b, right);
    for (int i = 0; i < count; i++) {
        if (!equal_blocks(p, q, left[i], right[i])) {
            return false;
        }
    }
    return true;
}

static bool equal_blocks(Places *p, Places *q, const KBlock *a, const KBlock *b)
{
    if (a->args.count != b->args.count || a->insts.count != b->insts.count) {
        return false;
    }
    for (uint32_t i = 0; i < a->args.count; i++) {
        enter(p, a->args.data[i]);
        enter(q, b->args.data[i]);
    }
    for (uint32_t i = 0; i < a->insts.count; i++) {
        if (!equal_insts(p, q, a->insts.data[i], b->insts.data[i])) {
            return false;
        }
    }
    return true;
}

bool kernel_equal(const Kernel *a, const Kernel *b)
{
    if (a->buffers.count != b->buffers.count) {
        return false;
    }
    for (uint32_t i = 0; i < a->buffers.count; i++) {
        if (buffer_bits(&a->buffers.data[i]) != buffer_bits(&b->buffers.data[i])) {
            return false;
        }
    }
    Places p = new_places(a), q = new_places(b);
    bool equal = equal_blocks(&p, &q, a->body, b->body);
    free(p.place);
    free(q.place);
    return equal;
}
