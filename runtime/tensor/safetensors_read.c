/* Reading safetensors: the whole file into memory, the header into a list of tensors that point
 * into it, and then the checks: known types, shapes that fill their ranges, unique names, ranges
 * that tile the data. */
#include "runtime/base/bug.h"
#include "runtime/base/vec.h"
#include "runtime/tensor/json.h"
#include "runtime/tensor/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LONGEST_HEADER ((uint64_t)100 << 20) /* the limit of the format */

typedef struct {
    const char *name;
    Tensor tensor;
    int64_t begin, end; /* in the data part */
} Item;

typedef struct {
    const char *key, *value;
} Pair;

struct SafeTensors {
    Arena *arena;
    char *bytes; /* the whole file */
    size_t length;
    size_t data_at;
    VEC(Item) items;
    VEC(Pair) metadata;
};

typedef struct {
    SafeTensors *file;
    const char *path;
    Diag *diag;
    Span span;
} Reader;

/* ---- the file ---- */

static bool system_error(const Reader *reader, const char *what)
{
    diag_error(reader->diag, ERR_E0700, reader->span, NULL, "%s: cannot %s: %s", reader->path, what,
               strerror(errno));
    return false;
}

static bool format_error(const Reader *reader, const char *problem)
{
    diag_error(reader->diag, ERR_E0701, reader->span, NULL, "%s: %s", reader->path, problem);
    return false;
}

static bool read_all(const Reader *reader, int fd, size_t length)
{
    SafeTensors *file = reader->file;
    void *memory = NULL;
    if (posix_memalign(&memory, 64, length + 1) != 0) {
        diag_error(reader->diag, ERR_E0804, reader->span, NULL, "%s: no memory for its %zu bytes",
                   reader->path, length);
        return false;
    }
    file->bytes = memory;
    while (file->length < length) {
        ssize_t got = read(fd, file->bytes + file->length, length - file->length);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return system_error(reader, "read it");
        }
        if (got == 0) {
            return format_error(reader, "the file became shorter while it was read");
        }
        file->length += (size_t)got;
    }
    return true;
}

static bool load(const Reader *reader)
{
    int fd = open(reader->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return system_error(reader, "open it");
    }
    struct stat status;
    bool done = false;
    if (fstat(fd, &status) != 0) {
        system_error(reader, "open it");
    } else if (!S_ISREG(status.st_mode)) {
        diag_error(reader->diag, ERR_E0700, reader->span, NULL, "%s: not a regular file",
                   reader->path);
    } else {
        done = read_all(reader, fd, (size_t)status.st_size);
    }
    close(fd);
    return done;
}

/* ---- the header ---- */

typedef struct {
    const char *text;
    DType dtype;
} TypeName;

static const TypeName type_names[] = {{"F32", DT_F32}, {"F64", DT_F64}, {"I32", DT_I32},
                                      {"I64", DT_I64}, {"U8", DT_U8},   {"BOOL", DT_BOOL},
                                      {"I8", DT_I8},   {"F16", DT_F16}, {"BF16", DT_BF16}};

static bool find_type(const char *text, DType *dtype)
{
    for (size_t i = 0; i < sizeof type_names / sizeof type_names[0]; i++) {
        if (strcmp(type_names[i].text, text) == 0) {
            *dtype = type_names[i].dtype;
            return true;
        }
    }
    return false;
}

static bool read_shape(Json *json, Tensor *tensor)
{
    if (!json_expect(json, '[')) {
        return false;
    }
    if (json_take(json, ']')) {
        return true;
    }
    do {
        if (tensor->rank == TENSOR_MAX_RANK) {
            return json_fail(json, "a tensor has more than 8 axes");
        }
        if (!json_integer(json, &tensor->sizes[tensor->rank++])) {
            return false;
        }
    } while (json_take(json, ','));
    return json_expect(json, ']');
}

static bool read_field(Json *json, Item *item, const char **type, unsigned *seen)
{
    const char *key = json_string(json);
    if (!key || !json_expect(json, ':')) {
        return false;
    }
    unsigned bit = strcmp(key, "dtype") == 0          ? 1
                   : strcmp(key, "shape") == 0        ? 2
                   : strcmp(key, "data_offsets") == 0 ? 4
                                                      : 0;
    if (bit == 0 || (*seen & bit)) {
        return json_fail(json, "a tensor has an unknown or repeated key in the header");
    }
    *seen |= bit;
    if (bit == 1) {
        *type = json_string(json);
        return *type != NULL;
    }
    if (bit == 2) {
        return read_shape(json, &item->tensor);
    }
    return json_expect(json, '[') && json_integer(json, &item->begin) && json_expect(json, ',') &&
           json_integer(json, &item->end) && json_expect(json, ']');
}

static bool read_item(const Reader *reader, Json *json, const char *name)
{
    Item item = {.name = name};
    const char *type = NULL;
    unsigned seen = 0;
    if (!json_expect(json, '{')) {
        return false;
    }
    do {
        if (!read_field(json, &item, &type, &seen)) {
            return false;
        }
    } while (json_take(json, ','));
    if (!json_expect(json, '}')) {
        return false;
    }
    if (seen != 7) {
        return json_fail(json, "a tensor lacks its dtype, shape or data_offsets");
    }
    if (!find_type(type, &item.tensor.dtype)) {
        diag_error(reader->diag, ERR_E0702, reader->span, NULL,
                   "%s: %s has the element type %s, which nnc does not read", reader->path, name,
                   type);
        return json_fail(json, "");
    }
    vec_push(reader->file->arena, &reader->file->items, item);
    return true;
}

static bool read_metadata(const Reader *reader, Json *json)
{
    if (!json_expect(json, '{')) {
        return false;
    }
    if (json_take(json, '}')) {
        return true;
    }
    do {
        Pair pair = {0};
        pair.key = json_string(json);
        pair.value = pair.key && json_expect(json, ':') ? json_string(json) : NULL;
        if (!pair.value) {
            return false;
        }
        vec_push(reader->file->arena, &reader->file->metadata, pair);
    } while (json_take(json, ','));
    return json_expect(json, '}');
}

static bool read_entries(const Reader *reader, Json *json)
{
    if (!json_expect(json, '{')) {
        return false;
    }
    if (json_take(json, '}')) {
        return true;
    }
    bool metadata_seen = false;
    do {
        const char *name = json_string(json);
        if (!name || !json_expect(json, ':')) {
            return false;
        }
        bool is_metadata = strcmp(name, "__metadata__") == 0;
        if (is_metadata && metadata_seen) {
            return json_fail(json, "__metadata__ occurs twice in the header");
        }
        metadata_seen |= is_metadata;
        if (is_metadata ? !read_metadata(reader, json) : !read_item(reader, json, name)) {
            return false;
        }
    } while (json_take(json, ','));
    return json_expect(json, '}');
}

static bool read_header(const Reader *reader)
{
    SafeTensors *file = reader->file;
    uint64_t length = 0;
    if (file->length < 8) {
        return format_error(
            reader, "the file is shorter than the 8 bytes that give the length of the header");
    }
    for (int i = 0; i < 8; i++) {
        length |= (uint64_t)(unsigned char)file->bytes[i] << (8 * i);
    }
    if (length > LONGEST_HEADER || length > file->length - 8) {
        diag_error(reader->diag, ERR_E0701, reader->span, NULL,
                   "%s: the header should have %llu bytes, and the file has %zu in all",
                   reader->path, (unsigned long long)length, file->length);
        return false;
    }
    file->data_at = 8 + (size_t)length;
    Json json = {file->bytes + 8, file->bytes + file->data_at, file->arena, NULL};
    if (read_entries(reader, &json) && !json_at_end(&json)) {
        json_fail(&json, "the header goes on after its JSON");
    }
    if (json.problem && json.problem[0]) {
        return format_error(reader, json.problem);
    }
    return json.problem == NULL;
}

/* ---- checks over all tensors ---- */

static bool item_error(const Reader *reader, const Item *item, const char *problem)
{
    diag_error(reader->diag, ERR_E0701, reader->span, NULL, "%s: %s %s", reader->path, item->name,
               problem);
    return false;
}

static bool place_item(const Reader *reader, Item *item)
{
    SafeTensors *file = reader->file;
    Tensor *tensor = &item->tensor;
    int64_t available = (int64_t)(file->length - file->data_at);
    if (item->begin > item->end || item->end > available) {
        diag_error(reader->diag, ERR_E0701, reader->span, NULL,
                   "%s: %s should be bytes %lld to %lld of the data, and there are %lld",
                   reader->path, item->name, (long long)item->begin, (long long)item->end,
                   (long long)available);
        return false;
    }
    if (!tensor_measure(tensor->dtype, tensor->rank, tensor->sizes, &tensor->count,
                        &tensor->bytes) ||
        (int64_t)tensor->bytes != item->end - item->begin) {
        return item_error(reader, item, "has a shape that does not fill its range of bytes");
    }
    char *place = file->bytes + file->data_at + item->begin;
    tensor->data = place;
    if ((uintptr_t)place % dtype_bytes(tensor->dtype) != 0) {
        tensor->data = arena_copy(file->arena, place, tensor->bytes);
    }
    if (tensor->dtype == DT_BOOL) {
        for (int64_t i = 0; i < tensor->count; i++) {
            if ((unsigned char)place[i] > 1) {
                return item_error(reader, item,
                                  "is of type BOOL and has a byte that is neither 0 nor 1");
            }
        }
    }
    return true;
}

static int by_begin(const void *a, const void *b)
{
    const Item *x = *(const Item *const *)a, *y = *(const Item *const *)b;
    if (x->begin != y->begin) {
        return x->begin < y->begin ? -1 : 1;
    }
    return x->end < y->end ? -1 : x->end > y->end;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const Item *const *)a)->name, (*(const Item *const *)b)->name);
}

static int by_key(const void *a, const void *b)
{
    return strcmp((*(const Pair *const *)a)->key, (*(const Pair *const *)b)->key);
}

static bool check_metadata(const Reader *reader)
{
    SafeTensors *file = reader->file;
    const Pair **order = ARENA_ARRAY(file->arena, const Pair *, file->metadata.count + 1);
    for (uint32_t i = 0; i < file->metadata.count; i++) {
        order[i] = &file->metadata.data[i];
    }
    qsort(order, file->metadata.count, sizeof *order, by_key);
    for (uint32_t i = 1; i < file->metadata.count; i++) {
        if (strcmp(order[i - 1]->key, order[i]->key) == 0) {
            return format_error(reader, "__metadata__ has a key twice");
        }
    }
    return true;
}

static bool check_items(const Reader *reader)
{
    SafeTensors *file = reader->file;
    uint32_t count = file->items.count;
    const Item **order = ARENA_ARRAY(file->arena, const Item *, count + 1);
    for (uint32_t i = 0; i < count; i++) {
        if (!place_item(reader, &file->items.data[i])) {
            return false;
        }
        order[i] = &file->items.data[i];
    }
    qsort(order, count, sizeof *order, by_name);
    for (uint32_t i = 1; i < count; i++) {
        if (strcmp(order[i - 1]->name, order[i]->name) == 0) {
            return item_error(reader, order[i], "occurs twice");
        }
    }
    qsort(order, count, sizeof *order, by_begin);
    int64_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (order[i]->begin != at) {
            return item_error(reader, order[i], "does not begin where the tensor before it ends");
        }
        at = order[i]->end;
    }
    if (at != (int64_t)(file->length - file->data_at)) {
        return format_error(reader, "the file has bytes after its last tensor");
    }
    return true;
}

/* ---- the interface ---- */

SafeTensors *safetensors_open(const char *path, Diag *diag, Span span)
{
    Arena *arena = arena_new();
    SafeTensors *file = ARENA_NEW(arena, SafeTensors);
    file->arena = arena;
    Reader reader = {file, path, diag, span};
    if (load(&reader) && read_header(&reader) && check_metadata(&reader) && check_items(&reader)) {
        return file;
    }
    safetensors_close(file);
    return NULL;
}

void safetensors_close(SafeTensors *file)
{
    if (file) {
        free(file->bytes);
        arena_free(file->arena);
    }
}

int safetensors_count(const SafeTensors *file)
{
    return (int)file->items.count;
}

uint64_t safetensors_hash(const SafeTensors *file, int64_t *bytes)
{
    *bytes = (int64_t)file->length;
    return file_hash(file->bytes, file->length);
}

const char *safetensors_name(const SafeTensors *file, int i)
{
    NNC_ASSERT(i >= 0 && (uint32_t)i < file->items.count);
    return file->items.data[i].name;
}

const Tensor *safetensors_tensor(const SafeTensors *file, int i)
{
    NNC_ASSERT(i >= 0 && (uint32_t)i < file->items.count);
    return &file->items.data[i].tensor;
}

const Tensor *safetensors_find(const SafeTensors *file, const char *name)
{
    for (uint32_t i = 0; i < file->items.count; i++) {
        if (strcmp(file->items.data[i].name, name) == 0) {
            return &file->items.data[i].tensor;
        }
    }
    return NULL;
}

int safetensors_metadata_count(const SafeTensors *file)
{
    return (int)file->metadata.count;
}

const char *safetensors_metadata_key(const SafeTensors *file, int i)
{
    NNC_ASSERT(i >= 0 && (uint32_t)i < file->metadata.count);
    return file->metadata.data[i].key;
}

const char *safetensors_metadata(const SafeTensors *file, const char *key)
{
    for (uint32_t i = 0; i < file->metadata.count; i++) {
        if (strcmp(file->metadata.data[i].key, key) == 0) {
            return file->metadata.data[i].value;
        }
    }
    return NULL;
}
