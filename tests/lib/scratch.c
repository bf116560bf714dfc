#include "tests/lib/scratch.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

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

void sc_scratch_write(const char *path, struct sc_slice bytes, mode_t mode)
{
    (void)unlink(path); // it may be read-only, or run just now
    SC_AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    SC_ASSERT(fd >= 0 && sc_fd_write_all(fd, bytes, NULL) == SC_OK);
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
