#!/bin/sh
# Make .venv with the versions of constraints.txt. pip is the only client that must be there.
set -eu

[ -x .venv/bin/python ] || "$PYTHON" -m venv .venv
echo "installing pinned versions into .venv (a minute or two the first time)"
.venv/bin/python -m pip install -q --disable-pip-version-check "$(grep '^uv==' constraints.txt)"

# What pip is configured with: environment first, then its configuration files.
setting() { .venv/bin/python -m pip config list 2>/dev/null | sed -n "s/^[a-z:]*[.]$1='\(.*\)'\$/\1/p" | tail -n 1 | sed 's/\\n/ /g'; }
index=${PIP_INDEX_URL:-$(setting index-url)}
links=${PIP_FIND_LINKS:-$(setting find-links)}
extra=
for url in ${PIP_EXTRA_INDEX_URL:-$(setting extra-index-url)}; do
    case $url in file://*) [ -d "${url#file://}" ] || continue ;; esac  # uv stops at a folder that is absent, pip does not
    extra="$extra $url"
done
certificates=${PIP_CERT:-$(setting cert)}
[ -z "$index" ] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$index}"
[ -z "$extra" ] || export UV_INDEX="${UV_INDEX:-$extra}" UV_INDEX_STRATEGY=unsafe-best-match
[ -z "$links" ] || export UV_FIND_LINKS="${UV_FIND_LINKS:-$(echo $links | tr ' ' ',')}"
[ -z "$certificates" ] || export SSL_CERT_FILE="${SSL_CERT_FILE:-$certificates}"

# soundfile built from source has no libsndfile: only its wheels bring one
.venv/bin/uv pip install -q --python .venv/bin/python --compile-bytecode --only-binary soundfile \
    -c constraints.txt -e '.[test]'
