/* einsum: tensors with one letter per axis, multiplied and summed over the letters that the result
 * has not, in the order that costs least (indexed_dot.c).
 *
 *   einsum("bij,bjk->bik", a, b)    a dot over j with b in step
 *   einsum("ij,jk", a, b)           without an arrow the result has the letters that stand once */
#include "compiler/sema/indexed.h"
#include "compiler/sema/pattern.h"

#include <ctype.h>
#include <string.h>

static int letter_index(Indexing *ix, char letter)
{
    char name[2] = {letter, '\0'};
    int index = index_find(ix, name);
    if (index >= 0)
        return index;
    if (ix->count == MAX_INDICES)
        return -1;
    ix->index[ix->count] = (Index){.name = arena_string(ix->s->arena, name)};
    return ix->count++;
}

/* One operand: its letters up to a comma, an arrow or the end; NULL after an error. */
static const char *read_operand(Indexing *ix, const Pattern *p, const char *at, const Value *v,
                                Labelled *out)
{
    const char *begin = at;
    Node *x = v->as.node;
    *out = (Labelled){.value = *v};
    for (; *at && *at != ',' && strncmp(at, "->", 2) != 0; at++) {
        if (*at == ' ')
            continue;
        int index = isalpha((unsigned char)*at) ? letter_index(ix, *at) : -1;
        if (index < 0 || out->count == MAX_RANK)
            return (pattern_complain(p, at, 1, "an index of einsum is a letter"), NULL);
        for (int i = 0; i < out->count; i++)
            if (out->index[i] == index)
                return (pattern_complain(
                            p, at, 1,
                            "a letter stands twice for one tensor; let y[i] = x[i, i] takes a "
                            "diagonal"),
                        NULL);
        out->index[out->count++] = index;
    }
    if (out->count != x->type.rank) {
        sema_error(p->s, ERR_E0301, pattern_span(p, begin, (size_t)(at - begin)), NULL,
                   "%d letters for %s", out->count, type_text(p->s, &x->type));
        return NULL;
    }
    for (int i = 0; i < out->count; i++) {
        Index *index = &ix->index[out->index[i]];
        const Dim *size = x->type.dims[i];
        if (!index->size) {
            *index = (Index){index->name, size, pattern_span(p, begin, (size_t)(at - begin))};
        } else if (index->size != size &&
                   !settle_alike(p->s, &x, i, index->size, p->span, "einsum")) {
            DiagItem *item =
                sema_error(p->s, ERR_E0312, pattern_span(p, begin, (size_t)(at - begin)),
                           arena_format(p->s->arena, "%s here ...", dim_text(p->s, size)),
                           "the index %s runs over axes of two sizes", index->name);
            diag_note(item, sema_user_span(p->s, index->span), "... and %s here",
                      dim_text(p->s, index->size));
            return NULL;
        }
    }
    out->value.as.node = x;
    return at;
}

/* The letters of the result; without an arrow those that stand once, in alphabetical order. */
static bool read_result(Indexing *ix, const Pattern *p, const char *at, const Labelled *factors,
                        uint32_t count, int *order, int *rank)
{
    *rank = 0;
    if (*at == '\0') {
        for (int letter = 'A'; letter <= 'z'; letter++) {
            char name[2] = {(char)letter, '\0'};
            int index = isalpha(letter) ? index_find(ix, name) : -1, uses = 0;
            for (uint32_t i = 0; index >= 0 && i < count; i++)
                uses += labelled_set(&factors[i]) >> index & 1;
            if (uses == 1 && *rank < MAX_RANK)
                order[(*rank)++] = index;
        }
        return true;
    }
    for (at += 2; *at; at++) {
        if (*at == ' ')
            continue;
        char name[2] = {*at, '\0'};
        int index = index_find(ix, name);
        if (index < 0)
            return pattern_complain(p, at, 1, "no tensor has this index");
        if (ix->kept >> index & 1 || *rank == MAX_RANK)
            return pattern_complain(p, at, 1, "a letter of the result stands once");
        ix->kept |= (IndexSet)1 << index;
        order[(*rank)++] = index;
    }
    return true;
}

static bool einsum_factors(Indexing *ix, const Pattern *p, BuiltinCall *call, Labelled *factors,
                           const char **at)
{
    *at = p->text;
    for (uint32_t i = 0; i < call->rest_count; i++) {
        Node *x;
        if (i > 0 && **at != ',')
            return pattern_complain(p, *at, 1, "the pattern has fewer tensors than are given");
        *at += i > 0;
        if (!want_tensor(p->s, &call->rest[i], call->rest_span, "einsum", &x))
            return false;
        Value v = value_tensor(x, call->rest_span);
        if (i > 0 && x->type.dtype != factors[0].value.as.node->type.dtype) {
            sema_error(p->s, ERR_E0200, call->rest_span, NULL, "einsum of %s and %s",
                       value_text(p->s, &factors[0].value), value_text(p->s, &v));
            return false;
        }
        *at = read_operand(ix, p, *at, &v, &factors[i]);
        if (!*at)
            return false;
    }
    return **at != ',' ||
           pattern_complain(p, *at, 1, "the pattern has more tensors than are given");
}

Value builtin_einsum(Sema *s, BuiltinCall *call)
{
    Pattern p;
    Indexing *ix = ARENA_NEW(s->arena, Indexing);
    int order[MAX_RANK], rank;
    const char *at;
    *ix = (Indexing){.s = s};
    if (!pattern_read(s, call, 0, &p))
        return value_poison;
    if (call->rest_count == 0) {
        sema_error(s, ERR_E0201, call->span, NULL, "einsum needs a tensor");
        return value_poison;
    }
    Labelled *factors = ARENA_ARRAY(s->arena, Labelled, call->rest_count);
    if (!einsum_factors(ix, &p, call, factors, &at) ||
        !read_result(ix, &p, at, factors, call->rest_count, order, &rank))
        return value_poison;
    for (int i = 0; i < rank; i++)
        ix->kept |= (IndexSet)1 << order[i];
    Labelled out = labelled_product(ix, factors, (int)call->rest_count, ix->kept, call->span);
    if (out.value.kind == VALUE_POISON)
        return value_poison;
    return sema_node_value(s, labelled_spread(ix, &out, order, rank, true), call->span);
}
