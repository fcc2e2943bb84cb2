/* Inlined values: the element of a node at a place, as kernel IR.
 *
 * In: a node and a place with one element per lane. Out: its value, loaded when it is in memory,
 * else computed from its operands by the function of its class. A value that is the same in all
 * lanes comes as a scalar, which the builder spreads where it meets vectors. Everything is
 * remembered by (node, place) until the scope closes, so a shared subexpression is computed once
 * per block:
 *
 *   y = x / (1 + exp(-x)) * x at {0, 2, i + lane}   loads x[i..] once */
#include "compiler/lower/tables.h"

#include "runtime/base/bug.h"

/* ---- scopes and memory of values ---- */

void lower_scope_open(LowerContext *c)
{
    vec_push(c->arena, &c->tables->scopes, c->tables->memo.count);
}

void lower_scope_close(LowerContext *c)
{
    NNC_ASSERT(c->tables->scopes.count > 0);
    c->tables->memo.count = c->tables->scopes.data[--c->tables->scopes.count];
}

static Memo memo_key(const LowerContext *c, const Node *node, const Place *place)
{
    bool uniform = place_is_uniform(place);
    return (Memo){.node = node,
                  .place = place,
                  .buffer = NO_BUFFER,
                  .mask = uniform ? NULL : c->mask,
                  .guard = c->guard,
                  .lanes = uniform ? 1 : c->lanes};
}

static bool same_key(const Memo *a, const Memo *b)
{
    if (a->node != b->node || a->buffer != b->buffer) {
        return false;
    }
    bool known = a->lanes == 0; /* by lower_known: whatever place and mask */
    return known || (a->place == b->place && a->base == b->base && a->vector == b->vector &&
                     a->step == b->step && a->mask == b->mask && a->guard == b->guard &&
                     a->lanes == b->lanes);
}

static KInst *find_memo(const LowerContext *c, const Memo *key)
{
    for (uint32_t i = c->tables->memo.count; i-- > 0;) {
        if (same_key(&c->tables->memo.data[i], key)) {
            return c->tables->memo.data[i].value;
        }
    }
    return NULL;
}

static void keep_memo(LowerContext *c, Memo key, KInst *value)
{
    key.value = value;
    vec_push(c->arena, &c->tables->memo, key);
}

void lower_known(LowerContext *c, const Node *node, KInst *value)
{
    keep_memo(c, (Memo){.node = node, .buffer = NO_BUFFER}, value);
}

void lower_mark_stored(LowerContext *c, const Node *node)
{
    vec_push(c->arena, &c->tables->stored, node);
}

/* ---- masks ---- */

static KInst *both(LowerContext *c, KInst *x, KInst *y)
{
    return x == NULL ? y : y == NULL ? x : kir_binary(&c->b, K_AND, x, y);
}

KInst *lower_active(LowerContext *c, KInst *condition)
{
    return both(c, both(c, condition, c->mask), c->guard);
}

Narrowing lower_narrow(LowerContext *c, KInst *condition)
{
    Narrowing saved = {c->mask, c->guard};
    if (condition != NULL && condition->type.lanes == 1) {
        c->guard = both(c, c->guard, condition);
    } else if (condition != NULL) {
        c->mask = both(c, c->mask, condition);
    }
    return saved;
}

void lower_widen(LowerContext *c, Narrowing saved)
{
    c->mask = saved.mask;
    c->guard = saved.guard;
}

/* ---- memory ---- */

static KInst *emit_load(LowerContext *c, uint32_t buffer, Index flat)
{
    if (flat.vector == NULL && (flat.step == 0 || c->lanes == 1)) {
        return kir_load(&c->b, buffer, flat.base, 1, c->guard);
    }
    KInst *mask = lower_active(c, NULL);
    KInst *index = flat.vector == NULL && flat.step == 1 ? flat.base : index_value(c, flat);
    return kir_load(&c->b, buffer, index, c->lanes, mask);
}

KInst *lower_load(LowerContext *c, int32_t buffer, Index flat)
{
    bool uniform = flat.vector == NULL && flat.step == 0;
    Memo key = {.buffer = buffer,
                .base = flat.base,
                .vector = flat.vector,
                .step = flat.step,
                .mask = uniform ? NULL : c->mask,
                .guard = c->guard,
                .lanes = uniform ? 1 : c->lanes};
    KInst *value = find_memo(c, &key);
    if (value == NULL) {
        value = emit_load(c, lower_buffer(c, buffer, ACCESS_READ), flat);
        keep_memo(c, key, value);
    }
    return value;
}

void lower_store(LowerContext *c, int32_t buffer, const Place *place, KInst *value)
{
    uint32_t at = lower_buffer(c, buffer, ACCESS_WRITE);
    Index flat = place_flat(c, place);
    if (flat.vector == NULL && (flat.step == 0 || c->lanes == 1)) {
        kir_store(&c->b, at, flat.base, value, c->guard);
        return;
    }
    KInst *index = flat.vector == NULL && flat.step == 1 ? flat.base : index_value(c, flat);
    kir_store(&c->b, at, index, kir_splat(&c->b, value, c->lanes), lower_active(c, NULL));
}

/* ---- leaves ---- */

static KInst *leaf_const(LowerContext *c, const Node *node)
{
    DType dtype = node->type.dtype;
    return dtype_is_float(dtype) ? kir_float(&c->b, dtype, node->attr.constant.value.f)
                                 : kir_int(&c->b, dtype, node->attr.constant.value.i);
}

static KInst *leaf_iota(LowerContext *c, const Node *node, const Place *place)
{
    return kir_convert(&c->b, index_value(c, place_axis(c, place, node->attr.iota.axis)),
                       node->type.dtype);
}

static KInst *value_leaf(LowerContext *c, const Node *node, const Place *place)
{
    switch (node->op) {
    case OP_CONST:
        return leaf_const(c, node);
    case OP_IOTA:
        return leaf_iota(c, node, place);
    case OP_DIM:
        return lower_dim(c, node->attr.shape.dims[0]);
    case OP_RANDOM:
        return lower_random(c, node, place);
    default:
        NNC_BUG("leaf %s has no memory", op_info[node->op].text);
    }
}

/* ---- elementwise ---- */

static const Place *operand_place(LowerContext *c, const Node *node, int i, const Place *place)
{
    bool scalar =
        node->src[i]->type.rank == 0 && node->type.rank > 0; /* the condition of a check */
    return scalar ? place_axes(c, 0, NULL, NULL) : place;
}

static void emit_failure(LowerContext *c, const Node *node, const Place *place, KInst *wrong)
{
    KInst *element = node->src[1]->type.rank > 0 || node->op != OP_CHECK
                         ? index_value(c, place_flat(c, place))
                         : kir_index(&c->b, 0);
    kir_fail(&c->b, lower_site(c, node), lower_active(c, wrong), element);
}

static void check_failure(LowerContext *c, const Node *node, const Place *place,
                          KInst *const *operands)
{
    if (node->op == OP_CHECK) {
        emit_failure(c, node, place,
                     kir_binary(&c->b, K_XOR, operands[1], kir_int(&c->b, DT_BOOL, 1)));
    } else if ((op_info[node->op].flags & FLAG_FAILS) && !dtype_is_float(node->type.dtype)) {
        KInst *zero = kir_int(&c->b, node->type.dtype, 0);
        emit_failure(c, node, place, kir_binary(&c->b, K_EQ, operands[1], zero));
    }
}

static KInst *value_elementwise(LowerContext *c, const Node *node, const Place *place)
{
    KInst *operands[3] = {NULL, NULL, NULL};
    for (int i = 0; i < node->nsrc; i++) {
        operands[i] = lower_value(c, node->src[i], operand_place(c, node, i, place));
    }
    check_failure(c, node, place, operands);
    return lower_scalar(c, node, operands);
}

static KInst *value_move(LowerContext *c, const Node *node, const Place *place)
{
    if (node->op == OP_PAD) {
        return lower_pad(c, node, place);
    }
    if (node->op == OP_CONCAT) {
        return lower_concat(c, node, place);
    }
    return lower_value(c, node->src[0], place_move(c, node, place));
}

static KInst *value_index(LowerContext *c, const Node *node, const Place *place)
{
    NNC_ASSERT(node->op == OP_GATHER);
    return lower_gather(c, node, place);
}

/* What enters a side of a branch is there already. */
static KInst *value_enter(LowerContext *c, const Node *node, const Place *place)
{
    NNC_ASSERT(node->op == OP_ENTER);
    return lower_value(c, node->src[0], place);
}

static KInst *value_none(LowerContext *c, const Node *node, const Place *place)
{
    (void)c, (void)place;
    NNC_BUG("%%%u = %s has no memory where it is read", node->id, op_info[node->op].text);
}

/* ---- the value of a node ---- */

bool lower_computes(const LowerContext *c, const Node *node)
{
    int32_t buffer = c->schedule->buffer_of[node->id], group = c->schedule->group_of[node->id];
    if (buffer == NO_BUFFER) {
        return true;
    }
    for (uint32_t i = 0; i < c->tables->stored.count; i++) {
        if (c->tables->stored.data[i] == node) {
            return false;
        }
    }
    return group != NO_GROUP && c->schedule->groups.data[group] == c->group;
}

KInst *lower_value(LowerContext *c, const Node *node, const Place *place)
{
    typedef KInst *ValueOf(LowerContext * c, const Node *node, const Place *place);
    static ValueOf *const by_class[] = {
        [CLASS_LEAF] = value_leaf,     [CLASS_ELEMENTWISE] = value_elementwise,
        [CLASS_MOVE] = value_move,     [CLASS_REDUCE] = value_none,
        [CLASS_CONTRACT] = value_none, [CLASS_WINDOW] = lower_window,
        [CLASS_INDEX] = value_index,   [CLASS_LOOP] = value_enter,
        [CLASS_CALL] = value_none,
    };
    Memo key = memo_key(c, node, place);
    KInst *value = find_memo(c, &key);
    if (value == NULL) {
        value = lower_computes(c, node)
                    ? by_class[op_info[node->op].op_class](c, node, place)
                    : lower_load(c, c->schedule->buffer_of[node->id], place_flat(c, place));
        keep_memo(c, key, value);
    }
    return value;
}

KInst *lower_wide(LowerContext *c, const Node *node, const Place *place)
{
    return kir_splat(&c->b, lower_value(c, node, place), c->lanes);
}

static bool has_shape(const Node *node, const Place *place)
{
    bool same = node->type.rank == place->rank;
    for (int i = 0; same && i < place->rank; i++) {
        same = node->type.dims[i] == place->dims[i];
    }
    return same;
}

/* Where an output is at the group's place; NULL: it is no value of the whole domain. */
static const Place *output_place(LowerContext *c, const Group *group, const Node *node,
                                 const Place *place)
{
    return has_shape(node, place)        ? place
           : group->kind == GROUP_REDUCE ? NULL
                                         : place_units(c, node, place);
}

void lower_outputs(LowerContext *c, const Group *group, const Place *place)
{
    KInst **values = ARENA_ARRAY(c->arena, KInst *, group->outputs.count);
    const Place **places = ARENA_ARRAY(c->arena, const Place *, group->outputs.count);
    for (uint32_t i = 0; i < group->outputs.count; i++) {
        const Node *node = group->outputs.data[i].node;
        places[i] = lower_computes(c, node) || op_info[node->op].op_class == CLASS_LEAF
                        ? output_place(c, group, node, place)
                        : NULL;
        if (places[i] != NULL) {
            values[i] = lower_value(c, node, places[i]);
        }
    }
    for (uint32_t i = 0; i < group->outputs.count; i++) {
        if (values[i] != NULL) {
            lower_store(c, group->outputs.data[i].buffer, places[i], values[i]);
        }
    }
}
