/**
 * The real clock. Its wall time never goes back: not within the process, and over restarts not behind a floor kept
 * on disk, so that a clock set back revives no expired credential and collects no revocation early (THREATS 2).
 * While the machine's clock is behind the floor, wall time stands still and `skewBackMs` says by how much.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock, Instant, Timer } from '../../kernel/clock.ts';
import { causeCode, makeDataDir, writeFileDurably } from './files.ts';
import { systemTimer } from './timer.ts';

export interface ClockSources {
  /** Milliseconds of a clock that never goes back. */
  monoMs(): number;
  /** Milliseconds since 1970, as the machine says. */
  wallMs(): number;
}

export const SYSTEM_SOURCES: ClockSources = {
  monoMs: () => performance.now(),
  wallMs: () => Date.now(),
};

/** More than this that only the wall clock has counted was a suspend, or a step; less is how two clocks are read. */
const UNCOUNTED_MS = 20;

/** The latest wall time seen is the floor of all later ones. Cheap: it is read for every decision. */
export class FlooredClock implements Clock {
  readonly #sources: ClockSources;
  #floorMs: number;
  /** The least by which the machine's wall time was ahead of the monotonic clock since that last moved away from it. */
  #aheadMs: number;
  #uncountedMs = 0;

  constructor(sources: ClockSources, floorMs = 0) {
    this.#sources = sources;
    this.#floorMs = floorMs;
    this.#aheadMs = sources.wallMs() - sources.monoMs();
  }

  now(): Instant {
    const monoMs = this.#sources.monoMs();
    const wallMs = this.#sources.wallMs();
    this.#floorMs = Math.max(this.#floorMs, wallMs);
    const moreMs = wallMs - monoMs - this.#aheadMs;
    if (moreMs > UNCOUNTED_MS) this.#uncountedMs += moreMs;
    if (moreMs > UNCOUNTED_MS || moreMs < 0) this.#aheadMs += moreMs;
    return { monoMs, wallMs: this.#floorMs, uncountedMs: this.#uncountedMs };
  }

  /** By how much the machine's clock is behind what was already seen; 0 when all is well. */
  get skewBackMs(): number {
    return Math.max(0, this.#floorMs - this.#sources.wallMs());
  }
}

const FLOOR_FILE = 'clock-floor';
const PERSIST_MS = 60_000;
/** The last instant that Date can hold. */
const WALL_MS_MAX = 8_640_000_000_000_000;

export interface ClockOptions {
  readonly dataDir: string;
  /** Called when the floor cannot be read or written; the clock goes on without. A constant sentence and a code. */
  readonly onProblem: (sentence: string) => void;
  readonly sources?: ClockSources;
  readonly timer?: Timer;
}

export interface OpenClock {
  readonly clock: FlooredClock;
  /** Writes the floor a last time. */
  readonly close: () => Promise<void>;
}

/** Reads the floor, then keeps it on disk: once a minute and at close, so after a crash it is a minute old at most. */
export async function openClock(options: ClockOptions): Promise<OpenClock> {
  const { dataDir, onProblem, sources = SYSTEM_SOURCES, timer = systemTimer } = options;
  await makeDataDir(dataDir);
  const path = join(dataDir, FLOOR_FILE);
  const clock = new FlooredClock(sources, await readFloor(path, onProblem));
  const closing = new AbortController();
  const keepFloor = async () => {
    do {
      await timer.sleep(PERSIST_MS, closing.signal);
      await writeFloor(path, clock.now().wallMs, onProblem);
    } while (!closing.signal.aborted);
  };
  const kept = keepFloor();
  return {
    clock,
    close: () => {
      closing.abort();
      return kept;
    },
  };
}

async function readFloor(path: string, onProblem: (sentence: string) => void): Promise<number> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (causeCode(error) !== 'ENOENT')
      onProblem(`the floor of the clock cannot be read (${causeCode(error)})`);
    return 0;
  }
  const floorMs = /^\d{1,16}\n$/.test(text) ? Number(text) : Infinity;
  if (floorMs <= WALL_MS_MAX) return floorMs;
  onProblem('the floor of the clock is damaged');
  return 0;
}

async function writeFloor(
  path: string,
  wallMs: number,
  onProblem: (sentence: string) => void,
): Promise<void> {
  try {
    await writeFileDurably(path, `${Math.floor(wallMs)}\n`);
  } catch (error) {
    onProblem(`the floor of the clock cannot be written (${causeCode((error as Error).cause)})`);
  }
}
