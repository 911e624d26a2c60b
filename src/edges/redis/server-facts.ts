/** What the server is configured to, read once at start. A setting under which promises would be lies refuses the start. */
import type { StoreFacts } from '../../feed/feed-store.ts';
import { WritError } from '../../kernel/error.ts';
import type { Connection, Reply } from './connection.ts';

const MAJOR_MIN = 7;

/** CONFIG_INVALID, naming the setting and the right value; CommandFailure when it cannot be asked. */
export async function readServer(connection: Connection): Promise<StoreFacts['durability']> {
  const info = String(await connection.call(['INFO', 'server', 'replication']));
  const version = /^redis_version:(\d+)\.(\S*)/m.exec(info);
  if (Number(version?.[1] ?? 0) < MAJOR_MIN)
    throw unsuitable(`Redis ${MAJOR_MIN}.0 or later is needed: functions`);
  const role = /^role:(\w+)/m.exec(info)?.[1];
  if (role !== 'master')
    throw unsuitable(`this Redis is a ${role ?? 'server without a role'}: name the master`);
  const setting = async (name: string): Promise<string | undefined> =>
    valueOf(await connection.call(['CONFIG', 'GET', name]));
  const policy = await setting('maxmemory-policy');
  if (policy !== 'noeviction')
    throw unsuitable(
      `maxmemory-policy is ${policy ?? 'unknown'}: it must be noeviction, or revocations are evicted`,
    );
  const [appendonly, appendfsync] = [await setting('appendonly'), await setting('appendfsync')];
  return appendonly === 'yes' && appendfsync === 'always' ? 'durable' : 'accepted';
}

function unsuitable(detail: string): WritError {
  return new WritError('CONFIG_INVALID', detail, { field: 'store.url' });
}

function valueOf(reply: Reply): string | undefined {
  const value = Array.isArray(reply) ? (reply as readonly Reply[])[1] : undefined;
  return typeof value === 'string' ? value : undefined;
}
