#!/usr/bin/env bash
# cvmin verifier serve as its users run it: see verifier.py.
exec python3 "$(dirname "$0")/verifier.py"
