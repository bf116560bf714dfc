// Opening a store: its URL says which back end.
#include "store/backend.h"

enum sc_rc sc_store_open(const char *url, struct sc_store **ret_store, struct sc_error *err)
{
    struct sc_slice text = sc_slice_str(url);
    if (sc_slice_starts(text, "dir:/"))
        return sc_store_dir_open(url + 4, url, ret_store, err);
    if (sc_slice_starts(text, "/"))
        return sc_store_dir_open(url, url, ret_store, err);
    if (sc_slice_starts(text, "s3://")) {
        enum sc_rc rc = sc_error_set(err, SC_UNSUPPORTED, "%s: a store in S3 is not supported yet", url);
        sc_error_hint(err, "use a folder: dir:/absolute/path");
        return rc;
    }
    return sc_error_set(err, SC_INVALID, "%s: not a store; write dir:/absolute/path", url);
}
