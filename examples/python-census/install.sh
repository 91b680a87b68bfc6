#!/usr/bin/env bash
# There is nothing to download: the census needs only Python and its standard library.
set -eu

if ! command -v python3 >/dev/null; then
    echo 'python-census: no python3 on the PATH; Python 3.9 or later is needed' >&2
    exit 1
fi
version=$(python3 -c 'import platform; print(platform.python_version())')
if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 9))'; then
    echo "python-census: python3 is Python $version; 3.9 or later is needed" >&2
    exit 1
fi
echo "python-census: python3 is Python $version; nothing to download"
