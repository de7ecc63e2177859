# The command with PyTorch for the CPU; for a GPU: docker build --build-arg TORCH=cu130 .
FROM python:3.13-slim
ARG TORCH=cpu
RUN pip install --no-cache-dir uv
COPY . /source
RUN uv pip install --system --no-cache --torch-backend=$TORCH /source && rm -r /source
RUN useradd --create-home evomnas && install --directory --owner=evomnas /work
ENV HOME=/tmp
USER evomnas
WORKDIR /work
ENTRYPOINT ["evomnas"]
CMD ["run"]
