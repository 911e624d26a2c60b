/** A machine that is started from the image of another one, which goes on (D-152). */
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { call } from '../support/client.ts';
import { RedisFleet } from '../support/redis-fleet.ts';
import { evaluate, jtiOrder, reasonOf, revoke, untilPermitted } from '../support/scene.ts';

let fleet: RedisFleet;
afterEach(() => fleet.remove());

it('a machine started from the image of another one has its leases, and the other one, which says why, decides nothing', async () => {
  fleet = await RedisFleet.start({ lease: '1s' });
  const a = await fleet.replica('a');
  const b = await fleet.replica('b');
  expect(await untilPermitted(b, fleet.mint().token)).toBe('permitted');
  await cp(join(fleet.dir, 'b'), join(fleet.dir, 'd'), { recursive: true });
  const d = await fleet.replica('d');
  const token = fleet.mint();
  expect(await untilPermitted(d, token.token)).toBe('permitted');
  expect(await untilPermitted(a, token.token)).toBe('permitted');
  expect(reasonOf(await evaluate(b, token.token))).toBe('fenced');
  const ready = await call(`${b.urls.diagnostics}/readyz`);
  expect(ready.status).toBe(503);
  expect(ready.text).toContain('give each a directory of its own');
  const order = jtiOrder(token, { wait: 'enforced', waitMs: 20_000 });
  expect(await revoke(b, order)).toMatchObject({ status: 503, body: { code: 'FENCED' } });
  expect(await revoke(a, order)).toMatchObject({ body: { state: 'enforced' } });
  expect(reasonOf(await evaluate(d, token.token))).toBe('revoked');
}, 90_000);
