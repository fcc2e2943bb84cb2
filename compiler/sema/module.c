/* Modules: a declaration and its arguments become an Instance with slots (params, states), lets and
 * children. Paths are given when the tree has a root, because an instance may be made before its
 * place is known.
 *
 *   let net = Sequential([Linear(2, 3), relu])   ->   net.0.weight, net.0.bias */
#include "compiler/sema/internal.h"

#include <string.h>

const AstFunction *decl_function(const Decl *decl, const char *name)
{
    const AstMembers *members = &decl->item->as.declaration.members;
    for (uint32_t i = 0; i < members->count; i++) {
        const AstMember *member = members->data[i];
        if (member->kind != AST_MEMBER_FN)
            continue;
        const char *text = member->as.function.name.text;
        if (name ? text && strcmp(text, name) == 0 : !text)
            return &member->as.function;
    }
    return NULL;
}

const AstFunction *instance_forward(const Instance *instance)
{
    return decl_function(instance->decl, NULL);
}

const char *slot_name(Sema *s, const Instance *instance, const Slot *slot)
{
    if (instance->suffix)
        return arena_format(s->arena, "%s.%s.%s", instance->path, slot->name, instance->suffix);
    if (!instance->path || !*instance->path)
        return slot->name;
    return arena_format(s->arena, "%s.%s", instance->path, slot->name);
}

/* ---- The tree ---- */

static void adopt_one(Sema *s, Instance *parent, const char *name, Instance *child)
{
    if (child->parent || child == parent || child->path)
        return;
    child->parent = parent;
    child->name = name;
    vec_push(s->arena, &parent->children, child);
}

static void instance_adopt(Sema *s, Instance *parent, const char *name, const Value *value)
{
    if (value->kind == VALUE_INSTANCE)
        adopt_one(s, parent, name, value->as.instance);
    if (value->kind != VALUE_ARRAY && value->kind != VALUE_TUPLE)
        return;
    for (uint32_t i = 0; i < value->as.list->count; i++) {
        const char *entry =
            *name ? arena_format(s->arena, "%s.%u", name, i) : arena_format(s->arena, "%u", i);
        instance_adopt(s, parent, entry, &value->as.list->items[i]);
    }
}

static void adopt_let(Sema *s, Instance *self, const AstPattern *pattern)
{
    if (pattern->is_tuple) {
        for (uint32_t i = 0; i < pattern->entries.count; i++)
            adopt_let(s, self, pattern->entries.data[i]);
        return;
    }
    Binding *binding = scope_find_local(self->scope, pattern->name.text);
    if (binding)
        instance_adopt(s, self, pattern->name.text, &binding->value);
}

/* Inside of load(M(), "file") names of tensors are looked up without the path of M. */
static void find_file(const Instance *self, TensorSpec *spec)
{
    for (const Instance *at = self; at; at = at->parent) {
        if (!at->file)
            continue;
        size_t skip = at->path ? strlen(at->path) : 0;
        spec->file = at->file;
        spec->file_name = spec->name + skip + (skip > 0);
        spec->file_partial = at->file_partial;
        return;
    }
}

static void add_tensors(Sema *s, Instance *self, SemaInstance *shown, TensorSpecs *tensors)
{
    for (uint32_t i = 0; tensors && i < self->slots.count; i++) {
        const Slot *slot = &self->slots.data[i];
        TensorSpec spec = {.name = slot_name(s, self, slot),
                           .role = slot->is_param ? TENSOR_PARAM : TENSOR_STATE,
                           .type = slot->type,
                           .init = slot->init,
                           .trainable = slot->is_param,
                           .span = self->decl->file->in_std ? self->span : slot->span};
        find_file(self, &spec);
        vec_push(s->arena, &shown->tensors, tensors->count);
        vec_push(s->arena, tensors, spec);
    }
}

static SemaInstance *root_one(Sema *s, Instance *self, SemaInstance *parent, TensorSpecs *tensors)
{
    SemaInstance *shown = ARENA_NEW(s->arena, SemaInstance);
    *shown = (SemaInstance){.path = self->path,
                            .name = self->name ? self->name : "",
                            .span = self->span,
                            .parent = parent,
                            .module = self->decl->item->name.text,
                            .detail = self->detail,
                            .in_std = self->decl->file->in_std};
    self->shown = shown;
    add_tensors(s, self, shown, tensors);
    for (uint32_t i = 0; i < self->children.count; i++) {
        Instance *child = self->children.data[i];
        child->path =
            *self->path ? arena_format(s->arena, "%s.%s", self->path, child->name) : child->name;
        vec_push(s->arena, &shown->children, root_one(s, child, shown, tensors));
    }
    return shown;
}

void instance_root(Sema *s, Instance *root, const char *path, TensorSpecs *tensors)
{
    root->path = path;
    root_one(s, root, NULL, tensors);
}

/* ---- Members ---- */

static bool type_of_state(Sema *s, const AstMember *member, const Value *v, Type *out)
{
    if (v->kind == VALUE_TENSOR)
        *out = v->as.node->type;
    else if (v->kind == VALUE_FLOAT)
        *out = (Type){.dtype = sema_float(s)};
    else {
        if (v->kind != VALUE_POISON)
            sema_error(s, ERR_E0410, member->span, NULL,
                       "this needs a type: state name: i64[3] = 0");
        return false;
    }
    return true;
}

static bool constant_type(Sema *s, const Type *type, Span span)
{
    for (int i = 0; i < type->rank; i++)
        if (!dim_is_const(type->dims[i], NULL) && !s->elab->generic) {
            sema_error(s, ERR_E0308, span, NULL,
                       "the sizes of a param or state must be numbers, and this is %s",
                       type_text(s, type));
            return false;
        }
    return true;
}

static Value missing_initial(Sema *s, const AstMember *member)
{
    if (member->kind == AST_MEMBER_STATE)
        return value_number(s, 0, member->span);
    DiagItem *item = sema_error(s, ERR_E0410, member->span, NULL, "a param needs an initial value");
    diag_help(item, "for example = glorot(), = normal(std=0.02) or = 0");
    return value_poison;
}

static Value initial_value(Sema *s, const AstMember *member, const Type *type)
{
    const Type *outer = s->init_type;
    s->init_type = type;
    Value v = member->as.variable.value ? eval_expr(s, member->as.variable.value)
                                        : missing_initial(s, member);
    s->init_type = outer;
    return v;
}

/* Appends the tensor of a param or state; false: an error was reported, or its value is none. */
static bool declare_slot(Sema *s, Instance *self, const AstMember *member, AstName name,
                         bool *is_none)
{
    bool is_param = member->kind == AST_MEMBER_PARAM;
    Slot slot = {.name = name.text, .is_param = is_param, .span = name.span};
    const AstType *declared = member->as.variable.type;
    bool ok = !declared || eval_type(s, declared, &slot.type);
    Value v = initial_value(s, member, declared && ok ? &slot.type : NULL);
    *is_none = v.kind == VALUE_NONE;
    ok = ok && v.kind != VALUE_POISON && !*is_none &&
         (declared || type_of_state(s, member, &v, &slot.type)) &&
         constant_type(s, &slot.type, name.span) &&
         init_of_value(s, &v, &slot.type,
                       member->as.variable.value ? member->as.variable.value->span : member->span,
                       &slot.init);
    if (ok && is_param && !dtype_is_float(slot.type.dtype)) {
        DiagItem *item = sema_error(s, ERR_E0502, name.span, NULL,
                                    "a param must be of a float type, and %s is %s", name.text,
                                    type_text(s, &slot.type));
        diag_help(item, "state %s keeps a value that is not trained", name.text);
        ok = false;
    }
    if (ok)
        vec_push(s->arena, &self->slots, slot);
    return ok;
}

static AstName variable_as_name(Sema *s, const AstMember *member)
{
    const AstExpr *computed = member->as.variable.computed;
    return computed ? (AstName){sema_interpolate(s, computed), computed->span}
                    : member->as.variable.name;
}

static const char *average_name(Sema *s, const char *name)
{
    const TensorSpecs *tensors = s->elab->averages;
    const char *average = tensors ? arena_format(s->arena, "ema.%s", name) : NULL;
    for (uint32_t i = 0; tensors && i < tensors->count; i++)
        if (tensors->data[i].role == TENSOR_AVERAGE && strcmp(tensors->data[i].name, average) == 0)
            return average;
    return name;
}

Node *param_node(Sema *s, const char *name, Type type)
{
    Graph *graph = s->elab->graph;
    Node *leaf = build_leaf(graph, OP_PARAM, average_name(s, name), type);
    Node *node = elab_state(s, name, leaf);
    return node == leaf ? leaf : build_unary(graph, OP_STOP, node);
}

static Value slot_at(Sema *s, const Instance *owner, const Slot *slot, Span span)
{
    const char *name = slot_name(s, owner, slot);
    Span at = s->elab->graph->span;
    s->elab->graph->span = sema_in_std(s, slot->span) ? owner->span : slot->span;
    Node *node;
    if (slot->is_param)
        node = param_node(s, name, slot->type);
    else
        node = elab_state(s, name, build_leaf(s->elab->graph, OP_STATE, name, slot->type));
    if (slot->is_param && s->elab->frozen)
        node = build_unary(s->elab->graph, OP_STOP, node);
    s->elab->graph->span = at;
    return value_tensor(node, span);
}

static const Slot *find_slot(const Instance *self, const char *name)
{
    for (uint32_t i = 0; i < self->slots.count; i++)
        if (strcmp(self->slots.data[i].name, name) == 0)
            return &self->slots.data[i];
    return NULL;
}

static Value twice(Sema *s, AstName name, const Slot *first)
{
    DiagItem *item = sema_error(s, ERR_E0101, name.span, "declared again here",
                                "the param %s is declared twice", name.text);
    diag_note(item, first->span, "first declared here");
    return value_poison;
}

static void declare_variable(Sema *s, Instance *self, const AstMember *member)
{
    AstName name = variable_as_name(s, member);
    bool is_none;
    uint32_t index = self->slots.count;
    const Slot *first = find_slot(self, name.text);
    bool ok = declare_slot(s, self, member, name, &is_none);
    if (first && !scope_find_local(self->scope, name.text))
        twice(s, name, first);
    BindKind kind = is_none                             ? BIND_MEMBER
                    : member->kind == AST_MEMBER_PARAM ? BIND_PARAM
                                                       : BIND_STATE;
    Binding *binding =
        scope_declare(s, self->scope, name, kind, ok || is_none ? value_none : value_poison);
    binding->owner = ok ? self : NULL;
    binding->tensor = index;
}

/* param "w{i}": f32[3] = 0 inside of a let: made when the let is evaluated for its instance, found
 * again by its name in the graphs that use the let. */
Value eval_param(Sema *s, const AstExpr *expr)
{
    AstName name = variable_as_name(s, expr->as.param);
    Instance *self = s->owner;
    if (!self) {
        sema_error(s, ERR_E0403, expr->span, NULL, "a param stands in a let of a module");
        return value_poison;
    }
    const Slot *slot = find_slot(self, name.text);
    bool is_none = false;
    if (s->declaring && slot)
        return twice(s, name, slot);
    if (s->declaring && declare_slot(s, self, expr->as.param, name, &is_none))
        slot = find_slot(self, name.text);
    return slot                       ? slot_at(s, self, slot, expr->span)
           : is_none || !s->declaring ? value_none
                                      : value_poison;
}

static bool has_tensor(const Value *v)
{
    if (v->kind == VALUE_TENSOR)
        return true;
    if (v->kind == VALUE_ARRAY || v->kind == VALUE_TUPLE)
        for (uint32_t i = 0; i < v->as.list->count; i++)
            if (has_tensor(&v->as.list->items[i]))
                return true;
    return false;
}

/* A let with tensors is computed anew in each graph that uses it. */
static void make_lazy(Instance *self, const AstPattern *pattern, const AstLet *let)
{
    for (uint32_t i = 0; pattern->is_tuple && i < pattern->entries.count; i++)
        make_lazy(self, pattern->entries.data[i], let);
    Binding *binding =
        pattern->is_tuple ? NULL : scope_find_local(self->scope, pattern->name.text);
    if (binding && has_tensor(&binding->value)) {
        binding->lazy = let->value;
        binding->pattern = let->pattern->is_tuple ? let->pattern : NULL;
        binding->owner = self;
    }
}

Value lazy_value(Sema *s, Binding *binding)
{
    Instance *owner = s->owner;
    bool declaring = s->declaring;
    s->owner = binding->owner;
    s->declaring = false;
    Value v = eval_in(s, binding->owner->scope, binding->lazy);
    if (binding->pattern) {
        Scope *parts = scope_new(s, NULL);
        bool bound = v.kind != VALUE_POISON && bind_pattern(s, parts, binding->pattern, &v, BIND_LET);
        const Binding *part = bound ? scope_find_local(parts, binding->name) : NULL;
        v = part ? part->value : value_poison;
    }
    s->owner = owner;
    s->declaring = declaring;
    return v;
}

static void declare_let(Sema *s, Instance *self, const AstLet *let)
{
    Instance *outer = s->owner;
    bool declaring = s->declaring;
    s->owner = self;
    s->declaring = true;
    eval_let(s, let, BIND_MEMBER);
    s->owner = outer;
    s->declaring = declaring;
    adopt_let(s, self, let->pattern);
    make_lazy(self, let->pattern, let);
}

static void declare_fn(Sema *s, Instance *self, const AstMember *member)
{
    const AstFunction *function = &member->as.function;
    if (!function->name.text)
        return;
    Closure *closure = ARENA_NEW(s->arena, Closure);
    *closure = (Closure){.function = function,
                         .name = function->name.text,
                         .scope = self->scope,
                         .self = self,
                         .file = self->decl->file};
    Value v = {.kind = VALUE_FN, .span = function->name.span, .as.closure = closure};
    scope_declare(s, self->scope, function->name, BIND_MEMBER, v);
}

void declare_members(Sema *s, Instance *self)
{
    const AstMembers *members = &self->decl->item->as.declaration.members;
    for (uint32_t i = 0; i < members->count; i++)
        if (members->data[i]->kind == AST_MEMBER_FN)
            declare_fn(s, self, members->data[i]);
    for (uint32_t i = 0; i < members->count; i++) {
        const AstMember *member = members->data[i];
        if (member->kind == AST_MEMBER_PARAM || member->kind == AST_MEMBER_STATE)
            declare_variable(s, self, member);
        if (member->kind != AST_MEMBER_LET)
            continue;
        declare_let(s, self, &member->as.let);
    }
}

static void adopt_arguments(Sema *s, Instance *self)
{
    const AstParameters *params = &self->decl->item->as.declaration.parameters;
    for (uint32_t i = 0; i < params->count; i++) {
        Binding *binding = scope_find_local(self->scope, params->data[i].name.text);
        if (!binding)
            continue;
        bool list = binding->value.kind == VALUE_ARRAY;
        instance_adopt(s, self, list ? "" : params->data[i].name.text, &binding->value);
    }
}

/* ---- Instances ---- */

static bool may_instantiate(Sema *s, Decl *decl, Span span)
{
    if (decl->state == DECL_BUSY) {
        sema_error(s, ERR_E0407, span, NULL,
                   "the module %s contains itself, directly or through others",
                   decl->item->name.text);
        return false;
    }
    if (++s->instances > LIMIT_INSTANCES || s->calls >= LIMIT_CALLS) {
        if (!s->work_reported)
            sema_error(s, ERR_E0408, span, NULL,
                       s->calls >= LIMIT_CALLS ? "modules are nested more than %d deep here"
                                               : "more than %d instances of modules",
                       s->calls >= LIMIT_CALLS ? LIMIT_CALLS : LIMIT_INSTANCES);
        s->work_reported = true;
        return false;
    }
    return true;
}

Value instantiate(Sema *s, Decl *decl, const Args *args, Span span)
{
    const AstItem *item = decl->item;
    for (uint32_t i = 0; i < args->count; i++)
        if (args->data[i].value.kind == VALUE_POISON)
            return value_poison;
    if (!may_instantiate(s, decl, span))
        return value_poison;
    decl->used = true;
    Instance *self = ARENA_NEW(s->arena, Instance);
    self->decl = decl;
    self->span = sema_user_span(s, span);
    self->detail = args_detail(s, args);
    self->scope = scope_new(s, decl->file->scope);
    Scope *outer = s->scope;
    Elab *elab = s->elab;
    Frame frame = {.parent = s->frame,
                   .name = item->name.text,
                   .call = span,
                   .in_std = decl->file->in_std,
                   .ellipsis_rank = -1};
    Span declared = decl->file->in_std ? (Span){0, 0, 0} : item->as.declaration.header;
    Instance *owner = s->owner;
    s->owner = NULL;
    s->constants.generic = elab->generic;
    s->constants.unsure = elab->unsure;
    s->elab = &s->constants;
    decl->state = DECL_BUSY;
    bool ok = bind_parameters(s, item->name.text, span, &item->as.declaration.parameters, args,
                              self->scope, self->scope, declared);
    s->frame = &frame;
    s->calls++;
    s->scope = self->scope;
    uint32_t errors = diag_error_count(s->diag);
    if (ok) {
        adopt_arguments(s, self);
        declare_members(s, self);
    }
    s->calls--;
    s->frame = frame.parent;
    s->scope = outer;
    s->elab = elab;
    s->owner = owner;
    decl->state = DECL_DONE;
    ok = ok && diag_error_count(s->diag) == errors;
    return ok ? (Value){.kind = VALUE_INSTANCE, .span = span, .as.instance = self} : value_poison;
}

/* ---- Uses ---- */

Value slot_value(Sema *s, Binding *binding, Span span)
{
    Instance *owner = binding->owner;
    if (!owner || binding->value.kind == VALUE_POISON)
        return value_poison;
    return slot_at(s, owner, &owner->slots.data[binding->tensor], span);
}

static void unknown_member(Sema *s, const Scope *scope, const char *what, AstName name)
{
    const char **names = ARENA_ARRAY(s->arena, const char *, scope->bindings.count + 1);
    for (uint32_t i = 0; i < scope->bindings.count; i++)
        names[i] = scope->bindings.data[i]->name;
    sema_unknown(s, ERR_E0104, name.span, arena_format(s->arena, "%s has nothing called", what),
                 name.text, names, scope->bindings.count);
}

static Value tuple_entry(Sema *s, const Value *base, AstName name)
{
    const ValueList *list = base->as.list;
    for (uint32_t i = 0; list->names && i < list->count; i++)
        if (list->names[i] && strcmp(list->names[i], name.text) == 0)
            return list->items[i];
    sema_error(s, ERR_E0104, name.span, NULL, "%s has no entry called %s", value_text(s, base),
               name.text);
    return value_poison;
}

Value eval_member(Sema *s, const AstExpr *expr)
{
    Value base = eval_expr(s, expr->as.member.base);
    AstName name = expr->as.member.name;
    const Scope *scope = NULL;
    const char *what = NULL;
    switch (base.kind) {
    case VALUE_POISON:
        return value_poison;
    case VALUE_INSTANCE:
        scope = base.as.instance->scope;
        what = base.as.instance->decl->item->name.text;
        break;
    case VALUE_NAMESPACE:
        scope = base.as.file->scope;
        what = base.as.file->name;
        break;
    case VALUE_TUPLE:
        return tuple_entry(s, &base, name);
    default: {
        DiagItem *item =
            sema_error(s, ERR_E0104, name.span, NULL, "%s has no members", value_text(s, &base));
        uint32_t row = 0;
        const char *ours = sema_foreign(name.text, &row);
        const char *function = ours ? ours : name.text;
        if (base.kind == VALUE_TENSOR)
            diag_help(item, "functions are called as %s(x) or x |> %s", function, function);
        return value_poison;
    }
    }
    Binding *binding = scope_find_local(scope, name.text);
    if (binding)
        return binding_value(s, binding, expr->span);
    unknown_member(s, scope, what, name);
    return value_poison;
}
