# Serves a parser on a CPU, as a user without rights:
#   docker build -t hparse .
#   docker run --rm -p 127.0.0.1:8000:8000 hparse
#   docker run --rm -p 127.0.0.1:8000:8000 -v "$PWD/runs/fashion:/run/parser:ro" hparse \
#       --workdir=/run/parser --token=SECRET
# A volume at /home/hparse/.cache keeps compiled programs from one start to the next.
FROM python:3.13-slim AS build
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir=/wheels .

FROM python:3.13-slim
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir "$(echo /wheels/*.whl)[serve]" && rm -r /wheels \
    && useradd --create-home --uid=1000 hparse \
    && install --directory --owner=hparse --group=hparse /home/hparse/.cache
USER hparse
WORKDIR /home/hparse
ENV JAX_PLATFORMS=cpu PYTHONUNBUFFERED=1
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s CMD \
    ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz')"]
ENTRYPOINT ["hparse", "serve", "--host=0.0.0.0", "--port=8000"]
