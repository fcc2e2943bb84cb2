/* Does a program fit together? Arguments are buffers with the element types of their kernels, slots
 * are in the table, slices lie in buffers listed before them or after, never in themselves, and
 * their launches are in the loop whose t they use; regions nest.
 *
 *   program t: launch 3 uses t of region 0 outside of it */
#include "compiler/kernel/kir.h"

typedef struct {
    const KProgram *program;
    StrBuf *out;
    bool sound;
} Check;

static void fault(Check *check, const char *what, uint32_t at)
{
    check->sound = false;
    strbuf_printf(check->out, "program %s: ", check->program->name);
    strbuf_printf(check->out, what, at);
    strbuf_add(check->out, "\n");
}

static void check_buffer(Check *check, uint32_t at)
{
    const KProgram *p = check->program;
    const ProgramBuffer *buffer = &p->buffers.data[at];
    if ((at < p->externals) != (buffer->kind <= BUFFER_OUTPUT)) {
        fault(check, "buffer %u is not among its kind", at);
    }
    if (buffer->kind >= BUFFER_ARENA && buffer->slot >= p->table_size) {
        fault(check, "buffer %u has no slot in the table", at);
    }
    uint32_t steps = 0, base = at;
    while (base < p->buffers.count && p->buffers.data[base].kind == BUFFER_SLICE &&
           steps++ <= p->buffers.count) {
        base = p->buffers.data[base].base;
    }
    if (base >= p->buffers.count || p->buffers.data[base].kind == BUFFER_SLICE) {
        fault(check, "buffer %u is a slice of nothing", at);
    }
    if (buffer->kind == BUFFER_SLICE && (buffer->region >= p->regions.count ||
                                         p->regions.data[buffer->region].kind != KREGION_LOOP)) {
        fault(check, "buffer %u is a slice along no loop", at);
    }
}

/* Every t in the address of the argument is of a loop around the launch. */
static void check_arg(Check *check, uint32_t launch, uint32_t buffer)
{
    const KProgram *p = check->program;
    while (p->buffers.data[buffer].kind == BUFFER_SLICE) {
        const KRegion *loop = &p->regions.data[p->buffers.data[buffer].region];
        if (launch < loop->first || launch >= loop->last) {
            fault(check, "launch %u uses t of a loop that it is not in", launch);
        }
        buffer = p->buffers.data[buffer].base;
    }
}

static void check_launch(Check *check, uint32_t at)
{
    const KProgram *p = check->program;
    const Launch *launch = &p->launches.data[at];
    uint32_t known = launch->is_extern ? p->externs.count : p->kernels.count;
    if (launch->kernel >= known || launch->count_slot >= p->table_size) {
        fault(check, "launch %u has no kernel or no count", at);
        return;
    }
    if (!launch->is_extern &&
        launch->args.count != p->kernels.data[launch->kernel]->buffers.count) {
        fault(check, "launch %u has another number of arguments than its kernel", at);
        return;
    }
    for (uint32_t i = 0; i < launch->args.count; i++) {
        if (launch->args.data[i] >= p->buffers.count) {
            fault(check, "launch %u has an argument that is no buffer", at);
        } else {
            check_arg(check, at, launch->args.data[i]);
        }
    }
}

static void check_region(Check *check, uint32_t at)
{
    const KProgram *p = check->program;
    const KRegion *region = &p->regions.data[at];
    if (region->first >= region->last || region->last > p->launches.count) {
        fault(check, "region %u has no launches", at);
    }
    if (region->kind == KREGION_LOOP ? region->count_slot >= p->table_size
                                     : region->condition < 0) {
        fault(check, "region %u has no count or no condition", at);
    }
    if (region->condition >= (int32_t)p->buffers.count) {
        fault(check, "the condition of region %u is no buffer", at);
    }
    if (region->kind == KREGION_ELSE &&
        (at == 0 || region[-1].kind != KREGION_THEN || region[-1].last != region->first)) {
        fault(check, "region %u follows no other side", at);
    }
    for (uint32_t i = 0; i < at; i++) {
        const KRegion *outer = &p->regions.data[i];
        bool apart = region->last <= outer->first || outer->last <= region->first;
        bool inside = outer->first <= region->first && region->last <= outer->last;
        if (!apart && !inside) {
            fault(check, "region %u is partly inside of another", at);
        }
    }
}

bool kprogram_verify(const KProgram *program, StrBuf *out)
{
    Check check = {program, out, true};
    for (uint32_t i = 0; i < program->regions.count; i++) {
        check_region(&check, i);
    }
    for (uint32_t i = 0; check.sound && i < program->buffers.count; i++) {
        check_buffer(&check, i);
    }
    for (uint32_t i = 0; check.sound && i < program->launches.count; i++) {
        check_launch(&check, i);
    }
    return check.sound;
}
