/* The cache of objects: a folder with one file per key.
 *
 *   0f3a..c1.nnc        "nncobj1\n", key, bytes, checksum, then the object
 *   0f3a..c1.PID.N.tmp  being written; left over from a process that died, it goes when it is old
 *
 * A file's time of change is when it was used last. Only files with names of these two forms are
 * ever removed, whatever folder was given. A folder that others may write into is not trusted: what
 * is in it would be run. */
#include "compiler/jit/cache.h"

#include "runtime/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    NAME_DIGITS = 32,
    OLD_TEMPORARY = 3600, /* seconds */
    FRESH = 60,           /* seconds in which a use need not be noted again */
    LARGEST_OBJECT = 1 << 30
};

#define SUFFIX ".nnc"

typedef struct {
    char magic[8];
    CodeKey key;
    uint64_t bytes, checksum;
} Header;

static const char magic[8] = {'n', 'n', 'c', 'o', 'b', 'j', '1', '\n'};

struct CodeCache {
    char *folder;
    int64_t limit, bytes; /* bytes: as counted at the first writing, and what was written since */
    bool counted, trusted, checked, broken; /* broken: nothing more is written */
    unsigned written;
    pthread_mutex_t lock;
};

CodeCache *code_cache_open(const char *folder, int64_t limit)
{
    CodeCache *cache = calloc(1, sizeof *cache);
    if (!cache || !(cache->folder = strdup(folder))) {
        free(cache);
        return NULL;
    }
    cache->limit = limit > 0 ? limit : CODE_CACHE_BYTES;
    pthread_mutex_init(&cache->lock, NULL);
    return cache;
}

void code_cache_close(CodeCache *cache)
{
    if (!cache) {
        return;
    }
    pthread_mutex_destroy(&cache->lock);
    free(cache->folder);
    free(cache);
}

/* ---- names ---- */

/* FOLDER/KEY and `suffix`, malloc'd; NULL: memory was refused. */
static char *path_of(const char *folder, CodeKey key, const char *suffix)
{
    char *path = NULL;
    return asprintf(&path, "%s/%016llx%016llx%s", folder, (unsigned long long)key.a,
                    (unsigned long long)key.b, suffix) < 0
               ? NULL
               : path;
}

typedef enum { NAME_OTHER, NAME_OBJECT, NAME_TEMPORARY } NameKind;

static NameKind kind_of(const char *name)
{
    size_t length = strlen(name);
    if (strspn(name, "0123456789abcdef") != NAME_DIGITS || name[NAME_DIGITS] != '.') {
        return NAME_OTHER;
    }
    if (strcmp(name + NAME_DIGITS, SUFFIX) == 0) {
        return NAME_OBJECT;
    }
    return strcmp(name + length - 4, ".tmp") == 0 ? NAME_TEMPORARY : NAME_OTHER;
}

/* ---- the folder ---- */

/* Is the folder there, ours, and closed to others? */
static bool is_trusted(CodeCache *cache)
{
    struct stat status;
    if (cache->checked) {
        return cache->trusted;
    }
    if (stat(cache->folder, &status) != 0) {
        return false; /* not yet there */
    }
    cache->checked = true;
    cache->trusted = S_ISDIR(status.st_mode) && status.st_uid == geteuid() &&
                     !(status.st_mode & S_IWOTH);
    return cache->trusted;
}

static bool make_folder(CodeCache *cache)
{
    struct stat status;
    if (stat(cache->folder, &status) != 0) {
        const char *slash = strrchr(cache->folder, '/');
        char *above = slash && slash > cache->folder
                          ? strndup(cache->folder, (size_t)(slash - cache->folder))
                          : NULL;
        if (above) {
            folder_make(above);
        }
        free(above);
        mkdir(cache->folder, 0700); /* another process may have made it since */
    }
    return is_trusted(cache);
}

typedef struct {
    char *path;
    int64_t bytes;
    struct timespec used;
    NameKind kind;
} Entry;

typedef struct {
    Entry *items;
    size_t count, capacity;
    int64_t bytes;
} Listing;

static void listing_free(Listing *listing)
{
    for (size_t i = 0; i < listing->count; i++) {
        free(listing->items[i].path);
    }
    free(listing->items);
    *listing = (Listing){0};
}

static bool listing_add(Listing *listing, Entry entry)
{
    if (listing->count == listing->capacity) {
        size_t capacity = listing->capacity * 2 + 64;
        Entry *grown = realloc(listing->items, capacity * sizeof *grown);
        if (!grown) {
            return false;
        }
        listing->items = grown;
        listing->capacity = capacity;
    }
    listing->items[listing->count++] = entry;
    listing->bytes += entry.bytes;
    return true;
}

static void list_folder(const char *folder, Listing *listing)
{
    DIR *open = opendir(folder);
    struct stat status;
    for (struct dirent *file; open && (file = readdir(open)) != NULL;) {
        NameKind kind = kind_of(file->d_name);
        char *path = NULL;
        if (kind == NAME_OTHER || asprintf(&path, "%s/%s", folder, file->d_name) < 0) {
            continue;
        }
        bool regular = lstat(path, &status) == 0 && S_ISREG(status.st_mode);
        if (!regular ||
            !listing_add(listing, (Entry){path, status.st_size, status.st_mtim, kind})) {
            free(path);
        }
    }
    if (open) {
        closedir(open);
    }
}

static int by_use(const void *left, const void *right)
{
    const Entry *a = left, *b = right;
    if (a->used.tv_sec != b->used.tv_sec) {
        return a->used.tv_sec < b->used.tv_sec ? -1 : 1;
    }
    return (a->used.tv_nsec > b->used.tv_nsec) - (a->used.tv_nsec < b->used.tv_nsec);
}

/* Makes room: down to three quarters of the limit when there is more than the limit. */
static void trim(CodeCache *cache)
{
    Listing listing = {0};
    list_folder(cache->folder, &listing);
    if (listing.count > 1) {
        qsort(listing.items, listing.count, sizeof *listing.items, by_use);
    }
    int64_t keep = listing.bytes > cache->limit ? cache->limit / 4 * 3 : listing.bytes;
    time_t now = time(NULL);
    for (size_t i = 0; i < listing.count; i++) {
        const Entry *entry = &listing.items[i];
        bool leftover =
            entry->kind == NAME_TEMPORARY && now - entry->used.tv_sec > OLD_TEMPORARY;
        bool surplus = entry->kind == NAME_OBJECT && listing.bytes > keep;
        if ((leftover || surplus) && unlink(entry->path) == 0) {
            listing.bytes -= entry->bytes;
        }
    }
    cache->bytes = listing.bytes;
    cache->counted = true;
    listing_free(&listing);
}

/* ---- reading ---- */

static bool read_bytes(int fd, void *data, size_t bytes)
{
    char *at = data;
    while (bytes > 0) {
        ssize_t got = read(fd, at, bytes);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return false;
        }
        at += got;
        bytes -= (size_t)got;
    }
    return true;
}

/* A file is believed when its header fits its name and its length, and the checksum its
 * contents. */
static bool read_object(int fd, CodeKey key, ObjectCode *object)
{
    Header header;
    struct stat status;
    if (fstat(fd, &status) != 0 || !read_bytes(fd, &header, sizeof header) ||
        memcmp(header.magic, magic, sizeof magic) != 0 || header.key.a != key.a ||
        header.key.b != key.b || header.bytes == 0 || header.bytes > LARGEST_OBJECT ||
        (uint64_t)status.st_size != header.bytes + sizeof header) {
        return false;
    }
    char *data = malloc(header.bytes);
    if (!data) {
        return false;
    }
    if (!read_bytes(fd, data, header.bytes) ||
        file_hash(data, header.bytes) != header.checksum) {
        free(data);
        return false;
    }
    *object = (ObjectCode){data, header.bytes};
    return true;
}

/* A use is noted in the file's time, but not again and again. */
static void note_use(int fd)
{
    struct stat status;
    if (fstat(fd, &status) == 0 && time(NULL) - status.st_mtim.tv_sec > FRESH) {
        futimens(fd, NULL);
    }
}

static bool find_object(void *user, CodeKey key, ObjectCode *object)
{
    CodeCache *cache = user;
    pthread_mutex_lock(&cache->lock);
    bool trusted = is_trusted(cache);
    pthread_mutex_unlock(&cache->lock);
    char *path = trusted ? path_of(cache->folder, key, SUFFIX) : NULL;
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK) : -1;
    bool found = fd >= 0 && read_object(fd, key, object);
    if (found) {
        note_use(fd);
    }
    if (fd >= 0) {
        close(fd);
    }
    free(path);
    return found;
}

/* ---- writing ---- */

static bool write_bytes(int fd, const void *data, size_t bytes)
{
    const char *at = data;
    while (bytes > 0) {
        ssize_t put = write(fd, at, bytes);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            return false;
        }
        at += put;
        bytes -= (size_t)put;
    }
    return true;
}

/* Not synced: after a loss of power a file may be damaged, which its checksum tells. */
static bool write_object(const char *temporary, const char *path, CodeKey key,
                         const ObjectCode *object)
{
    Header header = {
        .key = key, .bytes = object->size, .checksum = file_hash(object->data, object->size)};
    memcpy(header.magic, magic, sizeof magic);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        return false;
    }
    bool written = write_bytes(fd, &header, sizeof header) &&
                   write_bytes(fd, object->data, object->size);
    written = close(fd) == 0 && written;
    written = written && rename(temporary, path) == 0;
    if (!written) {
        unlink(temporary);
    }
    return written;
}

static void keep_locked(CodeCache *cache, CodeKey key, const ObjectCode *object)
{
    char suffix[64];
    snprintf(suffix, sizeof suffix, ".%ld.%u.tmp", (long)getpid(), cache->written++);
    char *path = path_of(cache->folder, key, SUFFIX),
         *temporary = path_of(cache->folder, key, suffix);
    int64_t bytes = (int64_t)(object->size + sizeof(Header));
    if (!path || !temporary || !write_object(temporary, path, key, object)) {
        cache->broken = true;
    } else {
        cache->bytes += bytes;
        if (cache->bytes > cache->limit) {
            trim(cache);
        }
    }
    free(path);
    free(temporary);
}

static void keep_object(void *user, CodeKey key, const ObjectCode *object)
{
    CodeCache *cache = user;
    pthread_mutex_lock(&cache->lock);
    if (!cache->broken && object->size > 0 &&
        (int64_t)(object->size + sizeof(Header)) <= cache->limit) {
        cache->broken = !make_folder(cache);
        if (!cache->broken && !cache->counted) {
            trim(cache);
        }
        if (!cache->broken) {
            keep_locked(cache, key, object);
        }
    }
    pthread_mutex_unlock(&cache->lock);
}

ObjectStore code_cache_store(CodeCache *cache)
{
    return (ObjectStore){find_object, keep_object, cache};
}

/* ---- for people ---- */

CodeCacheSize code_cache_size(const char *folder)
{
    Listing listing = {0};
    list_folder(folder, &listing);
    CodeCacheSize size = {(int64_t)listing.count, listing.bytes};
    listing_free(&listing);
    return size;
}

bool code_cache_clear(const char *folder)
{
    Listing listing = {0};
    int failure = 0;
    list_folder(folder, &listing);
    for (size_t i = 0; i < listing.count; i++) {
        if (unlink(listing.items[i].path) != 0 && errno != ENOENT) {
            failure = errno;
        }
    }
    listing_free(&listing);
    errno = failure;
    return failure == 0;
}
