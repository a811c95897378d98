{{- /* Fills Triton's repository, as the job `models` of docker-compose.yml. */ -}}
{{- define "a.models" -}}
- name: models
  image: {{ include "a.image" (dict "root" . "image" .Values.server.image) }}
  command: [sh, -c]
  args:
    - >-
      cp -r /app/triton_repo/. /models
      && python -m affectstream_server.scoring.triton_render --repository /models --onnx
  {{- include "a.confined" . | nindent 2 }}
  resources:
    requests: {cpu: 100m, memory: 256Mi}
    limits: {memory: 1Gi}
  volumeMounts:
    - {name: models, mountPath: /models}
    - {name: tmp, mountPath: /tmp}
{{- end }}
