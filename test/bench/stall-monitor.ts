/**
 * Loaded into a server with `--import`: a ticker of one millisecond in the thread that answers. What a tick comes
 * late is what a request would have waited. On SIGUSR2 it prints what it saw since the last time, and begins anew.
 * Where the process has `--expose-gc` it collects first, so that memory is what is really held.
 */
import { isMainThread } from 'node:worker_threads';
import type { Stalls } from './stalls.ts';

const TICK_MS = 1;
const BUCKETS_PER_MS = 100;

if (isMainThread) {
  let buckets = new Uint32Array(BUCKETS_PER_MS * 1_000);
  let worstMs = 0;
  let worstCpuMs = 0;
  let ticks = 0;
  let lastMs = performance.now();
  let lastCpuUs = cpuUs();

  const tick = (): void => {
    const nowMs = performance.now();
    const nowCpuUs = cpuUs();
    const lateMs = Math.max(0, nowMs - lastMs - TICK_MS);
    worstMs = Math.max(worstMs, lateMs);
    worstCpuMs = Math.max(worstCpuMs, (nowCpuUs - lastCpuUs) / 1000);
    const bucket = Math.min(buckets.length - 1, Math.floor(lateMs * BUCKETS_PER_MS));
    buckets[bucket] = (buckets[bucket] ?? 0) + 1;
    ticks += 1;
    lastMs = nowMs;
    lastCpuUs = nowCpuUs;
  };

  const beginAnew = (): void => {
    buckets = new Uint32Array(buckets.length);
    worstMs = worstCpuMs = ticks = 0;
    lastMs = performance.now();
    lastCpuUs = cpuUs();
  };

  const quantileMs = (q: number): number => {
    let seen = 0;
    const bucket = buckets.findIndex((count) => (seen += count) >= q * ticks);
    return bucket / BUCKETS_PER_MS;
  };

  const tell = (): void => {
    const stalls = { worstMs, worstCpuMs, p999Ms: quantileMs(0.999), ticks };
    // Twice: V8 frees the buffers of one collection beside the program, and waits for that only in the next.
    globalThis.gc?.();
    globalThis.gc?.();
    const { rss, heapUsed, external, arrayBuffers } = process.memoryUsage();
    const said: Stalls = { message: 'stalls', ...stalls, rss, heapUsed, external, arrayBuffers };
    console.log(JSON.stringify(said));
    beginAnew();
  };

  setInterval(tick, TICK_MS).unref();
  process.on('SIGUSR2', tell);
}

function cpuUs(): number {
  const { user, system } = process.threadCpuUsage();
  return user + system;
}
