/**
 * Gives and takes entitlements: appends the entry and waits until this replica has applied it, so that a grant that was
 * answered can be used at once. What was taken away never comes back under the same id.
 */
import type { GrantEntry } from '../feed/entry.ts';
import type { GrantRecord, GrantTable } from '../decision/grants.ts';
import type { Position } from '../feed/position.ts';
import type { Clock } from '../kernel/clock.ts';
import { epochS } from '../kernel/clock.ts';
import { sha256Hex } from '../kernel/digest.ts';
import { WritError } from '../kernel/error.ts';
import { canonicalJson } from '../kernel/json.ts';
import { LIMITS } from '../kernel/limits.ts';
import type { Appender } from './append.ts';
import type { OrderIdPorts, Repeatable } from './order-id.ts';
import { orderIdOf } from './order-id.ts';
import type { Publisher } from './publish.ts';

export interface GrantPorts extends OrderIdPorts {
  readonly grants: GrantTable;
  readonly appender: Appender;
  readonly publisher: Publisher;
  readonly clock: Clock;
}

export type GrantFacts = Pick<GrantEntry, 'subject' | 'issuer' | 'action' | 'resource' | 'untilS'>;

export interface GrantOrder extends Repeatable {
  readonly facts: GrantFacts;
  /** What was asked, as it came: the same key under another request is a conflict. */
  readonly request: unknown;
}

export interface GrantStatus {
  readonly id: string;
  readonly position: Position;
  readonly facts: GrantFacts;
  /** Policy reads it here, now. */
  readonly isInForce: boolean;
  /** False when the entry has not come back in time: it will. */
  readonly isApplied: boolean;
}

export interface UngrantStatus {
  readonly grant: GrantRecord;
  readonly isApplied: boolean;
  /** It was over before: nothing was appended. */
  readonly wasOver: boolean;
  /** After the append replied: from then on no replica allows anything because of it. */
  readonly boundMs: number;
}

export class Granter {
  readonly #ports: GrantPorts;

  constructor(ports: GrantPorts) {
    this.#ports = ports;
  }

  /** As Publisher.publish; TIME_INVALID for what is over. IDEMPOTENCY_CONFLICT: that key, another body. OVERLOADED when there are too many grants. */
  async grant(order: GrantOrder): Promise<GrantStatus> {
    const { grants, appender, publisher, clock } = this.#ports;
    const id = orderIdOf('grt', order, this.#ports);
    const body = sha256Hex(canonicalJson(order.request));
    if (grants.record(id) !== undefined) return this.#statusOf(id, body);
    if ((order.facts.untilS ?? Number.POSITIVE_INFINITY) <= epochS(clock.now()))
      throw new WritError('TIME_INVALID', 'until is past', { field: 'until' });
    if (grants.size >= LIMITS.grantsMax) throw new WritError('OVERLOADED', 'too many grants are in force');
    const said = { kind: 'grant', id, ...order.facts, caller: order.caller, body } as const;
    const { position, isApplied } = await publisher.publish(() => appender.seal(said));
    if (isApplied) return this.#statusOf(id, body);
    return { id, position, facts: order.facts, isInForce: false, isApplied };
  }

  /** The grant `id`; NOT_FOUND when this replica knows none. */
  find(id: string): GrantRecord {
    const record = this.#ports.grants.record(id);
    if (record === undefined) throw new WritError('NOT_FOUND', 'no such grant');
    return record;
  }

  status(id: string): GrantStatus {
    return this.#statusOf(id, this.find(id).body);
  }

  /** Takes it away; doing it twice is harmless and says so. NOT_FOUND, or as Publisher.publish. */
  async ungrant(id: string, caller: string): Promise<UngrantStatus> {
    const { grants, appender, publisher, clock } = this.#ports;
    const { untilS } = this.find(id);
    if (!grants.isInForce(id, epochS(clock.now())))
      return { grant: this.find(id), isApplied: true, wasOver: true, boundMs: publisher.boundMs };
    const end = untilS === undefined ? {} : { untilS };
    // One grant, one tombstone: two who take it away at once write the same entry.
    const facts = { kind: 'ungrant', id: id.replace(/^grt/, 'ung'), grant: id, ...end, caller } as const;
    const { isApplied, boundMs } = await publisher.publish(() => appender.seal(facts));
    return { grant: this.find(id), isApplied, wasOver: false, boundMs };
  }

  #statusOf(id: string, body: string): GrantStatus {
    const record = this.find(id);
    if (record.body !== body)
      throw new WritError('IDEMPOTENCY_CONFLICT', 'the Idempotency-Key was used with another body');
    const { grants, clock } = this.#ports;
    const isInForce = grants.isInForce(id, epochS(clock.now()));
    return { id, position: record.position, facts: record, isInForce, isApplied: true };
  }
}
