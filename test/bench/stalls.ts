/** Starts a Writ whose loop is watched from inside (stall-monitor.ts), and asks what was seen. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { WritProcess } from '../support/writ-process.ts';

/** Since the last time it was asked. */
export interface Stalls {
  readonly message: 'stalls';
  /** How late the latest tick was, by the wall: other processes on this machine count too. */
  readonly worstMs: number;
  readonly p999Ms: number;
  /** The most CPU time that the thread spent between two ticks: its own work only. */
  readonly worstCpuMs: number;
  readonly ticks: number;
  /** Bytes, after a collection where the process exposes it. */
  readonly rss: number;
  readonly heapUsed: number;
  readonly external: number;
  readonly arrayBuffers: number;
}

export const WATCHED = ['--import', new URL('stall-monitor.ts', import.meta.url).href];

const MARK = '{"message":"stalls"';
const POLL_MS = 5;
const DEADLINE_MS = 30_000;

export async function askStalls({ pid, log }: Pick<WritProcess, 'pid' | 'log'>): Promise<Stalls> {
  const from = log.length;
  const untilMs = performance.now() + DEADLINE_MS;
  process.kill(pid, 'SIGUSR2');
  while (performance.now() < untilMs) {
    const line = log.slice(from).find((one) => one.startsWith(MARK));
    if (line !== undefined) return JSON.parse(line) as Stalls;
    await sleep(POLL_MS);
  }
  throw new Error('the stall monitor did not answer');
}
