#include "tests/lib/s3_stand.h"

#include "base/digest.h"
#include "base/memory.h"
#include "store/s3/url.h"

#include <limits.h>
#include <openssl/evp.h>
#include <stdio.h>

struct object {
    struct object *next;
    char *name; // "bkt/key", decoded
    struct sc_buf bytes;
    uint32_t etag;
    char md5[33]; // "": none was sent, and the etag is e1, e2, …
    char writer[64], sha256[80];
    const char *headers;
};

struct upload {
    struct upload *next;
    uint32_t id;
    char *name, writer[64], sha256[80];
    struct sc_buf parts[100];
    bool has[100];
};

struct rule {
    struct sc_s3_fault_rule rule;
    uint32_t seen;
};

struct sc_s3_stand {
    struct sc_http_server *server;
    struct object *objects; // sorted by name
    struct upload *uploads;
    uint32_t etags, ids;
    struct rule rules[32];
    uint32_t rule_count;
    struct sc_buf log;
    char *heads[4096];
    uint32_t count, connections;
};

static struct object *find(struct sc_s3_stand *stand, const char *name)
{
    struct object *object = stand->objects;
    while (object && strcmp(object->name, name) != 0)
        object = object->next;
    return object;
}

static struct object *set_object(struct sc_s3_stand *stand, const char *name, struct sc_slice bytes,
                                 const char *writer, const char *sha256)
{
    struct object *object = find(stand, name);
    if (!object) {
        struct object **at = &stand->objects;
        while (*at && strcmp((*at)->name, name) < 0)
            at = &(*at)->next;
        object = sc_calloc(1, sizeof *object);
        object->name = sc_strdup(name);
        sc_buf_init(&object->bytes, 0);
        object->next = *at;
        *at = object;
    }
    sc_buf_clear(&object->bytes);
    sc_buf_add_slice(&object->bytes, bytes);
    object->etag = ++stand->etags;
    object->md5[0] = 0;
    snprintf(object->writer, sizeof object->writer, "%s", writer);
    snprintf(object->sha256, sizeof object->sha256, "%s", sha256);
    return object;
}

static void remove_object(struct sc_s3_stand *stand, const char *name)
{
    for (struct object **at = &stand->objects; *at; at = &(*at)->next) {
        if (strcmp((*at)->name, name) != 0)
            continue;
        struct object *object = *at;
        *at = object->next;
        sc_buf_done(&object->bytes);
        free(object->name);
        free(object);
        return;
    }
}

static struct upload *find_upload(struct sc_s3_stand *stand, uint32_t id)
{
    struct upload *upload = stand->uploads;
    while (upload && upload->id != id)
        upload = upload->next;
    return upload;
}

static void remove_upload(struct sc_s3_stand *stand, struct upload *gone)
{
    for (struct upload **at = &stand->uploads; *at; at = &(*at)->next) {
        if (*at != gone)
            continue;
        *at = gone->next;
        for (size_t i = 0; i < SC_COUNT(gone->parts); i++)
            sc_buf_done(&gone->parts[i]);
        free(gone->name);
        free(gone);
        return;
    }
}

// ---- requests in parts

struct asked {
    const struct sc_http_request *request;
    char *name;  // "bkt/key", decoded
    char *query; // "a=b&c="
};

static char *decode(const char *text, size_t len)
{
    SC_AUTO_BUF struct sc_buf out;
    sc_buf_init(&out, 0);
    SC_ASSERT(sc_s3_decode(sc_slice(text, len), false, &out));
    return sc_strdup(sc_buf_cstr(&out));
}

// The parameter's decoded value, or NULL; the caller frees.
static char *param(const struct asked *asked, const char *name)
{
    size_t len = strlen(name);
    for (const char *at = asked->query; *at;) {
        const char *end = strchrnul(at, '&');
        if (strncmp(at, name, len) == 0 && at[len] == '=')
            return decode(at + len + 1, (size_t)(end - at) - len - 1);
        at = *end ? end + 1 : end;
    }
    return NULL;
}

struct meta {
    char writer[64], sha256[80];
};

static struct meta meta_of(const struct sc_http_request *request)
{
    struct meta meta;
    snprintf(meta.writer, sizeof meta.writer, "%s", sc_http_header(request, "x-amz-meta-writer"));
    snprintf(meta.sha256, sizeof meta.sha256, "%s", sc_http_header(request, "x-amz-meta-sha256"));
    return meta;
}

static void fail(struct sc_http_reply *reply, int status, const char *code)
{
    reply->status = status;
    sc_buf_clear(&reply->body);
    sc_buf_printf(&reply->body,
                  "<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>said so</Message>"
                  "<RequestId>REQ1</RequestId></Error>",
                  code);
}

static const char *etag_of(const struct object *object, char ret_text[40])
{
    if (object->md5[0])
        snprintf(ret_text, 40, "%s", object->md5);
    else
        snprintf(ret_text, 40, "e%u", object->etag);
    return ret_text;
}

static void mark(struct sc_http_reply *reply, const struct object *object)
{
    char etag[40];
    sc_buf_printf(&reply->headers, "ETag: \"%s\"\r\nLast-Modified: Fri, 24 May 2013 00:00:00 GMT\r\n",
                  etag_of(object, etag));
    if (object->writer[0])
        sc_buf_printf(&reply->headers, "x-amz-meta-writer: %s\r\n", object->writer);
    if (object->sha256[0])
        sc_buf_printf(&reply->headers, "x-amz-meta-sha256: %s\r\n", object->sha256);
    sc_buf_add_str(&reply->headers, object->headers ? object->headers : "");
}

static bool matches(const char *condition, const struct object *object)
{
    char etag[40], quoted[48];
    snprintf(quoted, sizeof quoted, "\"%s\"", etag_of(object, etag));
    return condition[0] == 0 || strcmp(condition, quoted) == 0;
}

static void read_object(struct sc_s3_stand *stand, const struct asked *asked, struct sc_http_reply *reply)
{
    const struct object *object = find(stand, asked->name);
    bool head = strcmp(asked->request->method, "HEAD") == 0;
    if (!object) {
        fail(reply, 404, "NoSuchKey");
        return;
    }
    if (!matches(sc_http_header(asked->request, "if-match"), object)) {
        fail(reply, 412, "PreconditionFailed");
        return;
    }
    unsigned long long first = 0, last = 0;
    struct sc_slice bytes = sc_buf_slice(&object->bytes);
    int bounds = sscanf(sc_http_header(asked->request, "range"), "bytes=%llu-%llu", &first, &last);
    bool ranged = bounds >= 1;
    if (bounds == 1)
        last = ULLONG_MAX;
    if (ranged && first >= bytes.len) {
        fail(reply, 416, "InvalidRange");
        return;
    }
    mark(reply, object);
    if (ranged) {
        last = last >= bytes.len ? bytes.len - 1 : last;
        sc_buf_printf(&reply->headers, "Content-Range: bytes %llu-%llu/%zu\r\n", first, last, bytes.len);
        bytes = sc_slice(bytes.ptr + first, (size_t)(last - first + 1));
        reply->status = 206;
    }
    if (head)
        sc_buf_printf(&reply->headers, "Content-Length: %zu\r\n", bytes.len);
    else
        sc_buf_add_slice(&reply->body, bytes);
}

static bool is_taken(struct sc_s3_stand *stand, const struct asked *asked, struct sc_http_reply *reply)
{
    if (!sc_http_header(asked->request, "if-none-match")[0] || !find(stand, asked->name))
        return false;
    fail(reply, 412, "PreconditionFailed");
    return true;
}

// What is copied: NULL and an answer when it is not there, or not the one that was meant.
static const struct object *source_of(struct sc_s3_stand *stand, const struct asked *asked,
                                      struct sc_http_reply *reply)
{
    const char *text = sc_http_header(asked->request, "x-amz-copy-source");
    text += text[0] == '/'; // either way is right
    SC_AUTO_FREE char *name = decode(text, (size_t)(strchrnul(text, '?') - text));
    const struct object *object = find(stand, name);
    if (!object)
        fail(reply, 404, "NoSuchKey");
    else if (!matches(sc_http_header(asked->request, "x-amz-copy-source-if-match"), object))
        fail(reply, 412, "PreconditionFailed");
    else
        return object;
    return NULL;
}

static void set_md5(struct object *object)
{
    uint8_t sum[EVP_MAX_MD_SIZE];
    SC_ASSERT(EVP_Digest(object->bytes.ptr, object->bytes.len, sum, NULL, EVP_md5(), NULL));
    for (int i = 0; i < 16; i++)
        snprintf(object->md5 + 2 * i, 3, "%02x", sum[i]);
}

// What signatures of version 2 have for a digest of the body.
static bool is_md5_wrong(const struct asked *asked, struct sc_http_reply *reply)
{
    uint8_t sum[EVP_MAX_MD_SIZE];
    unsigned char text[32];
    const struct sc_slice *body = &asked->request->body;
    SC_ASSERT(EVP_Digest(body->ptr, body->len, sum, NULL, EVP_md5(), NULL));
    EVP_EncodeBlock(text, sum, 16);
    if (strcmp((const char *)text, sc_http_header(asked->request, "content-md5")) == 0)
        return false;
    fail(reply, 400, "BadDigest");
    return true;
}

static bool is_damaged(const struct asked *asked, struct sc_http_reply *reply)
{
    if (sc_http_header(asked->request, "content-md5")[0])
        return is_md5_wrong(asked, reply);
    struct sc_digest digest = sc_digest_of(asked->request->body);
    char hex[SC_DIGEST_HEX_BYTES];
    sc_digest_hex(&digest, hex);
    if (strcmp(hex, sc_http_header(asked->request, "x-amz-content-sha256")) == 0)
        return false;
    fail(reply, 400, "XAmzContentSHA256Mismatch");
    return true;
}

static void copy_to(struct sc_s3_stand *stand, const struct asked *asked, struct upload *upload,
                    unsigned part, struct sc_http_reply *reply)
{
    const struct object *from = source_of(stand, asked, reply);
    if (!from)
        return;
    struct sc_slice bytes = sc_buf_slice(&from->bytes);
    unsigned long long first, last;
    if (upload && sscanf(sc_http_header(asked->request, "x-amz-copy-source-range"), "bytes=%llu-%llu", &first,
                         &last) == 2)
        bytes = sc_slice(bytes.ptr + first, (size_t)(last - first + 1));
    SC_AUTO_BUF struct sc_buf copy;
    sc_buf_init(&copy, 0);
    sc_buf_add_slice(&copy, bytes);
    if (upload) {
        sc_buf_clear(&upload->parts[part]);
        sc_buf_add_slice(&upload->parts[part], sc_buf_slice(&copy));
        upload->has[part] = true;
        sc_buf_printf(&reply->body, "<CopyPartResult><ETag>\"p%u\"</ETag></CopyPartResult>", part);
    } else {
        struct meta meta = meta_of(asked->request);
        if (strcmp(sc_http_header(asked->request, "x-amz-metadata-directive"), "REPLACE") != 0)
            snprintf(meta.sha256, sizeof meta.sha256, "%s", from->sha256);
        bool md5 = from->md5[0];
        struct object *object = set_object(stand, asked->name, sc_buf_slice(&copy), meta.writer, meta.sha256);
        char etag[40];
        if (md5)
            set_md5(object);
        sc_buf_printf(&reply->body, "<CopyObjectResult><ETag>\"%s\"</ETag></CopyObjectResult>",
                      etag_of(object, etag));
    }
}

static void write_object(struct sc_s3_stand *stand, const struct asked *asked, struct sc_http_reply *reply)
{
    SC_AUTO_FREE char *id = param(asked, "uploadId");
    SC_AUTO_FREE char *number = param(asked, "partNumber");
    struct upload *upload = id ? find_upload(stand, (uint32_t)strtoul(id, NULL, 10)) : NULL;
    unsigned part = number ? (unsigned)strtoul(number, NULL, 10) : 0;
    bool copies = sc_http_header(asked->request, "x-amz-copy-source")[0];
    if (id && !upload) {
        fail(reply, 404, "NoSuchUpload");
        return;
    }
    SC_ASSERT(part < SC_COUNT(upload->parts));
    if (is_taken(stand, asked, reply) || (!copies && is_damaged(asked, reply)))
        return;
    if (copies) {
        copy_to(stand, asked, upload, part, reply);
    } else if (upload) {
        sc_buf_clear(&upload->parts[part]);
        sc_buf_add_slice(&upload->parts[part], asked->request->body);
        upload->has[part] = true;
        sc_buf_printf(&reply->headers, "ETag: \"p%u\"\r\n", part);
    } else {
        struct meta meta = meta_of(asked->request);
        struct object *object =
            set_object(stand, asked->name, asked->request->body, meta.writer, meta.sha256);
        char etag[40];
        if (sc_http_header(asked->request, "content-md5")[0])
            set_md5(object);
        sc_buf_printf(&reply->headers, "ETag: \"%s\"\r\nx-amz-version-id: v%u\r\n", etag_of(object, etag),
                      object->etag);
    }
}

static void begin_upload(struct sc_s3_stand *stand, const struct asked *asked, struct sc_http_reply *reply)
{
    struct upload *upload = sc_calloc(1, sizeof *upload);
    upload->id = ++stand->ids;
    upload->name = sc_strdup(asked->name);
    struct meta meta = meta_of(asked->request);
    memcpy(upload->writer, meta.writer, sizeof upload->writer);
    memcpy(upload->sha256, meta.sha256, sizeof upload->sha256);
    for (size_t i = 0; i < SC_COUNT(upload->parts); i++)
        sc_buf_init(&upload->parts[i], 0);
    upload->next = stand->uploads;
    stand->uploads = upload;
    sc_buf_printf(&reply->body,
                  "<InitiateMultipartUploadResult><UploadId>%u</UploadId></InitiateMultipartUploadResult>",
                  upload->id);
}

// The parts that the body lists, with their etags, in order and all that there are.
static bool complete_parts(const struct upload *upload, struct sc_slice body, struct sc_buf *all)
{
    SC_AUTO_BUF struct sc_buf want;
    sc_buf_init(&want, 0);
    sc_buf_add_str(&want, "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (unsigned i = 1; i < SC_COUNT(upload->parts) && upload->has[i]; i++) {
        sc_buf_printf(&want, "<Part><PartNumber>%u</PartNumber><ETag>\"p%u\"</ETag></Part>", i, i);
        sc_buf_add_slice(all, sc_buf_slice(&upload->parts[i]));
    }
    sc_buf_add_str(&want, "</CompleteMultipartUpload>");
    return sc_slice_eq(body, sc_buf_slice(&want));
}

static void complete_upload(struct sc_s3_stand *stand, const struct asked *asked, struct sc_http_reply *reply)
{
    SC_AUTO_FREE char *id = param(asked, "uploadId");
    struct upload *upload = find_upload(stand, (uint32_t)strtoul(id ? id : "", NULL, 10));
    SC_AUTO_BUF struct sc_buf all;
    sc_buf_init(&all, 0);
    if (!upload) {
        fail(reply, 404, "NoSuchUpload");
    } else if (is_taken(stand, asked, reply)) {
        return;
    } else if (!complete_parts(upload, asked->request->body, &all)) {
        fail(reply, 400, "InvalidPart");
    } else {
        const struct object *object =
            set_object(stand, upload->name, sc_buf_slice(&all), upload->writer, upload->sha256);
        sc_buf_printf(
            &reply->body,
            "\n <CompleteMultipartUploadResult><ETag>\"e%u\"</ETag></CompleteMultipartUploadResult>",
            object->etag);
        remove_upload(stand, upload);
    }
}

static void list(struct sc_s3_stand *stand, const struct asked *asked, struct sc_http_reply *reply,
                 bool uploads)
{
    SC_AUTO_FREE char *prefix = param(asked, "prefix");
    SC_AUTO_FREE char *start = param(asked, "start-after");
    SC_AUTO_FREE char *marker = param(asked, "marker"); // of the first version of lists
    SC_AUTO_FREE char *encoding = param(asked, "encoding-type");
    const char *after = start ? start : marker;
    SC_AUTO_FREE char *most = param(asked, "max-keys");
    unsigned long max = most ? strtoul(most, NULL, 10) : 1000, count = 0;
    size_t skip = strlen(asked->name) + (asked->name[strlen(asked->name) - 1] != '/');
    bool truncated = false;
    sc_buf_add_str(&reply->body, uploads ? "<ListMultipartUploadsResult>" : "<ListBucketResult>");
    for (const struct object *o = uploads ? NULL : stand->objects; o; o = o->next) {
        const char *key = o->name + skip;
        if (strncmp(o->name, asked->name, strlen(asked->name)) != 0 ||
            (prefix && strncmp(key, prefix, strlen(prefix)) != 0) || (after && strcmp(key, after) <= 0))
            continue;
        truncated = count == max;
        if (truncated)
            break;
        count++;
        sc_buf_add_str(&reply->body, "<Contents><Key>");
        if (encoding)
            sc_s3_encode(&reply->body, sc_slice_str(key), false);
        else
            sc_buf_add_str(&reply->body, key);
        sc_buf_printf(&reply->body, "</Key><Size>%zu</Size></Contents>", o->bytes.len);
    }
    for (const struct upload *u = uploads ? stand->uploads : NULL; u; u = u->next) {
        sc_buf_add_str(&reply->body, "<Upload><Key>");
        sc_s3_encode(&reply->body, sc_slice_str(u->name + skip), false);
        sc_buf_printf(
            &reply->body,
            "</Key><UploadId>%u</UploadId><Initiated>2026-01-0%uT00:00:00.000Z</Initiated></Upload>", u->id,
            u->id);
    }
    sc_buf_printf(&reply->body, "<IsTruncated>%s</IsTruncated>%s%s", truncated ? "true" : "false",
                  truncated ? "<NextContinuationToken>t</NextContinuationToken>" : "",
                  uploads ? "</ListMultipartUploadsResult>" : "</ListBucketResult>");
}

static void answer(struct sc_s3_stand *stand, const struct asked *asked, struct sc_http_reply *reply)
{
    const char *method = asked->request->method;
    SC_AUTO_FREE char *uploads = param(asked, "uploads");
    SC_AUTO_FREE char *lists = param(asked, "max-keys"); // all ours have it, of either version
    SC_AUTO_FREE char *id = param(asked, "uploadId");
    reply->status = 200;
    sc_buf_add_str(&reply->headers, "x-amz-request-id: REQ1\r\n");
    if (strcmp(method, "GET") == 0 && (lists || uploads)) {
        list(stand, asked, reply, uploads != NULL);
    } else if (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0) {
        read_object(stand, asked, reply);
    } else if (strcmp(method, "PUT") == 0) {
        write_object(stand, asked, reply);
    } else if (strcmp(method, "POST") == 0 && uploads) {
        begin_upload(stand, asked, reply);
    } else if (strcmp(method, "POST") == 0) {
        complete_upload(stand, asked, reply);
    } else if (id) {
        struct upload *upload = find_upload(stand, (uint32_t)strtoul(id, NULL, 10));
        if (upload)
            remove_upload(stand, upload);
        reply->status = 204;
    } else {
        remove_object(stand, asked->name);
        reply->status = 204;
    }
}

static void write_log(struct sc_s3_stand *stand, const struct sc_http_request *request)
{
    static const char *const shown[] = {"range",
                                        "if-match",
                                        "if-none-match",
                                        "x-amz-copy-source",
                                        "x-amz-copy-source-range",
                                        "x-amz-copy-source-if-match"};
    sc_buf_printf(&stand->log, "%s %s", request->method, request->target);
    for (size_t i = 0; i < SC_COUNT(shown); i++) {
        const char *value = sc_http_header(request, shown[i]);
        if (value[0])
            sc_buf_printf(&stand->log, " %s=%s", shown[i], value);
    }
    sc_buf_add_byte(&stand->log, '\n');
    if (stand->count < SC_COUNT(stand->heads))
        stand->heads[stand->count] = sc_strdup(request->head);
    stand->count++;
    if (request->connection > stand->connections)
        stand->connections = request->connection;
}

static const struct sc_s3_fault_rule *rule_for(struct sc_s3_stand *stand,
                                               const struct sc_http_request *request)
{
    for (uint32_t i = 0; i < stand->rule_count; i++) {
        struct rule *r = &stand->rules[i];
        if (strcmp(r->rule.method, request->method) != 0 || !strstr(request->target, r->rule.part))
            continue;
        uint32_t seen = r->seen++;
        if (seen >= r->rule.skip && seen < r->rule.skip + r->rule.times)
            return &r->rule;
    }
    return NULL;
}

static void break_reply(const struct sc_s3_fault_rule *rule, struct sc_http_reply *reply)
{
    if (rule->status) {
        sc_buf_clear(&reply->headers);
        sc_buf_clear(&reply->body);
        reply->status = rule->status;
        if (rule->code)
            fail(reply, rule->status, rule->code);
        sc_buf_add_str(&reply->body, rule->body ? rule->body : "");
    }
    sc_buf_add_str(&reply->headers, rule->headers ? rule->headers : "");
    if (rule->flip && (size_t)rule->flip <= reply->body.len)
        reply->body.ptr[rule->flip - 1] ^= 1;
    reply->how = rule->how;
    reply->at = rule->at;
}

static void handle(void *context, const struct sc_http_request *request, struct sc_http_reply *reply)
{
    struct sc_s3_stand *stand = context;
    const char *query = strchrnul(request->target, '?');
    struct asked asked = {.request = request, .query = sc_strdup(*query ? query + 1 : "")};
    asked.name = decode(request->target + 1, (size_t)(query - request->target) - 1);
    write_log(stand, request);
    const struct sc_s3_fault_rule *rule = rule_for(stand, request);
    if (!rule || rule->after || !rule->status)
        answer(stand, &asked, reply);
    if (rule)
        break_reply(rule, reply);
    free(asked.query);
    free(asked.name);
}

struct sc_s3_stand *sc_s3_stand_new(void)
{
    struct sc_s3_stand *stand = sc_calloc(1, sizeof *stand);
    sc_buf_init(&stand->log, 0);
    stand->server = sc_http_server_new(handle, NULL, stand);
    return stand;
}

void sc_s3_stand_free(struct sc_s3_stand *stand)
{
    if (!stand)
        return;
    sc_http_server_free(stand->server);
    while (stand->objects)
        remove_object(stand, stand->objects->name);
    while (stand->uploads)
        remove_upload(stand, stand->uploads);
    for (uint32_t i = 0; i < stand->count && i < SC_COUNT(stand->heads); i++)
        free(stand->heads[i]);
    sc_buf_done(&stand->log);
    free(stand);
}

const char *sc_s3_stand_url(const struct sc_s3_stand *stand)
{
    return sc_http_server_url(stand->server);
}

void sc_s3_stand_fault(struct sc_s3_stand *stand, const struct sc_s3_fault_rule *rule)
{
    sc_http_server_lock(stand->server);
    SC_ASSERT(stand->rule_count < SC_COUNT(stand->rules));
    stand->rules[stand->rule_count++] = (struct rule){*rule, 0};
    sc_http_server_unlock(stand->server);
}

void sc_s3_stand_put(struct sc_s3_stand *stand, const char *target, struct sc_slice bytes,
                     const char *headers)
{
    sc_http_server_lock(stand->server);
    set_object(stand, target + 1, bytes, "", "")->headers = headers;
    sc_http_server_unlock(stand->server);
}

bool sc_s3_stand_get(struct sc_s3_stand *stand, const char *target, struct sc_buf *ret_bytes)
{
    sc_http_server_lock(stand->server);
    const struct object *object = find(stand, target + 1);
    sc_buf_init(ret_bytes, 0);
    if (object)
        sc_buf_add_slice(ret_bytes, sc_buf_slice(&object->bytes));
    sc_http_server_unlock(stand->server);
    return object != NULL;
}

char *sc_s3_stand_log(struct sc_s3_stand *stand)
{
    sc_http_server_lock(stand->server);
    char *log = sc_strdup(sc_buf_cstr(&stand->log));
    sc_http_server_unlock(stand->server);
    return log;
}

char *sc_s3_stand_head(struct sc_s3_stand *stand, uint32_t number)
{
    sc_http_server_lock(stand->server);
    SC_ASSERT(number >= 1 && number <= stand->count && number <= SC_COUNT(stand->heads));
    char *head = sc_strdup(stand->heads[number - 1]);
    sc_http_server_unlock(stand->server);
    return head;
}

static uint32_t locked(struct sc_s3_stand *stand, const uint32_t *value)
{
    sc_http_server_lock(stand->server);
    uint32_t found = *value;
    sc_http_server_unlock(stand->server);
    return found;
}

uint32_t sc_s3_stand_count(struct sc_s3_stand *stand)
{
    return locked(stand, &stand->count);
}

uint32_t sc_s3_stand_most(struct sc_s3_stand *stand)
{
    return locked(stand, &stand->connections);
}

uint32_t sc_s3_stand_uploads(struct sc_s3_stand *stand)
{
    uint32_t count = 0;
    sc_http_server_lock(stand->server);
    for (const struct upload *upload = stand->uploads; upload; upload = upload->next)
        count++;
    sc_http_server_unlock(stand->server);
    return count;
}
