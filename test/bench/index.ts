/**
 * `npx node test/bench/index.ts [millions …]`: the revocation index beside what a sidecar would do without it, a JS
 * Map from jti to a number. Every line is a process of its own, all in one run: resident memory for each target, the
 * worst and the tenth worst insertion (the first holds whatever else the machine did), a look-up that hits and one
 * that misses. `view` takes in bulk entries of 1,000 targets as the feed brings them; its stall is one whole entry.
 * Every answer is checked: a fast wrong one is no result.
 */
import { spawnSync } from 'node:child_process';
import { Fingerprinter } from '../../src/credential/handle.ts';
import type { Target } from '../../src/feed/entry.ts';
import { runAtOnce } from '../../src/kernel/pace.ts';
import { NEVER_S, FingerprintTable } from '../../src/revocation/table.ts';
import { RevocationView } from '../../src/revocation/view.ts';

interface Subject {
  /** Calls of `insert` that make `count` targets. */
  readonly targetsPerInsert: number;
  insert(i: number): void;
  /** Prepares what `has` will be asked, outside the measured time. */
  prepare(targets: readonly number[]): void;
  has(i: number): boolean;
}

const LOOKUPS = 500_000;
const PASSES = 5;
const issuer = 'https://idp.example';

/** A well-mixed 32-bit number for each i. */
function mix(i: number, salt: number): number {
  let z = (Math.imul(i, 0x9e3779b1) + salt) | 0;
  z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
  z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
  return (z ^ (z >>> 15)) >>> 0;
}

/** 22 characters, as a jti of 128 bits has. */
function jtiOf(i: number): string {
  return `${mix(i, 1).toString(36).padStart(7, '0')}${mix(i, 2).toString(36).padStart(7, '0')}${i.toString(36).padStart(8, '0')}`;
}

function tableSubject(): Subject {
  const table = new FingerprintTable('plain', (ref, other) => ref < other);
  let prints = new Uint32Array(0);
  return {
    targetsPerInsert: 1,
    insert: (i) => table.merge(mix(i, 1), mix(i, 2), { untilS: NEVER_S, ref: i, cutoffS: 0 }),
    prepare: (targets) => (prints = Uint32Array.from(targets.flatMap((i) => [mix(i, 1), mix(i, 2)]))),
    has: (i) => table.lookup(prints[2 * i]!, prints[2 * i + 1]!) !== undefined,
  };
}

function mapSubject(): Subject {
  const map = new Map<string, number>();
  let ids: string[] = [];
  return {
    targetsPerInsert: 1,
    insert: (i) => map.set(jtiOf(i), i),
    prepare: (targets) => {
      ids = targets.map(jtiOf);
      for (const id of ids) map.has(id); // their hashes are computed here, as a verified credential's would be
    },
    has: (i) => map.has(ids[i]!),
  };
}

function viewSubject(): Subject {
  const fingerprinter = new Fingerprinter(new Uint8Array(32).fill(7));
  const view = new RevocationView(fingerprinter);
  let sets = [fingerprinter.print([])];
  return {
    targetsPerInsert: 1_000,
    insert: (entry) => {
      const targets = Array.from({ length: 1_000 }, (_, i): Target => ({
        kind: 'jti',
        issuer,
        value: jtiOf(entry * 1_000 + i),
      }));
      const facts = {
        v: 1,
        kind: 'revocation',
        at: '2026-11-24T05:00:00.000Z',
        by: 'inc_a',
        sig: '',
      } as const;
      const entryOf = { ...facts, id: `rev_${entry}`, targets, caller: 'admin', body: 'b'.repeat(64) };
      const position = { epoch: 1, sequence: entry + 1 };
      const line = { position, chain: '', sealed: { text: '', entry: entryOf } };
      runAtOnce(view.applying(line), { monoMs: 0, wallMs: 0 });
    },
    prepare: (targets) =>
      (sets = targets.map((i) => fingerprinter.print([{ kind: 'jti', parts: [issuer, jtiOf(i)] }]))),
    has: (i) => view.verdict(sets[i]!, undefined, 0).state === 'revoked',
  };
}

const SUBJECTS = { table: tableSubject, map: mapSubject, view: viewSubject };

/** Nanoseconds for each look-up: the best of some passes, because others only ever add to it. */
function timeLookups(subject: Subject, targets: readonly number[], expected: boolean): number {
  subject.prepare(targets);
  let bestMs = Number.POSITIVE_INFINITY;
  for (let pass = 0; pass < PASSES; pass++) {
    const startMs = performance.now();
    let right = 0;
    for (let i = 0; i < targets.length; i++) if (subject.has(i) === expected) right++;
    bestMs = Math.min(bestMs, performance.now() - startMs);
    if (right !== targets.length) throw new Error('a wrong answer');
  }
  return (bestMs * 1e6) / targets.length;
}

function measure(name: keyof typeof SUBJECTS, count: number): string[] {
  const emptyBytes = process.memoryUsage.rss();
  const subject = SUBJECTS[name]();
  const stallsMs = new Float64Array(10);
  const startMs = performance.now();
  for (let i = 0; i < count / subject.targetsPerInsert; i++) {
    const beforeMs = performance.now();
    subject.insert(i);
    const tookMs = performance.now() - beforeMs;
    if (tookMs > stallsMs[0]!) {
      stallsMs[0] = tookMs;
      stallsMs.sort();
    }
  }
  const insertUs = ((performance.now() - startMs) * 1000) / count;
  const bytes = (process.memoryUsage.rss() - emptyBytes) / count;
  const some = Array.from({ length: LOOKUPS }, (_, i) => mix(i, 9) % count);
  const hitNs = timeLookups(subject, some, true);
  const missNs = timeLookups(
    subject,
    some.map((i) => count + 1 + i),
    false,
  );
  const stalls = [stallsMs[9]!, stallsMs[0]!].map((ms) => ms.toFixed(2));
  return [
    name,
    `${count / 1e6} M`,
    bytes.toFixed(1),
    insertUs.toFixed(2),
    ...stalls,
    hitNs.toFixed(0),
    missNs.toFixed(0),
  ];
}

function print(cells: readonly string[]): void {
  console.log(cells.map((cell, i) => (i === 0 ? cell.padEnd(6) : cell.padStart(10))).join(''));
}

const [, , first = '1', second] = process.argv;
if (first in SUBJECTS) {
  print(measure(first as keyof typeof SUBJECTS, Number(second)));
} else {
  const millions = process.argv.length > 2 ? process.argv.slice(2).map(Number) : [1, 10];
  print(['', 'targets', 'bytes', 'insert µs', 'worst ms', '10th ms', 'hit ns', 'miss ns']);
  for (const count of millions.map((million) => million * 1e6)) {
    for (const name of Object.keys(SUBJECTS)) {
      const heap = name === 'map' ? ['--max-old-space-size=8192'] : [];
      spawnSync(process.execPath, [...heap, import.meta.filename, name, `${count}`], { stdio: 'inherit' });
    }
  }
}
