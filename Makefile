# make demo: all masks, and a picture. make test: everything, then pytest. Both need Python 3.11 or newer, make and a network.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
PIP = $(VENV)/bin/python -m pip --disable-pip-version-check install --quiet --constraint requirements/constraints.txt
# flit_core first: without a build environment of its own for each of them, the plugins install in seconds.
INSTALL = $(PIP) -r requirements/build.txt && $(PIP) --no-build-isolation

# Tests run side by side, so each keeps to one core.
WORKERS = --numprocesses auto --maxprocesses 4 --dist worksteal
ONE_THREAD = OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

LAYERS = tests/functional/test_attention.py plugins/attention
# Each layer is held to its contract by the kit's tests, check by check; its own test would do the same once more.
ONCE = -k "test_layer or not test_contract"
# Tests compile much and compute little.
QUICK_XLA = --xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true --xla_cpu_use_fusion_emitters=false \
	--xla_cpu_parallel_codegen_split_count=1

.PHONY: demo test test-slow test-gpu test-jax test-tensorflow install-tensorflow lint bench docs docs-gallery requirements release-check clean

demo: $(VENV)/demo.stamp
	$(VENV)/bin/maskkit render "causal & (sliding_window(window_size=6) | ~banded(band_width=21))" --seq-len 32

test: $(VENV)/test.stamp
	$(ONE_THREAD) $(VENV)/bin/python -m pytest $(WORKERS)

# What takes minutes: the guarantees over 100,000 samples.
test-slow: $(VENV)/test.stamp
	$(ONE_THREAD) $(VENV)/bin/python -m pytest $(WORKERS) -m slow

# What needs a CUDA device, and figures of speed there; elsewhere each says that it was skipped.
test-gpu: $(VENV)/test.stamp
	$(VENV)/bin/python -m pytest -m gpu tests/kernels/test_gpu.py tests/benchmarks/test_gpu_speed.py

# What is built on Keras, on its other backends; TensorFlow in an environment of its own.
test-jax: $(VENV)/test.stamp
	KERAS_BACKEND=jax XLA_FLAGS="$(QUICK_XLA)" $(ONE_THREAD) $(VENV)/bin/python -m pytest $(WORKERS) $(LAYERS) $(ONCE) $(ONLY)

test-tensorflow: $(VENV)-tensorflow/stamp
	KERAS_BACKEND=tensorflow $(VENV)-tensorflow/bin/python -m pytest $(LAYERS) $(ONCE) $(ONLY)

lint: $(VENV)/test.stamp
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

bench: $(VENV)/test.stamp
	$(VENV)/bin/python -m pytest tests/benchmarks -o 'norecursedirs=.*' --benchmark-only --benchmark-columns=median,iqr,rounds --benchmark-group-by=group --benchmark-sort=name

docs: $(VENV)/docs.stamp
	$(ONE_THREAD) $(VENV)/bin/python -m sphinx --fail-on-warning --keep-going --quiet docs build/docs

docs-gallery: $(VENV)/test.stamp
	$(VENV)/bin/python docs/gallery.py
	$(VENV)/bin/python docs/opening.py
	$(VENV)/bin/python docs/context_parallel.py

requirements: $(VENV)/python.stamp
	$(VENV)/bin/python requirements/write.py

# Every distribution built, checked, installed from its files where nothing else is, and tried.
release-check: $(VENV)/test.stamp
	$(VENV)/bin/python requirements/release.py

$(VENV)-tensorflow/stamp: pyproject.toml $(wildcard plugins/*/*/pyproject.toml) $(wildcard requirements/*)
	$(PYTHON) -m venv $(VENV)-tensorflow
	$(MAKE) --no-print-directory VENV=$(VENV)-tensorflow install-tensorflow
	@touch $@

install-tensorflow:
	$(INSTALL) -r requirements/tensorflow.txt

$(VENV)/python.stamp:
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/demo.stamp: $(VENV)/python.stamp pyproject.toml requirements/masks.txt requirements/constraints.txt
	$(INSTALL) -e . -r requirements/masks.txt
	@touch $@

$(VENV)/test.stamp: $(VENV)/python.stamp pyproject.toml $(wildcard plugins/*/*/pyproject.toml) $(wildcard requirements/*)
	$(VENV)/bin/python requirements/write.py
	$(INSTALL) -r requirements/test.txt
	if $(VENV)/bin/python -c "from torch.version import __version__ as v; raise SystemExit('+cpu' in v)"; then \
		$(INSTALL) -r requirements/timm.txt; fi
	@touch $@

$(VENV)/docs.stamp: $(VENV)/test.stamp requirements/docs.txt
	$(PIP) -r requirements/docs.txt
	@touch $@

clean:
	rm -rf $(VENV) $(VENV)-tensorflow build docs/generated
