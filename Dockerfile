# One image for every role; docs/deployment.md tells how to run them:
#   (default)                        web: pages, API, sockets and /metrics on port 8000
#   python manage.py runscheduler    scheduler
#   python manage.py runworker       worker
#   python manage.py migrate         once before a new version starts
#   python manage.py retrain         now and then
# BASE can be given with a digest: --build-arg BASE=python:3.12-slim-trixie@sha256:...
ARG BASE=python:3.12-slim-trixie

FROM ${BASE} AS build
WORKDIR /app
COPY requirements.txt .
# Every requirement is a wheel, so no compiler is needed. The environment gets no pip of its own.
RUN python -m venv --without-pip /opt/venv \
 && pip --python /opt/venv/bin/python install --no-cache-dir --only-binary :all: --requirement requirements.txt
ENV PATH=/opt/venv/bin:$PATH
COPY . .
# The settings ask for a key and a database: these two live for this command only, nothing connects.
RUN SMARTQUEUE_SECRET_KEY=only-for-collectstatic-at-build-time \
    DATABASE_URL=postgresql://nobody@127.0.0.1:1/none \
    python manage.py collectstatic --noinput \
 && python -m compileall -q .

FROM ${BASE}
# tini is PID 1: it hands SIGTERM to python and reaps what the commands of shell jobs leave behind.
# The home is /tmp, the one place that can be written when the root file system is read-only.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends tini=0.19.* \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 10001 smartqueue \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin smartqueue
WORKDIR /app
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
USER 10001:10001
EXPOSE 8000 9100
# Roles other than web have their own check in docker-compose.yml and k8s/ (/metrics on port 9100).
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["tini", "--"]
# SMARTQUEUE_TRUSTED_PROXIES says whose word about the client's address counts; uvicorn must not rewrite it before.
CMD ["uvicorn", "smartqueue.asgi:application", "--host", "0.0.0.0", "--port", "8000", "--no-proxy-headers", \
     "--timeout-graceful-shutdown", "20", "--no-server-header", "--ws-max-size", "65536"]
