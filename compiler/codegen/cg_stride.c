/* Addresses that move with an innermost loop, so that LLVM's Loop Strength Reduction, which took a
 * third of all compile time to find the same, has nothing left to do.
 *
 *   for %i = 0 .. n step 16 {                  pointer = phi [x + 4r, pointer + 128]
 *     load x[%r + 2*%i + 5] : f32x16    ->     load pointer + 20
 *
 * An index that is a sum of the counter times a constant, a constant and values from outside of
 * the loop is a stream: buffer, bytes for each step of the counter, and the values from outside.
 * Streams that differ in the constant only are one. A stream that moves at a speed of its own has a
 * pointer; streams of the same speed share one moving offset and keep their bases. So do all in a
 * loop that stores: behind a frozen pointer LLVM does not see that buffers are apart. */
#include "compiler/codegen/cg.h"

enum { MOST_TERMS = 6 };

typedef struct {
    const KInst *value; /* from outside of the loop */
    uint64_t times;
} Term;

/* times * counter + constant + the terms; arithmetic wraps as i64 does. */
struct CgAffine {
    uint64_t times, constant;
    int count;
    Term terms[MOST_TERMS]; /* in ascending order of their values' ids */
};

typedef struct {
    uint32_t buffer;
    const CgAffine *at;
    int speed;
    LLVMValueRef base; /* where it is at counter zero */
} Stream;

typedef struct {
    int64_t bytes; /* for each 1 of the counter */
    int streams;
    bool points;             /* what moves is a pointer */
    LLVMValueRef start, now; /* of the pointer or the offset: before the loop, and in it */
} Speed;

typedef struct {
    const KInst *inst;
    uint32_t stream;
    int64_t constant; /* bytes */
} Access;

struct CgStrides {
    const KInst *loop;
    VEC(Stream) streams;
    VEC(Speed) speeds;
    VEC(Access) accesses;
    bool stores;
};

/* ---- what is known of an index ---- */

static bool is_inside(const KInst *inst, const KBlock *body)
{
    const KBlock *block = inst->block;
    while (block && block != body) {
        block = block->parent ? block->parent->block : NULL;
    }
    return block != NULL;
}

static bool is_integer(const KInst *inst)
{
    return inst->type.dtype == DT_I64 && inst->type.lanes == 1;
}

/* NULL: not of this form. */
static const CgAffine *affine_of(Cg *cg, const KBlock *body, const KInst *inst)
{
    int64_t value;
    if (is_inside(inst, body) && inst != body->args.data[0] && !kir_constant(inst, &value)) {
        return cg->affine[inst->id];
    }
    CgAffine *made = ARENA_NEW(cg->scratch, CgAffine);
    *made = (CgAffine){0};
    if (inst == body->args.data[0]) {
        made->times = 1;
    } else if (kir_constant(inst, &value)) {
        made->constant = (uint64_t)value;
    } else {
        made->count = 1;
        made->terms[0] = (Term){inst, 1};
    }
    return made;
}

static void scale(CgAffine *made, const CgAffine *x, uint64_t by)
{
    *made = *x;
    made->times *= by;
    made->constant *= by;
    for (int i = 0; i < made->count; i++) {
        made->terms[i].times *= by;
    }
}

/* made = x + y * by; false: too many terms. */
static bool add(CgAffine *made, const CgAffine *x, const CgAffine *y, uint64_t by)
{
    *made = (CgAffine){.times = x->times + y->times * by,
                       .constant = x->constant + y->constant * by};
    for (int i = 0, j = 0; i < x->count || j < y->count;) {
        uint32_t left = i < x->count ? x->terms[i].value->id : UINT32_MAX;
        uint32_t right = j < y->count ? y->terms[j].value->id : UINT32_MAX;
        Term term = {left <= right ? x->terms[i].value : y->terms[j].value, 0};
        if (left <= right) {
            term.times += x->terms[i++].times;
        }
        if (right <= left) {
            term.times += y->terms[j++].times * by;
        }
        if (made->count == MOST_TERMS) {
            return false;
        }
        if (term.times != 0) {
            made->terms[made->count++] = term;
        }
    }
    return true;
}

static const CgAffine *combine(Cg *cg, const KBlock *body, const KInst *inst)
{
    const CgAffine *x = affine_of(cg, body, inst->src[0]), *y = affine_of(cg, body, inst->src[1]);
    int64_t by = 0;
    if (!x || !y) {
        return NULL;
    }
    CgAffine *made = ARENA_NEW(cg->scratch, CgAffine);
    if (inst->op != K_MUL) {
        return add(made, x, y, inst->op == K_ADD ? 1 : UINT64_MAX) ? made : NULL;
    }
    if (kir_constant(inst->src[1], &by)) {
        scale(made, x, (uint64_t)by);
    } else if (kir_constant(inst->src[0], &by)) {
        scale(made, y, (uint64_t)by);
    } else {
        return NULL;
    }
    return made;
}

/* ---- streams ---- */

static bool same_terms(const CgAffine *x, const CgAffine *y)
{
    bool same = x->times == y->times && x->count == y->count;
    for (int i = 0; same && i < x->count; i++) {
        same = x->terms[i].value == y->terms[i].value && x->terms[i].times == y->terms[i].times;
    }
    return same;
}

static uint32_t find_stream(Cg *cg, CgStrides *strides, uint32_t buffer, const CgAffine *at)
{
    for (uint32_t i = strides->streams.count; i-- > 0;) {
        const Stream *stream = &strides->streams.data[i];
        if (stream->buffer == buffer && same_terms(stream->at, at)) {
            return i;
        }
    }
    int64_t bytes = (int64_t)(at->times * (uint64_t)cg_buffer_element(cg, buffer));
    uint32_t speed = 0;
    while (speed < strides->speeds.count && strides->speeds.data[speed].bytes != bytes) {
        speed++;
    }
    if (speed == strides->speeds.count) {
        vec_push(cg->scratch, &strides->speeds, ((Speed){.bytes = bytes}));
    }
    strides->speeds.data[speed].streams++;
    vec_push(cg->scratch, &strides->streams,
             ((Stream){.buffer = buffer, .at = at, .speed = (int)speed}));
    return strides->streams.count - 1;
}

/* A load, store or prefetch whose address moves with the loop. */
static bool take_access(Cg *cg, CgStrides *strides, const KInst *inst)
{
    bool touches = inst->op == K_LOAD || inst->op == K_STORE || inst->op == K_PREFETCH;
    const CgAffine *at = touches && is_integer(inst->src[0])
                             ? affine_of(cg, strides->loop->loop.body, inst->src[0])
                             : NULL;
    if (!at || at->times == 0) {
        return false;
    }
    uint64_t bytes = (uint64_t)cg_buffer_element(cg, inst->buffer);
    Access access = {inst, find_stream(cg, strides, inst->buffer, at),
                     (int64_t)(at->constant * bytes)};
    vec_push(cg->scratch, &strides->accesses, access);
    strides->stores |= inst->op == K_STORE;
    return true;
}

static void count_uses(Cg *cg, const KInst *inst, uint32_t from, int by)
{
    for (uint32_t i = from; i < inst->nsrc; i++) {
        cg->uses[inst->src[i]->id] += (uint32_t)by;
    }
}

static bool is_index_arithmetic(const KInst *inst)
{
    return (inst->op == K_ADD || inst->op == K_SUB || inst->op == K_MUL) && is_integer(inst);
}

static void visit(Cg *cg, CgStrides *strides, const KBlock *block)
{
    for (uint32_t i = 0; i < block->insts.count; i++) {
        const KInst *inst = block->insts.data[i];
        if (is_index_arithmetic(inst)) {
            cg->affine[inst->id] = combine(cg, strides->loop->loop.body, inst);
        }
        count_uses(cg, inst, take_access(cg, strides, inst) ? 1 : 0, 1);
        if (inst->op == K_IF) {
            visit(cg, strides, inst->branch.then_block);
            visit(cg, strides, inst->branch.else_block);
        }
    }
}

/* Index arithmetic that only addresses used is not translated. */
static void skip_unused(Cg *cg, const KBlock *block)
{
    for (uint32_t i = block->insts.count; i-- > 0;) {
        const KInst *inst = block->insts.data[i];
        if (inst->op == K_IF) {
            skip_unused(cg, inst->branch.else_block);
            skip_unused(cg, inst->branch.then_block);
        } else if (is_index_arithmetic(inst) && cg->uses[inst->id] == 0) {
            cg->skipped[inst->id] = true;
            count_uses(cg, inst, 0, -1);
        }
    }
}

static bool is_innermost(const KBlock *block)
{
    for (uint32_t i = 0; i < block->insts.count; i++) {
        const KInst *inst = block->insts.data[i];
        if (inst->op == K_FOR || (inst->op == K_IF && (!is_innermost(inst->branch.then_block) ||
                                                       !is_innermost(inst->branch.else_block)))) {
            return false;
        }
    }
    return true;
}

/* ---- code ---- */

static LLVMValueRef times(Cg *cg, LLVMValueRef x, uint64_t by)
{
    return by == 1 ? x : LLVMBuildMul(cg->builder, x, cg_index(cg, (int64_t)by), "");
}

/* The buffer's address and what the values from outside add; `low`: also the first counter. */
static LLVMValueRef base_of(Cg *cg, const Stream *stream, LLVMValueRef low)
{
    LLVMTypeRef element = cg_memory_type(
        cg, (KType){cg->kernel->buffers.data[stream->buffer].dtype, 1});
    LLVMValueRef index = low ? times(cg, low, stream->at->times) : NULL;
    for (int i = 0; i < stream->at->count; i++) {
        const Term *term = &stream->at->terms[i];
        LLVMValueRef x = times(cg, cg_value(cg, term->value), term->times);
        index = index ? LLVMBuildAdd(cg->builder, index, x, "") : x;
    }
    LLVMValueRef buffer = cg->buffers[stream->buffer];
    return index ? LLVMBuildGEP2(cg->builder, element, buffer, &index, 1, "") : buffer;
}

CgStrides *cg_strides_before(Cg *cg, const KInst *loop)
{
    if (!is_innermost(loop->loop.body)) {
        return NULL;
    }
    CgStrides *strides = ARENA_NEW(cg->scratch, CgStrides);
    *strides = (CgStrides){.loop = loop};
    visit(cg, strides, loop->loop.body);
    skip_unused(cg, loop->loop.body);
    LLVMValueRef low = cg_value(cg, loop->src[0]);
    for (uint32_t i = 0; i < strides->streams.count; i++) {
        Stream *stream = &strides->streams.data[i];
        Speed *speed = &strides->speeds.data[stream->speed];
        speed->points = speed->streams == 1 && !strides->stores;
        if (speed->points) {
            speed->start = base_of(cg, stream, low);
        } else {
            stream->base = base_of(cg, stream, NULL);
            speed->start = speed->start ? speed->start : times(cg, low, (uint64_t)speed->bytes);
        }
    }
    return strides;
}

void cg_strides_begin(Cg *cg, CgStrides *strides, LLVMBasicBlockRef before)
{
    for (uint32_t i = 0; i < strides->speeds.count; i++) {
        Speed *speed = &strides->speeds.data[i];
        speed->now = LLVMBuildPhi(cg->builder, LLVMTypeOf(speed->start), "");
        LLVMAddIncoming(speed->now, &speed->start, &before, 1);
    }
    for (uint32_t i = 0; i < strides->accesses.count; i++) {
        const Access *access = &strides->accesses.data[i];
        const Stream *stream = &strides->streams.data[access->stream];
        const Speed *speed = &strides->speeds.data[stream->speed];
        CgAddress *address = ARENA_NEW(cg->scratch, CgAddress);
        *address = (CgAddress){speed->points ? speed->now : stream->base,
                               speed->points ? NULL : speed->now, access->constant};
        cg->addresses[access->inst->id] = address;
    }
}

/* Frozen as the counter is, see cg_loop.c. */
void cg_strides_end(Cg *cg, CgStrides *strides, LLVMBasicBlockRef latch)
{
    for (uint32_t i = 0; i < strides->speeds.count; i++) {
        const Speed *speed = &strides->speeds.data[i];
        uint64_t bytes = (uint64_t)speed->bytes * (uint64_t)strides->loop->loop.step;
        LLVMValueRef by = cg_index(cg, (int64_t)bytes);
        LLVMValueRef next = speed->points
                                ? LLVMBuildGEP2(cg->builder, cg->i8, speed->now, &by, 1, "")
                                : LLVMBuildNSWAdd(cg->builder, speed->now, by, "");
        next = LLVMBuildFreeze(cg->builder, next, "");
        LLVMAddIncoming(speed->now, &next, &latch, 1);
    }
}

LLVMValueRef cg_moving_address(Cg *cg, const CgAddress *address)
{
    LLVMValueRef at = address->base, constant = cg_index(cg, address->constant);
    if (address->offset) {
        at = LLVMBuildGEP2(cg->builder, cg->i8, at, (LLVMValueRef[]){address->offset}, 1, "");
    }
    return address->constant ? LLVMBuildGEP2(cg->builder, cg->i8, at, &constant, 1, "") : at;
}
