/* Host functions: a C function with a declared signature, called through libffi behind the one form that generated code
 * knows (nnc_extern of abi.h).
 *
 *   "f32(f32, f32)"                        scalar form: called once per element
 *   "void(const f32 *, f32 *, i64, i64)"   buffer form: addresses of arguments and result, then every size, axis by axis */
#include "compiler/driver/handles.h"

#include <ctype.h>
#include <ffi.h>
#include <string.h>

enum { MAX_HOST_ARGS = 32 };

typedef struct {
    ffi_cif cif;
    void (*function)(void);
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
    case DT_U8: return &ffi_type_uint8;
    case DT_I32: return &ffi_type_sint32;
    case DT_I64: return &ffi_type_sint64;
    case DT_F32: return &ffi_type_float;
    case DT_F64: return &ffi_type_double;
    case DT_COUNT: break;
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

/* dims: rank and sizes of every operand and of the result; the product of the result's sizes. */
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

nnc_status nnc_context_extern(nnc_context *context, const char *name, void (*function)(void), const char *signature)
{
    context_begin(context);
    Host *host = ARENA_NEW(context->arena, Host);
    host->function = function;
    if (!function || !read_signature(signature, host) ||
        ffi_prep_cif(&host->cif, FFI_DEFAULT_ABI, (unsigned)host->count,
                     host->buffers ? &ffi_type_void : ffi_of(host->result), host->ffi) != FFI_OK)
        return context_fail(context, NNC_ARGUMENT, ERR_E0902, "the signature of %s is not understood: %s", name, signature);
    vec_push(context->arena, &context->hosts,
             (HostFunction){.name = arena_string(context->arena, name), .function = host_call, .user = host});
    return NNC_OK;
}
