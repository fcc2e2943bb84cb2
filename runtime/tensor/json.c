/* The reader of json.h. Strings are checked and unescaped into the arena; \u escapes become
 * UTF-8. */
#include "runtime/tensor/json.h"

#include <string.h>

bool json_fail(Json *json, const char *problem)
{
    if (!json->problem) {
        json->problem = problem;
    }
    return false;
}

static void skip_spaces(Json *json)
{
    while (json->at < json->end && memchr(" \t\r\n", *json->at, 4)) {
        json->at++;
    }
}

bool json_take(Json *json, char sign)
{
    skip_spaces(json);
    if (json->problem || json->at == json->end || *json->at != sign) {
        return false;
    }
    json->at++;
    return true;
}

bool json_expect(Json *json, char sign)
{
    return json_take(json, sign) || json_fail(json, "the header is not the JSON of safetensors");
}

bool json_at_end(Json *json)
{
    skip_spaces(json);
    return json->at == json->end;
}

bool json_integer(Json *json, int64_t *value)
{
    skip_spaces(json);
    const char *first = json->at;
    int64_t number = 0;
    while (json->at < json->end && *json->at >= '0' && *json->at <= '9') {
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, *json->at - '0', &number)) {
            return json_fail(json, "a number in the header is too large");
        }
        json->at++;
    }
    if (json->problem || json->at == first || (*first == '0' && json->at > first + 1)) {
        return json_fail(json, "the header has something else where a number should be");
    }
    *value = number;
    return true;
}

static bool hex4(Json *json, uint32_t *code)
{
    if (json->end - json->at < 4) {
        return false;
    }
    *code = 0;
    for (int i = 0; i < 4; i++) {
        char c = *json->at++;
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) {
            return false;
        }
        *code = *code * 16 + (uint32_t)digit;
    }
    return true;
}

static char *put_utf8(char *out, uint32_t code)
{
    if (code < 0x80) {
        *out++ = (char)code;
        return out;
    }
    int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const unsigned char lead[] = {0, 0xC0, 0xE0, 0xF0};
    *out++ = (char)(lead[more] | (code >> (6 * more)));
    while (more-- > 0) {
        *out++ = (char)(0x80 | ((code >> (6 * more)) & 0x3F));
    }
    return out;
}

/* The escape after a backslash; a pair of surrogates is one character. */
static bool unescape(Json *json, char **out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (json->at == json->end) {
        return false;
    }
    char c = *json->at++;
    const char *known = c ? strchr(from, c) : NULL;
    if (known) {
        *(*out)++ = to[known - from];
        return true;
    }
    uint32_t code, low;
    if (c != 'u' || !hex4(json, &code) || code == 0 || (code >= 0xDC00 && code < 0xE000)) {
        return false;
    }
    if (code >= 0xD800 && code < 0xDC00) {
        if (json->end - json->at < 6 || *json->at++ != '\\' || *json->at++ != 'u' ||
            !hex4(json, &low) || low < 0xDC00 || low >= 0xE000) {
            return false;
        }
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    *out = put_utf8(*out, code);
    return true;
}

const char *json_string(Json *json)
{
    if (!json_expect(json, '"')) {
        return NULL;
    }
    const char *close = json->at;
    while (close < json->end && *close != '"') {
        close += *close == '\\' && close + 1 < json->end ? 2 : 1;
    }
    char *text = arena_alloc(json->arena, (size_t)(close - json->at) + 1), *out = text;
    while (json->at < json->end && *json->at != '"') {
        unsigned char c = (unsigned char)*json->at++;
        if (c == '\\' ? !unescape(json, &out) : c < 0x20) {
            json_fail(json,
                      "a string in the header has a character or escape that JSON does not allow");
            return NULL;
        }
        if (c != '\\') {
            *out++ = (char)c;
        }
    }
    *out = '\0';
    return json_expect(json, '"') ? text : NULL;
}

/* true, false, null and numbers: everything up to the next sign of structure. */
static bool skip_plain(Json *json)
{
    const char *first = json->at;
    while (json->at < json->end && !memchr(",]} \t\r\n", *json->at, 7))
        json->at++;
    return json->at > first || json_fail(json, "a value is missing");
}

static bool skip_value(Json *json, int depth)
{
    enum { DEEPEST = 64 };
    if (depth > DEEPEST)
        return json_fail(json, "values are nested too deeply");
    skip_spaces(json);
    if (json->at < json->end && *json->at == '"')
        return json_string(json) != NULL;
    bool object = json_take(json, '{');
    if (!object && !json_take(json, '['))
        return !json->problem && skip_plain(json);
    char close = object ? '}' : ']';
    if (json_take(json, close))
        return true;
    do {
        if (object && (!json_string(json) || !json_expect(json, ':')))
            return false;
        if (!skip_value(json, depth + 1))
            return false;
    } while (json_take(json, ','));
    return json_expect(json, close);
}

bool json_skip(Json *json)
{
    return skip_value(json, 0);
}
