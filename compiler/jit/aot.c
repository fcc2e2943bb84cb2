/* An object and its header on disk. Embedding weights is a change of the program, not of the code
 * generator: a param whose bytes are known becomes a constant. Files are written whole or not at
 * all. */
#include "compiler/jit/aot.h"

#include "runtime/base/bug.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool fail(char **error, const char *what, const char *detail)
{
    StrBuf text = {0};
    strbuf_printf(&text, what, detail);
    *error = text.text;
    return false;
}

/* ---- files ---- */

static bool write_file(const char *path, const char *data, size_t size, char **error)
{
    FILE *file = fopen(path, "wb");
    bool written = file && fwrite(data, 1, size, file) == size;
    int reason = errno;
    if (file && fclose(file) != 0 && written) {
        written = false;
        reason = errno;
    }
    if (!written) {
        StrBuf text = {0};
        strbuf_printf(&text, "cannot write %s: %s", path, strerror(reason));
        *error = text.text;
        if (file) {
            remove(path);
        }
    }
    return written;
}

/* ---- the program ---- */

static const char *c_name(Arena *arena, const char *name)
{
    char *text =
        arena_format(arena, "%s%s", isdigit((unsigned char)*name) || !*name ? "_" : "", name);
    for (char *c = text; *c; c++) {
        if (!isalnum((unsigned char)*c)) {
            *c = '_';
        }
    }
    return text;
}

static bool embed(KProgram *copy, Arena *arena, const AotOptions *options, char **error)
{
    ProgramBuffer *buffers =
        arena_copy(arena, copy->buffers.data, sizeof *buffers * copy->buffers.count);
    for (uint32_t i = 0; i < copy->externals; i++) {
        if (buffers[i].kind != BUFFER_PARAM && buffers[i].kind != BUFFER_STATE) {
            continue;
        }
        if (!options->weights[i]) {
            return fail(error, "no weights were given for %s", buffers[i].name);
        }
        buffers[i].kind = BUFFER_CONSTANT;
        buffers[i].data = options->weights[i];
        buffers[i].bytes = options->weight_bytes[i];
    }
    copy->buffers.data = buffers;
    return true;
}

/* Constants may not be written: a program that updates its states needs them as arguments. */
static bool writes_constants(const KProgram *program, const char **name)
{
    for (uint32_t i = 0; i < program->launches.count; i++) {
        const Launch *launch = &program->launches.data[i];
        for (uint32_t k = 0; !launch->is_extern && k < launch->args.count; k++) {
            const ProgramBuffer *buffer =
                &program->buffers.data[kprogram_whole(program, launch->args.data[k])];
            if (buffer->kind == BUFFER_CONSTANT &&
                program->kernels.data[launch->kernel]->buffers.data[k].written) {
                *name = buffer->name;
                return true;
            }
        }
    }
    return false;
}

static bool compile(const KProgram *program, const AotOptions *options, const char *name,
                    Arena *arena, ObjectCode *object, char **error)
{
    KProgram copy = *program, *list = &copy;
    const char *written;
    copy.name = name;
    if (program->externs.count) {
        return fail(error, "%s calls a host function, which code made ahead of time cannot do yet",
                    name);
    }
    if (options->weights && !embed(&copy, arena, options, error)) {
        return false;
    }
    if (writes_constants(&copy, &written)) {
        return fail(error, "%s is changed by the program and cannot be embedded", written);
    }
    CodegenOptions how = {
        .triple = options->triple, .cpu = options->cpu, .features = options->features};
    return codegen_object(&list, 1, &how, object, error);
}

bool aot_write(const KProgram *program, const AotOptions *options, const char *object_path,
               const char *header_path, char **error)
{
    Arena *arena = arena_new();
    const char *name = c_name(arena, options->name ? options->name : program->name);
    ObjectCode object = {0};
    bool done = compile(program, options, name, arena, &object, error);
    if (done) {
        StrBuf header = {0};
        aot_header(program, name, options, &header);
        done = write_file(object_path, object.data, object.size, error);
        if (done && !write_file(header_path, header.text, header.length, error)) {
            remove(object_path);
            done = false;
        }
        strbuf_free(&header);
    }
    codegen_object_free(&object);
    arena_free(arena);
    return done;
}
