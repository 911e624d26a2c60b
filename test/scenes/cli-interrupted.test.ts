/** Commands, and a server, that are told to end while they wait. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import type { RequestListener, Server } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { COMPILED, ROOT, makeDataDir, removeDataDir, startWrit } from '../support/writ-process.ts';

const SCENE_MS = 60_000;

let work = '';
beforeAll(async () => {
  work = await makeDataDir();
  await writeFile(join(work, 'admin-token'), 'wat_any');
});
afterAll(() => removeDataDir(work));

interface Interrupted {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly out: string;
  readonly problems: string;
}

/** Runs it against a server that answers as `answer` does, and sends it `signal` once `isTime` says so of a request. */
async function interrupt(
  args: readonly string[],
  signal: NodeJS.Signals,
  listener: (interruptNow: () => void) => RequestListener,
): Promise<Interrupted> {
  const server: Server = createServer((req, res) => listener(() => child.kill(signal))(req, res));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const where = ['--url', url, '--token-file', join(work, 'admin-token')];
  const child = spawn(process.execPath, [join(ROOT, 'src/main.ts'), ...args, ...where], {
    cwd: work,
    env: { PATH: process.env['PATH'] ?? '', ...COMPILED },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [[code, ended], out, problems] = await Promise.all([
    once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>,
    text(child.stdout),
    text(child.stderr),
  ]);
  server.closeAllConnections();
  server.close();
  return { code, signal: ended, out, problems };
}

describe('an order that is interrupted', { timeout: SCENE_MS }, () => {
  it.each([
    ['SIGINT', ['revoke', 'jti', 'x', '--issuer', 'i'], 'revocations', ''],
    ['SIGTERM', ['lock', 'subject', 'x', '--expires-in', '2h'], 'locks', ' --expires-at \\d{4}-\\S+Z'],
  ] as const)(
    'before its answer says on %s that it may have been taken, and how to repeat it',
    async (signal, args, list, ended) => {
      const run = await interrupt(args, signal, (interruptNow) => (req) => {
        req.resume().once('end', interruptNow);
      });
      expect(run).toMatchObject({ code: null, signal, out: '' });
      expect(run.problems).toMatch(
        new RegExp(
          `^whether it was done is unknown: writ ${list} lists what was, on a replica that is ready; repeat it with --idempotency-key [0-9a-f-]{36}${ended}\n$`,
        ),
      );
    },
  );

  it.each([
    [['revoke', 'jti', 'x', '--issuer', 'i'], 'rev_1', /^writ revocation rev_1 --wait enforced$/],
    [
      ['lock', 'subject', 'x', '--expires-in', '2h'],
      'lck_1',
      /^the same order with --idempotency-key \S+ --expires-at \d{4}-\S+Z$/,
    ],
  ] as const)('after it was taken says as what: %j', async (args, id, waitsOn) => {
    const run = await interrupt(args, 'SIGINT', (interruptNow) => (req, res) => {
      if (req.method === 'GET') interruptNow();
      else
        req.resume().once('end', () => {
          res.writeHead(202).end(JSON.stringify({ id, state: 'durable', boundMs: 20_000 }));
        });
    });
    expect(run).toMatchObject({ code: null, signal: 'SIGINT', out: '' });
    const [, taken, how] = /^(\S+) was taken: (.*) waits on\n$/.exec(run.problems) ?? [];
    expect(taken).toBe(id);
    expect(how).toMatch(waitsOn);
  });

  it('says nothing where nothing was to be done', async () => {
    const run = await interrupt(
      ['revoke', 'jti', 'x', '--issuer', 'i', '--dry-run'],
      'SIGINT',
      (interruptNow) => (req) => {
        req.resume().once('end', interruptNow);
      },
    );
    expect(run).toEqual({ code: null, signal: 'SIGINT', out: '', problems: '' });
  });
});

describe('a server that is told to end twice at once', () => {
  it(
    'ends in order: it is one request, passed on by whoever stands before it',
    async () => {
      const dataDir = await makeDataDir();
      const writ = await startWrit({ dataDir });
      try {
        // Two of one kind are one while neither was taken.
        process.kill(writ.pid, 'SIGTERM');
        process.kill(writ.pid, 'SIGINT');
        expect(await writ.exited).toBe(0);
      } finally {
        await writ.kill('SIGKILL');
        await removeDataDir(dataDir);
      }
    },
    SCENE_MS,
  );
});
