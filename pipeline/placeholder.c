// ${params.x} ${inputs.x} ${outputs.x} ${matrix.x} ${run.x} in texts. `${name}` without a dot belongs to the shell in
// a script; in arguments and variables, where there is no shell, it is the text as it stands, so that
// `[sh, -c, 'echo ${HOME}']` means what it says. `$${` is a literal `${`.
#include "pipeline/compile.h"

#include "base/limits.h"
#include "base/memory.h"

// Texts that filling in may make in all: a short placeholder can stand for 64 KiB, and a document has millions.
#define MADE_BYTES_MOST (SC_LIMIT_PLAN_BYTES / 2)

enum scope { SCOPE_PARAMS, SCOPE_INPUTS, SCOPE_OUTPUTS, SCOPE_MATRIX, SCOPE_RUN, SCOPE_COUNT };
static const char *const scope_names[] = {"params", "inputs", "outputs", "matrix", "run"};

struct reading {
    struct sc_compile *c;
    const struct sc_plan_step *step;
    enum sc_word_kind kind;
    const struct sc_yaml_node *node;
    const char *what;
    size_t at, bytes; // the placeholder that is read, in the node's text
    bool failed;
};

static bool is_word(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static size_t skip_blanks(struct sc_slice s, size_t at)
{
    while (at < s.len && (s.ptr[at] == ' ' || s.ptr[at] == '\t'))
        at++;
    return at;
}

// Whether the "${" at `at` begins a placeholder of ours: a word and a dot follow.
static bool is_ours(struct sc_slice s, size_t at)
{
    size_t start = skip_blanks(s, at + 2), i = start;
    while (i < s.len && is_word(s.ptr[i]))
        i++;
    return i > start && i < s.len && s.ptr[i] == '.' && !(s.ptr[start] >= '0' && s.ptr[start] <= '9');
}

// ---- where it stands, for messages

static size_t offset_of(struct sc_slice text, uint32_t line, uint32_t column)
{
    size_t at = 0;
    for (uint32_t l = 1; l < line; l++) {
        const uint8_t *end = at < text.len ? memchr(text.ptr + at, '\n', text.len - at) : NULL;
        if (!end)
            return text.len;
        at = (size_t)(end - text.ptr) + 1;
    }
    for (uint32_t k = 1; k < column && at < text.len; k++)
        for (at++; at < text.len && (text.ptr[at] & 0xC0) == 0x80;)
            at++;
    return at;
}

static const uint8_t *find(struct sc_slice in, struct sc_slice needle)
{
    return in.len >= needle.len ? memmem(in.ptr, in.len, needle.ptr, needle.len) : NULL;
}

// The place of the placeholder that is read: as many of its like are passed in the document as in the node's text. What
// is written with escapes is not found; then the node's place must do. A walk over the document, so only for mistakes.
static struct sc_place here(const struct reading *r)
{
    size_t at = r->at, bytes = r->bytes;
    struct sc_place place = sc_yaml_place(r->node);
    struct sc_slice text = sc_yaml_text(r->node), document = r->c->text;
    struct sc_slice needle = sc_slice(text.ptr + at, bytes);
    if (r->node->alias || !sc_hints(r->c))
        return place;
    size_t from = offset_of(document, place.line, place.column), window = 4 * text.len + 4096;
    size_t end = document.len - from < window ? document.len : from + window, seen = from;
    const uint8_t *hit;
    for (size_t passed = 0;; passed = (size_t)(hit - text.ptr) + bytes) {
        hit = find(sc_slice(text.ptr + passed, at + bytes - passed), needle);
        const uint8_t *there = find(sc_slice(document.ptr + seen, end - seen), needle);
        if (!hit || !there)
            return place;
        seen = (size_t)(there - document.ptr) + bytes;
        if ((size_t)(hit - text.ptr) == at)
            break;
    }
    for (size_t i = from; i < seen - bytes; i++) {
        if (document.ptr[i] == '\n')
            place = (struct sc_place){place.line + 1, 1};
        else if ((document.ptr[i] & 0xC0) != 0x80)
            place.column++;
    }
    return place;
}

// ---- the segments of the word that is read

static void push(struct reading *r, struct sc_segment segment)
{
    struct sc_compile *c = r->c;
    if (c->segment_count == c->segment_capacity) {
        c->segment_capacity = c->segment_capacity ? c->segment_capacity * 2 : 32;
        c->segments = sc_realloc(c->segments, c->segment_capacity, sizeof *c->segments);
    }
    c->segments[c->segment_count++] = segment;
}

static void push_text(struct reading *r, struct sc_slice text)
{
    if (text.len > 0)
        push(r, (struct sc_segment){.kind = SC_SEGMENT_TEXT, .text = text});
}

static void push_use(struct reading *r, struct sc_slice name, struct sc_slice value)
{
    struct sc_compile *c = r->c;
    if (c->use_count == c->use_capacity) {
        c->use_capacity = c->use_capacity ? c->use_capacity * 2 : 16;
        c->uses = sc_realloc(c->uses, c->use_capacity, sizeof *c->uses);
    }
    c->uses[c->use_count++] = (struct sc_plan_label){name, value};
}

// ---- one placeholder

static void report_unknown_port(struct reading *r, enum scope scope, struct sc_slice name)
{
    static const char *const nouns[] = {"parameter", "input", "output", "matrix key", "run"};
    const struct sc_plan_step *step = r->step;
    struct sc_suggest suggest;
    sc_suggest_begin(&suggest, name);
    if (scope == SCOPE_INPUTS)
        for (uint32_t i = 0; i < step->inputs.count; i++)
            sc_suggest_try(&suggest, step->inputs.items[i].name);
    if (scope == SCOPE_OUTPUTS)
        for (uint32_t i = 0; i < step->outputs.count; i++)
            sc_suggest_try(&suggest, step->outputs.items[i].name);
    if (scope == SCOPE_MATRIX)
        for (uint32_t i = 0; i < step->matrix.count; i++)
            sc_suggest_try(&suggest, step->matrix.items[i].name);
    sc_report_add(&r->c->report, here(r), SC_DOCUMENT, sc_hint(r->c, &suggest),
                  SC_SLICE_FMT ": the step has no %s \"" SC_SLICE_FMT "\"",
                  SC_SLICE_ARG(sc_slice(r->node->text + r->at, r->bytes)), nouns[scope], SC_SLICE_ARG(name));
    r->failed = true;
}

static void fill_port(struct reading *r, enum scope scope, struct sc_slice name)
{
    const struct sc_plan_step *step = r->step;
    uint32_t at;
    if (scope == SCOPE_INPUTS) {
        at = sc_plan_search(step->inputs.items, step->inputs.count, sizeof *step->inputs.items, name);
        if (at < step->inputs.count) {
            push(r, (struct sc_segment){.kind = SC_SEGMENT_IN, .text = step->inputs.items[at].name});
            return;
        }
    } else if (scope == SCOPE_OUTPUTS) {
        at = sc_plan_search(step->outputs.items, step->outputs.count, sizeof *step->outputs.items, name);
        if (at < step->outputs.count) {
            push(r, (struct sc_segment){.kind = SC_SEGMENT_OUT, .text = step->outputs.items[at].name});
            return;
        }
    } else {
        at = sc_plan_search(step->matrix.items, step->matrix.count, sizeof *step->matrix.items, name);
        if (at < step->matrix.count) {
            push(r, (struct sc_segment){.kind = SC_SEGMENT_MATRIX, .index = at});
            return;
        }
    }
    report_unknown_port(r, scope, name);
}

static void fill_run(struct reading *r, struct sc_slice name)
{
    struct sc_compile *c = r->c;
    if (!sc_slice_eq_str(name, "id") && !sc_slice_eq_str(name, "name") && !sc_slice_eq_str(name, "status")) {
        SC_REPORT(&c->report, here(r), SC_DOCUMENT, "there are run.id, run.name and run.status",
                  "the run has no \"" SC_SLICE_FMT "\"", SC_SLICE_ARG(name));
        r->failed = true;
    } else if (!r->step->cache_disabled) {
        SC_REPORT(&c->report, here(r), SC_DOCUMENT, "give the step `cache: {enabled: false}`",
                  "${run." SC_SLICE_FMT "} differs in every run: it is allowed only where the cache is off",
                  SC_SLICE_ARG(name));
        r->failed = true;
    } else {
        push(r, (struct sc_segment){.kind = SC_SEGMENT_RUN, .text = name});
    }
}

static void fill_param(struct reading *r, struct sc_slice inner, struct sc_slice path)
{
    struct sc_slice text;
    if (!sc_param_text(r->c, path, NULL, &text)) {
        const struct sc_place place = here(r);
        r->failed = true;
        if (!sc_param_text(r->c, path, &place, &text))
            return;
    }
    if (r->step)
        push_use(r, inner, text);
    if (r->kind == SC_WORD_SCRIPT)
        push(r, (struct sc_segment){.kind = SC_SEGMENT_VALUE, .text = text});
    else
        push_text(r, text);
}

static void report_unknown_scope(struct reading *r, struct sc_slice scope, struct sc_slice inner)
{
    struct sc_compile *c = r->c;
    struct sc_suggest suggest;
    r->failed = true;
    if (sc_slice_eq_str(scope, "secrets")) {
        SC_REPORT(&c->report, here(r), SC_UNSUPPORTED,
                  "give the value to the agents' own environment for now", "secrets are not supported yet");
        return;
    }
    if (sc_slice_eq_str(scope, "steps") || sc_slice_eq_str(scope, "sources")) {
        SC_REPORT(&c->report, here(r), SC_DOCUMENT,
                  "declare it in the step's `inputs` and write ${inputs.<name>}",
                  "${" SC_SLICE_FMT "}: a step sees only what its inputs name", SC_SLICE_ARG(inner));
        return;
    }
    if (sc_slice_eq_str(scope, "env")) {
        SC_REPORT(&c->report, here(r), SC_DOCUMENT, "in `run` the shell expands $NAME",
                  "${" SC_SLICE_FMT "} is no placeholder", SC_SLICE_ARG(inner));
        return;
    }
    sc_suggest_begin(&suggest, scope);
    for (int i = 0; i < SCOPE_COUNT; i++)
        sc_suggest_try(&suggest, sc_slice_str(scope_names[i]));
    sc_report_add(&c->report, here(r), SC_DOCUMENT, sc_hint(c, &suggest),
                  "unknown placeholder ${" SC_SLICE_FMT "}", SC_SLICE_ARG(inner));
}

static void fill(struct reading *r, struct sc_slice inner)
{
    const uint8_t *dot = memchr(inner.ptr, '.', inner.len);
    struct sc_slice scope = sc_slice(inner.ptr, (size_t)(dot - inner.ptr)),
                    name = sc_slice_from(inner, scope.len + 1);
    int which = 0;
    while (which < SCOPE_COUNT && !sc_slice_eq_str(scope, scope_names[which]))
        which++;
    if (which == SCOPE_COUNT) {
        report_unknown_scope(r, scope, inner);
    } else if (which == SCOPE_PARAMS) {
        fill_param(r, inner, name);
    } else if (r->kind == SC_WORD_PLAIN) {
        SC_REPORT(&r->c->report, here(r), SC_DOCUMENT, NULL,
                  "%s: only parameters may stand here, not ${" SC_SLICE_FMT "}", r->what,
                  SC_SLICE_ARG(inner));
        r->failed = true;
    } else if (which == SCOPE_RUN) {
        fill_run(r, name);
    } else {
        fill_port(r, (enum scope)which, name);
    }
}

// Reads the placeholder at `at` and returns where the text goes on.
static size_t read_placeholder(struct reading *r, struct sc_slice s, size_t at)
{
    size_t start = at + 2, end = start;
    while (end < s.len && (is_word(s.ptr[end]) || s.ptr[end] == '.' || s.ptr[end] == '-'))
        end++;
    r->at = at;
    if (end == s.len || s.ptr[end] != '}' || end == start || s.ptr[end - 1] == '.') {
        r->bytes = end - at;
        SC_REPORT(&r->c->report, here(r), SC_DOCUMENT,
                  "write ${params.name} without blanks; `$${` is a literal `${`", "a malformed placeholder");
        r->failed = true;
        return end;
    }
    r->bytes = end + 1 - at;
    fill(r, sc_slice(s.ptr + start, end - start));
    return end + 1;
}

// ---- a whole text

static void split(struct reading *r, struct sc_slice s)
{
    size_t start = 0, at = 0;
    for (const uint8_t *dollar; at < s.len && (dollar = memchr(s.ptr + at, '$', s.len - at)) != NULL;) {
        at = (size_t)(dollar - s.ptr);
        struct sc_slice rest = sc_slice_from(s, at);
        if (sc_slice_starts(rest, "$${")) {
            push_text(r, sc_slice(s.ptr + start, at - start));
            start = at + 1;
            at += 3;
        } else if (sc_slice_starts(rest, "${") && is_ours(s, at)) {
            push_text(r, sc_slice(s.ptr + start, at - start));
            start = at = read_placeholder(r, s, at);
        } else {
            at++;
        }
    }
    push_text(r, sc_slice_from(s, start));
}

// Puts the pieces [first, end) of text together.
static bool join(struct reading *r, uint32_t first, uint32_t end, struct sc_slice *ret_text)
{
    struct sc_compile *c = r->c;
    size_t bytes = 0, at = 0;
    for (uint32_t i = first; i < end; i++)
        bytes += c->segments[i].text.len;
    if (bytes > SC_LIMIT_VALUE_BYTES) {
        SC_TOO_MUCH(c, r->node, "%s: a text of %zu bytes is more than %u", r->what, bytes,
                    SC_LIMIT_VALUE_BYTES);
        return false;
    }
    if (end - first == 1) {
        *ret_text = c->segments[first].text;
        return true;
    }
    c->made_bytes += bytes;
    if (c->made_bytes > MADE_BYTES_MOST) {
        SC_TOO_MUCH(c, r->node, "texts with their parameters filled in are more than %u bytes",
                    MADE_BYTES_MOST);
        return false;
    }
    uint8_t *joined = sc_arena_alloc(c->arena, bytes);
    for (uint32_t i = first; i < end; i++) {
        memcpy(joined + at, c->segments[i].text.ptr, c->segments[i].text.len);
        at += c->segments[i].text.len;
    }
    *ret_text = sc_slice(joined, bytes);
    return true;
}

// Neighbouring texts become one segment.
static bool finish(struct reading *r, struct sc_word *ret_word)
{
    struct sc_compile *c = r->c;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < c->segment_count;) {
        struct sc_segment segment = c->segments[i];
        uint32_t end = i + 1;
        if (segment.kind == SC_SEGMENT_TEXT) {
            while (end < c->segment_count && c->segments[end].kind == SC_SEGMENT_TEXT)
                end++;
            if (!join(r, i, end, &segment.text))
                return false;
        }
        c->segments[kept++] = segment;
        i = end;
    }
    if (kept > SC_PLAN_SEGMENTS_MOST) {
        SC_TOO_MUCH(c, r->node, "%s: %u placeholders and texts are more than %d", r->what, kept,
                    SC_PLAN_SEGMENTS_MOST);
        return false;
    }
    ret_word->segments.items = kept ? SC_NEW_ARRAY(c->arena, kept, struct sc_segment) : NULL;
    ret_word->segments.count = kept;
    if (kept)
        memcpy(ret_word->segments.items, c->segments, kept * sizeof *c->segments);
    return true;
}

bool sc_read_word(struct sc_compile *c, const struct sc_plan_step *step, enum sc_word_kind kind,
                  const struct sc_yaml_node *node, const char *what, struct sc_word *ret_word)
{
    struct reading r = {.c = c, .step = step, .kind = kind, .node = node, .what = what};
    struct sc_slice text;
    if (!sc_want_text(c, node, what, &text))
        return false;
    c->segment_count = 0;
    split(&r, text);
    return !r.failed && finish(&r, ret_word);
}

bool sc_read_filled(struct sc_compile *c, const struct sc_yaml_node *node, const char *what,
                    struct sc_slice *ret_text)
{
    struct reading r = {.c = c, .kind = SC_WORD_PLAIN, .node = node, .what = what};
    struct sc_slice text;
    if (!sc_want_text(c, node, what, &text))
        return false;
    c->segment_count = 0;
    split(&r, text);
    if (r.failed)
        return false;
    if (c->segment_count == 0) {
        *ret_text = sc_slice(text.ptr, 0);
        return true;
    }
    return join(&r, 0, c->segment_count, ret_text);
}
