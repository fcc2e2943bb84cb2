/* The plan kernel: fills the table of a call from the free dimensions. In: closed-form offsets
 * (schedule/memplan.c) and trip counts. Out: table[0] = arena bytes, table[1..] = offsets in the
 * order of Schedule.placement, then the counts, then the guard pages of a guarded plan.
 *
 *   offset of a = max over b below a of offset of b + bytes of b
 *
 * All of it is i64 arithmetic, and what is constant is folded as it is built. A long plan is a row of
 * loops that run once, so that no block of code is longer than a few dozen entries: code generators
 * take more than linear time for long blocks. */
#include "compiler/lower/tables.h"

enum { PIECE = 32 }; /* entries of one loop */

/* What is built at the moment: with several pieces, one of them. */
typedef struct {
    LowerContext *c;
    uint32_t table;
    bool pieces;
    KInst *loop;
    uint32_t first;  /* entries made so far when the piece began */
    uint32_t made;   /* entries */
    KInst **offsets; /* per buffer */
    uint32_t *since; /* per buffer: the value of `first` then, plus 1; another one: it is in the table */
    KInst *total;
} Plan;

static KInst *bytes_of(LowerContext *c, uint32_t buffer)
{
    return lower_dim(c, c->schedule->buffers.data[buffer].bytes);
}

static KInst *load_slot(Plan *plan, uint32_t slot)
{
    KBuilder *b = &plan->c->b;
    return kir_load(b, plan->table, kir_index(b, slot), 1, NULL);
}

static void store_slot(Plan *plan, uint32_t slot, KInst *value)
{
    KBuilder *b = &plan->c->b;
    kir_store(b, plan->table, kir_index(b, slot), value, NULL);
}

static void close_piece(Plan *plan)
{
    store_slot(plan, 0, plan->total);
    if (plan->loop) {
        kir_end_for(&plan->c->b, plan->loop, NULL);
    }
    plan->loop = NULL;
}

/* The plan kernel runs its one item: begin is 0 and end is 1. */
static void open_piece(Plan *plan)
{
    KBuilder *b = &plan->c->b;
    plan->first = plan->made;
    if (!plan->pieces) {
        plan->total = kir_index(b, 0);
        return;
    }
    plan->loop = kir_for(b, lower_begin(plan->c), lower_end(plan->c), 1, NULL, 0);
    plan->total = plan->made ? load_slot(plan, 0) : kir_index(b, 0);
}

static void next_entry(Plan *plan)
{
    if (plan->pieces && plan->made - plan->first == PIECE) {
        close_piece(plan);
        open_piece(plan);
    }
    plan->made++;
}

static void store_offset(Plan *plan, uint32_t at, const uint32_t *slots)
{
    LowerContext *c = plan->c;
    const Buffer *buffer = &c->schedule->buffers.data[at];
    KInst *offset = kir_index(&c->b, 0);
    for (uint32_t k = 0; k < buffer->below.count; k++) {
        uint32_t under = buffer->below.data[k];
        KInst *start = plan->since[under] == plan->first + 1 ? plan->offsets[under]
                                                             : load_slot(plan, slots[under]);
        KInst *end = kir_binary(&c->b, K_ADD, start, bytes_of(c, under));
        offset = kir_binary(&c->b, K_IMAX, offset, end);
    }
    plan->offsets[at] = offset;
    plan->since[at] = plan->first + 1;
    store_slot(plan, slots[at], offset);
    KInst *end = kir_binary(&c->b, K_ADD, offset, bytes_of(c, at));
    plan->total = kir_binary(&c->b, K_IMAX, plan->total, end);
}

/* A buffer that ends where a page does; where the guard behind it is goes into the table, too. */
static void store_guarded(Plan *plan, uint32_t at, uint32_t slot, uint32_t guard_slot)
{
    LowerContext *c = plan->c;
    KInst *page = kir_index(&c->b, GUARD_PAGE);
    KInst *pages = lower_dim(c, guarded_pages(c->schedule, at));
    KInst *top = kir_binary(&c->b, K_IMAX, plan->total, page);
    KInst *guard = kir_binary(&c->b, K_ADD, top, pages);
    KInst *bytes = lower_dim(c, guarded_bytes(c->schedule, at));
    store_slot(plan, slot, kir_binary(&c->b, K_SUB, guard, bytes));
    store_slot(plan, guard_slot, guard);
    plan->total = kir_binary(&c->b, K_ADD, guard, page);
}

static void store_offsets(Plan *plan)
{
    const Schedule *s = plan->c->schedule;
    uint32_t first_guard = plan->c->tables->first_count_slot + plan->c->tables->counts.count;
    uint32_t *slots = ARENA_ARRAY(plan->c->arena, uint32_t, s->buffers.count + 1);
    for (uint32_t i = 0; i < s->placement.count; i++) {
        slots[s->placement.data[i]] = 1 + i;
    }
    for (uint32_t i = 0; i < s->placement.count; i++) {
        next_entry(plan);
        if (s->guarded) {
            store_guarded(plan, s->placement.data[i], 1 + i, first_guard + i);
        } else {
            store_offset(plan, s->placement.data[i], slots);
        }
    }
}

void lower_plan(LowerContext *c)
{
    KProgram *program = c->program;
    const Schedule *s = c->schedule;
    uint32_t counts = c->tables->counts.count;
    Plan plan = {.c = c, .pieces = s->placement.count + counts > 2 * PIECE};
    plan.offsets = ARENA_ARRAY(c->arena, KInst *, s->buffers.count + 1);
    plan.since = ARENA_ARRAY(c->arena, uint32_t, s->buffers.count + 1);
    c->kernel = kernel_new(c->arena, arena_format(c->arena, "%s_plan", program->name));
    c->b = kernel_builder(c->kernel);
    plan.table = kernel_buffer(c->kernel, "table", DT_I64, plan.pieces, true);
    open_piece(&plan);
    store_offsets(&plan);
    if (!plan.pieces) {
        close_piece(&plan);
    }
    for (uint32_t i = 0; i < counts; i++) {
        next_entry(&plan);
        store_slot(&plan, c->tables->first_count_slot + i, lower_dim(c, c->tables->counts.data[i]));
    }
    if (plan.pieces) {
        close_piece(&plan);
    }
    program->plan = c->kernel;
    program->guards = s->guarded ? s->placement.count : 0;
    program->table_size = c->tables->first_count_slot + counts + program->guards;
}
