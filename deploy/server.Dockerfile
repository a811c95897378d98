# The service, the job that fills Triton's model repository, the bridge, and callers for a demonstration.
FROM python:3.12.15-slim-trixie AS build
WORKDIR /app
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY constraints/locked/image.txt constraints/locked/image.txt
# An environment of its own, without pip: the image that runs cannot install anything into it.
RUN python -m venv --without-pip /opt/affectstream \
 && python -m pip --python /opt/affectstream install --no-cache-dir --disable-pip-version-check --require-hashes --no-deps -r constraints/locked/image.txt
COPY clients/python clients/python
COPY clients/web clients/web
COPY server server
RUN python -m pip --python /opt/affectstream install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation .

FROM python:3.12.15-slim-trixie
ENV PATH=/opt/affectstream/bin:$PATH PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
COPY --from=build /opt/affectstream /opt/affectstream
COPY triton_repo triton_repo
# A new volume takes its owner from here.
RUN install -d -o 1000 -g 1000 /models
USER 1000:1000
ENTRYPOINT ["affectstream"]
CMD ["serve"]
