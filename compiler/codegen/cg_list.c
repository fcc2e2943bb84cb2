/* The kernels of all programs, each once. A training step, its evaluation and its prediction share
 * most of theirs, and a kernel that another program had yesterday has the same symbol today. */
#include "compiler/codegen/cg.h"

static uint32_t *find_slot(const CgList *list, CodeKey key)
{
    for (uint64_t at = key.a;; at++) {
        uint32_t *slot = &list->slots[at & (list->slot_count - 1)];
        const CgItem *item = *slot ? &list->items.data[*slot - 1] : NULL;
        if (!item || (item->key.a == key.a && item->key.b == key.b)) {
            return slot;
        }
    }
}

static uint32_t find_or_add(CgList *list, const Kernel *kernel, const char *name)
{
    uint64_t key[2];
    kernel_key(kernel, key);
    CgItem item = {.kernel = kernel, .name = name, .key = {key[0], key[1]}};
    uint32_t *slot = find_slot(list, item.key);
    if (!*slot) {
        item.symbol = arena_format(list->arena, "nnc_%016llx%016llx", (unsigned long long)key[0],
                                   (unsigned long long)key[1]);
        vec_push(list->arena, &list->items, item);
        *slot = list->items.count;
    }
    return *slot - 1;
}

static void make_slots(CgList *list, KProgram *const *programs, int count)
{
    uint32_t most = 1;
    for (int p = 0; p < count; p++) {
        most += programs[p]->kernels.count + 1;
    }
    for (list->slot_count = 16; list->slot_count < 2 * most;) {
        list->slot_count *= 2;
    }
    list->slots = ARENA_ARRAY(list->arena, uint32_t, list->slot_count);
}

void cg_list_init(CgList *list, Arena *arena, KProgram *const *programs, int count)
{
    *list = (CgList){.arena = arena};
    list->of_program = ARENA_ARRAY(arena, uint32_t *, count + 1);
    make_slots(list, programs, count);
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
}
