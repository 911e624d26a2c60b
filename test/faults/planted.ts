/**
 * Bugs that a fleet could have (THREATS 7.5 and 10), each put into a copy of the tree by replacing text that occurs once: the
 * simulation has to find every one. `node test/faults/hunt.ts` says which it does.

 *
 * 13 of 17 were found in a minute each on 2026-11-30, on a busy machine. Not: an outstanding replica, a reading from before the
 * append (THREATS 10.1), no reading at the end (10.2), a lease that is kept when its epoch is closed.
 */
export interface Planted {
  /** What is wrong, as a sentence about the fleet that is left. */
  readonly name: string;
  readonly edits: readonly Edit[];
  /** Where the hunt begins: with what a longer one found, so that a minute is enough on a slow machine. */
  readonly seed: number;
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
    seed: 107,
    edits: [edit('flows/renew', 'lease.adopt(sent.at);', 'lease.adopt(clock.now());')],
  },
  {
    name: 'a lease is good until somebody who wakes up drops it',
    seed: 3,
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
    seed: 61,
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
    seed: 173,
    edits: [edit('edges/system/clock', 'this.#uncountedMs += moreMs;', 'this.#uncountedMs += 0;')],
  },
  {
    name: 'a lease comes with any page',
    seed: 6,
    edits: [edit('feed/lease-table', "if (!page.isLast) return { kind: 'more', lines, head };\n", '')],
  },
  {
    name: 'a table is believed as soon as it is seen',
    seed: 14,
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
    seed: 39,
    edits: [
      edit(
        'feed/lease',
        'return Math.ceil(term.leaseMs * (1 + RHO) + term.epsMs + (term.splitMs ?? 0));',
        'return Math.ceil(0.9 * (term.leaseMs * (1 + RHO) + term.epsMs + (term.splitMs ?? 0)));',
      ),
    ],
  },
  {
    name: 'one who has not acknowledged may be outstanding',
    seed: 5,
    edits: [
      edit(
        'flows/barrier',
        "standings.every(({ state }) => state !== 'outstanding')",
        "standings.some(({ state }) => state !== 'outstanding')",
      ),
    ],
  },
  {
    name: 'a reading that was sent before the append judges it',
    seed: 5,
    edits: [edit('flows/barrier', 'this.#observed > question.sentBefore', 'this.#observed > 0')],
  },
  {
    name: 'nothing is read at the end',
    seed: 12,
    edits: [
      edit(
        'flows/enforce',
        'if (!this.#isSameHistory(last)) return this.#repeat();',
        'if (last.rows.length < 0) return this.#repeat();',
      ),
    ],
  },
  {
    name: 'an acknowledgement does not wait for the disk',
    seed: 1,
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
    seed: 189,
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
    seed: 40,
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
    seed: 126,
    edits: [
      edit(
        'flows/reopen',
        'return isHolder && awaited.length === 0 && held.every(Boolean);',
        'return isHolder && held.every(Boolean);',
      ),
    ],
  },
  {
    name: 'two of one incarnation are not told apart',
    seed: 23,
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
    seed: 14,
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
    seed: 14,
    edits: [edit('flows/renew', "if (this.#state === 'diverged') await", "if (before === 'cloned') await")],
  },
];
