/** A thread that appends bulks: what it takes to make and send one is not in the way of whoever measures beside it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import type { FleetToken } from './redis-fleet.ts';
import type { Running } from './scene.ts';
import { revoke } from './scene.ts';

export interface BulkPlan {
  readonly by: Running;
  /** One for each bulk, which revokes it. */
  readonly tokens: readonly Pick<FleetToken, 'jti' | 'issuer'>[];
  /** Targets of a bulk. */
  readonly size: number;
  readonly atOnce: number;
  /** Bulks a second, at most. */
  readonly perSecond: number;
}

const { by, tokens, size, atOnce, perSecond } = workerData as BulkPlan;
const startedMs = performance.now();
let next = 0;

async function stream(): Promise<void> {
  while (next < tokens.length) {
    const bulk = next++;
    const earlyMs = startedMs + (bulk * 1_000) / perSecond - performance.now();
    if (earlyMs > 0) await sleep(earlyMs);
    const { jti, issuer } = tokens[bulk]!;
    const others = Array.from({ length: size - 1 }, (_, i) => `${bulk}-${i}`);
    const selectors = [jti, ...others].map((value) => ({ kind: 'jti', issuer, value }));
    const { status, text } = await revoke(by, { selectors, wait: 'durable' });
    if (![201, 202].includes(status)) throw new Error(`a bulk was answered ${status}: ${text}`);
  }
}

await Promise.all(Array.from({ length: atOnce }, stream));
parentPort?.postMessage('over');
