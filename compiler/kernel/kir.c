/* The builder of kernel IR: the only way in which lowering makes kernels.
 *
 * Values are found again instead of being made twice. Every block has a hash table of its values
 * without effects; a new instruction is looked up there and in the enclosing blocks, whose values
 * are visible too. So lowering may write row * K + column at every use, and the kernel still has
 * one multiplication:
 *
 *   kir_binary(b, K_MUL, row, k)   ->  %7 = mul %3, %6 : i64   the first time
 *                                  ->  %7                      ever after, here and in inner loops
 *
 * Arithmetic on constants is done here, and index sums keep their constant outermost (kir_fold.c),
 * so that neighbours in a tile share one base address. */
#include "compiler/kernel/kir.h"

#include "compiler/kernel/kir_rules.h"
#include "runtime/base/bug.h"
#include "runtime/base/rng.h"

#include <math.h>
#include <string.h>

/* ---- kernels and blocks ---- */

static KInst *add_block_arg(Kernel *kernel, KBlock *block, KType type)
{
    KInst *arg = ARENA_NEW(kernel->arena, KInst);
    arg->op = K_ARG;
    arg->type = type;
    arg->id = kernel->next_id++;
    arg->i = block->args.count;
    arg->block = block;
    vec_push(kernel->arena, &block->args, arg);
    return arg;
}

static KBlock *new_block(Kernel *kernel, KInst *parent)
{
    KBlock *block = ARENA_NEW(kernel->arena, KBlock);
    block->parent = parent;
    return block;
}

Kernel *kernel_new(Arena *arena, const char *name)
{
    Kernel *kernel = ARENA_NEW(arena, Kernel);
    kernel->name = arena_string(arena, name);
    kernel->arena = arena;
    kernel->body = new_block(kernel, NULL);
    add_block_arg(kernel, kernel->body, ktype(DT_I64, 1));
    add_block_arg(kernel, kernel->body, ktype(DT_I64, 1));
    return kernel;
}

uint32_t kernel_buffer(Kernel *kernel, const char *name, DType dtype, bool read, bool written)
{
    KBuffer buffer = {arena_string(kernel->arena, name), dtype, read, written, false};
    vec_push(kernel->arena, &kernel->buffers, buffer);
    return kernel->buffers.count - 1;
}

KBuilder kernel_builder(Kernel *kernel)
{
    return (KBuilder){kernel, kernel->body};
}

/* ---- reuse of values ---- */

bool kir_same_immediate(const KInst *a, const KInst *b)
{
    switch (kop_info(a->op)->imm) {
    case KIMM_INT:
        return a->i == b->i;
    case KIMM_VALUE:
        return dtype_is_float(a->type.dtype) ? memcmp(&a->f, &b->f, sizeof a->f) == 0
                                             : a->i == b->i;
    case KIMM_BUFFER:
        return a->buffer == b->buffer;
    case KIMM_MASK:
        return memcmp(a->mask, b->mask, sizeof *a->mask * a->type.lanes) == 0;
    default:
        return true;
    }
}

static bool same_value(const KInst *a, const KInst *b)
{
    if (a->op != b->op || !ktype_equal(a->type, b->type) || a->nsrc != b->nsrc) {
        return false;
    }
    for (uint32_t i = 0; i < a->nsrc; i++) {
        if (a->src[i] != b->src[i]) {
            return false;
        }
    }
    return kir_same_immediate(a, b);
}

uint64_t kir_shallow_hash(const KInst *inst)
{
    struct {
        uint32_t op, type;
        uint64_t imm;
    } key = {inst->op, (uint32_t)inst->type.dtype << 16 | inst->type.lanes, 0};
    KImm imm = kop_info(inst->op)->imm;
    if (imm == KIMM_VALUE && dtype_is_float(inst->type.dtype)) {
        memcpy(&key.imm, &inst->f, sizeof key.imm);
    } else if (imm == KIMM_INT || imm == KIMM_VALUE) {
        key.imm = (uint64_t)inst->i;
    } else if (imm == KIMM_BUFFER) {
        key.imm = inst->buffer;
    } else if (imm == KIMM_MASK) {
        key.imm = rng_hash(inst->mask, sizeof *inst->mask * inst->type.lanes, 7);
    }
    return rng_hash(&key, sizeof key, 1);
}

static uint64_t value_hash(const KInst *inst)
{
    uint64_t hash = kir_shallow_hash(inst);
    for (uint32_t i = 0; i < inst->nsrc; i++) {
        hash = (hash ^ inst->src[i]->id) * 0x9E3779B97F4A7C15u;
        hash ^= hash >> 32;
    }
    return hash;
}

static KInst *find_known(const KBlock *block, const KInst *draft, uint64_t hash)
{
    if (!block->known_cap) {
        return NULL;
    }
    for (uint64_t i = hash;; i++) {
        KInst *candidate = block->known[i & (block->known_cap - 1)];
        if (!candidate || same_value(candidate, draft)) {
            return candidate;
        }
    }
}

static void put_known(KBlock *block, KInst *inst, uint64_t hash)
{
    uint64_t i = hash;
    while (block->known[i & (block->known_cap - 1)]) {
        i++;
    }
    block->known[i & (block->known_cap - 1)] = inst;
}

static void remember(Kernel *kernel, KBlock *block, KInst *inst, uint64_t hash)
{
    if (block->known_count * 2 >= block->known_cap) {
        KInst **old = block->known;
        uint32_t old_cap = block->known_cap;
        block->known_cap = old_cap ? old_cap * 2 : 32;
        block->known = ARENA_ARRAY(kernel->arena, KInst *, block->known_cap);
        for (uint32_t i = 0; i < old_cap; i++) {
            if (old[i]) {
                put_known(block, old[i], value_hash(old[i]));
            }
        }
    }
    put_known(block, inst, hash);
    block->known_count++;
}

static KInst *append(KBuilder *b, const KInst *draft)
{
    Kernel *kernel = b->kernel;
    KInst *inst = arena_copy(kernel->arena, draft, sizeof *draft);
    inst->src = draft->nsrc
                    ? arena_copy(kernel->arena, draft->src, sizeof *draft->src * draft->nsrc)
                    : NULL;
    inst->id = kernel->next_id++;
    inst->block = b->block;
    vec_push(kernel->arena, &b->block->insts, inst);
    return inst;
}

KInst *kir_emit(KBuilder *b, const KInst *draft)
{
#ifndef NDEBUG
    const char *fault = kir_fault(b->kernel, draft);
    if (fault) {
        NNC_BUG("kernel %s: %s: %s", b->kernel->name, kop_info(draft->op)->text, fault);
    }
#endif
    if (!kop_is_pure(draft->op)) {
        return append(b, draft);
    }
    uint64_t hash = value_hash(draft);
    for (const KBlock *block = b->block; block;
         block = block->parent ? block->parent->block : NULL) {
        KInst *known = find_known(block, draft, hash);
        if (known) {
            return known;
        }
    }
    KInst *inst = append(b, draft);
    remember(b->kernel, b->block, inst, hash);
    return inst;
}

static KInst *emit(KBuilder *b, KOp op, KType type, KInst **src, uint32_t nsrc, int64_t imm)
{
    KInst draft = {.op = op, .type = type, .nsrc = nsrc, .src = src, .i = imm};
    return kir_emit(b, &draft);
}

/* ---- leaves ---- */

KInst *kir_splat_int(KBuilder *b, KType type, int64_t value)
{
    return emit(b, K_CONST, type, NULL, 0, kir_wrap(type.dtype, (uint64_t)value));
}

static KInst *splat_float(KBuilder *b, KType type, double value)
{
    KInst draft = {.op = K_CONST, .type = type};
    double exact = dtype_round(type.dtype, value);
    draft.f = isnan(exact) ? (double)NAN : exact; /* one NaN, so that equal kernels look equal */
    return kir_emit(b, &draft);
}

KInst *kir_int(KBuilder *b, DType dtype, int64_t value)
{
    NNC_ASSERT(!dtype_is_float(dtype));
    return kir_splat_int(b, ktype(dtype, 1), value);
}

KInst *kir_index(KBuilder *b, int64_t value)
{
    return kir_int(b, DT_I64, value);
}

KInst *kir_float(KBuilder *b, DType dtype, double value)
{
    NNC_ASSERT(dtype_is_float(dtype));
    return splat_float(b, ktype(dtype, 1), value);
}

KInst *kir_dim(KBuilder *b, uint32_t position)
{
    return emit(b, K_DIM, ktype(DT_I64, 1), NULL, 0, position);
}

KInst *kir_seed(KBuilder *b)
{
    return emit(b, K_SEED, ktype(DT_I64, 1), NULL, 0, 0);
}

KInst *kir_step(KBuilder *b)
{
    return emit(b, K_STEP, ktype(DT_I64, 1), NULL, 0, 0);
}

KInst *kir_iota(KBuilder *b, DType dtype, int lanes)
{
    return emit(b, K_IOTA, ktype(dtype, lanes), NULL, 0, 0);
}

bool kir_constant(const KInst *inst, int64_t *value)
{
    if (inst->op != K_CONST || dtype_is_float(inst->type.dtype)) {
        return false;
    }
    *value = inst->i;
    return true;
}

/* ---- values of values ---- */

KInst *kir_splat(KBuilder *b, KInst *x, int lanes)
{
    if (x->type.lanes == lanes) {
        return x;
    }
    NNC_ASSERT(x->type.lanes == 1);
    KType type = ktype(x->type.dtype, lanes);
    if (x->op == K_CONST) {
        return dtype_is_float(type.dtype) ? splat_float(b, type, x->f)
                                          : kir_splat_int(b, type, x->i);
    }
    return emit(b, K_SPLAT, type, &x, 1, 0);
}

static int widest(KInst *const *src, int count)
{
    int lanes = 1;
    for (int i = 0; i < count; i++) {
        lanes = src[i]->type.lanes > lanes ? src[i]->type.lanes : lanes;
    }
    return lanes;
}

/* Splats scalar operands to the widest one, simplifies, or makes the instruction. */
static KInst *make(KBuilder *b, KOp op, DType dtype, KInst **src, int count)
{
    int lanes = widest(src, count);
    for (int i = 0; i < count; i++) {
        src[i] = kir_splat(b, src[i], lanes);
    }
    KType type = ktype(dtype, lanes);
    KInst *simpler = kir_simplify(b, op, type, src);
    return simpler ? simpler : emit(b, op, type, src, (uint32_t)count, 0);
}

KInst *kir_unary(KBuilder *b, KOp op, KInst *x)
{
    NNC_ASSERT(kop_info(op)->operands == 1 && kop_info(op)->imm == KIMM_NONE);
    return make(b, op, x->type.dtype, &x, 1);
}

KInst *kir_binary(KBuilder *b, KOp op, KInst *x, KInst *y)
{
    NNC_ASSERT(kop_info(op)->operands == 2 && kop_info(op)->imm == KIMM_NONE);
    bool compares = op >= K_EQ && op <= K_ULT;
    return make(b, op, compares ? DT_BOOL : x->type.dtype, (KInst *[]){x, y}, 2);
}

KInst *kir_fma(KBuilder *b, KInst *x, KInst *y, KInst *z)
{
    return make(b, K_FMA, x->type.dtype, (KInst *[]){x, y, z}, 3);
}

KInst *kir_select(KBuilder *b, KInst *condition, KInst *x, KInst *y)
{
    KInst *src[3] = {condition, x, y};
    if (condition->type.lanes > 1) {
        return make(b, K_SELECT, x->type.dtype, src, 3);
    }
    int lanes = widest(src, 3);
    src[1] = kir_splat(b, x, lanes);
    src[2] = kir_splat(b, y, lanes);
    KType type = ktype(x->type.dtype, lanes);
    KInst *simpler = kir_simplify(b, K_SELECT, type, src);
    return simpler ? simpler : emit(b, K_SELECT, type, src, 3, 0);
}

/* Constants converted at build time: from integers to anything, from floats to floats. */
static KInst *convert_constant(KBuilder *b, const KInst *x, KType type)
{
    bool from_float = dtype_is_float(x->type.dtype);
    if (dtype_is_float(type.dtype)) {
        double exact = from_float             ? x->f
                       : type.dtype != DT_F64 ? (double)(float)x->i
                                              : (double)x->i;
        return splat_float(b, type, exact);
    }
    if (type.dtype == DT_BOOL) {
        return kir_splat_int(b, type, from_float ? x->f != 0 : x->i != 0);
    }
    return from_float ? NULL : kir_splat_int(b, type, x->i);
}

KInst *kir_convert(KBuilder *b, KInst *x, DType dtype)
{
    if (x->type.dtype == dtype) {
        return x;
    }
    KType type = ktype(dtype, x->type.lanes);
    KInst *constant = x->op == K_CONST ? convert_constant(b, x, type) : NULL;
    return constant ? constant : emit(b, K_CONVERT, type, &x, 1, 0);
}

KInst *kir_bitcast(KBuilder *b, KInst *x, DType dtype)
{
    if (x->type.dtype == dtype) {
        return x;
    }
    size_t bytes = dtype_bytes(x->type.dtype) * x->type.lanes;
    return emit(b, K_BITCAST, ktype(dtype, (int)(bytes / dtype_bytes(dtype))), &x, 1, 0);
}

KInst *kir_extract(KBuilder *b, KInst *x, int lane)
{
    if (x->type.lanes == 1 && lane == 0) {
        return x;
    }
    NNC_ASSERT(lane >= 0 && lane < x->type.lanes);
    if (x->op == K_SPLAT) {
        return x->src[0];
    }
    KType type = ktype(x->type.dtype, 1);
    if (x->op == K_CONST) {
        return dtype_is_float(type.dtype) ? splat_float(b, type, x->f)
                                          : kir_splat_int(b, type, x->i);
    }
    return emit(b, K_EXTRACT, type, &x, 1, lane);
}

KInst *kir_shuffle(KBuilder *b, KInst *x, KInst *y, const int32_t *mask, int lanes)
{
    KInst draft = {
        .op = K_SHUFFLE, .type = ktype(x->type.dtype, lanes), .nsrc = 2, .src = (KInst *[]){x, y}};
    draft.mask = arena_copy(b->kernel->arena, mask, sizeof *mask * (size_t)lanes);
    return kir_emit(b, &draft);
}

KInst *kir_halves(KBuilder *b, KOp op, KInst *x)
{
    NNC_ASSERT(op >= K_HALVES_ADD && op <= K_HALVES_MIN);
    return x->type.lanes == 1 ? x : emit(b, op, ktype(x->type.dtype, 1), &x, 1, 0);
}

/* ---- memory ---- */

static KInst *access(KBuilder *b, KOp op, KType type, uint32_t buffer, KInst **src, uint32_t nsrc)
{
    KInst draft = {.op = op, .type = type, .nsrc = nsrc, .src = src};
    draft.buffer = buffer;
    return kir_emit(b, &draft);
}

KInst *kir_load(KBuilder *b, uint32_t buffer, KInst *index, int lanes, KInst *mask)
{
    NNC_ASSERT(buffer < b->kernel->buffers.count);
    KInst *src[2] = {index, mask ? kir_splat(b, mask, lanes) : NULL};
    KType type = ktype(b->kernel->buffers.data[buffer].dtype, lanes);
    return access(b, K_LOAD, type, buffer, src, mask ? 2 : 1);
}

void kir_store(KBuilder *b, uint32_t buffer, KInst *index, KInst *value, KInst *mask)
{
    int lanes = value->type.lanes > 1 ? value->type.lanes : index->type.lanes;
    if (mask && mask->type.lanes > lanes) {
        lanes = mask->type.lanes;
    }
    KInst *src[3] = {index, kir_splat(b, value, lanes), mask ? kir_splat(b, mask, lanes) : NULL};
    access(b, K_STORE, ktype(DT_BOOL, 0), buffer, src, mask ? 3 : 2);
}

void kir_prefetch(KBuilder *b, uint32_t buffer, KInst *index, bool write)
{
    KInst draft = {.op = K_PREFETCH, .nsrc = 1, .src = &index, .write_hint = write};
    draft.buffer = buffer;
    kir_emit(b, &draft);
}

void kir_fail(KBuilder *b, int64_t site, KInst *condition, KInst *element)
{
    int64_t always;
    if (kir_constant(condition, &always) && !always) {
        return;
    }
    int lanes = widest((KInst *[]){condition, element}, 2);
    KInst *src[2] = {kir_splat(b, condition, lanes), kir_splat(b, element, lanes)};
    emit(b, K_FAIL, ktype(DT_BOOL, 0), src, 2, site);
}

/* ---- control ---- */

KInst *kir_for(KBuilder *b, KInst *low, KInst *high, int64_t step, KInst *const *inits, int count)
{
    KInst **src = ARENA_ARRAY(b->kernel->arena, KInst *, count + 2);
    src[0] = low;
    src[1] = high;
    for (int i = 0; i < count; i++) {
        src[2 + i] = inits[i];
    }
    KInst draft = {.op = K_FOR, .nsrc = (uint32_t)count + 2, .src = src};
    draft.loop.step = step;
    KInst *loop = kir_emit(b, &draft);
    loop->loop.body = new_block(b->kernel, loop);
    add_block_arg(b->kernel, loop->loop.body, ktype(DT_I64, 1));
    for (int i = 0; i < count; i++) {
        add_block_arg(b->kernel, loop->loop.body, inits[i]->type);
    }
    b->block = loop->loop.body;
    return loop;
}

KInst *kir_loop_arg(KInst *loop, int which)
{
    NNC_ASSERT(loop->op == K_FOR && which >= 0 && (uint32_t)which < loop->loop.body->args.count);
    return loop->loop.body->args.data[which];
}

static void yield(KBuilder *b, KInst *const *values, uint32_t count)
{
    KInst draft = {.op = K_YIELD, .nsrc = count, .src = (KInst **)values};
    kir_emit(b, &draft);
}

void kir_end_for(KBuilder *b, KInst *loop, KInst *const *values)
{
    NNC_ASSERT(loop->op == K_FOR && b->block == loop->loop.body);
    yield(b, values, loop->nsrc - 2);
    b->block = loop->block;
}

KInst *kir_if(KBuilder *b, KInst *condition)
{
    KInst *branch = emit(b, K_IF, ktype(DT_BOOL, 0), &condition, 1, 0);
    branch->branch.then_block = new_block(b->kernel, branch);
    branch->branch.else_block = new_block(b->kernel, branch);
    b->block = branch->branch.then_block;
    return branch;
}

void kir_else(KBuilder *b, KInst *branch, KInst *const *values, int count)
{
    NNC_ASSERT(branch->op == K_IF && b->block == branch->branch.then_block);
    yield(b, values, (uint32_t)count);
    b->block = branch->branch.else_block;
}

void kir_end_if(KBuilder *b, KInst *branch, KInst *const *values, int count)
{
    NNC_ASSERT(branch->op == K_IF && b->block == branch->branch.else_block);
    NNC_ASSERT((uint32_t)count == kir_result_count(branch));
    yield(b, values, (uint32_t)count);
    b->block = branch->block;
}

KInst *kir_result(KBuilder *b, KInst *loop_or_if, int which)
{
    KType type = ktype(DT_BOOL, 0);
    bool found = kir_result_type(loop_or_if, which, &type);
    if (!found) {
        NNC_BUG("kernel %s: no result %d", b->kernel->name, which);
    }
    return emit(b, K_RESULT, type, &loop_or_if, 1, which);
}
