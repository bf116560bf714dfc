// Bytes as a shared config or credentials file: reading them never breaks, all that is found in them lies in them, and a
// command line in them splits into words that are no longer than it.
#include "store/s3/credentials_files.h"

#include "base/memory.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_inside(struct sc_slice part, struct sc_slice text)
{
    SC_ASSERT(part.len == 0 || (part.ptr >= text.ptr && part.ptr + part.len <= text.ptr + text.len));
}

static void check_words(struct sc_slice text)
{
    SC_AUTO_ARENA struct sc_arena arena = {0};
    struct sc_error err = SC_ERROR_INIT;
    char **words;
    size_t count, bytes = 0;
    if (sc_s3_words(text, &arena, &words, &count, &err) != SC_OK) {
        SC_ASSERT(err.rc == SC_MALFORMED && err.message[0]);
        return;
    }
    for (size_t i = 0; i < count; i++)
        bytes += strlen(words[i]);
    SC_ASSERT(words[count] == NULL && bytes <= text.len);
}

static void check_file(struct sc_slice text, enum sc_s3_file_kind kind)
{
    struct sc_s3_file file;
    struct sc_error err = SC_ERROR_INIT;
    sc_s3_file_init(&file, kind);
    enum sc_rc rc = sc_s3_file_parse(&file, text, &err);
    SC_ASSERT(rc == SC_OK || (rc == SC_MALFORMED && err.rc == rc && err.message[0]));
    int sections = 0;
    for (const struct sc_s3_section *s = file.sections; s && sections < 100; s = s->next, sections++) {
        SC_ASSERT(s->profile.len && sc_s3_file_has(&file, s->profile));
        SC_ASSERT(kind == SC_S3_CONFIG || !s->prefixed);
        for (const struct sc_s3_setting *setting = s->settings; setting; setting = setting->next) {
            SC_ASSERT(setting->name.len);
            check_inside(setting->name, text);
            check_inside(setting->value, text);
        }
        struct sc_slice command = sc_s3_file_value(&file, s->profile, "credential_process");
        check_inside(command, text);
        check_words(command);
    }
    sc_s3_file_done(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sc_slice text = sc_slice(data, size);
    check_file(text, SC_S3_CONFIG);
    check_file(text, SC_S3_CREDENTIALS);
    return 0;
}
