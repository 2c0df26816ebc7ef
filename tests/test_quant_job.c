// The quant command's streaming job, with memory running out at each of its allocations in turn: an error each time,
// nothing leaked (the sanitizers look), and the output that was there before untouched.
#include "cli/quant_job.h"

#include "convert/open.h"
#include "core/mem.h"
#include "formats/nib.h"
#include "core/log.h"
#include "tests/tiny.h"
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static char directory[64], source[128], output[128];

static void *json_alloc(size_t size) { return mem_alloc(size, 1, NULL); }

static bool quantize(Error *err) {
    const PlanRule rule = {"ffn_up", DT_Q5_1};
    const PlanRequest request = {.type = DT_Q4_0,
                                 .embed_type = DT_Q8_0,
                                 .output_type = DT_Q8_0,
                                 .rules = &rule,
                                 .rule_count = 1,
                                 .has_fallback = true,
                                 .fallback = DT_F16};
    Model *model = model_open(source, err);
    PlanEntry *plan = model ? mem_alloc(model->tensor_count, sizeof *plan, err) : NULL;
    int64_t *cleared = plan ? mem_alloc(model->tensor_count, sizeof *cleared, err) : NULL;
    const QuantJob job = {model, output, &request, plan, false, cleared};
    bool ok =
        cleared && plan_make(&request, model->tensors, model->tensor_count, plan, err) && quant_job_run(&job, err);
    mem_free(cleared);
    mem_free(plan);
    model_free(model);
    return ok;
}

static void out_of_memory(void **state) {
    (void)state;
    Error err = {0};
    cJSON_Hooks hooks = {json_alloc, mem_free};
    cJSON_InitHooks(&hooks);
    tiny_write(source, &(Tiny){.small = true, .shards = 2});
    mem_fail_at(0);
    if (!quantize(&err)) fail_msg("%s", err.text);
    assert_true(nib_verify(output, &err));
    size_t total = 0, size, size_now;
    mem_fail_at(0);
    assert_true(quantize(&err));
    total = mem_fail_at(0);
    assert_true(total > 300);
    uint8_t *good = tiny_get(output, &size);
    for (size_t n = 1; n <= total; n++) {
        err.text[0] = 0;
        mem_fail_at(n);
        if (quantize(&err)) fail_msg("allocation %zu of %zu failed, and nothing was said", n, total);
        mem_fail_at(0);
        if (!err.text[0]) fail_msg("allocation %zu of %zu failed without a message", n, total);
        uint8_t *now = tiny_get(output, &size_now);
        assert_int_equal(size, size_now);
        assert_memory_equal(good, now, size);
        free(now);
    }
    free(good);
    cJSON_InitHooks(NULL);
}

static int set_up(void **state) {
    (void)state;
    strcpy(directory, tiny_directory());
    log_set_level(LOG_QUIET);
    snprintf(source, sizeof source, "%s/model", directory);
    snprintf(output, sizeof output, "%s/out.nib", directory);
    return 0;
}

// Only the model and the one output may be there.
static int tear_down(void **state) {
    (void)state;
    int entries = 0;
    DIR *dir = opendir(directory);
    for (struct dirent *e; (e = readdir(dir));) entries += e->d_name[0] != '.';
    closedir(dir);
    tiny_remove(directory);
    if (entries != 2) print_error("%d entries are left where 2 should be\n", entries);
    return entries == 2 ? 0 : -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(out_of_memory)};
    return cmocka_run_group_tests_name("quant job", tests, set_up, tear_down);
}
