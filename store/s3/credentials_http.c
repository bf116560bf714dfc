#include "store/s3/credentials_http.h"

#include "base/limits.h"
#include "base/memory.h"
#include "store/s3/secret.h"
#include "store/s3/sign.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <libxml/parser.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>

enum { HEADERS = 6, HOST_BYTES = 300, TOKEN_BYTES = 4096, ROLE_BYTES = 128 };

struct request {
    const char *method, *url, *host; // host: for stories
    struct sc_slice headers[HEADERS];
    struct sc_slice form; // the body of a POST
    const char *ca;
    bool far; // STS: proxies as the environment says, and time for TLS
};

static pthread_once_t libraries_once = PTHREAD_ONCE_INIT;
static void start_libraries(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
    xmlInitParser();
}

static size_t take(char *bytes, size_t size, size_t count, void *context)
{
    struct sc_buf *body = context;
    sc_buf_add(body, bytes, size * count);
    return body->overflow ? 0 : size * count;
}

static struct curl_slist *headers_of(const struct request *request)
{
    struct curl_slist *list = NULL;
    for (int i = 0; i < HEADERS; i++) {
        if (request->headers[i].len == 0)
            continue;
        SC_AUTO_S3_SECRET struct sc_buf line;
        sc_s3_secret_init(&line, request->headers[i].len + 1);
        sc_buf_add_slice(&line, request->headers[i]);
        list = curl_slist_append(list, sc_buf_cstr(&line));
    }
    return list;
}

static void headers_free(struct curl_slist *list)
{
    for (struct curl_slist *item = list; item; item = item->next)
        OPENSSL_cleanse(item->data, strlen(item->data));
    curl_slist_free_all(list);
}

static void set_up(CURL *curl, const struct request *request, const struct sc_s3_patience *patience,
                   struct curl_slist *headers, struct sc_buf *body)
{
    curl_easy_setopt(curl, CURLOPT_URL, request->url);
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "stepcache/" SC_RELEASE);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, request->far ? patience->far_ms : patience->near_ms);
    if (!request->far)
        curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, patience->near_connect_ms);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
    if (!request->far)
        curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    if (request->ca)
        curl_easy_setopt(curl, CURLOPT_CAINFO, request->ca);
    if (request->form.len) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->form.len);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->form.ptr);
    }
}

// One answer of any status, whole. SC_UNREACHABLE when there was none; SC_MALFORMED when it was too large.
static enum sc_rc ask_once(const struct request *request, const struct sc_s3_patience *patience,
                           struct sc_buf *body, long *ret_status, struct sc_error *err)
{
    pthread_once(&libraries_once, start_libraries);
    CURL *curl = curl_easy_init();
    SC_ASSERT(curl != NULL);
    struct curl_slist *headers = headers_of(request);
    set_up(curl, request, patience, headers, body);
    CURLcode failed = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, ret_status);
    curl_easy_cleanup(curl);
    headers_free(headers);
    if (failed == CURLE_WRITE_ERROR)
        return sc_error_set(err, SC_MALFORMED, "%s answered with more than %zu bytes", request->host,
                            body->max_bytes);
    if (failed == CURLE_URL_MALFORMAT || failed == CURLE_UNSUPPORTED_PROTOCOL)
        return sc_error_set(err, SC_DENIED, "%s: not a URL of http or https", request->host);
    if (failed == CURLE_PEER_FAILED_VERIFICATION || failed == CURLE_SSL_CACERT_BADFILE)
        return sc_error_set(err, SC_DENIED, "%s: its certificate could not be verified (%s)", request->host,
                            curl_easy_strerror(failed));
    if (failed)
        return sc_error_set(err, SC_UNREACHABLE, "%s: %s", request->host, curl_easy_strerror(failed));
    return SC_OK;
}

static enum sc_rc ask(const struct request *request, const struct sc_s3_patience *patience,
                      struct sc_buf *body, long *ret_status, struct sc_error *err)
{
    for (int i = 1;; i++) {
        sc_s3_secret_clear(body);
        enum sc_rc rc = ask_once(request, patience, body, ret_status, err);
        if (rc == SC_OK && (*ret_status >= 500 || *ret_status == 429))
            rc = sc_error_set(err, SC_UNREACHABLE, "%s answered %ld", request->host, *ret_status);
        if (rc != SC_UNREACHABLE || i >= patience->tries)
            return rc;
        poll(NULL, 0, patience->pause_ms);
    }
}

// A URL's host and port, for stories. False when it is none of http or https.
static bool host_of(const char *url, char ret_host[HOST_BYTES], bool *ret_tls)
{
    CURLU *parsed = curl_url();
    SC_ASSERT(parsed != NULL);
    char *scheme = NULL, *host = NULL, *port = NULL;
    bool good = curl_url_set(parsed, CURLUPART_URL, url, CURLU_DISALLOW_USER) == CURLUE_OK &&
                curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                curl_url_get(parsed, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
                (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
    if (good) {
        *ret_tls = scheme[4] == 's';
        bool has_port = curl_url_get(parsed, CURLUPART_PORT, &port, 0) == CURLUE_OK;
        int len = snprintf(ret_host, HOST_BYTES, "%s%s%s", host, has_port ? ":" : "", has_port ? port : "");
        good = len < HOST_BYTES;
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(parsed);
    return good;
}

// Container

static bool is_near(const char *host_and_port)
{
    static const char *const names[] = {"localhost", "169.254.170.2", "169.254.170.23"};
    char host[HOST_BYTES];
    struct in_addr four;
    struct in6_addr six, eks;
    snprintf(host, sizeof host, "%s", host_and_port);
    if (host[0] == '[') {
        host[strcspn(host, "]")] = 0;
        inet_pton(AF_INET6, "fd00:ec2::23", &eks);
        return inet_pton(AF_INET6, host + 1, &six) == 1 &&
               (memcmp(&six, &in6addr_loopback, sizeof six) == 0 || memcmp(&six, &eks, sizeof six) == 0);
    }
    host[strcspn(host, ":")] = 0;
    for (size_t i = 0; i < SC_COUNT(names); i++)
        if (strcasecmp(host, names[i]) == 0)
            return true;
    return inet_pton(AF_INET, host, &four) == 1 && ntohl(four.s_addr) >> 24 == 127;
}

enum sc_rc sc_s3_container_url(const char *relative, const char *full, struct sc_buf *ret_url,
                               struct sc_buf *ret_host, struct sc_error *err)
{
    char host[HOST_BYTES];
    bool tls = false, is_relative = relative && *relative;
    // Without the slash, what follows could become a part of the host.
    if (is_relative && relative[0] != '/')
        return sc_error_set(err, SC_DENIED, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI does not begin with /");
    SC_AUTO_FREE char *url = is_relative ? sc_asprintf("http://169.254.170.2%s", relative) : sc_strdup(full);
    if (!host_of(url, host, &tls))
        return sc_error_set(err, SC_DENIED, "AWS_CONTAINER_CREDENTIALS_%s_URI makes no URL of http or https",
                            is_relative ? "RELATIVE" : "FULL");
    if (!tls && !is_near(host))
        return sc_error_set(
            err, SC_DENIED,
            "AWS_CONTAINER_CREDENTIALS_FULL_URI names %s without TLS; that is allowed for this "
            "machine, 169.254.170.2, 169.254.170.23 and fd00:ec2::23 alone",
            host);
    sc_buf_add_str(ret_url, url);
    sc_buf_add_str(ret_host, host);
    return SC_OK;
}

static enum sc_rc refused_json(const char *host, long status, struct sc_slice body, struct sc_error *err)
{
    SC_AUTO_BUF struct sc_buf code, message;
    sc_buf_init(&code, 0);
    sc_buf_init(&message, 0);
    sc_s3_refusal_json(body, &code, &message);
    return sc_error_set(err, SC_DENIED, "%s answered %ld%s%s%s%s", host, status, code.len ? " " : "",
                        sc_buf_cstr(&code), message.len ? ": " : "", sc_buf_cstr(&message));
}

enum sc_rc sc_s3_container_ask(const char *url, struct sc_slice authorization,
                               const struct sc_s3_patience *patience, struct sc_s3_found *ret_found,
                               struct sc_error *err)
{
    char host[HOST_BYTES] = "";
    bool tls;
    SC_ASSERT(host_of(url, host, &tls));
    struct request request = {.method = "GET", .url = url, .host = host, .ca = NULL};
    SC_AUTO_S3_SECRET struct sc_buf body, header;
    sc_s3_secret_init(&body, SC_LIMIT_S3_ANSWER_BYTES);
    sc_s3_secret_init(&header, authorization.len + 32);
    request.headers[0] = sc_slice_str("Accept: application/json");
    if (authorization.len) {
        sc_buf_add_str(&header, "Authorization: ");
        sc_buf_add_slice(&header, authorization);
        request.headers[1] = sc_buf_slice(&header);
    }
    long status = 0;
    enum sc_rc rc = ask(&request, patience, &body, &status, err);
    if (rc != SC_OK)
        return rc;
    if (status != 200)
        return refused_json(host, status, sc_buf_slice(&body), err);
    rc = sc_s3_found_json(sc_buf_slice(&body), SC_S3_JSON_ENDPOINT, ret_found, err);
    return rc == SC_OK ? SC_OK : sc_error_wrap(err, rc, "the answer of %s", host);
}

// Instance metadata

struct metadata {
    const char *endpoint;
    char host[HOST_BYTES];
    struct sc_buf token; // the header with it
    bool refused;        // that token was: the service has begun a new life since
    const struct sc_s3_patience *patience;
};

static enum sc_rc metadata_ask(struct metadata *m, const char *method, const char *path,
                               struct sc_slice header, struct sc_buf *body, long *ret_status,
                               struct sc_error *err)
{
    size_t len = strlen(m->endpoint);
    bool slash = len && m->endpoint[len - 1] == '/';
    SC_AUTO_FREE char *url = sc_asprintf("%.*s%s", (int)(len - slash), m->endpoint, path);
    struct request request = {.method = method, .url = url, .host = m->host, .headers = {header}};
    return ask(&request, m->patience, body, ret_status, err);
}

static bool is_word(struct sc_slice s, const char *more)
{
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];
        if (!(c >= '0' && c <= '9') && !(c >= 'A' && c <= 'Z') && !(c >= 'a' && c <= 'z') &&
            !(c && strchr(more, c)))
            return false;
    }
    return s.len > 0;
}

// A token for the two questions that follow, and for no longer than they can take.
static enum sc_rc metadata_token(struct metadata *m, struct sc_error *err)
{
    SC_AUTO_S3_SECRET struct sc_buf body;
    sc_s3_secret_init(&body, TOKEN_BYTES);
    long status = 0;
    enum sc_rc rc =
        metadata_ask(m, "PUT", "/latest/api/token", sc_slice_str("X-aws-ec2-metadata-token-ttl-seconds: 60"),
                     &body, &status, err);
    if (rc != SC_OK)
        return rc;
    if (status != 200)
        return sc_error_set(err, SC_DENIED, "%s answered %ld when asked for a session token%s", m->host,
                            status, status == 403 ? ": it is switched off" : " (IMDSv2)");
    if (!is_word(sc_buf_slice(&body), "+/=_-.~"))
        return sc_error_set(err, SC_MALFORMED, "%s answered with no session token", m->host);
    sc_buf_clear(&m->token);
    sc_buf_add_str(&m->token, "X-aws-ec2-metadata-token: ");
    sc_buf_add_slice(&m->token, sc_buf_slice(&body));
    return SC_OK;
}

#define ROLES_PATH "/latest/meta-data/iam/security-credentials/"

static enum sc_rc metadata_get(struct metadata *m, const char *path, struct sc_buf *body,
                               struct sc_error *err)
{
    long status = 0;
    enum sc_rc rc = metadata_ask(m, "GET", path, sc_buf_slice(&m->token), body, &status, err);
    if (rc != SC_OK)
        return rc;
    m->refused = status == 401;
    if (m->refused)
        return sc_error_set(err, SC_UNREACHABLE, "%s answered 401: it refused its own session token",
                            m->host);
    if (status == 404)
        return sc_error_set(err, SC_NOT_FOUND, "%s: no role is attached to this instance", m->host);
    return status == 200 ? SC_OK : sc_error_set(err, SC_DENIED, "%s answered %ld", m->host, status);
}

static enum sc_rc metadata_role(struct metadata *m, struct sc_buf *ret_role, struct sc_error *err)
{
    SC_AUTO_S3_SECRET struct sc_buf body;
    sc_s3_secret_init(&body, TOKEN_BYTES);
    enum sc_rc rc = metadata_get(m, ROLES_PATH, &body, err);
    if (rc != SC_OK)
        return rc;
    struct sc_slice role = sc_buf_slice(&body);
    const uint8_t *newline = role.len ? memchr(role.ptr, '\n', role.len) : NULL;
    if (newline)
        role.len = (size_t)(newline - role.ptr);
    if (role.len == 0)
        return sc_error_set(err, SC_NOT_FOUND, "%s: no role is attached to this instance", m->host);
    if (role.len > ROLE_BYTES || !is_word(role, "_+=,.@-")) // what IAM allows
        return sc_error_set(err, SC_MALFORMED, "%s answered with no role's name", m->host);
    sc_buf_clear(ret_role);
    sc_buf_add_slice(ret_role, role);
    return SC_OK;
}

static enum sc_rc metadata_once(struct metadata *m, struct sc_s3_found *ret_found, struct sc_buf *ret_role,
                                struct sc_error *err)
{
    SC_AUTO_S3_SECRET struct sc_buf body;
    sc_s3_secret_init(&body, SC_LIMIT_S3_ANSWER_BYTES);
    enum sc_rc rc = metadata_token(m, err);
    if (rc == SC_OK)
        rc = metadata_role(m, ret_role, err);
    if (rc != SC_OK)
        return rc;
    SC_AUTO_FREE char *path = sc_asprintf(ROLES_PATH "%s", sc_buf_cstr(ret_role));
    rc = metadata_get(m, path, &body, err);
    if (rc != SC_OK)
        return rc;
    rc = sc_s3_found_json(sc_buf_slice(&body), SC_S3_JSON_ENDPOINT, ret_found, err);
    return rc == SC_OK
               ? SC_OK
               : sc_error_wrap(err, rc, "the answer of %s for role %s", m->host, sc_buf_cstr(ret_role));
}

enum sc_rc sc_s3_metadata_ask(const char *endpoint, const struct sc_s3_patience *patience,
                              struct sc_s3_found *ret_found, struct sc_buf *ret_role, struct sc_error *err)
{
    struct metadata m = {.endpoint = endpoint, .patience = patience};
    bool tls;
    if (!host_of(endpoint, m.host, &tls))
        return sc_error_set(err, SC_DENIED, "its endpoint is no URL of http or https");
    sc_s3_secret_init(&m.token, TOKEN_BYTES + 64);
    enum sc_rc rc = metadata_once(&m, ret_found, ret_role, err);
    if (m.refused)
        rc = metadata_once(&m, ret_found, ret_role, err);
    sc_s3_secret_done(&m.token);
    return rc;
}

// STS

enum sc_rc sc_s3_sts_endpoint(struct sc_slice region, struct sc_buf *ret_url, struct sc_error *err)
{
    if (region.len == 0) {
        sc_buf_add_str(ret_url, "https://sts.amazonaws.com");
        return SC_OK;
    }
    if (region.len > 63 || !is_word(region, "-"))
        return sc_error_set(err, SC_INVALID, "no region has such a name");
    sc_buf_printf(ret_url, "https://sts." SC_SLICE_FMT ".amazonaws.com%s", SC_SLICE_ARG(region),
                  sc_slice_starts(region, "cn-") ? ".cn" : "");
    return SC_OK;
}

static void add_encoded(struct sc_buf *form, const char *name, struct sc_slice value)
{
    static const char digits[] = "0123456789ABCDEF";
    sc_buf_add_str(form, name);
    for (size_t i = 0; i < value.len; i++) {
        uint8_t c = value.ptr[i];
        if (is_word(sc_slice(&c, 1), "-_.~")) {
            sc_buf_add_byte(form, c);
        } else {
            sc_buf_add_byte(form, '%');
            sc_buf_add_byte(form, (uint8_t)digits[c >> 4]);
            sc_buf_add_byte(form, (uint8_t)digits[c & 15]);
        }
    }
}

// STS says when the identity provider could not be asked in time; all else that it refuses, it refuses for good.
static enum sc_rc refused_sts(const char *host, long status, struct sc_slice body, struct sc_error *err)
{
    SC_AUTO_BUF struct sc_buf code, message;
    sc_buf_init(&code, 0);
    sc_buf_init(&message, 0);
    sc_s3_refusal_sts(body, &code, &message);
    bool again = strcmp(sc_buf_cstr(&code), "IDPCommunicationError") == 0;
    return sc_error_set(err, again ? SC_UNREACHABLE : SC_DENIED, "%s answered %ld%s%s%s%s", host, status,
                        code.len ? " " : "", sc_buf_cstr(&code), message.len ? ": " : "",
                        sc_buf_cstr(&message));
}

// Asks with the form in it.
static enum sc_rc ask_sts(struct request *request, const struct sc_s3_patience *patience,
                          struct sc_s3_found *ret_found, struct sc_error *err)
{
    SC_AUTO_S3_SECRET struct sc_buf body;
    sc_s3_secret_init(&body, SC_LIMIT_S3_ANSWER_BYTES);
    long status = 0;
    request->method = "POST";
    request->far = true;
    enum sc_rc rc = ask(request, patience, &body, &status, err);
    if (rc != SC_OK)
        return rc;
    if (status != 200)
        return refused_sts(request->host, status, sc_buf_slice(&body), err);
    rc = sc_s3_found_sts(sc_buf_slice(&body), ret_found, err);
    return rc == SC_OK ? SC_OK : sc_error_wrap(err, rc, "the answer of %s", request->host);
}

// Its path, as it is signed; in the arena.
static struct sc_slice path_of(const char *url, struct sc_arena *arena)
{
    CURLU *parsed = curl_url();
    SC_ASSERT(parsed != NULL);
    char *path = NULL;
    struct sc_slice text = sc_slice_str("/");
    if (curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_get(parsed, CURLUPART_PATH, &path, 0) == CURLUE_OK)
        text = sc_arena_copy(arena, sc_slice_str(path));
    curl_free(path);
    curl_url_cleanup(parsed);
    return text;
}

static void sign_role(const struct sc_s3_role *role, struct request *request, struct sc_arena *arena,
                      struct sc_buf lines[HEADERS])
{
    struct sc_digest digest = sc_digest_of(request->form);
    char payload[SC_DIGEST_HEX_BYTES];
    sc_digest_hex(&digest, payload);
    struct sc_s3_headers headers = {.count = 0};
    sc_s3_headers_add(&headers, "content-type",
                      sc_slice_str("application/x-www-form-urlencoded; charset=utf-8"));
    sc_s3_headers_add(&headers, "host", sc_slice_str(request->host));
    const struct sc_s3_identity identity = {.access_key = role->signer->access_key,
                                            .secret = role->signer->secret,
                                            .token = role->signer->token,
                                            .region =
                                                role->region.len ? role->region : sc_slice_str("us-east-1"),
                                            .service = "sts"};
    const struct sc_s3_message message = {
        .method = "POST", .path = path_of(role->endpoint, arena), .payload = payload};
    struct sc_s3_signer signer = {.day = ""};
    sc_s3_sign(&signer, &identity, &message, role->wall_ms, arena, &headers);
    OPENSSL_cleanse(&signer, sizeof signer);
    SC_ASSERT(headers.count <= HEADERS);
    for (uint32_t i = 0; i < headers.count; i++) {
        sc_s3_secret_init(&lines[i], headers.items[i].name.len + headers.items[i].value.len + 3);
        sc_buf_add_slice(&lines[i], headers.items[i].name);
        sc_buf_add_str(&lines[i], ": ");
        sc_buf_add_slice(&lines[i], headers.items[i].value);
        request->headers[i] = sc_buf_slice(&lines[i]);
    }
}

static bool is_duration(struct sc_slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
    return text.len <= 5;
}

enum sc_rc sc_s3_role_ask(const struct sc_s3_role *role, const struct sc_s3_patience *patience,
                          struct sc_s3_found *ret_found, struct sc_error *err)
{
    char host[HOST_BYTES] = "";
    bool tls;
    if (!host_of(role->endpoint, host, &tls))
        return sc_error_set(err, SC_DENIED, "the endpoint of STS is no URL of http or https");
    if (!is_duration(role->duration_s))
        return sc_error_set(err, SC_DENIED, "duration_seconds is no number of seconds");
    SC_AUTO_S3_SECRET struct sc_buf form;
    sc_s3_secret_init(&form, 3 * (role->role_arn.len + role->session_name.len + role->external_id.len) + 256);
    add_encoded(&form, "Action=AssumeRole&Version=2011-06-15&RoleArn=", role->role_arn);
    add_encoded(&form, "&RoleSessionName=", role->session_name);
    if (role->external_id.len)
        add_encoded(&form, "&ExternalId=", role->external_id);
    if (role->duration_s.len)
        add_encoded(&form, "&DurationSeconds=", role->duration_s);
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct request request = {
        .url = role->endpoint, .host = host, .form = sc_buf_slice(&form), .ca = role->ca};
    struct sc_buf lines[HEADERS] = {{.len = 0}};
    sign_role(role, &request, &arena, lines);
    enum sc_rc rc = ask_sts(&request, patience, ret_found, err);
    for (int i = 0; i < HEADERS; i++)
        sc_s3_secret_done(&lines[i]);
    return rc;
}

enum sc_rc sc_s3_web_identity_ask(const struct sc_s3_web_identity *identity,
                                  const struct sc_s3_patience *patience, struct sc_s3_found *ret_found,
                                  struct sc_error *err)
{
    char host[HOST_BYTES] = "";
    bool tls;
    if (!host_of(identity->endpoint, host, &tls))
        return sc_error_set(err, SC_DENIED, "the endpoint of STS is no URL of http or https");
    SC_AUTO_S3_SECRET struct sc_buf form;
    sc_s3_secret_init(&form,
                      3 * (identity->token.len + identity->role_arn.len + identity->session_name.len) + 256);
    add_encoded(&form, "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=", identity->role_arn);
    add_encoded(&form, "&RoleSessionName=", identity->session_name);
    add_encoded(&form, "&WebIdentityToken=", identity->token);
    struct request request = {
        .url = identity->endpoint, .host = host, .form = sc_buf_slice(&form), .ca = identity->ca};
    return ask_sts(&request, patience, ret_found, err);
}
