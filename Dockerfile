# xkd-bench in a container.
#
#   docker build -t xkd-bench .                                     with CUDA, each package as requirements.lock has it
#   docker build -t xkd-bench:cpu --build-arg DEVICE=cpu .          without; torch is PyTorch's own build for CPUs
#   docker run --rm -v "$PWD/results:/work/results" -v xkd-cache:/cache xkd-bench run --budget smoke
#   docker run --rm --gpus all -v "$PWD/results:/work/results" -v xkd-cache:/cache xkd-bench run --device cuda
#
# /cache keeps what is fetched and decoded, /work/results what comes out. The user in it has the number 1000: where yours
# has another, add --user "$(id -u):$(id -g)".

ARG PYTHON=3.11
FROM python:${PYTHON}-slim AS build
ARG DEVICE=cuda
RUN pip install --no-cache-dir uv==0.13.8 && uv venv /opt/xkd
ENV VIRTUAL_ENV=/opt/xkd UV_NO_CACHE=1
WORKDIR /source
COPY requirements.lock pyproject.toml ./
# PyTorch's builds for CPUs are not on the package index and have hashes of their own: there the lock file says versions.
RUN case "$DEVICE" in \
      cuda) uv pip install --require-hashes -r requirements.lock ;; \
      cpu) uv pip install --torch-backend cpu --no-verify-hashes --constraint requirements.lock \
             -r pyproject.toml --extra data --extra teachers --extra logging --extra cluster ;; \
      *) echo "DEVICE is cuda or cpu, not '$DEVICE'" >&2; exit 2 ;; \
    esac
COPY . ./
RUN uv pip install --no-deps .

FROM python:${PYTHON}-slim
RUN useradd --uid 1000 --create-home xkd \
    && install --directory --owner xkd --group xkd --mode 1777 /cache /work /work/results
COPY --from=build /opt/xkd /opt/xkd
ENV PATH=/opt/xkd/bin:$PATH XKD_BENCH_CACHE=/cache HF_HOME=/cache/huggingface TORCH_HOME=/cache/torch \
    MPLCONFIGDIR=/tmp/matplotlib PYTHONDONTWRITEBYTECODE=1
USER 1000
WORKDIR /work
VOLUME ["/cache"]
ENTRYPOINT ["xkd-bench"]
CMD ["--help"]
