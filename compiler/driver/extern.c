/* Host functions: a C function with a declared signature, called through libffi behind the one form
 * that generated code knows (nnc_extern of abi.h).
 *
 *   "f32(f32, f32)"                        scalar form: called once per element of arguments of
 *                                          one shape
 *   "void(const f32 *, f32 *, i64, i64)"   buffer form: addresses of arguments and result, then
 *                                          every size, axis by axis
 *
 * Before a program is compiled, its calls are held against the signatures that the host gave. */
#include "compiler/driver/handles.h"

#include <ctype.h>
#include <ffi.h>
#include <string.h>

enum { MAX_HOST_ARGS = 32 };

typedef struct {
    ffi_cif cif;
    void (*function)(void);
    const char *signature;
    bool buffers;
    DType result;               /* scalar form */
    int count;                  /* of the C function's arguments */
    int pointers;               /* buffer form: how many come first */
    DType types[MAX_HOST_ARGS]; /* scalar form: of the arguments */
    ffi_type *ffi[MAX_HOST_ARGS];
} Host;

static ffi_type *ffi_of(DType dtype)
{
    switch (dtype) {
    case DT_BOOL:
    case DT_U8:
        return &ffi_type_uint8;
    case DT_I8:
        return &ffi_type_sint8;
    case DT_F16:
    case DT_BF16:
        return &ffi_type_uint16; /* their bits */
    case DT_I32:
        return &ffi_type_sint32;
    case DT_I64:
        return &ffi_type_sint64;
    case DT_F32:
        return &ffi_type_float;
    case DT_F64:
        return &ffi_type_double;
    case DT_COUNT:
        break;
    }
    return NULL;
}

typedef struct {
    const char *at;
    char word[16];
} Reader;

static void skip_spaces(Reader *reader)
{
    while (isspace((unsigned char)*reader->at))
        reader->at++;
}

static bool take(Reader *reader, char c)
{
    skip_spaces(reader);
    if (*reader->at != c)
        return false;
    reader->at++;
    return true;
}

static bool take_word(Reader *reader)
{
    size_t length = 0;
    skip_spaces(reader);
    while (isalnum((unsigned char)*reader->at) && length + 1 < sizeof reader->word)
        reader->word[length++] = *reader->at++;
    reader->word[length] = 0;
    return length > 0;
}

/* One parameter: "f32", "const f32 *", "f32 *", "i64". */
static bool read_parameter(Reader *reader, Host *host)
{
    DType dtype;
    if (!take_word(reader) || (strcmp(reader->word, "const") == 0 && !take_word(reader)))
        return false;
    if (!dtype_from_name(reader->word, &dtype) || host->count == MAX_HOST_ARGS)
        return false;
    bool pointer = take(reader, '*');
    if (pointer && host->count != host->pointers)
        return false; /* sizes come last */
    host->pointers += pointer;
    host->types[host->count] = dtype;
    host->ffi[host->count++] = pointer ? &ffi_type_pointer : ffi_of(dtype);
    return true;
}

static bool forms_agree(const Host *host)
{
    if (!host->buffers)
        return host->pointers == 0 && host->count > 0;
    for (int i = host->pointers; i < host->count; i++)
        if (host->types[i] != DT_I64)
            return false;
    return host->pointers > 0;
}

static bool read_signature(const char *signature, Host *host)
{
    Reader reader = {.at = signature};
    if (!take_word(&reader))
        return false;
    host->buffers = strcmp(reader.word, "void") == 0;
    if ((!host->buffers && !dtype_from_name(reader.word, &host->result)) || !take(&reader, '('))
        return false;
    do {
        if (!read_parameter(&reader, host))
            return false;
    } while (take(&reader, ','));
    if (!take(&reader, ')'))
        return false;
    skip_spaces(&reader);
    return *reader.at == 0 && forms_agree(host);
}

/* Of the result; dims has rank and sizes of every operand before it. */
static int64_t result_elements(const Host *host, const int64_t *dims)
{
    int64_t count = 1;
    for (int i = 0; i < host->count; i++)
        dims += 1 + dims[0];
    for (int64_t axis = 0; axis < dims[0]; axis++)
        count *= dims[1 + axis];
    return count;
}

/* libffi widens small integer results to a word. */
static void store_result(DType dtype, const void *returned, char *out)
{
    if (dtype == DT_I32)
        *(int32_t *)out = (int32_t) * (const ffi_sarg *)returned;
    else if (dtype_bytes(dtype) == 1)
        *(uint8_t *)out = (uint8_t) * (const ffi_arg *)returned;
    else if (dtype_bytes(dtype) == 2)
        *(uint16_t *)out = (uint16_t) * (const ffi_arg *)returned;
    else
        memcpy(out, returned, dtype_bytes(dtype));
}

static void call_per_element(Host *host, const void *const *in, char *out, int64_t count)
{
    union {
        ffi_arg word;
        double number;
        int64_t integer;
    } returned;
    void *arguments[MAX_HOST_ARGS];
    for (int64_t i = 0; i < count; i++, out += dtype_bytes(host->result)) {
        for (int k = 0; k < host->count; k++)
            arguments[k] = (char *)in[k] + (size_t)i * dtype_bytes(host->types[k]);
        ffi_call(&host->cif, host->function, &returned, arguments);
        store_result(host->result, &returned, out);
    }
}

static void call_with_buffers(Host *host, const void *const *in, void *out, const int64_t *dims)
{
    const void *pointers[MAX_HOST_ARGS];
    int64_t sizes[MAX_HOST_ARGS] = {0};
    void *arguments[MAX_HOST_ARGS];
    int size_count = 0;
    for (int k = 0; k < host->pointers; k++) {
        pointers[k] = k + 1 < host->pointers ? in[k] : out;
        arguments[k] = &pointers[k];
        for (int64_t axis = 0; axis < dims[0]; axis++)
            if (size_count < MAX_HOST_ARGS)
                sizes[size_count++] = dims[1 + axis];
        dims += 1 + dims[0];
    }
    for (int k = host->pointers; k < host->count; k++)
        arguments[k] = &sizes[k - host->pointers];
    ffi_call(&host->cif, host->function, NULL, arguments);
}

static void host_call(void *user, const void *const *in, void *const *out, const int64_t *dims)
{
    Host *host = user;
    if (host->buffers)
        call_with_buffers(host, in, out[0], dims);
    else
        call_per_element(host, in, out[0], result_elements(host, dims));
}

nnc_status nnc_context_extern(nnc_context *context, const char *name, void (*function)(void),
                              const char *signature)
{
    context_begin(context);
    if (!name || !function || !signature)
        return context_fail(context, NNC_ARGUMENT, ERR_E0902,
                            "a host function needs a name, an address and a signature");
    Host *host = ARENA_NEW(context->arena, Host);
    host->function = function;
    host->signature = arena_string(context->arena, signature);
    if (!read_signature(signature, host) ||
        ffi_prep_cif(&host->cif, FFI_DEFAULT_ABI, (unsigned)host->count,
                     host->buffers ? &ffi_type_void : ffi_of(host->result), host->ffi) != FFI_OK)
        return context_fail(context, NNC_ARGUMENT, ERR_E0902,
                            "the signature of %s is not understood: %s", name, signature);
    vec_push(context->arena, &context->hosts,
             (HostFunction){
                 .name = arena_string(context->arena, name), .function = host_call, .user = host});
    return NNC_OK;
}

/* ---- Does a host function fit the calls of a graph? ---- */

const HostFunction *extern_find(const CompileOptions *options, const char *name)
{
    for (int i = options->host_count; i-- > 0;)
        if (strcmp(options->hosts[i].name, name) == 0)
            return &options->hosts[i];
    return NULL;
}

static bool same_shape(const Type *a, const Type *b)
{
    bool same = a->rank == b->rank;
    for (int axis = 0; same && axis < a->rank; axis++)
        same = a->dims[axis] == b->dims[axis];
    return same;
}

static bool scalar_fits(const Host *host, const Node *call)
{
    bool fits = host->count == call->nsrc && host->result == call->type.dtype;
    for (int i = 0; fits && i < call->nsrc; i++)
        fits = host->types[i] == call->src[i]->type.dtype &&
               same_shape(&call->src[i]->type, &call->type);
    return fits;
}

static bool buffers_fit(const Host *host, const Node *call)
{
    int sizes = call->type.rank;
    bool fits = host->pointers == call->nsrc + 1 && host->types[call->nsrc] == call->type.dtype;
    for (int i = 0; fits && i < call->nsrc; i++) {
        fits = host->types[i] == call->src[i]->type.dtype;
        sizes += call->src[i]->type.rank;
    }
    return fits && host->count == host->pointers + sizes;
}

/* The program's side of the call: "(f32[B, 3], f32[3]) -> f32[B]" */
static void add_call_type(const Graph *graph, const Node *call, StrBuf *out)
{
    strbuf_add_char(out, '(');
    for (int i = 0; i < call->nsrc; i++) {
        strbuf_add(out, i ? ", " : "");
        type_print(graph->dims, &call->src[i]->type, out);
    }
    strbuf_add(out, ") -> ");
    type_print(graph->dims, &call->type, out);
}

static bool check_call(const Graph *graph, const Node *call, const CompileOptions *options,
                       Diag *diag)
{
    const char *name = call->attr.call.name;
    const HostFunction *found = extern_find(options, name);
    if (!found) {
        DiagItem *item = diag_error(diag, ERR_E0902, call->span, NULL,
                                    "the host gave no function named %s", name);
        diag_help(item, "nnc_context_extern binds a C function before the program runs");
        return false;
    }
    const Host *host = found->user;
    if (host->buffers ? buffers_fit(host, call) : scalar_fits(host, call))
        return true;
    StrBuf type = {0};
    add_call_type(graph, call, &type);
    DiagItem *item = diag_error(diag, ERR_E0902, call->span, NULL,
                                "the host's %s has another signature than the program's", name);
    diag_note(item, (Span){0}, "the program calls it with %s", type.text);
    diag_note(item, (Span){0}, "the host gave \"%s\"", host->signature);
    strbuf_free(&type);
    return false;
}

bool externs_check(const Graph *graph, const CompileOptions *options, Diag *diag)
{
    bool good = true;
    Arena *arena = arena_new();
    const uint8_t *live = graph_live(graph, arena);
    for (uint32_t i = 0; i < graph->nodes.count; i++)
        if (live[i] && graph->nodes.data[i]->op == OP_CALL)
            good &= check_call(graph, graph->nodes.data[i], options, diag);
    arena_free(arena);
    return good;
}
