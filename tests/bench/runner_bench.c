// What it costs to start and end a step that does nothing: runner_bench PROGRAM [COUNT [INPUTS]]. CPU time of the
// runner, its inits and the steps together (their user and system time, waited for), and the wall time of each step
// from launch to `ended`, one at a time.
#include "agent/runner/client.h"

#include "base/memory.h"
#include "base/os/file.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { STEPS = 1000, STEPS_MOST = 1000000 };

static double wall_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void die(const char *what, const struct sc_error *err)
{
    fprintf(stderr, "runner_bench: %s: %s\n", what, err ? err->message : "failed");
    exit(1);
}

// The next event of the runner, waited for.
static struct sc_runner_event next(struct sc_runner *runner)
{
    struct sc_error err = SC_ERROR_INIT;
    struct sc_runner_event event;
    for (;;) {
        if (sc_runner_next(runner, &event, &err) != SC_OK)
            die("next", &err);
        if (event.kind != SC_RUNNER_NOTHING)
            return event;
        struct pollfd p = {.fd = sc_runner_fd(runner), .events = POLLIN};
        poll(&p, 1, -1);
    }
}

static void run_step(struct sc_runner *runner, const struct sc_launch *launch, int out)
{
    struct sc_error err = SC_ERROR_INIT;
    if (sc_runner_launch(runner, launch, out, out, &err) != SC_OK)
        die("launch", &err);
    for (;;) {
        struct sc_runner_event event = next(runner);
        if (event.kind == SC_RUNNER_FAILED) {
            fprintf(stderr, "runner_bench: " SC_SLICE_FMT "\n", SC_SLICE_ARG(event.text));
            exit(1);
        }
        if (event.kind == SC_RUNNER_ENDED)
            return;
    }
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void make_inputs(const char *store, struct sc_runner_input *inputs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        char *path = sc_asprintf("%s/input-%u", store, i);
        int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0444);
        if (fd < 0)
            die(path, NULL);
        close(fd);
        inputs[i] = (struct sc_runner_input){sc_slice_str(path + strlen(store) + 1), sc_slice_str(path)};
    }
}

static double cpu_of_children_ms(void)
{
    struct rusage u;
    getrusage(RUSAGE_CHILDREN, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e3 +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e3;
}

static struct sc_runner *start(const char *program, const char *store)
{
    struct sc_slice hidden = sc_slice_str(store);
    struct sc_runner_config config = {.hidden = {&hidden, 1}};
    struct sc_error err = SC_ERROR_INIT;
    struct sc_runner *runner = NULL;
    if (sc_runner_start(program, &config, &runner, &err) != SC_OK)
        die("start", &err);
    struct sc_runner_event event = next(runner);
    printf("%s", sc_runner_assurance_name(event.capabilities.assurance));
    return runner;
}

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 4) {
        fprintf(stderr, "usage: runner_bench PROGRAM [COUNT [INPUTS]]\n");
        return 2;
    }
    long count = argc > 2 ? strtol(argv[2], NULL, 10) : STEPS;
    long inputs = argc > 3 ? strtol(argv[3], NULL, 10) : 1;
    if (count < 1 || count > STEPS_MOST || inputs < 0 || inputs > (long)SC_RUNNER_INPUTS)
        die("count or inputs out of range", NULL);
    char store[] = "/tmp/runner-bench-XXXXXX";
    if (!mkdtemp(store))
        die(store, NULL);
    SC_AUTO_FREE char *work = sc_asprintf("%s/work", store);
    if (mkdir(work, 0755))
        die(work, NULL);
    SC_AUTO_FREE struct sc_runner_input *list = sc_calloc((size_t)inputs + 1, sizeof *list);
    SC_AUTO_FREE double *ms = sc_calloc((size_t)count, sizeof *ms);
    make_inputs(store, list, (uint32_t)inputs);

    struct sc_slice argv_true[] = {SC_SLICE_LIT("/bin/true")}, env[] = {SC_SLICE_LIT("PATH=/usr/bin:/bin")};
    struct sc_launch launch = {.task = 1,
                               .work = sc_slice_str(work),
                               .argv = {argv_true, 1},
                               .env = {env, 1},
                               .inputs = {list, (uint32_t)inputs}};
    int out = open("/dev/null", O_WRONLY | O_CLOEXEC);
    // A run without steps is what starting and ending the runner costs.
    sc_runner_free(start(argv[1], store));
    printf(" (start and end of the runner: %.2f ms cpu)\n", cpu_of_children_ms());
    double empty = cpu_of_children_ms();
    struct sc_runner *runner = start(argv[1], store);
    for (long i = 0; i < count; i++) {
        double begin = wall_ms();
        run_step(runner, &launch, out);
        ms[i] = wall_ms() - begin;
    }
    sc_runner_free(runner);
    double cpu = cpu_of_children_ms() - 2 * empty;
    qsort(ms, (size_t)count, sizeof *ms, compare);
    printf(" %ld steps, %ld inputs: cpu %.3f ms a step; wall p10 %.3f, median %.3f, p90 %.3f ms\n", count,
           inputs, cpu / (double)count, ms[count / 10], ms[count / 2], ms[count * 9 / 10]);
    close(out);
    return sc_dir_remove(store, NULL) == SC_OK ? 0 : 1;
}
