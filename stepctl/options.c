#include "stepctl/options.h"

#include "base/memory.h"
#include "pipeline/suggest.h"

#include <errno.h>
#include <getopt.h>

static const struct sc_option_info table[SC_OPTION_COUNT] = {
#define X(name, text, letter, arg, optional, help) {text, letter, arg, optional, help},
    SC_OPTION_TABLE(X)
#undef X
};

const struct sc_option_info *sc_option_info(enum sc_option option)
{
    SC_ASSERT(option < SC_OPTION_COUNT);
    return &table[option];
}

static enum sc_rc parse_count(const char *text, const char *option, uint32_t *ret_count, struct sc_error *err)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno || end == text || *end || value == 0 || value > 1000000 || *text == '-')
        return sc_error_set(err, SC_INVALID, "--%s %s: a whole number from 1 to 1000000 is wanted", option,
                            text);
    *ret_count = (uint32_t)value;
    return SC_OK;
}

static void add_text(sc_text_list *list, const char *text)
{
    list->items[list->count++] = sc_slice_str(text);
}

static enum sc_rc add_param(struct sc_options *options, const char *text, struct sc_error *err)
{
    const char *equals = strchr(text, '=');
    if (!equals || equals == text) {
        enum sc_rc rc = sc_error_set(err, SC_INVALID, "-p %s: a parameter is set as NAME=VALUE", text);
        sc_error_hint(err, "for example: -p max_depth=7");
        return rc;
    }
    options->params.items[options->params.count++] =
        (struct sc_param_override){sc_slice(text, (size_t)(equals - text)), sc_slice_str(equals + 1)};
    return SC_OK;
}

// The flag that an option sets; NULL for one that takes more than that.
static bool *flag_of(struct sc_options *o, enum sc_option option)
{
    const struct {
        enum sc_option option;
        bool *flag;
    } flags[] = {
        {SC_OPTION_NO_CACHE, &o->run.no_cache},
        {SC_OPTION_CACHED_ONLY, &o->run.cached_only},
        {SC_OPTION_FAIL_FAST, &o->run.fail_fast},
        {SC_OPTION_JSON, &o->json},
        {SC_OPTION_PLAIN, &o->plain},
        {SC_OPTION_QUIET, &o->quiet},
        {SC_OPTION_LOGS, &o->logs},
        {SC_OPTION_WATCH, &o->watch},
        {SC_OPTION_FOLLOW, &o->follow},
        {SC_OPTION_YES, &o->yes},
        {SC_OPTION_SVG, &o->svg},
        {SC_OPTION_DRY_RUN, &o->dry_run},
        {SC_OPTION_DELETE, &o->delete_},
        {SC_OPTION_HELP, &o->help},
    };
    for (size_t i = 0; i < SC_COUNT(flags); i++)
        if (flags[i].option == option)
            return flags[i].flag;
    return NULL;
}

static const char **text_of(struct sc_options *o, enum sc_option option)
{
    return option == SC_OPTION_PIPELINE       ? &o->pipeline
           : option == SC_OPTION_COORDINATOR  ? &o->coordinator
           : option == SC_OPTION_OWN_STORE    ? &o->own_store
           : option == SC_OPTION_STORE        ? &o->store
           : option == SC_OPTION_ENDPOINT_URL ? &o->endpoint_url
           : option == SC_OPTION_OLDER_THAN   ? &o->older_than
           : option == SC_OPTION_KEEP_LAST    ? &o->keep_last
           : option == SC_OPTION_NAMESPACE    ? &o->namespace_
           : option == SC_OPTION_MAX_BYTES    ? &o->max_bytes
                                              : NULL;
}

static enum sc_rc take(struct sc_options *o, enum sc_option option, char *value, struct sc_error *err)
{
    bool *flag = flag_of(o, option);
    const char **text = text_of(o, option);
    if (flag)
        *flag = true;
    else if (text)
        *text = value;
    else if (option == SC_OPTION_PARAM)
        return add_param(o, value, err);
    else if (option == SC_OPTION_ATTEMPT)
        return parse_count(value, "attempt", &o->attempt, err);
    else if (option == SC_OPTION_LIMIT)
        return parse_count(value, "limit", &o->limit, err);
    else if (option == SC_OPTION_SAMPLE)
        return parse_count(value, "sample", &o->sample, err);
    else if (option == SC_OPTION_REFRESH && !value)
        o->run.refresh_all = true;
    else if (option == SC_OPTION_REFRESH)
        add_text(&o->run.refresh, value);
    else if (option == SC_OPTION_FORCE)
        add_text(&o->run.force, value);
    else if (option == SC_OPTION_ONLY)
        add_text(&o->run.only, value);
    else if (option == SC_OPTION_FROM)
        o->run.from = sc_slice_str(value);
    return SC_OK;
}

// getopt's view of a mask: the long options, and the letters after a ':' that makes a missing argument tell itself.
struct getopt_view {
    struct option longs[SC_OPTION_COUNT + 1];
    char letters[2 * SC_OPTION_COUNT + 2];
};

enum { FIRST_LONG = 256 };

static void view_make(uint64_t mask, struct getopt_view *view)
{
    *view = (struct getopt_view){0};
    size_t longs = 0, letters = 0;
    view->letters[letters++] = ':';
    for (int i = 0; i < SC_OPTION_COUNT; i++) {
        if (!(mask >> i & 1))
            continue;
        int has = !table[i].argument           ? no_argument
                  : table[i].argument_optional ? optional_argument
                                               : required_argument;
        view->longs[longs++] = (struct option){table[i].name, has, NULL, FIRST_LONG + i};
        if (!table[i].letter)
            continue;
        view->letters[letters++] = (char)table[i].letter;
        if (table[i].argument)
            view->letters[letters++] = ':';
    }
}

static enum sc_rc unknown(const char *command, const char *word, uint64_t mask, struct sc_error *err)
{
    const char *name = word + strspn(word, "-");
    struct sc_suggest suggest;
    sc_suggest_begin(&suggest, sc_slice(name, strcspn(name, "=")));
    for (int i = 0; i < SC_OPTION_COUNT; i++)
        if (mask >> i & 1)
            sc_suggest_try(&suggest, sc_slice_str(table[i].name));
    enum sc_rc rc =
        sc_error_set(err, SC_INVALID, "%s has no option %.*s", command, (int)strcspn(word, "="), word);
    if (word[0] == '-' && word[1] == '-' && sc_suggest_found(&suggest))
        sc_error_hint(err, "did you mean --" SC_SLICE_FMT "?", SC_SLICE_ARG(suggest.best));
    else
        sc_error_hint(err, "`stepctl help %s` lists its options", command);
    return rc;
}

static enum sc_rc usage(const char *command, uint32_t count, uint32_t least, uint32_t most,
                        struct sc_error *err)
{
    uint32_t bound = count < least ? least : most;
    enum sc_rc rc = sc_error_set(err, SC_INVALID, "%s takes %s%u argument%s, and %u %s given", command,
                                 least == most   ? ""
                                 : count < least ? "at least "
                                                 : "at most ",
                                 bound, bound == 1 ? "" : "s", count, count == 1 ? "was" : "were");
    sc_error_hint(err, "`stepctl help %s` shows its usage", command);
    return rc;
}

static int option_of_letter(int letter)
{
    for (int i = 0; i < SC_OPTION_COUNT; i++)
        if (table[i].letter == letter)
            return i;
    return -1;
}

enum sc_rc sc_options_parse(int argc, char **argv, uint64_t mask, uint32_t args_min, uint32_t args_max,
                            struct sc_arena *arena, struct sc_options *ret_options, struct sc_error *err)
{
    struct sc_options o = {0};
    mask |= SC_OPTION_BIT(HELP);
    size_t most = (size_t)argc;
    o.params.items = SC_NEW_ARRAY(arena, most, struct sc_param_override);
    o.run.refresh.items = SC_NEW_ARRAY(arena, most, struct sc_slice);
    o.run.force.items = SC_NEW_ARRAY(arena, most, struct sc_slice);
    o.run.only.items = SC_NEW_ARRAY(arena, most, struct sc_slice);
    struct getopt_view view;
    view_make(mask, &view);
    opterr = 0;
    optind = 0; // glibc: start over, with another argv
    for (;;) {
        int at = optind ? optind : 1;
        int c = getopt_long(argc, argv, view.letters, view.longs, NULL);
        if (c == -1)
            break;
        if (c == '?')
            return unknown(argv[0],
                           optopt && optopt < FIRST_LONG ? (char[]){'-', (char)optopt, 0}
                                                         : argv[optind > at ? optind - 1 : at],
                           mask, err);
        if (c == ':')
            return sc_error_set(err, SC_INVALID, "%s: %s wants a value", argv[0], argv[optind - 1]);
        int option = c >= FIRST_LONG ? c - FIRST_LONG : option_of_letter(c);
        SC_ASSERT(option >= 0);
        enum sc_rc rc = take(&o, (enum sc_option)option, optarg, err);
        if (rc != SC_OK)
            return rc;
    }
    o.args = argv + optind;
    o.arg_count = (uint32_t)(argc - optind);
    if (!o.help && (o.arg_count < args_min || o.arg_count > args_max))
        return usage(argv[0], o.arg_count, args_min, args_max, err);
    *ret_options = o;
    return SC_OK;
}

void sc_options_help(uint64_t mask, struct sc_buf *out)
{
    mask |= SC_OPTION_BIT(HELP);
    for (int i = 0; i < SC_OPTION_COUNT; i++) {
        if (!(mask >> i & 1))
            continue;
        const struct sc_option_info *info = &table[i];
        size_t from = out->len;
        if (info->letter)
            sc_buf_printf(out, "  -%c, --%s", info->letter, info->name);
        else
            sc_buf_printf(out, "      --%s", info->name);
        if (info->argument)
            sc_buf_printf(out, info->argument_optional ? "[=%s]" : " %s", info->argument);
        do
            sc_buf_add_byte(out, ' ');
        while (out->len - from < 32);
        sc_buf_printf(out, "%s\n", info->help);
    }
}
