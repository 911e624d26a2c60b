/**
 * What is done to a live fleet (THREATS 6): how it begins, how it ends, and what was seen of it afterwards. One that was only
 * injected shows nothing.
 */
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, cp, open, readFile, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CrashPointName } from '../../../src/feed/crash-point.ts';
import { call } from '../../support/client.ts';
import type { Direction } from '../../support/holding-proxy.ts';
import { peerPath } from '../../support/peers.ts';
import type { RedisCopies } from '../../support/redis-copies.ts';
import { eventually } from '../../support/scene.ts';
import type { WritProcess } from '../../support/writ-process.ts';
import type { Fate } from './fault-proxy.ts';
import type { LiveClocks, LiveFleet, LiveReplica } from './live-fleet.ts';
import { olderBuild } from './older-build.ts';

export interface LiveFault {
  /** Its row in THREATS 6. */
  readonly row: string;
  readonly name: string;
  /** Everybody feels it: no bound holds for anyone. */
  readonly isOfStore?: true;
  /** The store loses what it had taken. */
  readonly forgets?: true;
  /** An operator may have to restart Redis before the fleet goes on (D-114). */
  readonly needsRestart?: true;
  /** The one that it is done to, where that is given. */
  readonly on?: string;
  /** What a machine must let us do. */
  readonly needs?: 'disks' | 'clock' | 'tracer' | 'copies';
  begin(fleet: LiveFleet, victim: LiveReplica): Promise<Begun>;
}

export interface Begun {
  /** The fault is over. */
  end(): Promise<void>;
  /** Asked when the fleet has healed: whether it had an effect. */
  seen(): boolean | Promise<boolean>;
}

/** Whose data directory is small enough to be filled, and who goes by clocks that can be set. */
export const SMALL_DISK = 'r2';
export const SET_CLOCK = 'r3';
export const CRASHING = join(import.meta.dirname, '..', '..', 'support', 'crashing-main.ts');
/** Stalls, and tells its clocks, when it is told to. */
export const STALLING = join(import.meta.dirname, 'stall.ts');
const META = '{writ:test}:meta';

const nothing = (): Promise<void> => Promise.resolve();

/** What needs no time. */
const atOnce = (work: () => void) => (): Promise<void> => {
  work();
  return Promise.resolve();
};

/** `victim`, or anyone, has refused because it was fenced. */
function fencing(fleet: LiveFleet, victim?: LiveReplica): () => boolean {
  const sinceMs = fleet.nowMs;
  return () => fleet.count('fenced', sinceMs, victim) > 0;
}

/** The fleet goes on in another epoch. */
async function reopening(fleet: LiveFleet): Promise<() => Promise<boolean>> {
  const number = (): Promise<string | null> => fleet.redis.ask((redis) => redis.hget(META, 'number'));
  const before = await number();
  return async () => (await number()) !== before;
}

function ofLink(row: string, name: string, change: (victim: LiveReplica) => void): LiveFault {
  return {
    row,
    name,
    begin: (fleet, victim) => {
      const seen = fencing(fleet, victim);
      change(victim);
      return Promise.resolve({ end: atOnce(() => victim.proxy.mend()), seen });
    },
  };
}

const held = (name: string, ...directions: Direction[]): LiveFault =>
  ofLink('F5', name, ({ proxy }) => proxy.hold(...directions));

function meddled(fate: Fate, times: number, call_?: string): LiveFault {
  return {
    row: fate === 'torn reply' ? 'F6' : 'F16',
    name: `${fate}${call_ === undefined ? '' : ` of ${call_.replace('writ1_', '')}`}`,
    begin: (fleet, victim) => {
      const { proxy } = victim;
      const before = proxy.done.get(fate) ?? 0;
      proxy.meddle(fate, times, call_);
      // Who coordinates makes all the calls there are.
      void fleet.revoke(victim, fleet.mint(), false);
      return Promise.resolve({
        end: atOnce(() => proxy.mend()),
        seen: () => (proxy.done.get(fate) ?? 0) > before,
      });
    },
  };
}

function crashAt(point: CrashPointName): LiveFault {
  return {
    row: 'F1',
    name: `killed at ${point}`,
    begin: async (fleet, victim) => {
      await fleet.kill(victim);
      await fleet.start(victim, { main: CRASHING, env: { CRASH_POINT: point } });
      const { exited } = victim.running;
      let isDead = false;
      void exited.then(() => (isDead = true));
      await untilPermits(fleet, victim);
      // Whoever takes the order is the one that answers it.
      void fleet.revoke(victim, fleet.mint(), false);
      return {
        end: async () => {
          await Promise.race([exited, sleep(5_000)]);
          await fleet.kill(victim);
          await fleet.start(victim);
        },
        seen: () => isDead,
      };
    },
  };
}

async function untilPermits(fleet: LiveFleet, replica: LiveReplica, forMs = 15_000): Promise<boolean> {
  const credential = fleet.mint();
  const endMs = fleet.nowMs + forMs;
  try {
    while (fleet.nowMs < endMs) {
      if ((await fleet.ask(replica, credential)) === 'permitted') return true;
      await sleep(25);
    }
    return false;
  } finally {
    fleet.retire([credential]);
  }
}

/** Redis, for as long as it lasts. */
function ofRedis(
  row: string,
  name: string,
  begin: (fleet: LiveFleet) => Promise<() => Promise<unknown>>,
): LiveFault {
  return {
    row,
    name,
    isOfStore: true,
    begin: async (fleet) => {
      const seen = fencing(fleet);
      const end = await begin(fleet);
      return {
        end: async () => {
          await end();
        },
        seen,
      };
    },
  };
}

/** Redis forgets, at once: there is nothing to end. */
function forgetting(row: string, name: string, forget: (fleet: LiveFleet) => Promise<void>): LiveFault {
  return {
    row,
    name,
    isOfStore: true,
    forgets: true,
    begin: async (fleet) => {
      const seen = await reopening(fleet);
      await forget(fleet);
      return { end: nothing, seen };
    },
  };
}

/** Of the open epoch, the first sequence that the store holds. */
function firstHeld({ redis }: LiveFleet): Promise<number> {
  return redis.ask(async (client) => {
    const [generation, number] = await client.hmget(META, 'generation', 'number');
    const [line] = await client.xrange(
      `{writ:test}:${generation ?? '0'}:feed:${number}`,
      '-',
      '+',
      'COUNT',
      1,
    );
    return Number(line?.[0].split('-')[1]);
  });
}

const GROWING_MS = 90_000;

async function setting(fleet: LiveFleet, name: string, value: string): Promise<void> {
  await fleet.redis.ask((redis) => redis.config('SET', name, value));
}

async function dirOf(fleet: LiveFleet): Promise<string> {
  const [, dir] = (await fleet.redis.ask((redis) => redis.config('GET', 'dir'))) as [string, string];
  return dir;
}

/** Takes all that is left; returns what gives it back. */
async function fill(directory: string): Promise<() => Promise<void>> {
  const path = join(directory, 'filler');
  const file = await open(path, 'w');
  try {
    for (const size of [1 << 16, 1])
      for (;;) await file.write(Buffer.alloc(size)).then(({ bytesWritten }) => whole(bytesWritten, size));
  } catch {
    // Full.
  } finally {
    await file.close();
  }
  return () => rm(path);
}

function whole(written: number, size: number): void {
  if (written < size) throw new Error('full');
}

async function setClock(fleet: LiveFleet, seconds: number): Promise<void> {
  fleet.say(`${SET_CLOCK}: its wall clock is set to ${seconds} s`);
  await clocksOf(fleet).replica.setWall(seconds * 1000);
}

/** Of a fleet whose clocks can be set: no other has these faults. */
const clocksOf = ({ clocks }: LiveFleet): LiveClocks => clocks as LiveClocks;

/** A minute at a time, for longer than a fault lasts: each is seen until the next renewal only. */
const FORWARD_S = Array.from({ length: 40 }, (_, i) => 60 * (i + 1));

/** The first at once, then one after the other, again and again. Returns what ends it. */
async function stepping(
  steps: readonly number[],
  everyMs: number,
  set: (step: number) => Promise<void>,
): Promise<() => Promise<void>> {
  let isOver = false;
  await set(steps[0] ?? 0);
  const work = (async () => {
    for (let i = 1; !isOver && steps.length > 1; i++) {
      await sleep(everyMs);
      await set(steps[i % steps.length] ?? 0);
    }
  })();
  return () => {
    isOver = true;
    return work;
  };
}

function clockSet(
  name: string,
  steps: readonly number[],
  seen: (fleet: LiveFleet, victim: LiveReplica) => () => boolean | Promise<boolean>,
): LiveFault {
  return {
    row: 'F11',
    name,
    on: SET_CLOCK,
    needs: 'clock',
    begin: async (fleet, victim) => {
      const isSeen = seen(fleet, victim);
      const setting = await stepping(steps, 100, (seconds) => setClock(fleet, seconds));
      let was: boolean | undefined;
      return {
        end: async () => {
          was = await isSeen();
          await setting();
          await setClock(fleet, 0);
        },
        seen: () => was === true,
      };
    },
  };
}

/** By then an order is enforced, whatever else is the matter, or what is the matter is more than that. */
const ENFORCED_MS = 3_000;

/** Of Redis, for as long as it lasts. */
function redisClockSet(name: string, steps: readonly number[], isRestarted = false): LiveFault {
  return {
    row: 'F12',
    name,
    isOfStore: true,
    needs: 'clock',
    begin: async (fleet) => {
      const { redis } = clocksOf(fleet);
      const isReopened = await reopening(fleet);
      const beganMs = fleet.nowMs;
      if (isRestarted) await fleet.redis.stop('SIGKILL');
      const setting = await stepping(steps, 300, (seconds) => redis.setWall(seconds * 1000));
      if (isRestarted) await fleet.redis.begin();
      let isSeen = false;
      return {
        end: async () => {
          const isOff = await isClockOff(fleet);
          // A restart may take most of the time that there is.
          const isEnforced = async (): Promise<boolean> =>
            fleet.revoked.some(({ enforcedMs = 0 }) => enforcedMs > beganMs);
          isSeen = isOff && (await eventually(isEnforced, Boolean, ENFORCED_MS));
          await setting();
          await redis.setWall(0);
        },
        seen: async () => isSeen && (await isReopened()) === isRestarted,
      };
    },
  };
}

/** By its own answer, for more than a minute. */
async function isClockOff({ redis }: LiveFleet): Promise<boolean> {
  const [seconds] = await redis.ask((client) => client.time());
  return Math.abs(Number(seconds) - Date.now() / 1000) > 60;
}

/** What the clocks of a process show, in milliseconds; undefined where it does not say. */
async function readClocks({
  running,
}: LiveReplica): Promise<readonly [mono: number, wall: number] | undefined> {
  const { length } = running.log;
  process.kill(running.pid, 'SIGPWR');
  for (let i = 0; i < 200; i++) {
    const said = running.log.slice(length).find((line) => line.startsWith('clocks '));
    if (said !== undefined) return said.split(' ').slice(1).map(Number) as [number, number];
    await sleep(10);
  }
  return undefined;
}

/** By what it says of itself, because nobody is refused for it. */
function behind(_: LiveFleet, { running }: LiveReplica): () => Promise<boolean> {
  return async () => {
    const { text } = await call(`${running.urls.diagnostics}/readyz`);
    return /behind what was seen/.test(text);
  };
}

/** The victim's process is stopped for most of the time. */
async function starve(fleet: LiveFleet, victim: LiveReplica): Promise<() => Promise<void>> {
  let isOver = false;
  const striking = (async () => {
    while (!isOver) {
      victim.signal('SIGSTOP');
      await sleep(120);
      victim.signal('SIGCONT');
      await sleep(6);
    }
  })();
  fleet.say(`${victim.name} is starved`);
  return async () => {
    isOver = true;
    await striking;
  };
}

/** As far as a crash let it get. */
const TORN = '{"chain":"torn';

/** A hostile client with what the sidecar's user may: `deploy/redis/users.acl`. */
const HOSTILE = [
  (key: string) => ['hset', key, 'sequence', '1', 'chain', 'f'.repeat(40)],
  (key: string) => ['hset', key, 'epoch', 'ep_hostile'],
  (key: string) => ['hincrby', key, 'number', '1'],
  (key: string) => ['hset', key, 'run', 'hostile.0'],
  (key: string) => ['zadd', key, '1', '1'],
  (key: string) => ['xadd', key, '*', 'c', 'f'.repeat(40), 'e', '{}'],
] as const;

function hostile(name: string, write: (key: string, chance: number) => readonly string[]): LiveFault {
  return {
    row: 'F19',
    name,
    isOfStore: true,
    forgets: true,
    needsRestart: true,
    begin: async (fleet) => {
      let done = 0;
      const seen = await reopening(fleet);
      await fleet.redis.ask(async (redis) => {
        for (const key of await redis.keys('{writ:test}*')) {
          const [command = 'ping', ...args] = write(key, fleet.chances.next());
          // Of another type: refused, and nothing is done.
          const reply = await redis.call(command, ...args).catch(() => undefined);
          if (reply !== undefined) done += 1;
        }
      });
      fleet.say(`${name}: ${done} commands had an effect`);
      return { end: nothing, seen: async () => done > 0 && (await seen()) };
    },
  };
}

export const LIVE_FAULTS: readonly LiveFault[] = [
  {
    row: 'F1',
    name: 'killed and restarted',
    begin: async (fleet, victim) => {
      const { pid } = victim.running;
      await fleet.kill(victim);
      return { end: () => fleet.start(victim), seen: () => victim.running.pid !== pid };
    },
  },
  crashAt('append.before-write'),
  crashAt('append.before-fsync'),
  crashAt('append.before-reply'),
  crashAt('apply.before'),
  crashAt('apply.after'),
  crashAt('answer.before'),
  {
    row: 'F2',
    name: 'Redis killed and restarted',
    isOfStore: true,
    begin: async (fleet) => {
      const seen = await reopening(fleet);
      await fleet.redis.stop('SIGKILL');
      return { end: () => fleet.redis.begin(), seen };
    },
  },
  {
    row: 'F2',
    name: 'Redis killed and back at once',
    isOfStore: true,
    begin: async (fleet) => {
      const seen = await reopening(fleet);
      await fleet.redis.stop('SIGKILL');
      await fleet.redis.begin();
      return { end: nothing, seen };
    },
  },
  forgetting('F3', 'Redis is flushed', async ({ redis }) => {
    await redis.ask((client) => client.flushall());
  }),
  forgetting('F3', 'Redis comes back empty', async (fleet) => {
    const aof = join(await dirOf(fleet), 'appendonlydir');
    await fleet.redis.stop('SIGKILL');
    await rm(aof, { recursive: true });
    await fleet.redis.begin();
  }),
  forgetting('F3', 'Redis comes back older', async (fleet) => {
    const aof = join(await dirOf(fleet), 'appendonlydir');
    const copy = join(fleet.fleet.dir, 'older');
    await cp(aof, copy, { recursive: true });
    const [by] = fleet.running;
    // In force everywhere, and not in the copy.
    if (by !== undefined) await Promise.race([fleet.revoke(by, fleet.mint(), false), sleep(3_000)]);
    await fleet.redis.stop('SIGKILL');
    await rm(aof, { recursive: true });
    await cp(copy, aof, { recursive: true });
    await rm(copy, { recursive: true });
    await fleet.redis.begin();
  }),
  forgetting('F3', 'the databases are swapped', async ({ redis }) => {
    await redis.ask((client) => client.swapdb(0, 1));
  }),
  {
    row: 'F4',
    name: 'a copy that lags takes over',
    isOfStore: true,
    forgets: true,
    needs: 'copies',
    begin: async (fleet) => {
      const copies = fleet.copies as RedisCopies;
      const seen = await reopening(fleet);
      copies.link.hold('down');
      const [by] = fleet.running;
      if (by !== undefined) await Promise.race([fleet.revoke(by, fleet.mint(), false), sleep(3_000)]);
      const lag = await copies.lag(fleet.fleet);
      await fleet.redis.stop('SIGKILL');
      fleet.say(`Redis is gone, and the copy lacks ${lag} entries`);
      return {
        end: async () => {
          await copies.promote();
          fleet.moveTo(copies.copy);
        },
        seen: async () => lag > 0 && (await seen()),
      };
    },
  },
  held('cut off towards Redis', 'up'),
  held('cut off from Redis', 'down'),
  held('cut off in both directions', 'up', 'down'),
  ofLink('F6', 'slow', ({ proxy }) => (proxy.slowMs = 1_500)),
  ofLink('F6', 'refused', ({ proxy }) => {
    proxy.isRefusing = true;
    proxy.reset();
  }),
  {
    row: 'F6',
    name: 'reset again and again',
    begin: (_, { proxy }) => {
      const before = proxy.connections;
      const timer = setInterval(() => proxy.reset(), 150);
      return Promise.resolve({
        end: atOnce(() => clearInterval(timer)),
        seen: () => proxy.connections > before + 3,
      });
    },
  },
  meddled('torn reply', 3),
  {
    row: 'F7',
    name: 'half open',
    begin: async (_, { proxy }) => {
      const before = proxy.connections;
      proxy.hold('up', 'down');
      // It notices by itself, and tries anew, before anything is closed.
      await sleep(2_500);
      const hasTried = proxy.connections > before;
      return { end: atOnce(() => proxy.mend()), seen: () => hasTried };
    },
  },
  {
    row: 'F8',
    name: 'stopped',
    begin: (fleet, victim) => {
      victim.signal('SIGSTOP');
      let [wokeMs, waiting] = [Infinity, 0];
      return Promise.resolve({
        end: atOnce(() => {
          [wokeMs, waiting] = [fleet.nowMs, victim.open];
          fleet.say(`${victim.name} wakes, ${waiting} requests wait`);
          victim.signal('SIGCONT');
        }),
        seen: () => waiting > 0 && fleet.count('fenced', wokeMs, victim) > 0,
      });
    },
  },
  {
    row: 'F9',
    name: 'a loop that stalls, and garbage',
    begin: (fleet, victim) => {
      const seen = fencing(fleet, victim);
      process.kill(victim.running.pid, 'SIGUSR2');
      return Promise.resolve({ end: nothing, seen });
    },
  },
  {
    row: 'F9',
    name: 'starved',
    begin: async (fleet, victim) => {
      const sinceMs = fleet.nowMs;
      const end = await starve(fleet, victim);
      const isLate = (): boolean =>
        fleet.asked.some(
          (one) => one.replica === victim.name && one.sentMs > sinceMs && one.answeredMs - one.sentMs > 100,
        );
      return { end, seen: isLate };
    },
  },
  ofRedis('F10', 'Redis is stopped', ({ redis }) => {
    redis.signal('SIGSTOP');
    return Promise.resolve(atOnce(() => redis.signal('SIGCONT')));
  }),
  ofRedis('F10', 'Redis sleeps', ({ redis }) => {
    const sleeping = redis.ask((client) => client.call('DEBUG', 'SLEEP', '1.6'));
    return Promise.resolve(() => sleeping);
  }),
  ofRedis('F10', 'Redis is busy with a script', async (fleet) => {
    await setting(fleet, 'busy-reply-threshold', '200');
    const running = fleet.redis.ask((client) => client.eval('while true do end', 0)).catch(() => undefined);
    return async () => {
      // A client library would wait until it is no longer busy.
      const client = connect(fleet.redis.socket).resume();
      client.end('SCRIPT KILL\r\n');
      await once(client, 'close');
      await running;
    };
  }),
  ofRedis('F10', 'Redis is out of memory', async (fleet) => {
    await setting(fleet, 'maxmemory', '1mb');
    return () => setting(fleet, 'maxmemory', '0');
  }),
  ofRedis('F10', 'Redis lacks replicas', async (fleet) => {
    await setting(fleet, 'min-replicas-to-write', '1');
    return () => setting(fleet, 'min-replicas-to-write', '0');
  }),
  ofRedis('F10', 'Redis is read-only', async (fleet) => {
    await fleet.redis.ask((client) => client.replicaof('127.0.0.1', 1));
    return () => fleet.redis.ask((client) => client.replicaof('NO', 'ONE'));
  }),
  {
    row: 'F10',
    name: 'connections are killed',
    isOfStore: true,
    begin: async (fleet) => {
      const before = fleet.replicas.map(({ proxy }) => proxy.connections);
      await fleet.redis.ask(async (client) => {
        for (const type of ['normal', 'pubsub']) await client.call('CLIENT', 'KILL', 'TYPE', type);
      });
      return {
        end: nothing,
        seen: () => fleet.replicas.every(({ proxy }, i) => proxy.connections > (before[i] ?? 0)),
      };
    },
  },
  clockSet('clock set forward', FORWARD_S, (fleet, victim) => fencing(fleet, victim)),
  clockSet('clock set back', [-120], behind),
  clockSet('clock that jumps to and fro', [0, 2, -3, 0.2, 30], (fleet, victim) => fencing(fleet, victim)),
  redisClockSet('clock of Redis set forward', [3_600]),
  redisClockSet('clock of Redis set back', [-3_600]),
  redisClockSet('clock of Redis that jumps to and fro', [7_200, -7_200, 600, -120]),
  redisClockSet('Redis comes back with a clock that is an hour behind', [-3_600], true),
  {
    row: 'F13',
    name: 'suspended',
    on: SET_CLOCK,
    needs: 'clock',
    begin: async (fleet, victim) => {
      const before = await readClocks(victim);
      const fromMs = fleet.nowMs;
      victim.signal('SIGSTOP');
      let [wokeMs, sleptMs, waiting] = [Infinity, 0, 0];
      return {
        end: async () => {
          sleptMs = fleet.nowMs - fromMs;
          await clocksOf(fleet).replica.freeze(sleptMs);
          [wokeMs, waiting] = [fleet.nowMs, victim.open];
          fleet.say(
            `${victim.name} wakes after ${sleptMs.toFixed(0)} ms that it did not count, ${waiting} requests wait`,
          );
          victim.signal('SIGCONT');
        },
        seen: async () => {
          const after = await readClocks(victim);
          if (before === undefined || after === undefined) return false;
          const uncountedMs = after[1] - before[1] - (after[0] - before[0]);
          return uncountedMs > 0.9 * sleptMs && waiting > 0 && fleet.count('fenced', wokeMs, victim) > 0;
        },
      };
    },
  },
  {
    row: 'F14',
    name: 'a full disk',
    on: SMALL_DISK,
    needs: 'disks',
    begin: async (fleet, victim) => {
      const seen = fencing(fleet, victim);
      const end = await fill(victim.running.dataDir);
      // More than what is left of the last page.
      const [by] = fleet.running.filter((one) => one !== victim);
      if (by !== undefined) await fleet.revokeOthers(by, 200);
      return { end, seen };
    },
  },
  {
    row: 'F14',
    name: 'the disk of Redis is full',
    needs: 'disks',
    isOfStore: true,
    begin: async (fleet) => {
      const runs = (): Promise<string | undefined> =>
        fleet.redis.ask(async (client) => /run_id:(\w+)/.exec(await client.info('server'))?.[1]);
      const before = await runs();
      const empty = await fill(await dirOf(fleet));
      const seen = await reopening(fleet);
      return {
        end: async () => {
          await empty();
          // It ends when it cannot write what it has to.
          await fleet.redis.stop('SIGKILL');
          await fleet.redis.begin();
        },
        seen: async () => (await runs()) !== before && (await seen()),
      };
    },
  },
  {
    row: 'F14',
    name: 'fsync fails',
    needs: 'tracer',
    begin: async (fleet, victim) => {
      const seen = fencing(fleet, victim);
      const tracer = await failFsync(victim.running.pid);
      return {
        end: async () => {
          const over = once(tracer, 'exit');
          tracer.kill('SIGTERM');
          await over;
        },
        seen,
      };
    },
  },
  {
    row: 'F14',
    name: 'a torn record',
    begin: async (fleet, victim) => {
      const { dataDir } = victim.running;
      await fleet.kill(victim);
      const journal = join(dataDir, 'ledger', 'journal.jsonl');
      await appendFile(journal, TORN);
      return {
        end: () => fleet.start(victim),
        seen: async () => !(await readFile(journal, 'utf8')).includes(TORN),
      };
    },
  },
  {
    row: 'F15',
    name: 'the feed is trimmed while somebody is away',
    begin: async (fleet, victim) => {
      victim.proxy.hold('up', 'down');
      const [by] = fleet.running.filter((one) => one !== victim);
      const [sinceMs, before] = [fleet.nowMs, await firstHeld(fleet)];
      // What everybody else holds leaves the store.
      while (by !== undefined && (await firstHeld(fleet)) === before && fleet.nowMs < sinceMs + GROWING_MS)
        await Promise.all(Array.from({ length: 8 }, () => fleet.revokeOthers(by, 1)));
      fleet.say(`the store begins at ${await firstHeld(fleet)}`);
      return {
        end: atOnce(() => victim.proxy.mend()),
        seen: () => victim.running.log.some((line) => line.includes('a snapshot was loaded')),
      };
    },
  },
  meddled('lost request', 4),
  meddled('lost reply', 4, 'writ1_renew'),
  meddled('lost reply', 2, 'writ1_append'),
  meddled('sent twice', 30, 'writ1_renew'),
  meddled('sent twice', 4, 'writ1_append'),
  meddled('answered twice', 4, 'writ1_renew'),
  meddled('answered twice', 4, 'writ1_roster'),
  meddled('garbled reply', 4),
  {
    row: 'F17',
    name: 'two of one data directory',
    begin: async (fleet, victim) => {
      const copy = join(dirname(victim.running.dataDir), `${victim.name}-copy`);
      await cp(victim.running.dataDir, copy, { recursive: true });
      fleet.apart.add(victim.name);
      let twin: WritProcess | undefined;
      let isRefused = false;
      try {
        twin = await fleet.fleet.replica(victim.name, [], { dataDir: copy });
      } catch {
        isRefused = true;
      }
      return {
        end: async () => {
          await twin?.kill('SIGKILL');
          await rm(copy, { recursive: true, force: true });
        },
        seen: () => isRefused || twin !== undefined,
      };
    },
  },
  {
    row: 'F18',
    name: 'two come and go',
    begin: async (fleet) => {
      const [by] = fleet.running;
      if (by !== undefined) void fleet.revoke(by, fleet.mint(), false);
      const added = await Promise.all(['r4', 'r5'].map((name) => fleet.add(name)));
      const had = await Promise.all(added.map((one) => untilPermits(fleet, one)));
      return {
        end: async () => {
          for (const one of added) await fleet.remove(one, 'SIGTERM');
        },
        seen: () => had.every(Boolean),
      };
    },
  },
  {
    row: 'F20',
    name: 'an older build',
    begin: async (fleet, victim) => {
      const main = await olderBuild(fleet.fleet.dir);
      await fleet.kill(victim);
      await fleet.start(victim, { main });
      const { log } = victim.running;
      const isWell = await untilPermits(fleet, victim);
      // Ordered from the older one, which waits for the acknowledgements of the newer ones; the round orders from these.
      const credential = fleet.mint();
      await Promise.race([fleet.revoke(victim, credential, false), sleep(10_000)]);
      const order = fleet.revoked.find((one) => one.credential === credential);
      return {
        end: async () => {
          await fleet.kill(victim);
          await fleet.start(victim);
        },
        seen: () =>
          isWell &&
          order?.enforcedMs !== undefined &&
          order.by === victim.name &&
          log.some((line) => line.includes('the functions in the store were those of another build')),
      };
    },
  },
  hostile('a hostile client writes over everything', (key, chance) =>
    (HOSTILE[Math.floor(chance * HOSTILE.length)] ?? HOSTILE[0])(key),
  ),
  hostile('a hostile client deletes', (key) => ['del', key]),
  hostile('a hostile client lets everything expire', (key) => ['pexpire', key, '1']),
];

/** Until the tracer is killed, no fsync of that process works. */
async function failFsync(pid: number): Promise<ChildProcess> {
  const inject = 'inject=fsync,fdatasync:error=EIO';
  const tracer = spawn(
    peerPath('strace'),
    ['-f', '-p', String(pid), '-e', 'trace=fsync,fdatasync', '-e', inject],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  );
  tracer.stderr.resume();
  await Promise.race([once(tracer.stderr, 'data'), sleep(2_000)]);
  return tracer;
}
