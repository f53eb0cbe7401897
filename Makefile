.DEFAULT_GOAL := help
.venv/.ready: requirements.txt pyproject.toml
	python3.11 -m venv .venv
	.venv/bin/pip install -q --disable-pip-version-check --require-hashes -r requirements.txt
	.venv/bin/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@
