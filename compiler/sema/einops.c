/* Patterns in strings: the functions of einops. Checked when compiling; an error points
 * into the string.
 *
 *   rearrange(x, "b t (s h d) -> s b h t d", s=3, h=H)    axes split, moved and merged
 *   reduce(x, "b c (h 2) (w 2) -> b c h w", "max")        what the right side has not is reduced
 *   repeat(x, "h w -> h w c", c=3)                        what the left side has not is repeated
 *
 * A pattern is read into atoms (the axes after splitting) and groups (the axes of the tensor). */
#include "compiler/sema/pattern.h"

#include <ctype.h>
#include <string.h>

enum { MAX_ATOMS = 16 };

/* ---- Places in a string ---- */

bool pattern_read(Sema *s, BuiltinCall *call, int index, Pattern *out)
{
    size_t length;
    *out = (Pattern){.s = s, .span = call->arg_span[index]};
    if (!want_string(s, &call->arg[index], call->arg_span[index], "the pattern", &out->text))
        return false;
    const char *source = out->span.file ? source_text(s->map, out->span.file, &length) : NULL;
    size_t bytes = strlen(out->text);
    out->literal = source && out->span.end - out->span.begin == bytes + 2 &&
                   source[out->span.begin] == '"' &&
                   memcmp(source + out->span.begin + 1, out->text, bytes) == 0;
    return true;
}

Span pattern_span(const Pattern *p, const char *at, size_t length)
{
    if (!p->literal)
        return p->span;
    uint32_t begin = p->span.begin + 1 + (uint32_t)(at - p->text);
    return (Span){p->span.file, begin, begin + (uint32_t)(length ? length : 1)};
}

/* ---- Reading ---- */

typedef struct {
    const char *name; /* "h"; NULL: a number without a name, of `size` */
    const Dim *size;  /* NULL: not known yet */
    const char *at;   /* in the pattern */
    size_t length;
} Atom;

typedef struct {
    int first, count; /* atoms */
    const char *at;
} Group;

typedef struct {
    Atom atoms[MAX_ATOMS];
    Group groups[MAX_ATOMS];
    int atom_count, group_count;
    int open_rank; /* axes that ... stands for, -1: none in the pattern */
} PatternSide;

bool pattern_complain(const Pattern *p, const char *at, size_t length, const char *text)
{
    sema_error(p->s, ERR_E0205, pattern_span(p, at, length), NULL, "%s", text);
    return false;
}

static bool add_atom(const Pattern *p, PatternSide *side, Atom atom)
{
    if (side->atom_count == MAX_ATOMS)
        return pattern_complain(p, atom.at, atom.length, "too many axes in this pattern");
    for (int i = 0; atom.name && i < side->atom_count; i++)
        if (side->atoms[i].name && strcmp(side->atoms[i].name, atom.name) == 0)
            return pattern_complain(
                p, atom.at, atom.length,
                arena_format(p->s->arena, "%s stands twice on one side", atom.name));
    side->atoms[side->atom_count++] = atom;
    return true;
}

/* The axes of ... are called ...0, ...1. */
static bool add_open(const Pattern *p, PatternSide *side, const char *at, int rank, bool inside)
{
    for (int i = 0; i < rank; i++) {
        if (!inside)
            side->groups[side->group_count++] = (Group){side->atom_count, 0, at};
        side->groups[side->group_count - 1].count++;
        if (!add_atom(p, side, (Atom){arena_format(p->s->arena, "...%d", i), NULL, at, 3}))
            return false;
    }
    return true;
}

static const char *read_word(const Pattern *p, const char *at, Atom *atom)
{
    size_t length = 0;
    while (isalnum((unsigned char)at[length]) || at[length] == '_')
        length++;
    *atom = (Atom){.at = at, .length = length};
    if (length == 0) {
        pattern_complain(p, at, 1,
                         *at ? "this has no meaning in a pattern" : "the pattern ends too early");
        return NULL;
    }
    if (!isdigit((unsigned char)*at)) {
        atom->name = arena_substring(p->s->arena, at, length);
        return at + length;
    }
    int64_t number = 0;
    for (size_t i = 0; i < length && i < 10; i++)
        number = isdigit((unsigned char)at[i]) ? number * 10 + (at[i] - '0') : -1000000000000;
    if (number < 1 || length > 9) {
        pattern_complain(p, at, length, "a size in a pattern is a whole number from 1 on");
        return NULL;
    }
    atom->size = dim_const(p->s->dims, number);
    return at + length;
}

static const char *read_bracket(const Pattern *p, const char *at, PatternSide *side, bool *inside)
{
    if (*inside != (*at == ')')) {
        pattern_complain(p, at, 1, *inside ? "( inside of ( )" : ") without (");
        return NULL;
    }
    if (!*inside)
        side->groups[side->group_count++] = (Group){side->atom_count, 0, at};
    *inside = !*inside;
    return at + 1;
}

static const char *read_open(const Pattern *p, const char *at, PatternSide *side, int rank,
                             bool inside)
{
    if (side->open_rank >= 0) {
        pattern_complain(p, at, 3, "... stands twice on one side");
        return NULL;
    }
    side->open_rank = rank;
    return add_open(p, side, at, rank, inside) ? at + 3 : NULL;
}

static const char *read_axis(const Pattern *p, const char *at, PatternSide *side, bool inside)
{
    Atom atom;
    const char *end = read_word(p, at, &atom);
    if (!end)
        return NULL;
    if (!inside)
        side->groups[side->group_count++] = (Group){side->atom_count, 0, at};
    side->groups[side->group_count - 1].count++;
    return add_atom(p, side, atom) ? end : NULL;
}

/* One side, up to "->" or the end. `rank` is the number of axes of ..., known from the left side.
 * */
static const char *read_side(const Pattern *p, const char *at, PatternSide *side, int rank)
{
    bool inside = false;
    *side = (PatternSide){.open_rank = -1};
    for (at += strspn(at, " "); *at && strncmp(at, "->", 2) != 0; at += strspn(at, " ")) {
        if (side->group_count + rank + 1 > MAX_ATOMS) {
            pattern_complain(p, at, 1, "too many axes in this pattern");
            return NULL;
        }
        if (*at == '(' || *at == ')')
            at = read_bracket(p, at, side, &inside);
        else if (strncmp(at, "...", 3) == 0)
            at = read_open(p, at, side, rank, inside);
        else
            at = read_axis(p, at, side, inside);
        if (!at)
            return NULL;
    }
    if (inside)
        pattern_complain(p, at, 1, "( without )");
    return inside ? NULL : at;
}

/* Axes on the left without ..., to know how many it stands for. */
static int written_axes(const char *text)
{
    int count = 0, depth = 0;
    bool word = false;
    for (; *text && strncmp(text, "->", 2) != 0; text++) {
        bool letter = isalnum((unsigned char)*text) || *text == '_';
        count += (letter && !word && depth == 0) || (*text == '(' && depth == 0);
        depth += *text == '(' ? 1 : *text == ')' ? -1 : 0;
        word = letter;
    }
    return count;
}

static bool read_sides(const Pattern *p, const Node *x, PatternSide *left, PatternSide *right)
{
    int axes = written_axes(p->text), rank = x->type.rank - axes;
    const char *arrow = read_side(p, p->text, left, rank > 0 ? rank : 0);
    if (!arrow)
        return false;
    if (*arrow == '\0')
        return pattern_complain(p, arrow, 1, "a pattern has two sides: \"a b -> b a\"");
    if (rank < 0 || (left->open_rank < 0 && rank != 0)) {
        sema_error(p->s, ERR_E0301, pattern_span(p, p->text, (size_t)(arrow - p->text)), NULL,
                   "the pattern has %d axes, and the tensor is %s", axes,
                   type_text(p->s, &x->type));
        return false;
    }
    const char *end = read_side(p, arrow + 2, right, left->open_rank >= 0 ? left->open_rank : 0);
    if (!end)
        return false;
    if (*end)
        return pattern_complain(p, end, 2, "a pattern has one ->");
    if (right->open_rank >= 0 && left->open_rank < 0)
        return pattern_complain(p, arrow + 2, end - arrow > 2 ? (size_t)(end - arrow - 2) : 1,
                                "... stands on the right side only");
    return true;
}

static const Atom *find_atom(const PatternSide *side, const char *name)
{
    for (int i = 0; name && i < side->atom_count; i++)
        if (side->atoms[i].name && strcmp(side->atoms[i].name, name) == 0)
            return &side->atoms[i];
    return NULL;
}

/* ---- Sizes ---- */

static bool given_sizes(const Pattern *p, BuiltinCall *call, PatternSide *left, PatternSide *right)
{
    Sema *s = p->s;
    for (uint32_t i = 0; i < call->named.count; i++) {
        const Arg *arg = &call->named.data[i];
        Atom *atom = (Atom *)find_atom(left, arg->name),
             *other = (Atom *)find_atom(right, arg->name);
        int64_t number;
        if (!atom && !other) {
            sema_error(s, ERR_E0105, arg->name_span, NULL, "the pattern has no axis %s", arg->name);
            return false;
        }
        const Dim *size;
        if (!want_dim(s, &arg->value, arg->span, arg->name, &size))
            return false;
        if (dim_is_const(size, &number) && number < 0) {
            sema_error(s, ERR_E0205, arg->span, NULL, "a size of %lld", (long long)number);
            return false;
        }
        if (atom)
            atom->size = size;
        if (other)
            other->size = size;
    }
    return true;
}

/* The one atom of a group without a size gets what is left of the axis. */
static bool solve_group(const Pattern *p, Node **x, int axis, PatternSide *side, const Group *group)
{
    Sema *s = p->s;
    Atom *open = NULL;
    const Dim *known = dim_const(s->dims, 1), *size = (*x)->type.dims[axis], *rest;
    const char *last = group->at + 1;
    for (int i = group->first; i < group->first + group->count; i++) {
        Atom *atom = &side->atoms[i];
        last = atom->at + atom->length;
        if (!atom->size && open) {
            sema_error(s, ERR_E0307, pattern_span(p, atom->at, atom->length), NULL,
                       "one size of ( ) may be left open, and neither %s nor %s is given",
                       open->name, atom->name);
            return false;
        }
        if (!atom->size)
            open = atom;
        else
            known = known ? dim_mul(s->dims, known, atom->size) : NULL;
    }
    Span span = pattern_span(p, group->at, (size_t)(last - group->at) + (*group->at == '('));
    if (!known)
        return pattern_complain(p, group->at, 1, "the product of these sizes leaves 63 bits");
    if (!open && settle_size(s, x, axis, known, span, "the pattern"))
        return true;
    if (open && !dim_is(known, 0)) {
        if (!dim_divides_exactly(s->dims, size, known, &rest))
            rest = dim_floordiv(s->dims, size, known);
        open->size = rest;
        if (rest && settle_size(s, x, axis, dim_mul(s->dims, rest, known), span, "the pattern"))
            return true;
    }
    sema_error(s, ERR_E0303, span, NULL,
               open ? "an axis of size %s has no %s equal parts" : "an axis of size %s is %s here",
               dim_text(s, size), dim_text(s, known));
    return false;
}

static bool solve_left(const Pattern *p, Node **x, PatternSide *left)
{
    if (left->atom_count > MAX_RANK)
        return pattern_complain(p, left->atoms[MAX_RANK].at, 1,
                                "a tensor has at most 8 axes, and this pattern makes more");
    for (int i = 0; i < left->group_count; i++)
        if (!solve_group(p, x, i, left, &left->groups[i]))
            return false;
    return true;
}

/* ---- Doing it ---- */

typedef struct {
    const char *reduction; /* NULL: none allowed */
    bool repeats;
} PatternUse;

static Node *split_left(Sema *s, Node *x, const PatternSide *left)
{
    const Dim *dims[MAX_ATOMS];
    for (int i = 0; i < left->atom_count; i++)
        dims[i] = left->atoms[i].size;
    return build_reshape(s->elab->graph, x, left->atom_count, dims);
}

static bool right_sizes(const Pattern *p, const PatternSide *left, PatternSide *right, bool repeats)
{
    for (int i = 0; i < right->atom_count; i++) {
        Atom *atom = &right->atoms[i];
        const Atom *other = find_atom(left, atom->name);
        bool one = !atom->name && dim_is(atom->size, 1);
        if (other)
            atom->size = other->size;
        else if (!one && (!repeats || !atom->size))
            return pattern_complain(
                p, atom->at, atom->length,
                repeats ? arena_format(p->s->arena, "the size of %s is not given: %s=...",
                                       atom->name, atom->name)
                        : "this stands on the right side only; repeat makes new axes");
    }
    return true;
}

/* Atoms of the left that the right has not; with their axes. */
static bool missing_right(const Pattern *p, const PatternSide *left, const PatternSide *right,
                          bool reduces, Axes *missing)
{
    missing->count = 0;
    for (int i = 0; i < left->atom_count; i++) {
        const Atom *atom = &left->atoms[i];
        if (find_atom(right, atom->name))
            continue;
        if (!reduces && !(atom->name == NULL && dim_is(atom->size, 1)))
            return pattern_complain(p, atom->at, atom->length,
                                    "this stands on the left side only; reduce takes axes away");
        missing->axis[missing->count++] = (uint8_t)i;
    }
    return true;
}

static Value reduce_axes(Sema *s, BuiltinCall *call, Node *x, const Axes *axes)
{
    static const char *const names[] = {"max", "min", "sum", "mean", "prod", "any", "all"};
    const Value *how = &call->arg[2];
    Value list = value_list(s, VALUE_ARRAY, axes->count, call->span), callee = *how;
    for (int i = 0; i < axes->count; i++)
        list.as.list->items[i] = value_number(s, axes->axis[i], call->span);
    if (how->kind == VALUE_STRING) {
        bool known = false;
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            known |= strcmp(names[i], how->as.string.text) == 0;
        if (!known) {
            sema_unknown(s, ERR_E0205, call->arg_span[2], "there is no reduction",
                         how->as.string.text, names, sizeof names / sizeof *names);
            return value_poison;
        }
        callee = (Value){.kind = VALUE_BUILTIN,
                         .span = how->span,
                         .as.builtin = builtin_find(how->as.string.text)};
    }
    if (axes->count == 0)
        return value_tensor(x, call->span);
    Args args = {ARENA_ARRAY(s->arena, Arg, 2), 2};
    args.data[0] = (Arg){.value = value_tensor(x, call->span), .span = call->span};
    args.data[1] =
        (Arg){.name = "axis", .name_span = call->span, .value = list, .span = call->span};
    return call_value(s, &callee, &args, call->span, NULL);
}

/* x, with the named axes of `have` in order, as the right side says. */
static Value arrange(Sema *s, Node *x, const PatternSide *left, const bool *kept,
                     const PatternSide *right, Span span)
{
    Graph *graph = s->elab->graph;
    const Dim *ones[MAX_ATOMS], *full[MAX_ATOMS], *dims[MAX_ATOMS];
    uint8_t perm[MAX_ATOMS];
    int rank = 0;
    for (int i = 0; i < right->atom_count; i++) {
        ones[i] = dim_const(s->dims, 1);
        full[i] = right->atoms[i].size;
        int at = 0;
        for (int k = 0; k < left->atom_count; k++) {
            bool same = left->atoms[k].name && right->atoms[i].name &&
                        strcmp(left->atoms[k].name, right->atoms[i].name) == 0;
            if (same) {
                perm[rank++] = (uint8_t)at;
                ones[i] = full[i];
            }
            at += kept[k];
        }
    }
    for (int i = 0; i < right->group_count; i++) {
        const Group *group = &right->groups[i];
        dims[i] = dim_product(s->dims, &full[group->first], group->count);
    }
    x = build_permute(graph, x, perm);
    x = x ? build_reshape(graph, x, right->atom_count, ones) : NULL;
    x = x ? build_broadcast(graph, x, right->atom_count, full) : NULL;
    return sema_node_value(s, x ? build_reshape(graph, x, right->group_count, dims) : NULL, span);
}

/* The tensor of an argument; an array of tensors is stacked. */
static bool tensor_of(Sema *s, BuiltinCall *call, Node **x)
{
    Value v = call->arg[0];
    if (v.kind == VALUE_ARRAY || v.kind == VALUE_TUPLE) {
        Value callee = {
            .kind = VALUE_BUILTIN, .span = call->span, .as.builtin = builtin_find("stack")};
        Args args = make_args(s, &v, 1, call->arg_span[0]);
        v = call_value(s, &callee, &args, call->span, NULL);
    }
    return want_tensor(s, &v, call->arg_span[0], call->row->name, x);
}

static Value run_pattern(Sema *s, BuiltinCall *call, bool reduces, bool repeats)
{
    Pattern p;
    PatternSide left, right;
    Axes missing;
    Node *x;
    bool kept[MAX_ATOMS];
    if (!tensor_of(s, call, &x) || !pattern_read(s, call, 1, &p) ||
        !read_sides(&p, x, &left, &right) || !given_sizes(&p, call, &left, &right) ||
        !solve_left(&p, &x, &left) || !missing_right(&p, &left, &right, reduces, &missing) ||
        !right_sizes(&p, &left, &right, repeats))
        return value_poison;
    if (right.atom_count > MAX_RANK) {
        pattern_complain(&p, right.atoms[MAX_RANK].at, 1,
                         "a tensor has at most 8 axes, and this pattern makes more");
        return value_poison;
    }
    x = split_left(s, x, &left);
    for (int i = 0; i < left.atom_count; i++)
        kept[i] = true;
    for (int i = 0; i < missing.count; i++)
        kept[missing.axis[i]] = false;
    Value v = sema_node_value(s, x, call->span);
    if (v.kind == VALUE_POISON)
        return v;
    if (reduces) {
        v = reduce_axes(s, call, x, &missing);
    } else if (missing.count > 0) { /* axes of size 1 */
        const Dim *dims[MAX_RANK];
        int rank = 0;
        for (int i = 0; i < left.atom_count; i++)
            if (kept[i])
                dims[rank++] = left.atoms[i].size;
        v = sema_node_value(s, build_reshape(s->elab->graph, x, rank, dims), call->span);
    }
    return v.kind == VALUE_TENSOR ? arrange(s, v.as.node, &left, kept, &right, call->span) : v;
}

Value builtin_rearrange(Sema *s, BuiltinCall *call)
{
    return run_pattern(s, call, false, false);
}

Value builtin_reduce_pattern(Sema *s, BuiltinCall *call)
{
    return run_pattern(s, call, true, false);
}

Value builtin_repeat(Sema *s, BuiltinCall *call)
{
    return run_pattern(s, call, false, true);
}
