/* A growing heap string for printers: StrBuf out = {0}; strbuf_printf(&out, ...); ...;
 * strbuf_free(&out). `text` is always NUL-terminated once something was added (NULL before). */
#ifndef NNC_BASE_STRBUF_H
#define NNC_BASE_STRBUF_H
#include <stdarg.h>
#include <stddef.h>

typedef struct {
    char *text;
    size_t length, capacity;
} StrBuf;

void strbuf_printf(StrBuf *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
void strbuf_vprintf(StrBuf *out, const char *format, va_list args);
void strbuf_add(StrBuf *out, const char *text);
void strbuf_add_bytes(StrBuf *out, const char *bytes, size_t count);
void strbuf_add_char(StrBuf *out, char c);
void strbuf_add_json(StrBuf *out, const char *text);  /* quoted and escaped */
void strbuf_add_double(StrBuf *out, double value);    /* shortest text that reads back to the same bits; JSON null if not finite */
void strbuf_add_float(StrBuf *out, float value);      /* the same for f32 */
void strbuf_clear(StrBuf *out);
void strbuf_free(StrBuf *out);

#endif
