import { copyFileSync, renameSync } from 'node:fs';
import { Agent } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Reply } from '../support/client.ts';
import { call } from '../support/client.ts';
import { contextOf, evaluate, eventually, mint, reasonOf } from '../support/scene.ts';
import type { WritProcess } from '../support/writ-process.ts';
import { makeDataDir, removeDataDir, startWrit } from '../support/writ-process.ts';

const LEASE_MS = 500;
const EPS_MS = 50;
const CONNECTIONS = 50;
const SCENE_MS = 30_000;

let dataDir = '';
let running: WritProcess | undefined;
beforeEach(async () => {
  dataDir = await makeDataDir();
});
afterEach(async () => {
  await running?.kill('SIGKILL');
  await removeDataDir(dataDir);
});

/** Stops `writ` for four leases, with one request waiting on each connection; `meanwhile` happens in between. */
async function askWhileStopped(
  writ: WritProcess,
  token: string,
  meanwhile: () => void,
): Promise<readonly Reply[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const askAll = () =>
    Promise.all(Array.from({ length: CONNECTIONS }, () => evaluate(writ, token, { agent })));
  // Opens every connection, and puts the credential where the next request finds it without an await.
  for (const reply of await askAll()) expect(reasonOf(reply)).toBe('permitted');
  process.kill(writ.pid, 'SIGSTOP');
  const queued = askAll();
  meanwhile();
  await sleep(4 * LEASE_MS);
  process.kill(writ.pid, 'SIGCONT');
  const replies = await queued;
  agent.destroy();
  return replies;
}

describe('a Writ that was stopped for longer than its lease', () => {
  it(
    'answers what queued up meanwhile as `fenced`, or on a lease it renewed since; never on the old one',
    async () => {
      const writ = (running = await startWrit({ dataDir, set: [`lease=${LEASE_MS}ms`] }));
      const { token } = await mint(writ);
      const replies = await askWhileStopped(writ, token, () => undefined);

      expect(replies).toHaveLength(CONNECTIONS);
      for (const reply of replies) {
        expect(reply.status).toBe(200);
        const { reason, freshForMs } = contextOf(reply);
        // The old lease had been over for three leases: what is left of it is 0.
        expect(freshForMs).toBeLessThanOrEqual(LEASE_MS - EPS_MS);
        expect(reply.body['decision']).toBe(reason === 'permitted');
        if (reason === 'permitted') expect(freshForMs).toBeGreaterThan(0);
        else expect({ reason, freshForMs }).toEqual({ reason: 'fenced', freshForMs: 0 });
      }
      const back = await eventually(
        () => evaluate(writ, token),
        (reply) => reasonOf(reply) === 'permitted',
      );
      expect(reasonOf(back)).toBe('permitted');
      expect((await call(`${writ.urls.diagnostics}/readyz`)).status).toBe(200);
      expect(writ.log.filter((line) => line.includes('INTERNAL'))).toEqual([]);
    },
    SCENE_MS,
  );

  it(
    'allows not one of them when the lease cannot be renewed any more',
    async () => {
      const writ = (running = await startWrit({ dataDir, set: [`lease=${LEASE_MS}ms`] }));
      const { token } = await mint(writ);
      const journal = join(dataDir, 'journal.jsonl');
      const replies = await askWhileStopped(writ, token, () => {
        copyFileSync(journal, `${journal}.copy`);
        renameSync(`${journal}.copy`, journal);
      });

      expect(replies).toHaveLength(CONNECTIONS);
      for (const reply of replies)
        expect(reply.body).toMatchObject({ decision: false, context: { reason: 'fenced', freshForMs: 0 } });
    },
    SCENE_MS,
  );
});
