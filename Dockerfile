# One image for every process of Muster: orchestrator workers, agent workers, Flower, the migration, the commands,
# the mail sink.
# `deploy/with_secrets.py` turns mounted secrets into the settings that the processes read.

FROM python:3.12-slim-bookworm AS build
RUN pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore uv==0.13.9
# Bytecode is made here: nothing can be written where the image runs.
ENV UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_PYTHON_DOWNLOADS=never \
    UV_PROJECT_ENVIRONMENT=/opt/muster
WORKDIR /src
# The dependencies are a layer of their own, which a change of our code leaves as it is.
RUN --mount=type=cache,target=/root/.cache/uv \
    --mount=type=bind,source=pyproject.toml,target=pyproject.toml \
    --mount=type=bind,source=uv.lock,target=uv.lock \
    uv sync --locked --no-dev --no-install-project
COPY . .
# Tests of libraries, most of them numpy's, are a tenth of what would be shipped.
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --locked --no-dev --no-editable \
    && find /opt/muster -type d -name tests -prune -exec rm -r {} +


FROM python:3.12-slim-bookworm AS muster
RUN groupadd --gid 10001 muster \
    && useradd --uid 10001 --gid 10001 --no-log-init --create-home --home-dir /var/lib/muster --shell /usr/sbin/nologin muster \
    && mkdir /app
COPY --chmod=0755 deploy/with_secrets.py /usr/local/bin/with-secrets
COPY --from=build /opt/muster /opt/muster
ENV PATH=/opt/muster/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    MUSTER_HOME=/var/lib/muster \
    MUSTER_METRICS_PORT=9464
# Modules that MUSTER_INCLUDE names are looked for here.
WORKDIR /app
USER 10001:10001
ENTRYPOINT ["with-secrets"]
CMD ["celery", "-A", "worker", "worker"]
# Asks this worker alone whether it renews its lease. `celery inspect ping` would ask the whole cluster, through Redis,
# and would start Celery for it at every check.
HEALTHCHECK --interval=5s --timeout=10s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9464/healthz', timeout=5)"]
