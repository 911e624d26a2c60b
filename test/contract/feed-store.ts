/**
 * The contract of the FeedStore port. It runs on every adapter: what is written here is what flows may rely on, and
 * functions.lua has to pass it too. A test that only one adapter could pass does not belong here.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { FeedLine, SealedEntry } from '../../src/feed/entry.ts';
import { CHAIN_START, nextChain, renderLine } from '../../src/feed/entry.ts';
import type {
  AppendReply,
  FeedStore,
  OpenEpochRequest,
  RenewReply,
  RenewRequest,
  StoreFacts,
} from '../../src/feed/feed-store.ts';
import type { Position } from '../../src/feed/position.ts';
import { ORIGIN, comparePositions } from '../../src/feed/position.ts';
import { bulkRevocation, epoch, outcome, replica, revocation } from '../support/feed-entries.ts';

export interface Harness {
  readonly facts: StoreFacts;
  readonly store: FeedStore;
  /** True when a restart of the store leaves its epoch open. */
  readonly keepsEpoch: boolean;
  /** False when the store declines snapshots, because it never trims. */
  readonly keepsSnapshots: boolean;
  /** Another handle on the same feed, opened; the same one where only one can be. */
  connect(): Promise<FeedStore>;
  /** The store ends and begins again, with its disk; handles from before are no longer used. */
  restart(): Promise<{ readonly store: FeedStore; readonly facts: StoreFacts }>;
  close(): Promise<void>;
}

type Lease = Extract<RenewReply, { kind: 'lease' }>;

/** One incarnation as the port sees it: a cursor that follows what it is given, and nonces as DESIGN 3.2 wants them. */
export class ContractReplica {
  readonly incarnation: string;
  readonly lines: FeedLine[] = [];
  store: FeedStore;
  epochId: string;
  position: Position = ORIGIN;
  chain = CHAIN_START;
  acknowledgement: string | undefined;
  #nonces: readonly string[] = [];
  static #nonce = 0;

  constructor(store: FeedStore, incarnation: string, epochId = 'ep_1') {
    this.store = store;
    this.incarnation = incarnation;
    this.epochId = epochId;
  }

  /** The request of the next renewal; its nonce counts as sent. */
  request(limit = 1000): RenewRequest {
    ContractReplica.#nonce += 1;
    this.#nonces = [...this.#nonces, `n${ContractReplica.#nonce}`];
    const { incarnation, epochId, position, chain, acknowledgement } = this;
    return { incarnation, epochId, position, chain, nonces: this.#nonces, acknowledgement, limit };
  }

  async renew(limit?: number): Promise<RenewReply> {
    return this.take(await this.store.renew(this.request(limit)));
  }

  /** Takes an answer: the nonce it answers stays, the cursor moves over its lines. */
  take(reply: RenewReply): RenewReply {
    this.#nonces = this.#nonces.slice(-1);
    if (reply.kind !== 'lease' && reply.kind !== 'more') return reply;
    for (const line of reply.lines) this.#advance(line);
    return reply;
  }

  /** The nonces of another, as a copy of its memory would have them. */
  copyOf(other: ContractReplica): this {
    this.position = other.position;
    this.chain = other.chain;
    this.#nonces = other.#nonces;
    return this;
  }

  #advance(line: FeedLine): void {
    const isFirst = line.sealed.entry.kind === 'epoch';
    expect(nextChain(isFirst ? CHAIN_START : this.chain, line.sealed.text)).toBe(line.chain);
    expect(line.position.sequence).toBe(isFirst ? 1 : this.position.sequence + 1);
    this.position = line.position;
    this.chain = line.chain;
    this.lines.push(line);
  }
}

/** Runs the whole port against what `makeHarness` opens: a new, empty store each time. */
export function feedStoreContract(name: string, makeHarness: () => Promise<Harness>): void {
  describe(`${name} as a feed store`, () => {
    let harness: Harness;
    let store: FeedStore;
    let runId: string;

    beforeEach(async () => {
      harness = await makeHarness();
      ({ store } = harness);
      ({ runId } = harness.facts);
    });

    afterEach(() => harness.close());

    function opening(epochId: string, over: Partial<OpenEpochRequest> = {}): OpenEpochRequest {
      const run = over.runId ?? runId;
      return { closedEpochId: undefined, runId: run, epochS: 100, sealed: epoch(epochId, run), ...over };
    }

    /** Opens `ep_1` and joins the incarnations. */
    async function begin(...incarnations: string[]): Promise<ContractReplica[]> {
      await store.openEpoch(opening('ep_1'));
      for (const incarnation of incarnations) await store.append('ep_1', replica('joined', incarnation));
      return incarnations.map((incarnation) => new ContractReplica(store, incarnation));
    }

    /** Renews until everyone has a lease: each acknowledges the others by renewing once more. */
    async function leaseAll(...all: ContractReplica[]): Promise<void> {
      for (const one of all) {
        for (const other of all) await other.renew();
        await lease(one);
      }
    }

    /** Renews until there is a lease. */
    async function lease(one: ContractReplica, limit?: number): Promise<Lease> {
      for (let tries = 0; tries < 100; tries++) {
        const reply = await one.renew(limit);
        if (reply.kind === 'lease') return reply;
        expect(reply.kind).toBe('more');
      }
      throw new Error('no lease');
    }

    describe('before an epoch is open', () => {
      it('says what it is, and that it holds nothing', async () => {
        expect(runId).not.toBe('');
        expect(await store.roster()).toEqual({
          epochId: undefined,
          closedEpochId: undefined,
          runId,
          head: ORIGIN,
          rows: [],
          line: undefined,
        });
        expect(await store.readSnapshot()).toBeUndefined();
      });

      it('grants nothing and takes nothing', async () => {
        const one = new ContractReplica(store, 'inc_a');
        expect(await one.renew()).toEqual({ kind: 'closed', epochId: undefined });
        await expect(store.append('ep_1', revocation('r1'))).rejects.toMatchObject({ code: 'EPOCH_CLOSED' });
        expect((await store.roster()).head).toEqual(ORIGIN);
      });
    });

    describe('opening an epoch', () => {
      it('begins it at sequence 1 with a chain of its own', async () => {
        const sealed = epoch('ep_1', runId);
        const reply = await store.openEpoch(opening('ep_1', { sealed }));
        const position = { epoch: 100, sequence: 1 };
        const chain = nextChain(CHAIN_START, sealed.text);
        expect(reply).toEqual({ kind: 'opened', position, chain });
        const roster = await store.roster(position);
        expect(roster).toMatchObject({ epochId: 'ep_1', closedEpochId: undefined, runId, head: position });
        expect(roster.line).toEqual({ position, chain, sealed });
      });

      it('is won by one of two openers', async () => {
        const other = await harness.connect();
        const replies = await Promise.all([
          store.openEpoch(opening('ep_1')),
          other.openEpoch(opening('ep_2')),
        ]);
        expect(replies.map(({ kind }) => kind).sort()).toEqual(['lost', 'opened']);
        const winner = replies[0].kind === 'opened' ? 'ep_1' : 'ep_2';
        expect(await store.roster()).toMatchObject({ epochId: winner, head: { epoch: 100, sequence: 1 } });
      });

      it('is lost by who names another run, or an epoch that is not the newest', async () => {
        const elsewhere = opening('ep_1', { runId: 'another run' });
        expect(await store.openEpoch(elsewhere)).toEqual({ kind: 'lost' });
        expect(await store.openEpoch(opening('ep_1', { closedEpochId: 'ep_0' }))).toEqual({ kind: 'lost' });
        await begin();
        expect(await store.openEpoch(opening('ep_2'))).toEqual({ kind: 'lost' });
        expect(await store.roster()).toMatchObject({ epochId: 'ep_1' });
      });

      it('is lost when it is repeated, and the roster then shows that it had been won', async () => {
        const request = opening('ep_1');
        await store.openEpoch(request);
        expect(await store.openEpoch(request)).toEqual({ kind: 'lost' });
        expect(await store.roster()).toMatchObject({
          epochId: 'ep_1',
          head: { epoch: 100, sequence: 1 },
        });
      });

      it('numbers it by the clock it is given, and always after the one before', async () => {
        await begin();
        const later = await store.openEpoch(opening('ep_2', { closedEpochId: 'ep_1', epochS: 7 }));
        expect(later).toMatchObject({ kind: 'opened', position: { epoch: 101, sequence: 1 } });
        const third = await store.openEpoch(opening('ep_3', { closedEpochId: 'ep_2', epochS: 5000 }));
        expect(third).toMatchObject({ kind: 'opened', position: { epoch: 5000, sequence: 1 } });
      });

      it('takes only an entry that opens an epoch of this run, and only this way', async () => {
        await expect(store.openEpoch(opening('ep_1', { sealed: revocation('r1') }))).rejects.toMatchObject({
          code: 'INTERNAL',
        });
        await expect(
          store.openEpoch(opening('ep_1', { sealed: epoch('ep_1', 'other') })),
        ).rejects.toMatchObject({
          code: 'INTERNAL',
        });
        await begin();
        await expect(store.openEpoch(opening('ep_1', { closedEpochId: 'ep_1' }))).rejects.toMatchObject({
          code: 'INTERNAL',
        });
        await expect(store.append('ep_1', epoch('ep_2', runId))).rejects.toMatchObject({
          code: 'INTERNAL',
        });
        expect(await store.roster()).toMatchObject({ epochId: 'ep_1', head: { epoch: 100, sequence: 1 } });
      });

      it('leaves the one before behind: its leases, its appends, its lease table', async () => {
        const [a] = await begin('inc_a');
        await lease(a!);
        await store.openEpoch(opening('ep_2', { closedEpochId: 'ep_1' }));
        expect((await store.roster()).rows).toEqual([]);
        expect(await a!.renew()).toEqual({ kind: 'closed', epochId: 'ep_2' });
        await expect(store.append('ep_1', revocation('r1'))).rejects.toMatchObject({ code: 'EPOCH_CLOSED' });
      });

      it('keeps the history before it: who follows reads on into the new one', async () => {
        const [a] = await begin('inc_a');
        await store.append('ep_1', revocation('r1'));
        await lease(a!);
        await store.openEpoch(opening('ep_2', { closedEpochId: 'ep_1' }));
        a!.epochId = 'ep_2';
        const reply = await lease(a!);
        expect(reply.lines.map(({ position }) => position)).toEqual([{ epoch: 101, sequence: 1 }]);
        await store.append('ep_2', replica('joined', 'inc_b'));
        const b = new ContractReplica(store, 'inc_b', 'ep_2');
        await b.renew();
        expect(b.lines.map(({ sealed }) => sealed.entry.id)).toEqual([
          'ent_ep_1',
          'joined_inc_a',
          'r1',
          'ent_ep_2',
          'joined_inc_b',
        ]);
      });
    });

    describe('appending', () => {
      it('gives each entry the next place and chain, and shows it there', async () => {
        await begin();
        const first = await store.append('ep_1', revocation('r1'));
        const second = await store.append('ep_1', outcome('r1'));
        expect(first).toMatchObject({ position: { epoch: 100, sequence: 2 }, epochId: 'ep_1', runId });
        expect(second).toMatchObject({ position: { epoch: 100, sequence: 3 }, duplicate: false });
        expect(second.chain).toBe(nextChain(first.chain, outcome('r1').text));
        expect((await store.roster(first.position)).line).toEqual({
          position: first.position,
          chain: first.chain,
          sealed: revocation('r1'),
        });
      });

      it('keeps texts exactly, whatever is in them', async () => {
        const [a] = await begin('inc_a');
        const odd = revocation('r1', { reason: 'a "quoted" \\ line\u2028separator\u2029\n\u0000é漢😀' });
        await store.append('ep_1', odd);
        await lease(a!);
        expect(a!.lines.at(-1)?.sealed).toEqual(odd);
      });

      it('answers the first place when an entry comes again', async () => {
        await begin();
        const first = await store.append('ep_1', revocation('r1'));
        await store.append('ep_1', revocation('r2'));
        expect(await store.append('ep_1', revocation('r1'))).toEqual({ ...first, duplicate: true });
        expect((await store.roster()).head.sequence).toBe(3);
      });

      it('writes one of many that come at once with one id', async () => {
        await begin();
        const other = await harness.connect();
        const stores = [store, other, store, other, store];
        const replies = await Promise.all(stores.map((one) => one.append('ep_1', revocation('r1'))));
        expect(replies.filter(({ duplicate }) => !duplicate)).toHaveLength(1);
        expect(new Set(replies.map(({ position, chain }) => `${position.sequence} ${chain}`)).size).toBe(1);
        expect((await store.roster()).head.sequence).toBe(2);
      });

      it('writes an entry of a closed epoch again: the place it answers is in the open one', async () => {
        await begin();
        const first = await store.append('ep_1', revocation('r1'));
        await store.openEpoch(opening('ep_2', { closedEpochId: 'ep_1' }));
        const again = await store.append('ep_2', revocation('r1'));
        expect(first.position.epoch).toBe(100);
        expect(again).toMatchObject({
          position: { epoch: 101, sequence: 2 },
          epochId: 'ep_2',
          duplicate: false,
        });
      });

      it('orders what comes at once without a gap, and answers each with its own place', async () => {
        const [a] = await begin('inc_a');
        const ids = Array.from({ length: 100 }, (_, index) => `r${index}`);
        const replies = await Promise.all(ids.map((id) => store.append('ep_1', revocation(id))));
        await lease(a!);
        const places = new Map(a!.lines.map((line) => [line.sealed.entry.id, line]));
        expect(ids.map((id) => places.get(id)?.position)).toEqual(replies.map(({ position }) => position));
        expect(ids.map((id) => places.get(id)?.chain)).toEqual(replies.map(({ chain }) => chain));
        expect((await store.roster()).head.sequence).toBe(102);
      });

      it('refuses an epoch that is not open, and writes nothing', async () => {
        await begin();
        await expect(store.append('ep_2', revocation('r1'))).rejects.toMatchObject({ code: 'EPOCH_CLOSED' });
        expect((await store.roster()).head.sequence).toBe(1);
      });
    });

    describe('renewing', () => {
      it('brings everything newer than the cursor together with the lease', async () => {
        const [a] = await begin('inc_a');
        await store.append('ep_1', revocation('r1'));
        const first = await lease(a!);
        expect(first.lines.map(({ sealed }) => sealed.entry.id)).toEqual(['ent_ep_1', 'joined_inc_a', 'r1']);
        expect(first.head).toEqual({ epoch: 100, sequence: 3 });
        await store.append('ep_1', revocation('r2'));
        await store.append('ep_1', revocation('r3'));
        const second = await lease(a!);
        expect(second.lines.map(({ sealed }) => sealed.entry.id)).toEqual(['r2', 'r3']);
        expect((await lease(a!)).lines).toEqual([]);
      });

      it('gives lines that render to the same bytes as they were appended', async () => {
        const [a] = await begin('inc_a');
        const { position, chain } = await store.append('ep_1', revocation('r1'));
        await lease(a!);
        expect(renderLine(a!.lines.at(-1)!)).toBe(renderLine({ position, chain, sealed: revocation('r1') }));
      });

      it('pages, and grants nothing before the last page', async () => {
        const [a] = await begin('inc_a');
        for (let index = 0; index < 5; index++) await store.append('ep_1', revocation(`r${index}`));
        expect(await a!.renew(3)).toMatchObject({ kind: 'more', head: { epoch: 100, sequence: 7 } });
        expect((await store.roster()).rows).toEqual([]);
        expect((await a!.renew(3)).kind).toBe('more');
        expect((await store.roster()).rows).toEqual([]);
        expect(await a!.renew(3)).toMatchObject({ kind: 'lease', rows: [{ renewals: 1 }] });
        expect(a!.lines).toHaveLength(7);
      });

      it('grants with a last page that is exactly full', async () => {
        const [a] = await begin('inc_a');
        await store.append('ep_1', revocation('r1'));
        expect(await a!.renew(3)).toMatchObject({ kind: 'lease', head: { sequence: 3 } });
      });

      it('brings entries that are larger than a page one by one', async () => {
        const [a] = await begin('inc_a');
        const sealed: SealedEntry[] = [];
        for (let index = 0; index < 3; index++) sealed.push(bulkRevocation(`bulk${index}`, 1000));
        await Promise.all(sealed.map((one) => store.append('ep_1', one)));
        await lease(a!);
        expect(a!.lines.slice(2).map((line) => line.sealed)).toEqual(sealed);
      });

      it('counts each lease in the row, and keeps the newest acknowledgement', async () => {
        const [a] = await begin('inc_a');
        expect((await lease(a!)).rows).toEqual([
          { incarnation: 'inc_a', renewals: 1, acknowledgement: undefined },
        ]);
        a!.acknowledgement = 'signed.1';
        await lease(a!);
        a!.acknowledgement = undefined;
        await lease(a!);
        expect((await store.roster()).rows).toEqual([
          { incarnation: 'inc_a', renewals: 3, acknowledgement: 'signed.1' },
        ]);
      });

      it('refuses a history that is not its own, until it is told another', async () => {
        const [a] = await begin('inc_a');
        await lease(a!);
        const { position, chain } = a!;
        a!.chain = 'f'.repeat(40);
        expect(await a!.renew()).toEqual({ kind: 'stale', reason: 'diverged' });
        for (const elsewhere of [
          { epoch: 100, sequence: 9 },
          { epoch: 99, sequence: 1 },
          { epoch: 101, sequence: 1 },
          { epoch: 100, sequence: 0 },
        ]) {
          a!.position = elsewhere;
          expect(await a!.renew()).toEqual({ kind: 'stale', reason: 'diverged' });
        }
        Object.assign(a!, { position: ORIGIN, chain: 'f'.repeat(40) });
        expect(await a!.renew()).toEqual({ kind: 'stale', reason: 'diverged' });
        expect((await store.roster()).rows).toMatchObject([{ renewals: 1 }]);
        Object.assign(a!, { position, chain });
        expect((await a!.renew()).kind).toBe('lease');
      });

      it('knows a cursor in the middle of its history by its chain', async () => {
        const [a] = await begin('inc_a');
        const { position, chain } = await store.append('ep_1', revocation('r1'));
        await store.append('ep_1', revocation('r2'));
        Object.assign(a!, { position, chain });
        const reply = await lease(a!);
        expect(reply.lines.map(({ sealed }) => sealed.entry.id)).toEqual(['r2']);
        Object.assign(a!, { position, chain: reply.lines[0]!.chain });
        expect(await a!.renew()).toEqual({ kind: 'stale', reason: 'diverged' });
      });

      it('names the open epoch to who goes by another', async () => {
        const [a] = await begin('inc_a');
        a!.epochId = 'ep_0';
        expect(await a!.renew()).toEqual({ kind: 'closed', epochId: 'ep_1' });
      });
    });

    describe('leases and appends', () => {
      it('never grants a lease without an entry whose append had been answered before it was asked for', async () => {
        const [a, b] = await begin('inc_a', 'inc_b');
        await leaseAll(a!, b!);
        const answered: AppendReply[] = [];
        const appending = Promise.all(
          Array.from({ length: 200 }, async (_, index) => {
            for (let turn = 0; turn < index % 17; turn++) await Promise.resolve();
            answered.push(await store.append('ep_1', revocation(`r${index}`)));
          }),
        );
        const renewing = [a!, b!].map(async (one) => {
          for (let round = 0; round < 60; round++) {
            const before = answered.length;
            const reply = await one.renew();
            if (reply.kind !== 'lease') continue;
            for (const { position } of answered.slice(0, before)) {
              expect(comparePositions(one.position, position)).toBeGreaterThanOrEqual(0);
            }
          }
        });
        await Promise.all([appending, ...renewing]);
        expect((await lease(a!)).head).toEqual({ epoch: 100, sequence: 203 });
        expect(a!.lines).toHaveLength(203);
      });

      it('shows, in a reading after an append, the counter of every lease that lacks the entry', async () => {
        const [a] = await begin('inc_a');
        await lease(a!);
        const granted: { renewals: number; head: Position }[] = [];
        const readings: { renewals: number; appended: Position }[] = [];
        const renewing = (async () => {
          for (let round = 0; round < 150; round++) {
            const reply = await a!.renew();
            if (reply.kind === 'lease')
              granted.push({ renewals: reply.rows[0]!.renewals, head: a!.position });
          }
        })();
        const appending = (async () => {
          for (let round = 0; round < 40; round++) {
            const { position } = await store.append('ep_1', revocation(`r${round}`));
            const { rows } = await store.roster();
            readings.push({ renewals: rows[0]!.renewals, appended: position });
          }
        })();
        await Promise.all([renewing, appending]);
        // THREATS 10.1: were the counter shown later than the lease is granted, a waiter would take its holder for quiet.
        for (const { renewals, appended } of readings) {
          const lacking = granted.filter(({ head }) => comparePositions(head, appended) < 0);
          expect(Math.max(0, ...lacking.map((one) => one.renewals))).toBeLessThanOrEqual(renewals);
        }
        expect(granted.length).toBeGreaterThan(0);
      });
    });

    describe('telling clones from lost replies', () => {
      it('forgives lost replies and lost requests', async () => {
        const [a] = await begin('inc_a');
        await lease(a!);
        await store.renew(a!.request());
        a!.request();
        await store.renew(a!.request());
        expect((await a!.renew()).kind).toBe('lease');
      });

      it('forgives any number of them, as long as the last nonce is repeated instead of one being left out', async () => {
        const [a] = await begin('inc_a');
        await lease(a!);
        const requests = Array.from({ length: 16 }, () => a!.request());
        await store.renew(requests[2]!);
        const last = requests[15]!;
        expect((await store.renew(last)).kind).toBe('lease');
        // That reply was lost too, and however often it is asked again, the store answers and grants nothing.
        for (let round = 0; round < 3; round++) {
          expect(await store.renew(last)).toMatchObject({ kind: 'more', lines: [] });
        }
        a!.take(await store.renew(last));
        expect((await a!.renew()).kind).toBe('lease');
      });

      it('ignores a request that its own successor has overtaken', async () => {
        const [a] = await begin('inc_a');
        await lease(a!);
        const late = a!.request();
        a!.acknowledgement = 'signed.2';
        const reply = await lease(a!);
        await store.append('ep_1', revocation('r1'));
        expect(await store.renew(late)).toMatchObject({ kind: 'more', lines: [] });
        expect((await store.roster()).rows).toEqual(reply.rows);
        expect((await a!.renew()).kind).toBe('lease');
      });

      it('ignores one that is later still, and one that the network delivers twice', async () => {
        const [a] = await begin('inc_a');
        await lease(a!);
        const late = a!.request();
        for (let round = 0; round < 20; round++) await lease(a!);
        expect(await store.renew(late)).toMatchObject({ kind: 'more', lines: [] });
        const twice = a!.request();
        a!.take(await store.renew(twice));
        expect(await store.renew(twice)).toMatchObject({ kind: 'more', lines: [] });
        expect((await a!.renew()).kind).toBe('lease');
      });

      it('fences both of two that go by one incarnation, for good, and nobody else', async () => {
        const [a, b] = await begin('inc_a', 'inc_b');
        await leaseAll(a!, b!);
        const copy = new ContractReplica(store, 'inc_a').copyOf(a!);
        await lease(a!);
        expect(await copy.renew()).toEqual({ kind: 'stale', reason: 'cloned' });
        expect(await a!.renew()).toEqual({ kind: 'stale', reason: 'cloned' });
        expect(await copy.renew()).toEqual({ kind: 'stale', reason: 'cloned' });
        expect((await b!.renew()).kind).toBe('lease');
      });

      it('fences a copy that was made while a renewal was under way', async () => {
        const [a] = await begin('inc_a');
        await lease(a!);
        const underWay = a!.request();
        const copy = new ContractReplica(store, 'inc_a').copyOf(a!);
        a!.take(await store.renew(underWay));
        expect((await copy.renew()).kind).toBe('lease');
        expect(await a!.renew()).toEqual({ kind: 'stale', reason: 'cloned' });
        expect(await copy.renew()).toEqual({ kind: 'stale', reason: 'cloned' });
      });

      it('grants nothing to a request without a nonce', async () => {
        const [a] = await begin('inc_a');
        expect(await store.renew({ ...a!.request(), nonces: [] })).toMatchObject({ kind: 'more', lines: [] });
        expect((await store.roster()).rows).toEqual([]);
      });
    });

    describe('admitting', () => {
      it('knows nobody without a joined entry', async () => {
        const [a] = await begin('inc_a');
        await lease(a!);
        expect(await new ContractReplica(store, 'inc_b').renew()).toEqual({
          kind: 'stale',
          reason: 'unknown',
        });
        expect((await store.roster()).rows).toHaveLength(1);
      });

      it('lets the second wait until one with a lease has acknowledged it', async () => {
        const [a] = await begin('inc_a');
        await lease(a!);
        await store.append('ep_1', replica('joined', 'inc_b'));
        const b = new ContractReplica(store, 'inc_b');
        // Who waits is given the feed meanwhile.
        expect(await b.renew()).toMatchObject({ kind: 'more', lines: { length: 3 } });
        expect(await b.renew()).toEqual({ kind: 'stale', reason: 'awaiting' });
        await lease(a!);
        expect(await b.renew()).toEqual({ kind: 'stale', reason: 'awaiting' });
        await lease(a!);
        expect(await b.renew()).toMatchObject({ kind: 'lease' });
        expect((await store.roster()).rows.map(({ incarnation }) => incarnation).sort()).toEqual([
          'inc_a',
          'inc_b',
        ]);
      });

      it('is not satisfied by one that waits itself', async () => {
        const [a] = await begin('inc_a');
        await lease(a!);
        await store.append('ep_1', replica('joined', 'inc_b'));
        await store.append('ep_1', replica('joined', 'inc_c'));
        const [b, c] = [new ContractReplica(store, 'inc_b'), new ContractReplica(store, 'inc_c')];
        for (let round = 0; round < 3; round++) {
          await b.renew();
          await c.renew();
        }
        expect(await b.renew()).toEqual({ kind: 'stale', reason: 'awaiting' });
        expect(await c.renew()).toEqual({ kind: 'stale', reason: 'awaiting' });
      });

      it('admits at once who continues one on the roster', async () => {
        const [a] = await begin('inc_a');
        await lease(a!);
        await store.append('ep_1', replica('joined', 'inc_b', { succeeds: 'inc_a' }));
        expect((await new ContractReplica(store, 'inc_b').renew()).kind).toBe('lease');
      });

      it('does not admit at once who continues one that never held a lease', async () => {
        const [a] = await begin('inc_a');
        await lease(a!);
        await store.append('ep_1', replica('joined', 'inc_x'));
        await store.append('ep_1', replica('joined', 'inc_b', { succeeds: 'inc_x' }));
        const b = new ContractReplica(store, 'inc_b');
        await b.renew();
        expect(await b.renew()).toEqual({ kind: 'stale', reason: 'awaiting' });
      });

      it('admits at once when everyone on the roster has gone', async () => {
        const [a] = await begin('inc_a');
        await lease(a!);
        await store.append('ep_1', replica('joined', 'inc_b'));
        const b = new ContractReplica(store, 'inc_b');
        await b.renew();
        expect(await b.renew()).toEqual({ kind: 'stale', reason: 'awaiting' });
        await store.append('ep_1', replica('forgotten', 'inc_a'));
        expect((await store.roster()).rows).toEqual([]);
        expect((await b.renew()).kind).toBe('lease');
      });

      it.each(['left', 'forgotten'] as const)('grants nothing ever again to who has %s', async (event) => {
        const [a, b] = await begin('inc_a', 'inc_b');
        await leaseAll(a!, b!);
        await store.append('ep_1', replica(event, 'inc_a'));
        expect(await a!.renew()).toEqual({ kind: 'stale', reason: 'forgotten' });
        expect((await store.roster()).rows).toMatchObject([{ incarnation: 'inc_b' }]);
        await store.append('ep_1', replica('joined', 'inc_a', { id: 'joined_again' }));
        expect(await a!.renew()).toEqual({ kind: 'stale', reason: 'forgotten' });
      });

      it('knows in a new epoch who was admitted before, and who was forgotten', async () => {
        const [a, b] = await begin('inc_a', 'inc_b');
        await leaseAll(a!, b!);
        await store.append('ep_1', replica('forgotten', 'inc_b'));
        await store.openEpoch(opening('ep_2', { closedEpochId: 'ep_1' }));
        for (const one of [a!, b!]) one.epochId = 'ep_2';
        expect((await a!.renew()).kind).toBe('lease');
        expect(await b!.renew()).toEqual({ kind: 'stale', reason: 'forgotten' });
      });
    });

    describe('the roster', () => {
      it('shows the line that was asked for, or none', async () => {
        await begin('inc_a');
        const { position } = await store.append('ep_1', revocation('r1'));
        expect((await store.roster(position)).line?.sealed.entry.id).toBe('r1');
        expect((await store.roster({ epoch: 100, sequence: 9 })).line).toBeUndefined();
        expect((await store.roster({ epoch: 99, sequence: 1 })).line).toBeUndefined();
        expect((await store.roster(ORIGIN)).line).toBeUndefined();
        expect((await store.roster()).line).toBeUndefined();
      });

      it('shows a lease as soon as it was granted, also to another connection', async () => {
        const [a] = await begin('inc_a');
        const other = await harness.connect();
        await lease(a!);
        expect((await other.roster()).rows).toMatchObject([{ incarnation: 'inc_a', renewals: 1 }]);
      });
    });

    describe('waking', () => {
      it('resolves at once when the feed is already further', async () => {
        await begin();
        await store.wake(ORIGIN, new AbortController().signal);
      });

      it('resolves when an entry lands', async () => {
        await begin();
        const { head } = await store.roster();
        let woke = false;
        const waiting = store.wake(head, new AbortController().signal).then(() => (woke = true));
        await store.roster();
        expect(woke).toBe(false);
        await store.append('ep_1', revocation('r1'));
        await waiting;
      });

      it('resolves when it is no longer waited for, or was not to begin with', async () => {
        await begin();
        const { head } = await store.roster();
        const controller = new AbortController();
        const waiting = store.wake(head, controller.signal);
        controller.abort();
        await waiting;
        await store.wake(head, controller.signal);
      });
    });

    describe('reports of a closed epoch', () => {
      const closed = { closedEpochId: 'ep_1', position: { epoch: 100, sequence: 2 }, chain: 'c'.repeat(40) };

      it('are collected, one of each incarnation, the latest', async () => {
        await begin('inc_a', 'inc_b');
        const a = { ...closed, incarnation: 'inc_a', runId };
        const b = { ...closed, incarnation: 'inc_b', runId };
        expect(await store.report(a)).toEqual([a]);
        expect(await store.report(b)).toEqual([a, b]);
        const later = { ...a, position: { epoch: 100, sequence: 3 } };
        expect(await store.report(later)).toEqual([b, later]);
      });

      it('do not count when they were made in another run, or about another epoch', async () => {
        await begin('inc_a');
        const a = { ...closed, incarnation: 'inc_a', runId };
        expect(await store.report({ ...a, runId: 'an earlier run' })).toEqual([]);
        const other = { ...a, closedEpochId: 'ep_0' };
        expect(await store.report(other)).toEqual([other]);
        expect(await store.report(a)).toEqual([a]);
      });

      it('are gone once the next epoch is open', async () => {
        await begin('inc_a', 'inc_b');
        await store.report({ ...closed, incarnation: 'inc_a', runId });
        await store.openEpoch(opening('ep_2', { closedEpochId: 'ep_1' }));
        const b = { ...closed, incarnation: 'inc_b', runId };
        expect(await store.report(b)).toEqual([b]);
      });
    });

    describe('snapshots', () => {
      it('are the newest that was written, or declined', async () => {
        const older = {
          epochId: 'ep_1',
          position: { epoch: 100, sequence: 2 },
          digest: 'd2',
          chunks: [Buffer.from([1])],
        };
        const newer = { ...older, position: { epoch: 100, sequence: 3 }, digest: 'd3' };
        await store.writeSnapshot(older);
        await store.writeSnapshot(newer);
        await store.writeSnapshot(older);
        expect(await store.readSnapshot()).toEqual(harness.keepsSnapshots ? newer : undefined);
      });
    });

    describe('a restart of the store', () => {
      it('keeps the history, and the epoch open or closed as it declares', async () => {
        const [a] = await begin('inc_a');
        await lease(a!);
        const { position, chain } = await store.append('ep_1', revocation('r1'));
        const restarted = await harness.restart();
        const roster = await restarted.store.roster(position);
        expect(roster).toMatchObject({ head: position, line: { chain, sealed: revocation('r1') } });
        expect(roster.runId).toBe(restarted.facts.runId);
        a!.store = restarted.store;
        if (harness.keepsEpoch) {
          expect(restarted.facts.runId).toBe(runId);
          expect(roster).toMatchObject({ epochId: 'ep_1', closedEpochId: undefined });
          expect((await lease(a!)).lines.map(({ sealed }) => sealed.entry.id)).toEqual(['r1']);
          expect(await restarted.store.append('ep_1', revocation('r1'))).toMatchObject({ duplicate: true });
        } else {
          expect(restarted.facts.runId).not.toBe(runId);
          expect(roster).toMatchObject({ epochId: undefined, closedEpochId: 'ep_1' });
          expect(await a!.renew()).toEqual({ kind: 'closed', epochId: undefined });
          await expect(restarted.store.append('ep_1', revocation('r1'))).rejects.toMatchObject({
            code: 'EPOCH_CLOSED',
          });
        }
      });

      it('leads to a new epoch, opened by naming the old one and the run there is now', async () => {
        const [a] = await begin('inc_a');
        await lease(a!);
        const restarted = await harness.restart();
        const now = restarted.facts.runId;
        if (now !== runId) {
          const late = opening('ep_2', { closedEpochId: 'ep_1' });
          expect(await restarted.store.openEpoch(late)).toEqual({ kind: 'lost' });
        }
        expect(await restarted.store.openEpoch(opening('ep_2', { runId: now }))).toEqual({ kind: 'lost' });
        const right = opening('ep_2', { closedEpochId: 'ep_1', runId: now });
        expect(await restarted.store.openEpoch(right)).toMatchObject({
          kind: 'opened',
          position: { epoch: 101 },
        });
        Object.assign(a!, { store: restarted.store, epochId: 'ep_2' });
        expect((await a!.renew()).kind).toBe('lease');
      });
    });

    it('is closed however often it is told', async () => {
      await begin('inc_a');
      await store.close();
      await store.close();
    });
  });
}
