/**
 * A replica's fold of grants and their tombstones: who is entitled to what, as policy reads it. Fed by the follower,
 * asked at every decision with the time of it; no timer ends a grant. A tombstone wins whatever the order in which
 * the two arrive, so what was taken away never comes back, and merging anything twice is harmless.
 */
import type { Actor } from '../credential/credential.ts';
import type { FeedLine, Folded, GrantEntry, UngrantEntry } from '../feed/entry.ts';
import type { Position } from '../feed/position.ts';
import { byId, comparePositions, displaced, earlierOf, laterOf, pageAfter } from '../feed/position.ts';
import type { JsonObject } from '../kernel/json.ts';
import { LIMITS } from '../kernel/limits.ts';
import { Rounds } from '../kernel/rounds.ts';

export interface GrantRecord {
  readonly id: string;
  /** The first place of the entry. */
  readonly position: Position;
  /** RFC 3339, by the appender's clock. */
  readonly at: string;
  readonly caller: string;
  /** SHA-256 of the canonical request. */
  readonly body: string;
  readonly subject: { readonly type?: string | undefined; readonly id: string };
  readonly issuer?: string;
  readonly action: string;
  readonly resource: { readonly type: string; readonly id?: string | undefined };
  /** Epoch seconds: from that second on it is over. */
  readonly untilS?: number;
  /** What took it away. */
  readonly ungrant?: UngrantRecord;
}

export interface UngrantRecord {
  readonly id: string;
  readonly position: Position;
  /** RFC 3339, by the appender's clock. */
  readonly at: string;
  readonly caller: string;
}

/** A grant or a tombstone as a snapshot takes it. */
export interface FoldedGrant {
  readonly position: Position;
  readonly entry: Folded<GrantEntry> | Folded<UngrantEntry>;
}

export interface LiveGrants {
  /** In the shape of `input.grants`. */
  readonly grants: readonly JsonObject[];
  /** Epoch seconds: the first of their ends; Infinity when none ends. */
  readonly earliestEndS: number;
}

export interface GrantList {
  /** Oldest first, from the one that follows this position on. */
  readonly after: Position;
  readonly limit: number;
  readonly nowS: number;
  readonly subjectId?: string | undefined;
}

interface Kept {
  record: GrantRecord;
  readonly input: JsonObject;
}

interface Tombstone {
  readonly ungrant: UngrantRecord;
  readonly endS: number;
}

const NONE: LiveGrants = { grants: [], earliestEndS: Number.POSITIVE_INFINITY };

/** Entries looked at in one sweep. */
const SWEPT = 256;

export class GrantTable {
  readonly #byId = new Map<string, Kept>();
  readonly #tombstones = new Map<string, Tombstone>();
  /** Those that were not taken away, by the id of their subject. */
  readonly #bySubject = new Map<string, Set<Kept>>();
  #live = 0;
  #generation = 0;
  readonly #rounds = new Rounds(() => this.#byId.entries());
  readonly #tombstoneRounds = new Rounds(() => this.#tombstones.entries());

  /** Moves on every change: whatever was computed from grants under another one may be wrong. Time moves it not. */
  get generation(): number {
    return this.#generation;
  }

  /** Grants that were not taken away and have not left memory. */
  get size(): number {
    return this.#live;
  }

  /** Grants and tombstones in memory. */
  get kept(): number {
    return this.#byId.size + this.#tombstones.size;
  }

  /** Takes in a `grant` or `ungrant` entry and returns the id of the subject it is about; undefined when nothing changed. */
  apply(line: FeedLine): string | undefined {
    const { entry } = line.sealed;
    return entry.kind === 'grant' || entry.kind === 'ungrant' ? this.merge({ ...line, entry }) : undefined;
  }

  /** As `apply`, of what a snapshot holds. */
  merge({ position, entry }: FoldedGrant): string | undefined {
    return entry.kind === 'grant' ? this.#grant(entry, position) : this.#ungrant(entry, position);
  }

  /**
   * What policy is given at `nowS`: the grants of the subject, and those of the actor who acts for it now. `issuer` is
   * the credential's; undefined for a subject that was only asserted, which holds no grant that names an issuer. Whose
   * subject an actor is (`act.iss`) is the word of the token's issuer, who speaks for its own subjects only.
   */
  liveFor(subjectId: string, issuer: string | undefined, actor: Actor | undefined, nowS: number): LiveGrants {
    const own = this.#bySubject.get(subjectId);
    const acting = actor === undefined ? undefined : this.#bySubject.get(actor.subject);
    if (own === undefined && acting === undefined) return NONE;
    const held = new Set<Kept>();
    for (const kept of own ?? []) if (isHeld(kept, issuer, nowS)) held.add(kept);
    const actorIssuer = actor?.issuer === issuer ? issuer : undefined;
    for (const kept of acting ?? []) if (isHeld(kept, actorIssuer, nowS)) held.add(kept);
    return held.size === 0 ? NONE : liveOf([...held]);
  }

  /** What stands after `end` is in this history no more, and a grant goes with it; what was taken away stays so. True when any went. */
  lose(end: Position): boolean {
    const lost = [...this.#byId.values()].filter(({ record }) => comparePositions(record.position, end) > 0);
    for (const kept of lost) {
      this.#withdraw(kept);
      this.#byId.delete(kept.record.id);
    }
    if (lost.length > 0) this.#generation++;
    return lost.length > 0;
  }

  /** The place of what took something away after `end` is where it comes next, whatever the number of that is. */
  displace(end: Position): void {
    for (const [grant, tombstone] of this.#tombstones)
      this.#tombstones.set(grant, { ...tombstone, ungrant: displaced(tombstone.ungrant, end) });
    for (const kept of this.#byId.values()) {
      const { ungrant } = kept.record;
      if (ungrant !== undefined) kept.record = { ...kept.record, ungrant: displaced(ungrant, end) };
    }
  }

  record(id: string): GrantRecord | undefined {
    return this.#byId.get(id)?.record;
  }

  /** True while the grant `id` is known, not taken away and not over. */
  isInForce(id: string, nowS: number): boolean {
    const record = this.record(id);
    return record !== undefined && isRunning(record, nowS);
  }

  /** At most `limit` grants in force, in the order of their positions. */
  list({ after, limit, nowS, subjectId }: GrantList): readonly GrantRecord[] {
    const kept = subjectId === undefined ? this.#byId.values() : (this.#bySubject.get(subjectId) ?? []);
    const inForce = [...kept].map(({ record }) => record).filter((record) => isRunning(record, nowS));
    return pageAfter(inForce, after, limit);
  }

  /**
   * One slice of letting go what is over at `nowS`, by the clock that never goes back. Call it from a timer. What was over
   * before `forgetS` leaves memory; the rest is only out of the way of decisions.
   */
  sweep(nowS: number, forgetS = nowS): void {
    this.#rounds.slice(SWEPT, ([id, kept]) => this.#age(id, kept, { nowS, forgetS }));
    this.#tombstoneRounds.slice(SWEPT, ([id, tombstone]) => this.#ageTombstone(id, tombstone, forgetS));
  }

  /** Lets go, at once, of all that was over before `nowS`. */
  prune(nowS: number): void {
    for (const [id, kept] of this.#byId) this.#age(id, kept, { nowS, forgetS: nowS });
    for (const [id, tombstone] of this.#tombstones) this.#ageTombstone(id, tombstone, nowS);
  }

  /** All of them as entries, grants and then tombstones, each kind in the order of its ids. */
  *folded(): Generator<FoldedGrant, void, unknown> {
    for (const [, { record }] of byId(this.#byId)) {
      const { position, ungrant: _ungrant, ...said } = record;
      yield { position, entry: { kind: 'grant', ...said } };
    }
    for (const [grant, tombstone] of byId(this.#tombstones))
      yield { position: tombstone.ungrant.position, entry: ungrantOf(grant, tombstone) };
  }

  #grant(entry: Folded<GrantEntry>, position: Position): string | undefined {
    const known = this.#byId.get(entry.id);
    if (known !== undefined) {
      known.record = earlierOf(known.record, { ...known.record, position });
      return undefined;
    }
    const ungrant = this.#tombstones.get(entry.id)?.ungrant;
    const kept = { record: recordOf(entry, position, ungrant), input: inputOf(entry) };
    this.#byId.set(entry.id, kept);
    if (ungrant !== undefined) return undefined;
    const { id } = entry.subject;
    const bucket = this.#bySubject.get(id);
    if (bucket === undefined) this.#bySubject.set(id, new Set([kept]));
    else bucket.add(kept);
    this.#live++;
    this.#generation++;
    return id;
  }

  #ungrant(entry: Folded<UngrantEntry>, position: Position): string | undefined {
    const before = this.#tombstones.get(entry.grant);
    const { id, at, caller } = entry;
    const ungrant = laterOf(before?.ungrant, { id, position, at, caller });
    const endS = Math.max(before?.endS ?? 0, entry.untilS ?? Number.POSITIVE_INFINITY);
    this.#tombstones.set(entry.grant, { ungrant, endS });
    const kept = this.#byId.get(entry.grant);
    if (kept === undefined) return undefined;
    kept.record = { ...kept.record, ungrant };
    if (!this.#withdraw(kept)) return undefined;
    this.#generation++;
    return kept.record.subject.id;
  }

  /** False when it was not live any more. */
  #withdraw(kept: Kept): boolean {
    const { id } = kept.record.subject;
    const bucket = this.#bySubject.get(id);
    if (bucket?.delete(kept) !== true) return false;
    if (bucket.size === 0) this.#bySubject.delete(id);
    this.#live--;
    return true;
  }

  /** Out of the way of decisions as soon as it is over; out of memory once no Idempotency-Key can ask for it any more. */
  #age(id: string, kept: Kept, { nowS, forgetS }: { nowS: number; forgetS: number }): void {
    const { record } = kept;
    if (isRunning(record, nowS)) return;
    this.#withdraw(kept);
    // What was taken away leaves too: its tombstone goes on burying it.
    const endS = record.ungrant === undefined ? endOf(record) : 0;
    if (Math.max(endS, (Date.parse(record.at) + LIMITS.idempotencyMs) / 1000) < forgetS)
      this.#byId.delete(id);
  }

  #ageTombstone(id: string, { endS }: Tombstone, forgetS: number): void {
    if (endS < forgetS && !this.#byId.has(id)) this.#tombstones.delete(id);
  }
}

function ungrantOf(grant: string, { ungrant, endS }: Tombstone): Folded<UngrantEntry> {
  const { position: _position, ...said } = ungrant;
  const untilS = endS === Number.POSITIVE_INFINITY ? {} : { untilS: endS };
  return { kind: 'ungrant', ...said, grant, ...untilS };
}

function isHeld({ record }: Kept, issuer: string | undefined, nowS: number): boolean {
  return isRunning(record, nowS) && (record.issuer === undefined || record.issuer === issuer);
}

function isRunning(record: GrantRecord, nowS: number): boolean {
  return record.ungrant === undefined && nowS < endOf(record);
}

function endOf({ untilS }: GrantRecord): number {
  return untilS ?? Number.POSITIVE_INFINITY;
}

function liveOf(held: readonly Kept[]): LiveGrants {
  return {
    grants: held.map(({ input }) => input),
    earliestEndS: held.reduce(
      (first, { record }) => Math.min(first, endOf(record)),
      Number.POSITIVE_INFINITY,
    ),
  };
}

/** A member that is there must fit, one that is not stands for any (policies/writ/authz.rego). Made once, and shared. */
function inputOf({ id, subject, issuer, action, resource, untilS }: Folded<GrantEntry>): JsonObject {
  return {
    id,
    subject: { ...subject },
    ...(issuer === undefined ? {} : { issuer }),
    action,
    resource: { ...resource },
    ...(untilS === undefined ? {} : { until: untilS }),
  } as JsonObject;
}

function recordOf(
  entry: Folded<GrantEntry>,
  position: Position,
  ungrant: GrantRecord['ungrant'] | undefined,
): GrantRecord {
  const { id, at, caller, body, subject, issuer, action, resource, untilS } = entry;
  return {
    id,
    position,
    at,
    caller,
    body,
    subject,
    ...(issuer === undefined ? {} : { issuer }),
    action,
    resource,
    ...(untilS === undefined ? {} : { untilS }),
    ...(ungrant === undefined ? {} : { ungrant }),
  };
}
