# Where MERaLiON-SER's engine is built: the image that serves it, with TensorRT's Python in the same version.
FROM nvcr.io/nvidia/tritonserver:25.10-py3
WORKDIR /app
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY constraints constraints
# torch by version: its builds for different CUDAs are other files of the same one.
RUN pip install --no-cache-dir --disable-pip-version-check -c constraints/models.txt torch \
 && pip install --no-cache-dir --disable-pip-version-check --require-hashes --no-deps -r constraints/locked/engine.txt \
 && pip install --no-cache-dir --disable-pip-version-check "tensorrt==${TRT_VERSION%%+*}"
COPY clients/python clients/python
COPY clients/web clients/web
COPY server server
RUN pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation .
COPY deploy/build_engine.sh deploy/build_engine.sh
RUN install -d -o 1000 -g 1000 /models /work
USER 1000:1000
