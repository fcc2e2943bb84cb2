/* Reads the text of kir_print.c back. The reader knows the grammar only; whether the instructions
 * make sense is asked of kernel_verify at the end, so a text that is read is a sound kernel. Errors
 * carry the line:
 *
 *   line 4: expected ':' before the type
 *
 * Values must be numbered 0, 1, 2, ... in the order of the text, as the printer does. */
#include "compiler/kernel/kir.h"
#include "compiler/kernel/kir_rules.h"
#include "runtime/base/bug.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEEPEST = 200, LONGEST_LIST = 4096 };

typedef struct {
    Arena *arena;
    Kernel *kernel;
    const char *at;
    int line, depth;
    locale_t numbers;    /* "1.5" is read the same wherever the host lives */
    VEC(KInst *) values; /* by number in the text */
    const char *error;   /* the first one, with its line */
} Reader;

static bool read_block(Reader *r, KBlock *block);

static bool fail(Reader *r, const char *what)
{
    if (!r->error) {
        r->error = arena_format(r->arena, "line %d: %s", r->line, what);
    }
    return false;
}

/* ---- tokens ---- */

static void skip_space(Reader *r)
{
    for (; *r->at == ' ' || *r->at == '\t' || *r->at == '\r' || *r->at == '\n'; r->at++) {
        r->line += *r->at == '\n';
    }
}

static bool looks_at(Reader *r, const char *text)
{
    skip_space(r);
    return strncmp(r->at, text, strlen(text)) == 0;
}

static bool take(Reader *r, const char *text)
{
    bool found = looks_at(r, text);
    r->at += found ? strlen(text) : 0;
    return found;
}

static bool expect(Reader *r, const char *text)
{
    return take(r, text) || fail(r, arena_format(r->arena, "expected '%s'", text));
}

static bool is_name_char(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* A word; length 0: there is none. */
static const char *take_word(Reader *r, size_t *length)
{
    skip_space(r);
    const char *begin = r->at;
    while (is_name_char(*r->at)) {
        r->at++;
    }
    *length = (size_t)(r->at - begin);
    return begin;
}

static bool take_keyword(Reader *r, const char *word)
{
    bool found = looks_at(r, word) && !is_name_char(r->at[strlen(word)]);
    r->at += found ? strlen(word) : 0;
    return found;
}

static bool read_int(Reader *r, int64_t *value)
{
    skip_space(r);
    char *end;
    errno = 0;
    bool starts =
        isdigit((unsigned char)*r->at) || (*r->at == '-' && isdigit((unsigned char)r->at[1]));
    *value = starts ? strtoll(r->at, &end, 10) : 0;
    if (!starts || errno) {
        return fail(r, "expected an integer");
    }
    r->at = end;
    return true;
}

static bool read_float(Reader *r, double *value)
{
    skip_space(r);
    if (take_keyword(r, "nan")) {
        *value = (double)NAN;
        return true;
    }
    bool negative = take(r, "-");
    if (take_keyword(r, "inf")) {
        *value = negative ? -(double)INFINITY : (double)INFINITY;
        return true;
    }
    if (!isdigit((unsigned char)*r->at)) {
        return fail(r, "expected a number");
    }
    char *end;
    double magnitude = strtod_l(r->at, &end, r->numbers);
    *value = negative ? -magnitude : magnitude;
    r->at = end;
    return true;
}

static bool read_dtype(Reader *r, DType *dtype, int *lanes)
{
    size_t length;
    const char *word = take_word(r, &length);
    *lanes = 1;
    for (int i = 0; i < DT_COUNT; i++) {
        const char *name = dtype_name((DType)i);
        size_t size = strlen(name);
        if (length < size || memcmp(word, name, size) != 0) {
            continue;
        }
        *dtype = (DType)i;
        if (length > size + 1 && word[size] == 'x') {
            long parsed = strtol(word + size + 1, NULL, 10);
            *lanes = parsed > 1 && parsed <= KIR_MAX_LANES ? (int)parsed : 0;
            length = *lanes ? size : 0;
        }
        return length == size || fail(r, "expected a type");
    }
    return fail(r, "expected a type");
}

static bool read_type(Reader *r, KType *type)
{
    int lanes;
    if (!expect(r, ":") || !read_dtype(r, &type->dtype, &lanes)) {
        return false;
    }
    type->lanes = (uint16_t)lanes;
    return true;
}

/* ---- values ---- */

static bool read_value(Reader *r, KInst **value)
{
    if (take_keyword(r, "%begin") || take_keyword(r, "%end")) {
        *value = r->kernel->body->args.data[r->at[-1] == 'd'];
        return true;
    }
    int64_t number;
    if (!expect(r, "%") || !read_int(r, &number)) {
        return false;
    }
    if (number < 0 || number >= r->values.count) {
        return fail(r, "a value is used before its definition");
    }
    *value = r->values.data[number];
    return true;
}

/* "%7 =", which must be the next number. */
static bool read_definition(Reader *r)
{
    int64_t number;
    if (!expect(r, "%") || !read_int(r, &number) || !expect(r, "=")) {
        return false;
    }
    return number == r->values.count || fail(r, "values are not numbered in order");
}

static void enter(Reader *r, KInst *inst)
{
    vec_push(r->arena, &r->values, inst);
}

static KInst *new_inst(Reader *r, KOp op, KBlock *block)
{
    KInst *inst = ARENA_NEW(r->arena, KInst);
    inst->op = op;
    inst->id = r->kernel->next_id++;
    inst->block = block;
    return inst;
}

typedef VEC(KInst *) Operands;

static bool push_operand(Reader *r, Operands *list, KInst *value)
{
    if (list->count == LONGEST_LIST) {
        return fail(r, "too many operands");
    }
    vec_push(r->arena, list, value);
    return true;
}

static void set_operands(Reader *r, KInst *inst, const Operands *list)
{
    inst->nsrc = list->count;
    inst->src =
        list->count ? arena_copy(r->arena, list->data, sizeof *list->data * list->count) : NULL;
}

/* ---- instructions by the form of their immediate ---- */

static bool read_lanes(Reader *r, KInst *inst)
{
    VEC(int32_t) mask = {0};
    if (!expect(r, "[")) {
        return false;
    }
    do {
        int64_t lane;
        if (!read_int(r, &lane)) {
            return false;
        }
        if (lane < -1 || lane > INT32_MAX || mask.count == KIR_MAX_LANES) {
            return fail(r, "the mask is out of range");
        }
        vec_push(r->arena, &mask, (int32_t)lane);
    } while (take(r, ","));
    inst->mask = mask.data;
    inst->type.lanes = (uint16_t)mask.count;
    return expect(r, "]");
}

/* Operands, then the immediate: "add %1, %2", "extract %1, 3", "const 1.5". */
static bool read_plain(Reader *r, KInst *inst, Operands *list)
{
    KImm imm = kop_info(inst->op)->imm;
    bool more = looks_at(r, "%");
    while (more) {
        KInst *value;
        if (!read_value(r, &value) || !push_operand(r, list, value)) {
            return false;
        }
        more = take(r, ",") && looks_at(r, "%");
    }
    if (imm == KIMM_INT) {
        return read_int(r, &inst->i);
    }
    if (imm == KIMM_MASK) {
        return read_lanes(r, inst);
    }
    return true;
}

/* The element type decides how a constant is read, and follows it. */
static bool read_constant(Reader *r, KInst *inst)
{
    const char *begin = r->at;
    int line = r->line;
    double number;
    if (!read_float(r, &number) || !read_type(r, &inst->type)) {
        return false;
    }
    if (dtype_is_float(inst->type.dtype)) {
        inst->f = number;
        return true;
    }
    const char *end = r->at;
    int end_line = r->line;
    r->at = begin;
    r->line = line;
    bool good = read_int(r, &inst->i) && (looks_at(r, ":") || fail(r, "expected an integer"));
    r->at = end;
    r->line = end_line;
    return good;
}

static bool read_buffer_name(Reader *r, KInst *inst)
{
    size_t length;
    const char *word = take_word(r, &length);
    for (uint32_t i = 0; i < r->kernel->buffers.count; i++) {
        const char *name = r->kernel->buffers.data[i].name;
        if (strlen(name) == length && memcmp(name, word, length) == 0) {
            inst->buffer = i;
            return true;
        }
    }
    return fail(r, "no such buffer");
}

static bool read_operand(Reader *r, Operands *list)
{
    KInst *value;
    return read_value(r, &value) && push_operand(r, list, value);
}

static bool read_access(Reader *r, KInst *inst, Operands *list)
{
    if (inst->op == K_PREFETCH) {
        inst->write_hint = take_keyword(r, "write");
        if (!inst->write_hint && !take_keyword(r, "read")) {
            return fail(r, "expected read or write");
        }
    }
    if (!read_buffer_name(r, inst) || !expect(r, "[") || !read_operand(r, list) ||
        !expect(r, "]")) {
        return false;
    }
    if (inst->op == K_STORE && (!expect(r, ",") || !read_operand(r, list))) {
        return false;
    }
    return inst->op == K_PREFETCH || !take_keyword(r, "mask") || read_operand(r, list);
}

/* ---- control ---- */

static KBlock *new_block(Reader *r, KInst *parent)
{
    KBlock *block = ARENA_NEW(r->arena, KBlock);
    block->parent = parent;
    return block;
}

static void add_arg(Reader *r, KBlock *block, KType type)
{
    KInst *arg = new_inst(r, K_ARG, block);
    arg->i = block->args.count;
    arg->type = type;
    vec_push(r->arena, &block->args, arg);
    enter(r, arg);
}

static bool read_braced(Reader *r, KBlock *block)
{
    if (++r->depth > DEEPEST) {
        return fail(r, "blocks are nested too deeply");
    }
    bool good = expect(r, "{") && read_block(r, block) && expect(r, "}");
    r->depth--;
    return good;
}

/* "%3 = %0 .. %1 step 16 (%4 = %2 : f32x16, ...) {" */
static bool read_loop(Reader *r, KInst *loop, Operands *list)
{
    KBlock *body = new_block(r, loop);
    loop->loop.body = body;
    if (!read_definition(r)) {
        return false;
    }
    add_arg(r, body, ktype(DT_I64, 1));
    if (!read_operand(r, list) || !expect(r, "..") || !read_operand(r, list) ||
        !expect(r, "step") || !read_int(r, &loop->loop.step)) {
        return false;
    }
    if (take(r, "(")) {
        do {
            KType type;
            if (!read_definition(r) || !read_operand(r, list) || !read_type(r, &type)) {
                return false;
            }
            add_arg(r, body, type);
        } while (take(r, ","));
        if (!expect(r, ")")) {
            return false;
        }
    }
    set_operands(r, loop,
                 list); /* results may be asked for inside, to be refused by the verifier */
    return read_braced(r, body);
}

static bool read_branch(Reader *r, KInst *branch, Operands *list)
{
    branch->branch.then_block = new_block(r, branch);
    branch->branch.else_block = new_block(r, branch);
    return read_operand(r, list) && read_braced(r, branch->branch.then_block) &&
           expect(r, "else") && read_braced(r, branch->branch.else_block);
}

/* ---- blocks and the kernel ---- */

static bool read_rest(Reader *r, KInst *inst, Operands *list)
{
    switch (kop_info(inst->op)->imm) {
    case KIMM_LOOP:
        return read_loop(r, inst, list);
    case KIMM_BRANCH:
        return read_branch(r, inst, list);
    case KIMM_BUFFER:
        return read_access(r, inst, list);
    case KIMM_VALUE:
        return read_constant(r, inst);
    default:
        return read_plain(r, inst, list);
    }
}

static bool read_inst(Reader *r, KBlock *block)
{
    bool defines = looks_at(r, "%");
    if (defines && !read_definition(r)) {
        return false;
    }
    size_t length;
    KOp op;
    const char *word = take_word(r, &length);
    if (!kop_from_text(word, length, &op)) {
        return fail(r,
                    arena_format(r->arena, "no instruction is called '%.*s'", (int)length, word));
    }
    bool is_control = op == K_FOR || op == K_IF;
    if (defines != (kop_has_value(op) || is_control)) {
        return fail(r, defines ? "this instruction has no value" : "the value needs a number");
    }
    KInst *inst = new_inst(r, op, block);
    vec_push(r->arena, &block->insts, inst);
    if (is_control) {
        enter(r, inst);
    }
    Operands list = {0};
    if (!read_rest(r, inst, &list)) {
        return false;
    }
    set_operands(r, inst, &list);
    uint16_t picked = inst->type.lanes;
    if (kop_has_value(op) && op != K_CONST && !read_type(r, &inst->type)) {
        return false;
    }
    if (op == K_SHUFFLE && picked != inst->type.lanes) {
        return fail(r, "the mask is not as long as the result");
    }
    if (!is_control && defines) {
        enter(r, inst);
    }
    return true;
}

static bool read_block(Reader *r, KBlock *block)
{
    while (!looks_at(r, "}")) {
        if (!*r->at) {
            return fail(r, "the text ends inside a block");
        }
        if (!read_inst(r, block)) {
            return false;
        }
    }
    return true;
}

static bool read_buffer(Reader *r)
{
    size_t length;
    const char *word = take_word(r, &length);
    DType dtype;
    int lanes;
    if (!length || !expect(r, ":") || !read_dtype(r, &dtype, &lanes)) {
        return fail(r, "expected a buffer");
    }
    char *name = arena_substring(r->arena, word, length);
    bool read = take_keyword(r, "read"), written = take_keyword(r, "write");
    uint32_t index = kernel_buffer(r->kernel, name, dtype, read, written);
    r->kernel->buffers.data[index].shares = take_keyword(r, "shares");
    return lanes == 1 || fail(r, "a buffer has a scalar type");
}

static bool read_kernel(Reader *r)
{
    size_t length;
    if (!take_keyword(r, "kernel")) {
        return fail(r, "expected 'kernel'");
    }
    const char *word = take_word(r, &length);
    if (!length) {
        return fail(r, "expected the name of the kernel");
    }
    r->kernel = kernel_new(r->arena, arena_substring(r->arena, word, length));
    if (!expect(r, "(")) {
        return false;
    }
    while (!take(r, ")")) {
        if ((r->kernel->buffers.count && !expect(r, ",")) || !read_buffer(r)) {
            return false;
        }
    }
    if (!read_braced(r, r->kernel->body)) {
        return false;
    }
    skip_space(r);
    return !*r->at || fail(r, "there is text after the kernel");
}

Kernel *kernel_read(Arena *arena, const char *text, char **error)
{
    Reader r = {.arena = arena, .at = text, .line = 1};
    *error = NULL;
    r.numbers = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    bool read = read_kernel(&r);
    freelocale(r.numbers);
    if (!read) {
        *error = strdup(r.error);
        return NULL;
    }
    StrBuf faults = {0};
    if (!kernel_verify(r.kernel, &faults)) {
        *error = faults.text;
        return NULL;
    }
    strbuf_free(&faults);
    return r.kernel;
}
