/** Listeners: what is slow is cut, what is too much is turned away, TLS renews itself, and closing ends everything. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import type { RequestListener } from 'node:http';
import { request as requestPlain } from 'node:http';
import { request as requestTls } from 'node:https';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ConnectionOptions, DetailedPeerCertificate } from 'node:tls';
import { connect as connectTls } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/config/config.ts';
import type { Listener } from '../../src/config/config.ts';
import type { OpenServer } from '../../src/http/server.ts';
import { openServer } from '../../src/http/server.ts';
import { LIMITS } from '../../src/kernel/limits.ts';
import { listen } from '../support/client.ts';
import { InProcessWrit, evaluation, registration } from '../support/in-process.ts';
import { exchange, rawRequest } from '../support/raw-http.ts';

let directory: string;
const opened: OpenServer[] = [];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'writ-server-'));
});

afterEach(async () => {
  await Promise.all(opened.splice(0).map((server) => server.close()));
});

afterAll(() => rm(directory, { recursive: true, force: true }));

const answerOk: RequestListener = (_req, res) => res.end('ok');
const LOOPBACK: Listener = { address: { host: '127.0.0.1', port: 0 } };

async function open(listener: Listener = LOOPBACK, handler: RequestListener = answerOk): Promise<OpenServer> {
  const server = await openServer(listener, handler);
  opened.push(server);
  return server;
}

describe('a slow client', () => {
  const CHECKED_MS = 1_000;
  const SLACK_MS = 3_000;

  it('is cut: a head that never ends, a body that never ends, and both sent byte by byte', async () => {
    const writ = await InProcessWrit.open();
    try {
      const url = writ.writ.urls.data;
      const jwt = await writ.mint();
      const wait = { waitMs: LIMITS.requestMs + CHECKED_MS + 3_000 };
      const drip = Array.from({ length: 14 }, (_, at) => ({ afterMs: 900 * (at + 1), bytes: 'x' }));
      const body = ['Content-Type: application/json', 'Content-Length: 100'];
      const [silent, head, headDrip, half, bodyDrip] = await Promise.all([
        exchange(url, '', wait),
        exchange(url, 'GET /v1/check HTTP/1.1\r\nHost: w\r\nX-Slow: ', wait),
        exchange(url, 'GET /v1/check HTTP/1.1\r\nHost: w\r\nX-Slow: ', { ...wait, later: drip }),
        exchange(url, rawRequest('POST /v1/check', body, '{"subject":'), wait),
        exchange(url, rawRequest('POST /v1/check', body, '{"subject":'), { ...wait, later: drip }),
        // Nobody else waits for them.
        expect
          .poll(async () => (await writ.data('/v1/check', { body: evaluation(jwt) })).status, {
            timeout: 500,
          })
          .toBe(200),
      ]);
      for (const slow of [silent, head, headDrip]) {
        expect(slow.status).toBe(408);
        expect(slow.isClosed).toBe(true);
        expect(slow.afterMs).toBeLessThan(LIMITS.headersMs + CHECKED_MS + SLACK_MS);
      }
      for (const slow of [half, bodyDrip]) {
        expect(slow.status).toBe(408);
        expect(slow.isClosed).toBe(true);
        expect(slow.afterMs).toBeGreaterThan(LIMITS.headersMs);
        expect(slow.afterMs).toBeLessThan(LIMITS.requestMs + CHECKED_MS + SLACK_MS);
      }
    } finally {
      await writ.remove();
    }
  }, 30_000);

  it('keeps no half of a connection after it was told to go', async () => {
    const { url } = await open();
    const { hostname, port } = new URL(url);
    const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true });
    socket.write('GARBAGE\r\n\r\n');
    socket.resume();
    await once(socket, 'end');
    // The other side is gone altogether: what is written to it now is answered with a reset.
    const gone = once(socket, 'error');
    const writing = setInterval(() => socket.write('more'), 10);
    const [error] = (await gone) as [NodeJS.ErrnoException];
    clearInterval(writing);
    expect(['EPIPE', 'ECONNRESET']).toContain(error.code);
    socket.destroy();
  });

  it('that hangs up first is no trouble', async () => {
    const server = await open();
    const { hostname, port } = new URL(server.url);
    const socket = connect({ host: hostname, port: Number(port) });
    socket.write('GET / HT');
    await once(socket, 'connect');
    socket.resetAndDestroy();
    const reply = await exchange(server.url, rawRequest('GET /', []));
    expect(reply.body).toContain('ok');
  });
});

describe('a listener', () => {
  it('rejects when its address cannot be had', async () => {
    const { url } = await open();
    const address = { host: '127.0.0.1', port: Number(new URL(url).port) };
    await expect(openServer({ address }, answerOk, 'listen.data')).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      field: 'listen.data',
      message: expect.stringContaining('EADDRINUSE') as string,
    });
  });

  it('says its address with the port it got, in brackets for IPv6', async () => {
    expect((await open()).url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    expect((await open({ address: { host: '::1', port: 0 } })).url).toMatch(/^http:\/\/\[::1\]:\d+$/);
  });

  const overUnix = async (path: string): Promise<string> => {
    const req = requestPlain({ socketPath: path, path: '/' }).end();
    const [res] = (await once(req, 'response')) as [AsyncIterable<Buffer>];
    let text = '';
    for await (const chunk of res) text += chunk.toString();
    return text;
  };

  it('is a unix socket where one is configured, also where one that crashed left its own behind', async () => {
    const path = join(directory, 'writ.sock');
    const first = await openServer({ address: { path } }, answerOk);
    expect(first.url).toBe(`unix:${path}`);
    expect(await overUnix(path)).toBe('ok');
    await first.close();
    // What a crash leaves behind: a socket that nobody listens on.
    const script = `require('net').createServer().listen(${JSON.stringify(path)},()=>process.kill(process.pid,'SIGKILL'))`;
    expect(() => execFileSync(process.execPath, ['-e', script])).toThrow();
    expect((await stat(path)).isSocket()).toBe(true);
    await open({ address: { path } });
    expect(await overUnix(path)).toBe('ok');
  });

  it('removes nothing but a socket to get its path', async () => {
    const path = join(directory, 'precious.txt');
    await writeFile(path, 'kept');
    await expect(openServer({ address: { path } }, answerOk)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('EADDRINUSE') as string,
    });
    expect((await stat(path)).isFile()).toBe(true);
  });

  it('lets a running answer end when it closes, and cuts what never ends', async () => {
    const asked = new Map([
      ['/late', Promise.withResolvers<undefined>()],
      ['/never', Promise.withResolvers<undefined>()],
    ]);
    const server = await open(LOOPBACK, (req, res) => {
      if (req.url === '/never') res.write('open');
      else setTimeout(() => res.end('late'), 100);
      asked.get(req.url ?? '')?.resolve(undefined);
    });
    const never = exchange(server.url, rawRequest('GET /never', []));
    const late = exchange(server.url, rawRequest('GET /late', []));
    await Promise.all([...asked.values()].map(({ promise }) => promise));
    const startedMs = performance.now();
    await server.close();
    expect(performance.now() - startedMs).toBeLessThan(2_000);
    expect((await late).body).toContain('late');
    expect(await never).toMatchObject({ isClosed: true, status: 200 });
  });

  it('of a whole Writ closes within its grace while a session listens', async () => {
    const writ = await InProcessWrit.open();
    const reply = await writ.data('/v1/sessions', { body: registration(await writ.mint()) });
    const stream = await listen(`${writ.writ.urls.data}${String(reply.body['events'])}`);
    await writ.remove();
    await stream.ended;
  });
});

describe('TLS', () => {
  const path = (name: string): string => join(directory, name);

  /** A self-signed certificate of a new key; its common name tells it apart. */
  function makeCertificate(name: string, ...more: string[]): { certFile: string; keyFile: string } {
    const certFile = path(`${name}.crt`);
    const keyFile = path(`${name}.key`);
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', keyFile];
    const names = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1'];
    execFileSync('openssl', ['req', '-x509', ...key, '-out', certFile, '-days', '2', ...names, ...more], {
      stdio: 'ignore',
    });
    return { certFile, keyFile };
  }

  async function commonName(url: string, options: ConnectionOptions = {}): Promise<unknown> {
    const { hostname, port } = new URL(url);
    const socket = connectTls({ host: hostname, port: Number(port), rejectUnauthorized: false, ...options });
    socket.on('error', () => undefined);
    await once(socket, 'secureConnect');
    const { subject } = socket.getPeerCertificate() as DetailedPeerCertificate;
    socket.destroy();
    return subject.CN;
  }

  it('serves the control plane off loopback, and its configuration refuses it in the clear', async () => {
    const sources = { env: {}, dev: true, cwd: directory, replicaDefault: 'gw-1' };
    const bare = parseConfig({ ...sources, sets: ['listen.control=0.0.0.0:8282'] });
    expect(bare).toMatchObject({ ok: false, problems: [{ key: 'listen.control' }] });
    const { certFile, keyFile } = makeCertificate('off-loopback');
    const fileText = `listen: { control: { address: "0.0.0.0:0", tls: { certFile: ${certFile}, keyFile: ${keyFile} } } }`;
    const result = parseConfig({ ...sources, sets: [], fileText });
    expect(result).toMatchObject({ ok: true });
  });

  it('serves a whole control plane, and nothing in the clear', async () => {
    const { certFile, keyFile } = makeCertificate('control');
    const tls = `{ address: "127.0.0.1:0", tls: { certFile: ${certFile}, keyFile: ${keyFile} } }`;
    const writ = await InProcessWrit.open({ sets: [`listen.control=${tls}`] });
    try {
      const { control } = writ.writ.urls;
      expect(control).toMatch(/^https:/);
      const headers = { authorization: `Bearer ${writ.adminToken}` };
      const req = requestTls(`${control}/v1/keys`, {
        headers,
        rejectUnauthorized: false,
        agent: false,
      }).end();
      const [res] = (await once(req, 'response')) as [NodeJS.ReadableStream & { statusCode: number }];
      res.resume();
      expect(res.statusCode).toBe(200);
      const clear = await exchange(
        control,
        rawRequest('GET /v1/keys', [`Authorization: ${headers.authorization}`]),
      );
      expect(clear.status).not.toBe(200);
      expect(clear.isClosed).toBe(true);
    } finally {
      await writ.remove();
    }
  });

  it('takes no version before 1.2', async () => {
    const { url } = await open({ ...LOOPBACK, tls: makeCertificate('versions') });
    await expect(commonName(url, { minVersion: 'TLSv1', maxVersion: 'TLSv1.1' })).rejects.toThrow();
    expect(await commonName(url, { maxVersion: 'TLSv1.2' })).toBe('versions');
  });

  it('asks for a client certificate of its authority where one is configured', async () => {
    const client = makeCertificate('client');
    const stranger = makeCertificate('stranger');
    const tls = { ...makeCertificate('mutual'), clientCaFile: client.certFile };
    const { url } = await open({ ...LOOPBACK, tls });
    const ask = async ({ certFile, keyFile }: { certFile?: string; keyFile?: string }): Promise<number> => {
      const identity =
        certFile === undefined || keyFile === undefined
          ? {}
          : { cert: await readFile(certFile), key: await readFile(keyFile) };
      const req = requestTls(url, { ...identity, rejectUnauthorized: false, agent: false }).end();
      const [res] = (await once(req, 'response')) as [NodeJS.ReadableStream & { statusCode: number }];
      res.resume();
      return res.statusCode;
    };
    expect(await ask(client)).toBe(200);
    await expect(ask({})).rejects.toThrow();
    await expect(ask(stranger)).rejects.toThrow();
  });

  it('picks up a renewed certificate, whichever of its files comes first, and no broken one', async () => {
    const tls = makeCertificate('served');
    const next = makeCertificate('renewed');
    const { url } = await open({ ...LOOPBACK, tls });
    expect(await commonName(url)).toBe('served');
    // Half of a renewal, seen by the watcher: the certificate without its key.
    await copyFile(next.certFile, tls.certFile);
    await new Promise((resolve) => setTimeout(resolve, 6_000));
    expect(await commonName(url)).toBe('served');
    await copyFile(next.keyFile, tls.keyFile);
    await expect.poll(() => commonName(url), { timeout: 8_000, interval: 200 }).toBe('renewed');
  });

  it('closes although a client never finished its handshake', async () => {
    const server = await openServer({ ...LOOPBACK, tls: makeCertificate('unfinished') }, answerOk);
    const { hostname, port } = new URL(server.url);
    const socket = connect({ host: hostname, port: Number(port) });
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    // Accepted after one that was answered whole, so the server has it too.
    expect(await commonName(server.url)).toBe('unfinished');
    const startedMs = performance.now();
    await server.close();
    expect(performance.now() - startedMs).toBeLessThan(2_000);
    socket.destroy();
  });

  it('fails at start when a file is not there', async () => {
    const tls = { certFile: path('none.crt'), keyFile: path('none.key') };
    await expect(openServer({ ...LOOPBACK, tls }, answerOk)).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
