/**
 * When each live session has to be decided again: the end of its credential, or of a grant. Judged by both clocks: a
 * wall clock that was set back makes nobody live longer, a machine that was suspended finds all of them due at once.
 * Kept by the registry.
 */
import type { Instant } from '../kernel/clock.ts';
import { ageMs } from '../kernel/clock.ts';
import { Heap } from './heap.ts';

interface Entry<T> {
  readonly item: T;
  /** Where this session's time is counted from. */
  readonly since: Instant;
  /** Wall time of its end, and the moment of the monotonic clock that this was when it was counted. */
  readonly endsMs: number;
  readonly endsMonoMs: number;
}

export class Timetable<T> {
  readonly #entries = new Map<T, Entry<T>>();
  readonly #byWall = new Heap<Entry<T>>(({ endsMs }) => endsMs);
  readonly #byMono = new Heap<Entry<T>>(({ endsMonoMs }) => endsMonoMs);

  /** Sessions that have an end. */
  get size(): number {
    return this.#byWall.size;
  }

  /** `endsMs`: wall time, Infinity for never. Time goes on counting from where it was counted first. */
  set(item: T, endsMs: number, now: Instant): void {
    const before = this.#entries.get(item);
    if (before?.endsMs === endsMs) return;
    const since = before?.since ?? now;
    this.delete(item);
    const entry = { item, since, endsMs, endsMonoMs: since.monoMs + endsMs - since.wallMs };
    this.#entries.set(item, entry);
    if (endsMs === Number.POSITIVE_INFINITY) return;
    this.#byWall.add(entry);
    this.#byMono.add(entry);
  }

  delete(item: T): void {
    const entry = this.#entries.get(item);
    if (entry === undefined) return;
    this.#entries.delete(item);
    this.#byWall.delete(entry);
    this.#byMono.delete(entry);
  }

  /** What time it is for `item`: the later one of what either clock says. */
  timeMs(item: T, now: Instant): number {
    const entry = this.#entries.get(item);
    return entry === undefined ? now.wallMs : entry.since.wallMs + ageMs(entry.since, now);
  }

  /** How long until the end of `item`; Infinity for one that has none. */
  leftMs(item: T, now: Instant): number {
    const entry = this.#entries.get(item);
    return entry === undefined ? Number.POSITIVE_INFINITY : entry.endsMs - this.timeMs(item, now);
  }

  /** One that is due at `now`. It stays until it is set anew or deleted. */
  due(now: Instant): T | undefined {
    const byWall = this.#byWall.first;
    if (byWall !== undefined && byWall.endsMs <= now.wallMs) return byWall.item;
    const byMono = this.#byMono.first;
    return byMono !== undefined && byMono.endsMonoMs <= now.monoMs ? byMono.item : undefined;
  }

  /** How long until the next one is due, 0 for now; Infinity when nobody has an end. */
  untilNextMs(now: Instant): number {
    const wallMs = (this.#byWall.first?.endsMs ?? Number.POSITIVE_INFINITY) - now.wallMs;
    const monoMs = (this.#byMono.first?.endsMonoMs ?? Number.POSITIVE_INFINITY) - now.monoMs;
    return Math.max(0, Math.min(wallMs, monoMs));
  }
}
