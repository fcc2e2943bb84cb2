/* Is this kernel well formed? Reports every fault, one line each, with the instruction's number in
 * the printed text's order of creation:
 *
 *   kernel relu: %7 add: the operands differ in type
 *
 * A value is visible where its block is the block of the user or one that encloses it, and it
 * stands before. Walking the blocks in order and marking values as they come into sight, and out of
 * sight at the end of their block, is all that dominance means in structured code. */
#include "compiler/kernel/kir.h"
#include "compiler/kernel/kir_rules.h"
#include "runtime/base/bug.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const Kernel *kernel;
    StrBuf *out;
    const KInst **visible; /* by id; NULL: not in sight */
    bool *taken;           /* by id */
    bool sound;
} Check;

static void check_block(Check *check, const KBlock *block);

static void fault(Check *check, const KInst *inst, const char *what)
{
    check->sound = false;
    if (check->out) {
        strbuf_printf(check->out, "kernel %s: ", check->kernel->name);
        if (inst) {
            strbuf_printf(check->out, "%%%" PRIu32 " %s: ", inst->id, kop_info(inst->op)->text);
        }
        strbuf_printf(check->out, "%s\n", what);
    }
}

/* Marks a value as defined; false: its number is out of range or taken. */
static bool define(Check *check, const KInst *inst)
{
    if (inst->id >= check->kernel->next_id || check->taken[inst->id]) {
        fault(check, inst, "the number of the instruction is out of range or used twice");
        return false;
    }
    check->taken[inst->id] = true;
    check->visible[inst->id] = inst;
    return true;
}

static bool operands_visible(Check *check, const KInst *inst)
{
    for (uint32_t i = 0; i < inst->nsrc; i++) {
        const KInst *src = inst->src[i];
        if (!src || src->id >= check->kernel->next_id || check->visible[src->id] != src) {
            fault(check, inst, "an operand is not defined before it or not visible here");
            return false;
        }
    }
    return true;
}

static void hide_block(Check *check, const KBlock *block)
{
    for (uint32_t i = 0; i < block->args.count; i++) {
        check->visible[block->args.data[i]->id] = NULL;
    }
    for (uint32_t i = 0; i < block->insts.count; i++) {
        const KInst *inst = block->insts.data[i];
        if (inst->id < check->kernel->next_id && check->visible[inst->id] == inst) {
            check->visible[inst->id] = NULL;
        }
    }
}

static bool check_args(Check *check, const KBlock *block, const KInst *owner)
{
    for (uint32_t i = 0; i < block->args.count; i++) {
        const KInst *arg = block->args.data[i];
        if (arg->op != K_ARG || arg->i != (int64_t)i || arg->block != block ||
            !define(check, arg)) {
            fault(check, owner, "a parameter of the block is not sound");
            return false;
        }
    }
    return true;
}

static const KInst *last_of(const KBlock *block)
{
    return block->insts.count ? block->insts.data[block->insts.count - 1] : NULL;
}

static bool ends_with_yield(Check *check, const KInst *owner, const KBlock *block)
{
    const KInst *last = last_of(block);
    if (!last || last->op != K_YIELD) {
        fault(check, owner, "a block does not end with yield");
        return false;
    }
    return true;
}

static void check_loop(Check *check, const KInst *loop)
{
    const KBlock *body = loop->loop.body;
    if (!body || body->parent != loop || body->args.count != loop->nsrc - 1) {
        fault(check, loop, "the body does not fit the carried values");
        return;
    }
    for (uint32_t i = 0; i < body->args.count; i++) {
        KType wanted = i ? loop->src[i + 1]->type : ktype(DT_I64, 1);
        if (!ktype_equal(body->args.data[i]->type, wanted)) {
            fault(check, loop, "a parameter of the body is not of the type of its first value");
            return;
        }
    }
    if (!check_args(check, body, loop)) {
        return;
    }
    check_block(check, body);
    hide_block(check, body);
    const KInst *yield = last_of(body);
    bool fits = ends_with_yield(check, loop, body) && yield->nsrc == loop->nsrc - 2;
    for (uint32_t i = 0; fits && i < yield->nsrc; i++) {
        fits = ktype_equal(yield->src[i]->type, loop->src[i + 2]->type);
    }
    if (!fits) {
        fault(check, loop, "the body does not yield the carried values");
    }
}

static void check_branch(Check *check, const KInst *branch)
{
    const KBlock *blocks[2] = {branch->branch.then_block, branch->branch.else_block};
    for (int i = 0; i < 2; i++) {
        if (!blocks[i] || blocks[i]->parent != branch || blocks[i]->args.count) {
            fault(check, branch, "a block is missing or has parameters");
            return;
        }
        check_block(check, blocks[i]);
        hide_block(check, blocks[i]);
        if (!ends_with_yield(check, branch, blocks[i])) {
            return;
        }
    }
    const KInst *x = last_of(blocks[0]), *y = last_of(blocks[1]);
    bool agree = x->nsrc == y->nsrc;
    for (uint32_t i = 0; agree && i < x->nsrc; i++) {
        agree = ktype_equal(x->src[i]->type, y->src[i]->type);
    }
    if (!agree) {
        fault(check, branch, "the blocks do not yield the same types");
    }
}

static void check_inst(Check *check, const KInst *inst, bool is_last)
{
    if (inst->op >= K_COUNT) {
        fault(check, NULL, "an unknown instruction");
        return;
    }
    if (inst->op == K_YIELD && (!is_last || !inst->block->parent)) {
        fault(check, inst, "yield is not at the end of the block of a loop or a branch");
    }
    if (operands_visible(check, inst)) {
        const char *what = kir_fault(check->kernel, inst);
        if (what) {
            fault(check, inst, what);
        } else if (inst->op == K_FOR) {
            check_loop(check, inst);
        } else if (inst->op == K_IF) {
            check_branch(check, inst);
        }
    }
    define(check, inst);
}

static void check_block(Check *check, const KBlock *block)
{
    for (uint32_t i = 0; i < block->insts.count; i++) {
        const KInst *inst = block->insts.data[i];
        if (inst->block != block) {
            fault(check, inst, "the instruction does not know its block");
        }
        check_inst(check, inst, i + 1 == block->insts.count);
    }
}

static bool is_identifier(const char *name)
{
    if (!name || !(isalpha((unsigned char)*name) || *name == '_')) {
        return false;
    }
    while (isalnum((unsigned char)*name) || *name == '_') {
        name++;
    }
    return !*name;
}

static void check_head(Check *check)
{
    const Kernel *kernel = check->kernel;
    if (!is_identifier(kernel->name)) {
        fault(check, NULL, "the name of the kernel is not an identifier");
    }
    for (uint32_t i = 0; i < kernel->buffers.count; i++) {
        bool fresh = is_identifier(kernel->buffers.data[i].name);
        for (uint32_t j = 0; fresh && j < i; j++) {
            fresh = strcmp(kernel->buffers.data[i].name, kernel->buffers.data[j].name) != 0;
        }
        if (!fresh) {
            fault(check, NULL, "the name of a buffer is not an identifier or used twice");
        }
    }
}

bool kernel_verify(const Kernel *kernel, StrBuf *out)
{
    Check check = {kernel, out, calloc(kernel->next_id + 1, sizeof(KInst *)),
                   calloc(kernel->next_id + 1, sizeof(bool)), true};
    if (!check.visible || !check.taken) {
        NNC_BUG("out of memory");
    }
    check_head(&check);
    const KBlock *body = kernel->body;
    if (!body || body->parent || body->args.count != 2) {
        fault(&check, NULL, "the kernel has no block with parameters begin and end");
    } else if (check_args(&check, body, NULL)) {
        check_block(&check, body);
    }
    free(check.visible);
    free(check.taken);
    return check.sound;
}
