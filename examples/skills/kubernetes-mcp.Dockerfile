# The agent's image with an MCP server for Kubernetes in it:
#   docker build --tag registry.example.com/punching-fist-agent-kubernetes-mcp:0.1.0 --file kubernetes-mcp.Dockerfile .
# The npm package of a platform is the server's static program and nothing else: Node isn't needed to run it. It adds 75 MiB.
FROM node:24-slim AS server
ARG TARGETARCH
WORKDIR /server
RUN npm install --ignore-scripts --no-save "kubernetes-mcp-server-linux-${TARGETARCH}@0.0.67" \
    && mv "node_modules/kubernetes-mcp-server-linux-${TARGETARCH}/bin/kubernetes-mcp-server-linux-${TARGETARCH}" kubernetes-mcp-server

FROM ghcr.io/punching-fist/punching-fist-agent:0.1.0
COPY --from=server --chmod=0555 /server/kubernetes-mcp-server /usr/local/bin/kubernetes-mcp-server
