/** The bundle protocol against a real server, which does everything a server can do to who asks it. */
import { mkdir, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Tracer } from '../../../src/kernel/trace.ts';
import { BundleUrl } from '../../../src/edges/opa/bundle-url.ts';
import type { BundleUrlOptions } from '../../../src/edges/opa/bundle-url.ts';

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

const BYTES = Buffer.from('the bytes of a bundle');
const servers: Server[] = [];
let dataDir: string;
let closing: AbortController;

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'writ-test-bundle-'));
  closing = new AbortController();
});
afterEach(async () => {
  closing.abort();
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
  await rm(dataDir, { recursive: true });
});

async function sourceOf(
  handler: Handler,
  options: Partial<BundleUrlOptions> = {},
): Promise<{ source: BundleUrl; url: string; seen: IncomingMessage[] }> {
  const seen: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    seen.push(request);
    handler(request, response);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/bundle.tar.gz?sig=secret`;
  return { source: new BundleUrl({ url, dataDir, signal: closing.signal, ...options }), url, seen };
}

/** Answers with the bytes and an ETag of their own, and 304 where that is known. */
const conditional: Handler = (request, response) => {
  if (request.headers['if-none-match'] === '"one"') response.writeHead(304).end();
  else response.writeHead(200, { 'content-type': 'application/gzip', etag: '"one"' }).end(BYTES);
};

async function refusalOf(source: BundleUrl): Promise<unknown> {
  return source.fetch().then(
    () => 'fetched',
    (error: unknown) => error,
  );
}

const unreachable = (message: string): unknown =>
  expect.objectContaining({ name: 'WritError', code: 'POLICY_UNREACHABLE', message });

describe('a bundle on a server', () => {
  it('is asked for within the trace that is under way', async () => {
    const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
    const names: string[] = [];
    const tracer: Tracer = {
      span: (name, _options, work) => {
        names.push(name);
        return work();
      },
      headers: () => ({ traceparent }),
    };
    const { source, seen } = await sourceOf(conditional, { tracer });
    await source.fetch();
    expect(seen[0]?.headers['traceparent']).toBe(traceparent);
    expect(names).toEqual(['GET bundle']);
  });

  it('is asked for as OPA asks, and with nothing else of ours', async () => {
    const { source, seen } = await sourceOf(conditional);
    const fetched = await source.fetch();
    expect(await readFile(fetched?.file ?? '')).toEqual(BYTES);
    expect(seen[0]?.url).toBe('/bundle.tar.gz?sig=secret');
    expect(seen[0]?.headers).toMatchObject({
      prefer: 'modes=snapshot',
      'accept-encoding': 'identity',
      accept: 'application/gzip, application/vnd.openpolicyagent.bundles, application/octet-stream',
    });
    expect(seen[0]?.headers['if-none-match']).toBeUndefined();
    expect(seen[0]?.headers.authorization).toBeUndefined();
    expect(source.name).not.toContain('secret');
  });

  it('is not sent again once it was accepted, and is when it was refused', async () => {
    const { source, seen } = await sourceOf(conditional);
    await (await source.fetch())?.settle(false);
    const again = await source.fetch();
    expect(seen[1]?.headers['if-none-match']).toBeUndefined();
    await again?.keep();
    await again?.settle(true);
    expect(await source.fetch()).toBeUndefined();
    expect(seen[2]?.headers['if-none-match']).toBe('"one"');
  });

  it('is kept for a start without the server when it was accepted, for its owner only, and nothing else is left', async () => {
    const { source, url } = await sourceOf(conditional);
    expect(await source.lookupKept()).toBeUndefined();
    await (await source.fetch())?.settle(false);
    expect(await readdir(dataDir)).toEqual([]);
    await (await source.fetch())?.keep();
    for (const server of servers) server.closeAllConnections();
    for (const server of servers.splice(0)) server.close();
    const elsewhere = new BundleUrl({
      url: url.replace('bundle', 'other'),
      dataDir,
      signal: closing.signal,
    });
    expect(await elsewhere.lookupKept()).toBeUndefined();
    const later = new BundleUrl({ url: url.replace('secret', 'renewed'), dataDir, signal: closing.signal });
    const kept = await later.lookupKept();
    expect(await readFile(kept?.file ?? '')).toEqual(BYTES);
    await kept?.keep();
    await kept?.settle(true);
    expect(await readFile(kept?.file ?? '')).toEqual(BYTES);
    expect((await stat(kept?.file ?? '')).mode & 0o777).toBe(0o600);
    expect(await readdir(dataDir)).toHaveLength(1);
    expect(await refusalOf(later)).toEqual(unreachable('the bundle server did not answer'));
  });

  it('is asked for with the token that the file has now', async () => {
    const tokenFile = join(dataDir, 'token');
    await writeFile(tokenFile, 'first\n');
    const { source, seen } = await sourceOf(conditional, { tokenFile });
    await source.fetch();
    await writeFile(tokenFile, 'second');
    await source.fetch();
    expect(seen.map(({ headers }) => headers.authorization)).toEqual(['Bearer first', 'Bearer second']);
    await writeFile(tokenFile, 'two\nlines\n');
    expect(await refusalOf(source)).toEqual(
      unreachable('policy.tokenFile does not hold one line of visible characters'),
    );
    await rm(tokenFile);
    expect(await refusalOf(source)).toEqual(unreachable('policy.tokenFile cannot be read'));
    expect(seen).toHaveLength(2);
  });

  it.each([401, 404, 500, 503, 204])('is not had when the server answers %i', async (status) => {
    const { source } = await sourceOf((_, response) => response.writeHead(status).end());
    expect(await refusalOf(source)).toEqual(unreachable(`the bundle server answered ${status}`));
  });

  it('is not had when a server says 304 to who has none', async () => {
    const { source } = await sourceOf((_, response) => response.writeHead(304).end());
    expect(await refusalOf(source)).toEqual(unreachable('the bundle server answered 304'));
  });

  it('is not fetched from where a server points to', async () => {
    let wasFollowed = false;
    const other = await sourceOf((_, response) => {
      wasFollowed = true;
      response.end(BYTES);
    });
    const { source } = await sourceOf((_, response) =>
      response.writeHead(302, { location: other.url }).end(),
    );
    expect(await refusalOf(source)).toEqual(unreachable('the bundle server did not answer'));
    expect(wasFollowed).toBe(false);
  });

  it.each([
    ['a page', { 'content-type': 'text/html; charset=utf-8' }],
    ['JSON', { 'content-type': 'application/json' }],
    ['packed once more', { 'content-type': 'application/gzip', 'content-encoding': 'gzip' }],
  ])('is not %s', async (_name, headers) => {
    const { source } = await sourceOf((_, response) => response.writeHead(200, headers).end(gzipSync(BYTES)));
    expect(await refusalOf(source)).toEqual(
      unreachable('the bundle server answered with something else than a bundle'),
    );
  });

  it.each([
    'Application/GZip; x=1',
    'application/octet-stream',
    'application/vnd.openpolicyagent.bundles',
    undefined,
  ])('may be called %s', async (type) => {
    const headers = type === undefined ? {} : { 'content-type': type };
    const { source } = await sourceOf((_, response) => response.writeHead(200, headers).end(BYTES));
    expect(await source.fetch()).toBeDefined();
  });

  it('is not read further than a bundle may be long, however much is sent', async () => {
    const offered = 64 * 1024 * 1024;
    let sent = 0;
    const { source } = await sourceOf(
      (_, response) => {
        const chunk = Buffer.alloc(16_384);
        const more = (): void => {
          while (sent < offered && response.write(chunk)) sent += chunk.length;
          if (sent >= offered) response.end();
        };
        response.on('drain', more);
        more();
      },
      { limits: { bundleBytesMax: 100_000 } },
    );
    expect(await refusalOf(source)).toEqual(
      unreachable('the bundle server sends more than a bundle may hold'),
    );
    expect((await stat(join(dataDir, 'policy-bundle.coming'))).size).toBeLessThanOrEqual(100_000);
    expect(sent).toBeLessThan(offered);
  });

  it.each([
    ['never answers', () => undefined],
    ['stops in the middle', (_: IncomingMessage, response: ServerResponse) => void response.write('half')],
    ['hangs up', (_: IncomingMessage, response: ServerResponse) => void response.destroy()],
    [
      'sends less than it said',
      (_: IncomingMessage, response: ServerResponse) => {
        response.writeHead(200, { 'content-length': 100 }).write('half');
        response.destroy();
      },
    ],
  ] as [string, Handler][])(
    'is not had from a server that %s, and not waited for',
    async (_name, handler) => {
      const { source } = await sourceOf(handler, { limits: { answerMs: 100, downloadMs: 200 } });
      expect(await refusalOf(source)).toEqual(unreachable('the bundle server did not answer'));
    },
  );

  it('is not waited for by who closes', async () => {
    const { source } = await sourceOf((_, response) => void response.write('half'));
    const fetching = refusalOf(source);
    closing.abort();
    expect(await fetching).toEqual(unreachable('the bundle server did not answer'));
  });

  it('is not had where it cannot be written, and not kept where it cannot be put', async () => {
    const { source } = await sourceOf(conditional, { dataDir: join(dataDir, 'gone') });
    expect(await refusalOf(source)).toMatchObject({ code: 'INTERNAL' });
    const { source: other } = await sourceOf(conditional);
    const fetched = await other.fetch();
    await rm(fetched?.file ?? '');
    await expect(fetched?.keep()).rejects.toMatchObject({ code: 'INTERNAL' });
    // What cannot be thrown away either is no second failure.
    await mkdir(join(fetched?.file ?? '', 'in the way'), { recursive: true });
    await fetched?.settle(false);
  });
});
