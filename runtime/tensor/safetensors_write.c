/* Writing safetensors through a FileWriter, so that a crash at any moment leaves either the old
 * file or the new one. */
#include "runtime/base/bug.h"
#include "runtime/base/strbuf.h"
#include "runtime/tensor/safetensors.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "elements are written as they are in memory");

static const char *type_text(DType dtype)
{
    static const char *const names[DT_COUNT] = {
        [DT_BOOL] = "BOOL", [DT_U8] = "U8", [DT_I32] = "I32", [DT_I64] = "I64",  [DT_F32] = "F32",
        [DT_F64] = "F64",   [DT_I8] = "I8", [DT_F16] = "F16", [DT_BF16] = "BF16"};
    return names[dtype];
}

static size_t entry_bytes(const SafeEntry *entry)
{
    int64_t count;
    size_t bytes;
    if (!tensor_measure(entry->dtype, entry->rank, entry->sizes, &count, &bytes)) {
        NNC_BUG("a tensor to be saved has an impossible shape");
    }
    return bytes;
}

static int by_size_and_name(const void *a, const void *b)
{
    const SafeEntry *x = *(const SafeEntry *const *)a, *y = *(const SafeEntry *const *)b;
    size_t x_bytes = dtype_bytes(x->dtype), y_bytes = dtype_bytes(y->dtype);
    if (x_bytes != y_bytes) {
        return x_bytes > y_bytes ? -1 : 1;
    }
    return strcmp(x->name, y->name);
}

static int by_key(const void *a, const void *b)
{
    return strcmp((*(const SafeMetadata *const *)a)->key, (*(const SafeMetadata *const *)b)->key);
}

static void add_metadata(StrBuf *header, const SafeMetadata *metadata, int count,
                         const SafeMetadata **order)
{
    for (int i = 0; i < count; i++) {
        order[i] = &metadata[i];
    }
    qsort(order, (size_t)count, sizeof *order, by_key);
    strbuf_add(header, "\"__metadata__\":{");
    for (int i = 0; i < count; i++) {
        strbuf_add(header, i ? "," : "");
        strbuf_add_json(header, order[i]->key);
        strbuf_add_char(header, ':');
        strbuf_add_json(header, order[i]->value);
    }
    strbuf_add_char(header, '}');
}

static void add_entry(StrBuf *header, const SafeEntry *entry, size_t *offset)
{
    size_t end = *offset + entry_bytes(entry);
    strbuf_add_json(header, entry->name);
    strbuf_printf(header, ":{\"dtype\":\"%s\",\"shape\":[", type_text(entry->dtype));
    for (int axis = 0; axis < entry->rank; axis++) {
        strbuf_printf(header, "%s%lld", axis ? "," : "", (long long)entry->sizes[axis]);
    }
    strbuf_printf(header, "],\"data_offsets\":[%zu,%zu]}", *offset, end);
    *offset = end;
}

/* The header, padded with spaces so that the data begins at a multiple of 64. */
static void build_header(StrBuf *header, const SafeEntry **order, int count,
                         const SafeMetadata *metadata, int metadata_count,
                         const SafeMetadata **metadata_order)
{
    size_t offset = 0;
    strbuf_add_char(header, '{');
    if (metadata_count) {
        add_metadata(header, metadata, metadata_count, metadata_order);
    }
    for (int i = 0; i < count; i++) {
        strbuf_add(header, i || metadata_count ? "," : "");
        add_entry(header, order[i], &offset);
    }
    strbuf_add_char(header, '}');
    while ((8 + header->length) % 64 != 0) {
        strbuf_add_char(header, ' ');
    }
}

static void write_contents(FileWriter *file, const StrBuf *header, const SafeEntry **order, int count)
{
    unsigned char length[8];
    for (int i = 0; i < 8; i++) {
        length[i] = (unsigned char)((uint64_t)header->length >> (8 * i));
    }
    file_write(file, length, 8);
    file_write(file, header->text, header->length);
    for (int i = 0; i < count; i++) {
        file_write(file, order[i]->data, entry_bytes(order[i]));
    }
}

bool safetensors_write_into(FileWriter *file, const SafeEntry *entries, int count,
                            const SafeMetadata *metadata, int metadata_count)
{
    Arena *arena = arena_new();
    const SafeEntry **order = ARENA_ARRAY(arena, const SafeEntry *, count + 1);
    const SafeMetadata **metadata_order =
        ARENA_ARRAY(arena, const SafeMetadata *, metadata_count + 1);
    for (int i = 0; i < count; i++) {
        order[i] = &entries[i];
    }
    qsort(order, (size_t)count, sizeof *order, by_size_and_name);
    for (int i = 1; i < count; i++) {
        if (strcmp(order[i - 1]->name, order[i]->name) == 0) {
            NNC_BUG("two tensors to be saved are called %s", order[i]->name);
        }
    }
    StrBuf header = {0};
    build_header(&header, order, count, metadata, metadata_count, metadata_order);
    write_contents(file, &header, order, count);
    strbuf_free(&header);
    arena_free(arena);
    return file->error == 0;
}

bool safetensors_write(const char *path, const SafeEntry *entries, int count,
                       const SafeMetadata *metadata, int metadata_count, Diag *diag, Span span)
{
    FileWriter file;
    if (file_begin(&file, path)) {
        safetensors_write_into(&file, entries, count, metadata, metadata_count);
    }
    bool done = file_commit(&file);
    if (!done) {
        diag_error(diag, ERR_E0700, span, NULL, "%s: cannot %s it: %s", path, file.what,
                   strerror(file.error));
    }
    return done;
}
