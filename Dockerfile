# The service and every command. Starts with the small demo world; mount a volume at /upnext/var to keep what it learns:
#   docker run -e UPNEXT_ADMIN_TOKEN=<long random text> -p 127.0.0.1:8000:8000 upnext
FROM python:3.11-slim
RUN apt-get update && apt-get install -y --no-install-recommends make && rm -rf /var/lib/apt/lists/*
WORKDIR /upnext
COPY . .
RUN make install
EXPOSE 8000
CMD [".venv/bin/upnext", "demo", "--host", "0.0.0.0"]
