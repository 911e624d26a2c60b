import { execFileSync, spawnSync } from 'node:child_process';
import { copyFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { call } from '../support/client.ts';
import type { Minted } from '../support/scene.ts';
import {
  contextOf,
  control,
  evaluate,
  eventually,
  jtiOrder,
  mint,
  openSession,
  question,
  reasonOf,
  revoke,
} from '../support/scene.ts';
import type { WritProcess } from '../support/writ-process.ts';
import { makeDataDir, removeDataDir, startWrit } from '../support/writ-process.ts';

const SCENE_MS = 40_000;
const SET = ['lease=500ms'];

let dataDir = '';
let isMounted = false;
let running: WritProcess[] = [];

beforeEach(async () => {
  dataDir = await makeDataDir();
});
afterEach(async () => {
  for (const writ of running) await writ.kill('SIGKILL');
  running = [];
  if (isMounted) execFileSync('umount', [dataDir]);
  isMounted = false;
  await removeDataDir(dataDir);
});

async function start(): Promise<WritProcess> {
  const writ = await startWrit({ dataDir, set: SET });
  running.push(writ);
  return writ;
}

function mountDisk(): void {
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', dataDir]);
  isMounted = true;
}

/** Mounting needs rights that not every machine gives. */
function canMount(): boolean {
  return spawnSync('unshare', ['--mount', 'true']).status === 0 && process.getuid?.() === 0;
}

/** Takes every byte that is left, the last page included. */
async function fillDisk(): Promise<string> {
  const file = join(dataDir, 'filler');
  for (let sizeBytes = 1024 * 1024; sizeBytes >= 1; sizeBytes >>= 1) {
    await writeFile(file, Buffer.alloc(sizeBytes), { flag: 'a' }).catch(() => undefined);
  }
  return file;
}

/** Revokes until it is told that it did not come through: a full disk still has room in the page it writes. */
async function revokeUntilRefused(
  writ: WritProcess,
  minted: readonly Minted[],
): Promise<{ answered: Minted[]; refused: Minted; status: number; code: unknown }> {
  const answered: Minted[] = [];
  for (const one of minted) {
    const reply = await revoke(writ, jtiOrder(one, { wait: 'durable', reason: 'x'.repeat(400) }), one.jti);
    if (reply.status >= 400)
      return { answered, refused: one, status: reply.status, code: reply.body['code'] };
    answered.push(one);
  }
  throw new Error('the disk never was full');
}

/** Every door of a fenced replica, asked with a credential that is good and with one that is known to be revoked. */
async function expectFenced(writ: WritProcess, good: Minted, revoked: Minted): Promise<void> {
  const reply = await eventually(
    () => evaluate(writ, good.token),
    (one) => reasonOf(one) === 'fenced',
  );
  expect(reply.status).toBe(200);
  expect(reply.body).toMatchObject({ decision: false, context: { reason: 'fenced', freshForMs: 0 } });
  const check = await call(`${writ.urls.data}/v1/check`, { body: question(good.token) });
  expect(check.status).toBe(503);
  expect(Number(check.headers['retry-after'])).toBeGreaterThan(0);
  expect((await openSession(writ, good.token)).status).toBe(503);
  const order = await revoke(writ, jtiOrder(good));
  expect(order.status).toBe(503);
  expect(order.headers['content-type']).toContain('application/problem+json');
  expect(order.headers['retry-after']).toBeDefined();
  const ready = await call(`${writ.urls.diagnostics}/readyz`);
  expect(ready.status).toBe(503);
  expect((await call(`${writ.urls.diagnostics}/livez`)).status).toBe(200);

  expect(contextOf(await evaluate(writ, revoked.token))).toMatchObject({ reason: 'revoked' });
  expect((await call(`${writ.urls.data}/v1/check`, { body: question(revoked.token) })).status).toBe(401);
}

describe('a disk that is full (ENOSPC)', () => {
  it.runIf(canMount())(
    'fences it; it comes back when there is room again, and nothing answered is lost',
    async () => {
      mountDisk();
      const writ = await start();
      const known = await mint(writ);
      const good = await mint(writ);
      expect((await revoke(writ, jtiOrder(known))).status).toBe(201);
      const others = await Promise.all(Array.from({ length: 30 }, () => mint(writ)));

      const filler = await fillDisk();
      const { answered, refused, status, code } = await revokeUntilRefused(writ, others);
      expect({ status, code }).toEqual({ status: 504, code: 'APPEND_UNCERTAIN' });
      await expectFenced(writ, good, known);

      await rm(filler);
      const back = await eventually(
        () => evaluate(writ, good.token),
        (reply) => reply.body['decision'] === true,
      );
      expect(reasonOf(back)).toBe('permitted');
      expect((await call(`${writ.urls.diagnostics}/readyz`)).status).toBe(200);
      // Its fate was unknown; under the same key it is safe to repeat.
      const order = jtiOrder(refused, { wait: 'durable', reason: 'x'.repeat(400) });
      expect((await revoke(writ, order, refused.jti)).status).toBe(201);
      const dead = [known, ...answered, refused];
      for (const { token } of dead) expect(reasonOf(await evaluate(writ, token))).toBe('revoked');

      await writ.kill('SIGKILL');
      const again = await start();
      for (const { token } of dead) expect(reasonOf(await evaluate(again, token))).toBe('revoked');
      expect(reasonOf(await evaluate(again, good.token))).toBe('permitted');
    },
    SCENE_MS,
  );
});

describe('a journal that somebody replaced under it', () => {
  it(
    'fences it for good, even by an exact copy; started again it knows everything it answered',
    async () => {
      const writ = await start();
      const known = await mint(writ);
      const good = await mint(writ);
      expect((await revoke(writ, jtiOrder(known))).status).toBe(201);
      const journal = join(dataDir, 'journal.jsonl');
      await copyFile(journal, `${journal}.copy`);
      await rename(`${journal}.copy`, journal);

      await expectFenced(writ, good, known);
      expect(writ.log.some((line) => line.includes('STORE_BROKEN'))).toBe(true);
      // A read is answered from memory, or refused; it never fails unforeseen.
      expect([200, 503]).toContain((await control(writ, '/v1/revocations')).status);

      await writ.kill('SIGKILL');
      const again = await start();
      expect(reasonOf(await evaluate(again, known.token))).toBe('revoked');
      expect(reasonOf(await evaluate(again, good.token))).toBe('permitted');
    },
    SCENE_MS,
  );

  it(
    'by one that ends earlier is never believed again: it does not start, and says why',
    async () => {
      const writ = await start();
      const known = await mint(writ);
      const good = await mint(writ);
      const journal = join(dataDir, 'journal.jsonl');
      await copyFile(journal, `${journal}.old`);
      expect((await revoke(writ, jtiOrder(known))).status).toBe(201);
      await rename(`${journal}.old`, journal);

      await expectFenced(writ, good, known);
      await writ.kill('SIGKILL');
      await expect(start()).rejects.toThrow(/ended with 1 before it was ready/);
    },
    SCENE_MS,
  );
});
