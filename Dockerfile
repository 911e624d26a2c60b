# Writ in a container: no compiler, no test and no Node of the project's own is in it. It runs as nobody special on a
# read-only root; only /var/lib/writ is written to. `npm run image` walks through these very lines where no engine is.
#
#   docker run --read-only -v writ:/var/lib/writ -e WRIT_LISTEN_DATA=0.0.0.0:8181 -p 8181:8181 writ
#
# Name a configuration by WRIT_CONFIG rather than by --config: the health check reads it too.
FROM node:26-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=optional
COPY tsconfig.json tsconfig.build.json ./
COPY src ./src
RUN npm run build
RUN npm prune --omit=dev --omit=optional
RUN mkdir data

FROM node:26-slim
ENV NODE_ENV=production WRIT_DATA_DIR=/var/lib/writ
WORKDIR /app
COPY --from=build /app/package.json ./package.json
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY bin ./bin
COPY policies/bundle.tar.gz ./policies/bundle.tar.gz
COPY --from=build --chown=1000:1000 /app/data /var/lib/writ
USER 1000:1000
VOLUME ["/var/lib/writ"]
EXPOSE 8181 8282 9464
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["node", "/app/bin/writ.js", "health"]
ENTRYPOINT ["node", "/app/bin/writ.js"]
CMD ["serve"]
