# syntax=docker/dockerfile:1

# A tag may be moved, a digest cannot. Raise both together; `docker buildx imagetools inspect python:3.12-slim` prints today's digest.
ARG PYTHON_IMAGE=python:3.12.14-slim-trixie@sha256:78387bc3881b8273120a12ebe6c1ab22b018ccc2c9adf565ae1ac9b536e184ea

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python -m venv /opt/worker && python -m venv /opt/build
# Before the code, so that a change to the code does not reinstall everything.
COPY requirements/build.lock requirements/runtime.lock requirements/
RUN /opt/build/bin/pip install --require-hashes -r requirements/build.lock \
    && /opt/worker/bin/pip install --require-hashes -r requirements/runtime.lock
# Packages that a deployment adds, e.g. prometheus-client for its metrics; they are not locked.
ARG EXTRA_PACKAGES=""
RUN if [ -n "$EXTRA_PACKAGES" ]; then /opt/worker/bin/pip install $EXTRA_PACKAGES; fi
COPY pyproject.toml README.md LICENSE ./
COPY actors actors
COPY config config
COPY coupontools coupontools
COPY delivery delivery
COPY sandbox sandbox
COPY workers workers
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --no-index --wheel-dir /dist . \
    && /opt/worker/bin/pip install --no-deps --no-index /dist/*.whl \
    && /opt/worker/bin/python -m pip uninstall --yes pip

FROM ${PYTHON_IMAGE}
# Without pip, an intruder finds no installer.
RUN python -m pip uninstall --yes pip && rm -rf /usr/local/lib/python3.*/ensurepip
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin worker \
    # A new volume that is mounted here takes over this owner.
    && install -d -m 700 -o worker -g worker /home/worker/state
COPY --from=build /opt/worker /opt/worker
ENV PATH=/opt/worker/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001
WORKDIR /home/worker
HEALTHCHECK --interval=30s --timeout=10s --start-period=20s --retries=3 CMD ["coupontools-worker", "check", "--live"]
ENTRYPOINT ["coupontools-worker"]
CMD ["run"]
