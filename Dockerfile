# kernel-atlas with the packages of its locks. Results come to lie in the mounted folder:
# docker build -t kernel-atlas . && docker run --rm --user "$(id -u)" -v "$PWD:/work" kernel-atlas --cores 4
FROM python:3.11-slim

# Snakemake packs the files of a run for the cloud by git; its storage plugin fs copies by rsync.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git rsync \
    && rm -rf /var/lib/apt/lists/*

COPY requirements.lock /tmp/locks/all.lock
COPY profiles/requirements.lock /tmp/locks/cloud.lock
RUN pip install --no-cache-dir --no-deps -r /tmp/locks/all.lock \
    && pip install --no-cache-dir --no-deps -r /tmp/locks/cloud.lock

COPY . /opt/kernel-atlas
# Whoever runs it may have no home.
ENV XDG_CACHE_HOME=/tmp/cache MPLCONFIGDIR=/tmp/cache/matplotlib
RUN useradd --create-home --uid 1000 atlas && mkdir /work && chown atlas /work
USER 1000
WORKDIR /work
ENTRYPOINT ["snakemake", "--snakefile", "/opt/kernel-atlas/Snakefile"]
