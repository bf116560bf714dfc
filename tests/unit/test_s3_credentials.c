// Where credentials are found: the order of the sources, the files, credential_process; and that secrets leave no trace.
#include "tests/unit/s3_test.h"

#include <malloc.h>

// Environment and files

#define ENV_KEYS "AWS_ACCESS_KEY_ID=ENV", "AWS_SECRET_ACCESS_KEY=xSECRETx"
// Would be asked only when all that stands before it is passed over, and then fail.
#define CONTAINER "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1:1/"

static const struct {
    const char *what;
    const char *environment[8];
    const char *credentials, *config; // NULL: there is no such file
    const char *profile;              // that the store names
    enum sc_rc rc;
    const char *key, *token; // when good; NULL: none
    const char *says;        // description or story
} rows[] = {
    {.what = "the environment goes first",
     .environment = {ENV_KEYS, "AWS_SESSION_TOKEN=T", "AWS_WEB_IDENTITY_TOKEN_FILE=/nowhere", CONTAINER},
     .credentials = "[default]\n" KEYS("FILE"),
     .config = "[default]\nrole_arn = r\nsource_profile = x\n",
     .key = "ENV",
     .token = "T",
     .says = "environment (AWS_ACCESS_KEY_ID)"},
    {.what = "even before a profile that the environment names",
     .environment = {ENV_KEYS, "AWS_PROFILE=team"},
     .credentials = "[team]\n" KEYS("FILE"),
     .key = "ENV",
     .says = "environment"},
    {.what = "the token's name of old",
     .environment = {ENV_KEYS, "AWS_SECURITY_TOKEN=S"},
     .key = "ENV",
     .token = "S",
     .says = "environment"},
    {.what = "when they run out",
     .environment = {ENV_KEYS, "AWS_CREDENTIAL_EXPIRATION=2026-01-02T04:04:05Z"},
     .key = "ENV",
     .says = "until 2026-01-02T04:04:05Z"},
    {.what = "when they ran out",
     .environment = {ENV_KEYS, "AWS_CREDENTIAL_EXPIRATION=2026-01-02T03:04:05Z"},
     .rc = SC_DENIED,
     .says = "environment (AWS_ACCESS_KEY_ID): those that it gives ran out at 2026-01-02T03:04:05Z"},
    {.what = "a time that is none",
     .environment = {ENV_KEYS, "AWS_CREDENTIAL_EXPIRATION=soon"},
     .rc = SC_DENIED,
     .says = "AWS_CREDENTIAL_EXPIRATION"},
    {.what = "half of them is an error",
     .environment = {"AWS_ACCESS_KEY_ID=ENV", CONTAINER},
     .credentials = "[default]\n" KEYS("FILE"),
     .rc = SC_DENIED,
     .says = "AWS_SECRET_ACCESS_KEY is not"},
    {.what = "so is the other half",
     .environment = {"AWS_SECRET_ACCESS_KEY=xSECRETx", CONTAINER},
     .credentials = "[default]\n" KEYS("FILE"),
     .rc = SC_DENIED,
     .says = "AWS_ACCESS_KEY_ID is not"},
    {.what = "a secret that cannot be",
     .environment = {"AWS_ACCESS_KEY_ID=ENV", "AWS_SECRET_ACCESS_KEY=xSECRETx xSECRETx"},
     .rc = SC_DENIED,
     .says = "secret access key has a character that cannot be (byte 9)"},
    {.what = "empty is not set",
     .environment = {"AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY=", "AWS_PROFILE="},
     .credentials = "[default]\n" KEYS("FILE"),
     .key = "FILE",
     .says = "profile default in ~/.aws/credentials"},
    {.what = "a profile that the store names goes before the environment",
     .environment = {ENV_KEYS, "AWS_PROFILE=other"},
     .credentials = "[team]\n" KEYS("FILE") "aws_session_token = T\n",
     .profile = "team",
     .key = "FILE",
     .token = "T",
     .says = "profile team in ~/.aws/credentials"},
    {.what = "and before its web identity",
     .environment = {"AWS_WEB_IDENTITY_TOKEN_FILE=/nowhere", "AWS_ROLE_ARN=r"},
     .credentials = "[team]\n" KEYS("FILE"),
     .profile = "team",
     .key = "FILE",
     .says = "profile team"},
    {.what = "AWS_PROFILE",
     .environment = {"AWS_PROFILE=team", "AWS_DEFAULT_PROFILE=other"},
     .credentials = "[default]\n" KEYS("DEFAULT") "[team]\n" KEYS("TEAM"),
     .key = "TEAM",
     .says = "profile team in ~/.aws/credentials"},
    {.what = "AWS_DEFAULT_PROFILE",
     .environment = {"AWS_DEFAULT_PROFILE=team"},
     .credentials = "[default]\n" KEYS("DEFAULT") "[team]\n" KEYS("TEAM"),
     .key = "TEAM",
     .says = "profile team in ~/.aws/credentials"},
    {.what = "the config file has profiles too",
     .environment = {"AWS_PROFILE=team"},
     .config = "[profile team]\n" KEYS("CONFIG"),
     .key = "CONFIG",
     .says = "profile team in ~/.aws/config"},
    {.what = "after the credentials file",
     .credentials = "[default]\n" KEYS("FILE"),
     .config = "[default]\n" KEYS("CONFIG"),
     .key = "FILE",
     .says = "profile default in ~/.aws/credentials"},
    {.what = "whose token is not the other's",
     .credentials = "[default]\n" KEYS("FILE"),
     .config = "[default]\naws_session_token = xSECRETx\n",
     .key = "FILE",
     .says = "profile default in ~/.aws/credentials"},
    {.what = "nor is half of the keys",
     .environment = {CONTAINER},
     .credentials = "[default]\naws_access_key_id = A\n",
     .config = "[default]\naws_secret_access_key = xSECRETx\n",
     .rc = SC_DENIED,
     .says =
         "profile default in ~/.aws/credentials: it has an aws_access_key_id and no aws_secret_access_key"},
    {.what = "half of them in the config file",
     .environment = {CONTAINER},
     .config = "[default]\naws_secret_access_key = xSECRETx\n",
     .rc = SC_DENIED,
     .says = "profile default in ~/.aws/config: it has an aws_secret_access_key and no aws_access_key_id"},
    {.what = "other places",
     .environment = {"AWS_CONFIG_FILE=~/c", "AWS_SHARED_CREDENTIALS_FILE=/dev/null"},
     .credentials = "[default]\n" KEYS("NO"),
     .key = "C",
     .says = "profile default in ~/c"},
    {.what = "a named profile must be there",
     .environment = {"AWS_PROFILE=team", CONTAINER},
     .credentials = "[default]\n" KEYS("FILE"),
     .rc = SC_DENIED,
     .says = "profile team (named by AWS_PROFILE): it is neither in ~/.aws/credentials nor in ~/.aws/config "
             "(which "
             "is not there)"},
    {.what = "also one that the store names",
     .environment = {CONTAINER},
     .config = "[team]\n" KEYS("FILE"),
     .profile = "team",
     .rc = SC_DENIED,
     .says = "profile team (named by the store's address)"},
    {.what = "a file that cannot be read as one",
     .environment = {CONTAINER},
     .config = "[default]\nregion = x\nxSECRETx\n",
     .rc = SC_DENIED,
     .says = "~/.aws/config: line 3"},
    {.what = "a role with another profile's keys, where STS cannot be",
     .environment = {CONTAINER},
     .credentials = "[base]\n" KEYS("FILE"),
     .config = "[default]\nrole_arn = arn:r\nsource_profile = base\n",
     .rc = SC_DENIED,
     .says = "role arn:r of profile default in ~/.aws/config, signed by profile base in ~/.aws/credentials: "
             "no region has such a name"},
    {.what = "goes before its own keys, and is signed by them",
     .credentials = "[default]\n" KEYS("FILE"),
     .config = "[default]\nrole_arn = arn:r\nsource_profile = default\n",
     .rc = SC_DENIED,
     .says = "signed by profile default in ~/.aws/credentials: no region"},
    {.what = "a role of a profile that is not there",
     .environment = {CONTAINER},
     .config = "[default]\nrole_arn = arn:r\nsource_profile = base\n",
     .rc = SC_DENIED,
     .says = "role arn:r of profile default in ~/.aws/config: source_profile base: profile base: it is in "
             "neither of the files"},
    {.what = "a role of a profile that has nothing",
     .environment = {ENV_KEYS, "AWS_PROFILE=team"},
     .config = "[profile team]\nrole_arn = arn:r\nsource_profile = base\n[profile base]\nregion = x\n",
     .profile = "team",
     .rc = SC_DENIED,
     .says = "source_profile base: it gives none"},
    {.what = "roles in a circle",
     .config = "[default]\nrole_arn = arn:r\nsource_profile = b\n[profile b]\nrole_arn = "
               "arn:b\nsource_profile = default\n",
     .rc = SC_DENIED,
     .says = "source_profile goes in a circle"},
    {.what = "a role that is its own source",
     .config = "[default]\nrole_arn = arn:r\nsource_profile = default\n",
     .rc = SC_DENIED,
     .says = "source_profile goes in a circle"},
    {.what = "a role with keys of the environment, when there are none",
     .environment = {CONTAINER},
     .config = "[default]\nrole_arn = arn:r\ncredential_source = Environment\n",
     .rc = SC_DENIED,
     .says = "credential_source Environment: it gives none: environment (AWS_ACCESS_KEY_ID is not set)"},
    {.what = "a role with keys of the instance, when it is not asked",
     .environment = {CONTAINER},
     .config = "[default]\nrole_arn = arn:r\ncredential_source = Ec2InstanceMetadata\n",
     .rc = SC_DENIED,
     .says = "credential_source Ec2InstanceMetadata: it gives none: instance metadata "
             "(AWS_EC2_METADATA_DISABLED)"},
    {.what = "a role with keys from nowhere",
     .config = "[default]\nrole_arn = arn:r\ncredential_source = Heaven\n",
     .rc = SC_DENIED,
     .says = "it is none of Environment"},
    {.what = "a role with two sources",
     .config = "[default]\nrole_arn = arn:r\ncredential_source = Environment\nsource_profile = base\n",
     .rc = SC_DENIED,
     .says = "it has both source_profile and credential_source"},
    {.what = "a role that wants a code",
     .config = "[default]\nrole_arn = arn:r\nsource_profile = base\nmfa_serial = m\n",
     .rc = SC_UNSUPPORTED,
     .says = "it asks for a code of a device (mfa_serial)"},
    {.what = "a role whose source signs in by IAM Identity Center",
     .config = "[default]\nrole_arn = arn:r\nsource_profile = b\n[profile b]\nsso_account_id = 1\n",
     .rc = SC_UNSUPPORTED,
     .says = "profile b in ~/.aws/config: it signs in by IAM Identity Center (sso_account_id)"},
    {.what = "a role with no keys",
     .environment = {CONTAINER},
     .config = "[default]\nrole_arn = arn:r\n",
     .rc = SC_DENIED,
     .says = "it has a role_arn and none of"},
    {.what = "IAM Identity Center",
     .environment = {CONTAINER},
     .config = "[default]\nsso_session = s\nsso_account_id = 1\nsso_role_name = r\n",
     .rc = SC_UNSUPPORTED,
     .says = "it signs in by IAM Identity Center"},
    {.what = "a login to the console",
     .environment = {CONTAINER},
     .config = "[default]\nlogin_session = s\n",
     .rc = SC_UNSUPPORTED,
     .says = "it signs in by a login to the console"},
    {.what = "goes after the credentials file",
     .environment = {CONTAINER},
     .credentials = "[default]\n" KEYS("FILE"),
     .config = "[default]\nlogin_session = s\n",
     .key = "FILE",
     .says = "profile default"},
    {.what = "a profile of settings alone is passed over",
     .environment = {"AWS_PROFILE=team", CONTAINER},
     .config = "[profile team]\nregion = x\n",
     .rc = SC_UNREACHABLE,
     .says = "container endpoint at 127.0.0.1:1: "},
    {.what = "nothing",
     .config = "[default]\nregion = x\n",
     .rc = SC_DENIED,
     .says = "no credentials for S3: nothing is configured: looked at environment (AWS_ACCESS_KEY_ID is not "
             "set); "
             "web identity "
             "(AWS_WEB_IDENTITY_TOKEN_FILE is not set); profile default (~/.aws/credentials is not there, "
             "~/.aws/config has no "
             "credentials for it); container (AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and .._FULL_URI are not "
             "set); "
             "instance "
             "metadata (AWS_EC2_METADATA_DISABLED)"},
    {.what = "a web identity without its role",
     .environment = {"AWS_WEB_IDENTITY_TOKEN_FILE=/dev/null", CONTAINER},
     .credentials = "[default]\n" KEYS("FILE"),
     .rc = SC_DENIED,
     .says = "no role is named by AWS_ROLE_ARN or role_arn"},
    {.what = "a web identity without its token",
     .environment = {"AWS_WEB_IDENTITY_TOKEN_FILE=~/none", "AWS_ROLE_ARN=arn:r", CONTAINER},
     .credentials = "[default]\n" KEYS("FILE"),
     .rc = SC_DENIED,
     .says = "web identity, token in ~/none, role arn:r: open"},
    {.what = "with an empty token",
     .environment = {"AWS_WEB_IDENTITY_TOKEN_FILE=~/blank", "AWS_ROLE_ARN=arn:r", CONTAINER},
     .rc = SC_DENIED,
     .says = "~/blank: it is empty"},
    {.what = "a region that cannot be",
     .environment = {"AWS_WEB_IDENTITY_TOKEN_FILE=~/token", "AWS_ROLE_ARN=arn:r"},
     .rc = SC_DENIED,
     .says = "no region has such a name"},
    {.what = "a container's URL that may not be",
     .environment = {"AWS_CONTAINER_CREDENTIALS_FULL_URI=http://example.com/xSECRETx"},
     .rc = SC_DENIED,
     .says = "names example.com without TLS"},
    {.what = "a container's token that may not be",
     .environment = {CONTAINER, "AWS_CONTAINER_AUTHORIZATION_TOKEN=xSECRETx\nHost: y"},
     .rc = SC_DENIED,
     .says = "no value of a header (AWS_CONTAINER_AUTHORIZATION_TOKEN)"},
    {.what = "a container's token whose file is away",
     .environment = {CONTAINER, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=~/none"},
     .rc = SC_DENIED,
     .says = "container endpoint at 127.0.0.1:1: open"},
};

static void run_row(struct world *w, size_t i)
{
    for (size_t j = 0; j < SC_COUNT(rows[i].environment) && rows[i].environment[j]; j++)
        assert_int_equal(putenv((char *)(uintptr_t)rows[i].environment[j]), 0);
    if (rows[i].credentials)
        write_file(w, ".aws/credentials", rows[i].credentials);
    if (rows[i].config)
        write_file(w, ".aws/config", rows[i].config);
    write_file(w, "c", "[default]\n" KEYS("C"));
    write_file(w, "blank", " \n");
    write_file(w, "token", "xSECRETx");
    open_provider(w, rows[i].profile, "eu/x", 1);
    enum sc_rc rc = get_at(w, 0, false);
    if (rc != rows[i].rc)
        fail_msg("%s: %s %s", rows[i].what, sc_rc_name(rc), w->err.message);
    if (rc == SC_OK) {
        assert_slice(w->got.access_key, rows[i].key);
        assert_slice(w->got.secret, "xSECRETx");
        assert_slice(w->got.token, rows[i].token ? rows[i].token : "");
        assert_false(w->got.anonymous);
        assert_describes(w, rows[i].says);
    } else {
        assert_story(w, rows[i].says);
        assert_describes(w, rows[i].says);
    }
    assert_logged(w, NULL);
}

static void test_sources_are_asked_in_the_order_of_the_cli(void **state)
{
    (void)state;
    for (size_t i = 0; i < SC_COUNT(rows); i++) {
        void *own = NULL;
        setup(&own);
        run_row(own, i);
        teardown(&own);
    }
}

static void test_anonymous_looks_for_nothing(void **state)
{
    struct world *w = *state;
    struct sc_s3_provider_config config = {.anonymous = true};
    setenv("AWS_ACCESS_KEY_ID", "ENV", 1); // half of them would be an error
    w->provider = sc_s3_provider_new(&config);
    assert_ok(get_at(w, 0, false), w->err);
    assert_true(w->got.anonymous);
    assert_int_equal(w->got.access_key.len + w->got.secret.len + w->got.token.len, 0);
    assert_ok(get_at(w, 0, true), w->err);
    assert_describes(w, "anonymous");
}

static void test_new_provider_finds_nothing_out_yet(void **state)
{
    struct world *w = *state;
    open_provider(w, NULL, NULL, 1);
    assert_describes(w, "not looked for yet");
    setenv("AWS_ACCESS_KEY_ID", "ENV", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "xSECRETx", 1);
    assert_ok(get_at(w, 0, false), w->err);
    assert_slice(w->got.access_key, "ENV");
    assert_int_equal(w->got.expires_ms, 0);
}

// credential_process

#define SAYS(text) "/bin/sh -c 'echo \"$0\"' \"" text "\""
#define GOOD                                                                                                 \
    "{\\\"Version\\\":1,\\\"AccessKeyId\\\":\\\"PROC\\\",\\\"SecretAccessKey\\\":\\\"xSECRETx\\\","          \
    "\\\"SessionToken\\\":\\\"T\\\",\\\"Expiration\\\":\\\"2026-01-02T04:04:05Z\\\"}"

static const struct {
    const char *command;
    enum sc_rc rc;
    const char *says;
} processes[] = {
    {SAYS(GOOD), SC_OK, "credential_process of profile default in ~/.aws/config, until 2026-01-02T04:04:05Z"},
    {"cat 'my answer'", SC_OK, "credential_process"}, // from the PATH and the working folder
    {"sh -c 'test \"$FOR_PROCESS\" = yes && cat \"my answer\"'", SC_OK, "credential_process"},
    {"sh -c 'echo The session has expired >&2; exit 3'", SC_DENIED,
     "credential_process of profile default in ~/.aws/config: it exited with 3: The session has expired"},
    {"sh -c 'echo key AKIAIOSFODNN7EXAMPLE/xSECRETx >&2; exit 1'", SC_DENIED, "it exited with 1: key [...]"},
    {"sh -c 'kill -9 $$'", SC_DENIED, "it was killed by signal 9"},
    {"sh -c 'cat \"my answer\"; exit 1'", SC_DENIED, "it exited with 1"},
    {"echo xSECRETx", SC_DENIED, "what it printed: it is no JSON"},
    {SAYS("{\\\"Version\\\":2,\\\"SecretAccessKey\\\":\\\"xSECRETx\\\"}"), SC_DENIED, "Version 2"},
    {"head -c 65537 /dev/zero", SC_DENIED, "it printed more than 65536 bytes"},
    {"no-such-program --x", SC_DENIED, "no-such-program is not on the PATH"},
    {"/nowhere/no-such-program", SC_DENIED, "start /nowhere/no-such-program"},
    {"sh -c 'xSECRETx", SC_DENIED, "a quote or an escape in it is not ended"},
    {"\"\"", SC_DENIED, "is not on the PATH"},
};

static void run_process(struct world *w, size_t i)
{
    SC_AUTO_FREE char *config =
        sc_asprintf("[default]\ncredential_process = %s\n" KEYS("CONFIG"), processes[i].command);
    SC_AUTO_FREE char *before = getcwd(NULL, 0);
    write_file(w, ".aws/config", config);
    write_file(
        w, "my answer",
        "{\"Version\":1,\"AccessKeyId\":\"PROC\",\"SecretAccessKey\":\"xSECRETx\",\"SessionToken\":\"T\"}");
    setenv("FOR_PROCESS", "yes", 1);
    assert_int_equal(chdir(w->home), 0);
    open_provider(w, NULL, NULL, 1);
    enum sc_rc rc = get_at(w, 0, false);
    assert_int_equal(chdir(before), 0);
    if (rc != processes[i].rc)
        fail_msg("%s: %s %s", processes[i].command, sc_rc_name(rc), w->err.message);
    if (rc == SC_OK) {
        assert_slice(w->got.access_key, "PROC");
        assert_slice(w->got.token, "T");
        assert_describes(w, processes[i].says);
    } else {
        assert_story(w, processes[i].says);
    }
}

static void test_credential_process_gives_credentials_or_says_why_not(void **state)
{
    (void)state;
    for (size_t i = 0; i < SC_COUNT(processes); i++) {
        void *own = NULL;
        setup(&own);
        run_process(own, i);
        teardown(&own);
    }
}

static void test_credential_process_goes_after_the_credentials_file(void **state)
{
    struct world *w = *state;
    write_file(w, ".aws/credentials", "[default]\n" KEYS("FILE"));
    write_file(w, ".aws/config", "[default]\ncredential_process = false\n");
    open_provider(w, NULL, NULL, 1);
    assert_ok(get_at(w, 0, false), w->err);
    assert_slice(w->got.access_key, "FILE");
}

// Memory

// The secret is nowhere in the program but where the code under test puts it: it is made at run time, written to the file
// byte by byte and kept otherwise than it is.
enum { SECRET_BYTES = 40, MASK = 0x80 };

static void write_secret(const struct world *w, uint8_t masked[SECRET_BYTES])
{
    static const char head[] = "[default]\naws_access_key_id = AK\naws_secret_access_key = ";
    SC_AUTO_FREE char *path = sc_scratch_path(w->home, ".aws/credentials");
    SC_AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, head, sizeof head - 1), sizeof head - 1);
    uint32_t seed = (uint32_t)getpid();
    for (int i = 0; i < SECRET_BYTES; i++) {
        seed = seed * 1664525 + 1013904223;
        char c = (char)('a' + (seed >> 16) % 26);
        masked[i] = (uint8_t)c | MASK;
        assert_int_equal(write(fd, &c, 1), 1);
    }
}

// How often its second half is there: free() writes into the front of what it gets.
static int count_in(const uint8_t *bytes, size_t len, const uint8_t masked[SECRET_BYTES])
{
    int count = 0;
    for (size_t at = 0; at + SECRET_BYTES / 2 <= len; at++) {
        int i = 0;
        while (i < SECRET_BYTES / 2 && (bytes[at + i] | MASK) == masked[SECRET_BYTES / 2 + i] &&
               !(bytes[at + i] & MASK))
            i++;
        count += i == SECRET_BYTES / 2;
    }
    return count;
}

// In all that the program can write to.
static int count_copies(const uint8_t masked[SECRET_BYTES])
{
    enum { LARGEST = 64 << 20 };
    static uint8_t copy[LARGEST]; // itself too large to be looked at
    char line[512];
    int count = 0;
    FILE *maps = fopen("/proc/self/maps", "re");
    SC_AUTO_CLOSE int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    assert_non_null(maps);
    assert_true(memory >= 0);
    while (fgets(line, sizeof line, maps)) {
        unsigned long from, to;
        if (sscanf(line, "%lx-%lx", &from, &to) != 2 || !strstr(line, " rw") || to - from >= LARGEST)
            continue;
        ssize_t n = pread(memory, copy, to - from, (off_t)from);
        count += n > 0 ? count_in(copy, (size_t)n, masked) : 0;
        memset(copy, 0, sizeof copy);
    }
    fclose(maps);
    return count;
}

static void test_secrets_are_gone_from_memory_when_others_take_their_place(void **state)
{
    struct world *w = *state;
    uint8_t masked[SECRET_BYTES];
    mallopt(M_MMAP_THRESHOLD, 16 << 20); // what is freed stays where it can be looked at
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    write_secret(w, masked);
    open_provider(w, NULL, NULL, 1);
    assert_ok(get_at(w, 0, false), w->err);
    assert_int_equal(w->got.secret.len, SECRET_BYTES);
    assert_int_equal(count_copies(masked), 1);
    write_file(w, ".aws/credentials", "[default]\n" KEYS("NEW"));
    assert_ok(get_at(w, MINUTE, true), w->err);
    assert_slice(w->got.access_key, "NEW");
    assert_int_equal(count_copies(masked), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sources_are_asked_in_the_order_of_the_cli),
        T(test_anonymous_looks_for_nothing),
        T(test_new_provider_finds_nothing_out_yet),
        cmocka_unit_test(test_credential_process_gives_credentials_or_says_why_not),
        T(test_credential_process_goes_after_the_credentials_file),
        T(test_secrets_are_gone_from_memory_when_others_take_their_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
