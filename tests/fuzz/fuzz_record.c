// Bytes as a record, and as a record's body, which is given its checksum here since nothing would come past it: reading
// them never breaks, and what is taken for good is valid and is written again as the very same bytes.
#include "store/record.h"

#include "base/memory.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// What the record says of itself, so that an input comes past the comparison with key and domain.
struct names {
    struct sc_slice domain;
    struct sc_digest key;
};
static const struct sc_field name_fields[] = {
    SC_FIELD(struct names, domain, SC_F_TEXT),
    SC_FIELD(struct names, key, SC_F_DIGEST),
};
static SC_SCHEMA(names_schema, "names", struct names, name_fields);

static void read_record(struct sc_slice bytes, const struct names *names)
{
    SC_AUTO_ARENA struct sc_arena arena = {0};
    SC_AUTO_BUF struct sc_buf again = {0};
    struct sc_record record;
    struct sc_error err = SC_ERROR_INIT;
    enum sc_rc rc = sc_record_decode(bytes, names->domain, &names->key, &arena, &record, &err);
    if (rc != SC_OK) {
        SC_ASSERT(err.rc == rc && err.message[0]);
        return;
    }
    SC_ASSERT(sc_record_is_valid(&record));
    SC_ASSERT(sc_record_same_result(&record, &record));
    sc_record_encode(&record, &again);
    SC_ASSERT(sc_slice_eq(sc_buf_slice(&again), bytes));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SC_AUTO_ARENA struct sc_arena arena = {0};
    SC_AUTO_BUF struct sc_buf sealed = {0};
    struct sc_slice body = sc_slice(data, size);
    struct sc_digest sum = sc_digest_of(body);
    struct names names = {0};
    enum sc_rc rc = sc_decode(&names_schema, body, SC_DECODE_LENIENT, &arena, &names, NULL);
    (void)rc; // wrong names are an input as good as any
    sc_buf_add_slice(&sealed, body);
    sc_buf_add(&sealed, sum.bytes, sizeof sum.bytes);
    read_record(sc_buf_slice(&sealed), &names);
    read_record(body, &names);
    return 0;
}
