/* Attributes of nodes (attr.h). In: an Attr; out: its bytes for hashing, its text, or the Attr read
 * from text.
 *
 *   slice {[0:B:1, 2:10:2]}
 *   window_max {size = [2, 2], stride = [2, 2], dilate = [1, 1], pad = [0:0, 0:0]}
 *
 * Each walk_KIND is a grammar of its text; in the other modes the punctuation does nothing. */
#include "compiler/graph/attr.h"
#include "compiler/graph/attr_value.h"
#include "runtime/base/bug.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void walk_fail(AttrWalk *walk, const char *format, ...)
{
    if (walk->error != NULL)
        return;
    va_list args;
    va_start(args, format);
    walk->error = arena_vformat(walk->arena, format, args);
    va_end(args);
}

enum { MOST_LOOPS = 1 << 20 }; /* tables are as long as the largest number */

static void skip_spaces(AttrWalk *walk)
{
    while (*walk->at == ' ')
        walk->at++;
}

bool text_accept(AttrWalk *walk, const char *word)
{
    skip_spaces(walk);
    size_t length = strlen(word);
    if (strncmp(walk->at, word, length) != 0)
        return false;
    walk->at += length;
    return true;
}

/* Punctuation; its first and last spaces are for the eye only. */
static void walk_text(AttrWalk *walk, const char *text)
{
    if (walk->mode == WALK_PRINT)
        strbuf_add(walk->out, text);
    if (walk->mode != WALK_READ)
        return;
    for (; *text != 0 && walk->error == NULL; text++) {
        if (*text == ' ') {
            skip_spaces(walk);
            continue;
        }
        skip_spaces(walk);
        if (*walk->at != *text)
            walk_fail(walk, "expected '%c'", *text);
        else
            walk->at++;
    }
}

/* `text` is there exactly when *present. */
static void walk_optional(AttrWalk *walk, bool *present, const char *text)
{
    if (walk->mode == WALK_READ) {
        skip_spaces(walk);
        size_t length = strcspn(text, " ");
        *present = strncmp(walk->at, text, length) == 0;
    }
    if (*present)
        walk_text(walk, text);
}

static void walk_integer(AttrWalk *walk, int64_t *value, int64_t least, int64_t most)
{
    if (walk->mode == WALK_ENCODE)
        strbuf_add_bytes(walk->out, (const char *)value, sizeof *value);
    if (walk->mode == WALK_PRINT)
        strbuf_printf(walk->out, "%" PRId64, *value);
    if (walk->mode != WALK_READ)
        return;
    *value = least;
    if (walk->error == NULL && !read_integer(&walk->at, value))
        walk_fail(walk, "expected an integer");
    else if (walk->error == NULL && (*value < least || *value > most))
        walk_fail(walk, "%" PRId64 " is not in %" PRId64 "..%" PRId64, *value, least, most);
    if (walk->error != NULL)
        *value = least;
}

static void walk_int(AttrWalk *walk, int *value, int most)
{
    int64_t wide = *value;
    walk_integer(walk, &wide, 0, most);
    *value = (int)wide;
}

static void walk_positive(AttrWalk *walk, int64_t *value)
{
    walk_integer(walk, value, 1, INT64_MAX);
}

static void walk_dim(AttrWalk *walk, const Dim **dim)
{
    switch (walk->mode) {
    case WALK_ENCODE:
        strbuf_add_bytes(walk->out, (const char *)dim, sizeof *dim);
        break;
    case WALK_PRINT:
        dim_print(walk->dims, *dim, walk->out);
        break;
    case WALK_READ:
        skip_spaces(walk);
        *dim = walk->error == NULL ? dim_read(walk->dims, &walk->at) : NULL;
        if (*dim == NULL) {
            walk_fail(walk, "expected a dimension");
            *dim = dim_const(walk->dims, 0);
        }
        break;
    case WALK_DIMS:
        walk->visit(walk->user, dim);
        break;
    case WALK_COPY:
        break;
    }
}

void walk_name(AttrWalk *walk, const char **name)
{
    if (walk->mode == WALK_ENCODE)
        strbuf_add_bytes(walk->out, *name, strlen(*name) + 1);
    if (walk->mode == WALK_PRINT)
        print_name(*name, walk->out);
    if (walk->mode == WALK_COPY)
        *name = arena_string(walk->arena, *name);
    if (walk->mode != WALK_READ)
        return;
    skip_spaces(walk);
    *name = walk->error == NULL ? read_name(walk->arena, &walk->at) : NULL;
    if (*name == NULL) {
        walk_fail(walk, "expected a name");
        *name = "";
    }
}

/* The type is text of the node, not of the attribute. */
static void walk_type(AttrWalk *walk, Type *type)
{
    int64_t head = (int64_t)type->dtype * 256 + type->rank;
    if (walk->mode == WALK_ENCODE)
        strbuf_add_bytes(walk->out, (const char *)&head, sizeof head);
    if (walk->mode == WALK_ENCODE || walk->mode == WALK_DIMS)
        for (int i = 0; i < type->rank; i++)
            walk_dim(walk, &type->dims[i]);
}

/* Loop condition of a list: for (i = 0; walk_more(walk, i, &count, limit, ", "); i++) item. */
static bool walk_more(AttrWalk *walk, int i, int *count, int limit, const char *separator)
{
    if (walk->mode == WALK_ENCODE && i == 0)
        strbuf_add_char(walk->out, (char)*count);
    if (walk->mode == WALK_PRINT && i > 0 && i < *count)
        strbuf_add(walk->out, separator);
    if (walk->mode != WALK_READ)
        return i < *count;
    *count = i;
    skip_spaces(walk);
    if (walk->error != NULL ||
        strchr("]},", i == 0 || *walk->at == ']' || *walk->at == '}' ? *walk->at : ' ') != NULL)
        return false;
    if (i > 0 && separator[0] == ' ' && !isdigit((unsigned char)*walk->at))
        return false;
    if (i > 0)
        walk_text(walk, separator);
    if (i == limit)
        walk_fail(walk, "more than %d entries", limit);
    *count = i + (walk->error == NULL);
    return walk->error == NULL;
}

static void walk_axes_of(AttrWalk *walk, Axes *axes)
{
    for (int i = 0; walk_more(walk, i, &axes->count, MAX_RANK, ", "); i++) {
        int axis = axes->axis[i];
        walk_int(walk, &axis, MAX_RANK - 1);
        axes->axis[i] = (uint8_t)axis;
    }
}

static void walk_pairs(AttrWalk *walk, Axes *left, Axes *right)
{
    for (int i = 0; walk_more(walk, i, &left->count, MAX_RANK, " "); i++) {
        int a = left->axis[i], b = right->axis[i];
        walk_int(walk, &a, MAX_RANK - 1);
        walk_text(walk, ":");
        walk_int(walk, &b, MAX_RANK - 1);
        left->axis[i] = (uint8_t)a;
        right->axis[i] = (uint8_t)b;
    }
    right->count = left->count;
}

static void walk_dim_list(AttrWalk *walk, int *rank, const Dim **dims)
{
    walk_text(walk, "[");
    for (int i = 0; walk_more(walk, i, rank, MAX_RANK, ", "); i++)
        walk_dim(walk, &dims[i]);
    walk_text(walk, "]");
}

/* name = [1, 2]: a list as long as *count, which the first list of an attribute decides. */
static void walk_sizes(AttrWalk *walk, const char *label, int *count, int limit, int64_t *values)
{
    int length = *count;
    walk_text(walk, label);
    walk_text(walk, " = [");
    for (int i = 0; walk_more(walk, i, &length, limit, ", "); i++)
        walk_positive(walk, &values[i]);
    walk_text(walk, "]");
    if (walk->mode == WALK_READ && *count != 0 && length != *count)
        walk_fail(walk, "%s has %d entries, not %d", label, length, *count);
    *count = length;
}

static void walk_padding(AttrWalk *walk, int count, const Dim **low, const Dim **high)
{
    int length = count;
    walk_text(walk, "pad = [");
    for (int i = 0; walk_more(walk, i, &length, count, ", "); i++) {
        walk_dim(walk, &low[i]);
        walk_text(walk, ":");
        walk_dim(walk, &high[i]);
    }
    walk_text(walk, "]");
    if (length != count)
        walk_fail(walk, "pad has %d entries, not %d", length, count);
}

/* One function per kind */

static void walk_NONE(AttrWalk *walk, Attr *attr)
{
    (void)walk, (void)attr;
}

static void walk_LEAF(AttrWalk *walk, Attr *attr)
{
    walk_name(walk, &attr->leaf.name);
    walk_type(walk, &attr->leaf.type);
}

static void walk_CONST(AttrWalk *walk, Attr *attr)
{
    DType dtype = attr->constant.type.dtype;
    walk_type(walk, &attr->constant.type);
    if (walk->mode == WALK_ENCODE)
        strbuf_add_bytes(walk->out, (const char *)&attr->constant.value,
                         sizeof attr->constant.value);
    if (walk->mode == WALK_PRINT)
        print_value(dtype, attr->constant.value.i, walk->out);
    if (walk->mode == WALK_READ && !read_value(dtype, &walk->at, &attr->constant.value.i))
        walk_fail(walk, "expected a value of %s", dtype_name(dtype));
}

static void walk_LITERAL(AttrWalk *walk, Attr *attr)
{
    DType dtype = attr->literal.type.dtype;
    walk_type(walk, &attr->literal.type);
    if (walk->mode == WALK_ENCODE)
        strbuf_add_bytes(walk->out, attr->literal.data, attr->literal.bytes);
    if (walk->mode == WALK_PRINT)
        print_values(dtype, attr->literal.data, attr->literal.bytes, walk->out);
    if (walk->mode == WALK_COPY)
        attr->literal.data = arena_copy(walk->arena, attr->literal.data, attr->literal.bytes);
    if (walk->mode == WALK_READ &&
        !read_values(walk->arena, dtype, &walk->at, &attr->literal.data, &attr->literal.bytes))
        walk_fail(walk, "expected values of %s", dtype_name(dtype));
}

static void walk_IOTA(AttrWalk *walk, Attr *attr)
{
    walk_type(walk, &attr->iota.type);
    walk_int(walk, &attr->iota.axis, MAX_RANK - 1);
}

static void walk_DIM(AttrWalk *walk, Attr *attr)
{
    attr->shape.rank = 1;
    walk_dim(walk, &attr->shape.dims[0]);
}

static void walk_RANDOM(AttrWalk *walk, Attr *attr)
{
    int64_t site = attr->random.site;
    walk_type(walk, &attr->random.type);
    walk_integer(walk, &site, 0, UINT32_MAX);
    attr->random.site = (uint32_t)site;
}

static void walk_DTYPE(AttrWalk *walk, Attr *attr)
{
    int64_t dtype = attr->dtype;
    if (walk->mode == WALK_ENCODE)
        walk_integer(walk, &dtype, 0, DT_COUNT);
    if (walk->mode == WALK_PRINT)
        strbuf_add(walk->out, dtype_name(attr->dtype));
    if (walk->mode != WALK_READ)
        return;
    const char *name = "";
    walk_name(walk, &name);
    if (!dtype_from_name(name, &attr->dtype)) {
        attr->dtype = DT_F32;
        walk_fail(walk, "no type is called %s", name);
    }
}

static void walk_CHECK(AttrWalk *walk, Attr *attr)
{
    int64_t code = attr->check.code;
    if (walk->mode == WALK_ENCODE)
        walk_integer(walk, &code, 0, ERR_COUNT);
    if (walk->mode == WALK_PRINT)
        strbuf_printf(walk->out, "%s ", error_code_text(attr->check.code));
    if (walk->mode == WALK_READ) {
        const char *name = "";
        walk_name(walk, &name);
        if (!error_from_text(name, &attr->check.code)) {
            attr->check.code = (ErrorCode)0;
            walk_fail(walk, "no error code is called %s", name);
        }
    }
    walk_name(walk, &attr->check.message);
}

static void walk_SHAPE(AttrWalk *walk, Attr *attr)
{
    walk_dim_list(walk, &attr->shape.rank, attr->shape.dims);
}

static void walk_PERM(AttrWalk *walk, Attr *attr)
{
    walk_axes_of(walk, &attr->perm);
}

static void walk_SLICE(AttrWalk *walk, Attr *attr)
{
    walk_text(walk, "[");
    for (int i = 0; walk_more(walk, i, &attr->slice.rank, MAX_RANK, ", "); i++) {
        walk_dim(walk, &attr->slice.start[i]);
        walk_text(walk, ":");
        walk_dim(walk, &attr->slice.limit[i]);
        walk_text(walk, ":");
        walk_positive(walk, &attr->slice.step[i]);
    }
    walk_text(walk, "]");
}

static void walk_PAD(AttrWalk *walk, Attr *attr)
{
    walk_text(walk, "[");
    for (int i = 0; walk_more(walk, i, &attr->pad.rank, MAX_RANK, ", "); i++) {
        walk_dim(walk, &attr->pad.low[i]);
        walk_text(walk, ":");
        walk_dim(walk, &attr->pad.high[i]);
        walk_text(walk, ":");
        walk_integer(walk, &attr->pad.interior[i], 0, INT64_MAX);
    }
    walk_text(walk, "]");
}

static void walk_AXIS(AttrWalk *walk, Attr *attr)
{
    walk_int(walk, &attr->axis, MAX_RANK - 1);
}

static void walk_AXES(AttrWalk *walk, Attr *attr)
{
    walk_axes_of(walk, &attr->axes);
}

static void walk_DOT(AttrWalk *walk, Attr *attr)
{
    bool batch = attr->dot.batch_x.count > 0, contract = attr->dot.contract_x.count > 0;
    walk_optional(walk, &batch, "batch = ");
    if (batch)
        walk_pairs(walk, &attr->dot.batch_x, &attr->dot.batch_y);
    if (walk->mode == WALK_ENCODE)
        strbuf_add_char(walk->out, ',');
    if (walk->mode == WALK_PRINT && batch && contract)
        strbuf_add(walk->out, ", ");
    if (walk->mode == WALK_READ && batch)
        text_accept(walk, ",");
    walk_optional(walk, &contract, "contract = ");
    if (contract)
        walk_pairs(walk, &attr->dot.contract_x, &attr->dot.contract_y);
}

static void walk_CONV(AttrWalk *walk, Attr *attr)
{
    int *count = &attr->conv.spatial;
    walk_sizes(walk, "stride", count, MAX_SPATIAL, attr->conv.stride);
    walk_text(walk, ", ");
    walk_padding(walk, *count, attr->conv.pad_low, attr->conv.pad_high);
    walk_text(walk, ", ");
    walk_sizes(walk, "dilate_x", count, MAX_SPATIAL, attr->conv.dilate_x);
    walk_text(walk, ", ");
    walk_sizes(walk, "dilate_y", count, MAX_SPATIAL, attr->conv.dilate_y);
}

static void walk_WINDOW(AttrWalk *walk, Attr *attr)
{
    int *count = &attr->window.rank;
    walk_sizes(walk, "size", count, MAX_RANK, attr->window.size);
    walk_text(walk, ", ");
    walk_sizes(walk, "stride", count, MAX_RANK, attr->window.stride);
    walk_text(walk, ", ");
    walk_sizes(walk, "dilate", count, MAX_RANK, attr->window.dilate);
    walk_text(walk, ", ");
    walk_padding(walk, *count, attr->window.pad_low, attr->window.pad_high);
}

/* `text` is there exactly when *present; no entry follows it that begins like it. */
static void walk_flag(AttrWalk *walk, bool *present, const char *text)
{
    if (walk->mode == WALK_ENCODE)
        strbuf_add_char(walk->out, *present);
    if (walk->mode == WALK_PRINT && *present)
        strbuf_add(walk->out, text);
    if (walk->mode == WALK_READ)
        *present = walk->error == NULL && text_accept(walk, text);
}

/* The number of a loop or branch. */
static void walk_number(AttrWalk *walk, uint32_t *number)
{
    int64_t wide = *number;
    walk_integer(walk, &wide, 0, MOST_LOOPS);
    *number = (uint32_t)wide;
}

static void walk_CARRY(AttrWalk *walk, Attr *attr)
{
    walk_number(walk, &attr->carry.loop);
    walk_text(walk, ", ");
    walk_int(walk, &attr->carry.index, UINT16_MAX);
    walk_type(walk, &attr->carry.type);
}

static void walk_AT(AttrWalk *walk, Attr *attr)
{
    walk_number(walk, &attr->at.loop);
}

static void walk_LOOP(AttrWalk *walk, Attr *attr)
{
    walk_number(walk, &attr->loop.id);
    walk_text(walk, ", length = ");
    walk_dim(walk, &attr->loop.length);
    walk_flag(walk, &attr->loop.reverse, ", reverse");
    walk_flag(walk, &attr->loop.conditional, ", conditional");
    walk_flag(walk, &attr->loop.recompute, ", recompute");
    walk_flag(walk, &attr->loop.adds, ", adds");
}

static void walk_FINAL(AttrWalk *walk, Attr *attr)
{
    walk_int(walk, &attr->final.index, UINT16_MAX);
}

static void walk_ENTER(AttrWalk *walk, Attr *attr)
{
    bool other = attr->enter.side == SIDE_ELSE, first = !other;
    walk_number(walk, &attr->enter.branch);
    walk_flag(walk, &first, ", then");
    walk_flag(walk, &other, ", else");
    attr->enter.side = other ? SIDE_ELSE : SIDE_THEN;
    if (walk->mode == WALK_READ && first == other)
        walk_fail(walk, "expected the side, then or else");
}

static void walk_BRANCH(AttrWalk *walk, Attr *attr)
{
    walk_number(walk, &attr->branch.id);
}

static void walk_CALL(AttrWalk *walk, Attr *attr)
{
    walk_name(walk, &attr->call.name);
    walk_type(walk, &attr->call.type);
}

static void (*const walks[AT_COUNT])(AttrWalk *, Attr *) = {
    [AT_NONE] = walk_NONE,       [AT_LEAF] = walk_LEAF,   [AT_CONST] = walk_CONST,
    [AT_LITERAL] = walk_LITERAL, [AT_IOTA] = walk_IOTA,   [AT_DIM] = walk_DIM,
    [AT_RANDOM] = walk_RANDOM,   [AT_DTYPE] = walk_DTYPE, [AT_CHECK] = walk_CHECK,
    [AT_SHAPE] = walk_SHAPE,     [AT_PERM] = walk_PERM,   [AT_SLICE] = walk_SLICE,
    [AT_PAD] = walk_PAD,         [AT_AXIS] = walk_AXIS,   [AT_AXES] = walk_AXES,
    [AT_DOT] = walk_DOT,         [AT_CONV] = walk_CONV,   [AT_WINDOW] = walk_WINDOW,
    [AT_CARRY] = walk_CARRY,     [AT_AT] = walk_AT,       [AT_LOOP] = walk_LOOP,
    [AT_FINAL] = walk_FINAL,     [AT_ENTER] = walk_ENTER, [AT_BRANCH] = walk_BRANCH,
    [AT_CALL] = walk_CALL,
};

void attr_walk(AttrWalk *walk, Attr *attr)
{
    walks[attr->kind](walk, attr);
}

void attr_encode(const Attr *attr, StrBuf *out)
{
    AttrWalk walk = {.mode = WALK_ENCODE, .out = out};
    strbuf_add_char(out, (char)attr->kind);
    attr_walk(&walk, (Attr *)attr); /* this mode writes nothing */
}

void attr_print(const DimTable *dims, const Attr *attr, StrBuf *out)
{
    AttrWalk walk = {.mode = WALK_PRINT, .dims = (DimTable *)dims, .out = out};
    attr_walk(&walk, (Attr *)attr);
}

bool attr_read(AttrWalk *walk, Attr *attr)
{
    walk->mode = WALK_READ;
    attr_walk(walk, attr);
    return walk->error == NULL;
}

void attr_dims(Attr *attr, void (*visit)(void *user, const Dim **dim), void *user)
{
    AttrWalk walk = {.mode = WALK_DIMS, .visit = visit, .user = user};
    attr_walk(&walk, attr);
}

bool attr_equal(const Attr *a, const Attr *b)
{
    if (a->kind != b->kind || a->kind == AT_NONE)
        return a->kind == b->kind;
    StrBuf left = {0}, right = {0};
    attr_encode(a, &left);
    attr_encode(b, &right);
    bool equal = left.length == right.length && memcmp(left.text, right.text, left.length) == 0;
    strbuf_free(&left);
    strbuf_free(&right);
    return equal;
}

Type *attr_type(Attr *attr)
{
    switch (attr->kind) {
    case AT_LEAF:
        return &attr->leaf.type;
    case AT_CONST:
        return &attr->constant.type;
    case AT_LITERAL:
        return &attr->literal.type;
    case AT_IOTA:
        return &attr->iota.type;
    case AT_RANDOM:
        return &attr->random.type;
    case AT_CARRY:
        return &attr->carry.type;
    case AT_CALL:
        return &attr->call.type;
    default:
        return NULL;
    }
}

bool read_type(AttrWalk *walk, Type *type)
{
    const char *name = NULL;
    walk_name(walk, &name);
    if (walk->error == NULL && !dtype_from_name(name, &type->dtype))
        walk_fail(walk, "no type is called %s", name);
    type->rank = 0;
    skip_spaces(walk);
    if (walk->error == NULL && *walk->at == '[')
        walk_dim_list(walk, &type->rank, type->dims);
    return walk->error == NULL;
}
