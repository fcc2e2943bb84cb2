/* The plan kernel: fills the table of a call from the free dimensions. In: closed-form offsets
 * (schedule/memplan.c) and trip counts. Out: table[0] = arena bytes, table[1..] = offsets in the
 * order of Schedule.placement, then the counts.
 *
 *   offset of a = max over b below a of offset of b + bytes of b
 *
 * All of it is i64 arithmetic, and what is constant is folded as it is built. */
#include "compiler/lower/tables.h"

static KInst *bytes_of(LowerContext *c, uint32_t buffer)
{
    return lower_dim(c, c->schedule->buffers.data[buffer].bytes);
}

static void store_slot(LowerContext *c, uint32_t table, uint32_t slot, KInst *value)
{
    kir_store(&c->b, table, kir_index(&c->b, slot), value, NULL);
}

static void store_offsets(LowerContext *c, uint32_t table)
{
    const Schedule *s = c->schedule;
    KInst **offsets = ARENA_ARRAY(c->arena, KInst *, s->buffers.count + 1);
    KInst *total = kir_index(&c->b, 0);
    for (uint32_t i = 0; i < s->placement.count; i++) {
        uint32_t at = s->placement.data[i];
        KInst *offset = kir_index(&c->b, 0);
        for (uint32_t k = 0; k < s->buffers.data[at].below.count; k++) {
            uint32_t under = s->buffers.data[at].below.data[k];
            KInst *end = kir_binary(&c->b, K_ADD, offsets[under], bytes_of(c, under));
            offset = kir_binary(&c->b, K_IMAX, offset, end);
        }
        offsets[at] = offset;
        store_slot(c, table, 1 + i, offset);
        total = kir_binary(&c->b, K_IMAX, total, kir_binary(&c->b, K_ADD, offset, bytes_of(c, at)));
    }
    store_slot(c, table, 0, total);
}

void lower_plan(LowerContext *c)
{
    KProgram *program = c->program;
    c->kernel = kernel_new(c->arena, arena_format(c->arena, "%s_plan", program->name));
    c->b = kernel_builder(c->kernel);
    uint32_t table = kernel_buffer(c->kernel, "table", DT_I64, false, true);
    store_offsets(c, table);
    for (uint32_t i = 0; i < c->tables->counts.count; i++) {
        store_slot(c, table, c->tables->first_count_slot + i,
                   lower_dim(c, c->tables->counts.data[i]));
    }
    program->plan = c->kernel;
    program->table_size = c->tables->first_count_slot + c->tables->counts.count;
}
