/** `writ serve` on a Redis under which its promises would be lies: the command says what is wrong, and what would be right. */
import { afterEach, describe, expect, it } from 'vitest';
import { RedisFleet } from '../support/redis-fleet.ts';
import { jtiOrder, revoke } from '../support/scene.ts';

const fleets: RedisFleet[] = [];
afterEach(async () => {
  for (const fleet of fleets.splice(0)) await fleet.remove();
});

async function fleetOn(...args: string[]): Promise<RedisFleet> {
  const fleet = await RedisFleet.start({ redis: { args } });
  fleets.push(fleet);
  return fleet;
}

describe('writ serve', { timeout: 60_000 }, () => {
  it('ends where Redis evicts, and where it is a replica, naming the setting and the right value', async () => {
    const evicting = await fleetOn('--maxmemory-policy', 'allkeys-lru');
    await expect(evicting.replica('r1')).rejects.toThrow(
      /ended with 1 .*CONFIG_INVALID: store\.url: maxmemory-policy is allkeys-lru: it must be noeviction/s,
    );
    const following = await fleetOn('--replicaof', '127.0.0.1 1');
    await expect(following.replica('r1')).rejects.toThrow(
      /ended with 1 .*CONFIG_INVALID: store\.url: this Redis is a replica of 127\.0\.0\.1:1: name that one/s,
    );
  });

  it.each([
    ['is not kept', ['--appendonly', 'no'], 'appendonly is no and must be yes'],
    ['is fsynced later', ['--appendfsync', 'everysec'], 'appendfsync is everysec and must be always'],
  ])(
    'goes on where what is appended %s, says `durable` of nothing, and names the settings',
    async (_, args, what) => {
      const fleet = await fleetOn(...args);
      const replica = await fleet.replica('r1', ['barrier=wait']);
      const order = jtiOrder(fleet.mint(), { wait: 'durable', waitMs: 100 });
      const { status, body } = await revoke(replica, order);
      expect({ status, body }).toMatchObject({ status: 202, body: { state: 'accepted' } });
      const said = `the Redis does not fsync what is appended before it answers: ${what}`;
      expect(replica.log.map((line) => JSON.parse(line) as object)).toContainEqual(
        expect.objectContaining({ level: 'warn', detail: said }),
      );
      const enforced = await revoke(replica, jtiOrder(fleet.mint(), { waitMs: 20_000 }));
      expect(enforced.body).toMatchObject({ state: 'enforced', closure: 'CLOSED' });
      expect(enforced.body['weakened']).toContain(said);
    },
  );
});
