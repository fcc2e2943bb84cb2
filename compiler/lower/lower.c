/* lower_program: from a schedule to a kernel program. In: groups in order. Out: kernels, launches,
 * buffers, the plan kernel.
 *
 * Buffers of the program have the numbers of the schedule's buffers, so a launch's arguments are
 * those a kernel touched. table[0] is the arena's size, then one offset per stretch of arena
 * memory, then one trip count per different count. A kernel that equals an earlier one (up to
 * names) is dropped and the earlier one launched again: twelve equal layers share code. */
#include "compiler/lower/tables.h"

#include "runtime/base/bug.h"

#include <string.h>

/* ---- the program's buffers ---- */

static BufferKind program_kind(StorageKind kind)
{
    static const BufferKind kinds[] = {
        [STORAGE_INPUT] = BUFFER_INPUT,       [STORAGE_PARAM] = BUFFER_PARAM,
        [STORAGE_STATE] = BUFFER_STATE,       [STORAGE_OUTPUT] = BUFFER_OUTPUT,
        [STORAGE_CONSTANT] = BUFFER_CONSTANT, [STORAGE_ARENA] = BUFFER_ARENA,
        [STORAGE_SLICE] = BUFFER_SLICE,
    };
    return kinds[kind];
}

static const char *type_text(LowerContext *c, const Type *type)
{
    StrBuf text = {0};
    type_print(c->schedule->graph->dims, type, &text);
    const char *kept = arena_string(c->arena, text.text);
    strbuf_free(&text);
    return kept;
}

static uint32_t arena_slot(const LowerContext *c, uint32_t buffer)
{
    const Schedule *s = c->schedule;
    while (s->buffers.data[buffer].in_place_of != NO_BUFFER) {
        buffer = (uint32_t)s->buffers.data[buffer].in_place_of;
    }
    if (!c->tables->arena_slots[buffer]) {
        NNC_BUG("buffer %u has no place in the arena", buffer);
    }
    return c->tables->arena_slots[buffer];
}

static void find_arena_slots(LowerContext *c)
{
    const Schedule *s = c->schedule;
    c->tables->arena_slots = ARENA_ARRAY(c->arena, uint32_t, s->buffers.count + 1);
    for (uint32_t i = 0; i < s->placement.count; i++) {
        c->tables->arena_slots[s->placement.data[i]] = 1 + i;
    }
}

/* ---- tables that grow ---- */

/* Twice as many slots as there are entries, at least; true: they are new and empty. */
static bool grow_slots(LowerContext *c, uint32_t **slots, uint32_t *slot_count, uint32_t entries)
{
    if (*slot_count > 2 * entries) {
        return false;
    }
    *slot_count = *slot_count ? *slot_count * 4 : 64;
    *slots = ARENA_ARRAY(c->arena, uint32_t, *slot_count);
    return true;
}

static void put_slot(uint32_t *slots, uint32_t slot_count, uint64_t hash, uint32_t index)
{
    while (slots[hash & (slot_count - 1)]) {
        hash++;
    }
    slots[hash & (slot_count - 1)] = index + 1;
}

/* Dims are unique, so their addresses tell them apart; only the place in a table depends on it. */
static uint64_t address_hash(const void *address)
{
    uint64_t hash = (uint64_t)(uintptr_t)address * 0x9E3779B97F4A7C15u;
    return hash ^ hash >> 32;
}

static uint32_t count_slot(LowerContext *c, const Dim *count)
{
    LowerTables *t = c->tables;
    if (grow_slots(c, &t->count_slots, &t->count_slot_count, t->counts.count)) {
        for (uint32_t i = 0; i < t->counts.count; i++) {
            put_slot(t->count_slots, t->count_slot_count, address_hash(t->counts.data[i]), i);
        }
    }
    for (uint64_t at = address_hash(count);; at++) {
        uint32_t entry = t->count_slots[at & (t->count_slot_count - 1)];
        if (!entry) {
            break;
        }
        if (t->counts.data[entry - 1] == count) {
            return t->first_count_slot + entry - 1;
        }
    }
    put_slot(t->count_slots, t->count_slot_count, address_hash(count), t->counts.count);
    vec_push(c->arena, &t->counts, count);
    return t->first_count_slot + t->counts.count - 1;
}

static void add_buffers(LowerContext *c)
{
    const Schedule *s = c->schedule;
    for (uint32_t i = 0; i < s->buffers.count; i++) {
        const Buffer *from = &s->buffers.data[i];
        ProgramBuffer to = {.kind = program_kind(from->kind),
                            .name = from->name,
                            .dtype = from->type.dtype,
                            .rank = from->type.rank,
                            .data = from->data,
                            .bytes = from->data_bytes};
        for (int k = 0; k < from->type.rank; k++) {
            if (!dim_is_const(from->type.dims[k], &to.dims[k])) {
                to.dims[k] = -1;
            }
        }
        to.shape = type_text(c, &from->type);
        to.slot = from->kind == STORAGE_ARENA   ? arena_slot(c, i)
                  : from->kind == STORAGE_SLICE ? count_slot(c, from->bytes)
                                                : 0;
        to.base = from->kind == STORAGE_SLICE ? (uint32_t)from->base : 0;
        vec_push(c->arena, &c->program->buffers, to);
    }
    c->program->externals = s->externals;
}

static void add_dims(LowerContext *c)
{
    const Schedule *s = c->schedule;
    uint32_t count = dim_symbol_count(s->graph->dims);
    c->tables->symbol_position = ARENA_ARRAY(c->arena, int32_t, count + 1);
    for (uint32_t i = 0; i < count; i++) {
        c->tables->symbol_position[i] = -1;
    }
    for (uint32_t i = 0; i < s->symbol_count; i++) {
        c->tables->symbol_position[s->symbols[i]] = (int32_t)i;
        vec_push(c->arena, &c->program->dims, dim_symbol_name(s->graph->dims, s->symbols[i]));
    }
}

/* ---- dims as values ---- */

static KInst *lower_atom(LowerContext *c, const DimAtom *atom)
{
    if (atom->kind == DIM_SYMBOL) {
        int32_t position = c->tables->symbol_position[atom->symbol];
        NNC_ASSERT(position >= 0);
        return kir_dim(&c->b, (uint32_t)position);
    }
    KInst *left = lower_dim(c, atom->left), *right = lower_dim(c, atom->right);
    return kir_binary(&c->b, atom->kind == DIM_MAX ? K_IMAX : K_IDIV, left, right);
}

KInst *lower_dim(LowerContext *c, const Dim *dim)
{
    KInst *sum = kir_index(&c->b, 0);
    for (uint32_t t = 0; t < dim->count; t++) {
        KInst *product = kir_index(&c->b, 1);
        for (uint32_t f = 0; f < dim->terms[t].count; f++) {
            product = kir_binary(&c->b, K_MUL, product, lower_atom(c, dim->terms[t].factors[f]));
        }
        product = kir_binary(&c->b, K_MUL, product, kir_index(&c->b, dim->terms[t].coefficient));
        sum = kir_binary(&c->b, K_ADD, sum, product);
    }
    return sum;
}

const Dim *lower_product(LowerContext *c, const Dim *const *dims, int first, int count)
{
    const Dim *product = dim_product(c->schedule->graph->dims, dims + first, count);
    NNC_ASSERT(product != NULL);
    return product;
}

/* ---- kernels ---- */

static void forget_kernel(LowerContext *c)
{
    LowerTables *t = c->tables;
    t->memo.count = t->scopes.count = t->places.count = t->args.count = t->stored.count = 0;
    c->mask = c->guard = NULL;
    c->lanes = 1;
}

void lower_kernel_begin(LowerContext *c, const char *what)
{
    const char *name =
        arena_format(c->arena, "%s_%s_%u", c->program->name, what, c->tables->kernel_number++);
    forget_kernel(c);
    c->kernel = kernel_new(c->arena, name);
    c->b = kernel_builder(c->kernel);
}

void lower_kernel_drop(LowerContext *c)
{
    c->tables->kernel_number--;
    forget_kernel(c);
    c->kernel = NULL;
}

KInst *lower_begin(const LowerContext *c)
{
    return c->kernel->body->args.data[0];
}

KInst *lower_end(const LowerContext *c)
{
    return c->kernel->body->args.data[1];
}

uint32_t lower_buffer(LowerContext *c, int32_t schedule_buffer, Access access)
{
    NNC_ASSERT(schedule_buffer >= 0 && (uint32_t)schedule_buffer < c->schedule->buffers.count);
    LowerTables *t = c->tables;
    uint32_t at = 0;
    while (at < t->args.count && t->args.data[at].buffer != schedule_buffer) {
        at++;
    }
    if (at == t->args.count) {
        const Buffer *buffer = &c->schedule->buffers.data[schedule_buffer];
        const char *name = arena_format(c->arena, "b%u", at);
        vec_push(c->arena, &t->args, (KernelArg){schedule_buffer});
        kernel_buffer(c->kernel, name, buffer->type.dtype, false, false);
    }
    KBuffer *buffer = &c->kernel->buffers.data[at];
    buffer->read |= (access & ACCESS_READ) != 0;
    buffer->written |= (access & ACCESS_WRITE) != 0;
    return at;
}

/* Buffers of one stretch of arena memory, in place of each other, and slices of one buffer. */
static void mark_shared(LowerContext *c)
{
    const LowerTables *t = c->tables;
    for (uint32_t i = 0; i < t->args.count; i++) {
        for (uint32_t k = 0; k < i; k++) {
            uint32_t first = kprogram_whole(c->program, (uint32_t)t->args.data[i].buffer);
            uint32_t other = kprogram_whole(c->program, (uint32_t)t->args.data[k].buffer);
            const ProgramBuffer *x = &c->program->buffers.data[first];
            const ProgramBuffer *y = &c->program->buffers.data[other];
            bool arena = x->kind == BUFFER_ARENA && y->kind == BUFFER_ARENA;
            if (x == y || (arena && x->slot == y->slot)) {
                c->kernel->buffers.data[i].shares = c->kernel->buffers.data[k].shares = true;
            }
        }
    }
}

static uint32_t share_kernel(LowerContext *c)
{
    LowerTables *t = c->tables;
    uint64_t hash = kernel_hash(c->kernel);
    if (grow_slots(c, &t->kernel_slots, &t->kernel_slot_count, t->kernel_hashes.count)) {
        for (uint32_t i = 0; i < t->kernel_hashes.count; i++) {
            put_slot(t->kernel_slots, t->kernel_slot_count, t->kernel_hashes.data[i], i);
        }
    }
    for (uint64_t at = hash;; at++) {
        uint32_t entry = t->kernel_slots[at & (t->kernel_slot_count - 1)];
        if (!entry) {
            break;
        }
        if (t->kernel_hashes.data[entry - 1] == hash &&
            kernel_equal(c->program->kernels.data[entry - 1], c->kernel)) {
            return entry - 1;
        }
    }
    put_slot(t->kernel_slots, t->kernel_slot_count, hash, t->kernel_hashes.count);
    vec_push(c->arena, &t->kernel_hashes, hash);
    vec_push(c->arena, &c->program->kernels, c->kernel);
    return c->program->kernels.count - 1;
}

static void check_kernel(const Kernel *kernel)
{
#ifndef NDEBUG
    StrBuf faults = {0};
    if (!kernel_verify(kernel, &faults)) {
        kernel_print(kernel, &faults);
        NNC_BUG("kernel %s: %s", kernel->name, faults.text);
    }
    strbuf_free(&faults);
#else
    (void)kernel;
#endif
}

void lower_kernel_end(LowerContext *c, const Dim *count, int64_t grain)
{
    mark_shared(c);
    check_kernel(c->kernel);
    Launch launch = {.kernel = share_kernel(c), .count_slot = count_slot(c, count), .grain = grain};
    for (uint32_t i = 0; i < c->tables->args.count; i++) {
        vec_push(c->arena, &launch.args, (uint32_t)c->tables->args.data[i].buffer);
    }
    vec_push(c->arena, &c->program->launches, launch);
    vec_push(c->arena, &c->tables->launch_groups, c->group);
    forget_kernel(c);
}

uint32_t lower_site(LowerContext *c, const Node *node)
{
    LowerTables *t = c->tables;
    for (uint32_t i = 0; i < t->sites.count; i++) {
        if (t->sites.data[i] == node) {
            return i;
        }
    }
    vec_push(c->arena, &t->sites, node);
    return t->sites.count - 1;
}

/* ---- host functions ---- */

static uint32_t extern_index(LowerContext *c, const char *name)
{
    for (uint32_t i = 0; i < c->program->externs.count; i++) {
        if (strcmp(c->program->externs.data[i], name) == 0) {
            return i;
        }
    }
    vec_push(c->arena, &c->program->externs, name);
    return c->program->externs.count - 1;
}

void lower_call(LowerContext *c, const Group *group)
{
    const Node *node = group->node;
    DimTable *dims = c->schedule->graph->dims;
    Launch launch = {.is_extern = true, .kernel = extern_index(c, node->attr.call.name)};
    launch.count_slot = count_slot(c, dim_const(dims, 1));
    for (int i = 0; i < node->nsrc; i++) {
        const Node *operand = node->src[i];
        while (operand->op == OP_ENTER) {
            operand = operand->src[0];
        }
        vec_push(c->arena, &launch.args, (uint32_t)c->schedule->buffer_of[operand->id]);
    }
    vec_push(c->arena, &launch.args, (uint32_t)group->outputs.data[0].buffer);
    /* Ranks and sizes in one run of slots: they may repeat, so they are not looked up. */
    launch.dims_slot = c->tables->first_count_slot + c->tables->counts.count;
    for (int i = 0; i <= node->nsrc; i++) {
        const Type *type = i < node->nsrc ? &node->src[i]->type : &node->type;
        vec_push(c->arena, &c->tables->counts, dim_const(dims, type->rank));
        for (int k = 0; k < type->rank; k++) {
            vec_push(c->arena, &c->tables->counts, type->dims[k]);
        }
        launch.dims_count += 1 + (uint32_t)type->rank;
    }
    vec_push(c->arena, &c->program->launches, launch);
    vec_push(c->arena, &c->tables->launch_groups, group);
}

/* ---- the program ---- */

static LowerOptions settle_options(const LowerOptions *given)
{
    LowerOptions o = *given;
    o.vector_bytes = o.vector_bytes ? o.vector_bytes : 64;
    o.vector_registers = o.vector_registers ? o.vector_registers : 32;
    o.l1_bytes = o.l1_bytes ? o.l1_bytes : 32 << 10;
    o.l2_bytes = o.l2_bytes ? o.l2_bytes : 1 << 20;
    o.l3_bytes = o.l3_bytes ? o.l3_bytes : 8 << 20;
    return o;
}

static void lower_contraction(LowerContext *c, const Group *group)
{
    (c->options->naive_contract ? lower_contract_naive : lower_contract)(c, group);
}

static void lower_group(LowerContext *c, const Group *group)
{
    typedef void LowerGroup(LowerContext * c, const Group *group);
    static LowerGroup *const by_kind[GROUP_KINDS] = {
        [GROUP_LOOP] = lower_loop,
        [GROUP_REDUCE] = lower_reduce,
        [GROUP_CONTRACT] = lower_contraction,
        [GROUP_CUMSUM] = lower_cumsum,
        [GROUP_SORT] = lower_sort,
        [GROUP_SCATTER] = lower_scatter,
        [GROUP_CALL] = lower_call,
    };
    c->group = group;
    c->domain = NULL;
    by_kind[group->kind](c, group);
}

/* ---- regions ---- */

/* What runs once before a loop comes before its launches, and inside of the regions around it. */
static void open_regions(LowerContext *c, int32_t position, uint32_t *first)
{
    const Schedule *s = c->schedule;
    for (int32_t r = 1; r < (int32_t)s->regions.count; r++) {
        const ScheduleRegion *region = &s->regions.data[r];
        if (region->first != position || region->last < position) {
            continue;
        }
        for (int32_t g = region->first; g <= region->last; g++) {
            if (s->groups.data[g]->hoisted == r) {
                c->group = s->groups.data[g];
                lower_hoisted(c, c->group);
            }
        }
        first[r] = c->program->launches.count;
    }
}

/* The regions of the schedule over launches: they begin at first[region] and end where the launches
 * of group g do, launched[g]. Slices are told their loop's number. */
static void add_regions(LowerContext *c, const uint32_t *first, const uint32_t *launched)
{
    const Schedule *s = c->schedule;
    KProgram *program = c->program;
    uint32_t *number = ARENA_ARRAY(c->arena, uint32_t, s->regions.count);
    for (uint32_t i = 1; i < s->regions.count; i++) {
        const ScheduleRegion *from = &s->regions.data[i];
        bool loop = from->kind == REGION_LOOP;
        number[i] = program->regions.count;
        if (from->first > from->last) {
            continue;
        }
        KRegion to = {.kind = loop                        ? KREGION_LOOP
                              : from->kind == REGION_THEN ? KREGION_THEN
                                                          : KREGION_ELSE,
                      .first = first[i],
                      .last = launched[from->last],
                      .count_slot = loop ? count_slot(c, from->node->attr.loop.length) : 0,
                      .reverse = loop && from->node->attr.loop.reverse,
                      .condition = from->condition};
        vec_push(c->arena, &program->regions, to);
    }
    for (uint32_t i = 0; i < s->buffers.count; i++) {
        if (s->buffers.data[i].kind == STORAGE_SLICE) {
            program->buffers.data[i].region = number[s->buffers.data[i].region];
        }
    }
}

static void check_program(const KProgram *program)
{
#ifndef NDEBUG
    StrBuf faults = {0};
    if (!kprogram_verify(program, &faults)) {
        kprogram_print(program, &faults);
        NNC_BUG("%s", faults.text);
    }
    strbuf_free(&faults);
#else
    (void)program;
#endif
}

LowerResult lower_program(Arena *arena, const Schedule *schedule, const LowerOptions *options,
                          const char *name)
{
    LowerOptions settled = settle_options(options);
    LowerContext c = {.arena = arena, .schedule = schedule, .options = &settled};
    c.program = ARENA_NEW(arena, KProgram);
    c.program->name = arena_string(arena, name);
    c.program->arena = arena;
    c.tables = ARENA_NEW(arena, LowerTables);
    c.tables->first_count_slot = 1 + schedule->placement.count;
    find_arena_slots(&c);
    add_buffers(&c);
    add_dims(&c);
    uint32_t *launched = ARENA_ARRAY(arena, uint32_t, schedule->groups.count + 1);
    uint32_t *first = ARENA_ARRAY(arena, uint32_t, schedule->regions.count);
    for (uint32_t g = 0; g < schedule->groups.count; g++) {
        open_regions(&c, (int32_t)g, first);
        lower_group(&c, schedule->groups.data[g]);
        launched[g] = c.program->launches.count;
    }
    add_regions(&c, first, launched);
    lower_plan(&c);
    c.program->failure_sites = c.tables->sites.count;
    check_program(c.program);
    return (LowerResult){c.program, c.tables->sites.data, c.tables->launch_groups.data};
}
