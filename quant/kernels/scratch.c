#include "quant/kernels/scratch.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

typedef struct Own {
    void *data[SCRATCH_COUNT];
    size_t bytes[SCRATCH_COUNT];
} Own;

static _Thread_local Own own;
static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void give_back(void *value) {
    const Own *o = value;
    for (int i = 0; i < SCRATCH_COUNT; i++)
        if (o->data[i]) munmap(o->data[i], o->bytes[i]);
}

static void make_key(void) { pthread_key_create(&key, give_back); }

void *scratch_get(Scratch which, size_t bytes) {
    if (own.data[which]) return own.data[which];
    void *data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) {
        fputs("error: out of memory\n", stderr);
        abort();
    }
    own.data[which] = data;
    own.bytes[which] = bytes;
    pthread_once(&once, make_key);
    pthread_setspecific(key, &own);
    return data;
}
