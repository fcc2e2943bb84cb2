/* Writing safetensors so that a crash at any moment leaves either the old file or the new one: a temporary name in the same
 * folder, fsync, rename, fsync of the folder. */
#include "runtime/base/bug.h"
#include "runtime/base/strbuf.h"
#include "runtime/tensor/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "elements are written as they are in memory");

static const char *type_text(DType dtype)
{
    static const char *const names[DT_COUNT] = {
        [DT_BOOL] = "BOOL", [DT_U8] = "U8",   [DT_I32] = "I32",
        [DT_I64] = "I64",   [DT_F32] = "F32", [DT_F64] = "F64"};
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

static int write_all(int fd, const void *data, size_t bytes)
{
    const char *at = data;
    while (bytes) {
        ssize_t done = write(fd, at, bytes < ((size_t)1 << 30) ? bytes : (size_t)1 << 30);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done < 0) {
            return -1;
        }
        at += done;
        bytes -= (size_t)done;
    }
    return 0;
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

static int write_contents(int fd, const StrBuf *header, const SafeEntry **order, int count)
{
    unsigned char length[8];
    for (int i = 0; i < 8; i++) {
        length[i] = (unsigned char)((uint64_t)header->length >> (8 * i));
    }
    if (write_all(fd, length, 8) != 0 || write_all(fd, header->text, header->length) != 0) {
        return -1;
    }
    for (int i = 0; i < count; i++) {
        if (write_all(fd, order[i]->data, entry_bytes(order[i])) != 0) {
            return -1;
        }
    }
    return fsync(fd);
}

/* The rename is durable when the folder is; a file system that cannot sync folders has done what it can. */
static void sync_folder(const char *path, Arena *arena)
{
    const char *slash = strrchr(path, '/');
    const char *folder = !slash          ? "."
                         : slash == path ? "/"
                                         : arena_substring(arena, path, (size_t)(slash - path));
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
}

static bool replace_file(const char *path, const StrBuf *header, const SafeEntry **order, int count,
                         Arena *arena)
{
    const char *temporary = arena_format(arena, "%s.tmp-%ld", path, (long)getpid());
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
        return false;
    }
    bool done = write_contents(fd, header, order, count) == 0;
    int reason = errno;
    if (close(fd) != 0 && done) {
        done = false;
        reason = errno;
    }
    if (done && rename(temporary, path) != 0) {
        done = false;
        reason = errno;
    }
    if (!done) {
        unlink(temporary);
        errno = reason;
        return false;
    }
    sync_folder(path, arena);
    return true;
}

bool safetensors_write(const char *path, const SafeEntry *entries, int count,
                       const SafeMetadata *metadata, int metadata_count, Diag *diag, Span span)
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
    bool done = replace_file(path, &header, order, count, arena);
    if (!done) {
        diag_error(diag, ERR_E0700, span, NULL, "%s: cannot write it: %s", path, strerror(errno));
    }
    strbuf_free(&header);
    arena_free(arena);
    return done;
}
