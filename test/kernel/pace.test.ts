import { describe, expect, it } from 'vitest';
import type { Instant } from '../../src/kernel/clock.ts';
import type { Steps } from '../../src/kernel/pace.ts';
import { Pace, runAtOnce } from '../../src/kernel/pace.ts';
import { FakeClock } from '../support/fake-time.ts';

/** A clock whose turns are counted, and work of which each piece takes `pieceMs`. */
class CountingClock extends FakeClock {
  turns = 0;
  readonly #waitMs: number;

  /** Whoever yields waits for `waitMs`. */
  constructor(waitMs = 0) {
    super();
    this.#waitMs = waitMs;
  }

  override async yield(): Promise<void> {
    this.turns += 1;
    await super.yield();
    this.advance(this.#waitMs);
  }
}

function* work(clock: FakeClock, pieces: number, pieceMs: number): Steps<Instant[]> {
  const told: Instant[] = [];
  for (let i = 0; i < pieces; i++) {
    told.push(yield);
    clock.advance(pieceMs);
  }
  return told;
}

describe('long work', () => {
  it('lets the loop turn each time a slice is used up, and not before', async () => {
    const clock = new CountingClock();
    await new Pace({ clock, timer: clock }).run(work(clock, 10, 0.2));
    // Ten pieces: a slice of a quarter of a millisecond is over after two, and nothing waits behind the last.
    expect(clock.turns).toBe(4);
    await new Pace({ clock, timer: clock }).run(work(clock, 10, 0.01));
    expect(clock.turns).toBe(4);
  });

  it('goes on for as long as it was kept waiting where it is urgent, within a quarter and two milliseconds', async () => {
    const slices = async (waitMs: number, sliceMs?: number): Promise<number> => {
      const clock = new CountingClock(waitMs);
      const slice = sliceMs === undefined ? {} : { sliceMs };
      await new Pace({ clock, timer: clock, haste: 'urgent', ...slice }).run(work(clock, 200, 0.05));
      return clock.turns;
    };
    // Ten milliseconds of work: the first of them at once, what is left in pieces.
    expect(await slices(0)).toBe(36);
    expect(await slices(0.9)).toBe(10);
    expect(await slices(20)).toBe(5);
    expect(await slices(20, 0)).toBe(201);
  });

  it('is told the time as it goes on, and returns what it found', async () => {
    const clock = new FakeClock();
    const { monoMs } = clock.now();
    const told = await new Pace({ clock, timer: clock }).run(work(clock, 3, 2));
    expect(told.map((at) => at.monoMs - monoMs)).toEqual([0, 2, 4]);
  });

  it('is stopped by what it throws', async () => {
    const clock = new FakeClock();
    const broken = function* (): Steps<void> {
      throw new Error('broken');
    };
    await expect(new Pace({ clock, timer: clock }).run(broken())).rejects.toThrow('broken');
  });

  it('can be done in one go where nobody waits', () => {
    const clock = new CountingClock();
    expect(runAtOnce(work(clock, 5, 2), clock.now())).toHaveLength(5);
    expect(clock.turns).toBe(0);
  });
});
