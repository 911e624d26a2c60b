import { Agent } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call } from '../support/client.ts';
import type { Minted } from '../support/scene.ts';
import { jtiOrder, mint, question, reasonOf, revoke } from '../support/scene.ts';
import type { WritProcess } from '../support/writ-process.ts';
import { makeDataDir, removeDataDir, startWrit } from '../support/writ-process.ts';

const CONNECTIONS = 64;
const RPS_MIN = 1_000;
const AFTER_MS = 700;
const WARM_UP_MS = 1_000;

/** Requests a second of each round. */
const rates: number[] = [];

/** One request by the one monotonic clock of this process. */
interface Asked {
  readonly sentMs: number;
  readonly receivedMs: number;
  readonly isAllowed: boolean;
  readonly reason: unknown;
}

let dataDir = '';
let writ: WritProcess;
beforeAll(async () => {
  dataDir = await makeDataDir();
  writ = await startWrit({ dataDir });
  // Both sides are compiled by use; the rounds are about Writ under load, not about its first second.
  const { token } = await mint(writ);
  const untilMs = performance.now() + WARM_UP_MS;
  await hammer(JSON.stringify(question(token)), () => performance.now() > untilMs);
}, 30_000);
afterAll(async () => {
  await writ.kill('SIGKILL');
  await removeDataDir(dataDir);
});

/** Asks on `CONNECTIONS` connections, each as fast as it is answered, until `isOver`. */
async function hammer(body: string, isOver: () => boolean): Promise<Asked[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const asked: Asked[] = [];
  const ask = async (): Promise<void> => {
    while (!isOver()) {
      const sentMs = performance.now();
      const reply = await call(`${writ.urls.data}/access/v1/evaluation`, {
        agent,
        body,
        headers: { 'content-type': 'application/json' },
      });
      const receivedMs = performance.now();
      if (reply.status !== 200) throw new Error(`answered ${reply.status}`);
      asked.push({
        sentMs,
        receivedMs,
        isAllowed: reply.body['decision'] === true,
        reason: reasonOf(reply),
      });
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, ask));
  agent.destroy();
  return asked;
}

type Kind = 'token' | 'jti' | 'subject' | 'session' | 'claims';

function orderFor(kind: Kind, minted: Minted, sub: string): Record<string, unknown> {
  const { token, issuer } = minted;
  switch (kind) {
    case 'token':
      return { selector: { kind: 'token', value: token } };
    case 'jti':
      return jtiOrder(minted);
    case 'subject':
      return { selector: { kind: 'subject', issuer, value: sub } };
    case 'session':
      return { selector: { kind: 'session', issuer, value: `sid-${sub}` } };
    case 'claims':
      return {
        selectors: [orderFor('jti', minted, sub)['selector'], orderFor('subject', minted, sub)['selector']],
      };
  }
}

describe('a credential in use by a thousand requests a second', () => {
  it.each<Kind>(['token', 'jti', 'subject', 'session', 'claims'])(
    'revoked by %s: not one request that started after the answer is allowed',
    async (kind) => {
      const sub = `load-${kind}`;
      const minted = await mint(writ, { sub, claims: { sid: `sid-${sub}` } });
      let isOver = false;
      const startedMs = performance.now();
      const hammering = hammer(JSON.stringify(question(minted.token, sub)), () => isOver);
      await sleep(400 + Math.random() * 600);
      const askedMs = performance.now();
      const revoked = await revoke(writ, { ...orderFor(kind, minted, sub), wait: 'enforced' });
      const answeredMs = performance.now();
      await sleep(AFTER_MS);
      isOver = true;
      const asked = await hammering;

      const rps = asked.length / ((performance.now() - startedMs) / 1000);
      const before = asked.filter(({ receivedMs }) => receivedMs < askedMs);
      const after = asked.filter(({ sentMs }) => sentMs > answeredMs);
      console.log(
        `${kind}: ${rps.toFixed(0)} requests a second on ${CONNECTIONS} connections, enforced after ` +
          `${(answeredMs - askedMs).toFixed(1)} ms; ${before.length} before, ${after.length} after`,
      );
      expect(revoked.status).toBe(201);
      expect(revoked.body).toMatchObject({
        state: 'enforced',
        closure: 'CLOSED',
        lateAccepts: 0,
        seen: true,
      });
      expect(before.filter(({ isAllowed }) => !isAllowed)).toEqual([]);
      expect(after.filter(({ isAllowed }) => isAllowed)).toEqual([]);
      const words = new Set(asked.filter(({ isAllowed }) => !isAllowed).map(({ reason }) => reason));
      expect([...words]).toEqual([kind === 'subject' ? 'cutoff' : expect.stringMatching(/revoked|cutoff/)]);
      // Enough on either side for the sentence to mean something.
      expect(before.length).toBeGreaterThan(200);
      expect(after.length).toBeGreaterThan(200);
      rates.push(rps);
    },
    30_000,
  );

  it('was asked that often: the median round', () => {
    const median = rates.toSorted((a, b) => a - b)[rates.length >> 1];
    expect(median).toBeGreaterThan(RPS_MIN);
  });
});
