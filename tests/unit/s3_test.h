// What the tests of the credentials for S3 share: a HOME and an environment of the test's own, a stub that answers by HTTP,
// a provider. No test goes further than 127.0.0.1: the metadata service is switched off, or is the stub.
#pragma once

#include "tests/lib/http_stub.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test.h"

#include "base/os/file.h"
#include "base/os/log.h"
#include "store/s3/credentials.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define UNUSED_OK __attribute__((unused))

// 2026-01-02T03:04:05Z, the time of all tests.
static const int64_t now_ms = INT64_C(1767323045000);
enum { SECOND = 1000, MINUTE = 60 * SECOND };

struct world {
    char *home, *log_path;
    int log_fd;
    struct sc_http_stub *stub;
    struct sc_s3_provider *provider;
    struct sc_s3_credentials got;
    struct sc_error err;
};

// Without what the machine that runs the tests may have set.
static UNUSED_OK void clear_environment(void)
{
    static const char *const kept[] = {"PATH",          "TMPDIR",       "ASAN_OPTIONS",
                                       "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS"};
    char *values[SC_COUNT(kept)];
    for (size_t i = 0; i < SC_COUNT(kept); i++)
        values[i] = getenv(kept[i]) ? sc_strdup(getenv(kept[i])) : NULL;
    clearenv();
    for (size_t i = 0; i < SC_COUNT(kept); i++) {
        if (values[i])
            setenv(kept[i], values[i], 1);
        free(values[i]);
    }
}

static UNUSED_OK void write_file(const struct world *w, const char *name, const char *text)
{
    SC_AUTO_FREE char *path = sc_scratch_path(w->home, name);
    sc_scratch_write(path, sc_slice_str(text), 0600);
}

static UNUSED_OK int setup(void **state)
{
    struct world *w = sc_calloc(1, sizeof *w);
    clear_environment();
    w->home = sc_scratch_new();
    w->log_path = sc_scratch_path(w->home, "log");
    SC_AUTO_FREE char *folder = sc_scratch_path(w->home, ".aws");
    SC_ASSERT(mkdir(folder, 0700) == 0);
    w->log_fd = open(w->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    SC_ASSERT(w->log_fd >= 0);
    sc_log_open(w->log_fd, "test", SC_LOG_DEBUG);
    w->stub = sc_http_stub_new();
    setenv("HOME", w->home, 1);
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
    *state = w;
    return 0;
}

static UNUSED_OK int teardown(void **state)
{
    struct world *w = *state;
    sc_s3_provider_free(w->provider);
    sc_http_stub_end(w->stub);
    sc_log_open(STDERR_FILENO, "test", SC_LOG_WARN);
    close(w->log_fd);
    free(w->log_path);
    sc_scratch_remove(w->home);
    free(w);
    return 0;
}

// One try, and time enough on a busy machine; a test of slow answers sets its own.
static const struct sc_s3_patience once = {
    .near_connect_ms = 60 * SECOND, .near_ms = 60 * SECOND, .far_ms = 60 * SECOND, .tries = 1};

static UNUSED_OK void open_provider(struct world *w, const char *profile, const char *region, int tries)
{
    struct sc_s3_provider_config config = {.profile = profile, .region = region};
    struct sc_s3_patience patience = once;
    patience.tries = tries;
    sc_s3_provider_free(w->provider);
    w->provider = sc_s3_provider_new(&config);
    sc_s3_provider_set_patience(w->provider, patience);
}

static UNUSED_OK enum sc_rc get_at(struct world *w, int64_t after_ms, bool refresh)
{
    w->err = (struct sc_error)SC_ERROR_INIT;
    return sc_s3_provider_get(w->provider, now_ms + after_ms, refresh, &w->got, &w->err);
}

static UNUSED_OK void assert_describes(struct world *w, const char *text)
{
    SC_AUTO_BUF struct sc_buf words;
    sc_buf_init(&words, 0);
    sc_s3_provider_describe(w->provider, &words);
    assert_contains(sc_buf_cstr(&words), text);
    assert_null(strstr(sc_buf_cstr(&words), "xSECRETx"));
}

// What was logged so far.
static UNUSED_OK void assert_logged(struct world *w, const char *text)
{
    SC_AUTO_BUF struct sc_buf log;
    struct sc_error err = SC_ERROR_INIT;
    sc_buf_init(&log, 0);
    assert_ok(sc_file_read(w->log_path, 1 << 20, &log, &err), err);
    assert_null(strstr(sc_buf_cstr(&log), "xSECRETx"));
    if (text)
        assert_contains(sc_buf_cstr(&log), text);
    else
        assert_int_equal(log.len, 0);
}

static UNUSED_OK void assert_story(struct world *w, const char *text)
{
    assert_contains(w->err.message, text);
    assert_null(strstr(w->err.message, "xSECRETx"));
    assert_null(strstr(w->err.hint, "xSECRETx"));
}

// Stories and logs must never hold the secret of all tests, xSECRETx.
#define KEYS(id) "aws_access_key_id = " id "\naws_secret_access_key = xSECRETx\n"

#define ANSWER(key, until)                                                                                   \
    "{\"Code\":\"Success\",\"AccessKeyId\":\"" key "\",\"SecretAccessKey\":\"xSECRETx\","                    \
    "\"Token\":\"T-" key "\",\"Expiration\":\"" until "\"}"
#define IN_AN_HOUR "2026-01-02T04:04:05Z"

#define CREDS "GET /creds"
#define TOKEN "PUT /latest/api/token HTTP/1.1"
#define ROLES "GET /latest/meta-data/iam/security-credentials/ HTTP/1.1"
#define ROLE  "GET /latest/meta-data/iam/security-credentials/builder@x HTTP/1.1"

// A stub's URL in a variable; proxies are for others.
static UNUSED_OK void set_url(struct world *w, const char *variable, const char *path)
{
    SC_AUTO_FREE char *url = sc_asprintf("http://%s%s", sc_http_stub_host(w->stub), path);
    setenv(variable, url, 1);
}

static UNUSED_OK void use_container(struct world *w, int tries)
{
    set_url(w, "AWS_CONTAINER_CREDENTIALS_FULL_URI", "/creds?id=xSECRETx");
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("all_proxy", "http://127.0.0.1:1", 1);
    open_provider(w, NULL, NULL, tries);
}

static UNUSED_OK void assert_got(struct world *w, const char *key)
{
    SC_AUTO_FREE char *token = sc_asprintf("T-%s", key);
    assert_slice(w->got.access_key, key);
    assert_slice(w->got.secret, "xSECRETx");
    assert_slice(w->got.token, token);
}

static UNUSED_OK void use_metadata(struct world *w, int tries)
{
    unsetenv("AWS_EC2_METADATA_DISABLED");
    set_url(w, "AWS_EC2_METADATA_SERVICE_ENDPOINT", "/");
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    open_provider(w, NULL, NULL, tries);
}
