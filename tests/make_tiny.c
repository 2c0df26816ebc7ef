// make_tiny DIRECTORY [KEY=VALUE...]: a tiny random Llama, whole or broken on purpose, for the scripts in tests/cli/.
// Keys are the members of Tiny (tests/tiny.h); find and replace change the header of the safetensors file.
#include "tests/tiny.h"

static const char *value(const char *argument, const char *key) {
    size_t n = strlen(key);
    return strncmp(argument, key, n) == 0 && argument[n] == '=' ? argument + n + 1 : NULL;
}

int main(int argc, char **argv) {
    Tiny o = {0};
    const struct {
        const char *key;
        const char **text;
        bool *flag;
        int *number;
    } keys[] = {
        {"dtype", &o.dtype, NULL, NULL},       {"config", &o.config, NULL, NULL}, {"untied", NULL, &o.untied, NULL},
        {"bias", NULL, &o.bias, NULL},         {"small", NULL, &o.small, NULL},   {"shards", NULL, NULL, &o.shards},
        {"without", &o.without, NULL, NULL},   {"find", &o.find, NULL, NULL},     {"replace", &o.replace, NULL, NULL},
        {"infinite", &o.infinite, NULL, NULL}, {"large", &o.large, NULL, NULL},
    };
    if (argc < 2) {
        fprintf(stderr, "usage: make_tiny DIRECTORY [KEY=VALUE...]\n");
        return 2;
    }
    for (int i = 2; i < argc; i++) {
        bool known = false;
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
            const char *v = value(argv[i], keys[k].key);
            if (!v) continue;
            known = true;
            if (keys[k].text) *keys[k].text = v;
            if (keys[k].flag) *keys[k].flag = atoi(v) != 0;
            if (keys[k].number) *keys[k].number = atoi(v);
        }
        if (!known) {
            fprintf(stderr, "make_tiny: unknown: %s\n", argv[i]);
            return 2;
        }
    }
    tiny_write(argv[1], &o);
    return 0;
}
