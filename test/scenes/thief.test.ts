/**
 * Somebody has stolen the password of a replica: the rights of deploy/redis/users.acl, and no key of the fleet. The history up
 * to an earlier moment, written once more through our own functions, gives back nothing that was enforced since, not even to
 * a replica that was away and still follows its epoch (found by an adversary on 2026-11-29).
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { Redis } from 'ioredis';
import { RedisFleet } from '../support/redis-fleet.ts';
import { eventually, evaluate, jtiOrder, reasonOf, revoke, untilPermitted } from '../support/scene.ts';
import { ROOT } from '../support/writ-process.ts';

const SCENE_MS = 90_000;
const BASE = '{writ:test}';

let fleet: RedisFleet;
let hostile: Redis;
afterEach(async () => {
  hostile.disconnect();
  await fleet.remove();
});

/** Somebody who has stolen the password of a replica, and nothing else. */
async function steal(): Promise<void> {
  const acl = await readFile(join(ROOT, 'deploy/redis/users.acl'), 'utf8');
  const [, rights = ''] = /^user writ on >change-me (.*)$/m.exec(acl) ?? [];
  await fleet.redis.ask((redis) =>
    redis.call('ACL', 'SETUSER', 'thief', 'on', '>stolen', ...rights.split(' ')),
  );
  hostile = new Redis({
    path: fleet.redis.socket,
    username: 'thief',
    password: 'stolen',
    disableClientInfo: true,
    enableReadyCheck: false,
  });
}

const fcall = async (name: string, ...args: string[]): Promise<unknown> =>
  ((await hostile.call('FCALL', `writ1_${name}`, '1', BASE, 'tag', ...args)) as unknown[])[1];

interface Line {
  readonly chain: string;
  readonly text: string;
  readonly at: string;
}

async function history(): Promise<readonly Line[]> {
  const [generation = '0', number = ''] = await hostile.hmget(`${BASE}:meta`, 'generation', 'number');
  const found = (await hostile.xrange(`${BASE}:${generation}:feed:${number}`, '-', '+')) as [
    string,
    string[],
  ][];
  return found.map(([at, fields]) => ({ at, chain: fields[1]!, text: fields[3]! }));
}

/** To what the open epoch is bound, or else the next one. */
async function runNow(): Promise<string> {
  const [, , run = ''] = (await fcall('roster', '')) as string[];
  return run;
}

/** Another copy, in which nothing is yet, in the place of the one there is. */
async function showNothing(): Promise<void> {
  const nothing = {
    generation: '777',
    epoch: '',
    number: '0',
    sequence: '0',
    chain: '0'.repeat(40),
    run: '-',
  };
  await hostile.hset(`${BASE}:meta`, nothing);
}

const facts = (text: string): Record<string, string> => JSON.parse(text) as Record<string, string>;
const admission = (text: string): string[] => {
  const { kind, event = '', incarnation = '' } = facts(text);
  return kind === 'replica' ? [event, incarnation] : ['', ''];
};

/** Through open_epoch and append: every check of theirs passes. */
async function replayByAppending(lines: readonly Line[]): Promise<void> {
  const [opening, ...rest] = lines;
  const number = opening!.at.split('-')[0]!;
  const { epochId = '' } = facts(opening!.text);
  await showNothing();
  const opened = await fcall('open_epoch', '', await runNow(), number, epochId, opening!.text, '', '', '');
  expect(opened).toEqual(['opened', opening!.at, opening!.chain]);
  for (const { text, at, chain } of rest) {
    const appended = await fcall('append', epochId, facts(text)['id']!, text, ...admission(text));
    expect(appended).toEqual(['appended', at, chain, expect.any(String), '0']);
  }
}

/** Through restore, and bound to the run there was, and to the one there is. */
async function replayByRestoring(lines: readonly Line[]): Promise<void> {
  const before = await runNow();
  const { epochId = '' } = facts(lines[0]!.text);
  await showNothing();
  const args = lines.flatMap(({ at, chain, text }) => {
    const { kind } = facts(text);
    return [at, chain, text, ...admission(text), kind === 'epoch' ? epochId : ''];
  });
  const now = await runNow();
  expect(now).not.toBe(before);
  expect(await fcall('restore', now, '', '', '0-0', '100', ...args)).toMatchObject({ 0: 'restored' });
  for (const run of [now, before]) await hostile.hset(`${BASE}:meta`, 'run', run);
}

describe('a stolen credential of a replica', () => {
  it.each([
    ['open_epoch and append', replayByAppending],
    ['restore', replayByRestoring],
  ])(
    'cannot give back what was enforced, by %s',
    async (_, replay) => {
      fleet = await RedisFleet.start();
      const a = await fleet.replica('r1');
      const b = await fleet.replica('r2');
      await steal();
      const token = fleet.mint();
      for (const one of [a, b]) expect(await untilPermitted(one, token.token)).toBe('permitted');
      const earlier = await history();
      // A pause, as a host has them; the coordinator finds r2's lease over and says so.
      process.kill(b.pid, 'SIGSTOP');
      const { body } = await revoke(a, jtiOrder(token));
      expect(body).toMatchObject({ state: 'enforced' });
      expect(reasonOf(await evaluate(a, token.token))).toBe('revoked');
      // Then the host of r1 is lost or paused too: nobody contradicts for a while.
      process.kill(a.pid, 'SIGSTOP');
      await replay(earlier);
      process.kill(b.pid, 'SIGCONT');
      const seen = new Set<unknown>();
      await eventually(
        async () => {
          const reason = reasonOf(await evaluate(b, token.token));
          seen.add(reason);
          return reason;
        },
        (reason) => reason === 'permitted',
        6_000,
      );
      process.kill(a.pid, 'SIGCONT');
      expect([...seen]).not.toContain('permitted');
    },
    SCENE_MS,
  );
});
