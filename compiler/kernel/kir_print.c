/* Kernel IR as text. One line per instruction, blocks in braces; values are numbered in the order
 * of the text, so that printing what was read gives the same text again:
 *
 *   kernel relu (x: f32 read, y: f32 write) {
 *     %0 = const 0 : f32x16
 *     %1 = for %2 = %begin .. %end step 16 {
 *       %3 = load x[%2] : f32x16
 *       %4 = lt %0, %3 : boolx16
 *       %5 = select %4, %3, %0 : f32x16
 *       store y[%2], %5
 *       yield
 *     }
 *   }
 *
 * A mask follows the rest (`store y[%2], %5 mask %4`), carried values follow the step:
 *
 *     %1 = for %2 = %begin .. %end step 16 (%3 = %0 : f32x16) { */
#include "compiler/kernel/kir.h"
#include "compiler/kernel/kir_rules.h"
#include "runtime/base/bug.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

typedef struct {
    const Kernel *kernel;
    StrBuf *out;
    uint32_t *number; /* by id: 1 + the number in the text, 0: not printed yet */
    uint32_t count;
} Printer;

static void print_block(Printer *p, const KBlock *block, int depth);

static void print_indent(Printer *p, int depth)
{
    for (int i = 0; i < depth; i++) {
        strbuf_add(p->out, "  ");
    }
}

static void define(Printer *p, const KInst *inst)
{
    p->number[inst->id] = ++p->count;
    strbuf_printf(p->out, "%%%" PRIu32, p->count - 1);
}

static void print_value(Printer *p, const KInst *inst)
{
    if (inst->op == K_ARG && !inst->block->parent) {
        strbuf_add(p->out, inst->i ? "%end" : "%begin");
    } else if (inst->id < p->kernel->next_id && p->number[inst->id]) {
        strbuf_printf(p->out, "%%%" PRIu32, p->number[inst->id] - 1);
    } else {
        strbuf_add(p->out, "%?"); /* used before its definition: the verifier says so */
    }
}

static void print_values(Printer *p, const KInst *inst, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        strbuf_add(p->out, i == from ? " " : ", ");
        print_value(p, inst->src[i]);
    }
}

static void print_type(Printer *p, KType type)
{
    strbuf_printf(p->out, " : %s", dtype_name(type.dtype));
    if (type.lanes > 1) {
        strbuf_printf(p->out, "x%u", type.lanes);
    }
}

static void print_float(StrBuf *out, double value)
{
    if (isnan(value)) {
        strbuf_add(out, "nan");
    } else if (isinf(value)) {
        strbuf_add(out, value < 0 ? "-inf" : "inf");
    } else {
        strbuf_add_double(out, value);
    }
}

static void print_element(Printer *p, const KInst *inst)
{
    strbuf_printf(p->out, " %s[", p->kernel->buffers.data[inst->buffer].name);
    print_value(p, inst->src[0]);
    strbuf_add(p->out, "]");
}

static void print_mask(Printer *p, const KInst *inst, uint32_t at)
{
    if (inst->nsrc > at) {
        strbuf_add(p->out, " mask ");
        print_value(p, inst->src[at]);
    }
}

static void print_access(Printer *p, const KInst *inst)
{
    if (inst->op == K_PREFETCH) {
        strbuf_add(p->out, inst->write_hint ? " write" : " read");
    }
    print_element(p, inst);
    if (inst->op == K_STORE) {
        strbuf_add(p->out, ", ");
        print_value(p, inst->src[1]);
    }
    print_mask(p, inst, inst->op == K_STORE ? 2 : 1);
}

static void print_lanes(Printer *p, const KInst *inst)
{
    strbuf_add(p->out, " [");
    for (int i = 0; i < inst->type.lanes; i++) {
        strbuf_printf(p->out, "%s%d", i ? ", " : "", inst->mask[i]);
    }
    strbuf_add(p->out, "]");
}

static void print_loop(Printer *p, const KInst *inst, int depth)
{
    const KBlock *body = inst->loop.body;
    strbuf_add(p->out, " ");
    define(p, body->args.data[0]);
    strbuf_add(p->out, " =");
    print_values(p, inst, 0, 1);
    strbuf_add(p->out, " ..");
    print_values(p, inst, 1, 2);
    strbuf_printf(p->out, " step %" PRId64, inst->loop.step);
    for (uint32_t i = 2; i < inst->nsrc; i++) {
        strbuf_add(p->out, i == 2 ? " (" : ", ");
        define(p, body->args.data[i - 1]);
        strbuf_add(p->out, " =");
        print_values(p, inst, i, i + 1);
        print_type(p, body->args.data[i - 1]->type);
    }
    strbuf_add(p->out, inst->nsrc > 2 ? ") {\n" : " {\n");
    print_block(p, body, depth + 1);
    print_indent(p, depth);
    strbuf_add(p->out, "}");
}

static void print_branch(Printer *p, const KInst *inst, int depth)
{
    print_values(p, inst, 0, 1);
    strbuf_add(p->out, " {\n");
    print_block(p, inst->branch.then_block, depth + 1);
    print_indent(p, depth);
    strbuf_add(p->out, "} else {\n");
    print_block(p, inst->branch.else_block, depth + 1);
    print_indent(p, depth);
    strbuf_add(p->out, "}");
}

static void print_plain(Printer *p, const KInst *inst)
{
    print_values(p, inst, 0, inst->nsrc);
    KImm imm = kop_info(inst->op)->imm;
    if (imm == KIMM_INT || (imm == KIMM_VALUE && !dtype_is_float(inst->type.dtype))) {
        strbuf_printf(p->out, "%s %" PRId64, inst->nsrc ? "," : "", inst->i);
    } else if (imm == KIMM_VALUE) {
        strbuf_add(p->out, " ");
        print_float(p->out, inst->f);
    } else if (imm == KIMM_MASK) {
        print_lanes(p, inst);
    }
}

static void print_inst(Printer *p, const KInst *inst, int depth)
{
    KImm imm = kop_info(inst->op)->imm;
    print_indent(p, depth);
    if (kop_has_value(inst->op) || imm == KIMM_LOOP || imm == KIMM_BRANCH) {
        define(p, inst);
        strbuf_add(p->out, " = ");
    }
    strbuf_add(p->out, kop_info(inst->op)->text);
    if (imm == KIMM_LOOP) {
        print_loop(p, inst, depth);
    } else if (imm == KIMM_BRANCH) {
        print_branch(p, inst, depth);
    } else if (imm == KIMM_BUFFER) {
        print_access(p, inst);
    } else {
        print_plain(p, inst);
    }
    if (kop_has_value(inst->op)) {
        print_type(p, inst->type);
    }
    strbuf_add(p->out, "\n");
}

static void print_block(Printer *p, const KBlock *block, int depth)
{
    for (uint32_t i = 0; i < block->insts.count; i++) {
        print_inst(p, block->insts.data[i], depth);
    }
}

static void print_buffer(StrBuf *out, const KBuffer *buffer)
{
    strbuf_printf(out, "%s: %s%s%s%s", buffer->name, dtype_name(buffer->dtype),
                  buffer->read ? " read" : "", buffer->written ? " write" : "",
                  buffer->shares ? " shares" : "");
}

void kernel_print(const Kernel *kernel, StrBuf *out)
{
    Printer p = {kernel, out, calloc(kernel->next_id + 1, sizeof(uint32_t)), 0};
    if (!p.number) {
        NNC_BUG("out of memory");
    }
    strbuf_printf(out, "kernel %s (", kernel->name);
    for (uint32_t i = 0; i < kernel->buffers.count; i++) {
        strbuf_add(out, i ? ", " : "");
        print_buffer(out, &kernel->buffers.data[i]);
    }
    strbuf_add(out, ") {\n");
    print_block(&p, kernel->body, 1);
    strbuf_add(out, "}\n");
    free(p.number);
}

/* ---- programs ---- */

static const char *const buffer_kinds[] = {"input",    "param", "state", "output",
                                           "constant", "arena", "slice"};

static void print_program_buffer(StrBuf *out, const ProgramBuffer *buffer, uint32_t index)
{
    strbuf_printf(out, "  #%u %s %s", index, buffer_kinds[buffer->kind],
                  buffer->name ? buffer->name : "-");
    strbuf_printf(out, ": %s", buffer->shape ? buffer->shape : dtype_name(buffer->dtype));
    if (buffer->kind == BUFFER_CONSTANT) {
        strbuf_printf(out, ", %zu bytes", buffer->bytes);
    } else if (buffer->kind == BUFFER_ARENA) {
        strbuf_printf(out, " at table[%u]", buffer->slot);
    } else if (buffer->kind == BUFFER_SLICE) {
        strbuf_printf(out, " at #%u + t%u * table[%u]", buffer->base, buffer->region, buffer->slot);
    }
    strbuf_add(out, "\n");
}

static void print_spaces(StrBuf *out, int depth)
{
    for (int i = 0; i < depth; i++) {
        strbuf_add(out, "  ");
    }
}

static void print_region(StrBuf *out, const KRegion *region, uint32_t index)
{
    if (region->kind == KREGION_LOOP) {
        strbuf_printf(out, "loop t%u < table[%u]%s", index, region->count_slot,
                      region->reverse ? " backwards" : "");
        if (region->condition >= 0) {
            strbuf_printf(out, " while #%d", region->condition);
        }
    } else {
        strbuf_printf(out, "%s #%d", region->kind == KREGION_THEN ? "if" : "else of",
                      region->condition);
    }
    strbuf_add(out, " {\n");
}

/* Regions that begin before this launch or, in the other order, end before it. */
static void print_regions(StrBuf *out, const KProgram *program, uint32_t at, int *depth)
{
    for (uint32_t i = 0; i < program->regions.count; i++) {
        if (program->regions.data[i].last == at) {
            print_spaces(out, --(*depth));
            strbuf_add(out, "}\n");
        }
    }
    for (uint32_t i = 0; i < program->regions.count; i++) {
        if (program->regions.data[i].first == at) {
            print_spaces(out, (*depth)++);
            print_region(out, &program->regions.data[i], i);
        }
    }
}

static void print_launch(StrBuf *out, const KProgram *program, const Launch *launch, int depth)
{
    const char *name = launch->is_extern ? program->externs.data[launch->kernel]
                                         : program->kernels.data[launch->kernel]->name;
    print_spaces(out, depth);
    strbuf_printf(out, "%s %s(", launch->is_extern ? "call" : "launch", name);
    for (uint32_t i = 0; i < launch->args.count; i++) {
        strbuf_printf(out, "%s#%u", i ? ", " : "", launch->args.data[i]);
    }
    if (launch->is_extern) {
        strbuf_printf(out, ") sizes table[%u .. %u)\n", launch->dims_slot,
                      launch->dims_slot + launch->dims_count);
    } else {
        strbuf_printf(out, ") for table[%u] grain %" PRId64 "\n", launch->count_slot,
                      launch->grain);
    }
}

void kprogram_print(const KProgram *program, StrBuf *out)
{
    strbuf_printf(out, "program %s (", program->name);
    for (uint32_t i = 0; i < program->dims.count; i++) {
        strbuf_printf(out, "%s%s", i ? ", " : "", program->dims.data[i]);
    }
    strbuf_printf(out, ") table %u failures %u {\n", program->table_size, program->failure_sites);
    for (uint32_t i = 0; i < program->buffers.count; i++) {
        print_program_buffer(out, &program->buffers.data[i], i);
    }
    int depth = 1;
    for (uint32_t i = 0; i <= program->launches.count; i++) {
        print_regions(out, program, i, &depth);
        if (i < program->launches.count) {
            print_launch(out, program, &program->launches.data[i], depth);
        }
    }
    strbuf_add(out, "}\n");
    if (program->plan) {
        kernel_print(program->plan, out);
    }
    for (uint32_t i = 0; i < program->kernels.count; i++) {
        kernel_print(program->kernels.data[i], out);
    }
}
