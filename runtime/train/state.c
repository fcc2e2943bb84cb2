/* state.h: one table of fields makes the printer and the reader. */
#include "runtime/train/state.h"

#include "runtime/base/rng.h"
#include "runtime/tensor/json.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *key;
    size_t offset;
    bool real;
} Field;

#define FIELD(name, real)                                                                          \
    {                                                                                              \
#name, offsetof(TrainState, name), real                                                    \
    }
static const Field fields[] = {
    FIELD(step, false),      FIELD(epoch, false),     FIELD(step_of_epoch, false),
    FIELD(has_best, false),  FIELD(best_step, false), FIELD(epochs_since_best, false),
    FIELD(best_value, true), FIELD(loss, true),       FIELD(lr, true),
    FIELD(log_bytes, false),
};
enum { FIELD_COUNT = sizeof fields / sizeof *fields };

static const char closing[] = "\"checksum\": \"";
enum { DIGITS = 16, TAIL = sizeof closing - 1 + DIGITS + sizeof "\"\n}\n" - 1 };

static void print_real(double value, StrBuf *out)
{
    strbuf_add_char(out, '"');
    if (isfinite(value))
        strbuf_add_double(out, value);
    else
        strbuf_add(out, isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
    strbuf_add_char(out, '"');
}

static void print_fields(const TrainState *state, StrBuf *out)
{
    for (int i = 0; i < FIELD_COUNT; i++) {
        const void *at = (const char *)state + fields[i].offset;
        strbuf_printf(out, "  \"%s\": ", fields[i].key);
        if (fields[i].real)
            print_real(*(const double *)at, out);
        else
            strbuf_printf(out, "%lld", (long long)*(const int64_t *)at);
        strbuf_add(out, ",\n");
    }
}

void state_seal(const char *text, size_t length, StrBuf *out)
{
    strbuf_add_bytes(out, text, length);
    strbuf_printf(out, "%s%016llx\"\n}\n", closing,
                  (unsigned long long)rng_hash(text, length, STATE_FORMAT));
}

static void print_body(const TrainState *state, StrBuf *out)
{
    strbuf_printf(out, "{\n  \"format\": %d,\n", STATE_FORMAT);
    print_fields(state, out);
    strbuf_add(out, "  \"configuration\": {");
    for (int i = 0; i < state->item_count; i++) {
        strbuf_add(out, i ? ",\n    " : "\n    ");
        strbuf_add_json(out, state->items[i].key);
        strbuf_add(out, ": ");
        strbuf_add_json(out, state->items[i].value);
    }
    strbuf_add(out, "\n  },\n  \"files\": {");
    for (int i = 0; i < state->file_count; i++) {
        strbuf_add(out, i ? ",\n    " : "\n    ");
        strbuf_add_json(out, state->files[i].name);
        strbuf_printf(out, ": \"%lld %016llx\"", (long long)state->files[i].bytes,
                      (unsigned long long)state->files[i].hash);
    }
    strbuf_add(out, "\n  },\n  ");
}

void state_print(const TrainState *state, StrBuf *out)
{
    StrBuf body = {0};
    print_body(state, &body);
    state_seal(body.text, body.length, out);
    strbuf_free(&body);
}

/* ---- Reading ---- */

static bool read_key(Json *json, const char *key)
{
    const char *found = json_string(json);
    return found && strcmp(found, key) == 0 && json_expect(json, ':');
}

static bool parse_real(const char *text, double *value)
{
    char *end;
    if (!text || !*text || strspn(text, " \t") > 0)
        return false;
    *value = strtod(text, &end);
    return *end == 0;
}

static bool read_fields(Json *json, TrainState *state)
{
    for (int i = 0; i < FIELD_COUNT; i++) {
        void *at = (char *)state + fields[i].offset;
        if (!read_key(json, fields[i].key) ||
            !(fields[i].real ? parse_real(json_string(json), at) : json_integer(json, at)) ||
            !json_expect(json, ','))
            return false;
    }
    return true;
}

static bool read_items(Json *json, TrainState *state)
{
    if (!read_key(json, "configuration") || !json_expect(json, '{'))
        return false;
    if (json_take(json, '}'))
        return true;
    do {
        StateItem *item = &state->items[state->item_count];
        if (state->item_count == STATE_ITEMS || !(item->key = json_string(json)) ||
            !json_expect(json, ':') || !(item->value = json_string(json)))
            return false;
        state->item_count++;
    } while (json_take(json, ','));
    return json_expect(json, '}');
}

/* "904512 5c1f0e3a77b2d901" */
static bool parse_file(const char *text, StateFile *file)
{
    long long bytes;
    unsigned long long hash;
    char again[64];
    if (!text || sscanf(text, "%18lld %16llx", &bytes, &hash) != 2 || bytes < 0)
        return false;
    file->bytes = bytes;
    file->hash = hash;
    snprintf(again, sizeof again, "%lld %016llx", bytes, hash);
    return strcmp(again, text) == 0;
}

static bool read_files(Json *json, TrainState *state)
{
    if (!read_key(json, "files") || !json_expect(json, '{'))
        return false;
    if (json_take(json, '}'))
        return true;
    do {
        StateFile *file = &state->files[state->file_count];
        if (state->file_count == STATE_FILES || !(file->name = json_string(json)) ||
            !json_expect(json, ':') || !parse_file(json_string(json), file))
            return false;
        state->file_count++;
    } while (json_take(json, ','));
    return json_expect(json, '}');
}

static bool checksum_fits(const char *text, size_t length)
{
    char expected[TAIL + 1];
    if (length < TAIL)
        return false;
    uint64_t hash = rng_hash(text, length - TAIL, STATE_FORMAT);
    snprintf(expected, sizeof expected, "%s%016llx\"\n}\n", closing, (unsigned long long)hash);
    return memcmp(text + length - TAIL, expected, TAIL) == 0;
}

const char *state_read(const char *text, size_t length, Arena *arena, TrainState *state)
{
    Json json = {text, text + length, arena, NULL};
    int64_t format;
    *state = (TrainState){0};
    if (!checksum_fits(text, length))
        return "does not fit its checksum";
    if (!json_expect(&json, '{') || !read_key(&json, "format") || !json_integer(&json, &format) ||
        !json_expect(&json, ','))
        return "is not the state of a run";
    if (format != STATE_FORMAT)
        return "was written by another version of nnc";
    if (!read_fields(&json, state) || !read_items(&json, state) || !json_expect(&json, ',') ||
        !read_files(&json, state) || !json_expect(&json, ',') ||
        json.at + strspn(json.at, " \n") != text + length - TAIL)
        return "is not the state of a run";
    return NULL;
}
