/** A rolling change of `credentialLifeMax`, by replicas in processes of their own on one real Redis. */
import { afterEach, expect, it } from 'vitest';
import { call } from '../support/client.ts';
import { RedisFleet } from '../support/redis-fleet.ts';
import {
  control,
  evaluate,
  eventually,
  jtiOrder,
  reasonOf,
  revoke,
  untilPermitted,
} from '../support/scene.ts';

const DAY_S = 86_400;

let fleet: RedisFleet;
afterEach(() => fleet.remove());

it('what is revoked is kept for as long as any replica takes credentials, whoever revokes it, and one that takes them for longer says no', async () => {
  fleet = await RedisFleet.start();
  const first = await fleet.replica('r1');
  expect(await untilPermitted(first, fleet.mint().token)).toBe('permitted');
  const short = await fleet.replica('r2', ['credentialLifeMax=1m', 'clockSkew=0s']);
  // It takes no token that lives for an hour, and has its lease once it says so.
  const token = fleet.mint();
  const ask = async () => reasonOf(await evaluate(short, token.token));
  expect(await eventually(ask, (reason) => reason !== 'fenced')).toBe('invalid_credential');
  const nowS = Math.floor(Date.now() / 1000);
  const { body } = await revoke(short, jtiOrder(token));
  expect(body).toMatchObject({ state: 'enforced' });
  const { text } = await control(first, '/v1/ledger');
  const line = text.split('\n').find((one) => one.includes(token.jti)) as string;
  const { entry } = JSON.parse(line) as { entry: { targets: { untilS: number }[] } };
  expect(entry.targets[0]?.untilS).toBeGreaterThan(nowS + DAY_S + 60);

  const long = await fleet.replica('r3', ['credentialLifeMax=48h']);
  const ready = () => call(`${long.urls.diagnostics}/readyz`);
  const said = await eventually(ready, (reply) => reply.text.includes('credentialLifeMax'));
  expect(said.status).toBe(503);
  expect(said.text).toContain('credentialLifeMax is 172800s here, and the fleet keeps revocations for');
  expect(reasonOf(await evaluate(long, fleet.mint().token))).toBe('fenced');
  expect(reasonOf(await evaluate(long, token.token))).toBe('revoked');
}, 60_000);
