# Thin: everything is in make.py, which needs no make. `make run SOURCES=~/notes`, `make test ARGS="-k gate"`.
PYTHON ?= python3

.PHONY: run smoke test hunt test-long real check bench docs setup constraints clean help
help smoke test hunt test-long real check bench docs setup constraints clean:
	@$(PYTHON) make.py $@ -- $(ARGS)

# Code 3 says that the run waits for you, which is no failure.
run:
	@$(PYTHON) make.py $@ -- $(ARGS) || [ $$? = 3 ]
