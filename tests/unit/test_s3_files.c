#include "tests/lib/test.h"
#include "tests/lib/scratch.h"

#include "base/os/file.h"
#include "store/s3/credentials_files.h"

#include <stdio.h>
#include <unistd.h>

static const struct {
    const char *what;
    enum sc_s3_file_kind kind;
    const char *text, *profile, *name;
    const char *value; // NULL: the profile is not there; "": it has no such setting
} readings[] = {
    {"a profile of the credentials file", SC_S3_CREDENTIALS, "[team]\nkey = v\n", "team", "key", "v"},
    {"a profile of the config file", SC_S3_CONFIG, "[profile team]\nkey = v\n", "team", "key", "v"},
    {"the config file wants the word", SC_S3_CONFIG, "[team]\nkey = v\n", "team", "key", NULL},
    {"the credentials file does not", SC_S3_CREDENTIALS, "[profile team]\nkey = v\n", "team", "key", NULL},
    {"default needs no word", SC_S3_CONFIG, "[default]\nkey = v\n", "default", "key", "v"},
    {"default may have it", SC_S3_CONFIG, "[profile default]\nkey = v\n", "default", "key", "v"},
    {"and then it goes first", SC_S3_CONFIG, "[profile default]\na=1\n[default]\na=2\nb=3\n", "default", "a",
     "1"},
    {"and the other counts for nothing", SC_S3_CONFIG, "[default]\nb=3\n[profile default]\na=1\n", "default",
     "b", ""},
    {"a quoted name", SC_S3_CONFIG, "[profile \"my team\"]\nkey = v\n", "my team", "key", "v"},
    {"blanks in the head", SC_S3_CONFIG, "[ \tprofile  team ]\nkey = v\n", "team", "key", "v"},
    {"other sections are something else", SC_S3_CONFIG,
     "[sso-session team]\nkey = v\n[services x]\ns3 =\n a = b\n", "team", "key", NULL},
    {"a name with an open quote is none of ours", SC_S3_CONFIG, "[profile \"x]\na=1\n[profile t]\nkey = v",
     "t", "key", "v"},
    {"one that only begins alike", SC_S3_CONFIG, "[profileteam]\nkey = v\n", "team", "key", NULL},
    {"blanks around, no newline at the end", SC_S3_CREDENTIALS, "[t]\nkey\t =  v w  ", "t", "key", "v w"},
    {"CRLF", SC_S3_CREDENTIALS, "[t]\r\nkey = v\r\n", "t", "key", "v"},
    {"any case of a setting's name", SC_S3_CREDENTIALS, "[t]\nKey = v\n", "t", "kEY", "v"},
    {"but not of a profile's", SC_S3_CREDENTIALS, "[T]\nkey = v\n", "t", "key", NULL},
    {"= in a value", SC_S3_CREDENTIALS, "[t]\nkey = a=b==\n", "t", "key", "a=b=="},
    {"remarks", SC_S3_CREDENTIALS, "# [x]\n[t] # here\n; no\n  # no\nkey = v # yes\n", "t", "key", "v"},
    {"a remark needs a blank before it", SC_S3_CREDENTIALS, "[t]\nkey = v#w;x\n", "t", "key", "v#w;x"},
    {"a remark instead of a value", SC_S3_CREDENTIALS, "[t]\nkey = # w\n", "t", "key", ""},
    {"no value", SC_S3_CREDENTIALS, "[t]\nkey =\n", "t", "key", ""},
    {"the last one wins", SC_S3_CREDENTIALS, "[t]\nkey = a\nkey = b\n", "t", "key", "b"},
    {"over sections, too", SC_S3_CREDENTIALS, "[t]\nkey = a\n[u]\nkey = x\n[t]\nkey = b\n", "t", "key", "b"},
    {"a section may come in parts", SC_S3_CREDENTIALS, "[t]\nkey = a\n[t]\nother = b\n", "t", "key", "a"},
    {"settings that stand deeper than their section", SC_S3_CREDENTIALS, "[t]\n  a = 1\n  key = v\n", "t",
     "key", "v"},
    {"a value that goes on", SC_S3_CONFIG, "[default]\nkey = a\n  b\n\n  # c\n  d = e\nf = g\n", "default",
     "key", "a\n  b\n\n  # c\n  d = e"},
    {"a nested value is no setting", SC_S3_CONFIG, "[default]\ns3 =\n  key = w\nkey = v\n", "default", "key",
     "v"},
    {"nor alone", SC_S3_CONFIG, "[default]\ns3 =\n  key = w\n", "default", "key", ""},
    {"an empty file", SC_S3_CONFIG, "", "default", "key", NULL},
    {"an empty profile", SC_S3_CREDENTIALS, "[t]", "t", "key", ""},
};

static void test_files_are_read_as_the_cli_reads_them(void **state)
{
    (void)state;
    for (size_t i = 0; i < SC_COUNT(readings); i++) {
        struct sc_s3_file file;
        struct sc_error err = SC_ERROR_INIT;
        sc_s3_file_init(&file, readings[i].kind);
        if (sc_s3_file_parse(&file, sc_slice_str(readings[i].text), &err) != SC_OK)
            fail_msg("%s: %s", readings[i].what, err.message);
        struct sc_slice profile = sc_slice_str(readings[i].profile);
        struct sc_slice value = sc_s3_file_value(&file, profile, readings[i].name);
        if (sc_s3_file_has(&file, profile) != (readings[i].value != NULL))
            fail_msg("%s: has the profile: %d", readings[i].what, !readings[i].value);
        if (!sc_slice_eq_str(value, readings[i].value ? readings[i].value : ""))
            fail_msg("%s: \"" SC_SLICE_FMT "\"", readings[i].what, SC_SLICE_ARG(value));
        sc_s3_file_done(&file);
    }
}

static void test_files_that_are_malformed_name_the_line_and_not_what_stands_there(void **state)
{
    static const struct {
        const char *text, *where;
    } rows[] = {
        {"[t]\nxSECRETx\n", "line 2"},   {"[t]\na = 1\n\n= xSECRETx\n", "line 4"},
        {"[t xSECRETx\n", "line 1"},     {"[t] xSECRETx\n", "line 1"},
        {"xSECRETx = 1\n", "line 1"},    {"# ok\n\nxSECRETx = 1\n[t]\n", "line 3"},
        {"[t]\n  xSECRETx\n", "line 2"},
    };
    (void)state;
    for (size_t i = 0; i < SC_COUNT(rows); i++) {
        struct sc_s3_file file;
        struct sc_error err = SC_ERROR_INIT;
        sc_s3_file_init(&file, SC_S3_CREDENTIALS);
        assert_rc(sc_s3_file_parse(&file, sc_slice_str(rows[i].text), &err), SC_MALFORMED);
        assert_contains(err.message, rows[i].where);
        assert_null(strstr(err.message, "xSECRETx"));
        sc_s3_file_done(&file);
    }
}

static void test_file_with_a_nul_is_refused(void **state)
{
    static const char text[] = "[t]\nkey = a\0b\n";
    struct sc_s3_file file;
    struct sc_error err = SC_ERROR_INIT;
    (void)state;
    sc_s3_file_init(&file, SC_S3_CREDENTIALS);
    assert_rc(sc_s3_file_parse(&file, sc_slice(text, sizeof text - 1), &err), SC_MALFORMED);
    sc_s3_file_done(&file);
}

// Loads from HOME, or from what the variable says.
static enum sc_rc load(struct sc_s3_file *file, const char *home, const char *named, struct sc_error *err)
{
    setenv("HOME", home, 1);
    if (named)
        setenv("AWS_SHARED_CREDENTIALS_FILE", named, 1);
    else
        unsetenv("AWS_SHARED_CREDENTIALS_FILE");
    *err = (struct sc_error)SC_ERROR_INIT;
    sc_s3_file_init(file, SC_S3_CREDENTIALS);
    return sc_s3_file_load(file, err);
}

static void test_files_lie_where_home_or_their_variable_says(void **state)
{
    SC_AUTO_FREE char *folder = sc_scratch_path(*state, ".aws"),
                      *path = sc_scratch_path(folder, "credentials");
    SC_AUTO_FREE char *other = sc_scratch_path(*state, "other"), *link = sc_scratch_path(*state, "loop");
    struct sc_s3_file file;
    struct sc_error err = SC_ERROR_INIT;
    assert_int_equal(mkdir(folder, 0700), 0);
    sc_scratch_write(path, sc_slice_str("[t]\na = 1\n"), 0600);
    sc_scratch_write(other, sc_slice_str("[t]\na = 2\n"), 0600);
    assert_int_equal(symlink(link, link), 0);
    static const struct {
        const char *named, *value, *shown;
    } rows[] = {
        {NULL, "1", "~/.aws/credentials"},
        {"", "1", "~/.aws/credentials"},
        {"~/other", "2", "~/other"},
        {"~/nowhere", NULL, "~/nowhere"},
        {"~/other/below", NULL, "~/other/below"},
        {"/dev/null", NULL, "/dev/null"},
        {"~", NULL, "~"},
    };
    for (size_t i = 0; i < SC_COUNT(rows); i++) {
        assert_ok(load(&file, *state, rows[i].named, &err), err);
        assert_string_equal(file.shown, rows[i].shown);
        assert_int_equal(file.found, rows[i].value != NULL);
        assert_slice(sc_s3_file_value(&file, sc_slice_str("t"), "a"), rows[i].value ? rows[i].value : "");
        sc_s3_file_done(&file);
    }
    assert_rc(load(&file, *state, "~/loop", &err), SC_IO);
    assert_contains(err.message, "~/loop");
    sc_s3_file_done(&file);
    sc_scratch_write(other, sc_slice_str("[t]\nb\n"), 0600);
    assert_rc(load(&file, *state, "~/other", &err), SC_MALFORMED);
    assert_contains(err.message, "~/other: line 2");
    sc_s3_file_done(&file);
    SC_AUTO_FREE char *large = sc_calloc((1 << 20) + 1, 1);
    memset(large, '#', 1 << 20);
    sc_scratch_write(other, sc_slice(large, 1 << 20), 0600);
    assert_ok(load(&file, *state, "~/other", &err), err);
    sc_s3_file_done(&file);
    large[1 << 20] = '#';
    sc_scratch_write(other, sc_slice(large, (1 << 20) + 1), 0600);
    assert_rc(load(&file, *state, "~/other", &err), SC_LIMIT);
    sc_s3_file_done(&file);
}

static void test_words_are_split_as_by_a_shell(void **state)
{
    static const struct {
        const char *text;
        const char *words[6];
    } rows[] = {
        {"", {NULL}},
        {"  \t ", {NULL}},
        {"a", {"a", NULL}},
        {" /bin/a  --b\tc\n", {"/bin/a", "--b", "c", NULL}},
        {"a\n  b", {"a", "b", NULL}}, // a value that goes on over lines
        {"\"/with blank/a\" 'b c'", {"/with blank/a", "b c", NULL}},
        {"a\"b c\"'d e'f", {"ab cd ef", NULL}},
        {"'' \"\"", {"", "", NULL}},
        {"a\\ b \\\" \\\\", {"a b", "\"", "\\", NULL}},
        {"\"a\\\"b\\\\c\\d\"", {"a\"b\\c\\d", NULL}},
        {"'a\\b\"c'", {"a\\b\"c", NULL}},
        {"'a\\\"b'", {"a\\\"b", NULL}},
        {"$HOME *.c ~ `x` # y", {"$HOME", "*.c", "~", "`x`", "#", "y"}},
    };
    (void)state;
    for (size_t i = 0; i < SC_COUNT(rows); i++) {
        SC_AUTO_ARENA struct sc_arena arena;
        struct sc_error err = SC_ERROR_INIT;
        char **words;
        size_t count, want = 0;
        sc_arena_init(&arena);
        assert_ok(sc_s3_words(sc_slice_str(rows[i].text), &arena, &words, &count, &err), err);
        while (want < SC_COUNT(rows[i].words) && rows[i].words[want])
            want++;
        assert_int_equal(count, want);
        assert_null(words[count]);
        for (size_t j = 0; j < count; j++)
            assert_string_equal(words[j], rows[i].words[j]);
    }
}

static void test_words_with_an_open_end_are_refused(void **state)
{
    static const char *const texts[] = {"a 'b", "\"", "a\\", "\"a\\", "'a\"", "\"a\\\""};
    (void)state;
    for (size_t i = 0; i < SC_COUNT(texts); i++) {
        SC_AUTO_ARENA struct sc_arena arena;
        struct sc_error err = SC_ERROR_INIT;
        char **words;
        size_t count;
        sc_arena_init(&arena);
        assert_rc(sc_s3_words(sc_slice_str(texts[i]), &arena, &words, &count, &err), SC_MALFORMED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_are_read_as_the_cli_reads_them),
        cmocka_unit_test(test_files_that_are_malformed_name_the_line_and_not_what_stands_there),
        cmocka_unit_test(test_file_with_a_nul_is_refused),
        cmocka_unit_test_setup_teardown(test_files_lie_where_home_or_their_variable_says, sc_scratch_setup,
                                        sc_scratch_teardown),
        cmocka_unit_test(test_words_are_split_as_by_a_shell),
        cmocka_unit_test(test_words_with_an_open_end_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
