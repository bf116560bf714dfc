#include "store/scratch.h"

#include "base/memory.h"

#include <errno.h>
#include <stdio.h>

enum sc_rc sc_scratch_open(const char *parent, struct sc_scratch *ret_scratch, struct sc_error *err)
{
    if (mkdir(parent, 0777) && errno != EEXIST)
        return sc_error_errno(err, errno, "make folder %s", parent);
    struct sc_claim claim;
    enum sc_rc rc = sc_claim_make(parent, "", 0700, &claim, err);
    if (rc == SC_OK)
        *ret_scratch = (struct sc_scratch){.fd = claim.fd, .path = claim.path};
    return rc;
}

void sc_scratch_close(struct sc_scratch *scratch)
{
    if (scratch->path)
        (void)!sc_dir_remove(scratch->path, NULL); // a leftover is swept by the next who opens
    sc_claim_done(&(struct sc_claim){.fd = scratch->fd, .path = scratch->path});
    *scratch = (struct sc_scratch){.fd = -1};
}

void sc_scratch_name(struct sc_scratch *scratch, char ret_name[SC_SCRATCH_NAME_BYTES])
{
    snprintf(ret_name, SC_SCRATCH_NAME_BYTES, "%llu", (unsigned long long)scratch->next++);
}

static void remove_folder(const char *path)
{
    (void)!sc_dir_remove(path, NULL);
}

void sc_scratch_sweep(const char *parent)
{
    sc_claim_sweep(parent, "", remove_folder);
}
