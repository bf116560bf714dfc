#include "store/s3/s3.h"

#include "store/backend.h"

extern const struct sc_store_module sc_store_module;
__attribute__((visibility("default")))
const struct sc_store_module sc_store_module = {.release = SC_RELEASE, .open = sc_store_s3_open};
