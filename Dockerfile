# The server on a CPU, with the model of the folder runs/mine:
#   docker build --tag m4ser . && docker run --publish 8000:8000 --volume $PWD/runs/mine:/model m4ser
# What stands behind the image's name goes to `m4ser serve`, as --asr ID.
FROM python:3.11-slim
# The index of PyTorch's CPU builds, as pytorch.org names it; with the default one CUDA comes along, gigabytes of it.
ARG TORCH_INDEX=
WORKDIR /m4ser
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
COPY configs configs
RUN pip install --no-cache-dir --constraint constraints.txt ${TORCH_INDEX:+--index-url $TORCH_INDEX} torch \
    && pip install --no-cache-dir --constraint constraints.txt '.[serve]'
RUN useradd --create-home m4ser
USER m4ser
EXPOSE 8000
ENTRYPOINT ["m4ser", "serve", "--model", "/model", "--host", "0.0.0.0"]
