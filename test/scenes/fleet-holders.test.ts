/**
 * Sessions on a replica that is lost while their credential is revoked elsewhere: stopped, or cut off from Redis. Who polls
 * and ends by itself has ended when `enforced` is said; of who only listens the receipt says that nobody knows.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { NOT_COVERED_OF_GONE } from '../../src/flows/enforce.ts';
import { call, listen } from '../support/client.ts';
import type { FleetToken } from '../support/redis-fleet.ts';
import { RedisFleet } from '../support/redis-fleet.ts';
import {
  control,
  evaluate,
  eventually,
  jtiOrder,
  question,
  reasonOf,
  revoke,
  statementOf,
  untilPermitted,
} from '../support/scene.ts';
import type { WritProcess } from '../support/writ-process.ts';

const SCENE_MS = 90_000;

let fleet: RedisFleet;
afterEach(() => fleet.remove());

async function letIn(name: string, set: readonly string[] = []): Promise<WritProcess> {
  const writ = await fleet.replica(name, set);
  expect(await untilPermitted(writ, fleet.mint().token)).toBe('permitted');
  return writ;
}

async function open(writ: WritProcess, { token }: FleetToken, selfEnds: boolean): Promise<string> {
  const { action, resource } = question(token);
  const body = { credential: { scheme: 'Bearer', token }, kind: 'scene', selfEnds, action, resource };
  const { status, body: opened } = await call(`${writ.urls.data}/v1/sessions`, { body });
  expect(status).toBe(201);
  return `${writ.urls.data}/v1/sessions/${String(opened['id'])}`;
}

interface Polling {
  /** By the holder's own count (from the sending of each ping) it ends then; wall time. */
  readonly endsMs: () => number;
  readonly answered: () => number;
  /** What the last answer said. */
  stop(): Promise<Record<string, unknown>>;
}

/** A holder that keeps its promise. */
function poll(session: string): Polling {
  let [endsMs, answered, isOver] = [0, 0, false];
  const running = (async () => {
    let last: Record<string, unknown> = {};
    while (!isOver) {
      const sentMs = Date.now();
      const { status, body } = await call(`${session}/ping`, { method: 'POST' });
      last = { status, ...body };
      const freshForMs = status === 200 ? Number(body['freshForMs']) : 0;
      // An answer of 0 is no right to go on.
      if (freshForMs > 0) endsMs = Math.max(endsMs, sentMs + freshForMs);
      answered += 1;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return last;
  })();
  // A test that fails takes its replicas away from it.
  running.catch(() => undefined);
  return {
    endsMs: () => endsMs,
    answered: () => answered,
    stop: () => {
      isOver = true;
      return running;
    },
  };
}

interface Loss {
  readonly lose: () => void;
  readonly giveBack: () => void;
}

describe('sessions on a replica that is lost', () => {
  it.each<[string, (third: WritProcess, proxy: Awaited<ReturnType<RedisFleet['proxy']>>) => Loss]>([
    [
      'stopped',
      ({ pid }) => ({
        lose: () => process.kill(pid, 'SIGSTOP'),
        giveBack: () => process.kill(pid, 'SIGCONT'),
      }),
    ],
    [
      'cut off from Redis',
      (_, proxy) => ({ lose: () => proxy.hold('up', 'down'), giveBack: () => proxy.release() }),
    ],
  ])(
    'that is %s have ended by their holders’ own count before it is enforced, or are not vouched for; nothing is allowed after',
    async (_, lossOf) => {
      fleet = await RedisFleet.start();
      const proxy = await fleet.proxy();
      const [first] = [await letIn('r1'), await letIn('r2')];
      const third = await letIn('r3', [`store.url=unix:${proxy.path}`]);
      const { lose, giveBack } = lossOf(third, proxy);
      const token = fleet.mint();
      const [polled, heard] = [await open(third, token, true), await open(third, token, false)];
      const stream = await listen(`${heard}/events`);
      const holder = poll(polled);
      await eventually(
        () => Promise.resolve(holder.answered()),
        (count) => count > 3,
      );
      lose();
      const { body } = await revoke(first, jtiOrder(token));
      expect(body).toMatchObject({ state: 'enforced', closure: 'CLOSED' });
      expect(body['replicas']).toContainEqual(expect.objectContaining({ replica: 'r3', state: 'fenced' }));
      // The holder that polls had a right to go on until then, and no longer.
      expect(holder.endsMs()).toBeGreaterThan(0);
      expect(holder.endsMs()).toBeLessThanOrEqual(Date.parse(String(body['enforcedAt'])));
      // Of neither session anybody else knows anything: none was matched, and the receipt says so.
      const receipt = await control(first, String(body['receipt']));
      expect(statementOf(receipt.text)).toMatchObject({
        sessions: { matched: 0, killed: 0, unconfirmed: 0 },
        notCovered: expect.arrayContaining([...NOT_COVERED_OF_GONE]) as unknown,
      });
      const endsMs = holder.endsMs();
      giveBack();
      // Who only listens is told as soon as its replica can tell it, and is waited for there until it says that it ended.
      const { data } = await stream.killed;
      expect(['fenced', 'revoked']).toContain(data['reason']);
      const shown = await eventually(
        async () => (await control(third, '/v1/sessions')).body['sessions'] as Record<string, unknown>[],
        (sessions) => sessions.length === 1 && JSON.stringify(sessions).includes('"unconfirmed":true'),
      );
      expect(shown).toEqual([
        expect.objectContaining({
          selfEnds: false,
          kill: expect.objectContaining({ unconfirmed: true }) as unknown,
        }),
      ]);
      await eventually(
        async () => reasonOf(await evaluate(third, fleet.mint().token)),
        (reason) => reason === 'permitted',
      );
      expect(reasonOf(await evaluate(third, token.token))).toBe('revoked');
      // Nothing it was answered since has let the polled one go on.
      const last = await holder.stop();
      expect([0, undefined]).toContain(last['freshForMs']);
      expect(holder.endsMs()).toBe(endsMs);
      expect((await call(`${heard}/closed`, { method: 'POST' })).status).toBeLessThan(300);
      stream.close();
    },
    SCENE_MS,
  );
});
