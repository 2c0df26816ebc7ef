# Nibble: plain make. `make`, `make test`, `make demo`, `make install`, `make clean`; SAN=1 for sanitizers.
CC       ?= cc
PREFIX   ?= /usr/local
PKGS     := zlib libcjson libxxhash openblas libpcre2-8 libutf8proc
OPT      ?= -O2
BUILD    := build/$(if $(SAN),san,release)
ARCH     := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine)))

CFLAGS   ?= -g
WARN     := -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion
SANFLAGS := $(if $(SAN),-fsanitize=address$(comma)undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
comma    := ,
# No contraction and no reassociation: the same source gives the same digits on every instruction set.
override CFLAGS += -std=c11 -D_GNU_SOURCE $(OPT) -ffp-contract=off -fno-math-errno $(WARN) $(SANFLAGS) -fopenmp -pthread -I. $(PKG_CFLAGS)

PKG_CFLAGS = $(shell pkg-config --cflags $(PKGS))
PKG_LIBS   = $(shell pkg-config --libs $(PKGS))
LDLIBS   = $(PKG_LIBS) -lm

ROOMS    := core formats convert quant quant/kernels eval cli
SOURCES  := $(wildcard $(ROOMS:%=%/*.c))
# Plain C compiled once for each instruction set (core/target.h).
MULTI    := $(wildcard quant/lanes_*.c eval/vector_*.c)
SOURCES  := $(filter-out $(MULTI) %_avx2.c %_avx512.c %_neon.c,$(SOURCES))
TARGETS  := scalar
ifeq ($(ARCH),x86_64)
TARGETS  += avx2 avx512
SOURCES  += $(wildcard $(ROOMS:%=%/*_avx2.c) $(ROOMS:%=%/*_avx512.c))
endif
ifeq ($(ARCH),aarch64)
SOURCES  += $(wildcard $(ROOMS:%=%/*_neon.c))
endif
FLAGS_scalar :=
FLAGS_avx2   := -mavx2 -mfma -mf16c
FLAGS_avx512 := $(FLAGS_avx2) -mavx512f -mavx512bw -mavx512dq -mavx512vl -mprefer-vector-width=512

OBJECTS  := $(SOURCES:%.c=$(BUILD)/%.o) $(foreach t,$(TARGETS),$(MULTI:%.c=$(BUILD)/%.$(t).o))
LIBRARY  := $(filter-out $(BUILD)/cli/%,$(OBJECTS))

all: $(BUILD)/nibble

$(BUILD)/nibble: $(OBJECTS)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(BUILD)/%_avx2.o: %_avx2.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(FLAGS_avx2) -MMD -MP -c -o $@ $<
$(BUILD)/%_avx512.o: %_avx512.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(FLAGS_avx512) -MMD -MP -c -o $@ $<
define MULTI_RULE
$(BUILD)/%.$(1).o: %.c
	@mkdir -p $$(@D)
	$(CC) $(CFLAGS) -O3 $(FLAGS_$(1)) -DTARGET=$(1) -MMD -MP -c -o $$@ $$<
endef
$(foreach t,$(TARGETS),$(eval $(call MULTI_RULE,$(t))))
$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<

clean:
	rm -rf build

-include $(shell find build -name '*.d' 2>/dev/null)
.PHONY: all clean
