/** TLS to a real Redis: only to whom the certificate authority vouches for, by name, and never a word in the clear. */
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { AddressInfo, Server, Socket } from 'node:net';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RedisFeedStore } from '../../../src/edges/redis/redis-feed-store.ts';
import { serverOf } from '../../../src/edges/redis/server-address.ts';
import type { Certificate } from '../../support/certificates.ts';
import { makeAuthority, makeCertificate } from '../../support/certificates.ts';
import { freePort } from '../../support/free-port.ts';
import { peerPath } from '../../support/peers.ts';
import { NAME_KEY, RedisServer } from '../../support/redis-server.ts';
import { ROOT } from '../../support/writ-process.ts';

const PASSWORD = 'change-me-too';

let dir: string;
let authority: Certificate;
let other: Certificate;
let passwordFile: string;
let server: RedisServer;
const sentinels: ChildProcess[] = [];
let port: number;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'writ-tls-'));
  authority = makeAuthority(dir, 'ours');
  other = makeAuthority(dir, 'theirs');
  passwordFile = join(dir, 'password');
  await writeFile(passwordFile, `${PASSWORD}\n`);
  const { certFile, keyFile } = makeCertificate(dir, 'redis', authority, 'DNS:localhost,IP:127.0.0.2');
  port = await freePort();
  const tls = ['--tls-port', String(port), '--tls-cert-file', certFile, '--tls-key-file', keyFile];
  const ca = ['--tls-ca-cert-file', authority.certFile, '--tls-auth-clients', 'no'];
  const users = ['--aclfile', `${ROOT}deploy/redis/users.acl`];
  server = await RedisServer.start([...tls, ...ca, ...users], {
    auth: { username: 'writ-init', password: PASSWORD },
  });
});
afterAll(async () => {
  for (const sentinel of sentinels) sentinel.kill('SIGKILL');
  await server.remove();
  await rm(dir, { recursive: true, force: true });
});

/** Passes everything on to `target`, and keeps what the client said. */
async function listenIn(
  target: number,
  host: string,
): Promise<{ port: number; said: () => Buffer; close: () => void }> {
  const said: Buffer[] = [];
  const sockets: Socket[] = [];
  const tap: Server = createServer((client) => {
    const upstream = connect(target, '127.0.0.1');
    sockets.push(client, upstream);
    for (const socket of [client, upstream]) socket.on('error', () => undefined);
    client.on('data', (chunk: Buffer) => said.push(chunk));
    client.pipe(upstream).pipe(client);
  });
  tap.listen(0, host);
  await once(tap, 'listening');
  return {
    port: (tap.address() as AddressInfo).port,
    said: () => Buffer.concat(said),
    close: () => {
      for (const socket of sockets) socket.destroy();
      tap.close();
    },
  };
}

const TLS_HANDSHAKE = 0x16;
/** A record of a handshake, TLS 1.0 on the outside as all first ones are. */
const TLS_HELLO = Buffer.from([TLS_HANDSHAKE, 3, 1]);

interface Attempt {
  readonly ca: Pick<Certificate, 'certFile'>;
  readonly to?: number;
  /** In the clear. */
  readonly isPlain?: boolean;
  /** A Sentinel that names this address, where the server is; `host` is then its name for it. */
  readonly namedAt?: string;
  /** It speaks TLS itself, with a certificate of this authority. */
  readonly sentinelBy?: Certificate;
}

/** Opens a store there; what went over the wire. */
async function attempt(
  host: string,
  { ca, to = port, isPlain = false, namedAt, sentinelBy }: Attempt,
): Promise<{ error: unknown; said: Buffer }> {
  const tap = await listenIn(to, namedAt ?? '127.0.0.1');
  const own = { username: 'writ-init', isTls: !isPlain };
  const sentinel =
    namedAt === undefined ? undefined : await startSentinel(host, `${namedAt} ${tap.port}`, sentinelBy);
  // Whoever passes it on would hide that the server cuts it.
  const at = isPlain ? to : tap.port;
  const address = sentinel === undefined ? { host, port: at, ...own } : { host, ...own };
  const store = new RedisFeedStore({
    server: await serverOf({
      kind: 'redis',
      url: address,
      failover: false,
      passwordFile,
      caFile: ca.certFile,
      ...(sentinel === undefined ? {} : { sentinel }),
    }),
    fleet: 'f',
    replica: 'r',
    nameKey: NAME_KEY,
    callMs: namedAt === undefined || sentinelBy === other ? 2_000 : 10_000,
  });
  const error: unknown = await store.open().then(
    () => undefined,
    (reason: unknown) => reason,
  );
  await store.close();
  tap.close();
  return { error, said: tap.said() };
}

/** It says where a server is that it cannot speak to itself. */
async function startSentinel(
  name: string,
  address: string,
  by?: Certificate,
): Promise<{ urls: { host: string; port: number; isTls: boolean }[] }> {
  const own = await freePort();
  const file = join(dir, `${name}.conf`);
  await writeFile(file, `${doorOf(name, own, by)}\nsentinel monitor ${name} ${address} 1\n`);
  sentinels.push(spawn(peerPath('redis-sentinel'), [file], { stdio: 'ignore' }));
  return { urls: [{ host: 'localhost', port: own, isTls: by !== undefined }] };
}

function doorOf(name: string, own: number, by: Certificate | undefined): string {
  if (by === undefined) return `port ${own}`;
  const { certFile, keyFile } = makeCertificate(dir, `sentinel-${name}`, by, 'DNS:localhost');
  const tls = [`tls-port ${own}`, `tls-cert-file ${certFile}`, `tls-key-file ${keyFile}`];
  return ['port 0', ...tls, `tls-ca-cert-file ${by.certFile}`, 'tls-auth-clients no'].join('\n');
}

describe('a Redis over TLS', () => {
  it('is spoken to when the authority in caFile vouches for its name', async () => {
    const { error, said } = await attempt('localhost', { ca: authority });
    // It is past TLS and authentication: this user may load functions, and may not call them.
    expect(error).toMatchObject({
      message: expect.stringMatching(/^Redis refuses: NOPERM.* 'fcall'/) as string,
    });
    expect(said[0]).toBe(TLS_HANDSHAKE);
    expect(said.includes(PASSWORD)).toBe(false);
  });

  it('is spoken to in TLS also where a Sentinel says that it is, by a certificate for that address', async () => {
    const { error, said } = await attempt('ours', { ca: authority, namedAt: '127.0.0.2' });
    expect(error).toMatchObject({
      message: expect.stringMatching(/^Redis refuses: NOPERM.* 'fcall'/) as string,
    });
    // The Sentinel tries too, in the clear, and has nothing to tell.
    expect(said.includes(TLS_HELLO)).toBe(true);
    expect(said.includes(PASSWORD)).toBe(false);
    const elsewhere = await attempt('astray', { ca: authority, namedAt: '127.0.0.3' });
    expect(elsewhere.error).toMatchObject({
      code: 'STORE_UNREACHABLE',
      message: expect.stringMatching(
        /altnames.*: it must be for the address that the Sentinels name$/,
      ) as string,
    });
    expect(elsewhere.said.includes(PASSWORD)).toBe(false);
  });

  it('is asked for in TLS of a Sentinel that speaks it, and only of one that the authority vouches for', async () => {
    const named = { ca: authority, namedAt: '127.0.0.2' };
    const { error } = await attempt('guarded', { ...named, sentinelBy: authority });
    expect(error).toMatchObject({
      message: expect.stringMatching(/^Redis refuses: NOPERM.* 'fcall'/) as string,
    });
    const forged = await attempt('forged', { ...named, sentinelBy: other });
    expect(forged.error).toMatchObject({
      code: 'STORE_UNREACHABLE',
      message: expect.stringMatching(
        /sentinels are unreachable.*: see store\.sentinel\.urls and store\.caFile$/,
      ) as string,
    });
    // What it would have named was not gone to.
    expect(forged.said.includes(TLS_HELLO)).toBe(false);
  });

  it.each([
    [
      'another authority has signed for it',
      'localhost',
      () => ({ ca: other }),
      /certificate.*: is store\.caFile of the authority that signed it\?$/,
    ],
    [
      'its certificate is for another name',
      '127.0.0.1',
      () => ({ ca: authority }),
      /altnames.*: it must be for the host in store\.url$/,
    ],
  ])('is refused when %s: it says why, and the password stays here', async (_, host, how, why) => {
    const { error, said } = await attempt(host, how());
    expect(error).toMatchObject({
      code: 'STORE_UNREACHABLE',
      message: expect.stringMatching(why) as string,
    });
    expect(said[0]).toBe(TLS_HANDSHAKE);
    expect(said.includes(PASSWORD)).toBe(false);
    expect(said.includes('writ-init')).toBe(false);
  });

  it('is not spoken to in the clear when the server has no TLS', async () => {
    const plainPort = await freePort();
    const plain = await RedisServer.start(['--port', String(plainPort)]);
    const { error, said } = await attempt('localhost', { ca: authority, to: plainPort });
    expect(error).toMatchObject({
      code: 'STORE_UNREACHABLE',
      message: expect.stringMatching(/: does it speak TLS\? store\.url says that it does$/) as string,
    });
    expect(said[0]).toBe(TLS_HANDSHAKE);
    expect(said.includes(PASSWORD)).toBe(false);
    await plain.remove();
  });

  it('is named where it is spoken to in the clear', async () => {
    const { error } = await attempt('localhost', { ca: authority, isPlain: true });
    expect(error).toMatchObject({
      code: 'STORE_UNREACHABLE',
      message: expect.stringMatching(/: does it speak TLS\? store\.url says that it does not$/) as string,
    });
  });

  it('is not gone to when caFile holds no certificate', async () => {
    await expect(attempt('localhost', { ca: { certFile: passwordFile } })).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      field: 'store.caFile',
      message: `${passwordFile} holds no certificate in PEM`,
    });
  });
});
