#include "pipeline/document.h"

#include "base/memory.h"

// What is never code, wherever it lies.
static bool part_is_never_code(struct sc_slice part)
{
    return sc_slice_eq_str(part, ".git") || sc_slice_eq_str(part, "__pycache__") ||
           sc_slice_eq_str(part, ".stepcache") ||
           (part.len >= 4 && memcmp(part.ptr + part.len - 4, ".pyc", 4) == 0);
}

static bool is_never_code(struct sc_slice path)
{
    for (;;) {
        const uint8_t *slash = path.len ? memchr(path.ptr, '/', path.len) : NULL;
        struct sc_slice part = slash ? sc_slice(path.ptr, (size_t)(slash - path.ptr)) : path;
        if (part_is_never_code(part))
            return true;
        if (!slash)
            return false;
        path = sc_slice_from(path, part.len + 1);
    }
}

// A pattern without its "!", leading "./" and trailing "/".
struct pattern {
    struct sc_slice glob;
    bool excludes, folder;
};

static struct pattern parse(struct sc_slice text)
{
    struct pattern p = {.glob = text};
    if (p.glob.len && p.glob.ptr[0] == '!') {
        p.excludes = true;
        p.glob = sc_slice_from(p.glob, 1);
    }
    while (sc_slice_starts(p.glob, "./"))
        p.glob = sc_slice_from(p.glob, 2);
    while (p.glob.len && p.glob.ptr[p.glob.len - 1] == '/') {
        p.folder = true;
        p.glob.len--;
    }
    if (sc_slice_eq_str(p.glob, ".")) {
        p.folder = true;
        p.glob.len = 0;
    }
    return p;
}

// The first part of a path, which loses it.
static bool next_part(struct sc_slice *path, struct sc_slice *ret_part)
{
    if (path->len == 0)
        return false;
    const uint8_t *slash = memchr(path->ptr, '/', path->len);
    size_t n = slash ? (size_t)(slash - path->ptr) : path->len;
    *ret_part = sc_slice(path->ptr, n);
    *path = sc_slice_from(*path, slash ? n + 1 : n);
    return true;
}

// * and ? within a name. The last star is all that must be gone back to, so the time is at most the product.
static bool part_matches(struct sc_slice glob, struct sc_slice name)
{
    size_t g = 0, n = 0, star = SIZE_MAX, from = 0;
    while (n < name.len) {
        if (g < glob.len && (glob.ptr[g] == '?' || (glob.ptr[g] != '*' && glob.ptr[g] == name.ptr[n]))) {
            g++;
            // A question mark is one character, not one byte of it (RFC 3629: continuation bytes are 10xxxxxx).
            n++;
            while (glob.ptr[g - 1] == '?' && n < name.len && (name.ptr[n] & 0xC0) == 0x80)
                n++;
        } else if (g < glob.len && glob.ptr[g] == '*') {
            star = g++;
            from = n;
        } else if (star != SIZE_MAX) {
            g = star + 1;
            n = ++from;
        } else {
            return false;
        }
    }
    while (g < glob.len && glob.ptr[g] == '*')
        g++;
    return g == glob.len;
}

enum { PARTS_MOST = 63 }; // of a pattern; the compiler refuses more

struct reach {
    bool above; // something below the path can match
    bool whole; // the path itself matches
    bool below; // a folder above the path matches
};

// All the ways at once: bit j tells that the first j parts of the glob can stand for the parts of the path so far.
struct ways {
    struct sc_slice parts[PARTS_MOST + 1];
    unsigned count;
    uint64_t deep; // the parts that are "**"
};

static bool split(struct sc_slice glob, struct ways *ret)
{
    static const uint8_t star[] = "*";
    ret->count = 0;
    ret->deep = 0;
    for (struct sc_slice part; next_part(&glob, &part);) {
        if (ret->count + 1 > PARTS_MOST - 1)
            return false;
        if (sc_slice_eq_str(part, "**"))
            ret->deep |= UINT64_C(1) << ret->count;
        ret->parts[ret->count++] = part;
    }
    // "lib/**" is what lies in lib, not a file lib.
    if (ret->count > 0 && ret->deep >> (ret->count - 1))
        ret->parts[ret->count++] = sc_slice(star, 1);
    return true;
}

// "**" may stand for no part at all.
static uint64_t closed(const struct ways *ways, uint64_t set)
{
    for (unsigned j = 0; j < ways->count; j++)
        if (set >> j & 1 && ways->deep >> j & 1)
            set |= UINT64_C(1) << (j + 1);
    return set;
}

static struct reach match(struct sc_slice glob, struct sc_slice path)
{
    struct ways ways;
    struct reach reach = {0};
    if (!split(glob, &ways))
        return reach;
    uint64_t set = closed(&ways, 1), whole = UINT64_C(1) << ways.count;
    for (struct sc_slice name; next_part(&path, &name);) {
        uint64_t next = 0;
        reach.below |= (set & whole) != 0;
        for (unsigned j = 0; j < ways.count; j++) {
            if (!(set >> j & 1))
                continue;
            if (ways.deep >> j & 1)
                next |= UINT64_C(1) << j;
            else if (part_matches(ways.parts[j], name))
                next |= UINT64_C(1) << (j + 1);
        }
        set = closed(&ways, next);
    }
    reach.whole = (set & whole) != 0;
    reach.above = (set & ~whole) != 0;
    return reach;
}

static bool is_wild(struct sc_slice glob)
{
    return glob.len > 0 && (memchr(glob.ptr, '*', glob.len) || memchr(glob.ptr, '?', glob.len));
}

// A folder stands for all below it. A name without wildcards may be a folder's too, and where something lies below it,
// it is one.
static bool covers_below(const struct pattern *pattern)
{
    return pattern->folder || !is_wild(pattern->glob);
}

bool sc_code_matches(const sc_text_list *patterns, struct sc_slice path)
{
    bool is_code = false;
    if (path.len == 0 || is_never_code(path))
        return false;
    for (uint32_t i = 0; i < patterns->count; i++) {
        struct pattern pattern = parse(patterns->items[i]);
        if (is_code != pattern.excludes)
            continue; // it could change nothing
        struct reach reach = match(pattern.glob, path);
        if ((reach.whole && !pattern.folder) || (reach.below && covers_below(&pattern)))
            is_code = !pattern.excludes;
    }
    return is_code;
}

bool sc_code_may_contain(const sc_text_list *patterns, struct sc_slice path)
{
    bool may = false;
    if (path.len > 0 && is_never_code(path))
        return false;
    for (uint32_t i = 0; i < patterns->count; i++) {
        struct pattern pattern = parse(patterns->items[i]);
        struct reach reach = match(pattern.glob, path);
        bool all = covers_below(&pattern) && (reach.whole || reach.below);
        if (pattern.excludes)
            may = may && !all;
        else
            may = may || all || reach.above;
    }
    return may;
}
