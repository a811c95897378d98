#!/bin/sh
# Export MERaLiON-SER, compile it for this GPU, compare it with float32 on real speech, and install it.
set -eu
cd /work
[ -f model.fp32.onnx ] || affectstream-models export model.fp32.onnx
[ -f model.bf16.onnx ] || affectstream-models export model.bf16.onnx --precision bf16 --audio float32
exec affectstream-models build --onnx model.bf16.onnx --reference model.fp32.onnx \
  --speech /speech --repository /models "$@"
