/* Files that are whole or not there. A FileWriter collects bytes under a temporary name beside
 * the target, and file_commit makes them durable and visible in one step: fsync, close, rename,
 * fsync of the folder. Whatever fails, or whoever kills the process at whatever moment, the
 * target is what it was or what it was meant to become.
 *
 *   FileWriter file;
 *   if (file_begin(&file, "w.bin") && file_write(&file, data, bytes) && file_commit(&file)) ...
 *   else file.error is the errno of what failed, file.what its name ("write"), and nothing is left behind
 *
 * Interrupted system calls (EINTR) are made again, short writes go on. */
#ifndef NNC_BASE_FILE_H
#define NNC_BASE_FILE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    char *path, *temporary; /* owned; path NULL: the temporary name stays */
    char *block;            /* the bytes since the last full block */
    size_t filled;
    int fd;                 /* -1: closed */
    int64_t bytes;          /* written so far */
    uint64_t hash;          /* after file_commit: file_hash of the contents */
    int error;              /* errno of the first failure, 0: none */
    const char *what;       /* what failed, for a message: "cannot WHAT it" */
} FileWriter;

bool file_begin(FileWriter *file, const char *path);
/* Under its own name, for a folder that is itself renamed when it is complete: file_commit syncs
 * the file and no more. */
bool file_begin_part(FileWriter *file, const char *path);
bool file_write(FileWriter *file, const void *data, size_t bytes);
/* Ends the writer in any case: after a failure (of this or an earlier call) the temporary file
 * is gone. */
bool file_commit(FileWriter *file);

/* The whole of a small file in one call. False: errno. */
bool file_replace(const char *path, const void *data, size_t bytes);
/* Contents, malloc'd, NUL-terminated; NULL: errno (EFBIG: more than `limit` bytes, EINVAL: not a
 * regular file). */
char *file_read(const char *path, size_t limit, size_t *length);
/* The hash of contents that FileWriter computes: rng_hash block by block, each seeded with the
 * one before. */
uint64_t file_hash(const void *data, size_t bytes);

/* Folders. False: errno. */
bool file_sync(int fd);
bool file_rename(const char *from, const char *to); /* files and folders */
bool folder_make(const char *path);          /* with every folder on the way; one that exists is fine */
bool folder_sync(const char *path);          /* a file system that cannot sync folders has done what it can */
bool folder_remove(const char *path);        /* a folder with files in it, no folders; one that is not there is fine */

#endif
