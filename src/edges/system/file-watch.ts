/**
 * Says when a file is another one than before, however it became so: written in place, replaced by rename, or behind a
 * symbolic link that was swapped (as Kubernetes does it). Notices at once where the system says so, and by looking
 * again every few seconds where it does not. Never says so while the file is still being written, as far as it can tell,
 * nor of one that is gone for a moment only.
 */
import { watch } from 'node:fs';
import type { FSWatcher } from 'node:fs';
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Timer } from '../../kernel/clock.ts';

export interface FileWatchOptions {
  readonly file: string;
  readonly onChange: () => void;
  readonly timer: Timer;
  /** Between two looks that nobody asked for. */
  readonly lookMs?: number;
  /** For so long a file must have stayed as it is before it counts as written. */
  readonly quietMs?: number;
}

const LOOK_MS = 5_000;
const QUIET_MS = 50;

export class FileWatch {
  readonly #options: FileWatchOptions;
  readonly #closing = new AbortController();
  #watcher: FSWatcher | undefined;
  #wake: () => void = () => undefined;
  #seen: string;
  readonly #running: Promise<void>;

  private constructor(options: FileWatchOptions, seen: string) {
    this.#options = options;
    this.#seen = seen;
    this.#watch();
    this.#running = this.#run();
  }

  /** Changes from now on are told. Order: what the file is, then the watch, then a look at once, so that none is missed. */
  static async open(options: FileWatchOptions): Promise<FileWatch> {
    return new FileWatch(options, await stampOf(options.file));
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#watcher?.close();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { file, timer, onChange, lookMs = LOOK_MS, quietMs = QUIET_MS } = this.#options;
    const { signal } = this.#closing;
    while (!signal.aborted) {
      // Armed before the look, so that what happens after the look ends the wait for the next one.
      const round = new AbortController();
      this.#wake = () => round.abort();
      let stamp = await stampOf(file);
      if (stamp === this.#seen) {
        await timer.sleep(lookMs, AbortSignal.any([signal, round.signal]));
        continue;
      }
      for (let last = ''; stamp !== last && !signal.aborted;) {
        last = stamp;
        await timer.sleep(quietMs, signal);
        stamp = await stampOf(file);
      }
      if (stamp === GONE && !(await this.#staysGone())) continue;
      this.#seen = stamp;
      // The directory itself may have been replaced, and with it what the system watches.
      this.#watch();
      if (!signal.aborted) onChange();
    }
  }

  /** Who replaces a file may remove the old one first. */
  async #staysGone(): Promise<boolean> {
    const { file, timer, lookMs = LOOK_MS, quietMs = QUIET_MS } = this.#options;
    const { signal } = this.#closing;
    for (let waitedMs = 0; waitedMs < lookMs && !signal.aborted; waitedMs += quietMs) {
      await timer.sleep(quietMs, signal);
      if ((await stampOf(file)) !== GONE) return false;
    }
    return true;
  }

  /** The directory, because what is watched of a file is the one that a rename replaces. */
  #watch(): void {
    this.#watcher?.close();
    try {
      this.#watcher = watch(dirname(this.#options.file), () => this.#wake());
      // From then on the looks go on alone.
      this.#watcher.on('error', () => this.#watcher?.close());
    } catch {
      this.#watcher = undefined;
    }
  }
}

const GONE = 'gone';

/** What tells one state of a file from another; links are followed. */
async function stampOf(file: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(file, { bigint: true });
    return [dev, ino, size, mtimeNs, ctimeNs].join(' ');
  } catch {
    return GONE;
  }
}
