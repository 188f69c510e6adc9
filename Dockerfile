# The program `notice` with a Vulkan loader, for `notice submit --container`. Drivers of NVIDIA come from the host with its
# container toolkit; those of AMD and Intel, and the layer that picks one of several GPUs, are Mesa's.
#
#   docker build -t registry.example/notice:1 .

FROM node:22-bookworm-slim AS build
WORKDIR /src
COPY . .
RUN npm ci && node tools/pack.mjs /tmp/packages --no-page

FROM node:22-bookworm-slim
RUN apt-get update \
  && apt-get install -y --no-install-recommends ca-certificates libvulkan1 mesa-vulkan-drivers \
  && rm -rf /var/lib/apt/lists/*
# Vulkan is among the graphics libraries of NVIDIA's driver.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility,graphics
COPY --from=build /tmp/packages /tmp/packages
RUN npm install --global /tmp/packages/*.tgz && rm -rf /tmp/packages /root/.npm
USER node
WORKDIR /home/node
ENTRYPOINT ["notice"]
