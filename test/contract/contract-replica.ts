/** A replica as tests of stores need one: it follows the feed, checks what it is given, and renews as it should. */
import { expect } from 'vitest';
import type { FeedLine } from '../../src/feed/entry.ts';
import { CHAIN_START, nextChain } from '../../src/feed/entry.ts';
import type { FeedStore, RenewReply, RenewRequest } from '../../src/feed/feed-store.ts';
import type { Position } from '../../src/feed/position.ts';
import { ORIGIN } from '../../src/feed/position.ts';

type Lease = Extract<RenewReply, { kind: 'lease' }>;

/** One incarnation as the port sees it: a cursor that follows what it is given, and nonces as DESIGN 3.2 wants them. */
export class ContractReplica {
  readonly incarnation: string;
  readonly lines: FeedLine[] = [];
  store: FeedStore;
  epochId: string;
  position: Position = ORIGIN;
  chain = CHAIN_START;
  cursorEpochId: string | undefined;
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
    const { incarnation, epochId, position, chain, cursorEpochId, acknowledgement } = this;
    const at = { position, chain, cursorEpochId };
    return { incarnation, epochId, ...at, nonces: this.#nonces, acknowledgement, limit };
  }

  async renew(limit?: number): Promise<RenewReply> {
    return this.take(await this.store.renew(this.request(limit)));
  }

  /** Renews until there is a lease. */
  async lease(): Promise<Lease> {
    for (let tries = 0; tries < 100; tries++) {
      const reply = await this.renew();
      if (reply.kind === 'lease') return reply;
      expect(reply.kind).toBe('more');
    }
    throw new Error('no lease');
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
    this.cursorEpochId = other.cursorEpochId;
    this.#nonces = other.#nonces;
    return this;
  }

  #advance(line: FeedLine): void {
    const { entry } = line.sealed;
    const isFirst = entry.kind === 'epoch';
    expect(nextChain(isFirst ? CHAIN_START : this.chain, line.sealed.text)).toBe(line.chain);
    expect(line.position.sequence).toBe(isFirst ? 1 : this.position.sequence + 1);
    this.position = line.position;
    this.chain = line.chain;
    if (isFirst) this.cursorEpochId = entry.epochId;
    this.lines.push(line);
  }
}

/** Renews until everyone has a lease: each acknowledges the others by renewing once more. */
export async function leaseAll(...all: ContractReplica[]): Promise<void> {
  for (const one of all) {
    for (const other of all) await other.renew();
    await one.lease();
  }
}
