/* Atomic files (file.h). The temporary name has the process in it, so that two writers never
 * share one; a process that was killed leaves its temporary file behind, and whoever owns the
 * folder removes what has ".tmp-" in its name. */
#include "runtime/base/file.h"

#include "runtime/base/rng.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK_BYTES = 1 << 18 };

static int open_again(const char *path, int flags)
{
    int fd;
    do
        fd = open(path, flags | O_CLOEXEC, 0666);
    while (fd < 0 && errno == EINTR);
    return fd;
}

bool file_sync(int fd)
{
    int result;
    do
        result = fsync(fd);
    while (result != 0 && errno == EINTR);
    return result == 0;
}

/* After an interrupted close the descriptor is gone and the data, synced before, is where it
 * belongs. */
static bool close_once(int fd)
{
    return close(fd) == 0 || errno == EINTR;
}

bool file_rename(const char *from, const char *to)
{
    int result;
    do
        result = rename(from, to);
    while (result != 0 && errno == EINTR);
    return result == 0;
}

static bool fail(FileWriter *file, const char *what)
{
    if (!file->error) {
        file->error = errno ? errno : EIO;
        file->what = what;
    }
    return false;
}

static bool begin(FileWriter *file)
{
    file->block = malloc(BLOCK_BYTES);
    if (!file->temporary || !file->block) {
        errno = ENOMEM;
        return fail(file, "write");
    }
    file->fd = open_again(file->temporary, O_WRONLY | O_CREAT | O_TRUNC);
    return file->fd >= 0 || fail(file, "create");
}

bool file_begin(FileWriter *file, const char *path)
{
    *file = (FileWriter){.path = strdup(path), .fd = -1};
    if (!file->path || asprintf(&file->temporary, "%s.tmp-%ld", path, (long)getpid()) < 0)
        file->temporary = NULL;
    return begin(file);
}

bool file_begin_part(FileWriter *file, const char *path)
{
    *file = (FileWriter){.temporary = strdup(path), .fd = -1};
    return begin(file);
}

static bool write_block(FileWriter *file)
{
    file->hash = rng_hash(file->block, file->filled, file->hash);
    for (size_t at = 0; at < file->filled;) {
        ssize_t done = write(file->fd, file->block + at, file->filled - at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done == 0)
            errno = EIO;
        if (done <= 0)
            return fail(file, "write");
        at += (size_t)done;
    }
    file->filled = 0;
    return true;
}

bool file_write(FileWriter *file, const void *data, size_t bytes)
{
    const char *from = data;
    while (bytes > 0 && !file->error) {
        size_t room = BLOCK_BYTES - file->filled, now = bytes < room ? bytes : room;
        memcpy(file->block + file->filled, from, now);
        file->filled += now;
        file->bytes += (int64_t)now;
        from += now;
        bytes -= now;
        if (file->filled == BLOCK_BYTES && !write_block(file))
            return false;
    }
    return !file->error;
}

static bool sync_folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = !slash ? strdup(".") : strndup(path, slash == path ? 1 : (size_t)(slash - path));
    bool done = folder && folder_sync(folder);
    int reason = folder ? errno : ENOMEM;
    free(folder);
    errno = reason;
    return done;
}

bool file_commit(FileWriter *file)
{
    bool good = !file->error;
    if (good && file->filled > 0)
        good = write_block(file);
    if (good && !file_sync(file->fd))
        good = fail(file, "sync");
    if (file->fd >= 0 && !close_once(file->fd) && good)
        good = fail(file, "close");
    if (good && file->path && !file_rename(file->temporary, file->path))
        good = fail(file, "rename");
    if (!good && file->fd >= 0)
        unlink(file->temporary);
    if (good && file->path && !sync_folder_of(file->path))
        good = fail(file, "sync the folder of");
    file->fd = -1;
    free(file->block);
    free(file->temporary);
    free(file->path);
    file->block = file->temporary = file->path = NULL;
    return good;
}

bool file_replace(const char *path, const void *data, size_t bytes)
{
    FileWriter file;
    if (file_begin(&file, path))
        file_write(&file, data, bytes);
    bool done = file_commit(&file);
    if (!done)
        errno = file.error;
    return done;
}

static char *read_open(int fd, size_t limit, size_t *length)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return NULL;
    if (!S_ISREG(status.st_mode) || (uint64_t)status.st_size > limit) {
        errno = S_ISREG(status.st_mode) ? EFBIG : EINVAL;
        return NULL;
    }
    char *text = malloc((size_t)status.st_size + 1);
    size_t used = 0;
    while (text && used < (size_t)status.st_size) {
        ssize_t got = read(fd, text + used, (size_t)status.st_size - used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            errno = got == 0 ? EIO : errno;
            free(text);
            return NULL;
        }
        used += (size_t)got;
    }
    if (text)
        text[used] = 0;
    *length = used;
    return text;
}

char *file_read(const char *path, size_t limit, size_t *length)
{
    int fd = open_again(path, O_RDONLY);
    if (fd < 0)
        return NULL;
    char *text = read_open(fd, limit, length);
    int reason = errno;
    close(fd);
    errno = reason;
    return text;
}

uint64_t file_hash(const void *data, size_t bytes)
{
    const char *at = data;
    uint64_t hash = 0;
    for (size_t now; bytes > 0; at += now, bytes -= now) {
        now = bytes < BLOCK_BYTES ? bytes : BLOCK_BYTES;
        hash = rng_hash(at, now, hash);
    }
    return hash;
}

static bool make_one(const char *path)
{
    struct stat status;
    int result;
    do
        result = mkdir(path, 0777);
    while (result != 0 && errno == EINTR);
    if (result == 0)
        return true;
    int reason = errno;
    if (reason == EEXIST && stat(path, &status) == 0 && S_ISDIR(status.st_mode))
        return true;
    errno = reason;
    return false;
}

bool folder_make(const char *path)
{
    char *copy = strdup(path);
    bool good = copy != NULL;
    struct stat status;
    for (char *p = copy; good && *p; p++)
        if (*p == '/' && p != copy) {
            *p = 0;
            good = (stat(copy, &status) == 0 && S_ISDIR(status.st_mode)) || make_one(copy);
            *p = '/';
        }
    good = good && make_one(copy);
    int reason = errno;
    free(copy);
    errno = reason;
    return good;
}

bool folder_sync(const char *path)
{
    int fd = open_again(path, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return false;
    bool done = file_sync(fd) || errno == EINVAL || errno == ENOTSUP || errno == EROFS;
    int reason = errno;
    close(fd);
    errno = reason;
    return done;
}

bool folder_remove(const char *path)
{
    DIR *folder = opendir(path);
    if (!folder)
        return errno == ENOENT;
    int fd = dirfd(folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            (void)unlinkat(fd, entry->d_name, 0);
    closedir(folder);
    return rmdir(path) == 0;
}
