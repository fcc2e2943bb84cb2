/* The kernels of all programs, each once. A training step, its evaluation and its prediction share
 * most of theirs.
 *
 * The list is dealt out over the parts that will be compiled at the same time: every kernel, in
 * order, to the part with the fewest instructions so far. The outcome depends on the programs and
 * the number of parts only. */
#include "compiler/codegen/cg.h"

static uint32_t find_or_add(CgList *list, const Kernel *kernel, const char *name)
{
    uint64_t hash = kernel_hash(kernel);
    for (uint32_t i = 0; i < list->items.count; i++) {
        CgItem *item = &list->items.data[i];
        if (item->hash == hash && kernel_equal(item->kernel, kernel)) {
            return i;
        }
    }
    CgItem item = {kernel, name, hash, 0};
    vec_push(list->arena, &list->items, item);
    return list->items.count - 1;
}

/* A kernel of no account is not worth a module of its own: one part for every few hundred
 * instructions. */
static int useful_parts(const CgList *list, int parts)
{
    enum { WORTH_A_PART = 400 };
    uint64_t total = 0;
    for (uint32_t i = 0; i < list->items.count; i++) {
        total += list->items.data[i].kernel->next_id;
    }
    uint64_t useful = total / WORTH_A_PART + 1;
    return useful < (uint64_t)parts ? (int)useful : parts;
}

static void deal_out(CgList *list)
{
    uint64_t *load = ARENA_ARRAY(list->arena, uint64_t, list->parts);
    for (uint32_t i = 0; i < list->items.count; i++) {
        int least = 0;
        for (int part = 1; part < list->parts; part++) {
            least = load[part] < load[least] ? part : least;
        }
        list->items.data[i].part = least;
        load[least] += list->items.data[i].kernel->next_id;
    }
}

void cg_list_init(CgList *list, Arena *arena, KProgram *const *programs, int count, int parts)
{
    *list = (CgList){.arena = arena};
    list->of_program = ARENA_ARRAY(arena, uint32_t *, count + 1);
    for (int p = 0; p < count; p++) {
        const KProgram *program = programs[p];
        uint32_t kernels = program->kernels.count;
        list->of_program[p] = ARENA_ARRAY(arena, uint32_t, kernels + 1);
        for (uint32_t i = 0; i < kernels; i++) {
            const Kernel *kernel = program->kernels.data[i];
            list->of_program[p][i] = find_or_add(
                list, kernel, arena_format(arena, "%s.%s", program->name, kernel->name));
        }
        list->of_program[p][kernels] =
            find_or_add(list, program->plan, arena_format(arena, "%s..plan", program->name));
    }
    list->parts = useful_parts(list, parts < 1 ? 1 : parts);
    deal_out(list);
}
