/* .npz: a zip archive with one .npy file per array. The directory at the end is the truth; an
 * entry is found by name, its local header is only skipped, its bytes are copied or inflated and
 * must match the checksum. Archives above 4 GiB (zip64) and encrypted ones are refused. Layout:
 * PKWARE, "APPNOTE.TXT", sections 4.3.7, 4.3.12 and 4.3.16. */
#include "runtime/data/reader.h"

#include "runtime/base/strbuf.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { END_BYTES = 22, DIRECTORY_BYTES = 46, LOCAL_BYTES = 30, LONGEST_COMMENT = 65535 };
#define END_MARK 0x06054B50u
#define DIRECTORY_MARK 0x02014B50u
#define LOCAL_MARK 0x04034B50u

typedef struct {
    const char *path, *bytes;
    size_t length;
    size_t directory_at, directory_end;
    uint32_t entries;
    Span span;
    Diag *diag;
} Archive;

typedef struct {
    const char *name;
    uint32_t name_length;
    uint32_t flags, method, checksum;
    uint64_t packed, unpacked, local_at;
} Entry;

static uint32_t u16_at(const Archive *archive, size_t at)
{
    const unsigned char *b = (const unsigned char *)archive->bytes + at;
    return b[0] | (uint32_t)b[1] << 8;
}

static uint32_t u32_at(const Archive *archive, size_t at)
{
    return u16_at(archive, at) | u16_at(archive, at + 2) << 16;
}

static bool damaged(const Archive *archive, const char *what)
{
    diag_error(archive->diag, ERR_E0614, archive->span, NULL, "%s: %s", archive->path, what);
    return false;
}

/* The end record is the last one whose comment reaches exactly to the end of the file. */
static bool find_directory(Archive *archive)
{
    size_t lowest = archive->length > END_BYTES + LONGEST_COMMENT
                        ? archive->length - END_BYTES - LONGEST_COMMENT
                        : 0;
    for (size_t at = archive->length < END_BYTES ? 0 : archive->length - END_BYTES + 1;
         at-- > lowest;) {
        if (u32_at(archive, at) != END_MARK ||
            u16_at(archive, at + 20) != archive->length - at - END_BYTES) {
            continue;
        }
        uint64_t size = u32_at(archive, at + 12), begin = u32_at(archive, at + 16);
        if (begin == UINT32_MAX || u16_at(archive, at + 10) == UINT16_MAX) {
            return damaged(archive, "archives of 4 GiB and more are not supported");
        }
        if (begin + size > at) {
            return damaged(archive, "the directory of the archive is damaged");
        }
        archive->entries = u16_at(archive, at + 10);
        archive->directory_at = (size_t)begin;
        archive->directory_end = (size_t)(begin + size);
        return true;
    }
    return damaged(archive, "this is not a zip archive, or its end is missing");
}

/* The entry at *at of the directory; moves on to the next. */
static bool read_entry(const Archive *archive, size_t *at, Entry *entry)
{
    if (archive->directory_end - *at < DIRECTORY_BYTES || u32_at(archive, *at) != DIRECTORY_MARK) {
        return damaged(archive, "the directory of the archive is damaged");
    }
    entry->flags = u16_at(archive, *at + 8);
    entry->method = u16_at(archive, *at + 10);
    entry->checksum = u32_at(archive, *at + 16);
    entry->packed = u32_at(archive, *at + 20);
    entry->unpacked = u32_at(archive, *at + 24);
    entry->name_length = u16_at(archive, *at + 28);
    entry->local_at = u32_at(archive, *at + 42);
    entry->name = archive->bytes + *at + DIRECTORY_BYTES;
    size_t rest =
        (size_t)entry->name_length + u16_at(archive, *at + 30) + u16_at(archive, *at + 32);
    if (archive->directory_end - *at - DIRECTORY_BYTES < rest) {
        return damaged(archive, "the directory of the archive is damaged");
    }
    *at += DIRECTORY_BYTES + rest;
    return true;
}

/* Is the entry called NAME.npy? */
static bool has_name(const Entry *entry, const char *name)
{
    size_t length = strlen(name);
    return entry->name_length == length + 4 && memcmp(entry->name, name, length) == 0 &&
           memcmp(entry->name + length, ".npy", 4) == 0;
}

static bool missing(const Archive *archive, const char *name)
{
    StrBuf names = {0};
    size_t at = archive->directory_at;
    Entry entry = {0};
    for (uint32_t i = 0; i < archive->entries && i < 10 && read_entry(archive, &at, &entry); i++) {
        bool is_npy =
            entry.name_length > 4 && memcmp(entry.name + entry.name_length - 4, ".npy", 4) == 0;
        strbuf_add(&names, i ? ", " : "");
        strbuf_add_bytes(&names, entry.name, entry.name_length - (is_npy ? 4 : 0));
    }
    DiagItem *item = diag_error(archive->diag, ERR_E0614, archive->span, NULL, "%s has no array %s",
                                archive->path, name);
    diag_help(item, "it has %s", names.text ? names.text : "none");
    strbuf_free(&names);
    return false;
}

static bool find_entry(const Archive *archive, const char *name, Entry *found)
{
    size_t at = archive->directory_at;
    bool seen = false;
    for (uint32_t i = 0; i < archive->entries; i++) {
        Entry entry;
        if (!read_entry(archive, &at, &entry)) {
            return false;
        }
        if (has_name(&entry, name)) {
            if (seen) {
                return damaged(archive, "an array occurs twice in the archive");
            }
            seen = true;
            *found = entry;
        }
    }
    return seen || missing(archive, name);
}

/* Where the packed bytes of an entry are. */
static bool locate(const Archive *archive, const Entry *entry, size_t *data_at)
{
    if (entry->flags & 1) {
        return damaged(archive, "the archive is encrypted");
    }
    if (entry->packed == UINT32_MAX || entry->unpacked == UINT32_MAX ||
        entry->local_at == UINT32_MAX) {
        return damaged(archive, "archives of 4 GiB and more are not supported");
    }
    if (entry->local_at + LOCAL_BYTES > archive->directory_at ||
        u32_at(archive, (size_t)entry->local_at) != LOCAL_MARK) {
        return damaged(archive, "an entry of the archive is damaged");
    }
    size_t at = (size_t)entry->local_at;
    *data_at = at + LOCAL_BYTES + u16_at(archive, at + 26) + u16_at(archive, at + 28);
    if (*data_at > archive->directory_at || entry->packed > archive->directory_at - *data_at) {
        return damaged(archive, "an entry of the archive is damaged");
    }
    return true;
}

/* Deflate cannot pack better than about 1 to 1032, so that a wrong length is refused before
 * memory is asked for. */
static bool extract(const Archive *archive, const Entry *entry, Bytes *file)
{
    size_t data_at;
    if (!locate(archive, entry, &data_at)) {
        return false;
    }
    bool stored = entry->method == 0;
    if (!stored && entry->method != 8) {
        return damaged(archive, "an entry of the archive is packed by another method than deflate");
    }
    if (stored ? entry->packed != entry->unpacked : entry->unpacked / 1100 > entry->packed) {
        return damaged(archive, "an entry of the archive has a wrong length");
    }
    file->length = (size_t)entry->unpacked;
    file->data = malloc(file->length + 1);
    if (!file->data) {
        diag_error(archive->diag, ERR_E0617, archive->span, NULL, "%s does not fit into memory",
                   archive->path);
        return false;
    }
    const char *packed = archive->bytes + data_at;
    bool whole = true;
    if (stored) {
        memcpy(file->data, packed, file->length);
    } else {
        whole = bytes_inflate(packed, (size_t)entry->packed, file->length, file->data);
    }
    if (!whole || crc32(0, (const Bytef *)file->data, (uInt)file->length) != entry->checksum) {
        free(file->data);
        return damaged(archive, "an entry of the archive fails its checksum");
    }
    return true;
}

static bool read_array(const Archive *archive, const DataField *fields, int i, DataTable *table)
{
    const char *name = fields[i].where ? fields[i].where : fields[i].name;
    Entry entry = {0};
    Bytes file;
    if (!find_entry(archive, name, &entry) || !extract(archive, &entry, &file)) {
        return false;
    }
    StrBuf shown = {0};
    strbuf_printf(&shown, "%s, %s", archive->path, name);
    bool done = npy_column(shown.text, file.data, file.length, fields, i, table, archive->diag);
    strbuf_free(&shown);
    free(file.data);
    return done;
}

DataTable *npz_read(DataFile file, const DataField *fields, int count, Diag *diag)
{
    Bytes bytes;
    if (!bytes_read(file.path, file.span, diag, &bytes)) {
        return NULL;
    }
    Archive archive = {.path = file.path,
                       .bytes = bytes.data,
                       .length = bytes.length,
                       .span = file.span,
                       .diag = diag};
    DataTable *table = table_new(0, count);
    bool done = table && find_directory(&archive);
    for (int i = 0; done && i < count; i++) {
        done = read_array(&archive, fields, i, table);
    }
    free(bytes.data);
    if (!done) {
        table_free(table);
        return NULL;
    }
    return table;
}
