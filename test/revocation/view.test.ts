import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Handle } from '../../src/credential/handle.ts';
import { Fingerprinter, handlesOfTarget, hasCutoff, renderHandle } from '../../src/credential/handle.ts';
import type { RevocationEntry, Target } from '../../src/feed/entry.ts';
import { LIMITS } from '../../src/kernel/limits.ts';
import { runAtOnce } from '../../src/kernel/pace.ts';
import { endingHandles, packEnding } from '../../src/revocation/ending.ts';
import { NEVER_S, SHARDS } from '../../src/revocation/table.ts';
import type { RevocationVerdict } from '../../src/revocation/verdict.ts';
import { RevocationView } from '../../src/revocation/view.ts';
import { AT, AT_S, applyNow, outcomeLine, revocationLine } from './lines.ts';

const fingerprinter = new Fingerprinter(new Uint8Array(32).fill(7));
const issuer = 'https://idp.example';

let view: RevocationView;
beforeEach(() => {
  view = new RevocationView(fingerprinter);
});

function revoke(id: string, ...targets: Target[]): void {
  applyNow(view, revocationLine({ id, targets }));
}

function ask(handles: readonly Handle[], issuedAtS?: number, of: RevocationView = view): RevocationVerdict {
  return of.verdict(fingerprinter.print(handles), issuedAtS, AT_S);
}

function sweepRounds(rounds: number, nowS: number): void {
  for (let i = 0; i < rounds * SHARDS; i++) view.sweep(nowS);
}

const jti = (value: string): Handle => ({ kind: 'jti', parts: [issuer, value] });
const sub = (value: string): Handle => ({ kind: 'sub', parts: [issuer, value] });
const bare = (value: string): Handle => ({ kind: 'sub-bare', parts: [value] });
const ALL: Handle = { kind: 'all', parts: [] };
const CLEAR = { state: 'clear' };

describe('a revocation that another thread has read', () => {
  it('makes the same dead, in the same way, without its targets being looked at', () => {
    const targets: Target[] = [
      { kind: 'jti', issuer, value: 'a', untilS: AT_S + 60 },
      { kind: 'subject', issuer, value: 'u', cutoffS: 90 },
      { kind: 'subject', issuer, value: 'w' },
      { kind: 'all' },
    ];
    const line = revocationLine({ id: 'rev_a', targets });
    const ending = packEnding(runAtOnce(endingHandles(targets, fingerprinter)));
    const bulk = { after: '', leaf: new Uint8Array(), targetsCount: targets.length, ending };
    const unseen = { ...line.sealed.entry } as RevocationEntry;
    Object.defineProperty(unseen, 'targets', { get: () => expect.fail('its targets were looked at') });
    const sealed = { ...line.sealed, entry: unseen };
    const read = { ...line, sealed, reading: { signedBy: undefined, bulk } };
    const other = new RevocationView(fingerprinter);
    expect(applyNow(other, read)).toEqual(applyNow(view, line));
    expect(other.record('rev_a')).toEqual(view.record('rev_a'));
    for (const handle of [jti('a'), sub('u'), bare('u'), sub('w'), ALL, jti('b')])
      for (const issuedAtS of [80, 100, undefined])
        expect(ask([handle], issuedAtS, other)).toEqual(ask([handle], issuedAtS));
  });
});

describe('the verdict', () => {
  it('is clear while nothing is revoked', () => {
    expect(ask([jti('a'), sub('u'), ALL], 100)).toEqual(CLEAR);
  });

  it('names the revocation, where it stands in the feed, and why', () => {
    const targets: Target[] = [{ kind: 'jti', issuer, value: 'a' }];
    applyNow(view, revocationLine({ id: 'rev_a', targets, position: { epoch: 812, sequence: 9 } }));
    const by = { id: 'rev_a', reason: 'revoked', position: '812-9' };
    expect(ask([jti('a')], 100)).toEqual({ state: 'revoked', by });
    expect(ask([jti('b')], 100)).toEqual(CLEAR);
  });

  it('is revoked whatever the age for kinds without a cutoff', () => {
    revoke('rev_a', { kind: 'jti', issuer, value: 'a', cutoffS: 5 });
    for (const issuedAtS of [0, 100, 0xffff_ffff, undefined]) {
      expect(ask([jti('a')], issuedAtS)).toMatchObject({ state: 'revoked' });
    }
  });

  it('kills the same second, in both directions of it, and what does not say its age', () => {
    revoke('rev_a', { kind: 'subject', issuer, value: 'u', cutoffS: 100 });
    const by = { id: 'rev_a', reason: 'cutoff', position: '1-1' };
    expect(ask([sub('u')], 99)).toEqual({ state: 'revoked', by });
    expect(ask([sub('u')], 100)).toEqual({ state: 'revoked', by });
    expect(ask([sub('u')], 101)).toEqual(CLEAR);
    expect(ask([sub('u')], undefined)).toEqual({ state: 'revoked', by });
  });

  it('leaves nothing alive under a target that lacks the cutoff of its kind', () => {
    revoke('rev_a', { kind: 'all' });
    expect(ask([ALL], 0xffff_fffe)).toMatchObject({ state: 'revoked' });
  });

  it('is not softened by a weaker cutoff that comes later, on one handle or on another (CVE-2026-8922)', () => {
    revoke('rev_strict', { kind: 'subject', issuer, value: 'u', cutoffS: 200 });
    revoke('rev_weak', { kind: 'subject', issuer, value: 'u', cutoffS: 100 });
    revoke('rev_weaker', { kind: 'all', cutoffS: 50 });
    expect(ask([sub('u'), ALL], 150)).toMatchObject({ by: { id: 'rev_strict' } });
    expect(ask([ALL, sub('u')], 10)).toMatchObject({ by: { id: 'rev_strict' } });
    expect(ask([sub('other'), ALL], 10)).toMatchObject({ by: { id: 'rev_weaker' } });
    expect(ask([sub('u'), ALL], 201)).toEqual(CLEAR);
  });

  it('names one without a cutoff before any with one', () => {
    revoke('rev_all', { kind: 'all', cutoffS: 0xffff_fffe });
    revoke('rev_jti', { kind: 'jti', issuer, value: 'a' });
    expect(ask([ALL, sub('u'), jti('a')], 1)).toMatchObject({ by: { id: 'rev_jti', reason: 'revoked' } });
  });

  it('finds a subject at its issuer, at every issuer, and asserted without one', () => {
    revoke('rev_one', { kind: 'subject', issuer, value: 'u', cutoffS: 100 });
    revoke('rev_any', { kind: 'subject', value: 'v', cutoffS: 100 });
    expect(ask([bare('u')])).toMatchObject({ by: { id: 'rev_one' } });
    expect(ask([{ kind: 'sub-any', parts: ['u'] }], 1)).toEqual(CLEAR);
    expect(ask([{ kind: 'sub-any', parts: ['v'] }], 1)).toMatchObject({ by: { id: 'rev_any' } });
    expect(ask([bare('v')], 101)).toEqual(CLEAR);
  });

  it('tells apart one jti of two issuers', () => {
    revoke('rev_a', { kind: 'jti', issuer, value: 'a' });
    expect(ask([{ kind: 'jti', parts: ['https://other.example', 'a'] }], 1)).toEqual(CLEAR);
  });
});

describe('applying an entry', () => {
  it('says what died: every handle of every target, with its cutoff', () => {
    const targets: Target[] = [
      { kind: 'subject', issuer, value: 'u', cutoffS: 100 },
      { kind: 'jti', issuer, value: 'a' },
    ];
    const line = revocationLine({ id: 'rev_a', targets, position: { epoch: 1, sequence: 4 } });
    const applied = applyNow(view, line);
    const expected = [
      { handle: sub('u'), cutoffS: 100 },
      { handle: bare('u'), cutoffS: 100 },
      { handle: jti('a'), cutoffS: undefined },
    ].map(({ handle, cutoffS }) => {
      const { prints } = fingerprinter.print([handle]);
      return { hi: prints[0], lo: prints[1], cutoffS };
    });
    expect(applied).toMatchObject({ id: 'rev_a', position: line.position, reason: 'revoked' });
    expect(applied?.dead).toMatchObject(expected);
    expect(runAtOnce(view.deadHandles(targets))).toEqual(applied?.dead);
    expect(view.size).toBe(3);
  });

  it('of cutoffs alone gives the reason cutoff', () => {
    expect(
      applyNow(view, revocationLine({ id: 'rev_a', targets: [{ kind: 'all', cutoffS: 1 }] }))?.reason,
    ).toBe('cutoff');
  });

  it('of another kind changes nothing', () => {
    expect(applyNow(view, outcomeLine())).toBeUndefined();
    expect(view.size).toBe(0);
  });

  it('asking what would die changes nothing either', () => {
    runAtOnce(view.deadHandles([{ kind: 'jti', issuer, value: 'a' }]));
    expect(view.size).toBe(0);
    expect(ask([jti('a')])).toEqual(CLEAR);
  });

  it('twice says the same twice and keeps one', () => {
    const line = revocationLine({ id: 'rev_a', targets: [{ kind: 'jti', issuer, value: 'a' }] });
    expect(applyNow(view, line)).toEqual(applyNow(view, line));
    expect(view.size).toBe(1);
    expect(view.records({ limit: 10 })).toHaveLength(1);
  });
});

// Few names, so that targets of different entries meet on one handle.
const values = fc.constantFrom('a', 'b');
const seconds = fc.integer({ min: 0, max: 4 });
const untilS = fc.option(fc.integer({ min: 10, max: 14 }), { nil: undefined });
const target: fc.Arbitrary<Target> = fc
  .record({
    kind: fc.constantFrom(
      'token',
      'jti',
      'key',
      'subject',
      'client',
      'actor',
      'issuer',
      'spiffe',
      'claim',
      'all',
    ),
    issuer: fc.constantFrom('i', 'j', undefined),
    value: values,
    cutoffS: seconds,
    untilS,
  } as const)
  .map(({ kind, issuer: at, value, cutoffS, untilS: end }): Target => ({
    kind,
    value,
    ...(at === undefined && kind !== 'subject' && kind !== 'actor' ? { issuer: 'i' } : {}),
    ...(at === undefined ? {} : { issuer: at }),
    ...(kind === 'claim' ? { name: 'tenant' } : {}),
    ...(handlesOfTarget({ kind }).some(hasCutoff) ? { cutoffS } : {}),
    ...(end === undefined ? {} : { untilS: end }),
  }));
const entries = fc.array(fc.array(target, { minLength: 1, maxLength: 4 }), { maxLength: 12 });
/** Any handles that some target writes. */
const held = fc.array(
  target.map((one) => handlesOfTarget(one)),
  { minLength: 1, maxLength: 4 },
);

/** Every way in which `handles` are dead, from the entries themselves. */
function deathsOf(
  list: readonly (readonly Target[])[],
  handles: readonly Handle[],
  issuedAtS: number | undefined,
) {
  const names = new Set(handles.map(renderHandle));
  return list.flatMap((targets, i) =>
    targets
      .filter((one) => handlesOfTarget(one).some((handle) => names.has(renderHandle(handle))))
      .filter(({ cutoffS }) => cutoffS === undefined || issuedAtS === undefined || issuedAtS <= cutoffS)
      .map(({ cutoffS }) => ({ id: `rev_${i}`, cutoffS })),
  );
}

describe('entries in any order, any number of times', () => {
  it('give the verdict that reading all of them gives, and name one that is strictest', () => {
    fc.assert(
      fc.property(
        entries,
        fc.infiniteStream(fc.nat()),
        held,
        fc.option(seconds, { nil: undefined }),
        (list, order, found, iat) => {
          const subject = new RevocationView(fingerprinter);
          const lines = list.map((targets, i) =>
            revocationLine({ id: `rev_${i}`, targets, position: { epoch: 1, sequence: i + 1 } }),
          );
          const shuffled = [...lines, ...lines]
            .map((line) => ({ line, key: order.next().value as number }))
            .sort((left, right) => left.key - right.key);
          for (const { line } of shuffled) applyNow(subject, line);
          const verdict = ask(found.flat(), iat, subject);
          const deaths = deathsOf(list, found.flat(), iat);
          if (verdict.state !== 'revoked') {
            expect(deaths).toEqual([]);
            return;
          }
          const plain = deaths.filter(({ cutoffS }) => cutoffS === undefined);
          const strictest = Math.max(...deaths.map(({ cutoffS }) => cutoffS ?? 0));
          const named = plain.length > 0 ? plain : deaths.filter(({ cutoffS }) => cutoffS === strictest);
          expect(verdict.by.reason).toBe(plain.length > 0 ? 'revoked' : 'cutoff');
          expect(named.map(({ id }) => id)).toContain(verdict.by.id);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('lose nothing before its end when they are swept, and keep the name of what they keep', () => {
    fc.assert(
      fc.property(entries, fc.integer({ min: 9, max: 16 }), held, (list, nowS, found) => {
        view = new RevocationView(fingerprinter);
        list.forEach((targets, i) => revoke(`rev_${i}`, ...targets));
        sweepRounds(3, nowS);
        const alive = list.map((targets) => targets.filter(({ untilS: end = NEVER_S }) => end >= nowS));
        const verdict = ask(found.flat(), 0);
        if (deathsOf(alive, found.flat(), 0).length > 0) expect(verdict.state).toBe('revoked');
        if (verdict.state === 'revoked') expect(view.record(verdict.by.id)).toBeDefined();
      }),
      { numRuns: 60 },
    );
  });
});

describe('sweeping', () => {
  const ended: Target = { kind: 'jti', issuer, value: 'a', untilS: AT_S + 10 };

  it('lets go what ended before now, not what ends now', () => {
    revoke('rev_a', ended);
    sweepRounds(1, AT_S + 10);
    expect(ask([jti('a')])).toMatchObject({ state: 'revoked' });
    sweepRounds(1, AT_S + 11);
    expect(ask([jti('a')])).toEqual(CLEAR);
    expect(view.size).toBe(0);
  });

  it('does one shard at a time: a call cannot reach what stands in another', () => {
    const targets = Array.from({ length: 2_000 }, (_, i): Target => ({ ...ended, value: `${i}` }));
    for (let at = 0; at < 2_000; at += 1_000) revoke(`rev_${at}`, ...targets.slice(at, at + 1_000));
    view.sweep(AT_S + 11);
    expect(view.size).toBeGreaterThan(1_980);
    sweepRounds(1, AT_S + 11);
    expect(view.size).toBe(0);
  });

  it('never brings an asserted subject back to life', () => {
    revoke('rev_u', { kind: 'subject', issuer, value: 'u', cutoffS: AT_S, untilS: AT_S + 10 });
    revoke('rev_w', { kind: 'spiffe', value: 'spiffe://d/w', cutoffS: AT_S, untilS: AT_S + 10 });
    sweepRounds(3, AT_S + 1e8);
    expect(ask([sub('u')], AT_S)).toEqual(CLEAR);
    expect(ask([bare('u'), ALL])).toMatchObject({ by: { id: 'rev_u', reason: 'cutoff' } });
    expect(ask([bare('u')], AT_S + 1)).toEqual(CLEAR);
    expect(ask([{ kind: 'spiffe', parts: ['spiffe://d/w'] }])).toMatchObject({ by: { id: 'rev_w' } });
  });

  it('lets a record go only after a round without references, and not while an Idempotency-Key lives', () => {
    revoke('rev_a', ended);
    const keptUntilS = AT_S + LIMITS.idempotencyMs / 1000;
    sweepRounds(4, keptUntilS);
    expect(view.size).toBe(0);
    expect(view.record('rev_a')).toBeDefined();
    sweepRounds(1, keptUntilS + 1);
    expect(view.record('rev_a')).toBeUndefined();
    expect(view.records({ limit: 10 })).toEqual([]);
  });

  it('keeps the record of an entry that ended while its cutoff is the strictest of one that goes on', () => {
    revoke('rev_strict', { kind: 'client', issuer, value: 'c', cutoffS: 200, untilS: AT_S });
    revoke('rev_long', { kind: 'client', issuer, value: 'c', cutoffS: 100 });
    sweepRounds(4, AT_S + 1e8);
    expect(ask([{ kind: 'cli', parts: [issuer, 'c'] }], 150)).toMatchObject({ by: { id: 'rev_strict' } });
  });

  it('lets no record go before what refers to it, at any step, however far the clock jumps', () => {
    const targets: Target[] = [
      ...Array.from({ length: 20 }, (_, i): Target => ({ ...ended, value: `${i}` })),
      { kind: 'client', issuer, value: 'c', cutoffS: 5, untilS: AT_S + 10 },
    ];
    const handles = targets.flatMap(handlesOfTarget);
    // Found while it is in the index, absent afterwards; a reference without a record would throw.
    const askEach = (): void => handles.forEach((handle) => void ask([handle], 1));
    revoke('rev_a', ...targets.slice(0, 20));
    revoke('rev_b', ...targets.slice(20));
    sweepRounds(3, AT_S);
    for (let i = 0; i < SHARDS; i++) {
      view.sweep(AT_S + 1e8);
      askEach();
    }
    expect(view.size).toBe(0);
  });

  it('keeps the record of an entry that comes again after its targets left', () => {
    const keptUntilS = AT_S + LIMITS.idempotencyMs / 1000;
    revoke('rev_a', ended);
    sweepRounds(4, keptUntilS);
    expect(ask([jti('a')])).toEqual(CLEAR);
    revoke('rev_a', ended);
    for (let i = 0; i < 4; i++) view.sweep(keptUntilS + 1);
    expect(ask([jti('a')])).toMatchObject({ by: { id: 'rev_a' } });
  });
});

describe('the record of an entry', () => {
  it('is one for all its targets, and says who asked and why', () => {
    const targets = Array.from({ length: 1_000 }, (_, i): Target => ({ kind: 'jti', issuer, value: `${i}` }));
    applyNow(view, revocationLine({ id: 'rev_a', targets, reason: 'leaked', ticket: 'INC-4711' }));
    expect(view.record('rev_a')).toEqual({
      id: 'rev_a',
      position: { epoch: 1, sequence: 1 },
      at: AT,
      caller: 'admin',
      body: 'b'.repeat(64),
      targetsCount: 1_000,
      reason: 'leaked',
      ticket: 'INC-4711',
    });
    expect(view.record('rev_b')).toBeUndefined();
    expect(view.bytes).toBeGreaterThan(16_000);
  });
});
