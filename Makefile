# make demo [PHOTOS=folder] | test | test-slow | lint; each makes its own .venv when it is missing.
# PYTHON=/path/to/python3.12 chooses the interpreter; 3.11 to 3.14 work.

PYTHON ?=
INSTALLED = .venv/.installed
SEARCHED = $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11)
SUITS = -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null

.PHONY: demo test test-slow lint always

demo: $(INSTALLED)
	.venv/bin/python experiments/demo.py $(PHOTOS)

test: lint
	.venv/bin/python -m pytest -n auto

test-slow: $(INSTALLED)
	.venv/bin/python -m pytest -m slow

lint: $(INSTALLED)
	.venv/bin/python -m ruff check .
	.venv/bin/python -m ruff format --check .

# The stamp is written last and says what was installed and where: an interrupted installation or
# a copied folder does not count, and files that are newer but the same install nothing.
$(INSTALLED): always
	@{ pwd; cat requirements.txt pyproject.toml; } | cmp -s - $@ || { \
	set -e; rm -f $@; \
	if ! .venv/bin/python $(SUITS) || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then \
	    for python in $(SEARCHED) none; do \
	        $$python $(SUITS) && break || true; \
	    done; \
	    if [ $$python = none ]; then \
	        echo "No Python 3.11 to 3.14 found (looked for: $(SEARCHED))." \
	            "Install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12" >&2; \
	        exit 1; \
	    fi; \
	    $$python -m venv --clear .venv; \
	fi; \
	echo "Installing into .venv (once, a few minutes)"; \
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -e '.[test]'; \
	{ pwd; cat requirements.txt pyproject.toml; } > $@; }
