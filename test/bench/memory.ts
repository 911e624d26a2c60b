/**
 * G6: resident memory of the index for each revoked target. A process of its own takes in 10 M targets as the feed
 * brings them, bulk entries of 1,000 of a kind without a cutoff, and then 10 M more; one beside it prepares the same
 * entries and keeps nothing. Every sample of what was taken in must be dead, and nothing else.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import { Fingerprinter } from '../../src/credential/handle.ts';
import type { FeedLine, Target } from '../../src/feed/entry.ts';
import { runAtOnce } from '../../src/kernel/pace.ts';
import { RevocationView } from '../../src/revocation/view.ts';
import type { Row } from './table.ts';
import { digits } from './table.ts';
import { ISSUER, revokedId } from './workload.ts';

const BULK = 1_000;
const SAMPLES = 10_000;
const SETTLE_MS = 300;
/** A follower gives the loop its turn far more often. */
const TURN_ENTRIES = 10;
/** What the process beside it prepares: enough to have grown as much as preparing makes a process grow. */
const PREPARED = 1_000_000;

interface Held {
  readonly targets: number;
  readonly rss: number;
  readonly seconds: number;
  /** Of the index's own pages. */
  readonly index: number;
}

export async function measureMemory(targets: number): Promise<Row> {
  const [baseline, half, whole] = (await run(['hold', String(targets), String(2 * targets)])) as [
    Held,
    Held,
    Held,
  ];
  const [prepared] = (await run(['prepare', String(PREPARED)])) as [Held];
  const bytes = (half.rss - prepared.rss) / targets;
  const million = (count: number): string => `${count / 1e6} M`;
  const megabytes = ({ rss }: Held): string => `${digits(rss / 2 ** 20)} MB`;
  return {
    id: 'G6',
    what: `resident bytes for each of ${million(targets)} revoked targets`,
    measured: `${megabytes(half)} with them`,
    baseline: `${megabytes(prepared)} without`,
    value: bytes,
    unit: ' B',
    goal: { atMost: 20 },
    note: `${digits(half.index / targets)} B of it are the index's own pages; ${million(whole.targets)} loaded: ${megabytes(whole)}, ${digits((whole.rss - prepared.rss) / whole.targets)} B each, ${digits((whole.targets / whole.seconds) * 1e-6)} M a second; the process began with ${megabytes(baseline)}; every sample of both was dead, and no other id`,
  };
}

async function run(args: readonly string[]): Promise<Held[]> {
  const child = spawn(process.execPath, ['--expose-gc', import.meta.filename, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [output, [code]] = await Promise.all([
    text(child.stdout),
    once(child, 'exit') as Promise<[number | null]>,
  ]);
  if (code !== 0) throw new Error(`the process that holds the index ended with ${String(code)}`);
  return JSON.parse(output) as Held[];
}

function lineOf(entry: number): FeedLine {
  const targets = Array.from({ length: BULK }, (_, i): Target => ({
    kind: 'jti',
    issuer: ISSUER,
    value: revokedId(entry * BULK + i),
  }));
  const head = { v: 1, kind: 'revocation', at: '2026-11-24T05:00:00.000Z', by: 'inc_a', sig: '' } as const;
  return {
    position: { epoch: 1, sequence: entry + 1 },
    chain: '',
    sealed: {
      text: '',
      entry: { ...head, id: `rev_${entry}`, targets, caller: 'admin', body: 'b'.repeat(64) },
    },
  };
}

/** Time plays no part in it. */
const AT_ONCE = { monoMs: 0, wallMs: 0 };

const fingerprinter = new Fingerprinter(new Uint8Array(32).fill(7));

function assertDead(view: RevocationView, count: number): void {
  const isDead = (i: number): boolean => {
    const handles = fingerprinter.print([{ kind: 'jti', parts: [ISSUER, revokedId(i)] }]);
    return view.verdict(handles, undefined, 0).state === 'revoked';
  };
  for (let sample = 0; sample < SAMPLES; sample++) {
    if (!isDead(Math.floor((sample * count) / SAMPLES))) throw new Error('a revoked target is alive');
    if (isDead(count + sample)) throw new Error('a target that nobody revoked is dead');
  }
}

/** Collected, and with the turns in which V8 gives back to the system what entries left behind as garbage. */
async function heldNow(targets: number, startedMs: number, view?: RevocationView): Promise<Held> {
  const seconds = (performance.now() - startedMs) / 1000;
  for (let turn = 0; turn < 3; turn++) {
    globalThis.gc?.({ type: 'major', execution: 'sync', flavor: 'last-resort' });
    await sleep(SETTLE_MS);
  }
  return { targets, seconds, rss: process.memoryUsage.rss(), index: view?.bytes ?? 0 };
}

async function hold(counts: readonly number[]): Promise<Held[]> {
  const view = new RevocationView(fingerprinter);
  const startedMs = performance.now();
  const held = [await heldNow(0, startedMs, view)];
  let entry = 0;
  for (const count of counts) {
    while (entry * BULK < count) {
      runAtOnce(view.applying(lineOf(entry++)), AT_ONCE);
      if (entry % TURN_ENTRIES === 0) await setImmediate();
    }
    assertDead(view, count);
    held.push(await heldNow(count, startedMs, view));
  }
  return held;
}

async function prepare(count: number): Promise<Held[]> {
  const view = new RevocationView(fingerprinter);
  const startedMs = performance.now();
  for (let entry = 0; entry * BULK < count; entry++) {
    const { entry: prepared } = lineOf(entry).sealed;
    if (prepared.kind === 'revocation') view.deadHandles(prepared.targets);
  }
  return [await heldNow(0, startedMs)];
}

if (process.argv[1] === import.meta.filename) {
  const [, , how, ...counts] = process.argv;
  const held = how === 'hold' ? await hold(counts.map(Number)) : await prepare(Number(counts[0]));
  console.log(JSON.stringify(held));
}
