/* Attributes, one description per kind: walk_KIND in attr.c names the fields in order, and an
 * AttrWalk does with them what its mode says. So a kind is printed, read, hashed, compared, copied
 * and searched for dims by one function. The fields of kinds that carry their own Type do not print
 * it: the text of a node ends with it. */
#ifndef NNC_GRAPH_ATTR_H
#define NNC_GRAPH_ATTR_H
#include "compiler/graph/graph.h"

typedef enum {
    WALK_ENCODE, /* into out: bytes that are equal exactly for equal attributes */
    WALK_PRINT,  /* into out: the text between the braces */
    WALK_READ,   /* from at */
    WALK_COPY,   /* names and data into the arena */
    WALK_DIMS    /* visit every dim */
} WalkMode;

typedef struct {
    WalkMode mode;
    DimTable *dims;
    Arena *arena; /* READ, COPY */
    StrBuf *out;
    const char *at;    /* READ: next byte of the text */
    const char *error; /* READ: first fault (arena or literal), NULL: none */
    void (*visit)(void *user, const Dim **dim);
    void *user;
} AttrWalk;

void attr_walk(AttrWalk *walk, Attr *attr);
void attr_encode(const Attr *attr, StrBuf *out);
void attr_print(const DimTable *dims, const Attr *attr, StrBuf *out);
/* The type is set by the caller where the kind carries one (attr_type); false: walk->error. */
bool attr_read(AttrWalk *walk, Attr *attr);
void attr_dims(Attr *attr, void (*visit)(void *user, const Dim **dim), void *user);
Type *attr_type(Attr *attr); /* the result type that the attribute itself carries, or NULL */

/* Pieces that the text of a node shares with its attribute. Reading skips spaces first. */
bool text_accept(AttrWalk *walk, const char *word); /* false: it is not there */
void walk_name(AttrWalk *walk, const char **name);  /* a name, in quotes where it needs them */
bool read_type(AttrWalk *walk, Type *type);
void walk_fail(AttrWalk *walk, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
