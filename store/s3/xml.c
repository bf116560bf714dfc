#include "store/s3/xml.h"

#include "base/limits.h"
#include "base/memory.h"
#include "store/s3/url.h"

#include <libxml/xmlreader.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

enum { MAX_DEPTH = 16, MAX_TEXT = 8192, MAX_ELEMENTS = 200000 };

// Walks the document and gives every element that holds text alone: its name, that of the element around it, and the
// text. `each` says false to refuse the document.
struct walk {
    const char *root;                                         // the name it must have; NULL: any
    bool (*open)(void *context, const char *name, int depth); // an element begins; may be NULL
    bool (*text)(void *context, const char *parent, const char *name, struct sc_slice text, int depth);
    void *context;
};

struct walker {
    const struct walk *walk;
    xmlTextReader *reader;
    char names[MAX_DEPTH][64]; // of the open elements
    int depth;                 // how many
    bool leaf;                 // the innermost has no element inside
    struct sc_buf text;
    uint32_t elements;
};

static bool leave(struct walker *w)
{
    int depth = --w->depth;
    bool good = !w->leaf || w->text.overflow == false;
    if (good && w->leaf)
        good = w->walk->text(w->walk->context, depth ? w->names[depth - 1] : "", w->names[depth],
                             sc_buf_slice(&w->text), depth);
    sc_buf_clear(&w->text);
    w->leaf = false;
    return good;
}

static bool enter(struct walker *w)
{
    const char *name = (const char *)xmlTextReaderConstLocalName(w->reader);
    size_t len = name ? strlen(name) : 0;
    if (len == 0 || w->depth >= MAX_DEPTH || ++w->elements > MAX_ELEMENTS)
        return false;
    if (w->depth == 0 && w->walk->root && strcmp(name, w->walk->root) != 0)
        return false;
    if (len >= sizeof w->names[0])
        name = "", len = 0; // none that we know
    memcpy(w->names[w->depth], name, len + 1);
    sc_buf_clear(&w->text);
    w->leaf = true;
    w->depth++;
    if (w->walk->open && !w->walk->open(w->walk->context, w->names[w->depth - 1], w->depth - 1))
        return false;
    return !xmlTextReaderIsEmptyElement(w->reader) || leave(w);
}

static bool visit(struct walker *w)
{
    switch (xmlTextReaderNodeType(w->reader)) {
    case XML_READER_TYPE_ELEMENT:
        return enter(w);
    case XML_READER_TYPE_END_ELEMENT:
        return leave(w);
    case XML_READER_TYPE_TEXT:
    case XML_READER_TYPE_CDATA:
        if (w->leaf)
            sc_buf_add_str(&w->text, (const char *)xmlTextReaderConstValue(w->reader));
        return true;
    case XML_READER_TYPE_DOCUMENT_TYPE:
    case XML_READER_TYPE_ENTITY_REFERENCE:
    case XML_READER_TYPE_ENTITY:
        return false;
    default: // declarations, comments, blanks between elements
        return true;
    }
}

// libxml2 sets itself up at its first use, which is not safe when two threads are the first.
static pthread_once_t once = PTHREAD_ONCE_INIT;

// SC_MALFORMED unless it is well-formed to its end.
static enum sc_rc walk(struct sc_slice bytes, const struct walk *what, struct sc_error *err)
{
    // S3 keeps a slow answer's connection alive with blanks.
    while (bytes.len && strchr(" \t\r\n", bytes.ptr[0]) && bytes.ptr[0])
        bytes = sc_slice_from(bytes, 1);
    if (bytes.len == 0 || bytes.len > SC_LIMIT_S3_TEXT_BYTES)
        return sc_error_set(err, SC_MALFORMED, "%zu bytes where S3 sends XML", bytes.len);
    pthread_once(&once, xmlInitParser);
    xmlTextReader *reader =
        xmlReaderForMemory((const char *)bytes.ptr, (int)bytes.len, NULL, "UTF-8",
                           XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_COMPACT);
    SC_ASSERT(reader != NULL);
    struct walker w = {.walk = what, .reader = reader};
    sc_buf_init(&w.text, MAX_TEXT);
    int more;
    bool good = true;
    while (good && (more = xmlTextReaderRead(reader)) == 1)
        good = visit(&w);
    good = good && more == 0 && w.elements > 0;
    sc_buf_done(&w.text);
    xmlFreeTextReader(reader);
    return good ? SC_OK : sc_error_set(err, SC_MALFORMED, "the answer is not the XML that S3 sends");
}

// ---- errors

struct fault_walk {
    struct sc_arena *arena;
    struct sc_s3_fault *fault;
};

static bool fault_text(void *context, const char *parent, const char *name, struct sc_slice text, int depth)
{
    struct fault_walk *f = context;
    struct sc_s3_fault *fault = f->fault;
    const struct {
        const char *name;
        struct sc_slice *at;
    } known[] = {
        {"Code", &fault->code},        {"Message", &fault->message}, {"RequestId", &fault->request_id},
        {"Region", &fault->region},    {"Bucket", &fault->bucket},   {"BucketName", &fault->bucket},
        {"Endpoint", &fault->endpoint}};
    (void)parent;
    for (size_t i = 0; depth <= 2 && i < SC_COUNT(known); i++)
        if (strcmp(name, known[i].name) == 0)
            *known[i].at = sc_arena_copy(f->arena, text);
    return true;
}

bool sc_s3_xml_fault(struct sc_slice bytes, struct sc_arena *arena, struct sc_s3_fault *ret_fault)
{
    struct sc_s3_fault fault = {.code = {NULL, 0}};
    struct fault_walk context = {arena, &fault};
    struct walk s3 = {.root = "Error", .text = fault_text, .context = &context};
    if (walk(bytes, &s3, NULL) != SC_OK || fault.code.len == 0)
        return false;
    *ret_fault = fault;
    return true;
}

// ---- lists

struct list_walk {
    struct sc_arena *arena;
    const char *item; // the element of one entry
    struct sc_s3_listed *items;
    uint32_t count, room;
    struct sc_s3_list list;
    bool has_truncated;
};

static bool list_open(void *context, const char *name, int depth)
{
    struct list_walk *l = context;
    if (depth != 1 || strcmp(name, l->item) != 0)
        return true;
    if (l->count == SC_LIMIT_S3_LIST_KEYS)
        return false;
    if (l->count == l->room) {
        l->room = l->room ? l->room * 2 : 64;
        l->items = sc_realloc(l->items, l->room, sizeof *l->items);
    }
    l->items[l->count++] = (struct sc_s3_listed){.key = {NULL, 0}};
    return true;
}

static bool parse_uint(struct sc_slice text, uint64_t *ret)
{
    uint64_t value = 0;
    if (text.len == 0 || text.len > 19)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    *ret = value;
    return value <= INT64_MAX;
}

// "2009-10-12T17:50:30.000Z", with or without the fraction.
static bool parse_time(struct sc_slice text, int64_t *ret_ms)
{
    static const char form[] = "dddd-dd-ddTdd:dd:dd";
    if (text.len < sizeof form)
        return false;
    int number[6] = {0}, at = 0;
    for (size_t i = 0; i < sizeof form - 1; i++) {
        bool digit = text.ptr[i] >= '0' && text.ptr[i] <= '9';
        if (form[i] == 'd' ? !digit : text.ptr[i] != form[i])
            return false;
        if (digit)
            number[at] = number[at] * 10 + (text.ptr[i] - '0');
        else
            at++;
    }
    struct tm utc = {.tm_year = number[0] - 1900,
                     .tm_mon = number[1] - 1,
                     .tm_mday = number[2],
                     .tm_hour = number[3],
                     .tm_min = number[4],
                     .tm_sec = number[5]};
    int ms = 0, scale = 100;
    size_t i = sizeof form - 1;
    if (text.ptr[i] == '.')
        for (i++; i < text.len && text.ptr[i] >= '0' && text.ptr[i] <= '9'; i++, scale /= 10)
            ms += scale * (text.ptr[i] - '0');
    if (i + 1 != text.len || text.ptr[i] != 'Z')
        return false;
    *ret_ms = (int64_t)timegm(&utc) * 1000 + ms;
    return true;
}

static struct sc_slice decoded(struct sc_arena *arena, struct sc_slice text)
{
    SC_AUTO_BUF struct sc_buf key;
    sc_buf_init(&key, MAX_TEXT);
    if (!sc_s3_decode(text, true, &key))
        return (struct sc_slice){NULL, 0};
    return sc_arena_copy(arena, sc_buf_slice(&key));
}

static bool item_text(struct list_walk *l, const char *name, struct sc_slice text)
{
    struct sc_s3_listed *item = &l->items[l->count - 1];
    if (strcmp(name, "Key") == 0) {
        item->key = decoded(l->arena, text);
        return item->key.len > 0;
    }
    if (strcmp(name, "Size") == 0)
        return parse_uint(text, &item->bytes);
    if (strcmp(name, "LastModified") == 0 || strcmp(name, "Initiated") == 0)
        return parse_time(text, &item->mtime_ms);
    if (strcmp(name, "ETag") == 0)
        item->etag = sc_arena_copy(l->arena, sc_s3_etag(text));
    if (strcmp(name, "StorageClass") == 0)
        item->storage_class = sc_arena_copy(l->arena, text);
    if (strcmp(name, "VersionId") == 0)
        item->version = sc_arena_copy(l->arena, text);
    if (strcmp(name, "IsLatest") == 0)
        item->latest = sc_slice_eq_str(text, "true");
    if (strcmp(name, "UploadId") == 0)
        item->upload_id = sc_arena_copy(l->arena, text);
    return true;
}

static bool list_text(void *context, const char *parent, const char *name, struct sc_slice text, int depth)
{
    struct list_walk *l = context;
    if (depth == 2 && strcmp(parent, l->item) == 0)
        return item_text(l, name, text);
    if (depth != 1)
        return true;
    if (strcmp(name, "IsTruncated") == 0) {
        l->list.truncated = sc_slice_eq_str(text, "true");
        l->has_truncated = true;
        return l->list.truncated || sc_slice_eq_str(text, "false");
    }
    if (strcmp(name, "NextContinuationToken") == 0)
        l->list.next = sc_arena_copy(l->arena, text);
    if (strcmp(name, "NextKeyMarker") == 0)
        l->list.next = decoded(l->arena, text);
    if (strcmp(name, "NextVersionIdMarker") == 0)
        l->list.next_version = sc_arena_copy(l->arena, text);
    if (strcmp(name, "NextUploadIdMarker") == 0)
        l->list.next_upload = sc_arena_copy(l->arena, text);
    return true;
}

static enum sc_rc read_list(struct sc_slice bytes, struct sc_arena *arena, const char *root, const char *item,
                            struct sc_s3_list *ret_list, struct sc_error *err)
{
    struct list_walk l = {.arena = arena, .item = item};
    struct walk s3 = {.root = root, .open = list_open, .text = list_text, .context = &l};
    enum sc_rc rc = walk(bytes, &s3, err);
    bool good = rc == SC_OK && l.has_truncated && (!l.list.truncated || l.list.next.len);
    for (uint32_t i = 0; good && i < l.count; i++)
        good = l.items[i].key.len > 0;
    if (rc == SC_OK && !good)
        rc = sc_error_set(err, SC_MALFORMED, "the answer is not the list that S3 sends");
    if (good) {
        l.list.count = l.count;
        l.list.items = SC_NEW_ARRAY(arena, l.count, struct sc_s3_listed);
        if (l.count)
            memcpy(l.list.items, l.items, l.count * sizeof *l.items);
        *ret_list = l.list;
    }
    free(l.items);
    return rc;
}

enum sc_rc sc_s3_xml_list(struct sc_slice bytes, struct sc_arena *arena, struct sc_s3_list *ret_list,
                          struct sc_error *err)
{
    return read_list(bytes, arena, "ListBucketResult", "Contents", ret_list, err);
}

enum sc_rc sc_s3_xml_versions(struct sc_slice bytes, struct sc_arena *arena, struct sc_s3_list *ret_list,
                              struct sc_error *err)
{
    return read_list(bytes, arena, "ListVersionsResult", "Version", ret_list, err);
}

enum sc_rc sc_s3_xml_uploads(struct sc_slice bytes, struct sc_arena *arena, struct sc_s3_list *ret_list,
                             struct sc_error *err)
{
    return read_list(bytes, arena, "ListMultipartUploadsResult", "Upload", ret_list, err);
}

// ---- single values

struct value_walk {
    struct sc_arena *arena;
    const char *name;
    struct sc_slice value;
};

static bool value_text(void *context, const char *parent, const char *name, struct sc_slice text, int depth)
{
    struct value_walk *v = context;
    (void)parent;
    if (depth == 1 && strcmp(name, v->name) == 0)
        v->value = sc_arena_copy(v->arena, text);
    return true;
}

// Empty where there is none.
static enum sc_rc find_value(struct sc_slice bytes, struct sc_arena *arena, const char *root,
                             const char *name, struct sc_slice *ret_value, struct sc_error *err)
{
    struct value_walk v = {.arena = arena, .name = name};
    struct walk s3 = {.root = root, .text = value_text, .context = &v};
    enum sc_rc rc = walk(bytes, &s3, err);
    if (rc == SC_OK)
        *ret_value = v.value;
    return rc;
}

static enum sc_rc read_value(struct sc_slice bytes, struct sc_arena *arena, const char *root,
                             const char *name, struct sc_slice *ret_value, struct sc_error *err)
{
    struct sc_slice value;
    enum sc_rc rc = find_value(bytes, arena, root, name, &value, err);
    if (rc == SC_OK && value.len == 0)
        return sc_error_set(err, SC_MALFORMED, "the answer has no %s", name);
    if (rc == SC_OK)
        *ret_value = value;
    return rc;
}

enum sc_rc sc_s3_xml_upload_id(struct sc_slice bytes, struct sc_arena *arena, struct sc_slice *ret_upload_id,
                               struct sc_error *err)
{
    return read_value(bytes, arena, "InitiateMultipartUploadResult", "UploadId", ret_upload_id, err);
}

enum sc_rc sc_s3_xml_etag(struct sc_slice bytes, struct sc_arena *arena, struct sc_slice *ret_etag,
                          struct sc_error *err)
{
    enum sc_rc rc = read_value(bytes, arena, NULL, "ETag", ret_etag, err);
    if (rc == SC_OK)
        *ret_etag = sc_s3_etag(*ret_etag);
    return rc;
}

enum sc_rc sc_s3_xml_completed(struct sc_slice bytes, struct sc_arena *arena, struct sc_slice *ret_etag,
                               struct sc_error *err)
{
    enum sc_rc rc = find_value(bytes, arena, "CompleteMultipartUploadResult", "ETag", ret_etag, err);
    if (rc == SC_OK)
        *ret_etag = sc_s3_etag(*ret_etag);
    return rc;
}

struct sc_slice sc_s3_etag(struct sc_slice text)
{
    if (sc_slice_starts(text, "W/"))
        text = sc_slice_from(text, 2);
    if (text.len >= 2 && text.ptr[0] == '"' && text.ptr[text.len - 1] == '"')
        return sc_slice(text.ptr + 1, text.len - 2);
    return text;
}

void sc_s3_xml_complete(struct sc_buf *out, const struct sc_slice *etags, uint32_t count)
{
    sc_buf_add_str(out, "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (uint32_t i = 0; i < count; i++) {
        sc_buf_printf(out, "<Part><PartNumber>%u</PartNumber><ETag>\"", i + 1);
        for (size_t k = 0; k < etags[i].len;
             k++) { // hex in practice; whatever the server said goes back to it
            char c = (char)etags[i].ptr[k];
            sc_buf_add_str(out, c == '<'   ? "&lt;"
                                : c == '>' ? "&gt;"
                                : c == '&' ? "&amp;"
                                : c == '"' ? "&quot;"
                                           : (char[2]){c, 0});
        }
        sc_buf_add_str(out, "\"</ETag></Part>");
    }
    sc_buf_add_str(out, "</CompleteMultipartUpload>");
}
