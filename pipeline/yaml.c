#include "pipeline/yaml.h"

#include "pipeline/names.h"

#include "base/limits.h"
#include "base/memory.h"

#include <libfyaml.h>
#include <uthash.h>

enum {
    // Nodes that aliases may add to the tree, counted as if they were copied: the bound that keeps a few lines from
    // standing for billions of nodes.
    ALIASED_NODES_MOST = 1000000,
    LINEAR_KEYS = 12, // up to here comparing each key with each other is quicker than hashing
};

struct anchor {
    struct sc_slice name;
    const struct sc_yaml_node *node; // NULL while it is being read
    uint64_t nodes_before;           // weight of the tree when it began
    uint64_t weight;
    UT_hash_handle hh;
};

struct level {
    struct sc_yaml_node *node;
    struct sc_yaml_node **tail;
    struct sc_yaml_node *key; // in a map: the key that waits for its value
    struct anchor *anchor;
};

struct builder {
    struct sc_slice text;
    struct sc_arena *nodes, *texts;
    struct sc_report *report;
    struct sc_yaml_node *root;
    struct level levels[SC_LIMIT_DOCUMENT_DEPTH];
    int depth;
    struct sc_place last; // of what was read last: an empty value has no mark of its own
    struct anchor *anchors;
    uint64_t weight, aliased; // nodes, with what aliases stand for; those that aliases added
    bool failed, stop;
    uint32_t documents;
};

static void complain(struct builder *b, struct sc_place place, enum sc_rc rc, const char *hint,
                     const char *what)
{
    SC_REPORT(b->report, place, rc, hint, "%s", what);
    b->failed = true;
}

static void refuse_duplicate(struct builder *b, const struct sc_yaml_node *key, uint32_t first_line)
{
    SC_REPORT(b->report, sc_yaml_place(key), SC_DOCUMENT, NULL,
              "duplicate key \"" SC_SLICE_FMT "\": line %u has it", SC_SLICE_ARG(sc_yaml_text(key)),
              first_line);
    b->failed = true;
}

static void check_many_keys(struct builder *b, const struct sc_yaml_node *map)
{
    struct sc_names names;
    uint32_t line;
    sc_names_init(&names, map->count);
    for (const struct sc_yaml_node *key = map->first; key; key = key->next->next)
        if (!sc_names_add(&names, sc_yaml_text(key), key->line, &line))
            refuse_duplicate(b, key, line);
    sc_names_done(&names);
}

static void check_keys(struct builder *b, const struct sc_yaml_node *map)
{
    if (map->count > LINEAR_KEYS) {
        check_many_keys(b, map);
        return;
    }
    for (const struct sc_yaml_node *key = map->first; key; key = key->next->next)
        for (const struct sc_yaml_node *other = map->first; other != key; other = other->next->next)
            if (other->count == key->count && memcmp(other->text, key->text, key->count) == 0) {
                refuse_duplicate(b, key, other->line);
                break;
            }
}

// Hangs a node where the reading stands. Keys are checked here: only texts, and no merge keys.
static void attach(struct builder *b, struct sc_yaml_node *node)
{
    if (b->depth == 0) {
        b->root = node;
        return;
    }
    struct level *level = &b->levels[b->depth - 1];
    *level->tail = node;
    level->tail = &node->next;
    if (level->node->kind == SC_YAML_LIST) {
        level->node->count++;
        return;
    }
    if (level->key) {
        level->key = NULL;
        level->node->count++;
        return;
    }
    level->key = node;
    if (node->kind != SC_YAML_SCALAR) {
        complain(b, sc_yaml_place(node), SC_DOCUMENT, NULL, "a key must be a text");
        b->stop = true;
    } else if (node->plain && sc_slice_eq_str(sc_yaml_text(node), "<<")) {
        complain(b, sc_yaml_place(node), SC_UNSUPPORTED, "write the keys out, or use `defaults`",
                 "merge keys (<<) are not part of YAML 1.2");
    }
}

static struct sc_yaml_node *new_node(struct builder *b, enum sc_yaml_kind kind, const struct fy_mark *mark)
{
    struct sc_yaml_node *node = SC_NEW(b->nodes, struct sc_yaml_node);
    node->kind = (uint8_t)kind;
    if (mark)
        b->last = (struct sc_place){(uint32_t)mark->line + 1, (uint32_t)mark->column + 1};
    node->line = b->last.line;
    node->column = b->last.column;
    b->weight++;
    return node;
}

static struct sc_slice token_text(struct fy_token *token)
{
    size_t len = 0;
    const char *text = fy_token_get_text(token, &len);
    return sc_slice(text, text ? len : 0);
}

static struct anchor *begin_anchor(struct builder *b, struct fy_token *token)
{
    if (!token)
        return NULL;
    struct sc_slice name = sc_arena_copy(b->nodes, token_text(token));
    struct anchor *anchor;
    HASH_FIND(hh, b->anchors, name.ptr, name.len, anchor);
    if (!anchor) {
        anchor = SC_NEW(b->nodes, struct anchor);
        anchor->name = name;
        HASH_ADD_KEYPTR(hh, b->anchors, anchor->name.ptr, anchor->name.len, anchor);
    }
    anchor->node = NULL;
    anchor->nodes_before = b->weight;
    return anchor;
}

static void end_anchor(struct builder *b, struct anchor *anchor, const struct sc_yaml_node *node)
{
    if (!anchor)
        return;
    anchor->node = node;
    anchor->weight = b->weight - anchor->nodes_before;
}

static void refuse_tag(struct builder *b, struct fy_token *tag)
{
    if (!tag)
        return;
    const struct fy_mark *mark = fy_token_start_mark(tag);
    struct sc_place place =
        mark ? (struct sc_place){(uint32_t)mark->line + 1, (uint32_t)mark->column + 1} : b->last;
    struct sc_slice text = token_text(tag);
    SC_REPORT(b->report, place, SC_UNSUPPORTED, "quote the value where a text is meant",
              "tags are not supported: " SC_SLICE_FMT, SC_SLICE_ARG(text));
    b->failed = true;
}

// Most scalars stand in the document as they are: on one line, without escapes. Those are borrowed from there; asking
// the token for its text would make a copy of each.
static bool verbatim_text(const struct builder *b, struct fy_token *token, enum fy_scalar_style style,
                          struct sc_slice *ret_text)
{
    const struct fy_mark *start = fy_token_start_mark(token), *end = fy_token_end_mark(token);
    int escape = 0;
    if (!start || !end || start->line != end->line || end->input_pos > b->text.len ||
        start->input_pos > end->input_pos)
        return false;
    if (style == FYSS_SINGLE_QUOTED)
        escape = '\'';
    else if (style == FYSS_DOUBLE_QUOTED)
        escape = '\\';
    else if (style != FYSS_PLAIN)
        return false;
    struct sc_slice text = sc_slice(b->text.ptr + start->input_pos, end->input_pos - start->input_pos);
    if (memchr(text.ptr, escape, text.len)) // in a plain one, a NUL
        return false;
    *ret_text = text;
    return true;
}

static void on_scalar(struct builder *b, struct fy_event *event)
{
    struct fy_token *token = event->scalar.value;
    refuse_tag(b, event->scalar.tag);
    struct anchor *anchor = begin_anchor(b, event->scalar.anchor);
    const struct fy_mark *mark = fy_token_start_mark(token);
    struct sc_yaml_node *node = new_node(b, SC_YAML_SCALAR, mark);
    enum fy_scalar_style style = fy_token_scalar_style(token);
    node->plain = style == FYSS_PLAIN;
    // The mark of a quoted scalar is behind its quote.
    if (mark && (style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED) && node->column > 1)
        node->column--;
    struct sc_slice text;
    if (!verbatim_text(b, token, style, &text)) {
        text = sc_arena_copy(b->texts, token_text(token)); // the token's own copy ends with the event
        if (memchr(text.ptr, 0, text.len))
            complain(b, sc_yaml_place(node), SC_DOCUMENT, NULL, "a text must not contain NUL");
    }
    node->text = text.ptr;
    node->count = (uint32_t)text.len;
    attach(b, node);
    end_anchor(b, anchor, node);
}

static void on_start(struct builder *b, enum sc_yaml_kind kind, const struct fy_mark *mark,
                     struct fy_token *anchor, struct fy_token *tag)
{
    refuse_tag(b, tag);
    struct anchor *begun = begin_anchor(b, anchor);
    struct sc_yaml_node *node = new_node(b, kind, mark);
    if (b->depth == SC_LIMIT_DOCUMENT_DEPTH) {
        SC_REPORT(b->report, sc_yaml_place(node), SC_LIMIT, NULL, "nested more than %d deep",
                  SC_LIMIT_DOCUMENT_DEPTH);
        b->failed = b->stop = true;
        return;
    }
    attach(b, node);
    b->levels[b->depth++] = (struct level){.node = node, .tail = &node->first, .anchor = begun};
}

static void on_end(struct builder *b)
{
    SC_ASSERT(b->depth > 0);
    struct level *level = &b->levels[--b->depth];
    if (level->node->kind == SC_YAML_MAP)
        check_keys(b, level->node);
    end_anchor(b, level->anchor, level->node);
}

static void on_alias(struct builder *b, struct fy_event *event)
{
    struct sc_slice name = token_text(event->alias.anchor);
    const struct fy_mark *mark = fy_token_start_mark(event->alias.anchor);
    struct sc_yaml_node *node = new_node(b, SC_YAML_SCALAR, mark);
    if (mark && node->column > 1) // the mark is behind the asterisk
        b->last.column = --node->column;
    struct anchor *anchor;
    HASH_FIND(hh, b->anchors, name.ptr, name.len, anchor);
    if (!anchor || !anchor->node) {
        SC_REPORT(b->report, sc_yaml_place(node), SC_DOCUMENT, NULL,
                  "no anchor &" SC_SLICE_FMT " ends before this alias", SC_SLICE_ARG(name));
        b->failed = b->stop = true;
        return;
    }
    b->weight += anchor->weight;
    b->aliased += anchor->weight;
    if (b->aliased > ALIASED_NODES_MOST) {
        SC_REPORT(b->report, sc_yaml_place(node), SC_LIMIT, NULL, "aliases stand for more than %d values",
                  ALIASED_NODES_MOST);
        b->failed = b->stop = true;
        return;
    }
    struct sc_yaml_node shared = *anchor->node;
    shared.next = NULL;
    shared.alias = true;
    shared.line = node->line;
    shared.column = node->column;
    *node = shared;
    attach(b, node);
}

static void on_document(struct builder *b, struct fy_event *event)
{
    const struct fy_mark *mark = fy_event_start_mark(event);
    struct sc_place place = {mark ? (uint32_t)mark->line + 1 : 1, mark ? (uint32_t)mark->column + 1 : 1};
    struct fy_document_state *state = event->document_start.document_state;
    if (b->documents++ > 0) {
        complain(b, place, SC_UNSUPPORTED, "one file holds one pipeline",
                 "a second YAML document begins here");
        b->stop = true;
        return;
    }
    const struct fy_version *version = fy_document_state_version(state);
    bool other =
        fy_document_state_version_explicit(state) && version && (version->major != 1 || version->minor != 2);
    if (other || fy_document_state_tags_explicit(state)) {
        complain(b, place, SC_UNSUPPORTED, "remove the lines that begin with %",
                 other ? "only YAML 1.2 is read" : "YAML tags are not supported");
        b->stop = true;
    }
}

static void on_event(struct builder *b, struct fy_event *event)
{
    switch (event->type) {
    case FYET_DOCUMENT_START:
        on_document(b, event);
        return;
    case FYET_SCALAR:
        on_scalar(b, event);
        return;
    case FYET_MAPPING_START:
        on_start(b, SC_YAML_MAP, fy_event_start_mark(event), event->mapping_start.anchor,
                 event->mapping_start.tag);
        return;
    case FYET_SEQUENCE_START:
        on_start(b, SC_YAML_LIST, fy_event_start_mark(event), event->sequence_start.anchor,
                 event->sequence_start.tag);
        return;
    case FYET_MAPPING_END:
    case FYET_SEQUENCE_END:
        on_end(b);
        return;
    case FYET_ALIAS:
        on_alias(b, event);
        return;
    case FYET_NONE:
    case FYET_STREAM_START:
    case FYET_STREAM_END:
    case FYET_DOCUMENT_END:
        return;
    }
}

static void report_syntax(struct builder *b, struct fy_diag *diag)
{
    void *iterator = NULL;
    struct fy_diag_error *error;
    bool any = false;
    while ((error = fy_diag_errors_iterate(diag, &iterator))) {
        if (error->type != FYET_ERROR)
            continue;
        struct sc_place place = {error->line > 0 ? (uint32_t)error->line : 0,
                                 error->column > 0 ? (uint32_t)error->column : 0};
        SC_REPORT(b->report, place, SC_DOCUMENT, NULL, "not YAML: %s", error->msg);
        any = true;
    }
    if (!any)
        SC_REPORT(b->report, b->last, SC_DOCUMENT, NULL, "not YAML");
    b->failed = true;
}

static void read_events(struct builder *b)
{
    struct fy_diag_cfg diag_cfg;
    fy_diag_cfg_default(&diag_cfg);
    diag_cfg.fp = NULL;
    struct fy_diag *diag = fy_diag_create(&diag_cfg);
    SC_ASSERT(diag != NULL);
    fy_diag_set_collect_errors(diag, true);
    struct fy_parse_cfg cfg = {.flags = FYPCF_QUIET | FYPCF_JSON_NONE | FYPCF_DEFAULT_VERSION_1_2,
                               .diag = diag};
    struct fy_parser *parser = fy_parser_create(&cfg);
    SC_ASSERT(parser != NULL);
    SC_ASSERT(fy_parser_set_string(parser, (const char *)b->text.ptr, b->text.len) == 0);
    struct fy_event *event;
    while (!b->stop && (event = fy_parser_parse(parser))) {
        on_event(b, event);
        fy_parser_event_free(parser, event);
    }
    if (!b->stop && fy_parser_get_stream_error(parser))
        report_syntax(b, diag);
    fy_parser_destroy(parser);
    fy_diag_destroy(diag);
}

// Where the first byte stands that is not UTF-8, or NUL.
static struct sc_place bad_place(struct sc_slice text)
{
    struct sc_place place = {1, 1};
    for (size_t i = 0; i < text.len;) {
        size_t n = 1;
        while (n <= 4 && !(i + n <= text.len && sc_slice_is_utf8(sc_slice(text.ptr + i, n))))
            n++;
        if (n > 4 || text.ptr[i] == 0)
            break;
        if (text.ptr[i] == '\n')
            place = (struct sc_place){place.line + 1, 1};
        else
            place.column++;
        i += n;
    }
    return place;
}

bool sc_yaml_read(struct sc_slice text, struct sc_arena *nodes, struct sc_arena *texts,
                  struct sc_report *report, struct sc_yaml_node **ret_root)
{
    struct builder b = {.text = text, .nodes = nodes, .texts = texts, .report = report, .last = {1, 1}};
    if (text.len > SC_LIMIT_DOCUMENT_BYTES) {
        SC_REPORT(report, (struct sc_place){0}, SC_LIMIT, NULL, "%zu bytes of document are more than %u",
                  text.len, SC_LIMIT_DOCUMENT_BYTES);
        return false;
    }
    if (!sc_slice_is_utf8(text)) {
        complain(&b, bad_place(text), SC_DOCUMENT, "save the file as UTF-8", "not UTF-8");
        return false;
    }
    // libfyaml takes NUL for the end and says nothing of what follows.
    if (text.len > 0 && memchr(text.ptr, 0, text.len)) {
        complain(&b, bad_place(text), SC_DOCUMENT, NULL, "a NUL byte stands in the document");
        return false;
    }
    // An empty string would make libfyaml measure it by itself.
    if (text.len > 0)
        read_events(&b);
    HASH_CLEAR(hh, b.anchors);
    if (!b.failed && !b.root) {
        SC_REPORT(report, (struct sc_place){0}, SC_DOCUMENT, "begin with `stepcache: 1`",
                  "the document is empty");
        b.failed = true;
    }
    *ret_root = b.root;
    return !b.failed;
}

bool sc_yaml_is_null(const struct sc_yaml_node *node)
{
    struct sc_slice s = sc_yaml_text(node);
    return node->kind == SC_YAML_SCALAR && node->plain &&
           (s.len == 0 || sc_slice_eq_str(s, "~") || sc_slice_eq_str(s, "null") ||
            sc_slice_eq_str(s, "Null") || sc_slice_eq_str(s, "NULL"));
}

bool sc_yaml_bool(const struct sc_yaml_node *node, bool *ret_value)
{
    static const char *const texts[] = {"false", "False", "FALSE", "true", "True", "TRUE"};
    if (node->kind != SC_YAML_SCALAR || !node->plain)
        return false;
    for (size_t i = 0; i < SC_COUNT(texts); i++)
        if (sc_slice_eq_str(sc_yaml_text(node), texts[i])) {
            *ret_value = i >= 3;
            return true;
        }
    return false;
}

static size_t digits(struct sc_slice s, size_t from)
{
    size_t i = from;
    while (i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9')
        i++;
    return i - from;
}

static size_t sign(struct sc_slice s)
{
    return s.len && (s.ptr[0] == '-' || s.ptr[0] == '+');
}

bool sc_yaml_is_integer(const struct sc_yaml_node *node)
{
    struct sc_slice s = sc_yaml_text(node);
    if (node->kind != SC_YAML_SCALAR || !node->plain)
        return false;
    size_t at = sign(s), n = digits(s, at);
    return n > 0 && at + n == s.len;
}

// [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?
bool sc_yaml_is_number(const struct sc_yaml_node *node)
{
    struct sc_slice s = sc_yaml_text(node);
    if (node->kind != SC_YAML_SCALAR || !node->plain)
        return false;
    size_t at = sign(s), whole = digits(s, at), fraction = 0;
    at += whole;
    if (at < s.len && s.ptr[at] == '.') {
        fraction = digits(s, at + 1);
        at += 1 + fraction;
    }
    if (whole + fraction == 0)
        return false;
    if (at < s.len && (s.ptr[at] == 'e' || s.ptr[at] == 'E')) {
        at++;
        at += sign(sc_slice_from(s, at));
        size_t exponent = digits(s, at);
        if (exponent == 0)
            return false;
        at += exponent;
    }
    return at == s.len;
}
