# The service, the job that fills Triton's model repository, the bridge, and callers for a demonstration.
FROM python:3.12-slim
WORKDIR /app
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY constraints constraints
COPY clients clients
COPY server server
RUN pip install --no-cache-dir --disable-pip-version-check -c constraints/service.txt '.[triton,jwt,redis,telemetry,bridge,cli]'
COPY triton_repo triton_repo
# A new volume takes its owner from here.
RUN install -d -o 1000 -g 1000 /models
USER 1000:1000
ENTRYPOINT ["affectstream"]
CMD ["serve"]
