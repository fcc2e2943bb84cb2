/* From the calls of the forward function to boxes. A call of the library, or of a user's function
 * that calls nothing, is a box; a user's module dissolves into its parts. An edge leads from the
 * box that made a value to the box that takes it. Arithmetic in between belongs to the edge as long
 * as it works on the value of one box; where the values of several meet, there is a join:
 *
 *   x + (x |> norm |> up)        input -> norm -> up -> (+)    and    input -> (+)
 *
 * A call that changes nothing here (dropout outside of training) stands in the chain all the same:
 * from then on it counts as the maker of its value. */
#include "compiler/driver/picture.h"

#include <string.h>

enum { NOBODY = -1, MOST_PRODUCERS = 16, LONGEST_TEXT = 52 };

typedef struct {
    Picture *picture;
    int *maker;      /* per node of the forward graph: box, or NOBODY */
    uint32_t *stamp; /* per node: the search that has seen it */
    int *found;      /* per node: what that search found */
    uint32_t search;
} Maker;

static int add_box(Picture *picture, PictureBox box)
{
    vec_push(picture->arena, &picture->boxes, box);
    return (int)picture->boxes.count - 1;
}

static void add_edge(Picture *picture, int to, int from, const Type *type)
{
    PictureBox *box = &picture->boxes.data[to];
    for (uint32_t i = 0; i < box->from.count; i++)
        if (box->from.data[i].from == from)
            return;
    vec_push(picture->arena, &box->from, (PictureEdge){from, type});
}

/* ---- Who made a value ---- */

static const char *join_text(const Node *node)
{
    switch (node->op) {
    case OP_ADD:
        return "+";
    case OP_SUB:
        return "-";
    case OP_MUL:
        return "*";
    case OP_DIV:
        return "/";
    case OP_DOT:
        return "@";
    default:
        return op_info[node->op].text;
    }
}

static int producer(Maker *m, const Node *node);

/* The boxes from which values flow into the node, each with the operand that brings it. */
static int producers(Maker *m, const Node *node, PictureEdge *edges)
{
    int count = 0;
    for (int i = 0; i < node->nsrc; i++) {
        int from = producer(m, node->src[i]);
        bool known = from == NOBODY;
        for (int k = 0; k < count; k++)
            known = known || edges[k].from == from;
        if (!known && count < MOST_PRODUCERS)
            edges[count++] = (PictureEdge){from, &node->src[i]->type};
    }
    return count;
}

static int producer(Maker *m, const Node *node)
{
    PictureEdge edges[MOST_PRODUCERS];
    if (m->maker[node->id] != NOBODY)
        return m->maker[node->id];
    if (m->stamp[node->id] == m->search)
        return m->found[node->id];
    int count = producers(m, node, edges), found = count > 0 ? edges[0].from : NOBODY;
    if (count > 1) {
        found =
            add_box(m->picture,
                    (PictureBox){.kind = BOX_JOIN, .title = join_text(node), .type = &node->type});
        for (int i = 0; i < count; i++)
            add_edge(m->picture, found, edges[i].from, edges[i].type);
        m->maker[node->id] = found;
    }
    m->stamp[node->id] = m->search;
    m->found[node->id] = found;
    return found;
}

static void take_value(Maker *m, int box, const Node *node)
{
    m->search++;
    int from = producer(m, node);
    if (from != NOBODY)
        add_edge(m->picture, box, from, &node->type);
}

/* ---- Which calls are boxes ---- */

static bool has_own_calls(const TrainPlan *plan, uint32_t index)
{
    for (uint32_t i = 0; i < plan->calls.count; i++)
        if (plan->calls.data[i].parent == (int32_t)index)
            return true;
    return false;
}

static bool inside_std(const TrainPlan *plan, const SemaCall *call)
{
    for (int32_t parent = call->parent; parent >= 0; parent = plan->calls.data[parent].parent)
        if (plan->calls.data[parent].in_std)
            return true;
    return false;
}

static bool is_box(const TrainPlan *plan, uint32_t index)
{
    const SemaCall *call = &plan->calls.data[index];
    return call->outputs.count > 0 && !inside_std(plan, call) &&
           (call->in_std || !has_own_calls(plan, index));
}

/* ---- Texts ---- */

/* Long texts end in three dots. */
static const char *short_text(Arena *arena, const char *text)
{
    return strlen(text) <= LONGEST_TEXT ? text
                                        : arena_format(arena, "%.*s...", LONGEST_TEXT - 3, text);
}

static const char *type_text(const Picture *picture, const char *name, const Type *type)
{
    StrBuf out = {0};
    if (name)
        strbuf_printf(&out, "%s: ", name);
    type_print(picture->program->dims, type, &out);
    const char *text = arena_string(picture->arena, out.text);
    strbuf_free(&out);
    return text;
}

static PictureBox box_of_call(const Picture *picture, const SemaCall *call)
{
    const SemaInstance *instance = call->instance;
    const char *detail = instance ? instance->detail : call->detail;
    PictureBox box = {.kind = instance ? BOX_LAYER : BOX_FUNCTION,
                      .type = &call->outputs.data[0]->type};
    if (!detail)
        detail = "";
    if (!instance) {
        box.title = short_text(picture->arena,
                               *detail ? arena_format(picture->arena, "%s(%s)", call->name, detail)
                                       : call->name);
        return box;
    }
    box.title = short_text(picture->arena, *instance->path ? instance->path : instance->module);
    box.detail = short_text(picture->arena,
                            arena_format(picture->arena, "%s(%s)", instance->module, detail));
    box.trained = instance->tensors.count > 0;
    return box;
}

/* ---- The whole ---- */

static void add_inputs(Maker *m)
{
    Picture *picture = m->picture;
    const Graph *forward = picture->plan->forward;
    const uint8_t *live = graph_live(forward, picture->arena);
    for (uint32_t i = 0; i < forward->nodes.count; i++) {
        const Node *node = forward->nodes.data[i];
        if (node->op != OP_INPUT || !live[i])
            continue;
        m->maker[i] = add_box(
            picture, (PictureBox){.kind = BOX_INPUT,
                                  .title = type_text(picture, node->attr.leaf.name, &node->type)});
    }
}

static void add_outputs(Maker *m)
{
    Picture *picture = m->picture;
    const Graph *forward = picture->plan->forward;
    for (uint32_t i = 0; i < forward->roots.count; i++) {
        const Root *root = &forward->roots.data[i];
        if (root->kind != ROOT_OUTPUT)
            continue;
        int box = add_box(picture,
                          (PictureBox){.kind = BOX_OUTPUT,
                                       .title = type_text(picture, root->name, &root->node->type)});
        take_value(m, box, root->node);
    }
}

void picture_make(Picture *picture, const SemaProgram *program, const TrainPlan *plan)
{
    uint32_t nodes = plan->forward->nodes.count;
    *picture = (Picture){.arena = arena_new(), .program = program, .plan = plan};
    Maker m = {.picture = picture,
               .maker = ARENA_ARRAY(picture->arena, int, nodes + 1),
               .stamp = ARENA_ARRAY(picture->arena, uint32_t, nodes + 1),
               .found = ARENA_ARRAY(picture->arena, int, nodes + 1)};
    for (uint32_t i = 0; i < nodes; i++)
        m.maker[i] = NOBODY;
    add_inputs(&m);
    for (uint32_t i = 0; i < plan->calls.count; i++) {
        const SemaCall *call = &plan->calls.data[i];
        if (!is_box(plan, i))
            continue;
        int box = add_box(picture, box_of_call(picture, call));
        for (uint32_t k = 0; k < call->inputs.count; k++)
            take_value(&m, box, call->inputs.data[k]);
        for (uint32_t k = 0; k < call->outputs.count; k++)
            m.maker[call->outputs.data[k]->id] = box;
    }
    add_outputs(&m);
}

void picture_free(Picture *picture)
{
    arena_free(picture->arena);
}
