import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { renderCheckpointLine, verifyLedger } from '../../src/evidence/ledger-export.ts';
import type { LedgerFacts } from '../../src/evidence/ledger-audit.ts';
import { signCheckpoint } from '../../src/evidence/checkpoint.ts';
import type { Keyring } from '../../src/evidence/keyring.ts';
import { MerkleTree, leafHash } from '../../src/evidence/merkle.ts';
import { splitLines } from '../../src/evidence/text.ts';
import type { FeedLine } from '../../src/feed/entry.ts';
import {
  CHAIN_START,
  isLogSigned,
  leafText,
  nextChain,
  parseLine,
  renderLine,
  sealEntry,
} from '../../src/feed/entry.ts';
import { renderPosition } from '../../src/feed/position.ts';
import { FleetFixture, seededKey } from '../support/fleet-fixture.ts';

const fleet = new FleetFixture();
for (let i = 0; i < 9; i++) {
  const { sealed } = fleet.revoke({ reason: `leaked \u2028 ${i}` }, `inc_gw-${i % 2 === 0 ? 'eu' : 'us'}-1`);
  const said = { state: 'enforced', matched: 0, killed: 0, unconfirmed: 0, receipt: 'a'.repeat(64) } as const;
  if (i % 4 === 3) {
    const { id } = sealed.entry;
    fleet.append({ id: `ent_o${i}`, kind: 'outcome', revocation: id, ...said }, 'inc_gw-eu-1');
  }
}
fleet.append(
  {
    id: 'ent_left',
    kind: 'replica',
    event: 'left',
    replica: 'gw-us-1',
    incarnation: 'inc_gw-us-1',
    key: fleet.replica(1).key.public.x,
  },
  'inc_gw-us-1',
);
const whole = fleet.export();
const size = fleet.lines.length;

async function refused(lines: readonly string[], keyring: Keyring = fleet.keyring): Promise<string> {
  let facts: LedgerFacts;
  try {
    facts = await verifyLedger(lines, keyring);
  } catch (error) {
    expect(error).toMatchObject({ code: 'PROOF_INVALID' });
    return (error as Error).message;
  }
  throw new Error(`the export was believed: ${JSON.stringify(facts)}`);
}

/** The same entries with chain values that fit: what a forger with a text editor and SHA-1 can do. */
function rechained(lines: readonly FeedLine[], before = CHAIN_START): FeedLine[] {
  let chain = before;
  return lines.map((line) => {
    chain = nextChain(chain, line.sealed.text);
    return { ...line, chain };
  });
}

describe('an exported ledger', () => {
  it('is verified from the first entry to the signed checkpoint', async () => {
    expect(await verifyLedger(whole, fleet.keyring)).toEqual({
      entries: size,
      first: '812-1',
      head: `812-${size}`,
      epochs: 1,
      origin: 'writ/payments/812',
      size,
      kinds: { epoch: 1, replica: 3, revocation: 9, outcome: 2 },
      uncertified: 0,
      unsigned: 0,
      unsignedAt: [],
      putAside: 0,
      putAsideAt: [],
      cosigned: {},
    });
  });

  it('is verified as bytes arrive', async () => {
    const bytes = Buffer.from(whole.map((line) => `${line}\n`).join(''));
    const chunks = [bytes.subarray(0, 1_000), bytes.subarray(1_000, 1_001), bytes.subarray(1_001)];
    expect(await verifyLedger(splitLines(chunks), fleet.keyring)).toMatchObject({ size });
  });

  it('may begin anywhere, and says how many entries only the tree vouches for', async () => {
    for (let from = 2; from <= size; from++) {
      expect(await verifyLedger(fleet.export(from), fleet.keyring)).toMatchObject({
        first: `812-${from}`,
        head: `812-${size}`,
        entries: size - from + 1,
        size,
      });
    }
    expect(await verifyLedger(fleet.export(3), fleet.keyring)).toMatchObject({ uncertified: 5 });
    expect(await verifyLedger(fleet.export(4), fleet.keyring)).toMatchObject({ uncertified: 9 });
  });

  it('is refused when one character of a line is altered, and the position is named', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: size }),
        fc.nat(size - 1),
        fc.nat(),
        fc.nat(15),
        async (from, which, at, bit) => {
          const lines = fleet.export(from);
          const index = which % (lines.length - 1);
          const line = lines[index]!;
          const place = at % line.length;
          const char = String.fromCharCode(line.charCodeAt(place) ^ (1 << bit));
          const altered = lines.with(index, `${line.slice(0, place)}${char}${line.slice(place + 1)}`);
          const sentence = await refused(altered);
          // Where an export begins is known by its first line alone; what that line was before cannot be.
          if (index > 0) {
            expect(sentence).toMatch(
              new RegExp(`^812-${from + index}( or \\d+-1)?: | that of 812-${from + index}$`),
            );
          }
        },
      ),
      { numRuns: 400 },
    );
  });

  it('is refused when its very first chain value is altered, and names the first position', async () => {
    const chain = nextChain(CHAIN_START, 'something else');
    const first = renderLine({ ...fleet.lines[0]!, chain });
    expect(await refused([first, ...whole.slice(1)])).toBe('812-1: chain does not begin here');
  });

  it('is refused when one line is dropped, doubled or cut off the end, and the position is named', async () => {
    for (const from of [1, 6]) {
      const lines = fleet.export(from);
      for (let index = 0; index < lines.length - 1; index++) {
        const position = `812-${from + index}`;
        expect(await refused(lines.toSpliced(index, 1))).toContain(`${position}: `);
        expect(await refused(lines.toSpliced(index, 0, lines[index]!))).toContain(`${position} stands here`);
        const cut = [...lines.slice(0, index), lines.at(-1)!];
        expect(await refused(cut)).toMatch(
          index === 0 ? /holds no entry/ : new RegExp(`^${position}: entry is missing`),
        );
      }
    }
  });

  it('is refused when one line is moved, and a position where it hurts is named', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(size - 1), fc.nat(size - 1), async (from, to) => {
        fc.pre(from !== to);
        const moved = whole.toSpliced(from, 1);
        const sentence = await refused(moved.toSpliced(to, 0, whole[from]!));
        const wrong = [from, to, Math.min(from, to)].map((index) => `812-${index + 1}`);
        expect(
          wrong.some((position) => sentence.includes(`${position}:`) || sentence.includes(`${position} `)),
        ).toBe(true);
      }),
      { numRuns: 100 },
    );
  });

  it('is refused without its checkpoint, with lines after it, and when it is that of fewer entries', async () => {
    expect(await refused(whole.slice(0, -1))).toBe(`812-${size + 1}: export ends without a checkpoint`);
    expect(await refused([...whole, whole[3]!])).toMatch(/goes on after its checkpoint/);
    expect(await refused([...whole, whole.at(-1)!])).toMatch(/goes on after its checkpoint/);
    expect(await refused([])).toMatch(/line 1: export ends without a checkpoint/);
    const fewer = [...whole.slice(0, -1), renderCheckpointLine(fleet.checkpoint(7))];
    expect(await refused(fewer)).toMatch(/^812-8: checkpoint does not reach the entry/);
  });

  it('is refused when its checkpoint is of another log, epoch, fleet or tree', async () => {
    const entries = whole.slice(0, -1);
    const sign = (origin: string, root: Uint8Array, name = 'writ/payments', key = fleet.logKey) =>
      renderCheckpointLine(signCheckpoint({ origin, size, root }, name, key));
    const root = fleet.tree.root();
    const strangers = sign('writ/payments/812', root, 'writ/payments', seededKey('stranger'));
    expect(await refused([...entries, strangers])).toMatch(/checkpoint does not verify/);
    expect(await refused([...entries, sign('writ/payments/813', root)])).toMatch(/of another epoch/);
    expect(await refused([...entries, sign('writ/payments/812', leafHash('x'))])).toMatch(
      new RegExp(`^812-${size}: the tree up to here is not the one that was signed`),
    );
    const orders = new FleetFixture({ fleet: 'orders' });
    const foreign = sign('writ/orders/812', root, 'writ/orders', orders.logKey);
    expect(await refused([...entries, foreign], [...orders.keyring, ...fleet.keyring])).toMatch(
      /checkpoint is of another log/,
    );
  });

  it('is refused when a checkpoint line has a second spelling', async () => {
    const entries = whole.slice(0, -1);
    const last = whole.at(-1)!;
    const partial = fleet.export(6).at(-1)!;
    const hash = /"hashes":\["([^"]+)"/.exec(partial)?.[1] ?? '';
    for (const [lines, line, sentence] of [
      [entries, `${last} `, /not canonical/],
      [entries, last.replace('}', ',"x":1}'), /no known shape/],
      [entries, last.replace('writ', '\\ud800writ'), /not canonical/],
      [entries, last.replace('writ', '\\u0077rit'), /not canonical/],
      [entries, last.slice(0, -1), /not JSON/],
      [fleet.export(6).slice(0, -1), partial.replace(hash, 'AAAA'), /no hash/],
      [fleet.export(6).slice(0, -1), partial.replace(`"${hash}",`, ''), /does not fit its size/],
      [fleet.export(6).slice(0, -1), partial.replace('"size":5', '"size":5.5'), /no known shape/],
      [fleet.export(6).slice(0, -1), partial.replace('"size":5', '"size":0'), /no known shape/],
    ] as [string[], string, RegExp][]) {
      expect(await refused([...lines, line])).toMatch(sentence);
    }
  });

  it('is refused when the frontier is missing, out of place, or not that of the entries left out', async () => {
    const bare = renderCheckpointLine(fleet.checkpoint());
    expect(await refused([...fleet.export(6).slice(0, -1), bare])).toMatch(/^812-1: entry is missing/);
    expect(await refused([...whole.slice(0, -1), fleet.export(6).at(-1)!])).toMatch(
      /^812-6: export does not begin/,
    );
    const { chain } = fleet.lines[4]!;
    const hashes = fleet.tree.frontier(5);
    const forged = renderCheckpointLine(fleet.checkpoint(), { size: 5, hashes: hashes.toReversed(), chain });
    expect(await refused([...fleet.export(6).slice(0, -1), forged])).toMatch(
      /is not the one that was signed/,
    );
    const other = renderCheckpointLine(fleet.checkpoint(), { size: 5, hashes, chain: CHAIN_START });
    expect(await refused([...fleet.export(6).slice(0, -1), other])).toMatch(/^812-6: chain does not follow/);
  });
});

describe('who signed an exported entry', () => {
  const named = { unsigned: 1, unsignedAt: ['812-4'] };

  it('was admitted before, by the log key; what others have appended is named', async () => {
    const forging = new FleetFixture();
    forging.append(
      { id: 'rev_x', kind: 'revocation', targets: [{ kind: 'all' }], caller: 'admin', body: 'b' },
      'inc_gw-stranger',
    );
    expect(await verifyLedger(forging.export(), fleet.keyring)).toMatchObject(named);

    const imposing = new FleetFixture();
    const facts = {
      id: 'rev_x',
      kind: 'revocation',
      targets: [{ kind: 'all' }],
      caller: 'c',
      body: 'b',
    } as const;
    imposing.append({ ...facts, targets: [{ kind: 'all' }] }, 'inc_gw-eu-1', seededKey('stranger'));
    expect(await verifyLedger(imposing.export(), fleet.keyring)).toMatchObject(named);
  });

  it('may be nobody, any number of times: all are counted, and a hundred are named', async () => {
    const flooded = new FleetFixture();
    for (let i = 0; i < 101; i++)
      flooded.append(
        { id: `rev_${i}`, kind: 'revocation', targets: [{ kind: 'all' }], caller: 'c', body: 'b' },
        'inc_gw-eu-1',
        seededKey('stranger'),
      );
    const { unsigned, unsignedAt } = await verifyLedger(flooded.export(), fleet.keyring);
    expect([unsigned, unsignedAt.length, unsignedAt[0], unsignedAt[99]]).toEqual([
      101,
      100,
      '812-4',
      '812-103',
    ]);
  });

  it('has no effect where it permits in another epoch than its own, which is named', async () => {
    const repeated = new FleetFixture();
    const about = { subject: { id: 'billing' }, action: 'read', resource: { type: 'invoice' } };
    for (const [i, one] of [repeated.epochId, 'ep_before'].entries())
      repeated.append(
        { id: `grt_${i}`, kind: 'grant', epochId: one, ...about, caller: 'c', body: 'b' },
        'inc_gw-eu-1',
      );
    const { unsigned, unsignedAt } = await verifyLedger(repeated.export(), fleet.keyring);
    expect([unsigned, unsignedAt]).toEqual([1, ['812-5']]);
    // Where the export begins later nobody can tell.
    expect(await verifyLedger(repeated.export(4), fleet.keyring)).toMatchObject({ unsigned: 0 });
  });

  it('is the one log key, where only that may sign', async () => {
    const other = new FleetFixture({ fleet: 'orders' });
    const mixed = rechained([...fleet.lines.slice(0, 2), other.lines[2]!, ...fleet.lines.slice(3)]);
    const lines = [...mixed.map(renderLine), whole.at(-1)!];
    expect(await refused(lines)).toBe('812-3: entry is not signed by the log key');
    expect(await refused(lines, [...fleet.keyring, ...other.keyring])).toBe(
      '812-3: entry is not signed by the log key',
    );
  });

  it('has a key', async () => {
    const keyless = new FleetFixture();
    keyless.append(
      { id: 'ent_x', kind: 'replica', event: 'joined', replica: 'x', incarnation: 'inc_x', key: 'AAAA' },
      'inc_x',
    );
    expect(await refused(keyless.export())).toBe('812-4: entry admits nobody');
  });

  it('cannot be hidden by a forger who mends the chain', async () => {
    for (let index = 3; index < size - 1; index++) {
      const line = fleet.lines[index]!;
      const { sig, ...entry } = line.sealed.entry;
      expect(sig).toBeDefined();
      const sealed = sealEntry({ ...entry, at: '2026-10-01T09:00:00.000Z' }, seededKey('forger'));
      const lines = rechained(fleet.lines.with(index, { ...line, sealed })).map(renderLine);
      const why = isLogSigned(sealed.entry) ? 'is not signed by the log key' : 'has a bad signature';
      expect(await refused([...lines, whole.at(-1)!])).toBe(`812-${index + 1}: entry ${why}`);
      // Where the signer's certificate was left out, the tree still tells.
      const from = index + 1;
      const rest = rechained(
        [{ ...line, sealed }, ...fleet.lines.slice(from)],
        fleet.lines[index - 1]!.chain,
      ).map(renderLine);
      const told = isLogSigned(sealed.entry) ? why : 'is not the one that was signed';
      expect(await refused([...rest, fleet.export(from).at(-1)!])).toContain(told);
    }
  });
});

describe('an export over several epochs', () => {
  const next = new FleetFixture({ epoch: 900, base: fleet.base() });
  const lastOne = next.revoke();
  const both = [...whole.slice(0, -1), ...next.export()];

  function withBase(changed: Partial<NonNullable<ReturnType<FleetFixture['base']>>>): string[] {
    return new FleetFixture({ epoch: 900, base: { ...fleet.base(), ...changed } }).export();
  }

  it('is verified where each epoch names the end of the one before', async () => {
    expect(await verifyLedger(both, fleet.keyring)).toEqual({
      entries: size + 4,
      first: '812-1',
      head: renderPosition(lastOne.position),
      epochs: 2,
      origin: 'writ/payments/900',
      size: 4,
      kinds: { epoch: 2, replica: 5, revocation: 10, outcome: 2 },
      uncertified: 0,
      unsigned: 0,
      unsignedAt: [],
      putAside: 0,
      putAsideAt: [],
      cosigned: {},
    });
    expect(await verifyLedger(next.export(), fleet.keyring)).toMatchObject({ first: '900-1', epochs: 1 });
    expect(await verifyLedger(next.export(3), fleet.keyring)).toMatchObject({ first: '900-3', size: 4 });
  });

  it('may hold lines that the next one does not continue, the newest ones: the store had lost them', async () => {
    const lost = new FleetFixture();
    lost.revoke();
    const early = lost.base();
    for (let i = 0; i < 3; i++) lost.revoke();
    const after = (base: typeof early): string[] => [
      ...lost.export().slice(0, -1),
      ...new FleetFixture({ epoch: 900, base }).export(),
    ];
    // Under no root that was signed: so they are told apart, and counted as nothing else.
    const { entries, epochs, kinds, ...facts } = await verifyLedger(after(early), fleet.keyring);
    expect({ entries, epochs, kinds }).toEqual({
      entries: 7,
      epochs: 2,
      kinds: { epoch: 2, replica: 4, revocation: 1 },
    });
    expect(facts).toMatchObject({ putAside: 3, putAsideAt: ['812-5', '812-6', '812-7'] });
    expect(await refused(after({ ...early, chain: 'f'.repeat(40) }))).toMatch(/the epoch did not end here/);
    for (let i = 0; i < 200; i++) lost.revoke();
    const { putAside, putAsideAt } = await verifyLedger(after(early), fleet.keyring);
    expect([putAside, putAsideAt.length]).toEqual([203, 100]);
    for (let i = 0; i < 1_030; i++) lost.revoke();
    expect(await refused(after(early))).toMatch(/the epoch did not end here/);
  });

  it('may begin inside the first of them', async () => {
    const from = 6;
    const { chain } = fleet.lines[from - 2]!;
    const frontier = { size: from - 1, hashes: fleet.tree.frontier(from - 1), chain };
    const entries = both.slice(from - 1, -1);
    const last = renderCheckpointLine(next.checkpoint(), frontier);
    expect(await verifyLedger([...entries, last], fleet.keyring)).toMatchObject({
      first: '812-6',
      epochs: 2,
    });
    const forged = renderCheckpointLine(next.checkpoint(), {
      ...frontier,
      hashes: frontier.hashes.toReversed(),
    });
    expect(await refused([...entries, forged])).toMatch(
      new RegExp(`^812-${size}: the tree up to here is not the one`),
    );
  });

  it('is verified without a checkpoint of the epoch before, whose chain the log signed all the same', async () => {
    expect(
      await verifyLedger([...whole.slice(0, -1), ...withBase({ checkpoint: '' })], fleet.keyring),
    ).toMatchObject({ epochs: 2 });
  });

  it('is refused when a line around the border is dropped, and its position is named', async () => {
    expect(await refused(both.toSpliced(size - 1, 1))).toMatch(new RegExp(`^812-${size}: `));
    expect(await refused(both.toSpliced(size, 1))).toMatch(/ or 900-1: /);
    expect(await refused(both.toSpliced(size + 1, 1))).toMatch(/^900-2: /);
    expect(await refused([...next.export().slice(0, -1), ...whole])).toMatch(
      /^900-5: entry is missing or out of/,
    );
  });

  it('is refused when the epoch before is another one, ended elsewhere, or is not named', async () => {
    const entries = whole.slice(0, -1);
    const fresh = new FleetFixture({ epoch: 900 });
    expect(await refused([...entries, ...fresh.export()])).toMatch(/^900-1: nothing proves where/);
    expect(await refused([...entries, ...withBase({ epochId: 'ep_x' })])).toMatch(
      /^900-1: epoch continues another/,
    );
    const chain = CHAIN_START;
    expect(await refused([...entries, ...withBase({ chain })])).toMatch(/did not end here/);
    const shorter = { head: '812-3', checkpoint: '' };
    expect(await refused([...entries, ...withBase(shorter)])).toMatch(/did not end here/);
  });

  it('is refused when the checkpoint of the epoch before is not of its head, or not the log of this one', async () => {
    const entries = whole.slice(0, -1);
    const early = { checkpoint: fleet.checkpoint(3) };
    expect(await refused([...entries, ...withBase(early)])).toMatch(/^900-1: checkpoint is not of the head/);
    expect(await refused(withBase(early))).toMatch(/^900-1: checkpoint is not of the head/);
    expect(await refused(withBase({ checkpoint: 'x' }))).toMatch(/^900-1: checkpoint does not verify/);
    const other = new MerkleTree();
    for (const line of fleet.lines.toReversed()) other.append(leafHash(leafText(line)));
    const forked = signCheckpoint(
      { origin: 'writ/payments/812', size, root: other.root() },
      'writ/payments',
      fleet.logKey,
    );
    expect(await refused([...entries, ...withBase({ checkpoint: forked })])).toMatch(
      new RegExp(`^812-${size}: the tree up to here`),
    );
  });
});

describe('the shape of an epoch', () => {
  it('begins with its own entry and has no other', async () => {
    const first = { ...fleet.lines[3]!, position: { epoch: 812, sequence: 1 } };
    expect(await refused([...rechained([first]).map(renderLine), whole.at(-1)!])).toMatch(
      /^812-1: an epoch begins with its own entry/,
    );
    const second = new FleetFixture();
    second.append(
      { id: 'ent_2', kind: 'epoch', epochId: 'ep_2', runId: 'r', rule: 'bootstrap' },
      'inc_gw-eu-1',
    );
    expect(await refused(second.export())).toMatch(/^812-4: an epoch begins with its own entry/);
  });

  it('is checked on lines that are exactly what the feed writes', () => {
    for (const [i, line] of whole.slice(0, -1).entries())
      expect(parseLine(line).sealed.text).toBe(fleet.lines[i]!.sealed.text);
  });
});

describe('cosignatures in an export', () => {
  const [first, second] = [fleet.replica(0), fleet.replica(1)];
  const verified = async (from: number, cosigned: readonly string[]) =>
    (await verifyLedger(fleet.export(from, cosigned), fleet.keyring)).cosigned;

  it('say up to where each replica has cosigned this very ledger', async () => {
    const cosigned = [fleet.cosignature(first), fleet.cosignature(second, 8)];
    expect(await verified(1, cosigned)).toEqual({
      'writ/payments/gw-eu-1': size,
      'writ/payments/gw-us-1': 8,
    });
    // Who is admitted stands in entries 2 and 3.
    expect(await verified(3, cosigned)).toEqual({ 'writ/payments/gw-us-1': 8 });
    expect(await verified(9, cosigned)).toEqual({});
    expect(await verified(1, [fleet.cosignature(first, 2), fleet.cosignature(second, 1)])).toEqual({
      'writ/payments/gw-eu-1': 2,
      'writ/payments/gw-us-1': 1,
    });
    expect(await verified(3, [fleet.cosignature(second, 2)])).toEqual({});
  });

  it('refute it where one is of another ledger, and name who and where', async () => {
    const other = fleet.cosignature(second, 8, leafHash('another'));
    const sentence = '812-8: the ledger is forked: writ/payments/gw-us-1 has cosigned another one up to here';
    expect(await refused(fleet.export(1, [other]))).toBe(sentence);
    expect(await refused(fleet.export(3, [fleet.cosignature(first), other]))).toBe(sentence);
  });

  it('are of members, of this epoch, and cosignatures', async () => {
    const stranger = { ...first, key: seededKey('stranger') };
    expect(await refused(fleet.export(1, [fleet.cosignature(stranger)]))).toMatch(/nobody who was admitted/);
    const elsewhere = new FleetFixture({ epoch: 813 }).cosignature(first, 3);
    expect(await refused(fleet.export(1, [elsewhere]))).toMatch(/of another epoch/);
    expect(await refused(fleet.export(1, ['nonsense']))).toMatch(/cosignature is none/);
  });

  it('are refused when a character of one is altered', async () => {
    const lines = fleet.export(1, [fleet.cosignature(first)]);
    const last = lines.at(-1)!;
    const [from, to] = [last.indexOf('"cosigned"'), last.length];
    for (let at = from; at < to; at++) {
      const char = String.fromCharCode(last.charCodeAt(at) ^ 1);
      await refused([...lines.slice(0, -1), `${last.slice(0, at)}${char}${last.slice(at + 1)}`]);
    }
  });
});
