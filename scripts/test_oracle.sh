#!/bin/sh
# Holds the LSTM to PyTorch, in a virtual environment of its own so that nobody else needs PyTorch.
set -eu
venv=.venv-oracle
if [ ! -x "$venv/bin/python" ]; then
    .venv/bin/python -m venv "$venv"
fi
"$venv/bin/python" -m pip install --disable-pip-version-check --quiet -r requirements-dev.txt "torch==2.13.0"
exec "$venv/bin/python" -m pytest tests/predictor/test_torch_oracle.py -q
