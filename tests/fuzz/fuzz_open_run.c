// Bytes as the body of what lies in the store of an open run, given its seal here since nothing would come past it: reading them
// never breaks, and what is taken for good is written again as the very same bytes.
#include "coordinator/shell/open_run.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/seal.h"
#include "store/names.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SC_AUTO_ARENA struct sc_arena arena = {0};
    SC_AUTO_BUF struct sc_buf sealed = {0}, again = {0}, name = {0};
    struct sc_open_run open = {0};
    struct sc_error err = SC_ERROR_INIT;
    sc_buf_add(&sealed, data, size);
    sc_seal(&sealed, 0);
    // What it says of itself, so that an input comes past the comparison with its name.
    enum sc_rc rc =
        sc_decode(&sc_schema_open_run, sc_slice(data, size), SC_DECODE_LENIENT, &arena, &open, NULL);
    if (rc == SC_OK && sc_name_domain_is_valid(open.domain))
        sc_name_open(&name, open.domain, open.coordinator, open.run);
    rc = sc_open_run_decode(sc_buf_slice(&sealed), sc_buf_slice(&name), &arena, &open, &err);
    if (rc != SC_OK) {
        SC_ASSERT(err.rc == rc && err.message[0]);
        return 0;
    }
    sc_open_run_encode(&open, &again);
    SC_ASSERT(sc_slice_eq(sc_buf_slice(&again), sc_buf_slice(&sealed)));
    return 0;
}
