#!/bin/sh
# Install the built wheel with each extra alone, in a clean environment, and run the command line.
set -eu
cd "$(dirname "$0")/.."
wheel=$(ls -t dist/affectstream-*.whl | head -n 1)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for extra in "" cli mic plot server jwt triton opus pipecat livekit models; do
  name=${extra:-base}
  echo "== extra: $name"
  constraints=constraints/service.txt
  [ "$extra" = models ] && constraints=constraints/models.txt
  compile=--compile
  case "$extra" in pipecat | livekit) constraints=constraints/integrations.txt compile=--no-compile ;; esac
  "${PYTHON:-python3}" -m venv "$work/$name"
  if [ "$extra" = models ]; then
    "$work/$name/bin/python" -m pip install --quiet --disable-pip-version-check -c "$constraints" "${TORCH:-torch==2.13.0}"
  fi
  "$work/$name/bin/python" -m pip install --quiet --disable-pip-version-check "$compile" -c "$constraints" \
    "affectstream${extra:+[$extra]} @ file://$PWD/$wheel"
  "$work/$name/bin/affectstream" info
  if [ "$extra" = server ] || [ "$extra" = triton ]; then
    "$work/$name/bin/python" tools/check_light.py
    "$work/$name/bin/affectstream" serve --check >/dev/null
  fi
  if [ "$extra" = models ]; then
    "$work/$name/bin/affectstream-models" --help >/dev/null
  fi
  case "$extra" in
  pipecat | livekit) "$work/$name/bin/python" -c "import affectstream.integrations.$extra" ;;
  esac
  rm -rf "$work/$name"
done
