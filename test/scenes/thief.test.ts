/**
 * ADVERSARY, HIGH. A client with the rights of deploy/redis/users.acl and no keys of the fleet writes the history up to an
 * earlier moment once more, through our own functions, and so makes `known` say that it is the head. A replica that was
 * cut off since that moment, and still follows its epoch, is given a lease on it: what was enforced meanwhile is permitted.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { Redis } from 'ioredis';
import { RedisFleet } from '../support/redis-fleet.ts';
import { eventually, evaluate, jtiOrder, reasonOf, revoke } from '../support/scene.ts';
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

const fcall = (name: string, ...args: string[]): Promise<unknown> =>
  hostile.call('FCALL', `writ1_${name}`, '1', BASE, ...args);

interface Line {
  readonly chain: string;
  readonly text: string;
  readonly at: string;
}

async function history(): Promise<{ run: string; lines: Line[] }> {
  const [generation = '0', number = ''] = await hostile.hmget(`${BASE}:meta`, 'generation', 'number');
  const [, , run] = (await hostile.call('FCALL_RO', 'writ1_roster', '1', BASE, '')) as string[];
  const found = (await hostile.xrange(`${BASE}:${generation}:feed:${number}`, '-', '+')) as [
    string,
    string[],
  ][];
  return {
    run: run ?? '',
    lines: found.map(([at, fields]) => ({ at, chain: fields[1]!, text: fields[3]! })),
  };
}

const facts = (text: string): Record<string, string> => JSON.parse(text) as Record<string, string>;
const admission = (text: string): string[] => {
  const { kind, event = '', incarnation = '' } = facts(text);
  return kind === 'replica' ? [event, incarnation] : ['', ''];
};

/** Through open_epoch and append: every check of theirs passes. */
async function replayByAppending(run: string, lines: readonly Line[]): Promise<void> {
  const [opening, ...rest] = lines;
  const number = opening!.at.split('-')[0]!;
  const { epochId = '' } = facts(opening!.text);
  await hostile.hset(
    `${BASE}:meta`,
    'generation',
    '777',
    'epoch',
    '',
    'number',
    '0',
    'sequence',
    '0',
    'chain',
    '-',
  );
  await fcall('open_epoch', '', run, number, epochId, opening!.text, '', '', '');
  for (const { text } of rest) await fcall('append', epochId, facts(text)['id']!, text, ...admission(text));
}

/** Through restore, and the run written back: `known` is set by a restored copy as well. */
async function replayByRestoring(run: string, lines: readonly Line[]): Promise<void> {
  const { epochId = '' } = facts(lines[0]!.text);
  await hostile.hset(
    `${BASE}:meta`,
    'generation',
    '777',
    'epoch',
    '',
    'number',
    '0',
    'sequence',
    '0',
    'chain',
    '0'.repeat(40),
    'run',
    '-',
  );
  const args = lines.flatMap(({ at, chain, text }) => {
    const { kind } = facts(text);
    return [at, chain, text, ...admission(text), kind === 'epoch' ? epochId : ''];
  });
  await fcall('restore', run, '', '', '0-0', '100', ...args);
  await hostile.hset(`${BASE}:meta`, 'run', run);
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
      for (const one of [a, b]) expect(reasonOf(await evaluate(one, token.token))).toBe('permitted');
      const earlier = await history();
      // A pause, as a host has them; the coordinator finds r2's lease over and says so.
      process.kill(b.pid, 'SIGSTOP');
      const { body } = await revoke(a, jtiOrder(token));
      expect(body).toMatchObject({ state: 'enforced' });
      expect(reasonOf(await evaluate(a, token.token))).toBe('revoked');
      // Then the host of r1 is lost or paused too: nobody contradicts for a while.
      process.kill(a.pid, 'SIGSTOP');
      await replay(earlier.run, earlier.lines);
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
