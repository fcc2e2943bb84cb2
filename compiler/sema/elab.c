/* The graph being built and what belongs to it: the newest values of states, checks of sizes, sites
 * of random numbers. */
#include "compiler/sema/internal.h"
#include "runtime/base/rng.h"

#include <string.h>

Elab *elab_new(Sema *s, const char *name, bool training)
{
    Elab *elab = ARENA_NEW(s->arena, Elab);
    elab->graph = graph_new(s->arena, s->dims, name);
    elab->training = training;
    elab->current_call = -1;
    elab->total_steps = elab->time = value_none;
    return elab;
}

Node *elab_state(Sema *s, const char *name, Node *leaf)
{
    for (uint32_t i = 0; i < s->elab->pending.count; i++)
        if (strcmp(s->elab->pending.data[i].name, name) == 0)
            return s->elab->pending.data[i].node;
    return leaf;
}

void elab_assign(Sema *s, const char *name, Node *node)
{
    for (uint32_t i = 0; i < s->elab->pending.count; i++)
        if (strcmp(s->elab->pending.data[i].name, name) == 0) {
            s->elab->pending.data[i].node = node;
            return;
        }
    vec_push(s->arena, &s->elab->pending, (Pending){name, node});
}

void elab_check_dims(Sema *s, const Dim *left, const Dim *right, Span span, const char *text)
{
    DimChecks *checks = s->elab->checks;
    if (!checks)
        return;
    for (uint32_t i = 0; i < checks->count; i++)
        if (checks->data[i].left == left && checks->data[i].right == right)
            return;
    vec_push(s->arena, checks, (DimCheck){left, right, span, text});
}

void elab_check_size(Sema *s, const Dim *dim, Span span, const char *text)
{
    const Dim *size = dim_never_negative(dim) ? NULL : dim_max(s->dims, dim, dim_const(s->dims, 0));
    if (size)
        elab_check_dims(s, size, dim, sema_user_span(s, span), text);
}

uint32_t site_of(Sema *s)
{
    uint64_t key[2] = {s->frame ? s->frame->site : 0,
                       s->frame ? ++s->frame->ordinal : ++s->elab->ordinal};
    return (uint32_t)rng_hash(key, sizeof key, 3);
}
