// Back ends in modules: found beside the program, as it was built or as it was installed.
#include "store/backend.h"

#include "base/limits.h"
#include "base/memory.h"

#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>

// From the program's folder: in the build's folders, then where modules are installed.
#define INSTALLED "../" SC_MODULES
static const char *const places[] = {"../store/s3", "../../store/s3", "../store/libs3", "../../store/libs3",
                                     INSTALLED};

static void *open_beside(const char *name, char *why, size_t why_size)
{
    char self[SC_LIMIT_PATH_BYTES];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n > 0) {
        self[n] = 0;
        *strrchr(self, '/') = 0;
    }
    for (size_t i = 0; n > 0 && i < SC_COUNT(places); i++) {
        SC_AUTO_FREE char *path = sc_asprintf("%s/%s/stepcache-%s.so", self, places[i], name);
        if (access(path, F_OK))
            continue;
        void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        snprintf(why, why_size, "%s", module ? "" : dlerror());
        return module;
    }
    snprintf(why, why_size, "stepcache-%s.so is not beside this program, nor in ../%s", name, SC_MODULES);
    return NULL;
}

enum sc_rc sc_store_module_load(const char *name, sc_store_open_fn *ret_open, struct sc_error *err)
{
    char why[512];
    void *handle = open_beside(name, why, sizeof why);
    const struct sc_store_module *module = handle ? dlsym(handle, "sc_store_module") : NULL;
    if (!module) {
        enum sc_rc rc = sc_error_set(err, SC_UNSUPPORTED, "the %s back end cannot be loaded: %s", name,
                                     handle ? "it is no module of a store" : why);
        sc_error_hint(
            err, strcmp(name, "libs3") == 0
                     ? "build Stepcache where libs3 is (Debian: libs3-dev) and install libs3-2, or leave "
                       "client=libs3 away"
                     : "install Stepcache whole, and libcurl and libxml2 with it");
        return rc;
    }
    if (strcmp(module->release, SC_RELEASE) != 0) {
        enum sc_rc rc =
            sc_error_set(err, SC_UNSUPPORTED, "the %s back end is of release %s, this program of %s", name,
                         module->release, SC_RELEASE);
        sc_error_hint(err, "install both from one release");
        return rc;
    }
    *ret_open = module->open;
    return SC_OK;
}
