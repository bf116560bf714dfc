// YAML read into a tree: what the nodes hold, where they stand, what the scalars' types are; and the small parsers of
// durations, sizes and near names.
#include "tests/lib/test.h"

#include "pipeline/duration.h"
#include "pipeline/size.h"
#include "pipeline/suggest.h"
#include "pipeline/yaml.h"

#include <libfyaml.h>

struct tree {
    struct sc_arena nodes, texts;
    struct sc_diagnostics diagnostics;
    struct sc_yaml_node *root;
    bool good;
};

static void read_text(struct tree *t, struct sc_slice text)
{
    struct sc_report report = {&t->diagnostics, &t->texts};
    t->good = sc_yaml_read(text, &t->nodes, &t->texts, &report, &t->root);
    assert_int_equal(t->good, t->diagnostics.count == 0);
}

static void done(struct tree *t)
{
    sc_arena_done(&t->nodes);
    sc_arena_done(&t->texts);
}

static void print(const struct sc_yaml_node *node, struct sc_buf *out)
{
    switch ((enum sc_yaml_kind)node->kind) {
    case SC_YAML_SCALAR:
        sc_buf_printf(out, "%s" SC_SLICE_FMT "@%u:%u", node->plain ? "" : "'",
                      SC_SLICE_ARG(sc_yaml_text(node)), node->line, node->column);
        return;
    case SC_YAML_LIST:
        sc_buf_printf(out, "[@%u:%u", node->line, node->column);
        for (const struct sc_yaml_node *item = node->first; item; item = item->next) {
            sc_buf_add_byte(out, ' ');
            print(item, out);
        }
        sc_buf_add_byte(out, ']');
        return;
    case SC_YAML_MAP:
        sc_buf_printf(out, "{@%u:%u", node->line, node->column);
        for (const struct sc_yaml_node *key = node->first; key; key = key->next->next) {
            sc_buf_add_byte(out, ' ');
            print(key, out);
            sc_buf_add_byte(out, '=');
            print(key->next, out);
        }
        sc_buf_add_byte(out, '}');
        return;
    }
}

static void test_trees_hold_texts_and_their_places(void **state)
{
    (void)state;
    static const struct {
        const char *text, *expected;
    } table[] = {
        {"a: 1\nb:\n  - x\n  - 'y'\n", "{@1:1 a@1:1=1@1:4 b@2:1=[@3:3 x@3:5 'y@4:5]}"},
        {"{a: \"x\\ty\", 'b': 'it''s'}", "{@1:1 a@1:2='x\ty@1:5 'b@1:13='it's@1:18}"},
        {"a: |\n  x\n  y\nb: >-\n  x\n  y\n", "{@1:1 a@1:1='x\ny\n@2:1 b@4:1='x y@5:1}"},
        {"a: x\n  y\n", "{@1:1 a@1:1=x y@1:4}"},
        {"a:\nb: ~\n", "{@1:1 a@1:1=@1:1 b@2:1=~@2:4}"},
        {"é: &x {k: v}\nb: *x\n", "{@1:1 é@1:1={@1:7 k@1:8=v@1:11} b@2:1={@2:4 k@1:8=v@1:11}}"},
        {"[]", "[@1:1]"},
        {"# c\n{}\n", "{@2:1}"},
        {"a: b#c # d\n", "{@1:1 a@1:1=b#c@1:4}"},
        {"a: \"x \\\n  y\"\n", "{@1:1 a@1:1='x y@1:4}"},
        {"\xef\xbb\xbf"
         "a: 1\n",
         "{@1:1 a@1:1=1@1:4}"},
        {"a: 1\r\nb: 2\r\n", "{@1:1 a@1:1=1@1:4 b@2:1=2@2:4}"},
    };
    for (size_t i = 0; i < SC_COUNT(table); i++) {
        struct tree t = {0};
        SC_AUTO_BUF struct sc_buf out = {0};
        read_text(&t, sc_slice_str(table[i].text));
        if (!t.good)
            fail_msg("%s: " SC_SLICE_FMT, table[i].text, SC_SLICE_ARG(t.diagnostics.items[0].message));
        print(t.root, &out);
        assert_string_equal(sc_buf_cstr(&out), table[i].expected);
        done(&t);
    }
}

static void test_plain_texts_are_borrowed_from_the_document(void **state)
{
    (void)state;
    struct sc_slice text = SC_SLICE_LIT("a: plain\nb: 'single'\nc: \"double\"\n");
    struct tree t = {0};
    read_text(&t, text);
    assert_true(t.good);
    for (const struct sc_yaml_node *key = t.root->first; key; key = key->next->next)
        assert_true(key->next->text >= text.ptr && key->next->text < text.ptr + text.len);
    assert_int_equal(t.texts.total_bytes, 0);
    done(&t);
}

// The texts must be those that libfyaml itself gives, however they were come by.
static void test_scalars_are_what_libfyaml_says(void **state)
{
    (void)state;
    static const char text[] = "- plain\n- two words  \n- 'single'\n- 'it''s'\n- \"dq\"\n- \"d\\nq\"\n- "
                               "\"fold\n  ed\"\n- 'fold\n  ed'\n"
                               "- plain\n  folded\n- {a: b , c: d}\n- [e,f , 'g' , \"h\"]\n- \"\"\n- ''\n- "
                               "|\n  lit\n- >\n  fol\n- a:b\n- http://x\n- -1\n"
                               "- ? k\n  : v\n- \"tab\there\"\n- é\n- x y\tz\n";
    struct fy_parse_cfg cfg = {.flags = FYPCF_QUIET | FYPCF_JSON_NONE | FYPCF_DEFAULT_VERSION_1_2};
    struct fy_parser *parser = fy_parser_create(&cfg);
    assert_int_equal(fy_parser_set_string(parser, text, strlen(text)), 0);
    struct tree t = {0};
    read_text(&t, sc_slice_str(text));
    assert_true(t.good);
    // Both in document order: the tree flattened against the stream of scalar events.
    const struct sc_yaml_node *stack[8] = {t.root->first};
    int depth = 1;
    for (struct fy_event *event; (event = fy_parser_parse(parser)) != NULL;
         fy_parser_event_free(parser, event)) {
        if (event->type != FYET_SCALAR)
            continue;
        while (!stack[depth - 1] || stack[depth - 1]->kind != SC_YAML_SCALAR) {
            if (!stack[depth - 1]) {
                depth--;
                assert_true(depth > 0);
            } else {
                const struct sc_yaml_node *into = stack[depth - 1];
                stack[depth - 1] = into->next;
                stack[depth++] = into->first;
            }
        }
        size_t len = 0;
        const char *want = fy_token_get_text(event->scalar.value, &len);
        assert_int_equal(stack[depth - 1]->count, len);
        assert_memory_equal(stack[depth - 1]->text, want, len);
        stack[depth - 1] = stack[depth - 1]->next;
    }
    fy_parser_destroy(parser);
    done(&t);
}

static void test_duplicates_are_found_in_large_mappings_too(void **state)
{
    (void)state;
    SC_AUTO_BUF struct sc_buf text = {0};
    for (int i = 0; i < 5000; i++)
        sc_buf_printf(&text, "k%d: 1\n", i);
    sc_buf_add_str(&text, "k77: 2\nk4999: 3\n");
    struct tree t = {0};
    read_text(&t, sc_buf_slice(&text));
    assert_int_equal(t.diagnostics.count, 2);
    assert_slice(t.diagnostics.items[0].message, "duplicate key \"k77\": line 78 has it");
    assert_int_equal(t.diagnostics.items[1].line, 5002);
    done(&t);
}

static void test_plain_scalars_have_the_types_of_the_core_schema(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool null, boolean, integer, number;
    } table[] = {
        {"~", 1, 0, 0, 0},     {"null", 1, 0, 0, 0},  {"NULL", 1, 0, 0, 0},  {"nULL", 0, 0, 0, 0},
        {"true", 0, 1, 0, 0},  {"False", 0, 1, 0, 0}, {"yes", 0, 0, 0, 0},   {"on", 0, 0, 0, 0},
        {"1", 0, 0, 1, 1},     {"-12", 0, 0, 1, 1},   {"+1", 0, 0, 1, 1},    {"1.5", 0, 0, 0, 1},
        {".5", 0, 0, 0, 1},    {"5.", 0, 0, 0, 1},    {"1e3", 0, 0, 0, 1},   {"-1.5E-3", 0, 0, 0, 1},
        {"1e", 0, 0, 0, 0},    {".", 0, 0, 0, 0},     {"1_000", 0, 0, 0, 0}, {"0x1F", 0, 0, 0, 0},
        {"1.2.3", 0, 0, 0, 0}, {"'1'", 0, 0, 0, 0},   {"'~'", 0, 0, 0, 0},   {"'true'", 0, 0, 0, 0},
        {".inf", 0, 0, 0, 0},
    };
    for (size_t i = 0; i < SC_COUNT(table); i++) {
        SC_AUTO_FREE char *text = sc_asprintf("[%s]", table[i].text);
        struct tree t = {0};
        bool value;
        read_text(&t, sc_slice_str(text));
        assert_true(t.good);
        assert_int_equal(sc_yaml_is_null(t.root->first), table[i].null);
        assert_int_equal(sc_yaml_bool(t.root->first, &value), table[i].boolean);
        assert_int_equal(sc_yaml_is_integer(t.root->first), table[i].integer);
        assert_int_equal(sc_yaml_is_number(t.root->first), table[i].number);
        done(&t);
    }
}

static void test_durations_are_iso_8601_of_fixed_length(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum sc_duration_rc rc;
        int64_t ms;
    } table[] = {
        {"PT0S", SC_DURATION_OK, 0},
        {"PT30S", SC_DURATION_OK, 30000},
        {"PT0.5S", SC_DURATION_OK, 500},
        {"PT0,25S", SC_DURATION_OK, 250},
        {"PT0.001S", SC_DURATION_OK, 1},
        {"PT1.5H", SC_DURATION_OK, 5400000},
        {"PT10M", SC_DURATION_OK, 600000},
        {"P1D", SC_DURATION_OK, 86400000},
        {"P2W", SC_DURATION_OK, 1209600000},
        {"P1W2DT3H4M5S", SC_DURATION_OK, 604800000 + 2 * 86400000 + 3 * 3600000 + 4 * 60000 + 5000},
        {"P36525D", SC_DURATION_OK, SC_DURATION_MOST_MS},
        {"P36525DT0.001S", SC_DURATION_TOO_LONG, 0},
        {"P99999999999999999999W", SC_DURATION_MALFORMED, 0},
        {"P999999999999W", SC_DURATION_TOO_LONG, 0},
        {"P1M", SC_DURATION_CALENDAR, 0},
        {"P1Y2M", SC_DURATION_CALENDAR, 0},
        {"P1M2DT1S", SC_DURATION_CALENDAR, 0},
        {"PT0.0001S", SC_DURATION_MALFORMED, 0},
        {"", SC_DURATION_MALFORMED, 0},
        {"P", SC_DURATION_MALFORMED, 0},
        {"PT", SC_DURATION_MALFORMED, 0},
        {"P1", SC_DURATION_MALFORMED, 0},
        {"PD", SC_DURATION_MALFORMED, 0},
        {"P1DT", SC_DURATION_MALFORMED, 0},
        {"1D", SC_DURATION_MALFORMED, 0},
        {"p1d", SC_DURATION_MALFORMED, 0},
        {"P1H", SC_DURATION_MALFORMED, 0},
        {"PT1D", SC_DURATION_MALFORMED, 0},
        {"PT1S2M", SC_DURATION_MALFORMED, 0},
        {"PT1M1M", SC_DURATION_MALFORMED, 0},
        {"PT1.5M1S", SC_DURATION_MALFORMED, 0},
        {"-PT1S", SC_DURATION_MALFORMED, 0},
        {"PT-1S", SC_DURATION_MALFORMED, 0},
        {"PT1S ", SC_DURATION_MALFORMED, 0},
        {"PT.5S", SC_DURATION_MALFORMED, 0},
        {"PT1.S", SC_DURATION_MALFORMED, 0},
        {"PTT1S", SC_DURATION_MALFORMED, 0},
        {"30", SC_DURATION_MALFORMED, 0},
    };
    for (size_t i = 0; i < SC_COUNT(table); i++) {
        int64_t ms = -1;
        enum sc_duration_rc rc = sc_duration_parse(sc_slice_str(table[i].text), &ms);
        if (rc != table[i].rc || (rc == SC_DURATION_OK && ms != table[i].ms))
            fail_msg("%s: rc %d, %jd ms", table[i].text, rc, (intmax_t)ms);
    }
}

static void test_sizes_are_whole_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
        uint64_t bytes;
    } table[] = {
        {"0", true, 0},
        {"1073741824", true, 1u << 30},
        {"1GiB", true, 1u << 30},
        {"512MiB", true, 512u << 20},
        {"10GB", true, 10000000000},
        {"1.5GiB", true, 1610612736},
        {"1kB", true, 1000},
        {"1KB", true, 1000},
        {"1B", true, 1},
        {"0.5KiB", true, 512},
        {"8191PiB", true, UINT64_C(8191) << 50},
        {"8192PiB", false, 0},
        {"1.0001KiB", false, 0},
        {"1gb", false, 0},
        {"GiB", false, 0},
        {"", false, 0},
        {"-1", false, 0},
        {"1 GiB", false, 0},
        {"1G", false, 0},
        {"1e9", false, 0},
        {".5GiB", false, 0},
        {"1.GiB", false, 0},
        {"99999999999999999999", false, 0},
        {"1.2.3", false, 0},
    };
    for (size_t i = 0; i < SC_COUNT(table); i++) {
        uint64_t bytes = 0;
        bool good = sc_size_parse(sc_slice_str(table[i].text), &bytes);
        if (good != table[i].good || (good && bytes != table[i].bytes))
            fail_msg("%s: %d %ju", table[i].text, good, (uintmax_t)bytes);
    }
    static const struct {
        const char *text;
        bool good;
        uint32_t milli;
    } fractions[] = {{"1", true, 1000},     {"0.5", true, 500},   {"2.25", true, 2250},
                     {"0.001", true, 1},    {"0.0001", false, 0}, {"", false, 0},
                     {"-1", false, 0},      {"1.", false, 0},     {"4294967", true, 4294967000u},
                     {"4294968", false, 0}, {"x", false, 0}};
    for (size_t i = 0; i < SC_COUNT(fractions); i++) {
        uint32_t milli = 0;
        bool good = sc_milli_parse(sc_slice_str(fractions[i].text), &milli);
        if (good != fractions[i].good || (good && milli != fractions[i].milli))
            fail_msg("%s: %d %u", fractions[i].text, good, milli);
    }
}

static void test_distances_count_single_mistakes(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        unsigned distance;
    } table[] = {{"", "", 0},
                 {"a", "", 1},
                 {"", "ab", 2},
                 {"run", "rum", 1},
                 {"run", "urn", 1},
                 {"trian", "train", 1},
                 {"expire-after", "expire_after", 0},
                 {"RUN", "run", 0},
                 {"kitten", "sitting", 3}};
    for (size_t i = 0; i < SC_COUNT(table); i++)
        assert_int_equal(sc_suggest_distance(sc_slice_str(table[i].a), sc_slice_str(table[i].b)),
                         table[i].distance);
    struct sc_suggest suggest;
    sc_suggest_begin(&suggest, sc_slice_str("comand"));
    sc_suggest_try(&suggest, sc_slice_str("code"));
    sc_suggest_try(&suggest, sc_slice_str("command"));
    assert_true(sc_suggest_found(&suggest));
    assert_slice(suggest.best, "command");
    sc_suggest_begin(&suggest, sc_slice_str("zz"));
    sc_suggest_try(&suggest, sc_slice_str("command"));
    assert_false(sc_suggest_found(&suggest));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trees_hold_texts_and_their_places),
        cmocka_unit_test(test_plain_texts_are_borrowed_from_the_document),
        cmocka_unit_test(test_scalars_are_what_libfyaml_says),
        cmocka_unit_test(test_duplicates_are_found_in_large_mappings_too),
        cmocka_unit_test(test_plain_scalars_have_the_types_of_the_core_schema),
        cmocka_unit_test(test_durations_are_iso_8601_of_fixed_length),
        cmocka_unit_test(test_sizes_are_whole_bytes),
        cmocka_unit_test(test_distances_count_single_mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
