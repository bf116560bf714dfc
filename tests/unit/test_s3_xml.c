#include "tests/lib/test.h"

#include "base/limits.h"
#include "store/s3/xml.h"

static enum sc_rc list(const char *xml, struct sc_arena *arena, struct sc_s3_list *ret)
{
    struct sc_error err = SC_ERROR_INIT;
    return sc_s3_xml_list(sc_slice_str(xml), arena, ret, &err);
}

#define HEAD "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
#define NS   " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""

static void test_s3_xml_list_gives_keys_decoded_with_sizes_and_times(void **state)
{
    (void)state;
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct sc_s3_list found;
    assert_rc(
        list(HEAD
             "<ListBucketResult" NS "><Name>bkt</Name><Prefix>a%2Fb</Prefix><KeyCount>3</KeyCount>"
             "<MaxKeys>1000</MaxKeys><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
             "<Contents>\n <Key>a/b+c%2Bd%C3%BC%0A</Key>\n"
             " <LastModified>2009-10-12T17:50:30.123Z</LastModified>\n"
             " <ETag>&quot;fba9dede5f27731c9771645a39863328&quot;</ETag><Size>434234</Size>"
             "<StorageClass>GLACIER</StorageClass><Owner><ID>x</ID><Key>wrong</Key></Owner></Contents>"
             "<Contents><Key>z</Key><LastModified>1970-01-01T00:00:00Z</LastModified><ETag>&#34;e&#34;</ETag>"
             "<Size>9223372036854775807</Size></Contents>"
             "<CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes>"
             "<NextContinuationToken>1/ab+c==</NextContinuationToken></ListBucketResult>",
             &arena, &found),
        SC_OK);
    assert_int_equal(found.count, 2);
    assert_slice(found.items[0].key, "a/b c+d\xc3\xbc\n");
    assert_slice(found.items[0].etag, "fba9dede5f27731c9771645a39863328");
    assert_slice(found.items[0].storage_class, "GLACIER");
    assert_int_equal(found.items[0].bytes, 434234);
    assert_int_equal(found.items[0].mtime_ms, 1255369830123);
    assert_slice(found.items[1].key, "z");
    assert_slice(found.items[1].etag, "e");
    assert_int_equal(found.items[1].mtime_ms, 0);
    assert_int_equal(found.items[1].bytes, INT64_MAX);
    assert_true(found.truncated);
    assert_slice(found.next, "1/ab+c==");
}

static void test_s3_xml_empty_list_is_a_list(void **state)
{
    (void)state;
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct sc_s3_list found;
    assert_rc(list("<ListBucketResult><Prefix/><IsTruncated>false</IsTruncated></ListBucketResult>", &arena,
                   &found),
              SC_OK);
    assert_int_equal(found.count, 0);
    assert_false(found.truncated);
}

static void test_s3_xml_uploads_give_keys_and_ids(void **state)
{
    (void)state;
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct sc_error err = SC_ERROR_INIT;
    struct sc_s3_list found;
    assert_ok(sc_s3_xml_uploads(
                  sc_slice_str("<ListMultipartUploadsResult" NS "><NextKeyMarker>k%202</NextKeyMarker>"
                               "<NextUploadIdMarker>u2</NextUploadIdMarker><IsTruncated>true</IsTruncated>"
                               "<Upload><Key>k+1</Key><UploadId>u1</UploadId>"
                               "<Initiated>2026-01-02T03:04:05.000Z</Initiated></Upload>"
                               "</ListMultipartUploadsResult>"),
                  &arena, &found, &err),
              err);
    assert_int_equal(found.count, 1);
    assert_slice(found.items[0].key, "k 1");
    assert_slice(found.items[0].upload_id, "u1");
    assert_int_equal(found.items[0].mtime_ms, 1767323045000);
    assert_slice(found.next, "k 2");
    assert_slice(found.next_upload, "u2");
}

static void test_s3_xml_versions_give_ids_and_which_is_the_latest_without_markers_of_deletion(void **state)
{
    (void)state;
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct sc_error err = SC_ERROR_INIT;
    struct sc_s3_list found;
    assert_ok(
        sc_s3_xml_versions(
            sc_slice_str("<ListVersionsResult" NS "><NextKeyMarker>k%202</NextKeyMarker>"
                         "<NextVersionIdMarker>v9</NextVersionIdMarker><IsTruncated>true</IsTruncated>"
                         "<DeleteMarker><Key>a</Key><VersionId>d1</VersionId><IsLatest>true</IsLatest>"
                         "<LastModified>2026-01-02T03:04:05.000Z</LastModified></DeleteMarker>"
                         "<Version><Key>k+1</Key><VersionId>v1</VersionId><IsLatest>true</IsLatest>"
                         "<LastModified>2026-01-02T03:04:05.000Z</LastModified><ETag>&quot;e&quot;</ETag>"
                         "<Size>7</Size><Owner><ID>o</ID></Owner></Version>"
                         "<Version><Key>k+1</Key><VersionId>v0</VersionId><IsLatest>false</IsLatest>"
                         "</Version></ListVersionsResult>"),
            &arena, &found, &err),
        err);
    assert_int_equal(found.count, 2);
    assert_slice(found.items[0].key, "k 1");
    assert_slice(found.items[0].version, "v1");
    assert_slice(found.items[0].etag, "e");
    assert_int_equal(found.items[0].bytes, 7);
    assert_true(found.items[0].latest);
    assert_slice(found.items[1].version, "v0");
    assert_false(found.items[1].latest);
    assert_slice(found.next, "k 2");
    assert_slice(found.next_version, "v9");
}

static void test_s3_xml_fault_gives_code_words_request_and_region(void **state)
{
    (void)state;
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct sc_s3_fault fault;
    // S3 keeps a slow answer alive with blanks before it knows its end.
    assert_true(sc_s3_xml_fault(
        sc_slice_str("  \n\r\n" HEAD
                     "<Error><Code>AuthorizationHeaderMalformed</Code><Message>expecting &apos;eu&apos; "
                     "&lt;&amp;&gt;</Message><Region>eu-west-1</Region><BucketName>b</BucketName>"
                     "<RequestId>4442587FB7D0A2F9</RequestId><HostId>h</HostId></Error>"),
        &arena, &fault));
    assert_slice(fault.code, "AuthorizationHeaderMalformed");
    assert_slice(fault.message, "expecting 'eu' <&>");
    assert_slice(fault.request_id, "4442587FB7D0A2F9");
    assert_slice(fault.region, "eu-west-1");
    assert_slice(fault.bucket, "b");
    assert_slice(fault.endpoint, "");
}

static void test_s3_xml_what_is_no_error_is_no_fault(void **state)
{
    (void)state;
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    static const char *const none[] = {
        "",
        " ",
        "Not Found",
        "<html><body><h1>403 Forbidden</h1></body></html>",
        "<Error></Error>",
        "<Error><Code></Code></Error>",
        "<Error><Message>m</Message></Error>",
        "<Error><Code>SlowDown</Code>",
        "<Errors><Code>SlowDown</Code></Errors>",
        "{\"Code\": \"SlowDown\"}",
    };
    struct sc_s3_fault fault;
    for (size_t i = 0; i < SC_COUNT(none); i++)
        if (sc_s3_xml_fault(sc_slice_str(none[i]), &arena, &fault))
            fail_msg("%s is taken for a fault", none[i]);
}

static void test_s3_xml_upload_id_and_etag_are_read_from_their_answers(void **state)
{
    (void)state;
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct sc_error err = SC_ERROR_INIT;
    struct sc_slice value;
    assert_ok(sc_s3_xml_upload_id(
                  sc_slice_str(HEAD "<InitiateMultipartUploadResult" NS "><Bucket>b</Bucket><Key>k</Key>"
                                    "<UploadId>2~x_y</UploadId></InitiateMultipartUploadResult>"),
                  &arena, &value, &err),
              err);
    assert_slice(value, "2~x_y");
    static const char *const roots[] = {"CopyObjectResult", "CopyPartResult"};
    for (size_t i = 0; i < SC_COUNT(roots); i++) {
        struct sc_slice xml = sc_arena_printf(
            &arena, "<%s><LastModified>x</LastModified><ETag>\"9b-3\"</ETag></%s>", roots[i], roots[i]);
        assert_ok(sc_s3_xml_etag(xml, &arena, &value, &err), err);
        assert_slice(value, "9b-3");
    }
    assert_rc(sc_s3_xml_etag(sc_slice_str("<CopyObjectResult/>"), &arena, &value, &err), SC_MALFORMED);
    assert_rc(sc_s3_xml_upload_id(sc_slice_str("<Error><Code>x</Code><UploadId>u</UploadId></Error>"), &arena,
                                  &value, &err),
              SC_MALFORMED);
}

static void test_s3_xml_completion_may_have_no_etag_and_must_be_one(void **state)
{
    (void)state;
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct sc_error err = SC_ERROR_INIT;
    struct sc_slice etag;
#define DONE(inside) sc_slice_str("<CompleteMultipartUploadResult>" inside "</CompleteMultipartUploadResult>")
    assert_ok(sc_s3_xml_completed(DONE("<Key>k</Key><ETag>\"9b-3\"</ETag>"), &arena, &etag, &err), err);
    assert_slice(etag, "9b-3");
    assert_ok(sc_s3_xml_completed(DONE("<Key>k</Key><ETag></ETag>"), &arena, &etag, &err), err); // Ceph
    assert_slice(etag, "");
    assert_rc(sc_s3_xml_completed(sc_slice_str("<CopyObjectResult><ETag>e</ETag></CopyObjectResult>"), &arena,
                                  &etag, &err),
              SC_MALFORMED);
    assert_rc(sc_s3_xml_completed(sc_slice_str(" \n"), &arena, &etag, &err),
              SC_MALFORMED); // alive, and then dead
}

static void test_s3_xml_etags_lose_their_quotes(void **state)
{
    (void)state;
    assert_slice(sc_s3_etag(sc_slice_str("\"abc\"")), "abc");
    assert_slice(sc_s3_etag(sc_slice_str("W/\"abc\"")), "abc");
    assert_slice(sc_s3_etag(sc_slice_str("abc")), "abc");
    assert_slice(sc_s3_etag(sc_slice_str("\"")), "\"");
    assert_slice(sc_s3_etag(sc_slice_str("")), "");
}

static void test_s3_xml_completion_lists_parts_in_order(void **state)
{
    (void)state;
    SC_AUTO_BUF struct sc_buf out;
    sc_buf_init(&out, 0);
    struct sc_slice etags[] = {sc_slice_str("aa"), sc_slice_str("b<&>\"")};
    sc_s3_xml_complete(&out, etags, 2);
    assert_slice(sc_buf_slice(&out),
                 "<CompleteMultipartUpload" NS "><Part><PartNumber>1</PartNumber><ETag>\"aa\"</ETag></Part>"
                 "<Part><PartNumber>2</PartNumber><ETag>\"b&lt;&amp;&gt;&quot;\"</ETag></Part></"
                 "CompleteMultipartUpload>");
}

// ---- hostile

#define LIST(inside) "<ListBucketResult><IsTruncated>false</IsTruncated>" inside "</ListBucketResult>"

static void test_s3_xml_what_s3_does_not_send_is_malformed(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "<",
        "<ListBucketResult>",
        "<ListBucketResult/>", // does not say whether there is more
        "<ListBucketResult></ListBucketResult>trailing",
        "<ListBucketsResult><IsTruncated>false</IsTruncated></ListBucketsResult>",
        "<ListBucketResult><IsTruncated>maybe</IsTruncated></ListBucketResult>",
        "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>", // and no way to go on
        LIST("<Contents></Contents>"),
        LIST("<Contents><Size>1</Size></Contents>"),
        LIST("<Contents><Key></Key></Contents>"),
        LIST("<Contents><Key>a%zz</Key></Contents>"),
        LIST("<Contents><Key>a%</Key></Contents>"),
        LIST("<Contents><Key>a</Key><Size>-1</Size></Contents>"),
        LIST("<Contents><Key>a</Key><Size>1e9</Size></Contents>"),
        LIST("<Contents><Key>a</Key><Size></Size></Contents>"),
        LIST("<Contents><Key>a</Key><Size>9223372036854775808</Size></Contents>"),
        LIST("<Contents><Key>a</Key><Size>99999999999999999999</Size></Contents>"),
        LIST("<Contents><Key>a</Key><LastModified>yesterday</LastModified></Contents>"),
        LIST("<Contents><Key>a</Key><LastModified>2009-10-12T17:50:30</LastModified></Contents>"),
        LIST("<Contents><Key>a</Key><LastModified>2009-10-12T17:50:30.5Zx</LastModified></Contents>"),
        "<ListBucketResult><IsTruncated>false</IsTruncated>\xff\xfe</ListBucketResult>",
        LIST("<Contents><Key>a</Contents></Key>"),
        LIST("<Contents><Key>&unknown;</Key></Contents>"),
        // document types and entities of any kind
        "<!DOCTYPE x>" LIST(""),
        "<!DOCTYPE x [<!ENTITY e 'v'>]>" LIST("<Contents><Key>&e;</Key></Contents>"),
        "<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>" LIST("<Contents><Key>&e;</Key></Contents>"),
        "<!DOCTYPE x SYSTEM 'http://127.0.0.1:1/x.dtd'>" LIST(""),
        "<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'><!ENTITY c "
        "'&b;&b;&b;&b;&b;&b;&b;'>"
        "<!ENTITY d '&c;&c;&c;&c;&c;&c;&c;&c;'>]>" LIST("<Contents><Key>&d;</Key></Contents>"),
    };
    for (size_t i = 0; i < SC_COUNT(wrong); i++) {
        SC_AUTO_ARENA struct sc_arena arena;
        sc_arena_init(&arena);
        struct sc_s3_list found;
        if (list(wrong[i], &arena, &found) != SC_MALFORMED)
            fail_msg("taken: %s", wrong[i]);
    }
}

static void test_s3_xml_depth_counts_and_lengths_are_bounded(void **state)
{
    (void)state;
    struct sc_s3_list found;
    struct sc_error err = SC_ERROR_INIT;
    for (int kind = 0; kind < 4; kind++) {
        SC_AUTO_ARENA struct sc_arena arena;
        SC_AUTO_BUF struct sc_buf xml;
        sc_arena_init(&arena);
        sc_buf_init(&xml, 0);
        sc_buf_add_str(&xml, "<ListBucketResult><IsTruncated>false</IsTruncated>");
        for (int i = 0; kind == 0 && i < 100; i++)
            sc_buf_add_str(&xml, "<A>");
        for (int i = 0; kind == 0 && i < 100; i++)
            sc_buf_add_str(&xml, "</A>");
        for (uint32_t i = 0; kind == 1 && i <= SC_LIMIT_S3_LIST_KEYS; i++)
            sc_buf_printf(&xml, "<Contents><Key>k%u</Key></Contents>", i);
        if (kind == 2)
            sc_buf_add_str(&xml, "<Contents><Key>");
        for (int i = 0; kind == 2 && i < 10000; i++)
            sc_buf_add_byte(&xml, 'k');
        if (kind == 2)
            sc_buf_add_str(&xml, "</Key></Contents>");
        for (int i = 0; kind == 3 && i < 300000; i++)
            sc_buf_add_str(&xml, "<A/>");
        sc_buf_add_str(&xml, "</ListBucketResult>");
        assert_rc(sc_s3_xml_list(sc_buf_slice(&xml), &arena, &found, &err), SC_MALFORMED);
    }
}

static void test_s3_xml_larger_than_any_answer_is_not_looked_at(void **state)
{
    (void)state;
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    size_t len = SC_LIMIT_S3_TEXT_BYTES + 1;
    SC_AUTO_FREE char *huge = sc_calloc(len + 1, 1);
    memset(huge, 'x', len);
    struct sc_s3_list found;
    struct sc_error err = SC_ERROR_INIT;
    assert_rc(sc_s3_xml_list(sc_slice(huge, len), &arena, &found, &err), SC_MALFORMED);
    assert_contains(err.message, "8388609");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_s3_xml_list_gives_keys_decoded_with_sizes_and_times),
        cmocka_unit_test(test_s3_xml_empty_list_is_a_list),
        cmocka_unit_test(test_s3_xml_uploads_give_keys_and_ids),
        cmocka_unit_test(test_s3_xml_versions_give_ids_and_which_is_the_latest_without_markers_of_deletion),
        cmocka_unit_test(test_s3_xml_fault_gives_code_words_request_and_region),
        cmocka_unit_test(test_s3_xml_what_is_no_error_is_no_fault),
        cmocka_unit_test(test_s3_xml_upload_id_and_etag_are_read_from_their_answers),
        cmocka_unit_test(test_s3_xml_completion_may_have_no_etag_and_must_be_one),
        cmocka_unit_test(test_s3_xml_etags_lose_their_quotes),
        cmocka_unit_test(test_s3_xml_completion_lists_parts_in_order),
        cmocka_unit_test(test_s3_xml_what_s3_does_not_send_is_malformed),
        cmocka_unit_test(test_s3_xml_depth_counts_and_lengths_are_bounded),
        cmocka_unit_test(test_s3_xml_larger_than_any_answer_is_not_looked_at),
    };
    return cmocka_run_group_tests_name("s3_xml", tests, NULL, NULL);
}
