#include "tests/lib/scratch.h"

#include <stdlib.h>

#include "base/memory.h"
#include "base/os/file.h"

char *sc_scratch_new(void)
{
    const char *top = getenv("TMPDIR");
    char *path = sc_asprintf("%s/stepcache-test-XXXXXX", top && top[0] == '/' ? top : "/tmp");
    SC_ASSERT(mkdtemp(path) != NULL);
    return path;
}

void sc_scratch_remove(char *path)
{
    enum sc_rc rc = path ? sc_dir_remove(path, NULL) : SC_OK;
    (void)rc; // a test's rubbish fails no test
    free(path);
}

char *sc_scratch_path(const char *folder, const char *name)
{
    return sc_asprintf("%s/%s", folder, name);
}

int sc_scratch_setup(void **state)
{
    *state = sc_scratch_new();
    return 0;
}

int sc_scratch_teardown(void **state)
{
    sc_scratch_remove(*state);
    return 0;
}
