/**
 * Revoked targets by the thousand stream into a fleet while it is asked: every answer is right and none is `fenced`, and a
 * replica that comes to it cold denies them all. `npm run bench -- fleet --only F1` does it with a million and prints the times.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { askAll, killedToken, startCold, streamBulks } from '../support/fleet-stream.ts';
import { RedisFleet } from '../support/redis-fleet.ts';
import { evaluate, reasonOf } from '../support/scene.ts';

const SCENE_MS = 180_000;
const TARGETS = 120_000;
const SET = ['snapshotEvery=100'];

let fleet: RedisFleet;
afterEach(() => fleet.remove());

describe('a hundred thousand targets that stream into a fleet', () => {
  it(
    'leave every check right meanwhile, and a cold replica denies them all',
    async () => {
      // A machine that is busy must not fence anybody: what is asked here is not how fast it is.
      fleet = await RedisFleet.start({ lease: '10s' });
      const [first, second] = [await startCold(fleet, 'r1', SET), await startCold(fleet, 'r2', SET)];
      const tokens = { dead: await killedToken(fleet, first.replica), alive: fleet.mint() };
      let isOver = false;
      const asking = askAll([first.replica, second.replica], tokens, () => isOver);
      const streamed = await streamBulks(fleet, first.replica, { targets: TARGETS });
      isOver = true;
      const { tookMs, wrong } = await asking;
      expect(tookMs.length).toBeGreaterThan(100);
      expect(wrong).toEqual([]);
      const { replica } = await startCold(fleet, 'r3', SET);
      expect(replica.log.some((line) => line.includes('a snapshot was loaded'))).toBe(true);
      for (const { token } of [...streamed, tokens.dead])
        expect(reasonOf(await evaluate(replica, token))).toBe('revoked');
    },
    SCENE_MS,
  );
});
