#include "tests/lib/test.h"

#include "base/digest.h"
#include "store/s3/sign.h"
#include "store/s3/url.h"

struct pair {
    const char *name, *value;
};

struct shape {
    const char *name, *method, *host, *bucket, *key;
    struct pair params[6], headers[4];
    const char *body, *token, *signature;
};

static struct sc_slice signature_in(const struct sc_s3_headers *headers)
{
    struct sc_slice value = headers->items[headers->count - 1].value;
    assert_slice(headers->items[headers->count - 1].name, "authorization");
    assert_true(value.len > 64);
    return sc_slice_from(value, value.len - 64);
}

// Signs a shape as a request to its host would be, and returns the signature.
static struct sc_slice sign(const struct shape *shape, const struct sc_s3_identity *identity, int64_t wall_ms,
                            struct sc_arena *arena)
{
    struct sc_s3_endpoint endpoint = {.style = SC_S3_STYLE_PATH, .host = sc_slice_str(shape->host)};
    struct sc_s3_param params[6];
    uint32_t count = 0;
    for (; count < SC_COUNT(params) && shape->params[count].name; count++)
        params[count] = (struct sc_s3_param){sc_slice_str(shape->params[count].name),
                                             sc_slice_str(shape->params[count].value)};
    struct sc_s3_target target;
    sc_s3_target_init(&target);
    sc_s3_target_set(&target, &endpoint, identity->region, sc_slice_str(shape->bucket),
                     sc_slice_str(shape->key), params, count);
    struct sc_s3_headers headers = {.count = 0};
    for (uint32_t i = 0; i < SC_COUNT(shape->headers) && shape->headers[i].name; i++)
        sc_s3_headers_add(&headers, shape->headers[i].name, sc_slice_str(shape->headers[i].value));
    sc_s3_headers_add(&headers, "host", target.host);
    char hex[SC_DIGEST_HEX_BYTES];
    struct sc_digest digest = sc_digest_of(sc_slice_str(shape->body));
    sc_digest_hex(&digest, hex);
    struct sc_s3_signer signer = {.day = ""};
    struct sc_s3_message message = {shape->method, target.path, target.query, hex};
    sc_s3_sign(&signer, identity, &message, wall_ms, arena, &headers);
    struct sc_slice signature = signature_in(&headers);
    sc_s3_target_done(&target);
    return signature;
}

// ---- what AWS publishes

#define AWS_KEY    "AKIAIOSFODNN7EXAMPLE"
#define AWS_SECRET "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
static const int64_t may_2013_ms = 1369353600000,
                     jan_2026_ms = 1767323045000; // 2013-05-24, 2026-01-02T03:04:05

static struct sc_s3_identity example(const char *region)
{
    return (struct sc_s3_identity){.access_key = sc_slice_str(AWS_KEY),
                                   .secret = sc_slice_str(AWS_SECRET),
                                   .region = sc_slice_str(region),
                                   .service = "s3"};
}

// https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
static const struct shape published[] = {
    {.name = "GET object",
     .method = "GET",
     .key = "test.txt",
     .headers = {{"range", "bytes=0-9"}},
     .body = "",
     .signature = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
    {.name = "PUT object",
     .method = "PUT",
     .key = "test$file.text",
     .headers = {{"date", "Fri, 24 May 2013 00:00:00 GMT"}, {"x-amz-storage-class", "REDUCED_REDUNDANCY"}},
     .body = "Welcome to Amazon S3.",
     .signature = "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
    {.name = "GET bucket lifecycle",
     .method = "GET",
     .key = "",
     .params = {{"lifecycle", ""}},
     .body = "",
     .signature = "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
    {.name = "list objects",
     .method = "GET",
     .key = "",
     .params = {{"prefix", "J"}, {"max-keys", "2"}},
     .body = "",
     .signature = "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
};

static void test_s3_sign_gives_the_signatures_that_aws_publishes(void **state)
{
    (void)state;
    struct sc_s3_identity identity = example("us-east-1");
    for (size_t i = 0; i < SC_COUNT(published); i++) {
        SC_AUTO_ARENA struct sc_arena arena;
        sc_arena_init(&arena);
        struct shape shape = published[i];
        shape.host = "examplebucket.s3.amazonaws.com";
        shape.bucket = "";
        struct sc_slice found = sign(&shape, &identity, may_2013_ms, &arena);
        if (!sc_slice_eq_str(found, shape.signature))
            fail_msg("%s: " SC_SLICE_FMT, shape.name, SC_SLICE_ARG(found));
    }
}

static void test_s3_sign_of_another_service_has_no_header_of_s3(void **state)
{
    (void)state;
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    // get-vanilla of AWS's Signature Version 4 test suite.
    struct sc_s3_identity identity = {.access_key = sc_slice_str("AKIDEXAMPLE"),
                                      .secret = sc_slice_str("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
                                      .region = sc_slice_str("us-east-1"),
                                      .service = "service"};
    struct shape shape = {
        .method = "GET", .host = "example.amazonaws.com", .bucket = "", .key = "", .body = ""};
    assert_slice(sign(&shape, &identity, 1440938160000, &arena),
                 "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
}

// ---- shapes: each signed by botocore's S3SigV4Auth, 2026-01-02T03:04:05Z in eu-central-1

static const struct shape shapes[] = {
    {.name = "key: plain",
     .key = "plain.txt",
     .signature = "1a589bcac47256cb03f19f74fbd936a3ff95c508d771c7ffca2bb2da23c65fc6"},
    {.name = "key: blank",
     .key = "a b.txt",
     .signature = "ed2dba04ecabb02319e2e2327709a44d347bb67ed546981bacc0e3bb65f03e8d"},
    {.name = "key: blanks at the ends",
     .key = " a ",
     .signature = "bd269f936724ef046d481911586cd75f21e9515e3e0fa8cc125c56542b28583d"},
    {.name = "key: plus",
     .key = "a+b",
     .signature = "5cb198edcf0ae4bd02a33a4410dc2332be6ec6ce4b891fc914e4a085ee5f0849"},
    {.name = "key: equals",
     .key = "a=b",
     .signature = "6b8d59b3000399b5ac51675096b83fa2df7b1e4e36eb6c65c91564d27266cf00"},
    {.name = "key: tilde",
     .key = "~a~",
     .signature = "4a6ae6ee12f7088d70a75def1bb4999fda4d4994cee6bcae07a77f70b9a05d67"},
    {.name = "key: two slashes",
     .key = "a//b",
     .signature = "cdd583ffcf5fa527c5d31d058ede760a5638c7a719475c7e4fd2acc86c5abe25"},
    {.name = "key: slash first",
     .key = "/a",
     .signature = "223565271a8890801500ab4d9d18083cdb7dec1b59be840159e5032defe0e480"},
    {.name = "key: slash last",
     .key = "a/",
     .signature = "6588c7a096b7055508eaec7d39fcb60bbe8c1f83e39f393747a10a5851841cc9"},
    {.name = "key: dots",
     .key = "a/../b",
     .signature = "3919e7a8a33a2d1ce4a15123a939f49823f398116a22dfb96ee7afb3294d5dc2"},
    {.name = "key: one dot",
     .key = "a/./b",
     .signature = "e4faf661da7b61f4a38a2b98ce26928532a6cc0c1d2925f1f6c351b59a0e8cbd"},
    {.name = "key: dot dot first",
     .key = "../x",
     .signature = "e4b235ddfaf7e9dd07f4f280dec7d37a1b11b671d210367e168df46712972abb"},
    {.name = "key: utf-8",
     .key = "gr\303\266\303\237e/\346\227\245\346\234\254.bin",
     .signature = "312096f04fa6b3067f6c446d016fe96ce050bf16856fe0cae078d61fac5c269a"},
    {.name = "key: emoji",
     .key = "\360\237\227\203.txt",
     .signature = "64b3cef634f78890007fff00c7d9c83d195b4c1262663dfd63636627f3ecc9b9"},
    {.name = "key: percent",
     .key = "100%25.txt",
     .signature = "106849e6b7c2b8848232920d7b304efb456d9fb5587d7567edfc7a2baf120d78"},
    {.name = "key: ampersand",
     .key = "a&b;c,d",
     .signature = "fb2e1fa2bb6d6120bf4fec3042d9d5e841e019b0966ff86ab4e64f62b1e38656"},
    {.name = "key: colon at",
     .key = "a:b@c",
     .signature = "0368c100718ecb4eee97772835170319cf6dd85677ce9fca47fb374dd6e4863f"},
    {.name = "key: quotes",
     .key = "it's \"x\"",
     .signature = "8c99effa3d946319037bfea7d88fa6ccb5f8a5a520785bae3e373f3129cb2926"},
    {.name = "key: question hash",
     .key = "a\077b#c",
     .signature = "9f339bc7051de182c4fbf85ddcf8e7cf70209a48701b032773633a12977fd7c3"},
    {.name = "key: brackets",
     .key = "a[1]{2}(3)",
     .signature = "af471f33ce3c5607b5e7b1e6d1d2b207fcbbe1b1fd9e889c2a96a5530809012d"},
    {.name = "key: star bang",
     .key = "a*!$",
     .signature = "d3a3b992be1485eb7fffe60706fc4046acebd5fcd7d092c7b34d715901c1a71f"},
    {.name = "key: backslash caret",
     .key = "a\\b^c|`",
     .signature = "c54a2721842159e3eeaed83c8a56383d55a9b2ed941a631491eea045def34ac0"},
    {.name = "key: control",
     .key = "a\011b\012c\177",
     .signature = "f7f3f7ed036c2f7e8bd12d4f64dff324ee9c904ae481e31717a3324a02864dc3"},
    {.name = "key: name of a store",
     .key = "v1/main/cas/ab/abababababababababababababababababababababababababababababababab",
     .signature = "110cda925d80ad148d8637074735c778ecfa2fba670a889affcdcc79276b41f3"},
    {.name = "query: list, unsorted",
     .key = "",
     .params = {{"prefix", "a b/"}, {"list-type", "2"}, {"max-keys", "1000"}, {"encoding-type", "url"}},
     .signature = "0cde8d02159cf1b6bd97a9cec4ff5321b7486add2b20825368559892234c6539"},
    {.name = "query: continuation token",
     .key = "",
     .params = {{"list-type", "2"}, {"continuation-token", "1/abc+def=="}},
     .signature = "0646edf9233de708db29e01bf5efe2682c6f907f9638e2843b8e6bc11f5f5a0b"},
    {.name = "query: start-after utf-8",
     .key = "",
     .params = {{"start-after", "\303\274+&="}, {"list-type", "2"}},
     .signature = "7622baf2ec163ba66ed3ff9aef71dc12b16fa99aad1cbd34468b8662c74e1b2f"},
    {.name = "query: valueless uploads",
     .method = "POST",
     .params = {{"uploads", ""}},
     .signature = "7ba5d32703df8fd22e1b0c9355e4fd75d7458a50a3a97d624930742a1d1ed40e"},
    {.name = "query: part",
     .method = "PUT",
     .params = {{"uploadId", "2~abc_d.e-f"}, {"partNumber", "7"}},
     .body = "part",
     .signature = "613298a7c250a8f7bb8c9d4c95bf0e15ecc53062f1ce9681dcb0785478d4520f"},
    {.name = "query: valueless among others",
     .key = "",
     .params = {{"prefix", ""}, {"uploads", ""}, {"max-uploads", "10"}},
     .signature = "16a6caf69163287c09dd36dceddf4af3e69acd39b8cf343f3e9ddaf9cea48dc4"},
    {.name = "query: names of a common beginning",
     .key = "",
     .params = {{"a", "1"}, {"a-b", "2"}, {"a.b", "3"}, {"A", "4"}, {"a%", "5"}},
     .signature = "8353f8d4212a6f5e6bd545aff5ac61346226e39735e34daee265f53904a239fd"},
    {.name = "query: the same name twice",
     .key = "",
     .params = {{"x", "b"}, {"x", "a"}, {"x", "a b"}},
     .signature = "8df22ba802319b3a3c5da0d091fd6da0819e7015c48530040644f444951bd755"},
    {.name = "query: version",
     .params = {{"versionId", "3/L4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY+MTRCxf3vjVBH40Nr8X8gdRQBpUMLUo"}},
     .signature = "9a6da90a492fa83540d2896bacdd6384a82c5d55e60a84aa6602dcc6d2eba7c1"},
    {.name = "query: lifecycle",
     .key = "",
     .params = {{"lifecycle", ""}},
     .signature = "3fa5ef83dc3f4f45a2bb28260dff5080dd521d4ab0292cda426bf88c3769ddb4"},
    {.name = "headers: meta out of order",
     .method = "PUT",
     .headers = {{"x-amz-meta-b", "2"}, {"x-amz-meta-a", "1"}, {"x-amz-meta-writer", "00ff"}},
     .body = "x",
     .signature = "09390dccddb5a750965e557762e1edc2ced9cb1a8357028a8d14ad98c3113c65"},
    {.name = "headers: blanks collapsed",
     .method = "PUT",
     .headers = {{"x-amz-meta-a", "  a   b  c "}},
     .body = "x",
     .signature = "4ad7b71e4c4918affa538c60eb59754929bffd21787333c5c56c70677bf31fb6"},
    {.name = "headers: tab collapsed",
     .method = "PUT",
     .headers = {{"x-amz-meta-a", "a\011\011b"}},
     .body = "x",
     .signature = "a15009a328d4d0a61ea01268c0eb330371103bf74b7101b213129b7bca17f2d7"},
    {.name = "headers: empty value",
     .method = "PUT",
     .headers = {{"x-amz-meta-a", ""}},
     .body = "x",
     .signature = "fed5e5b15e10e04cd7ed7faf40fd3830ced2c9689d58f5aeda7691513fdfd13d"},
    {.name = "headers: copy source",
     .method = "PUT",
     .headers = {{"x-amz-copy-source", "other/a%20b%2Bc"}, {"x-amz-copy-source-if-match", "\"abc\""}},
     .signature = "cf59c13e77b15625389598f371bd4a6e31736b05ac1f3243ba417edf7850a5a6"},
    {.name = "headers: copy source of a version and range",
     .method = "PUT",
     .params = {{"partNumber", "1"}, {"uploadId", "u"}},
     .headers = {{"x-amz-copy-source", "other/k\077versionId=v%2F1"},
                 {"x-amz-copy-source-range", "bytes=0-5368709119"}},
     .signature = "e5640b0c791fe018407727d17bc1ba774fa62bc11db2fb80e29a9a88d354dd5d"},
    {.name = "headers: if-none-match",
     .method = "PUT",
     .headers = {{"if-none-match", "*"}, {"content-length", "1"}},
     .body = "x",
     .signature = "081c4d26ea8451ab4fdb88b009f167b08d5ee0c36c35c26eb821f9c3bf164a03"},
    {.name = "headers: range and if-match",
     .headers = {{"range", "bytes=16-31"}, {"if-match", "\"d41d8cd98f00b204e9800998ecf8427e\""}},
     .signature = "95644702293261f3662075ac53c56fb780cd658aef987ca7d13263fa826e684b"},
    {.name = "token",
     .token = "FQoGZXIvYXdzE+//token/==",
     .signature = "f3b96e470cc5971ebef6b84b62b9b3242bd67e30b80cf35100fd1b5deaf226b4"},
    {.name = "token and meta",
     .method = "PUT",
     .headers = {{"x-amz-meta-writer", "1"}},
     .body = "body",
     .token = "t",
     .signature = "1fbbb34c2b4f0908da3efdd181ff00386b06adf811c781bc3d60e97aa3a1829e"},
    {.name = "host of its own",
     .host = "bkt.storage.example.org",
     .bucket = "",
     .signature = "27c5f96b141cae07938a5b9993e84421282a60c549bb3419b5258a7341907655"},
    {.name = "port",
     .host = "127.0.0.1:7480",
     .signature = "6ff4766bd1684ce50d23039f99552630c46d390025706dfad05e1dfffc0928ba"},
    {.name = "ipv6 and port",
     .host = "[::1]:9000",
     .signature = "e4c7882700a790e01f65f6e4001c2ff264604a3b584902ec3e4e28779146d8b5"},
    {.name = "HEAD",
     .method = "HEAD",
     .signature = "36dd2dafd631efa27d6e2d4aa158720e6202a13885eae5d186f5c71e9e4b7ecc"},
    {.name = "DELETE",
     .method = "DELETE",
     .signature = "c5df91f4f6ccf8a0f5639942ce85949af167960569b63c15590bea6df2b29a06"},
    {.name = "service",
     .bucket = "",
     .key = "",
     .signature = "0b379b0cdca41724179960494674a8c23196251e69658698b8fba04c8df54905"},
};

static void test_s3_sign_of_every_shape_is_that_of_an_independent_signer(void **state)
{
    (void)state;
    for (size_t i = 0; i < SC_COUNT(shapes); i++) {
        SC_AUTO_ARENA struct sc_arena arena;
        sc_arena_init(&arena);
        struct shape shape = shapes[i];
        struct sc_s3_identity identity = example("eu-central-1");
        shape.method = shape.method ? shape.method : "GET";
        shape.host = shape.host ? shape.host : "s3.example.com";
        shape.bucket = shape.bucket ? shape.bucket : "bkt";
        shape.key = shape.key ? shape.key : "k";
        shape.body = shape.body ? shape.body : "";
        identity.token = sc_slice_str(shape.token ? shape.token : "");
        struct sc_slice found = sign(&shape, &identity, jan_2026_ms, &arena);
        if (!sc_slice_eq_str(found, shape.signature))
            fail_msg("%s: " SC_SLICE_FMT, shape.name, SC_SLICE_ARG(found));
    }
    assert_true(SC_COUNT(shapes) >= 48);
}

// ---- the kept key

static struct sc_slice sign_again(struct sc_s3_signer *signer, const struct sc_s3_identity *identity,
                                  int64_t wall_ms, struct sc_arena *arena)
{
    struct sc_s3_headers headers = {.count = 0};
    sc_s3_headers_add(&headers, "host", sc_slice_str("h"));
    struct sc_s3_message message = {"GET", sc_slice_str("/"), sc_slice_str(""), sc_s3_empty_sha256};
    sc_s3_sign(signer, identity, &message, wall_ms, arena, &headers);
    return signature_in(&headers);
}

static void test_s3_sign_keeps_a_key_and_makes_another_when_day_secret_or_region_changes(void **state)
{
    (void)state;
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    static const int64_t day_ms = 86400 * 1000;
    struct sc_s3_identity changed[] = {example("r1"), example("r1"), example("r1"), example("r2"),
                                       example("r2")};
    int64_t times[] = {may_2013_ms, may_2013_ms + 1000, may_2013_ms + day_ms, may_2013_ms, may_2013_ms};
    changed[4].secret = sc_slice_str("another");
    struct sc_s3_signer kept = {.day = ""};
    struct sc_slice before = {NULL, 0};
    for (size_t i = 0; i < SC_COUNT(changed); i++) {
        struct sc_s3_signer fresh = {.day = ""};
        struct sc_slice a = sign_again(&kept, &changed[i], times[i], &arena);
        struct sc_slice b = sign_again(&fresh, &changed[i], times[i], &arena);
        assert_true(sc_slice_eq(a, b));
        assert_false(sc_slice_eq(a, before));
        before = a;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_s3_sign_gives_the_signatures_that_aws_publishes),
        cmocka_unit_test(test_s3_sign_of_another_service_has_no_header_of_s3),
        cmocka_unit_test(test_s3_sign_of_every_shape_is_that_of_an_independent_signer),
        cmocka_unit_test(test_s3_sign_keeps_a_key_and_makes_another_when_day_secret_or_region_changes),
    };
    return cmocka_run_group_tests_name("s3_sign", tests, NULL, NULL);
}
