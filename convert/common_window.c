// sliding_window: the positions that attention sees, the token's own among them, and which layers look so far only.
#include "convert/family.h"

static const int64_t WINDOW_MAX_READ = INT64_C(1) << 40;

bool read_window(const cJSON *config, int64_t otherwise, int64_t *window, Error *err) {
    static const char key[] = "sliding_window";
    *window = cJSON_GetObjectItemCaseSensitive(config, key) ? 0 : otherwise; // null is not missing
    return json_int(config, key, 1, WINDOW_MAX_READ, window, err);
}

bool describe_window(const cJSON *config, int64_t otherwise, ModelDesc *d, Error *err) {
    if (!read_window(config, otherwise, &d->window, err)) return false;
    if (d->window) desc_set_layers(d, LAYER_WINDOWED);
    return true;
}

bool describe_upper_windows(const cJSON *config, ModelDesc *d, Error *err) {
    bool used = false, listed;
    int64_t first = 28;
    if (!json_bool(config, "use_sliding_window", &used, err) || !describe_layer_types(config, d, &listed, err) ||
        !json_int(config, "max_window_layers", 0, WINDOW_MAX_READ, &first, err) ||
        !read_window(config, 4096, &d->window, err))
        return false;
    if (!used) d->window = 0;
    for (int64_t i = first; !listed && d->window && i < d->layers; i++) d->layer_kinds[i] |= LAYER_WINDOWED;
    return true;
}
