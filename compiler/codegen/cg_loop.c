/* Structured control flow as basic blocks.
 *
 *   for %i = low .. high step s (%a = init) { ... yield v }
 *
 *     before:  br low < high, loop, done       the guard; left out when the limits are constants
 *     loop:    i = phi [low], [next]
 *              a = phi [init], [v]
 *              ...
 *              next = i + s;  br next < high, loop, done
 *     done:    result = phi [init], [v]
 *
 * The test stands at the end, so no pass has to rotate the loop. The next value of the counter is
 * frozen: that is no instruction in the end, but keeps LLVM from analysing the loop in order to
 * reduce its addresses, which cg_stride.c has done. */
#include "compiler/codegen/cg.h"
#include "compiler/kernel/kir_rules.h"

static const KInst *yield_of(const KBlock *block)
{
    return block->insts.data[block->insts.count - 1];
}

static LLVMValueRef *yielded(const Cg *cg, const KBlock *block)
{
    const KInst *yield = yield_of(block);
    LLVMValueRef *values = ARENA_ARRAY(cg->scratch, LLVMValueRef, yield->nsrc + 1);
    for (uint32_t i = 0; i < yield->nsrc; i++) {
        values[i] = cg_value(cg, yield->src[i]);
    }
    return values;
}

static LLVMValueRef phi(Cg *cg, LLVMTypeRef type, LLVMValueRef x, LLVMBasicBlockRef from_x,
                        LLVMValueRef y, LLVMBasicBlockRef from_y)
{
    LLVMValueRef node = LLVMBuildPhi(cg->builder, type, "");
    LLVMAddIncoming(node, &x, &from_x, 1);
    if (y) {
        LLVMAddIncoming(node, &y, &from_y, 1);
    }
    return node;
}

/* The parameters of the body; their values from the end of the body are added later. */
static void begin_body(Cg *cg, const KInst *loop, LLVMBasicBlockRef before)
{
    const KBlock *body = loop->loop.body;
    for (uint32_t i = 0; i < body->args.count; i++) {
        const KInst *arg = body->args.data[i];
        LLVMValueRef init = cg_value(cg, loop->src[i == 0 ? 0 : i + 1]);
        cg->values[arg->id] = phi(cg, cg_type(cg, arg->type), init, before, NULL, NULL);
    }
}

static void close_body(Cg *cg, const KInst *loop, LLVMBasicBlockRef head, LLVMBasicBlockRef done,
                       LLVMValueRef *values)
{
    const KBlock *body = loop->loop.body;
    LLVMBasicBlockRef latch = LLVMGetInsertBlock(cg->builder);
    LLVMValueRef counter = cg->values[body->args.data[0]->id];
    LLVMValueRef next = LLVMBuildNSWAdd(cg->builder, counter, cg_index(cg, loop->loop.step), "");
    next = LLVMBuildFreeze(cg->builder, next, "");
    LLVMAddIncoming(counter, &next, &latch, 1);
    for (uint32_t i = 1; i < body->args.count; i++) {
        LLVMAddIncoming(cg->values[body->args.data[i]->id], &values[i - 1], &latch, 1);
    }
    LLVMValueRef more =
        LLVMBuildICmp(cg->builder, LLVMIntSLT, next, cg_value(cg, loop->src[1]), "");
    LLVMBuildCondBr(cg->builder, more, head, done);
}

/* How often a loop of constant limits runs: 0, 1, or 2 for more; -1: not known. */
static int known_trips(const KInst *loop)
{
    int64_t low, high;
    if (!kir_constant(loop->src[0], &low) || !kir_constant(loop->src[1], &high)) {
        return -1;
    }
    return low >= high ? 0 : (uint64_t)high - (uint64_t)low <= (uint64_t)loop->loop.step ? 1 : 2;
}

static LLVMValueRef *initial_values(const Cg *cg, const KInst *loop)
{
    LLVMValueRef *values = ARENA_ARRAY(cg->scratch, LLVMValueRef, loop->nsrc);
    for (uint32_t i = 2; i < loop->nsrc; i++) {
        values[i - 2] = cg_value(cg, loop->src[i]);
    }
    return values;
}

static void emit_once(Cg *cg, const KInst *loop)
{
    const KBlock *body = loop->loop.body;
    for (uint32_t i = 0; i < body->args.count; i++) {
        cg->values[body->args.data[i]->id] = cg_value(cg, loop->src[i == 0 ? 0 : i + 1]);
    }
    cg_emit_block(cg, body);
    cg->results[loop->id] = yielded(cg, body);
}

static void emit_loop(Cg *cg, const KInst *loop, bool guarded)
{
    LLVMValueRef *inits = initial_values(cg, loop);
    LLVMBasicBlockRef head = cg_block(cg, "loop"), done = cg_block(cg, "done");
    LLVMBasicBlockRef before = LLVMGetInsertBlock(cg->builder);
    CgStrides *strides = cg_strides_before(cg, loop);
    if (guarded) {
        LLVMValueRef low = cg_value(cg, loop->src[0]), high = cg_value(cg, loop->src[1]);
        LLVMBuildCondBr(cg->builder, LLVMBuildICmp(cg->builder, LLVMIntSLT, low, high, ""), head,
                        done);
    } else {
        LLVMBuildBr(cg->builder, head);
    }
    LLVMPositionBuilderAtEnd(cg->builder, head);
    begin_body(cg, loop, before);
    if (strides) {
        cg_strides_begin(cg, strides, before);
    }
    cg_emit_block(cg, loop->loop.body);
    LLVMValueRef *values = yielded(cg, loop->loop.body);
    LLVMBasicBlockRef latch = LLVMGetInsertBlock(cg->builder);
    if (strides) {
        cg_strides_end(cg, strides, latch);
    }
    close_body(cg, loop, head, done, values);
    LLVMMoveBasicBlockAfter(done, latch);
    LLVMPositionBuilderAtEnd(cg->builder, done);
    LLVMValueRef *results = ARENA_ARRAY(cg->scratch, LLVMValueRef, loop->nsrc);
    for (uint32_t i = 0; i + 2 < loop->nsrc; i++) {
        LLVMTypeRef type = LLVMTypeOf(values[i]);
        results[i] = phi(cg, type, values[i], latch, guarded ? inits[i] : NULL, before);
    }
    cg->results[loop->id] = results;
}

LLVMValueRef cg_emit_for(Cg *cg, const KInst *loop)
{
    int trips = known_trips(loop);
    if (trips == 0) {
        cg->results[loop->id] = initial_values(cg, loop);
    } else if (trips == 1) {
        emit_once(cg, loop);
    } else {
        emit_loop(cg, loop, trips < 0);
    }
    return NULL;
}

LLVMValueRef cg_emit_if(Cg *cg, const KInst *inst)
{
    LLVMBasicBlockRef blocks[2] = {cg_block(cg, "then"), cg_block(cg, "else")}, ends[2];
    const KBlock *bodies[2] = {inst->branch.then_block, inst->branch.else_block};
    LLVMBasicBlockRef joined = cg_block(cg, "joined");
    LLVMValueRef *values[2];
    LLVMBuildCondBr(cg->builder, cg_value(cg, inst->src[0]), blocks[0], blocks[1]);
    for (int i = 0; i < 2; i++) {
        LLVMPositionBuilderAtEnd(cg->builder, blocks[i]);
        cg_emit_block(cg, bodies[i]);
        values[i] = yielded(cg, bodies[i]);
        ends[i] = LLVMGetInsertBlock(cg->builder);
        LLVMBuildBr(cg->builder, joined);
    }
    LLVMMoveBasicBlockAfter(joined, ends[1]);
    LLVMPositionBuilderAtEnd(cg->builder, joined);
    uint32_t count = yield_of(bodies[0])->nsrc;
    LLVMValueRef *results = ARENA_ARRAY(cg->scratch, LLVMValueRef, count + 1);
    for (uint32_t i = 0; i < count; i++) {
        results[i] =
            phi(cg, LLVMTypeOf(values[0][i]), values[0][i], ends[0], values[1][i], ends[1]);
    }
    cg->results[inst->id] = results;
    return NULL;
}

LLVMValueRef cg_emit_result(Cg *cg, const KInst *inst)
{
    return cg->results[inst->src[0]->id][inst->i];
}
