/* The smallest host in C: this program pushes readings, an agent counts them, this program prints it.
 * `counter.wasm` lies in the working directory. */
#include <inttypes.h>
#include <stdio.h>

#include "wasm_engine.h"

static const char CONFIG[] =
    "[[source]]\n"
    "id = \"readings\"\n"
    "kind = \"live\"\n"
    "topic = \"reading\"\n"
    "[[agent]]\n"
    "name = \"counter\"\n"
    "module = \"counter.wasm\"\n"
    "grant = [\"subscribe:reading\", \"publish:stats\"]\n"
    "args = \"reading\"\n"
    "[[output]]\n"
    "topic = \"stats\"\n";

#define TRY(call) if ((call) != WE_RESULT_OK) return fprintf(stderr, "%s\n", we_last_error()), 1

int main(void) {
    static const double celsius[] = {18.5, 19.0, 21.25};
    we_builder builder;
    we_host host;
    we_host_output output = {.size = sizeof output};
    we_host_snapshot snapshot = {.size = sizeof snapshot};
    TRY(we_builder_new(&builder));
    TRY(we_builder_config_text(builder, CONFIG));
    TRY(we_builder_start(builder, &host));
    for (int i = 0; i < 3; i++) {
        TRY(we_host_push(host, "readings", "readings", &celsius[i], sizeof celsius[i], NULL));
        TRY(we_host_run_until_idle(host, 100, NULL));
        while (we_host_next_output(host, &output) == WE_RESULT_OK)
            printf("tick %" PRIu64 ": %.*s\n", output.tick, (int)output.payload_len, (const char *)output.payload);
    }
    TRY(we_host_take_snapshot(host, &snapshot));
    printf("digest %s\n", snapshot.digest);
    TRY(we_host_close(host, NULL));
    return 0;
}
