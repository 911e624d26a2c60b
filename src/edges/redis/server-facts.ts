/** What the server is configured to, read for each of its lifetimes. A setting under which promises would be lies is refused. */
import type { StoreFacts } from '../../feed/feed-store.ts';
import { WritError } from '../../kernel/error.ts';
import type { Connection, Reply } from './connection.ts';
import { CommandFailure } from './failure.ts';

export interface ServerFacts
  extends Pick<StoreFacts, 'durability'>, Required<Pick<StoreFacts, 'splitMs' | 'weakened'>> {
  /** Of the process, with the history it has: its runs begin with this (functions.lua). */
  readonly lifetime: string;
}

const MAJOR_MIN = 7;

/** Its replicas are counted once a second, by a lag in whole seconds: a master may take that much longer to stop. */
export const COUNTING_S = 2;

const UNDECLARED =
  'the Redis has replicas, and store.failover is not set: if one of them takes over behind its address, `enforced` may be said early';

const UNSYNCED = 'the Redis does not fsync what is appended before it answers';

const UNREAD =
  'this user may not ask for settings (CONFIG GET), so whether the Redis fsyncs what is appended is not known';

/**
 * CONFIG_INVALID, naming the setting and the right value; CommandFailure when it cannot be asked. `failover`: another
 * server may take its place.
 */
export async function readServer(connection: Connection, failover: boolean): Promise<ServerFacts> {
  const info = String(await connection.call(['INFO', 'server', 'replication', 'memory']));
  const line = (name: string): string => new RegExp(`^${name}:(\\S*)`, 'm').exec(info)?.[1] ?? '';
  if (!(parseInt(line('redis_version'), 10) >= MAJOR_MIN))
    throw unsuitable(`Redis ${MAJOR_MIN}.0 or later is needed: functions`);
  const role = line('role');
  if (role !== 'master')
    throw unsuitable(
      role === 'slave'
        ? `this Redis is a replica of ${line('master_host')}:${line('master_port')}: name that one`
        : `this Redis is a ${role || 'server without a role'}: name a master`,
    );
  // Of this INFO says as much, and it may be asked where settings may not.
  const policy = line('maxmemory_policy');
  if (policy !== 'noeviction')
    throw unsuitable(
      `maxmemory-policy is ${policy || 'unknown'}: it must be noeviction, or revocations are evicted`,
    );
  const setting = (name: string): Promise<string | undefined> => readSetting(connection, name);
  const [appendonly, appendfsync] = [await setting('appendonly'), await setting('appendfsync')];
  const unsynced = [
    ...(appendonly === undefined || appendonly === 'yes'
      ? []
      : [`appendonly is ${appendonly} and must be yes`]),
    ...(appendfsync === undefined || appendfsync === 'always'
      ? []
      : [`appendfsync is ${appendfsync} and must be always`]),
  ];
  const replicas = Number(line('connected_slaves'));
  return {
    lifetime: `${line('run_id')}.${line('master_replid')}`,
    durability: appendonly === 'yes' && appendfsync === 'always' ? 'durable' : 'accepted',
    splitMs: failover ? await readSplitMs(setting, replicas) : 0,
    weakened: [
      ...(!failover && replicas > 0 ? [UNDECLARED] : []),
      ...(unsynced.length === 0 ? [] : [`${UNSYNCED}: ${unsynced.join(', ')}`]),
      ...(appendonly === undefined || appendfsync === undefined ? [UNREAD] : []),
    ],
  };
}

/** The lifetime of the server that said this run. */
export function lifetimeOf(runId: string): string {
  return runId.split('.').slice(0, 2).join('.');
}

/** How long a master that has been replaced, and does not know, may go on granting leases. */
async function readSplitMs(
  setting: (name: string) => Promise<string | undefined>,
  replicas: number,
): Promise<number> {
  // Together with these it is more than half of all servers, so two masters that both write are one too many.
  const needed = Math.max(1, Math.ceil(replicas / 2));
  const said = await setting('min-replicas-to-write');
  if (said === undefined)
    throw unsuitable(
      'where another server may take over, min-replicas-to-write and min-replicas-max-lag must be read, and this user may not ask for settings (CONFIG GET)',
    );
  const toWrite = Number(said);
  if (!(toWrite >= needed))
    throw unsuitable(
      `min-replicas-to-write is ${toWrite}: where another server may take over it must be at least ${needed} (replicas: ${replicas}), or one that was replaced goes on`,
    );
  const maxLagS = Number(await setting('min-replicas-max-lag'));
  if (!(maxLagS >= 1))
    throw unsuitable(
      `min-replicas-max-lag is ${maxLagS}: it must be at least 1 (seconds), or min-replicas-to-write is off`,
    );
  return (maxLagS + COUNTING_S) * 1000;
}

/** Undefined where this user may not ask, as with many who sell a Redis. */
async function readSetting(connection: Connection, name: string): Promise<string | undefined> {
  try {
    return valueOf(await connection.call(['CONFIG', 'GET', name]));
  } catch (error) {
    if (error instanceof CommandFailure && /^(NOPERM|ERR unknown (sub)?command)/.test(error.message))
      return undefined;
    throw error;
  }
}

function unsuitable(detail: string): WritError {
  return new WritError('CONFIG_INVALID', detail, { field: 'store.url' });
}

function valueOf(reply: Reply): string | undefined {
  const value = Array.isArray(reply) ? (reply as readonly Reply[])[1] : undefined;
  return typeof value === 'string' ? value : undefined;
}
