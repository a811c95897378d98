#!/bin/sh
# Install the built wheel with one extra alone (base: with none) in a clean environment, and run the command line.
set -eu
cd "$(dirname "$0")/.."
name=$1
wheel=$(ls -t dist/affectstream-*.whl | head -n 1)
[ -n "$wheel" ] || { echo "no wheel in dist: make wheel" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

echo "== extra: $name"
extra="[$name]" constraints=constraints/service.txt torch=""
case $name in
  base) extra="" ;;
  pipecat | livekit) constraints=constraints/integrations.txt ;;
  models) constraints=constraints/models.txt torch=${TORCH:-torch==2.13.0} ;;
esac
# Nothing is in there, not even pip: the service's own environment installs into it.
"${PYTHON:-python3}" -m venv --without-pip "$work"
.venv/bin/python -m pip --python "$work" install --quiet --disable-pip-version-check --no-compile -c "$constraints" \
  ${torch:+"$torch"} "affectstream$extra @ file://$PWD/$wheel"

"$work/bin/affectstream" info
case $name in
  server | triton | redis)
    "$work/bin/python" tools/check_light.py
    "$work/bin/affectstream" serve --check >/dev/null
    ;;
  fusion) AFFECTSTREAM_FUSION__TEXT=lexicon "$work/bin/affectstream" serve --check >/dev/null ;;
  telemetry)
    AFFECTSTREAM_TELEMETRY__METRICS=true AFFECTSTREAM_TELEMETRY__TRACES=http://127.0.0.1:4318 \
      "$work/bin/affectstream" serve --check >/dev/null
    ;;
  models) "$work/bin/affectstream-models" --help >/dev/null ;;
  bridge) "$work/bin/python" -c "from affectstream.bridge.page import Page; assert 'index.html' in Page().paths" ;;
  pipecat | livekit) "$work/bin/python" -c "import affectstream.integrations.$name" ;;
esac
