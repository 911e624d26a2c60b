import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { OpenClock } from '../../../src/edges/system/clock.ts';
import { FlooredClock, openClock, SYSTEM_SOURCES } from '../../../src/edges/system/clock.ts';
import type { Timer } from '../../../src/kernel/clock.ts';
import { ageMs } from '../../../src/kernel/clock.ts';

/** Clocks that stand still until they are moved. */
class HandSources {
  mono = 0;
  wall = 1_000_000_000_000;
  monoMs = () => this.mono;
  wallMs = () => this.wall;
}

/** A timer whose one sleeper is woken by hand. */
class HandTimer implements Timer {
  asked: number[] = [];
  #wake: () => void = () => undefined;

  sleep(ms: number, signal: AbortSignal): Promise<void> {
    this.asked.push(ms);
    return new Promise((resolve) => {
      this.#wake = resolve;
      signal.addEventListener('abort', () => {
        resolve();
      });
    });
  }

  async yield(): Promise<void> {
    await new Promise(setImmediate);
  }

  async breathe(): Promise<void> {}

  /** Ends the sleep and waits until the sleeper sleeps again. */
  async wake(): Promise<void> {
    const times = this.asked.length;
    this.#wake();
    while (this.asked.length === times) await new Promise(setImmediate);
  }
}

describe('FlooredClock', () => {
  it('never goes back and never falls behind the machine, however that is set', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -10_000_000, max: 10_000_000 })), fc.nat(), (steps, floor) => {
        const sources = new HandSources();
        const clock = new FlooredClock(sources, sources.wall - 5_000 + (floor % 10_000));
        let last = clock.now().wallMs;
        for (const step of steps) {
          sources.wall += step;
          const { wallMs } = clock.now();
          expect(wallMs).toBeGreaterThanOrEqual(last);
          expect(wallMs).toBeGreaterThanOrEqual(sources.wall);
          expect(clock.skewBackMs).toBe(wallMs - sources.wall);
          last = wallMs;
        }
      }),
    );
  });

  it('stands still while the machine is behind, says by how much, and goes on where it caught up', () => {
    const sources = new HandSources();
    const clock = new FlooredClock(sources);
    const before = clock.now();
    sources.wall -= 120_000;
    sources.mono += 1_000;
    expect(clock.now().wallMs).toBe(before.wallMs);
    expect(clock.skewBackMs).toBe(120_000);
    // Durations do not stand still: they take the other clock then.
    expect(ageMs(before, clock.now())).toBe(1_000);
    sources.wall += 120_001;
    expect(clock.now().wallMs).toBe(before.wallMs + 1);
    expect(clock.skewBackMs).toBe(0);
  });

  it.each([
    ['and is still behind', 2_000],
    ['and has caught up', 6_000],
  ])('counts a suspend, and what came before and after it, while the machine was behind %s', (_, sleptMs) => {
    const sources = new HandSources();
    const clock = new FlooredClock(sources);
    clock.now();
    const passes = (ms: number): void => {
      sources.mono += ms;
      sources.wall += ms;
    };
    sources.wall -= 5_000;
    passes(100);
    const from = clock.now();
    passes(300);
    clock.now();
    // The machine sleeps: its monotonic clock does not count that, and its wall clock is under the floor.
    sources.wall += sleptMs;
    clock.now();
    passes(400);
    expect(ageMs(from, clock.now())).toBe(700 + sleptMs);
  });

  it('counts no more than has passed where its clocks are read a little apart', () => {
    const sources = new HandSources();
    const clock = new FlooredClock(sources);
    const from = clock.now();
    for (let i = 0; i < 1_000; i++) {
      sources.mono += 0.5;
      sources.wall += i % 2;
      clock.now();
    }
    expect(ageMs(from, clock.now())).toBe(500);
  });

  it('keeps what it saw at a forward jump: what had expired then stays expired', () => {
    const sources = new HandSources();
    const clock = new FlooredClock(sources);
    sources.wall += 3_600_000;
    const atJump = clock.now().wallMs;
    sources.wall -= 3_600_000;
    expect(clock.now().wallMs).toBe(atJump);
  });

  it('reads the machine by default, in milliseconds', () => {
    const clock = new FlooredClock(SYSTEM_SOURCES);
    const first = clock.now();
    expect(Math.abs(first.wallMs - Date.now())).toBeLessThan(1_000);
    expect(clock.now().monoMs).toBeGreaterThanOrEqual(first.monoMs);
  });
});

describe('openClock', () => {
  let dataDir: string;
  let open: OpenClock[];
  let problems: string[];

  beforeEach(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'writ-clock-'));
    open = [];
    problems = [];
  });

  afterEach(async () => {
    for (const { close } of open) await close();
    await rm(dataDir, { recursive: true });
  });

  const floorFile = () => join(dataDir, 'clock-floor');
  const floorOnDisk = async () => Number(await readFile(floorFile(), 'utf8'));

  async function start(sources: HandSources, timer: Timer = new HandTimer()): Promise<OpenClock> {
    const opened = await openClock({
      dataDir,
      sources,
      timer,
      onProblem: (sentence) => problems.push(sentence),
    });
    open.push(opened);
    return opened;
  }

  it('does not go back over a restart', async () => {
    const sources = new HandSources();
    const first = await start(sources);
    const { wallMs } = first.clock.now();
    await first.close();
    sources.wall -= 86_400_000;
    const second = await start(sources);
    expect(second.clock.now().wallMs).toBe(wallMs);
    expect(second.clock.skewBackMs).toBe(86_400_000);
    expect(problems).toEqual([]);
  });

  it('writes the floor once a minute and at close, and at no other time', async () => {
    const sources = new HandSources();
    const timer = new HandTimer();
    const { clock, close } = await start(sources, timer);
    expect(timer.asked).toEqual([60_000]);
    sources.wall += 60_000;
    clock.now();
    expect(await readdir(dataDir)).toEqual([]);
    await timer.wake();
    expect(await floorOnDisk()).toBe(sources.wall);
    sources.wall += 10.5;
    clock.now();
    expect(await floorOnDisk()).toBe(sources.wall - 10.5);
    await close();
    expect(await floorOnDisk()).toBe(sources.wall - 0.5);
    expect(timer.asked).toEqual([60_000, 60_000]);
  });

  it('writes what the machine says even when nobody asked for the time since', async () => {
    const sources = new HandSources();
    const { close } = await start(sources);
    sources.wall += 5;
    await close();
    expect(await floorOnDisk()).toBe(sources.wall);
  });

  it('never writes a floor that is lower than the one it found', async () => {
    const sources = new HandSources();
    await (await start(sources)).close();
    const floor = await floorOnDisk();
    sources.wall -= 1_000_000;
    await (await start(sources)).close();
    expect(await floorOnDisk()).toBe(floor);
  });

  it('closes once, however often it is asked', async () => {
    const { close } = await start(new HandSources());
    await Promise.all([close(), close()]);
    await close();
    expect(await readdir(dataDir)).toEqual(['clock-floor']);
  });

  it.each(['', 'soon\n', '12\n34\n', '-5\n', '1e3\n', '9999999999999999\n', '123', '\0\0\0'])(
    'reports a floor that is damaged, %j, goes on without, and writes a good one',
    async (text) => {
      await writeFile(floorFile(), text);
      const sources = new HandSources();
      const { clock, close } = await start(sources);
      expect(problems).toEqual(['the floor of the clock is damaged']);
      expect(clock.now().wallMs).toBe(sources.wall);
      await close();
      expect(await floorOnDisk()).toBe(sources.wall);
    },
  );

  it('reports a floor that can be neither read nor written, each time, and goes on', async () => {
    await mkdir(join(floorFile(), 'in-the-way'), { recursive: true });
    const timer = new HandTimer();
    const { clock, close } = await start(new HandSources(), timer);
    expect(problems).toEqual(['the floor of the clock cannot be read (EISDIR)']);
    await timer.wake();
    await close();
    expect(problems.slice(1)).toEqual(Array(2).fill('the floor of the clock cannot be written (EISDIR)'));
    expect(clock.skewBackMs).toBe(0);
  });

  it('makes the data directory, and uses real clocks and a real timer unless it is given others', async () => {
    const inner = join(dataDir, 'inner');
    const { clock, close } = await openClock({
      dataDir: inner,
      onProblem: (sentence) => problems.push(sentence),
    });
    await close();
    expect(
      Math.abs(Number(await readFile(join(inner, 'clock-floor'), 'utf8')) - clock.now().wallMs),
    ).toBeLessThan(5_000);
    await chmod(inner, 0o700);
    expect(problems).toEqual([]);
  });
});
