#include "store/s3/credentials_files.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/os/file.h"
#include "store/s3/secret.h"

#include <errno.h>
#include <pwd.h>
#include <unistd.h>

static const struct {
    const char *variable, *path;
} places[] = {
    [SC_S3_CONFIG] = {"AWS_CONFIG_FILE", "~/.aws/config"},
    [SC_S3_CREDENTIALS] = {"AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"},
};

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f' || c == '\v';
}

static struct sc_slice trim(struct sc_slice s)
{
    while (s.len && is_blank(s.ptr[s.len - 1]))
        s.len--;
    while (s.len && is_blank(s.ptr[0]))
        s = sc_slice_from(s, 1);
    return s;
}

static size_t find(struct sc_slice s, char c)
{
    const uint8_t *at = s.len ? memchr(s.ptr, c, s.len) : NULL;
    return at ? (size_t)(at - s.ptr) : s.len;
}

// A remark behind a value needs a blank before it; secrets and tokens hold no blanks.
static struct sc_slice without_remark(struct sc_slice s)
{
    for (size_t i = 1; i < s.len; i++)
        if ((s.ptr[i] == '#' || s.ptr[i] == ';') && is_blank(s.ptr[i - 1]))
            return trim(sc_slice(s.ptr, i));
    return trim(s);
}

struct parser {
    struct sc_s3_file *file;
    bool in_section;               // a section's head was seen, of a profile or not
    struct sc_s3_section *section; // NULL: of no profile
    struct sc_s3_setting *setting; // that a deeper line goes on with
    struct sc_s3_setting ignored;  // of no profile
    size_t indent;                 // of that setting
};

static enum sc_rc parse_head(struct parser *p, struct sc_slice line, struct sc_error *err)
{
    size_t end = find(line, ']');
    if (end == line.len)
        return sc_error_set(err, SC_MALFORMED, "a section's name is not closed by ]");
    struct sc_slice behind = trim(sc_slice_from(line, end + 1));
    if (behind.len && behind.ptr[0] != '#' && behind.ptr[0] != ';')
        return sc_error_set(err, SC_MALFORMED, "there is more behind a section's name than a remark");
    struct sc_slice name = trim(sc_slice(line.ptr + 1, end - 1));
    struct sc_s3_file *file = p->file;
    bool prefixed = false;
    if (file->kind == SC_S3_CONFIG && !sc_slice_eq_str(name, "default")) {
        char **words;
        size_t count;
        prefixed = sc_s3_words(name, &file->arena, &words, &count, NULL) == SC_OK && count == 2 &&
                   strcmp(words[0], "profile") == 0;
        name = prefixed ? sc_slice_str(words[1]) : sc_slice(NULL, 0);
    }
    p->in_section = true;
    p->section = NULL;
    p->setting = NULL;
    if (name.len == 0)
        return SC_OK;
    p->section = SC_NEW(&file->arena, struct sc_s3_section);
    *p->section = (struct sc_s3_section){.profile = name, .prefixed = prefixed, .next = file->sections};
    file->sections = p->section;
    return SC_OK;
}

static enum sc_rc parse_setting(struct parser *p, struct sc_slice line, size_t indent, struct sc_error *err)
{
    size_t equals = find(line, '=');
    struct sc_slice name = trim(sc_slice(line.ptr, equals));
    if (equals == line.len || name.len == 0)
        return sc_error_set(err, SC_MALFORMED, "this is neither [a section] nor name = value");
    if (!p->in_section)
        return sc_error_set(err, SC_MALFORMED, "a setting stands before any [section]");
    p->indent = indent;
    p->setting = &p->ignored;
    if (p->section) {
        p->setting = SC_NEW(&p->file->arena, struct sc_s3_setting);
        p->setting->next = p->section->settings;
        p->section->settings = p->setting;
    }
    p->setting->name = name;
    p->setting->value = without_remark(sc_slice_from(line, equals + 1));
    return SC_OK;
}

// A line that stands deeper than the setting above it belongs to its value, as Python's configparser has it. The value
// then spans the lines as they stand in the file.
static void go_on(struct parser *p, struct sc_slice line)
{
    p->setting->value.len = (size_t)(line.ptr + line.len - p->setting->value.ptr);
}

static enum sc_rc parse_line(struct parser *p, struct sc_slice raw, struct sc_error *err)
{
    struct sc_slice line = trim(raw);
    if (line.len == 0 || line.ptr[0] == '#' || line.ptr[0] == ';')
        return SC_OK;
    size_t indent = (size_t)(line.ptr - raw.ptr);
    if (p->setting && indent > p->indent) {
        go_on(p, line);
        return SC_OK;
    }
    return line.ptr[0] == '[' ? parse_head(p, line, err) : parse_setting(p, line, indent, err);
}

enum sc_rc sc_s3_file_parse(struct sc_s3_file *file, struct sc_slice text, struct sc_error *err)
{
    struct parser p = {.file = file};
    if (text.len && memchr(text.ptr, 0, text.len))
        return sc_error_set(err, SC_MALFORMED, "it is no text: there is a NUL in it");
    for (uint32_t number = 1; text.len; number++) {
        size_t end = find(text, '\n');
        enum sc_rc rc = parse_line(&p, sc_slice(text.ptr, end), err);
        if (rc != SC_OK)
            return sc_error_wrap(err, rc, "line %u", number);
        text = sc_slice_from(text, end == text.len ? end : end + 1);
    }
    return SC_OK;
}

void sc_s3_file_init(struct sc_s3_file *file, enum sc_s3_file_kind kind)
{
    *file = (struct sc_s3_file){.kind = kind, .shown = places[kind].path};
    sc_buf_init(&file->text,
                SC_LIMIT_S3_PROFILES_BYTES + (128u << 10)); // room for the last reads of sc_file_read
    sc_arena_init(&file->arena);
}

void sc_s3_file_done(struct sc_s3_file *file)
{
    sc_s3_secret_done(&file->text);
    sc_arena_done(&file->arena);
}

const char *sc_s3_path(struct sc_arena *arena, struct sc_slice text)
{
    if (text.len == 0 || text.ptr[0] != '~' || (text.len > 1 && text.ptr[1] != '/'))
        return sc_arena_cstr(arena, text);
    const char *home = getenv("HOME");
    struct passwd entry, *self = NULL;
    char strings[4096];
    if (!home || !*home)
        home = getpwuid_r(getuid(), &entry, strings, sizeof strings, &self) == 0 && self ? self->pw_dir : "";
    struct sc_slice rest = sc_slice_from(text, 1);
    return (const char *)sc_arena_printf(arena, "%s" SC_SLICE_FMT, home, SC_SLICE_ARG(rest)).ptr;
}

enum sc_rc sc_s3_file_load(struct sc_s3_file *file, struct sc_error *err)
{
    const char *named = getenv(places[file->kind].variable);
    if (named && *named)
        file->shown = sc_arena_cstr(&file->arena, sc_slice_str(named));
    const char *path = sc_s3_path(&file->arena, sc_slice_str(file->shown));
    struct stat st;
    if (stat(path, &st)) {
        if (errno == ENOENT || errno == ENOTDIR)
            return SC_OK;
        return sc_error_errno(err, errno, "look for %s", file->shown);
    }
    if (!S_ISREG(st.st_mode))
        return SC_OK;
    file->found = true;
    sc_s3_secret_init(&file->text, SC_LIMIT_S3_PROFILES_BYTES + SC_FILE_READ_BYTES);
    enum sc_rc rc = sc_file_read(path, SC_LIMIT_S3_PROFILES_BYTES, &file->text, err);
    if (rc != SC_OK)
        return rc;
    rc = sc_s3_file_parse(file, sc_buf_slice(&file->text), err);
    return rc == SC_OK ? SC_OK : sc_error_wrap(err, rc, "%s", file->shown);
}

static bool same_name(struct sc_slice a, const char *b)
{
    return a.len == strlen(b) && strncasecmp((const char *)a.ptr, b, a.len) == 0;
}

// In a config file [profile default] makes [default] count for nothing.
static bool counts_prefixed(const struct sc_s3_file *file, struct sc_slice profile)
{
    for (const struct sc_s3_section *s = file->sections; s; s = s->next)
        if (s->prefixed && sc_slice_eq(s->profile, profile))
            return true;
    return false;
}

bool sc_s3_file_has(const struct sc_s3_file *file, struct sc_slice profile)
{
    for (const struct sc_s3_section *s = file->sections; s; s = s->next)
        if (sc_slice_eq(s->profile, profile))
            return true;
    return false;
}

struct sc_slice sc_s3_file_value(const struct sc_s3_file *file, struct sc_slice profile, const char *name)
{
    bool prefixed = counts_prefixed(file, profile);
    for (const struct sc_s3_section *s = file->sections; s; s = s->next) {
        if (s->prefixed != prefixed || !sc_slice_eq(s->profile, profile))
            continue;
        for (const struct sc_s3_setting *setting = s->settings; setting; setting = setting->next)
            if (same_name(setting->name, name))
                return setting->value;
    }
    return sc_slice(NULL, 0);
}

// One word from the front of `rest` into `at`; what it takes is less than what it reads.
static bool take_word(struct sc_slice *rest, char **at)
{
    uint8_t quote = 0;
    for (; rest->len && (quote || !is_blank(rest->ptr[0])); *rest = sc_slice_from(*rest, 1)) {
        uint8_t c = rest->ptr[0];
        if (quote ? c == quote : c == '"' || c == '\'') {
            quote = quote ? 0 : c;
            continue;
        }
        bool escapes = c == '\\' && quote != '\'';
        if (escapes && rest->len == 1)
            return false;
        if (escapes && (!quote || rest->ptr[1] == '"' || rest->ptr[1] == '\\')) {
            *rest = sc_slice_from(*rest, 1);
            c = rest->ptr[0];
        }
        *(*at)++ = (char)c;
    }
    return quote == 0;
}

enum sc_rc sc_s3_words(struct sc_slice text, struct sc_arena *arena, char ***ret_words, size_t *ret_count,
                       struct sc_error *err)
{
    char *at = sc_arena_alloc(arena, text.len + 1);
    char **words = SC_NEW_ARRAY(arena, text.len / 2 + 2, char *);
    size_t count = 0;
    if (text.len && memchr(text.ptr, 0, text.len))
        return sc_error_set(err, SC_MALFORMED, "there is a NUL in it");
    for (text = trim(text); text.len; text = trim(text)) {
        words[count++] = at;
        if (!take_word(&text, &at))
            return sc_error_set(err, SC_MALFORMED, "a quote or an escape in it is not ended");
        *at++ = 0;
    }
    words[count] = NULL;
    *ret_words = words;
    *ret_count = count;
    return SC_OK;
}
