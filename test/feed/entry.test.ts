import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as z from 'zod';
import type { FeedLine, OutcomeEntry, SealedEntry, UnsignedEntry } from '../../src/feed/entry.ts';
import {
  CHAIN_START,
  ENTRY_BYTES_MAX,
  SELECTOR_KINDS,
  isLogSigned,
  isSignedBy,
  leafText,
  nextChain,
  parseEntry,
  parseLine,
  renderLine,
  sealEntry,
  splitLine,
} from '../../src/feed/entry.ts';
import { sha1Hex, toBase64Url } from '../../src/kernel/digest.ts';
import { canonicalJson } from '../../src/kernel/json.ts';
import {
  LOG_KEY,
  REPLICA_KEY,
  epoch,
  grant,
  lift,
  lock,
  outcome,
  replica,
  revocation,
  ungrant,
} from '../support/feed-entries.ts';

const PROOF_INVALID = expect.objectContaining({ code: 'PROOF_INVALID' }) as Error;
const sealed = revocation('rev_1');
const all = [
  sealed,
  replica('joined', 'inc_a', { succeeds: 'inc_0' }),
  epoch('ep_1', 'run_1'),
  outcome('rev_1'),
  lock('lck_1'),
  lift('lck_1'),
  grant('grt_1'),
  ungrant('grt_1'),
];

function lineOf(entry = sealed, position = { epoch: 812, sequence: 2 }): FeedLine {
  return { position, chain: nextChain(CHAIN_START, entry.text), sealed: entry };
}

/** The text of `sealed` with one replacement. */
function altered(from: string, to: string): string {
  expect(sealed.text).toContain(from);
  return sealed.text.replace(from, to);
}

describe('an entry', () => {
  it('is not sealed where nobody could read it', () => {
    const { sig: _, ...facts } = outcome('rev_1').entry as OutcomeEntry;
    const owesNobody: UnsignedEntry = { ...facts, state: 'partial', owing: [] };
    expect(() => sealEntry(owesNobody, REPLICA_KEY)).toThrow(/^an entry of the kind outcome is of no known/);
  });

  it.each(all)('is sealed as canonical text that parses back to itself', (one) => {
    expect(parseEntry(one.text)).toEqual(one);
    const members = Object.keys(JSON.parse(one.text) as object);
    expect(members).toEqual(members.toSorted());
  });

  it('is signed over its canonical text without the signature', () => {
    const { sig, ...unsigned } = sealed.entry;
    expect(isSignedBy(sealed, REPLICA_KEY.public)).toBe(true);
    expect(isSignedBy(sealed, LOG_KEY.public)).toBe(false);
    expect(sealEntry(unsigned, REPLICA_KEY).entry.sig).toBe(sig);
  });

  it('is signed over the same text when another member is called like the signature', () => {
    const { entry } = sealed;
    const { sig, ...unsigned } = { ...entry, extra: { a: 1, sig: entry.sig } };
    const signed = { ...unsigned, sig: toBase64Url(REPLICA_KEY.sign(canonicalJson(unsigned))) };
    expect(sig).not.toBe(signed.sig);
    for (const one of [signed, { ...signed, extra: { a: 1, sig: signed.sig } }]) {
      const isSigned = isSignedBy({ text: canonicalJson(one), entry: one }, REPLICA_KEY.public);
      expect(isSigned).toBe(one === signed);
    }
  });

  it('has one text, however it is put together', () => {
    const { sig: _sig, ...unsigned } = sealed.entry;
    const targets = Array.from(
      { length: 100 },
      (_, i) => ({ kind: 'jti', issuer: 'i', value: `"sig":${i}` }) as const,
    );
    const made = sealEntry({ ...unsigned, targets } as UnsignedEntry, REPLICA_KEY);
    expect(made.text).toBe(canonicalJson(made.entry));
    expect(isSignedBy(parseEntry(made.text), REPLICA_KEY.public)).toBe(true);
  });

  it.each([
    ['another body', altered('"caller":"admin"', '"caller":"other"')],
    ['no signature', altered(sealed.entry.sig, '')],
    ['what is no base64url', altered(sealed.entry.sig, '!'.repeat(86))],
    ['a signature that is too short', altered(sealed.entry.sig, toBase64Url(new Uint8Array(63)))],
  ])('with %s is not signed', (_, text) => {
    expect(isSignedBy(parseEntry(text), REPLICA_KEY.public)).toBe(false);
  });

  it.each([
    ['what is no JSON', sealed.text.slice(1)],
    ['another version', altered('"v":1', '"v":2')],
    ['an unknown kind', altered('"kind":"revocation"', '"kind":"pardon"')],
    ['an unknown member', altered('"caller"', '"callee":"x","caller"')],
    ['a missing member', altered('"caller":"admin",', '')],
    ['an unknown selector', altered('"kind":"jti"', '"kind":"shoe"')],
    ['no targets', sealed.text.replace(/"targets":\[.*\],/, '"targets":[],')],
    ['a time without milliseconds', altered('05:00:00.000Z', '05:00:00Z')],
    ['white space', altered('{"at"', '{ "at"')],
    ['members in another order', altered('"v":1}', '"v":1}').replace(/^\{(.*),"v":1\}$/, '{"v":1,$1}')],
    ['a member twice', altered('"v":1}', '"v":1,"v":1}')],
    ['a number spelt otherwise', altered('"v":1}', '"v":1.0}')],
    ['a character that is escaped needlessly', altered('"admin"', '"\\u0061dmin"')],
    ['a surrogate that stands alone', altered('"admin"', '"\\ud800"')],
    ['larger than any store keeps', altered('"caller":"admin"', `"caller":"${'x'.repeat(ENTRY_BYTES_MAX)}"`)],
    ['nothing', ''],
    ['an array', '[]'],
  ])('is not %s', (_, text) => {
    expect(() => parseEntry(text)).toThrow(PROOF_INVALID);
  });

  it('has exactly the targets that a schema would take', () => {
    const end = z.int().min(0).max(0xffff_fffe).optional();
    const text = z.string().optional();
    const named = { kind: z.enum(SELECTOR_KINDS), issuer: text, name: text, value: text };
    const schemas = {
      revocation: z.array(z.strictObject({ ...named, cutoffS: end, untilS: end })).min(1),
      lock: z.array(z.strictObject(named)).min(1),
    };
    const one = fc.oneof(
      fc.record(
        {
          kind: fc.constantFrom(...SELECTOR_KINDS, 'shoe', 1),
          issuer: fc.constantFrom('i', '', 1, null),
          value: fc.constantFrom('v', ['v']),
          name: fc.constantFrom('n', {}),
          cutoffS: fc.constantFrom(0, 5, -1, 1.5, '5', 0xffff_fffe, 0xffff_ffff),
          untilS: fc.constantFrom(0, 0xffff_fffe, 0xffff_ffff, null),
          other: fc.constant(1),
        },
        { requiredKeys: [] },
      ),
      fc.constantFrom(null, 'jti', [], {}, { kind: 'all' }),
    );
    const isTaken = (kind: 'revocation' | 'lock', targets: unknown): boolean => {
      const { entry } = kind === 'lock' ? lock('lck_1') : sealed;
      try {
        return parseEntry(canonicalJson({ ...entry, targets })).entry.kind === kind;
      } catch {
        return false;
      }
    };
    const seen = new Set<string>();
    const both = fc.property(fc.array(one, { maxLength: 2 }), (targets) => {
      for (const kind of ['revocation', 'lock'] as const) {
        const isRight = schemas[kind].safeParse(targets).success;
        seen.add(`${kind} ${isRight}`);
        expect(isTaken(kind, targets)).toBe(isRight);
      }
    });
    fc.assert(both, { numRuns: 2_000 });
    expect(seen.size).toBe(4);
    expect(isTaken('revocation', 'all')).toBe(false);
    for (const [count, isRight] of [
      [1_000, true],
      [1_001, false],
    ] as const)
      expect(isTaken('lock', Array(count).fill({ kind: 'all' }))).toBe(isRight);
  });

  const wrong = (entry: SealedEntry, from: string, to: string): string => {
    expect(entry.text).toContain(from);
    return entry.text.replace(from, to);
  };

  it.each([
    ['a lock that never ends', wrong(lock('lck_1'), '"expiresAtS":1900000000,', '')],
    ['a lock with a cutoff', wrong(lock('lck_1'), '"targets":[{', '"targets":[{"cutoffS":1,')],
    [
      'a lock whose target has an end',
      wrong(lock('lck_1'), '"value":"billing"', '"untilS":1,"value":"billing"'),
    ],
    ['a lock of nothing', lock('lck_1').text.replace(/"targets":\[.*\],/, '"targets":[],')],
    ['a lock that ends in a fraction of a second', wrong(lock('lck_1'), '1900000000', '1900000000.5')],
    ['a lift without an end of what it buries', wrong(lift('lck_1'), '"untilS":1900000000,', '')],
    ['a lift that names nothing', wrong(lift('lck_1'), '"lock":"lck_1"', '"lock":""')],
    ['a lift of a revocation', wrong(lift('lck_1'), '"lock":"lck_1"', '"revocation":"rev_1"')],
    ['a grant to nobody', wrong(grant('grt_1'), '"subject":{"id":"billing"}', '"subject":{}')],
    [
      'a grant to nobody in particular',
      wrong(grant('grt_1'), '"subject":{"id":"billing"}', '"subject":{"id":""}'),
    ],
    ['a grant of nothing', wrong(grant('grt_1'), '"resource":{"type":"invoice"}', '"resource":{}')],
    ['a grant until a text', wrong(grant('grt_1'), '"v":1}', '"untilS":"9","v":1}')],
    ['a grant with more than a grant has', wrong(grant('grt_1'), '"subject":{"id"', '"subject":{"a":1,"id"')],
    ['an ungrant that names nothing', wrong(ungrant('grt_1'), '"grant":"grt_1"', '"grant":""')],
  ])('is not %s', (_, text) => {
    expect(() => parseEntry(text)).toThrow(PROOF_INVALID);
  });

  it('names the kinds that only the log key may sign', () => {
    const kinds = all.filter(({ entry }) => isLogSigned(entry)).map(({ entry }) => entry.kind);
    expect(new Set(kinds)).toEqual(new Set(['replica', 'epoch', 'outcome', 'lift', 'grant']));
  });
});

describe('the chain', () => {
  it('is the SHA-1 of the value before and the text', () => {
    expect(CHAIN_START).toBe('0'.repeat(40));
    expect(nextChain(CHAIN_START, 'x')).toBe(sha1Hex(`${CHAIN_START}x`));
    expect(nextChain(CHAIN_START, 'x')).not.toBe(nextChain(nextChain(CHAIN_START, 'x'), 'x'));
  });
});

describe('a line', () => {
  it('is canonical JSON of chain, entry and position', () => {
    const line = lineOf();
    const text = renderLine(line);
    expect(JSON.parse(text)).toEqual({ chain: line.chain, entry: sealed.entry, position: '812-2' });
    expect(parseLine(text)).toEqual(line);
    expect(leafText(line)).toBe(`{"entry":${sealed.text},"position":"812-2"}`);
  });

  it('survives every text a reason can hold', () => {
    // U+2028 and U+2029 stay as they are in canonical JSON, and a regular expression's dot matches neither.
    const odd = [
      'a',
      '"',
      '\\',
      '\n',
      '\r',
      '\0',
      '\u0085',
      '\u2028',
      '\u2029',
      '\ufffd',
      'é',
      '漢',
      '😀',
      '"},"position":"1-1"}',
    ];
    const texts = fc.array(fc.constantFrom(...odd)).map((parts) => parts.join(''));
    fc.assert(
      fc.property(texts, (reason) => {
        const text = renderLine(lineOf(revocation('rev_1', { reason })));
        return !/[\n\r]/.test(text) && renderLine(parseLine(text)) === text;
      }),
    );
  });

  const text = renderLine(lineOf());

  it.each([
    ['nothing', ''],
    ['an entry alone', sealed.text],
    ['text with something behind it', `${text} `],
    ['text with a newline', `${text}\n`],
    ['text with something before it', ` ${text}`],
    ['a chain in capitals', text.replace(/"chain":"[0-9a-f]+"/, `"chain":"${'A'.repeat(40)}"`)],
    ['a chain that is too short', text.replace(/"chain":"[0-9a-f]+"/, `"chain":"${'a'.repeat(39)}"`)],
    ['a position with a leading zero', text.replace('"812-2"', '"812-02"')],
    ['a position that is none', text.replace('"812-2"', '"812"')],
    ['an entry that is none', text.replace(sealed.text, '{}')],
  ])('is not %s', (_, wrong) => {
    expect(() => parseLine(wrong)).toThrow(PROOF_INVALID);
  });

  it('is taken apart without looking into the entry', () => {
    const { chain } = lineOf();
    expect(splitLine(text)).toEqual({ chain, text: sealed.text, position: { epoch: 812, sequence: 2 } });
    expect(splitLine(text.replace(sealed.text, '{whatever}')).text).toBe('{whatever}');
  });
});
