/* Files into memory. gzip is recognised by its first two bytes; several members one after the
 * other are one file, as gunzip has it. Memory grows with what has really been read, never with
 * what a header promises. */
#include "runtime/data/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

typedef struct {
    Bytes bytes;
    size_t capacity;
} Growing;

/* Room for at least `wanted` more bytes and the final NUL. */
static bool make_room(Growing *growing, size_t wanted)
{
    size_t needed = growing->bytes.length + wanted + 1;
    if (needed <= growing->capacity) {
        return true;
    }
    size_t larger = growing->capacity * 2 > needed ? growing->capacity * 2 : needed;
    char *data = larger < (size_t)LARGEST_DATA ? realloc(growing->bytes.data, larger) : NULL;
    if (!data) {
        return false;
    }
    growing->bytes.data = data;
    growing->capacity = larger;
    return true;
}

static bool too_large(const char *path, Span span, Diag *diag)
{
    diag_error(diag, ERR_E0617, span, NULL, "%s does not fit into memory", path);
    return false;
}

static bool system_error(const char *path, Span span, Diag *diag)
{
    DiagItem *item =
        diag_error(diag, ERR_E0600, span, NULL, "cannot read %s: %s", path, strerror(errno));
    if (errno == ENOENT) {
        diag_help(item, "paths are relative to the program's file");
    }
    return false;
}

static bool read_descriptor(int fd, const char *path, Span span, Diag *diag, Growing *growing)
{
    for (;;) {
        if (!make_room(growing, 1 << 16)) {
            return too_large(path, span, diag);
        }
        size_t room = growing->capacity - growing->bytes.length - 1;
        ssize_t got = read(fd, growing->bytes.data + growing->bytes.length, room);
        if (got == 0) {
            return true;
        }
        if (got < 0 && errno != EINTR) {
            return system_error(path, span, diag);
        }
        growing->bytes.length += got > 0 ? (size_t)got : 0;
    }
}

static bool read_file(const char *path, Span span, Diag *diag, Growing *growing)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return system_error(path, span, diag);
    }
    struct stat status;
    bool done = false;
    if (fstat(fd, &status) != 0) {
        system_error(path, span, diag);
    } else if (!S_ISREG(status.st_mode) && !S_ISFIFO(status.st_mode)) {
        diag_error(diag, ERR_E0600, span, NULL, "cannot read %s: it is %s", path,
                   S_ISDIR(status.st_mode) ? "a folder" : "not a file");
    } else if (status.st_size >= LARGEST_DATA || !make_room(growing, (size_t)status.st_size)) {
        too_large(path, span, diag);
    } else {
        done = read_descriptor(fd, path, span, diag, growing);
    }
    close(fd);
    return done;
}

static bool damaged(const char *path, Span span, Diag *diag, const char *what)
{
    diag_error(diag, ERR_E0615, span, NULL, "%s: %s", path, what);
    return false;
}

/* One member of the stream; the next one, if any, follows at stream->next_in. */
static bool inflate_member(z_stream *stream, const char *path, Span span, Diag *diag, Growing *out,
                           const char *end)
{
    for (;;) {
        if (!make_room(out, 1 << 16)) {
            return too_large(path, span, diag);
        }
        size_t room = out->capacity - out->bytes.length - 1;
        stream->avail_out = room < UINT_MAX ? (uInt)room : UINT_MAX;
        stream->next_out = (Bytef *)out->bytes.data + out->bytes.length;
        size_t left = (size_t)(end - (const char *)stream->next_in);
        stream->avail_in = left < UINT_MAX ? (uInt)left : UINT_MAX;
        uInt offered = stream->avail_out;
        int result = inflate(stream, Z_NO_FLUSH);
        out->bytes.length += offered - stream->avail_out;
        if (result == Z_STREAM_END) {
            return true;
        }
        if (result == Z_BUF_ERROR ||
            (result == Z_OK && (const char *)stream->next_in == end && stream->avail_out > 0)) {
            return damaged(path, span, diag, "the gzip data ends too early");
        }
        if (result != Z_OK) {
            return damaged(path, span, diag, "the gzip data is damaged");
        }
    }
}

static bool is_gzip(const char *data, size_t length)
{
    return length >= 2 && (unsigned char)data[0] == 0x1F && (unsigned char)data[1] == 0x8B;
}

static bool unpack(const char *path, Span span, Diag *diag, const Bytes *packed, Growing *out)
{
    z_stream stream = {0};
    if (inflateInit2(&stream, 15 + 16) != Z_OK) {
        return too_large(path, span, diag);
    }
    const char *end = packed->data + packed->length;
    stream.next_in = (Bytef *)packed->data;
    bool done = true;
    while (done && (const char *)stream.next_in < end) {
        size_t left = (size_t)(end - (const char *)stream.next_in);
        if (!is_gzip((const char *)stream.next_in, left)) {
            done = damaged(path, span, diag, "there is something after the end of the gzip data");
        } else {
            inflateReset(&stream);
            done = inflate_member(&stream, path, span, diag, out, end);
        }
    }
    inflateEnd(&stream);
    return done;
}

bool bytes_read(const char *path, Span span, Diag *diag, Bytes *bytes)
{
    Growing file = {0};
    bool done = read_file(path, span, diag, &file);
    if (done && is_gzip(file.bytes.data, file.bytes.length)) {
        Growing unpacked = {0};
        done = unpack(path, span, diag, &file.bytes, &unpacked);
        free(file.bytes.data);
        file = unpacked;
    }
    if (!done) {
        free(file.bytes.data);
        return false;
    }
    *bytes = file.bytes;
    bytes->data[bytes->length] = '\0';
    return true;
}

bool bytes_inflate(const char *packed, size_t packed_length, size_t length, char *out)
{
    if (packed_length > UINT_MAX || length > UINT_MAX) {
        return false;
    }
    z_stream stream = {0};
    if (inflateInit2(&stream, -15) != Z_OK) {
        return false;
    }
    Bytef nothing;
    stream.next_in = (Bytef *)packed;
    stream.avail_in = (uInt)packed_length;
    stream.next_out = length ? (Bytef *)out : &nothing;
    stream.avail_out = (uInt)length;
    int result = inflate(&stream, Z_FINISH);
    bool whole = result == Z_STREAM_END && stream.avail_out == 0 && stream.avail_in == 0;
    inflateEnd(&stream);
    return whole;
}
