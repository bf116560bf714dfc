#include "store/s3/credentials_chain.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/os/child.h"
#include "base/os/clock.h"
#include "base/os/file.h"
#include "store/s3/credentials_files.h"
#include "store/s3/secret.h"

#include <stdio.h>
#include <strings.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROCESS_MS = 60 * 1000 }; // for a credential_process

// One walk along the sources.
struct search {
    const struct sc_s3_chain *chain;
    struct sc_arena *arena;
    struct sc_s3_file *config, *credentials;
    const struct search *outer; // whose role is taken on with what this finds; NULL: none
    struct sc_slice profile;
    const char *profile_from; // what names it; NULL: nothing, it is the default
    struct sc_buf tried;      // what was passed over and why
    bool metadata_unreachable;
    struct sc_s3_chain_end *ret_end;
    struct sc_error *err;
};

enum outcome { PASSED, FOUND, FAILED };

static struct sc_slice variable(const char *name)
{
    return sc_slice_str(getenv(name));
}

static void pass(struct search *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void pass(struct search *s, const char *format, ...)
{
    char text[SC_ERROR_MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (s->tried.len)
        sc_buf_add_str(&s->tried, "; ");
    sc_buf_add_str(&s->tried, text);
}

// Ends the walk: rc of what a source gave, under the source's name.
static enum outcome end(struct search *s, enum sc_rc rc)
{
    if (rc == SC_OK)
        return FOUND;
    if (rc != SC_UNREACHABLE && rc != SC_UNSUPPORTED)
        rc = SC_DENIED;
    sc_error_wrap(s->err, rc, "%s", sc_buf_cstr(&s->ret_end->words));
    return FAILED;
}

static enum outcome refuse(struct search *s, const char *what)
{
    return end(s, sc_error_set(s->err, SC_DENIED, "%s", what));
}

// A setting of the profile: the credentials file goes before the config file.
static struct sc_slice profile_value(const struct search *s, const char *name)
{
    struct sc_slice value = sc_s3_file_value(s->credentials, s->profile, name);
    return value.len ? value : sc_s3_file_value(s->config, s->profile, name);
}

// A variable of the environment or, when it is not set, of the profile.
static struct sc_slice setting(const struct search *s, const char *env, const char *name)
{
    struct sc_slice value = variable(env);
    return value.len ? value : profile_value(s, name);
}

static enum outcome try_environment(struct search *s)
{
    struct sc_slice key = variable("AWS_ACCESS_KEY_ID"), secret = variable("AWS_SECRET_ACCESS_KEY");
    struct sc_slice token = variable("AWS_SESSION_TOKEN"), until = variable("AWS_CREDENTIAL_EXPIRATION");
    if (token.len == 0)
        token = variable("AWS_SECURITY_TOKEN"); // its name of old
    if (s->chain->profile) {
        pass(s, "environment (not looked at, since the store names a profile)");
        return PASSED;
    }
    if (key.len == 0 && secret.len == 0) {
        pass(s, "environment (AWS_ACCESS_KEY_ID is not set)");
        return PASSED;
    }
    sc_buf_add_str(&s->ret_end->words, "environment (AWS_ACCESS_KEY_ID)");
    if (key.len == 0 || secret.len == 0)
        return refuse(s, key.len ? "AWS_ACCESS_KEY_ID is set, and AWS_SECRET_ACCESS_KEY is not"
                                 : "AWS_SECRET_ACCESS_KEY is set, and AWS_ACCESS_KEY_ID is not");
    int64_t expires_ms = 0;
    if (until.len && !sc_clock_of_rfc3339(until, &expires_ms))
        return refuse(s, "AWS_CREDENTIAL_EXPIRATION is no date and time of RFC 3339");
    enum sc_rc rc = sc_s3_found_set(&s->ret_end->found, key, secret, token, s->err);
    if (rc == SC_OK)
        s->ret_end->found.expires_ms = expires_ms;
    return end(s, rc);
}

static void name_profile(struct search *s)
{
    static const char *const variables[] = {"AWS_PROFILE", "AWS_DEFAULT_PROFILE"};
    s->profile = sc_slice_str("default");
    if (s->chain->profile) {
        s->profile = sc_slice_str(s->chain->profile);
        s->profile_from = "the store's address";
        return;
    }
    for (size_t i = 0; i < SC_COUNT(variables) && !s->profile_from; i++)
        if (variable(variables[i]).len) {
            s->profile = variable(variables[i]);
            s->profile_from = variables[i];
        }
}

// Reads the shared files, for the sources that follow.
static enum outcome try_files(struct search *s)
{
    name_profile(s);
    enum sc_rc rc = sc_s3_file_load(s->credentials, s->err);
    if (rc == SC_OK)
        rc = sc_s3_file_load(s->config, s->err);
    if (rc != SC_OK) {
        sc_buf_add_str(&s->ret_end->words, "profiles");
        return end(s, rc);
    }
    if (sc_s3_file_has(s->config, s->profile) || sc_s3_file_has(s->credentials, s->profile) ||
        !s->profile_from)
        return PASSED;
    sc_buf_printf(&s->ret_end->words, "profile " SC_SLICE_FMT " (named by %s)", SC_SLICE_ARG(s->profile),
                  s->profile_from);
    sc_error_set(s->err, SC_DENIED, "it is neither in %s%s nor in %s%s", s->credentials->shown,
                 s->credentials->found ? "" : " (which is not there)", s->config->shown,
                 s->config->found ? "" : " (which is not there)");
    sc_error_hint(s->err, "its section is [NAME] in the credentials file, [profile NAME] in the config file");
    return end(s, SC_DENIED);
}

static void say_profile(struct search *s, const struct sc_s3_file *file, const char *what)
{
    sc_buf_printf(&s->ret_end->words, "%sprofile " SC_SLICE_FMT " in %s", what, SC_SLICE_ARG(s->profile),
                  file->shown);
}

static const struct sc_s3_file *file_with(const struct search *s, const char *name)
{
    return sc_s3_file_value(s->credentials, s->profile, name).len ? s->credentials : s->config;
}

// What the CLI can do and we cannot: a profile that asks the CLI for its credentials serves just as well.
static enum outcome not_known(struct search *s, const char *setting_name, const char *what)
{
    say_profile(s, file_with(s, setting_name), "");
    sc_error_set(s->err, SC_UNSUPPORTED, "%s (%s), which this version cannot do", what, setting_name);
    sc_error_hint(s->err,
                  "use a profile of its own with `credential_process = aws configure export-credentials "
                  "--profile " SC_SLICE_FMT " --format process`",
                  SC_SLICE_ARG(s->profile));
    return end(s, SC_UNSUPPORTED);
}

static enum sc_rc sts_endpoint(const struct search *s, struct sc_buf *ret_url, struct sc_error *err)
{
    struct sc_slice named = variable("AWS_ENDPOINT_URL_STS");
    if (named.len == 0)
        named = variable("AWS_ENDPOINT_URL"); // of all services, as AWS's tools take it
    if (named.len == 0)
        return sc_s3_sts_endpoint(sc_slice_str(s->chain->region), ret_url, err);
    sc_buf_add_slice(ret_url, named);
    return SC_OK;
}

// A file with one token in it, which others replace from time to time; the blanks around it are not the token's.
static enum sc_rc read_token(struct sc_slice path, struct sc_buf *ret_token, struct sc_error *err)
{
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    sc_s3_secret_init(ret_token, SC_LIMIT_S3_CREDENTIAL_BYTES + SC_FILE_READ_BYTES);
    enum sc_rc rc = sc_file_read(sc_s3_path(&arena, path), SC_LIMIT_S3_CREDENTIAL_BYTES, ret_token, err);
    if (rc != SC_OK)
        return rc;
    while (ret_token->len && ret_token->ptr[ret_token->len - 1] <= ' ')
        ret_token->len--;
    return ret_token->len ? SC_OK
                          : sc_error_set(err, SC_MALFORMED, SC_SLICE_FMT ": it is empty", SC_SLICE_ARG(path));
}

static enum outcome try_web_identity(struct search *s)
{
    bool named = s->chain->profile != NULL;
    struct sc_slice file = named ? sc_slice(NULL, 0) : variable("AWS_WEB_IDENTITY_TOKEN_FILE");
    bool of_profile = file.len == 0;
    if (of_profile)
        file = profile_value(s, "web_identity_token_file");
    if (file.len == 0) {
        pass(s, "web identity (%s)",
             named ? "the profile has no web_identity_token_file" : "AWS_WEB_IDENTITY_TOKEN_FILE is not set");
        return PASSED;
    }
    struct sc_slice role = named ? profile_value(s, "role_arn") : setting(s, "AWS_ROLE_ARN", "role_arn");
    struct sc_slice session = named ? profile_value(s, "role_session_name")
                                    : setting(s, "AWS_ROLE_SESSION_NAME", "role_session_name");
    sc_buf_add_str(&s->ret_end->words, "web identity");
    if (of_profile)
        say_profile(s, file_with(s, "web_identity_token_file"), " of ");
    sc_buf_printf(&s->ret_end->words, ", token in " SC_SLICE_FMT ", role " SC_SLICE_FMT, SC_SLICE_ARG(file),
                  SC_SLICE_ARG(role));
    if (role.len == 0)
        return refuse(s, "no role is named by AWS_ROLE_ARN or role_arn");
    SC_AUTO_BUF struct sc_buf url;
    SC_AUTO_S3_SECRET struct sc_buf token;
    sc_buf_init(&url, 0);
    enum sc_rc rc = read_token(file, &token, s->err);
    if (rc == SC_OK)
        rc = sts_endpoint(s, &url, s->err);
    if (rc != SC_OK)
        return end(s, rc);
    struct sc_slice ca = variable("AWS_CA_BUNDLE");
    struct sc_s3_web_identity identity = {.endpoint = sc_buf_cstr(&url),
                                          .ca = ca.len ? (const char *)ca.ptr : NULL,
                                          .role_arn = role,
                                          .session_name = session.len ? session : sc_slice_str("stepcache"),
                                          .token = sc_buf_slice(&token)};
    return end(s, sc_s3_web_identity_ask(&identity, &s->chain->patience, &s->ret_end->found, s->err));
}

static enum outcome try_identity_center(struct search *s)
{
    if (profile_value(s, "sso_account_id").len)
        return not_known(s, "sso_account_id", "it signs in by IAM Identity Center");
    if (profile_value(s, "sso_role_name").len)
        return not_known(s, "sso_role_name", "it signs in by IAM Identity Center");
    return PASSED;
}

static enum outcome try_login(struct search *s)
{
    return profile_value(s, "login_session").len
               ? not_known(s, "login_session", "it signs in by a login to the console")
               : PASSED;
}

// Key, secret and token of one file: those of two files are of two identities.
static enum outcome try_keys(struct search *s, const struct sc_s3_file *file)
{
    struct sc_slice key = sc_s3_file_value(file, s->profile, "aws_access_key_id");
    struct sc_slice secret = sc_s3_file_value(file, s->profile, "aws_secret_access_key");
    struct sc_slice token = sc_s3_file_value(file, s->profile, "aws_session_token");
    if (token.len == 0)
        token = sc_s3_file_value(file, s->profile, "aws_security_token"); // its name of old
    if (key.len == 0 && secret.len == 0)
        return PASSED;
    say_profile(s, file, "");
    if (key.len == 0 || secret.len == 0)
        return refuse(s, key.len ? "it has an aws_access_key_id and no aws_secret_access_key"
                                 : "it has an aws_secret_access_key and no aws_access_key_id");
    return end(s, sc_s3_found_set(&s->ret_end->found, key, secret, token, s->err));
}

static const char *presence(const struct search *s, const struct sc_s3_file *file)
{
    if (!file->found)
        return "is not there";
    return sc_s3_file_has(file, s->profile) ? "has no credentials for it" : "does not have it";
}

// The notes of the two files are one.
static void pass_profile(struct search *s)
{
    pass(s, "profile " SC_SLICE_FMT " (%s %s, %s %s)", SC_SLICE_ARG(s->profile), s->credentials->shown,
         presence(s, s->credentials), s->config->shown, presence(s, s->config));
}

static enum outcome try_credentials_file(struct search *s)
{
    enum outcome outcome = try_keys(s, s->credentials);
    if (outcome == PASSED)
        pass_profile(s);
    return outcome;
}

static enum outcome try_config_file(struct search *s)
{
    enum outcome outcome = try_keys(s, s->config);
    if (outcome == PASSED && s->chain->source != SC_S3_ANY_SOURCE)
        pass_profile(s);
    return outcome;
}

static enum sc_rc process_failed(int status, const struct sc_buf *errs, struct sc_error *err)
{
    SC_AUTO_BUF struct sc_buf said;
    sc_buf_init(&said, 0);
    sc_s3_scrub(sc_buf_slice(errs), &said);
    return sc_error_set(err, SC_DENIED, "it %s %d%s%s",
                        WIFSIGNALED(status) ? "was killed by signal" : "exited with",
                        WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), said.len ? ": " : "",
                        sc_buf_cstr(&said));
}

static enum sc_rc run_process(struct search *s, struct sc_slice command, struct sc_error *err)
{
    char **words;
    size_t count;
    enum sc_rc rc = sc_s3_words(command, s->arena, &words, &count, err);
    if (rc != SC_OK)
        return rc;
    SC_AUTO_FREE char *program = count ? sc_child_find(words[0], getenv("PATH")) : NULL;
    if (!program)
        return sc_error_set(err, SC_DENIED, "%s is not on the PATH", count ? words[0] : "its program");
    words[0] = program;
    struct sc_child child = {.argv = (const char *const *)words,
                             .env = (const char *const *)environ,
                             .folder = ".", // as the CLI does
                             .timeout_ms = PROCESS_MS,
                             .max_bytes = SC_LIMIT_S3_ANSWER_BYTES};
    SC_AUTO_S3_SECRET struct sc_buf out, errs;
    sc_s3_secret_init(&out, SC_LIMIT_S3_ANSWER_BYTES);
    sc_s3_secret_init(&errs, SC_LIMIT_S3_ANSWER_BYTES);
    int status = 0;
    rc = sc_child_run(&child, &out, &errs, &status, err);
    words[0] = NULL;
    if (rc == SC_TIMEOUT)
        err->rc = rc = SC_UNREACHABLE; // the next time it may be quicker
    if (rc != SC_OK)
        return rc;
    if (status != 0)
        return process_failed(status, &errs, err);
    rc = sc_s3_found_json(sc_buf_slice(&out), SC_S3_JSON_PROCESS, &s->ret_end->found, err);
    return rc == SC_OK ? SC_OK : sc_error_wrap(err, rc, "what it printed");
}

static enum outcome try_process(struct search *s)
{
    struct sc_slice command = profile_value(s, "credential_process");
    if (command.len == 0 && s->chain->source != SC_S3_ANY_SOURCE)
        pass_profile(s);
    if (command.len == 0)
        return PASSED;
    say_profile(s, file_with(s, "credential_process"), "credential_process of ");
    return end(s, run_process(s, command, s->err));
}

static enum outcome try_container(struct search *s)
{
    const char *relative = getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const char *full = getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    if (!(relative && *relative) && !(full && *full)) {
        pass(s, "container (AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and .._FULL_URI are not set)");
        return PASSED;
    }
    SC_AUTO_BUF struct sc_buf url, host;
    SC_AUTO_S3_SECRET struct sc_buf token;
    sc_buf_init(&url, 0);
    sc_buf_init(&host, 0);
    sc_buf_init(&token, 0);
    sc_buf_add_str(&s->ret_end->words, "container endpoint");
    enum sc_rc rc = sc_s3_container_url(relative, full, &url, &host, s->err);
    if (rc != SC_OK)
        return end(s, rc);
    sc_buf_printf(&s->ret_end->words, " at %s", sc_buf_cstr(&host));
    struct sc_slice file = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    if (file.len)
        rc = read_token(file, &token, s->err);
    struct sc_slice authorization =
        file.len ? sc_buf_slice(&token) : variable("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    for (size_t i = 0; rc == SC_OK && i < authorization.len; i++)
        if (authorization.ptr[i] < ' ' || authorization.ptr[i] > '~')
            rc = sc_error_set(s->err, SC_DENIED, "its authorization token is no value of a header (%s)",
                              file.len ? "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
                                       : "AWS_CONTAINER_AUTHORIZATION_TOKEN");
    if (rc == SC_OK)
        rc = sc_s3_container_ask(sc_buf_cstr(&url), authorization, &s->chain->patience, &s->ret_end->found,
                                 s->err);
    return end(s, rc);
}

// A whole number of seconds or tries, as AWS_METADATA_SERVICE_TIMEOUT and .._NUM_ATTEMPTS have it.
static int small_number(struct sc_slice text, int otherwise)
{
    char *rest = NULL;
    long number = text.len ? strtol((const char *)text.ptr, &rest, 10) : 0;
    return number >= 1 && number <= 60 && *rest == 0 ? (int)number : otherwise;
}

static const char *metadata_endpoint(struct search *s)
{
    struct sc_slice named = setting(s, "AWS_EC2_METADATA_SERVICE_ENDPOINT", "ec2_metadata_service_endpoint");
    struct sc_slice mode =
        setting(s, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "ec2_metadata_service_endpoint_mode");
    if (named.len)
        return sc_arena_cstr(s->arena, named);
    return mode.len == 4 && strncasecmp((const char *)mode.ptr, "ipv6", 4) == 0 ? "http://[fd00:ec2::254]"
                                                                                : "http://169.254.169.254";
}

// The last one: nobody configures it, so that its absence is no failure of its own.
static enum outcome try_metadata(struct search *s)
{
    const char *disabled = getenv("AWS_EC2_METADATA_DISABLED");
    if (disabled && strcasecmp(disabled, "true") == 0) {
        pass(s, "instance metadata (AWS_EC2_METADATA_DISABLED)");
        return PASSED;
    }
    struct sc_s3_patience patience = s->chain->patience;
    int seconds = small_number(variable("AWS_METADATA_SERVICE_TIMEOUT"), 0);
    if (seconds)
        patience.near_connect_ms = patience.near_ms = seconds * 1000L;
    patience.tries = small_number(variable("AWS_METADATA_SERVICE_NUM_ATTEMPTS"), patience.tries);
    SC_AUTO_BUF struct sc_buf role;
    sc_buf_init(&role, 0);
    struct sc_error why = SC_ERROR_INIT;
    enum sc_rc rc = sc_s3_metadata_ask(metadata_endpoint(s), &patience, &s->ret_end->found, &role, &why);
    if (rc != SC_OK) {
        s->metadata_unreachable = rc == SC_UNREACHABLE;
        pass(s, "instance metadata (%s)", why.message);
        return PASSED;
    }
    sc_buf_printf(&s->ret_end->words, "instance metadata, role %s", sc_buf_cstr(&role));
    return FOUND;
}

// A role that a profile takes on with credentials of another profile (source_profile) or of a place (credential_source), as
// botocore finds them. They sign an AssumeRole to STS.

static bool has_keys(const struct search *s)
{
    return profile_value(s, "aws_access_key_id").len || profile_value(s, "aws_secret_access_key").len;
}

static enum outcome try_role(struct search *s);

// All that can stand in a profile. A role goes last where there are keys, too: they are then those that it is taken on with.
static enum outcome try_profile(struct search *s)
{
    static enum outcome (*const steps[])(struct search *) = {
        try_web_identity, try_identity_center, try_credentials_file, try_login, try_process, try_config_file,
    };
    if (!sc_s3_file_has(s->credentials, s->profile) && !sc_s3_file_has(s->config, s->profile)) {
        sc_buf_printf(&s->ret_end->words, "profile " SC_SLICE_FMT, SC_SLICE_ARG(s->profile));
        return refuse(s, "it is in neither of the files");
    }
    if (!has_keys(s) && profile_value(s, "role_arn").len && !profile_value(s, "web_identity_token_file").len)
        return try_role(s);
    enum outcome outcome = PASSED;
    for (size_t i = 0; i < SC_COUNT(steps) && outcome == PASSED; i++)
        outcome = steps[i](s);
    return outcome;
}

static enum outcome try_place(struct search *s, struct sc_slice place)
{
    if (sc_slice_eq_str(place, "Environment"))
        return try_environment(s);
    if (sc_slice_eq_str(place, "EcsContainer"))
        return try_container(s);
    if (sc_slice_eq_str(place, "Ec2InstanceMetadata"))
        return try_metadata(s);
    return refuse(s, "it is none of Environment, EcsContainer and Ec2InstanceMetadata");
}

// What signs; in words behind those of the role.
static enum outcome find_signer(struct search *s, struct sc_slice profile, struct sc_slice place,
                                struct sc_s3_found *ret_found)
{
    struct sc_s3_chain_end inner_end = {.source = SC_S3_ANY_SOURCE};
    struct sc_s3_chain chain = *s->chain;
    struct search inner = {.chain = &chain,
                           .arena = s->arena,
                           .config = s->config,
                           .credentials = s->credentials,
                           .outer = s,
                           .profile = profile.len ? profile : s->profile,
                           .ret_end = &inner_end,
                           .err = s->err};
    chain.profile = profile.len ? sc_arena_cstr(s->arena, profile) : NULL;
    chain.source = SC_S3_ANY_SOURCE;
    sc_buf_init(&inner_end.words, 0);
    sc_buf_init(&inner.tried, 0);
    enum outcome outcome = profile.len ? try_profile(&inner) : try_place(&inner, place);
    if (outcome == PASSED) {
        outcome = FAILED;
        sc_error_set(s->err, inner.metadata_unreachable ? SC_UNREACHABLE : SC_DENIED, "it gives none: %s",
                     inner.tried.len ? sc_buf_cstr(&inner.tried) : "nothing in it can sign");
    }
    if (outcome == FOUND) {
        *ret_found = inner_end.found;
        inner_end.found = (struct sc_s3_found){0};
        sc_buf_add_str(&s->ret_end->words, ", signed by ");
        sc_buf_add_slice(&s->ret_end->words, sc_buf_slice(&inner_end.words));
    }
    sc_buf_done(&inner.tried);
    sc_s3_chain_end_done(&inner_end);
    return outcome;
}

static bool goes_in_a_circle(const struct search *s)
{
    for (const struct search *outer = s->outer; outer; outer = outer->outer)
        if (sc_slice_eq(outer->profile, s->profile))
            return true;
    return false;
}

static enum sc_rc take_on(struct search *s, const struct sc_s3_found *signer)
{
    struct sc_slice session = profile_value(s, "role_session_name"), ca = variable("AWS_CA_BUNDLE");
    SC_AUTO_BUF struct sc_buf url;
    sc_buf_init(&url, 0);
    enum sc_rc rc = sts_endpoint(s, &url, s->err);
    if (rc != SC_OK)
        return rc;
    struct sc_s3_role role = {.endpoint = sc_buf_cstr(&url),
                              .ca = ca.len ? (const char *)ca.ptr : NULL,
                              .region = sc_slice_str(s->chain->region),
                              .role_arn = profile_value(s, "role_arn"),
                              .session_name = session.len ? session : sc_slice_str("stepcache"),
                              .external_id = profile_value(s, "external_id"),
                              .duration_s = profile_value(s, "duration_seconds"),
                              .signer = signer,
                              .wall_ms = s->chain->wall_ms};
    return sc_s3_role_ask(&role, &s->chain->patience, &s->ret_end->found, s->err);
}

static enum outcome try_role(struct search *s)
{
    struct sc_slice role = profile_value(s, "role_arn"), profile = profile_value(s, "source_profile"),
                    place = profile_value(s, "credential_source");
    if (role.len == 0 || profile_value(s, "web_identity_token_file").len)
        return PASSED;
    if (profile_value(s, "mfa_serial").len)
        return not_known(s, "mfa_serial", "it asks for a code of a device");
    sc_buf_printf(&s->ret_end->words, "role " SC_SLICE_FMT " of ", SC_SLICE_ARG(role));
    say_profile(s, file_with(s, "role_arn"), "");
    if (profile.len && place.len)
        return refuse(s, "it has both source_profile and credential_source");
    if (!profile.len && !place.len)
        return refuse(s, "it has a role_arn and none of web_identity_token_file, source_profile and "
                         "credential_source");
    if (goes_in_a_circle(s))
        return refuse(s, "source_profile goes in a circle: the role is taken on with itself");
    struct sc_s3_found signer = {.expires_ms = 0};
    if (find_signer(s, profile, place, &signer) != FOUND) {
        sc_error_wrap(s->err, s->err->rc,
                      profile.len ? "source_profile " SC_SLICE_FMT : "credential_source " SC_SLICE_FMT,
                      SC_SLICE_ARG(profile.len ? profile : place));
        return end(s, s->err->rc);
    }
    enum sc_rc rc = take_on(s, &signer);
    sc_s3_found_done(&signer);
    return end(s, rc);
}

static enum outcome (*const sources[])(struct search *) = {
    try_environment,      try_files, try_role,    try_web_identity, try_identity_center,
    try_credentials_file, try_login, try_process, try_config_file,  try_container,
    try_metadata,
};

static enum sc_rc nothing_found(struct search *s)
{
    if (s->chain->source != SC_S3_ANY_SOURCE)
        return sc_error_set(s->err, s->metadata_unreachable ? SC_UNREACHABLE : SC_DENIED,
                            "the source in use gives none any more: %s", sc_buf_cstr(&s->tried));
    sc_error_set(s->err, SC_DENIED, "nothing is configured: looked at %s", sc_buf_cstr(&s->tried));
    sc_error_hint(s->err, "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; for a public "
                          "bucket put anonymous=1 into the store's address");
    return SC_DENIED;
}

static enum sc_rc walk(struct search *s)
{
    enum outcome outcome = PASSED;
    int only = s->chain->source;
    for (int i = 0; i < (int)SC_COUNT(sources) && outcome == PASSED; i++) {
        if (only != SC_S3_ANY_SOURCE && i != only && sources[i] != try_files)
            continue;
        s->ret_end->source = i;
        outcome = sources[i](s);
    }
    if (outcome == FOUND)
        return SC_OK;
    enum sc_rc rc = outcome == FAILED ? s->err->rc : nothing_found(s);
    return sc_error_wrap(s->err, rc, "no credentials for S3");
}

enum sc_rc sc_s3_chain_walk(const struct sc_s3_chain *chain, struct sc_s3_chain_end *ret_end,
                            struct sc_error *err)
{
    struct sc_error ignored = SC_ERROR_INIT;
    struct sc_arena arena;
    struct sc_s3_file config, credentials;
    struct search s = {.chain = chain,
                       .arena = &arena,
                       .config = &config,
                       .credentials = &credentials,
                       .ret_end = ret_end,
                       .err = err ? err : &ignored};
    *ret_end = (struct sc_s3_chain_end){0};
    sc_buf_init(&ret_end->words, 0);
    sc_arena_init(&arena);
    sc_s3_file_init(&config, SC_S3_CONFIG);
    sc_s3_file_init(&credentials, SC_S3_CREDENTIALS);
    sc_buf_init(&s.tried, 0);
    enum sc_rc rc = walk(&s);
    sc_buf_done(&s.tried);
    sc_s3_file_done(&credentials);
    sc_s3_file_done(&config);
    sc_arena_done(&arena);
    return rc;
}

void sc_s3_chain_end_done(struct sc_s3_chain_end *chain_end)
{
    sc_s3_found_done(&chain_end->found);
    sc_buf_done(&chain_end->words);
}
