# The two commands of the README, and the few others. CMake is the build; this is its front door.
BUILD ?= build
JOBS  ?= $(shell nproc)

all: setup
	@cmake --build $(BUILD) -j $(JOBS) --target nnc

setup:
	@sh cmake/packages.sh
	@test -f $(BUILD)/CMakeCache.txt || cmake -S . -B $(BUILD) -G Ninja >$(BUILD).log 2>&1 || \
	  { cat $(BUILD).log; exit 1; }
	@rm -f $(BUILD).log

demo: all
	@sh examples/demo.sh $(BUILD)/nnc

test: setup
	@cmake --build $(BUILD) -j $(JOBS) --target nnc tests
	@sh tests/run.sh $(BUILD)

install: all
	@cmake --install $(BUILD)

fuzz bench sanitize stress results survive arm mutants: setup
	@sh tests/$@.sh $(BUILD)

clean:
	rm -rf $(BUILD)

.PHONY: all setup demo test install fuzz bench sanitize stress results survive arm mutants clean
