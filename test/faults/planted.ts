/**
 * Bugs that a fleet could have (THREATS 7.5 and 10). Those of PLANTED are put into a copy of the tree by replacing text that
 * occurs once, and the simulation has to find every one, from seed 1. `node test/faults/hunt.ts` says which are found.
 */
import type { Removal } from '../removals/removals.ts';

export interface Planted {
  /** What is wrong, as a sentence about the fleet that is left. */
  readonly name: string;
  readonly edits: readonly Edit[];
  /** Names of the faults that the hunt favours. What is checked is the same as ever. */
  readonly favours: string;
  /** Where the hunt begins: near to what a longer one found, so that a minute is enough on a busy machine too. None: 1. */
  readonly seed?: number;
}

export interface Edit {
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

const edit = (file: string, find: string, replace: string): Edit => ({
  file: `src/${file}.ts`,
  find,
  replace,
});

export const PLANTED: readonly Planted[] = [
  {
    name: 'a lease counts from the answer that brought it',
    favours: 'is slow, cut off',
    edits: [edit('flows/renew', 'lease.adopt(sent.at);', 'lease.adopt(clock.now());')],
  },
  {
    name: 'a lease is good until somebody who wakes up drops it',
    favours: 'paused',
    edits: [
      edit(
        'feed/lease',
        'return this.freshForMs(now) > 0;',
        'return this.#sentAt !== undefined || now.monoMs < 0;',
      ),
      edit(
        'flows/renew',
        'sessions.sweep(now);',
        'if (this.#ports.lease.freshForMs(now) === 0) this.#ports.lease.drop();\n    sessions.sweep(now);',
      ),
    ],
  },
  {
    name: 'the age of a lease is what the monotonic clock says',
    favours: 'suspended',
    edits: [
      edit(
        'kernel/clock',
        'return Math.max(now.monoMs - from.monoMs + uncountedMs, now.wallMs - from.wallMs);',
        'return Math.max(now.monoMs - from.monoMs, 0 * uncountedMs);',
      ),
    ],
  },
  {
    name: 'the floor of the wall clock hides a suspend',
    favours: 'suspended, clock set back',
    edits: [edit('edges/system/clock', 'this.#uncountedMs += moreMs;', 'this.#uncountedMs += 0;')],
  },
  {
    name: 'a lease comes with any page',
    favours: 'cut off, has late commands',
    edits: [
      edit(
        'feed/lease-table',
        "if (!page.isLast) return { kind: 'more', lines,",
        "if (!page.isLast && lines.length === 0) return { kind: 'more', lines,",
      ),
    ],
  },
  {
    name: 'a table is believed as soon as it is seen',
    favours: 'the store restarts, cut off',
    edits: [
      edit(
        'flows/barrier',
        'return this.#watchedSince !== undefined && waitedMs(this.#watchedSince, now) >= ms;',
        'return this.#watchedSince !== undefined && waitedMs(this.#watchedSince, now) >= 0 * ms;',
      ),
    ],
  },
  {
    name: 'the wait is a tenth shorter',
    favours: 'paused, cut off from answers',
    edits: [
      edit(
        'feed/lease',
        'return Math.ceil(term.leaseMs * (1 + RHO) + term.epsMs + (term.splitMs ?? 0));',
        'return Math.ceil(0.9 * (term.leaseMs * (1 + RHO) + term.epsMs + (term.splitMs ?? 0)));',
      ),
    ],
  },
  {
    name: 'a coordinator counts its own lease alone',
    favours: 'cut off, cut off from answers',
    edits: [
      edit(
        'flows/barrier',
        '.reduce((longest, { term }) => longer(longest, term), this.#term)',
        '.reduce((longest) => longest, this.#term)',
      ),
    ],
  },
  {
    name: 'one who has not acknowledged may be outstanding',
    favours: 'cut off, paused',
    edits: [
      edit(
        'flows/barrier',
        "overByNow.every(({ state }) => state !== 'outstanding')",
        "overByNow.some(({ state }) => state !== 'outstanding')",
      ),
    ],
  },
  {
    name: 'who goes on renewing without a word is over before its lease is',
    favours: 'cut off, paused',
    edits: [
      edit(
        'flows/barrier',
        'sinceMs < leaseOverMs(question.term) ? standings',
        'sinceMs < leaseOverMs(question.term) / 4 ? standings',
      ),
    ],
  },
  {
    name: 'nothing is read at the end',
    seed: 101,
    favours: 'a lagging replica of the store takes over, paused, is slow',
    edits: [
      edit(
        'flows/enforce',
        'if (!this.#isSameHistory(last, sought.chain)) return this.#repeat();',
        'if (last.rows.length < 0) return this.#repeat();',
      ),
    ],
  },
  {
    name: 'an acknowledgement does not wait for the disk',
    favours: 'crash before fsync, the store loses its disk',
    edits: [
      edit(
        'flows/follow',
        'await ledger.keep(lines, this.#forged.splice(0));',
        'void ledger.keep(lines, this.#forged.splice(0));',
      ),
    ],
  },
  {
    name: 'whoever hears that an epoch is closed is a witness',
    seed: 424,
    favours: 'paused, cut off, the store comes back older',
    edits: [
      edit(
        'flows/renew',
        'cursor.epochId !== undefined && lease.isFresh(now))',
        'cursor.epochId !== undefined)',
      ),
      edit(
        'flows/renew',
        'return ageMs(at, this.#ports.clock.now()) < forMs ? epochId : undefined;',
        'return ageMs(at, this.#ports.clock.now()) < forMs + 1e9 ? epochId : undefined;',
      ),
    ],
  },
  {
    name: 'anybody opens a closed epoch',
    seed: 345,
    favours: 'crash, cut off, the store loses its disk',
    edits: [
      edit(
        'flows/reopen',
        "return (await this.#isWholeRoster(roster)) ? { rule: 'roster', restored } : undefined;",
        "await this.#isWholeRoster(roster);\n    return { rule: 'roster', restored };",
      ),
    ],
  },
  {
    name: 'a roster need not be whole',
    seed: 470,
    favours: 'crash, the store loses its disk, the store comes back older',
    edits: [
      edit(
        'flows/reopen',
        'return isHolder && awaited.length === 0 && held.every(Boolean);',
        'return isHolder && held.every(Boolean);',
      ),
    ],
  },
  {
    name: 'a report is for the last of those alone that nobody has heard of',
    favours:
      'crash, crash before fsync, a lagging replica of the store takes over, the store is away, cut off from answers',
    edits: [
      edit(
        'flows/reopen',
        '[...shown.map(({ sealed }) => sealed.text)',
        '[...shown.slice(-1).map(({ sealed }) => sealed.text)',
      ),
    ],
  },
  {
    name: 'two of one incarnation are not told apart',
    favours: 'two of one incarnation',
    edits: [
      edit(
        'feed/lease-table',
        'if (taken !== undefined && !nonces.includes(taken)) row.isCloned = true;',
        'if (taken !== undefined && !nonces.includes(taken)) row.isCloned = false;',
      ),
    ],
  },
  {
    name: 'a replica goes on with its lease when its epoch is closed, and in another',
    favours: 'the store restarts',
    edits: [
      edit(
        'flows/renew',
        "    lease.drop();\n      this.#state = reply.kind === 'stale'",
        "    this.#state = reply.kind === 'stale'",
      ),
    ],
  },
  {
    name: 'nobody goes back to where the fleet went on',
    favours: 'crash, the store comes back older, the store loses its disk',
    edits: [edit('flows/renew', "if (this.#state === 'diverged') await", "if (before === 'cloned') await")],
  },
  {
    name: 'who begins at a snapshot begins with nothing',
    favours: 'join, cut off',
    edits: [
      edit(
        'flows/follow',
        'fold.loading(snapshot.chunks.slice(1),',
        'fold.loading(snapshot.chunks.slice(snapshot.chunks.length),',
      ),
    ],
  },
  {
    name: 'what had ended is counted by each run of its replica',
    favours: 'crash, cut off',
    edits: [edit('evidence/acknowledgement', ' && matched >= earlier.matched;', ' && matched < 0;')],
  },
];

/**
 * Those that no schedule of a whole fleet shows, because another line stands behind each of them. The test of that one line
 * has to fail. (What belongs to growth, forgetting and sessions is in removals.ts, and tried by each `npm test`.)
 */
export const BEHIND: readonly Removal[] = [
  {
    // Whoever judges has sent a reading, and counts itself: it has the entry from a renewal, which is a reading too.
    name: 'a reading that was sent before the append judges it',
    file: 'src/flows/barrier.ts',
    find: 'this.#observed > question.sentBefore',
    replace: 'this.#observed > 0',
    test: {
      file: 'test/flows/barrier.test.ts',
      name: 'is not passed by a reading that was sent before the append replied',
    },
  },
  {
    // No receipt would verify.
    name: 'who has not acknowledged itself says that all have',
    file: 'src/flows/barrier.ts',
    find: 'isItselfDone && standings.every(',
    replace: '(isItselfDone || true) && standings.every(',
    test: { file: 'test/flows/barrier.test.ts', name: 'is not passed by who has not acknowledged itself' },
  },
  {
    // The same revocation twice revokes the same.
    name: 'an order that is repeated is another entry',
    file: 'src/flows/order-id.ts',
    find: 'if (idempotencyKey === undefined) return newId',
    replace: "if (idempotencyKey !== '') return newId",
    test: { file: 'test/flows/revoke.test.ts', name: 'makes a repeated order one entry and one answer' },
  },
];
