#include "store/backend.h"
#include "store/libs3/wire.h"
#include "store/s3/s3.h"

static enum sc_rc open_store(const char *url, struct sc_store **ret_store, struct sc_error *err)
{
    return sc_store_s3_open_by(&sc_libs3_wire, url, ret_store, err);
}

extern const struct sc_store_module sc_store_module;
__attribute__((visibility("default")))
const struct sc_store_module sc_store_module = {.release = SC_RELEASE, .open = open_store};
