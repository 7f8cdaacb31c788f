#!/bin/sh
# Makes the virtual environment .venv beside this file and installs into it what pip is told to:
#
#     sh install.sh '.[dockstring]'          Osong, to use it
#     sh install.sh -e '.[dev]'              Osong, to work on it
#
# Needs Python 3.11 or newer (PYTHON names another than python3) and a package index. Needs no
# root, also where the distribution ships Python without ensurepip (Debian's python3-venv).
set -eu
cd "$(dirname "$0")"

python=
for candidate in "${PYTHON:-python3}" python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "install.sh: no Python 3.11 or newer here; install one, or name it: PYTHON=/path/to/python3 sh install.sh ..." >&2
    exit 1
fi

fetch_pip() {
    "$python" -m venv --clear --without-pip .venv
    .venv/bin/python - .venv <<'PYTHON'
import json, pathlib, subprocess, sys, urllib.parse, urllib.request

index = "https://pypi.org/pypi/pip/json"
with urllib.request.urlopen(index, timeout=60) as answer:
    files = json.load(answer)["urls"]
url = next(file["url"] for file in files if file["url"].endswith(".whl"))
wheel = pathlib.Path(sys.argv[1], url.rsplit("/", 1)[1])
with urllib.request.urlopen(urllib.parse.urljoin(index, url), timeout=60) as answer:
    wheel.write_bytes(answer.read())
subprocess.run([sys.executable, f"{wheel}/pip", "install", "-q", "--no-index", wheel], check=True)
wheel.unlink()
PYTHON
}

if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    if "$python" -c 'import ensurepip' 2>/dev/null; then
        "$python" -m venv --clear .venv
    elif ! fetch_pip; then
        echo "install.sh: this Python cannot make environments with pip; as root: apt-get install python3-venv" >&2
        exit 1
    fi
fi
.venv/bin/python -m pip install --quiet --disable-pip-version-check "$@"
