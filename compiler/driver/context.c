/* Contexts: threads, diagnostics and host functions, shared by the programs made from them. */
#include "compiler/driver/handles.h"

#include <stdlib.h>
#include <string.h>

#define VERSION "0.1.0"

enum { MOST_THREADS = 1024 };

const char *nnc_version(void)
{
    return VERSION;
}

const char *nnc_status_text(nnc_status status)
{
    switch (status) {
#define STATUS_TEXT(name, code, text)                                                              \
    case NNC_##name:                                                                               \
        return text;
        NNC_STATUS_MAP(STATUS_TEXT)
#undef STATUS_TEXT
    }
    return "no such status";
}

static const char *const pages[] = {
#define ERR(code, slug, title, page) [ERR_##code] = #code " (" slug "): " title "\n\n" page,
#include "runtime/base/errors.def"
};

const char *nnc_explain(const char *code)
{
    ErrorCode found;
    return code && error_from_text(code, &found) ? pages[found] : NULL;
}

void nnc_free(void *memory)
{
    free(memory);
}

bool options_copy(void *to, size_t known, const void *given)
{
    size_t size = known;
    memset(to, 0, known);
    if (!given)
        return true;
    memcpy(&size, given, sizeof size);
    if (size < sizeof size)
        return false;
    memcpy(to, given, size < known ? size : known);
    return true;
}

nnc_status nnc_context_new(const nnc_context_options *given, nnc_context **out)
{
    nnc_context_options options;
    if (!options_copy(&options, sizeof options, given) || options.threads < 0 ||
        options.threads > MOST_THREADS || options.cache_bytes < 0)
        return NNC_ARGUMENT;
    nnc_context *context = calloc(1, sizeof *context);
    if (!context)
        return NNC_MEMORY;
    context->references = 1;
    context->threads = options.threads > 0 ? options.threads : pool_cpus();
    if (context->threads > 1)
        context->pool = pool_new(context->threads, true);
    if (options.cache_dir && options.cache_dir[0])
        context->cache = code_cache_open(options.cache_dir, options.cache_bytes);
    if (context->cache)
        context->store = code_cache_store(context->cache);
    context->arena = arena_new();
    context->sources = source_map_new();
    context->library = sema_library_new();
    context->diag = diag_new(context->sources);
    *out = context;
    return NNC_OK;
}

void context_hold(nnc_context *context)
{
    context->references++;
}

void nnc_context_release(nnc_context *context)
{
    if (!context || --context->references > 0)
        return;
    jit_free(context->jit);
    code_cache_close(context->cache);
    pool_free(context->pool);
    diag_free(context->diag);
    source_map_free(context->sources);
    sema_library_free(context->library);
    strbuf_free(&context->rendered);
    arena_free(context->arena);
    free(context);
}

void nnc_cache_size(const char *cache_dir, int64_t *files, int64_t *bytes)
{
    CodeCacheSize size = code_cache_size(cache_dir);
    *files = size.files;
    *bytes = size.bytes;
}

nnc_status nnc_cache_clear(const char *cache_dir)
{
    return code_cache_clear(cache_dir) ? NNC_OK : NNC_DATA;
}

const char *nnc_diagnostics(nnc_context *context, nnc_format format)
{
    strbuf_clear(&context->rendered);
    if (format == NNC_JSON)
        diag_render_json(context->diag, &context->rendered);
    else
        diag_render_text(context->diag, &context->rendered, format == NNC_TEXT_COLOUR);
    return context->rendered.text ? context->rendered.text : "";
}

void context_begin(nnc_context *context)
{
    diag_clear(context->diag);
    source_collect(context->sources);
    context->refused = false;
}

nnc_status context_data_status(const nnc_context *context)
{
    return context->refused ? NNC_MEMORY : NNC_DATA;
}

nnc_status context_fail(nnc_context *context, nnc_status status, ErrorCode code, const char *format,
                        ...)
{
    StrBuf text = {0};
    va_list args;
    va_start(args, format);
    strbuf_vprintf(&text, format, args);
    va_end(args);
    diag_error(context->diag, code, (Span){0}, NULL, "%s", text.text);
    strbuf_free(&text);
    return status;
}

Jit *context_jit(nnc_context *context)
{
    char *error = NULL;
    if (!context->jit && !(context->jit = jit_new(&error)))
        context_fail(context, NNC_UNSUPPORTED, ERR_E0904, "no machine code can be made: %s",
                     error ? error : "unknown");
    free(error);
    return context->jit;
}
