/* A library that is unloaded while a kernel of it has threads: it stays mapped, and the kernel can be
 * closed. The argument is the library; `counter.wasm` lies in the working directory. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "wasm_engine.h"

static const char CONFIG[] =
    "[[agent]]\n"
    "name = \"counter\"\n"
    "module = \"counter.wasm\"\n"
    "grant = [\"subscribe:reading\", \"publish:stats\"]\n"
    "args = \"reading\"\n"
    "[[topic]]\n"
    "name = \"reading\"\n"
    "[[topic]]\n"
    "name = \"stats\"\n";

/* A function by its name, without a cast that C does not define. */
static void find(void *library, const char *name, void *function) {
    void *found = dlsym(library, name);
    memcpy(function, &found, sizeof found);
}

int main(int argc, char **argv) {
    void *library = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    if (!library)
        return puts("no library"), 1;
    we_result (*new)(we_builder *);
    we_result (*config)(we_builder, const char *);
    we_result (*workers)(we_builder, uint32_t);
    we_result (*start)(we_builder, we_host *);
    we_result (*run)(we_host, uint64_t, uint64_t *);
    we_result (*close)(we_host, const char **);
    const char *(*last_error)(void);
    find(library, "we_builder_new", &new);
    find(library, "we_builder_config_text", &config);
    find(library, "we_builder_workers", &workers);
    find(library, "we_builder_start", &start);
    find(library, "we_host_run_until_idle", &run);
    find(library, "we_host_close", &close);
    find(library, "we_last_error", &last_error);
    we_builder builder;
    we_host host;
    if (new(&builder) || config(builder, CONFIG) || workers(builder, 2) || start(builder, &host))
        return puts(last_error()), 1;
    dlclose(library);
    if (run(host, 1, NULL) || close(host, NULL))
        return puts(last_error()), 1;
    puts("unloaded, and closed");
    return 0;
}
