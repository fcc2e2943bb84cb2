/* What the files of datasets share: dataset.c (statistics, plan), map.c, source.c, fields.c.
 * Internal to them. */
#ifndef NNC_SEMA_DATASET_H
#define NNC_SEMA_DATASET_H
#include "compiler/sema/internal.h"

typedef struct {
    DatasetPlan plan;
    Decl *decl;
    bool bad;
} DatasetWork;

static inline Block dataset_block(const Decl *decl)
{
    return (Block){"dataset", decl->item->name.text, &decl->item->as.declaration.members};
}

FieldPlan *dataset_field(DatasetPlan *plan, const char *name); /* NULL: none */
/* The right side of a let that is a statistic: moments(x). */
bool dataset_is_moments(const AstExpr *expr);
/* The lets of the block that are no statistics, in scope. */
void dataset_lets(Sema *s, const Decl *decl, Scope *scope);

/* The fields in scope as inputs of the current graph: of one example, or with the axis `batch`
 * (NULL: one). */
void dataset_declare_fields(Sema *s, const DatasetPlan *plan, Scope *scope, const Dim *batch);
void dataset_declare_stats(Sema *s, const DatasetPlan *plan, Scope *scope);

/* source.c. The role of a source is 0, of a test source 1, of a validation source 2. */
bool dataset_source(Sema *s, DatasetWork *work, const char *key, uint32_t role, bool *has,
                    SourcePlan *source);
/* A count that a text says: at least 1. */
bool dataset_count(Sema *s, const Value *v, Span span, const char *name, int64_t *count);
/* fields.c */
bool dataset_fields(Sema *s, DatasetWork *work);
bool dataset_split(Sema *s, DatasetWork *work);

#endif
