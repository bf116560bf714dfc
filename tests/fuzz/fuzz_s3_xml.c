// Bytes as every answer that S3 gives in XML: reading them never breaks, and what comes out of it holds what the readers
// promise: bounded counts, keys that are not empty, a way to go on where there is more.
#include "store/s3/xml.h"

#include "base/limits.h"
#include "base/memory.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_list(const struct sc_s3_list *list)
{
    SC_ASSERT(list->count <= SC_LIMIT_S3_LIST_KEYS);
    SC_ASSERT(!list->truncated || list->next.len > 0);
    for (uint32_t i = 0; i < list->count; i++) {
        SC_ASSERT(list->items[i].key.len > 0);
        SC_ASSERT(list->items[i].bytes <= INT64_MAX);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SC_AUTO_ARENA struct sc_arena arena = {0};
    struct sc_slice bytes = sc_slice(data, size), text;
    struct sc_s3_list list;
    struct sc_s3_fault fault;
    if (sc_s3_xml_list(bytes, &arena, &list, NULL) == SC_OK)
        check_list(&list);
    if (sc_s3_xml_uploads(bytes, &arena, &list, NULL) == SC_OK)
        check_list(&list);
    if (sc_s3_xml_fault(bytes, &arena, &fault))
        SC_ASSERT(fault.code.len > 0);
    if (sc_s3_xml_upload_id(bytes, &arena, &text, NULL) == SC_OK)
        SC_ASSERT(text.len > 0);
    if (sc_s3_xml_etag(bytes, &arena, &text, NULL) == SC_OK)
        SC_ASSERT(text.len <= SC_LIMIT_S3_TEXT_BYTES);
    if (sc_s3_xml_completed(bytes, &arena, &text, NULL) == SC_OK)
        SC_ASSERT(text.len <= SC_LIMIT_S3_TEXT_BYTES);
    return 0;
}
