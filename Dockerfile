# The service and every command, CPU build. `docker run -p 8000:8000 upnext` trains the small demo world, then serves it.
FROM python:3.11-slim
WORKDIR /upnext
COPY Makefile pyproject.toml README.md ./
COPY packaging packaging
COPY requirements requirements
COPY . .
RUN apt-get update && apt-get install -y --no-install-recommends make && rm -rf /var/lib/apt/lists/* \
    && pip install --no-cache-dir torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu || true
RUN make install
EXPOSE 8000
CMD [".venv/bin/upnext", "demo", "--host", "0.0.0.0"]
