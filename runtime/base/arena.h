/* Bump allocation: everything taken from an arena lives until arena_free or arena_reset, all at
 * once. Memory comes back zeroed and 16-byte aligned. In the hostile build (NNC_STRESS) a reset
 * poisons it. */
#ifndef NNC_BASE_ARENA_H
#define NNC_BASE_ARENA_H
#include <stdarg.h>
#include <stddef.h>

typedef struct Arena Arena;

Arena *arena_new(void);
void arena_free(Arena *arena);              /* NULL is allowed */
void arena_reset(Arena *arena);             /* keeps one block for reuse */
size_t arena_used(const Arena *arena);      /* bytes handed out since the last reset */
void *arena_alloc(Arena *arena, size_t bytes);
void *arena_copy(Arena *arena, const void *data, size_t bytes);
char *arena_string(Arena *arena, const char *text);
char *arena_substring(Arena *arena, const char *text, size_t length);
char *arena_format(Arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *arena_vformat(Arena *arena, const char *format, va_list args);

#define ARENA_NEW(arena, Type) ((Type *)arena_alloc((arena), sizeof(Type)))
#define ARENA_ARRAY(arena, Type, count) ((Type *)arena_alloc((arena), sizeof(Type) * (size_t)(count)))

#endif
