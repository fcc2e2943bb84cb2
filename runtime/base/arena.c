/* Bump allocation in a chain of blocks.
 *
 *   arena -> newest block -> older block -> ... -> first block
 *
 * A request is served from the newest block; when it does not fit, a block of twice the size (or
 * of the request's own size, when that is larger) is put in front. Blocks are handed out zeroed:
 * calloc gives fresh ones, a reset clears the one it keeps. In the hostile build a reset gives
 * every block back after filling it with 0xDB, and each allocation gets its own block, so that
 * the address sanitizer sees an access that is one byte too far or one reset too late. */
#include "runtime/base/arena.h"

#include "runtime/base/bug.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_BLOCK ((size_t)4096)
#define LARGEST_BLOCK ((size_t)1 << 20)
#define ALIGNMENT ((size_t)16)

typedef struct Block {
    struct Block *older;
    size_t capacity, used;
    _Alignas(16) char data[];
} Block;

struct Arena {
    Block *newest;
    size_t total;
};

Arena *arena_new(void)
{
    Arena *arena = calloc(1, sizeof *arena);
    if (!arena) {
        NNC_BUG("out of memory");
    }
    return arena;
}

static void poison(Block *block)
{
#ifdef NNC_STRESS
    memset(block->data, 0xDB, block->capacity);
#else
    (void)block;
#endif
}

static void free_chain(Block *block)
{
    while (block) {
        Block *older = block->older;
        poison(block);
        free(block);
        block = older;
    }
}

void arena_free(Arena *arena)
{
    if (arena) {
        free_chain(arena->newest);
        free(arena);
    }
}

void arena_reset(Arena *arena)
{
    arena->total = 0;
    Block *kept = arena->newest;
#ifdef NNC_STRESS
    free_chain(kept);
    arena->newest = NULL;
#else
    if (kept) {
        free_chain(kept->older);
        kept->older = NULL;
        memset(kept->data, 0, kept->used);
        kept->used = 0;
    }
#endif
}

size_t arena_used(const Arena *arena)
{
    return arena->total;
}

static void add_block(Arena *arena, size_t bytes)
{
    size_t capacity = bytes;
#ifndef NNC_STRESS
    size_t wanted = arena->newest ? arena->newest->capacity * 2 : FIRST_BLOCK;
    if (wanted > LARGEST_BLOCK) {
        wanted = LARGEST_BLOCK;
    }
    if (capacity < wanted) {
        capacity = wanted;
    }
#endif
    Block *block = calloc(1, sizeof *block + capacity);
    if (!block) {
        NNC_BUG("out of memory (%zu bytes)", bytes);
    }
    block->capacity = capacity;
    block->older = arena->newest;
    arena->newest = block;
}

void *arena_alloc(Arena *arena, size_t bytes)
{
    if (bytes > SIZE_MAX / 4) {
        NNC_BUG("an allocation of %zu bytes", bytes);
    }
    size_t rounded = (bytes + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
    if (rounded == 0) {
        rounded = ALIGNMENT;
    }
#ifdef NNC_STRESS
    size_t taken = bytes ? bytes : 1;
    add_block(arena, taken);
#else
    size_t taken = rounded;
    if (!arena->newest || arena->newest->capacity - arena->newest->used < rounded) {
        add_block(arena, rounded);
    }
#endif
    Block *block = arena->newest;
    void *result = block->data + block->used;
    block->used += taken;
    arena->total += rounded;
    return result;
}

void *arena_copy(Arena *arena, const void *data, size_t bytes)
{
    void *copy = arena_alloc(arena, bytes);
    if (bytes) {
        memcpy(copy, data, bytes);
    }
    return copy;
}

char *arena_substring(Arena *arena, const char *text, size_t length)
{
    char *copy = arena_alloc(arena, length + 1);
    if (length) {
        memcpy(copy, text, length);
    }
    return copy;
}

char *arena_string(Arena *arena, const char *text)
{
    return arena_substring(arena, text, strlen(text));
}

char *arena_vformat(Arena *arena, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    NNC_ASSERT(length >= 0);
    char *text = arena_alloc(arena, (size_t)length + 1);
    vsnprintf(text, (size_t)length + 1, format, args);
    return text;
}

char *arena_format(Arena *arena, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = arena_vformat(arena, format, args);
    va_end(args);
    return text;
}
