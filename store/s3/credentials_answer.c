#include "store/s3/credentials_answer.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/os/clock.h"
#include "store/s3/secret.h"

#include <jansson.h>
#include <libxml/xmlreader.h>

enum {
    SHOWN_BYTES = 200, // of foreign text
    WORD_BYTES = 16,   // from which on a word may be a key: access keys have 20 characters, secrets 40
    DEPTH = 8,         // of XML
};

static void forget(struct sc_slice *text)
{
    uint8_t *own = (uint8_t *)(uintptr_t)text->ptr;
    if (own)
        OPENSSL_cleanse(own, text->len);
    free(own);
    *text = sc_slice(NULL, 0);
}

void sc_s3_found_done(struct sc_s3_found *found)
{
    forget(&found->access_key);
    forget(&found->secret);
    forget(&found->token);
    found->expires_ms = 0;
}

static struct sc_slice keep(struct sc_slice text)
{
    if (text.len == 0)
        return text;
    uint8_t *own = sc_calloc(text.len, 1);
    memcpy(own, text.ptr, text.len);
    return sc_slice(own, text.len);
}

static enum sc_rc check(struct sc_slice text, bool may_be_empty, const char *what, struct sc_error *err)
{
    if (text.len == 0 && !may_be_empty)
        return sc_error_set(err, SC_MALFORMED, "there is no %s in it", what);
    if (text.len > SC_LIMIT_S3_CREDENTIAL_BYTES)
        return sc_error_set(err, SC_MALFORMED, "its %s is longer than %u bytes", what,
                            SC_LIMIT_S3_CREDENTIAL_BYTES);
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] <= ' ' || text.ptr[i] > '~')
            return sc_error_set(err, SC_MALFORMED, "its %s has a character that cannot be (byte %zu)", what,
                                i + 1);
    return SC_OK;
}

enum sc_rc sc_s3_found_set(struct sc_s3_found *ret_found, struct sc_slice access_key, struct sc_slice secret,
                           struct sc_slice token, struct sc_error *err)
{
    enum sc_rc rc = check(access_key, false, "access key", err);
    if (rc == SC_OK)
        rc = check(secret, false, "secret access key", err);
    if (rc == SC_OK)
        rc = check(token, true, "session token", err);
    if (rc != SC_OK)
        return rc;
    *ret_found =
        (struct sc_s3_found){.access_key = keep(access_key), .secret = keep(secret), .token = keep(token)};
    return SC_OK;
}

static enum sc_rc set_until(struct sc_s3_found *ret_found, const struct sc_slice texts[3],
                            struct sc_slice until, struct sc_error *err)
{
    int64_t expires_ms = 0;
    if (until.len && !sc_clock_of_rfc3339(until, &expires_ms))
        return sc_error_set(err, SC_MALFORMED, "its time of expiry is no date and time of RFC 3339");
    enum sc_rc rc = sc_s3_found_set(ret_found, texts[0], texts[1], texts[2], err);
    if (rc == SC_OK)
        ret_found->expires_ms = expires_ms;
    return rc;
}

void sc_s3_scrub(struct sc_slice text, struct sc_buf *ret_text)
{
    size_t end = ret_text->len + SHOWN_BYTES;
    for (size_t at = 0; at < text.len && ret_text->len < end;) {
        size_t len = 0;
        bool digit = false, upper = false;
        for (; at + len < text.len; len++) {
            uint8_t c = text.ptr[at + len];
            bool is_digit = c >= '0' && c <= '9', is_upper = c >= 'A' && c <= 'Z';
            if (!is_digit && !is_upper && !(c >= 'a' && c <= 'z') && !(c && strchr("+/=_-", c)))
                break;
            digit = digit || is_digit;
            upper = upper || is_upper;
        }
        if (len >= WORD_BYTES && digit && upper) {
            sc_buf_add_str(ret_text, "[...]");
        } else if (len) {
            size_t room = end - ret_text->len;
            sc_buf_add(ret_text, text.ptr + at, len < room ? len : room);
        } else {
            uint8_t c = text.ptr[at];
            len = 1;
            sc_buf_add_byte(ret_text, c < ' ' || c > '~' ? ' ' : c);
        }
        at += len;
    }
}

// JSON

static void json_free(json_t *json)
{
    const char *name;
    json_t *value;
    json_object_foreach(json, name, value) if (json_is_string(value))
        OPENSSL_cleanse((char *)(uintptr_t)json_string_value(value), json_string_length(value));
    json_decref(json);
}

static struct sc_slice text_of(const json_t *json, const char *name)
{
    const json_t *value = json_object_get(json, name);
    return sc_slice(json_string_value(value), json_string_length(value));
}

static json_t *json_of(struct sc_slice text, struct sc_error *err)
{
    json_error_t where;
    json_t *json = json_loadb((const char *)text.ptr, text.len, JSON_REJECT_DUPLICATES, &where);
    // jansson's own words would quote what stands there.
    if (!json)
        sc_error_set(err, SC_MALFORMED, "it is no JSON (line %d, column %d)", where.line, where.column);
    else if (!json_is_object(json))
        sc_error_set(err, SC_MALFORMED, "it is no JSON object");
    else
        return json;
    json_decref(json);
    return NULL;
}

static enum sc_rc check_process(const json_t *json, struct sc_error *err)
{
    const json_t *version = json_object_get(json, "Version");
    if (!json_is_integer(version))
        return sc_error_set(err, SC_MALFORMED, "it says no Version, which must be 1");
    if (json_integer_value(version) != 1)
        return sc_error_set(err, SC_VERSION, "it is of Version %lld; this version knows 1",
                            (long long)json_integer_value(version));
    return SC_OK;
}

static enum sc_rc check_endpoint(const json_t *json, struct sc_error *err)
{
    struct sc_slice code = text_of(json, "Code"), until = text_of(json, "Expiration");
    if (code.len && !sc_slice_eq_str(code, "Success")) {
        SC_AUTO_BUF struct sc_buf said;
        sc_buf_init(&said, 0);
        sc_s3_scrub(code, &said);
        sc_buf_add_str(&said, ": ");
        sc_s3_scrub(text_of(json, "Message"), &said);
        return sc_error_set(err, SC_DENIED, "it says %s", sc_buf_cstr(&said));
    }
    return until.len ? SC_OK : sc_error_set(err, SC_MALFORMED, "there is no Expiration in it");
}

enum sc_rc sc_s3_found_json(struct sc_slice json, enum sc_s3_json kind, struct sc_s3_found *ret_found,
                            struct sc_error *err)
{
    json_t *said = json_of(json, err);
    if (!said)
        return SC_MALFORMED;
    bool process = kind == SC_S3_JSON_PROCESS;
    enum sc_rc rc = process ? check_process(said, err) : check_endpoint(said, err);
    const struct sc_slice texts[] = {text_of(said, "AccessKeyId"), text_of(said, "SecretAccessKey"),
                                     text_of(said, process ? "SessionToken" : "Token")};
    if (rc == SC_OK)
        rc = set_until(ret_found, texts, text_of(said, "Expiration"), err);
    json_free(said);
    return rc;
}

void sc_s3_refusal_json(struct sc_slice json, struct sc_buf *ret_code, struct sc_buf *ret_message)
{
    json_t *said = json_of(json, NULL);
    if (!said)
        return;
    sc_s3_scrub(text_of(said, "code"), ret_code);
    sc_s3_scrub(text_of(said, "message"), ret_message);
    json_free(said);
}

// XML

struct wanted {
    const char *parent, *name;
    struct sc_buf *ret_text;
};

// Where the reader stands: the names of the elements that are open, without their prefixes.
struct walk {
    xmlTextReader *reader;
    const char *names[DEPTH + 1]; // the reader's dictionary holds them
    int depth;
};

static const struct wanted *wanted_here(const struct walk *walk, const struct wanted *wanted, size_t count)
{
    for (size_t i = 0; walk->depth >= 1 && i < count; i++)
        if (strcmp(walk->names[walk->depth], wanted[i].name) == 0 &&
            strcmp(walk->names[walk->depth - 1], wanted[i].parent) == 0)
            return &wanted[i];
    return NULL;
}

static bool see(struct walk *walk, const struct wanted *wanted, size_t count)
{
    const struct wanted *here;
    int depth = xmlTextReaderDepth(walk->reader);
    switch (xmlTextReaderNodeType(walk->reader)) {
    case XML_READER_TYPE_ELEMENT:
        if (depth < 0 || depth > DEPTH)
            return false;
        walk->depth = depth;
        walk->names[depth] = (const char *)xmlTextReaderConstLocalName(walk->reader);
        here = wanted_here(walk, wanted, count);
        return !here || here->ret_text->len == 0; // once
    case XML_READER_TYPE_END_ELEMENT:
        walk->depth = depth - 1;
        return true;
    case XML_READER_TYPE_TEXT:
    case XML_READER_TYPE_CDATA:
        here = depth == walk->depth + 1 ? wanted_here(walk, wanted, count) : NULL;
        if (here)
            sc_buf_add_str(here->ret_text, (const char *)xmlTextReaderConstValue(walk->reader));
        return true;
    case XML_READER_TYPE_WHITESPACE:
    case XML_READER_TYPE_SIGNIFICANT_WHITESPACE:
    case XML_READER_TYPE_COMMENT:
    case XML_READER_TYPE_PROCESSING_INSTRUCTION:
    case XML_READER_TYPE_XML_DECLARATION:
        return true;
    default: // a document type, an entity: STS sends none
        return false;
    }
}

static void be_silent(void *context, xmlErrorPtr error)
{
    (void)context;
    (void)error;
}

// The texts of the wanted elements. False when it is not well-formed, too deep, or has an element twice.
static bool xml_read(struct sc_slice xml, const struct wanted *wanted, size_t count)
{
    if (xml.len == 0 || xml.len > SC_LIMIT_S3_ANSWER_BYTES)
        return false;
    struct walk walk = {.reader =
                            xmlReaderForMemory((const char *)xml.ptr, (int)xml.len, NULL, NULL,
                                               XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING)};
    if (!walk.reader)
        return false;
    xmlTextReaderSetStructuredErrorHandler(walk.reader, be_silent, NULL);
    int more;
    while ((more = xmlTextReaderRead(walk.reader)) == 1 && see(&walk, wanted, count))
        ;
    xmlFreeTextReader(walk.reader);
    return more == 0;
}

enum sc_rc sc_s3_found_sts(struct sc_slice xml, struct sc_s3_found *ret_found, struct sc_error *err)
{
    struct sc_buf bufs[4];
    for (int i = 0; i < 4; i++)
        sc_s3_secret_init(&bufs[i], SC_LIMIT_S3_ANSWER_BYTES);
    const struct wanted wanted[] = {{"Credentials", "AccessKeyId", &bufs[0]},
                                    {"Credentials", "SecretAccessKey", &bufs[1]},
                                    {"Credentials", "SessionToken", &bufs[2]},
                                    {"Credentials", "Expiration", &bufs[3]}};
    enum sc_rc rc = SC_OK;
    if (!xml_read(xml, wanted, SC_COUNT(wanted)))
        rc = sc_error_set(err, SC_MALFORMED, "it is no XML of STS");
    else if (bufs[2].len == 0 || bufs[3].len == 0)
        rc = sc_error_set(err, SC_MALFORMED, "there is no %s in it",
                          bufs[2].len ? "time of expiry" : "session token");
    const struct sc_slice texts[] = {sc_buf_slice(&bufs[0]), sc_buf_slice(&bufs[1]), sc_buf_slice(&bufs[2])};
    if (rc == SC_OK)
        rc = set_until(ret_found, texts, sc_buf_slice(&bufs[3]), err);
    for (int i = 0; i < 4; i++)
        sc_s3_secret_done(&bufs[i]);
    return rc;
}

void sc_s3_refusal_sts(struct sc_slice xml, struct sc_buf *ret_code, struct sc_buf *ret_message)
{
    SC_AUTO_BUF struct sc_buf code, message;
    sc_buf_init(&code, SC_LIMIT_S3_ANSWER_BYTES);
    sc_buf_init(&message, SC_LIMIT_S3_ANSWER_BYTES);
    const struct wanted wanted[] = {{"Error", "Code", &code}, {"Error", "Message", &message}};
    if (!xml_read(xml, wanted, SC_COUNT(wanted)))
        return;
    sc_s3_scrub(sc_buf_slice(&code), ret_code);
    sc_s3_scrub(sc_buf_slice(&message), ret_message);
}
