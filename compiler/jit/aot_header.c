/* The C header of an object made ahead of time. Everything that a caller needs stands in it: the
 * layout of the call that the object expects (include/nnc/abi.h, written out), two functions of the
 * object, and inline functions over them with the model's own names and types. */
#include "compiler/jit/aot.h"
#include "runtime/base/bug.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

typedef struct {
    const KProgram *program;
    const char *name;
    bool embedded;
    const AotOptions *options;
    StrBuf *out;
    Arena *arena;
    const char **buffer_names; /* C identifiers, by external buffer */
    const char **dim_names;
    bool *written; /* by external buffer */
} Header;

/* ---- names ---- */

static const char *const taken_words[] = {
    "auto",
    "break",
    "case",
    "char",
    "const",
    "continue",
    "default",
    "do",
    "double",
    "else",
    "enum",
    "extern",
    "float",
    "for",
    "goto",
    "if",
    "inline",
    "int",
    "long",
    "register",
    "restrict",
    "return",
    "short",
    "signed",
    "sizeof",
    "static",
    "struct",
    "switch",
    "typedef",
    "union",
    "unsigned",
    "void",
    "volatile",
    "while",
    "_Bool",
    "_Complex",
    "_Imaginary",
    "and",
    "bool",
    "catch",
    "class",
    "delete",
    "explicit",
    "export",
    "false",
    "friend",
    "mutable",
    "namespace",
    "new",
    "not",
    "operator",
    "or",
    "private",
    "protected",
    "public",
    "template",
    "this",
    "throw",
    "true",
    "try",
    "typename",
    "using",
    "virtual",
    "xor",
    /* of the inline functions */
    "params",
    "workspace",
    "call",
    "table",
    "buffers",
    "failures",
    "dims",
    "at",
    "i",
    "memset",
    "int32_t",
    "int64_t",
    "uint8_t",
    "uint64_t",
    "uintptr_t",
};

static const char *identifier(Arena *arena, const char *name)
{
    char *text =
        arena_format(arena, "%s%s", isdigit((unsigned char)*name) || !*name ? "_" : "", name);
    for (char *c = text; *c; c++) {
        if (!isalnum((unsigned char)*c)) {
            *c = '_';
        }
    }
    for (size_t i = 0; i < sizeof taken_words / sizeof *taken_words; i++) {
        if (strcmp(taken_words[i], text) == 0) {
            return arena_format(arena, "%s_", text);
        }
    }
    return text;
}

static bool is_taken(const char *name, const char *const *names, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* Appends a C identifier for `name` that differs from those before it and from the functions of the
 * header. */
static void add_name(const Header *h, const char **names, uint32_t count, const char *name)
{
    const char *plain = identifier(h->arena, name ? name : "value");
    size_t prefix = strlen(h->name);
    if (strncmp(plain, h->name, prefix) == 0 && plain[prefix] == '_') {
        plain = arena_format(h->arena, "of_%s", plain);
    }
    const char *unique = plain;
    for (int i = 2; is_taken(unique, names, count); i++) {
        unique = arena_format(h->arena, "%s_%d", plain, i);
    }
    names[count] = unique;
}

static void choose_names(Header *h)
{
    uint32_t dims = h->program->dims.count, buffers = h->program->externals;
    const char **names = ARENA_ARRAY(h->arena, const char *, dims + buffers + 1);
    for (uint32_t i = 0; i < dims; i++) {
        add_name(h, names, i, h->program->dims.data[i]);
    }
    for (uint32_t i = 0; i < buffers; i++) {
        add_name(h, names, dims + i, h->program->buffers.data[i].name);
    }
    h->dim_names = names;
    h->buffer_names = names + dims;
}

static void find_written(Header *h)
{
    const KProgram *program = h->program;
    h->written = ARENA_ARRAY(h->arena, bool, program->externals + 1);
    for (uint32_t i = 0; i < program->launches.count; i++) {
        const Launch *launch = &program->launches.data[i];
        for (uint32_t k = 0; !launch->is_extern && k < launch->args.count; k++) {
            uint32_t buffer = kprogram_whole(program, launch->args.data[k]);
            if (buffer < program->externals &&
                program->kernels.data[launch->kernel]->buffers.data[k].written) {
                h->written[buffer] = true;
            }
        }
    }
}

/* ---- pieces ---- */

static bool is_weight(const ProgramBuffer *buffer)
{
    return buffer->kind == BUFFER_PARAM || buffer->kind == BUFFER_STATE;
}

static const char *c_type(DType dtype)
{
    static const char *const types[DT_COUNT] = {
        [DT_BOOL] = "uint8_t", [DT_U8] = "uint8_t",   [DT_I32] = "int32_t",
        [DT_I64] = "int64_t",  [DT_F32] = "float",    [DT_F64] = "double",
        [DT_I8] = "int8_t",    [DT_F16] = "uint16_t", [DT_BF16] = "uint16_t",
    };
    return types[dtype];
}

static void print_pointer(Header *h, uint32_t index)
{
    const ProgramBuffer *buffer = &h->program->buffers.data[index];
    strbuf_printf(h->out, "%s%s *%s", h->written[index] ? "" : "const ", c_type(buffer->dtype),
                  h->buffer_names[index]);
}

/* A comment must not end early, whatever a model calls its tensors. */
static void print_note(Header *h, const ProgramBuffer *buffer)
{
    StrBuf note = {0};
    strbuf_printf(&note, "%s: %s", buffer->name ? buffer->name : "",
                  buffer->shape ? buffer->shape : dtype_name(buffer->dtype));
    for (char *at = strstr(note.text, "*/"); at; at = strstr(at, "*/")) {
        *at = '.';
    }
    strbuf_add(h->out, note.text);
    strbuf_free(&note);
}

static bool has_params(const Header *h)
{
    for (uint32_t i = 0; !h->embedded && i < h->program->externals; i++) {
        if (is_weight(&h->program->buffers.data[i])) {
            return true;
        }
    }
    return false;
}

static void print_dims(Header *h, const char *before)
{
    for (uint32_t i = 0; i < h->program->dims.count; i++) {
        strbuf_printf(h->out, "%sint64_t %s", i ? ", " : before, h->dim_names[i]);
    }
}

static void print_arguments_text(Header *h)
{
    static const struct {
        BufferKind kind;
        const char *text;
    } kinds[] = {
        {BUFFER_INPUT, "reads "},
        {BUFFER_PARAM, "param "},
        {BUFFER_STATE, "state "},
        {BUFFER_OUTPUT, "writes"},
    };
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        for (uint32_t i = 0; i < h->program->externals; i++) {
            const ProgramBuffer *buffer = &h->program->buffers.data[i];
            if (buffer->kind == kinds[k].kind) {
                strbuf_printf(h->out, " *   %s  ", kinds[k].text);
                print_note(h, buffer);
                strbuf_add(h->out, is_weight(buffer) && h->embedded ? " (in the object)\n" : "\n");
            }
        }
    }
}

static void print_top(Header *h)
{
    strbuf_printf(
        h->out,
        "/* %s: made by nnc. Link the object that was written with this header, and -lm.\n *\n",
        h->name);
    print_arguments_text(h);
    strbuf_printf(h->out,
                  " *\n * Tensors are contiguous, the last dimension fastest. %s_workspace gives "
                  "the bytes of scratch memory that\n"
                  " * %s_forward wants, of any alignment. %s_forward gives 0, or 1 + the number of "
                  "the run-time check that failed (an index\n"
                  " * out of range, a division by zero, sizes that the model does not take: then the workspace is -1). Several threads may "
                  "call it, each with a workspace of its own. */\n",
                  h->name, h->name, h->name);
    strbuf_printf(
        h->out,
        "#ifndef NNC_AOT_%s_H\n#define NNC_AOT_%s_H\n#include <stdint.h>\n#include <string.h>\n\n",
        h->name, h->name);
}

static void print_call_layout(Header *h)
{
    strbuf_printf(h->out,
                  "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n"
                  "/* What the object expects; of no interest to a caller. */\n"
                  "typedef struct {\n    const int64_t *dims, *table;\n    void *const *buffers;\n "
                  "   char *arena;\n"
                  "    uint64_t seed, step;\n    void (*parallel)(void);\n    void *pool;\n    "
                  "int64_t *failures;\n"
                  "    void *externs, *extern_users;\n} %s_call;\n"
                  "int64_t %s_plan(const int64_t *dims, int64_t *table);\nvoid %s_step(const "
                  "%s_call *call);\n\n"
                  "#ifdef __cplusplus\n}\n#endif\n\n",
                  h->name, h->name, h->name, h->name);
    strbuf_printf(h->out, "enum { %s_TABLE = %u, %s_CHECKS = %u };\n\n", h->name,
                  h->program->table_size ? h->program->table_size : 1, h->name,
                  h->program->failure_sites);
}

static void print_params(Header *h)
{
    if (!has_params(h)) {
        return;
    }
    strbuf_add(h->out, "typedef struct {\n");
    for (uint32_t i = 0; i < h->program->externals; i++) {
        const ProgramBuffer *buffer = &h->program->buffers.data[i];
        if (is_weight(buffer)) {
            strbuf_add(h->out, "    ");
            print_pointer(h, i);
            strbuf_add(h->out, "; /* ");
            print_note(h, buffer);
            strbuf_add(h->out, " */\n");
        }
    }
    strbuf_printf(h->out, "} %s_params;\n\n", h->name);
}

/* ---- relations of sizes ---- */

static void print_size_functions(Header *h)
{
    if (h->options->relation_count == 0) {
        return;
    }
    strbuf_add(h->out,
               "#ifndef NNC_AOT_SIZES\n#define NNC_AOT_SIZES\n"
               "static inline int64_t nnc_aot_floor(int64_t a, int64_t b) {\n"
               "    return b > 0 ? a / b - (a % b < 0) : -1;\n}\n"
               "static inline int64_t nnc_aot_max(int64_t a, int64_t b) { return a > b ? a : b; }\n"
               "#endif\n\n");
}

/* A comment must not end early. */
static void print_comment(Header *h, const char *text)
{
    for (const char *at = text; *at; at++) {
        strbuf_add_char(h->out, at[0] == '*' && at[1] == '/' ? '.' : *at);
    }
}

/* 0, or 1 + the number of the relation that does not hold. */
static void print_sizes(Header *h)
{
    if (h->options->relation_count == 0) {
        return;
    }
    strbuf_printf(h->out, "static inline int %s_sizes(const int64_t *dims) {\n", h->name);
    for (uint32_t i = 0; i < h->options->relation_count; i++) {
        const AotRelation *relation = &h->options->relations[i];
        strbuf_add(h->out, "    /* ");
        print_comment(h, relation->text);
        strbuf_printf(h->out, " */\n    if (%s != %s) {\n        return %u;\n    }\n", relation->left,
                      relation->right, i + 1);
    }
    strbuf_add(h->out, "    return 0;\n}\n\n");
}

static void print_sizes_test(Header *h, const char *result)
{
    if (h->options->relation_count > 0) {
        strbuf_printf(h->out, "    if (%s_sizes(dims) != 0) {\n        return %s;\n    }\n", h->name,
                      result);
    }
}

/* ---- the two functions ---- */

static void print_dims_array(Header *h)
{
    uint32_t count = h->program->dims.count;
    strbuf_printf(h->out, "    const int64_t dims[%u] = {", count ? count : 1);
    for (uint32_t i = 0; i < count; i++) {
        strbuf_printf(h->out, "%s%s", i ? ", " : "", h->dim_names[i]);
    }
    strbuf_add(h->out, count ? "};\n" : "0};\n");
}

static void print_workspace(Header *h)
{
    strbuf_printf(h->out, "static inline int64_t %s_workspace(", h->name);
    print_dims(h, "");
    strbuf_add(h->out, h->program->dims.count ? ") {\n" : "void) {\n");
    print_dims_array(h);
    print_sizes_test(h, "-1");
    strbuf_printf(h->out,
                  "    int64_t table[%s_TABLE];\n"
                  "    return %s_plan(dims, table) + (int64_t)sizeof(int64_t) * (%s_TABLE + "
                  "%s_CHECKS) + 64 + 8;\n}\n\n",
                  h->name, h->name, h->name, h->name);
}

static void print_forward_head(Header *h)
{
    const char *comma = "";
    strbuf_printf(h->out, "static inline int %s_forward(", h->name);
    if (has_params(h)) {
        strbuf_printf(h->out, "const %s_params *params", h->name);
        comma = ", ";
    }
    print_dims(h, comma);
    comma = *comma || h->program->dims.count ? ", " : "";
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < h->program->externals; i++) {
            if (h->program->buffers.data[i].kind == (pass ? BUFFER_OUTPUT : BUFFER_INPUT)) {
                strbuf_add(h->out, comma);
                print_pointer(h, i);
                comma = ", ";
            }
        }
    }
    strbuf_printf(h->out, "%svoid *workspace) {\n", comma);
}

static void print_buffer_array(Header *h)
{
    uint32_t count = h->program->externals;
    strbuf_printf(h->out, "    void *const buffers[%u] = {", count ? count : 1);
    for (uint32_t i = 0; i < count; i++) {
        const ProgramBuffer *buffer = &h->program->buffers.data[i];
        bool inside = is_weight(buffer) && h->embedded;
        strbuf_add(h->out, i ? ",\n        " : "\n        ");
        if (inside) {
            strbuf_add(h->out, "0");
        } else {
            strbuf_printf(h->out, "(void *)%s%s", is_weight(buffer) ? "params->" : "",
                          h->buffer_names[i]);
        }
    }
    strbuf_add(h->out, count ? "};\n" : "0};\n");
}

static void print_forward(Header *h)
{
    print_forward_head(h);
    print_dims_array(h);
    print_sizes_test(h, arena_format(h->arena, "%s_CHECKS + %s_sizes(dims)", h->name, h->name));
    print_buffer_array(h);
    strbuf_printf(h->out,
                  "    int64_t *table = (int64_t *)(((uintptr_t)workspace + 7) & ~(uintptr_t)7);\n"
                  "    int64_t *failures = table + %s_TABLE;\n"
                  "    uintptr_t at = ((uintptr_t)(failures + %s_CHECKS) + 63) & ~(uintptr_t)63;\n"
                  "    %s_call call;\n"
                  "    memset(&call, 0, sizeof call);\n"
                  "    memset(failures, -1, sizeof(int64_t) * %s_CHECKS);\n"
                  "    %s_plan(dims, table);\n"
                  "    call.dims = dims;\n    call.table = table;\n    call.buffers = buffers;\n   "
                  " call.arena = (char *)at;\n"
                  "    call.failures = failures;\n"
                  "    %s_step(&call);\n"
                  "    for (int i = 0; i < %s_CHECKS; i++) {\n        if (failures[i] != -1) {\n   "
                  "         return 1 + i;\n        }\n    }\n"
                  "    return 0;\n}\n\n",
                  h->name, h->name, h->name, h->name, h->name, h->name, h->name);
}

void aot_header(const KProgram *program, const char *name, const AotOptions *options, StrBuf *out)
{
    Arena *arena = arena_new();
    Header h = {.program = program,
                .name = name,
                .embedded = options->weights != NULL,
                .options = options,
                .out = out,
                .arena = arena};
    choose_names(&h);
    find_written(&h);
    print_top(&h);
    print_call_layout(&h);
    print_params(&h);
    print_size_functions(&h);
    print_sizes(&h);
    print_workspace(&h);
    print_forward(&h);
    strbuf_add(out, "#endif\n");
    arena_free(arena);
}
