/**
 * Found by the soak: single revocations with `wait: durable`, faster than they can be proven, piled up enforcements
 * (1,200 of 4,000), one renewal proved hundreds of them in one turn (a stall of 790 ms), and the replica fenced itself.
 */
import { expect, it } from 'vitest';
import { InProcessWrit } from '../support/in-process.ts';

const LANES = 32;
const ORDERS = 960;
/** RUNNING_MAX of flows/revoke.ts, and one more for each caller who was let through just before. */
const OPEN_MAX = 128 + LANES;

it('of single revocations slows down whoever orders, and piles up no enforcements', async () => {
  const writ = await InProcessWrit.open();
  try {
    const open: number[] = [];
    let next = 0;
    const lane = async (): Promise<void> => {
      while (next < ORDERS) {
        const value = `flood-${next++}`;
        const selector = { kind: 'jti', issuer: 'https://idp.example', value };
        const { status } = await writ.control('/v1/revocations', { body: { selector, wait: 'durable' } });
        expect(status).toBe(201);
        if (next % 16 === 0) open.push(Number((await writ.control('/v1/status')).body['revocationsOpen']));
      }
    };
    await Promise.all(Array.from({ length: LANES }, lane));
    expect(Math.max(...open)).toBeGreaterThan(0);
    expect(Math.max(...open)).toBeLessThanOrEqual(OPEN_MAX);
    const isOver = async (): Promise<unknown> => (await writ.control('/v1/status')).body['verdict'];
    await expect.poll(isOver, { timeout: 20_000 }).toBe('well');
  } finally {
    await writ.remove();
  }
}, 60_000);
