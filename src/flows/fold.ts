/**
 * All that a replica keeps of the entries it has applied, as one thing: pruned at a mark, taken down for a snapshot, and
 * merged from one (DESIGN 3.6). By union: nothing that is here ever leaves because a snapshot lacks it.
 */
import * as z from 'zod';
import type { FoldedGrant, GrantTable } from '../decision/grants.ts';
import { verifyCertificate } from '../evidence/certificate.ts';
import { count, id, instant, position } from '../evidence/field.ts';
import type { FeedLine, Folded, OutcomeEntry } from '../feed/entry.ts';
import { FOLDED, isPermitting } from '../feed/entry.ts';
import type { Member, Members } from '../feed/members.ts';
import type { Position } from '../feed/position.ts';
import { ORIGIN, parsePosition, renderPosition } from '../feed/position.ts';
import type { SnapshotHeader } from '../feed/snapshot.ts';
import { CHUNK, ChunkWriter, refused, renderHeader } from '../feed/snapshot.ts';
import { parseBase64Url, toBase64Url } from '../kernel/digest.ts';
import { canonicalJson } from '../kernel/json.ts';
import type { Steps } from '../kernel/pace.ts';
import { runAtOnce } from '../kernel/pace.ts';
import type { FoldedLock } from '../revocation/locks.ts';
import type { KeptRecord } from '../revocation/records.ts';
import type { PackedView, RevocationView } from '../revocation/view.ts';
import type { Effects, PackedHandles } from './effects.ts';
import { NOT_SAID, PACKED_WORDS } from './effects.ts';
import type { Identity } from './identity.ts';

export interface FoldPorts {
  readonly identity: Identity;
  readonly members: Members;
  readonly view: RevocationView;
  readonly grants: GrantTable;
  readonly effects: Effects;
}

/** A fold as it was at one moment. What it refers to is never changed, only replaced. */
export interface Captured {
  readonly members: readonly Member[];
  readonly view: PackedView;
  /** Of records that no outcome has called enforced: what each has made dead. */
  readonly unfinished: ReadonlyMap<string, PackedHandles>;
  readonly facts: readonly (FoldedLock | FoldedGrant)[];
  readonly outcomes: readonly Folded<OutcomeEntry>[];
}

const at = position.transform((text) => parsePosition(text));
const fact = z.discriminatedUnion('kind', [FOLDED.lock, FOLDED.lift, FOLDED.grant, FOLDED.ungrant]);

const item = z.discriminatedUnion('is', [
  z.strictObject({
    is: z.literal('member'),
    certificate: z.string(),
    state: z.enum(['joined', 'left', 'forgotten', 'succeeded']),
  }),
  z.strictObject({
    is: z.literal('revocation'),
    id,
    position: at,
    at: instant,
    caller: z.string(),
    body: z.string(),
    targetsCount: count,
    reason: z.string().exactOptional(),
    ticket: z.string().exactOptional(),
    endS: z.number().optional(),
    isUnfinished: z.boolean(),
    /** While it is unfinished: its sessions are to be counted under it. Absent in snapshots of a version before this one. */
    dead: z.string().exactOptional(),
  }),
  z.strictObject({ is: z.literal('fact'), position: at, entry: fact }),
  z.strictObject({ is: z.literal('outcome'), entry: FOLDED.outcome }),
]);

type Item = z.infer<typeof item>;

/** Items handled between two looks at the clock. */
const PIECE = 64;

export class Fold {
  readonly #ports: FoldPorts;
  #hasLost = false;

  constructor(ports: FoldPorts) {
    this.#ports = ports;
  }

  /** Lets go of all that ended before `nowS`: then it depends on the entries alone, however it came here. */
  *pruning(nowS: number): Steps<void> {
    const { view, grants, effects } = this.#ports;
    yield* view.pruning(nowS);
    grants.prune(nowS);
    effects.prune((id) => view.placeOf(id) !== undefined);
  }

  /** By name, all facts that are held and deny: what permits is of the history that says it, and of no other (D-195). */
  names(): readonly string[] {
    const { view, grants } = this.#ports;
    const revocations = view.records({ limit: Number.POSITIVE_INFINITY });
    const others = [...view.locks.folded(), ...grants.folded()].filter(
      ({ entry }) => !isPermitting(entry) && view.locks.record(entry.id)?.lift === undefined,
    );
    return [...revocations.map(({ id: name }) => name), ...others.map(({ entry }) => entry.id)];
  }

  /**
   * The history that all this came from was given up: none of it is enforced, and what permits is over. By name, all that is held
   * and denies.
   */
  beginAnew(): readonly string[] {
    this.#endPermitting();
    const names = this.names();
    this.#ports.effects.giveUp(this.#ordersOf(names));
    return names;
  }

  /** It is not known whether the fleet goes on with the history that all this came from: until it does, none of it is called enforced. */
  doubt(): void {
    this.#ports.effects.doubt(this.#ordersOf(this.names()));
  }

  #ordersOf(names: readonly string[]): readonly string[] {
    return names.filter((name) => this.#ports.view.placeOf(name) !== undefined);
  }

  /**
   * What stands after `end` is in the history that this replica goes on with no more, and in a tail: it is proven no more. What denies
   * stays in force; what permits is over. `isGivenUp`: an operator has said that something may be missing.
   */
  leave(end: Position, isGivenUp: boolean): void {
    this.#losePermitting(end);
    this.#ports.effects.lose(end, isGivenUp);
  }

  /** And it leaves the ledger: its place is where it comes next. */
  lose(end: Position): void {
    this.leave(end, false);
    this.#displace(end);
  }

  /** A snapshot takes the place of the history: what was proven, what permits and where what stands, it says. */
  begin(): void {
    this.beginAnew();
    this.#displace(ORIGIN);
  }

  /** What `base`, from which this replica's ledger goes on, says of what permits and of what is proven; called before `recall`. */
  recallBase(base: readonly Uint8Array[]): void {
    const { effects } = this.#ports;
    for (const chunk of base.filter(([kind]) => kind === CHUNK.items))
      for (const one of itemsOf(chunk.subarray(1))) {
        if (one.is === 'fact') this.#mergeFact(one);
        if (one.is === 'outcome') effects.restoreOutcome(one.entry);
        if (one.is === 'revocation' && !one.isUnfinished) effects.finish(one.id);
      }
  }

  /**
   * A genuine line of this replica's ledger once more, each in its order: what has permitted, or was proven, was over, and is in this
   * history again.
   */
  recall(line: FeedLine): void {
    const { view, grants, effects } = this.#ports;
    const { entry } = line.sealed;
    const hasLost = this.#hasLost;
    if (entry.kind === 'epoch' && entry.base !== undefined)
      this.#losePermitting(parsePosition(entry.base.head));
    else if (entry.kind === 'epoch') this.#endPermitting();
    else if (entry.kind === 'lock' || isPermitting(entry)) {
      runAtOnce(view.applying(line));
      grants.apply(line);
    } else effects.noteOutcome(entry, (id) => view.placeOf(id)?.position);
    // What is over until its line is read again is not lost.
    this.#hasLost = hasLost;
  }

  /** Whether anything that permitted is over since this was asked last. */
  takeLost(): boolean {
    const hasLost = this.#hasLost;
    this.#hasLost = false;
    return hasLost;
  }

  #endPermitting(): void {
    const { view, grants } = this.#ports;
    const lost = [view.locks.giveUp(), grants.lose(ORIGIN)];
    this.#hasLost ||= lost.includes(true);
  }

  #losePermitting(end: Position): void {
    const { view, grants } = this.#ports;
    const lost = [view.lose(end), grants.lose(end)];
    this.#hasLost ||= lost.includes(true);
  }

  #displace(end: Position): void {
    const { view, grants } = this.#ports;
    view.displace(end);
    grants.displace(end);
  }

  /**
   * By name, what is held here and not in a snapshot of `chunks`, header apart, in which nothing is that ended before `nowS`:
   * here that is let go first.
   */
  *lacking(chunks: readonly Uint8Array[], nowS: number): Steps<ReadonlySet<string>> {
    yield* this.pruning(nowS);
    const missing = new Set(this.names());
    let looked = 0;
    for (const chunk of chunks.filter(([kind]) => kind === CHUNK.items)) {
      for (const one of itemsOf(chunk.subarray(1))) {
        if (looked++ % PIECE === 0) yield;
        if (one.is === 'revocation') missing.delete(one.id);
        if (one.is === 'fact') missing.delete(one.entry.id);
      }
    }
    return missing;
  }

  /** Takes it down, in pieces. Nothing may be applied meanwhile. */
  *capturing(): Steps<Captured> {
    const { members, view, grants, effects } = this.#ports;
    const packed = yield* view.packing();
    const unfinished = effects.unfinishedDead();
    const facts: (FoldedLock | FoldedGrant)[] = [];
    for (const folded of [view.locks.folded(), grants.folded()]) {
      for (const one of folded) {
        if (facts.length % PIECE === 0) yield;
        facts.push(one);
      }
    }
    return { members: members.folded(), view: packed, unfinished, facts, outcomes: effects.folded() };
  }

  /**
   * Merges the chunks of a snapshot that begins after `place`, header apart. PROOF_INVALID half-way leaves a part of its revocations merged, and nothing
   * of what allows more where another part is missing: that comes last, when all of it was read.
   */
  *loading(chunks: readonly Uint8Array[], place: Position): Steps<void> {
    const refs: number[] = [];
    const others: (() => void)[] = [];
    let looked = 0;
    for (const chunk of chunks) {
      const body = chunk.subarray(1);
      if (chunk[0] === CHUNK.items) {
        for (const one of itemsOf(body)) {
          if (looked++ % PIECE === 0) yield;
          if (one.is === 'revocation') refs.push(this.#loadRevocation(one));
          else others.push(this.#loadingOf(one, place));
        }
      } else if (chunk[0] === CHUNK.plain || chunk[0] === CHUNK.cutoff) {
        yield* this.#ports.view.unpacking(chunk[0] === CHUNK.plain ? 'plain' : 'cutoff', body, refs);
      } else {
        throw refused('it has a chunk of no known kind');
      }
    }
    this.#ports.members.begin();
    for (const [i, one] of others.entries()) {
      if (i % PIECE === 0) yield;
      one();
    }
  }

  #loadRevocation({ is: _is, ...one }: Extract<Item, { is: 'revocation' }>): number {
    const { view, effects } = this.#ports;
    const { endS = Number.POSITIVE_INFINITY, isUnfinished, dead, ...record } = one;
    if (isUnfinished) effects.restore(record.id, dead === undefined ? NOT_SAID : deadIn(dead));
    else effects.finish(record.id);
    return view.restoreRecord(record, endS);
  }

  /** What is to be done with it, which cannot fail any more. */
  #loadingOf(one: Exclude<Item, { is: 'revocation' }>, place: Position): () => void {
    const { identity, members, effects } = this.#ports;
    switch (one.is) {
      case 'member': {
        const { certificate, state } = one;
        const said = verifyCertificate(certificate, identity.logKey.public);
        const member = { ...said, place, certificate, state };
        return () => members.restore(member);
      }
      case 'fact':
        return () => this.#loadFact(one);
      case 'outcome':
        return () => effects.restoreOutcome(one.entry);
    }
  }

  #loadFact(one: Extract<Item, { is: 'fact' }>): void {
    this.#mergeFact(one);
    // What it has made dead follows from its targets, which are here.
    if (one.entry.kind === 'lock') this.#ports.effects.restore(one.entry.id, NOT_SAID);
  }

  #mergeFact({ entry, position: place }: Extract<Item, { is: 'fact' }>): void {
    const { view, grants } = this.#ports;
    if (entry.kind === 'lock' || entry.kind === 'lift') view.restoreLock({ entry, position: place });
    else grants.merge({ entry, position: place });
  }
}

/** The chunks of what was captured, the header first. */
export function* rendering(header: SnapshotHeader, captured: Captured): Steps<readonly Uint8Array[]> {
  const writer = new ChunkWriter();
  writer.add('header', Buffer.from(renderHeader(header)));
  let pieces = 0;
  for (const text of textsOf(captured)) {
    if (pieces++ % PIECE === 0) yield;
    writer.add('items', Buffer.from(`${text}\n`));
  }
  for (const table of ['plain', 'cutoff'] as const) {
    for (const shard of captured.view[table]) {
      if (shard.length === 0) continue;
      yield;
      writer.add(table, shard);
    }
  }
  writer.flush();
  return writer.chunks;
}

function* textsOf({ members, view, unfinished, facts, outcomes }: Captured): Generator<string> {
  for (const { certificate, state } of members) yield JSON.stringify({ is: 'member', certificate, state });
  for (const kept of view.records) yield renderRecord(kept, unfinished.get(kept.record.id));
  for (const { entry, position: place } of facts)
    yield canonicalJson({ is: 'fact', entry, position: renderPosition(place) });
  for (const entry of outcomes) yield canonicalJson({ is: 'outcome', entry: unsigned(entry) });
}

/** Always with its members in this order; an end that is infinite is left out. */
function renderRecord({ record, endS }: KeptRecord, dead: PackedHandles | undefined): string {
  const { id: name, position: place, at: when, caller, body, targetsCount, reason, ticket } = record;
  const said = {
    id: name,
    position: renderPosition(place),
    at: when,
    caller,
    body,
    targetsCount,
    reason,
    ticket,
  };
  const end = Number.isFinite(endS) ? { endS } : {};
  const isUnfinished = dead !== undefined;
  const reach =
    dead === undefined || dead.length === 0 ? {} : { dead: toBase64Url(new Uint8Array(dead.buffer)) };
  return JSON.stringify({ is: 'revocation', ...said, ...end, isUnfinished, ...reach });
}

function deadIn(text: string): PackedHandles {
  const bytes = parseBase64Url(text);
  if (bytes === undefined || bytes.length % (PACKED_WORDS * Uint32Array.BYTES_PER_ELEMENT) !== 0)
    throw refused('what a revocation of it has made dead cannot be read');
  // A copy: a view of words must begin at a multiple of four.
  return new Uint32Array(Uint8Array.from(bytes).buffer);
}

/** One that came as an entry still has its signature. */
function unsigned({
  v: _v,
  by: _by,
  sig: _sig,
  ...folded
}: Folded<OutcomeEntry> & Partial<OutcomeEntry>): Folded<OutcomeEntry> {
  return folded;
}

function* itemsOf(body: Uint8Array): Generator<Item> {
  for (const text of Buffer.from(body).toString('utf8').split('\n').slice(0, -1)) {
    const parsed = item.safeParse(jsonOf(text));
    if (!parsed.success) throw refused('it holds an item of no known shape');
    yield parsed.data;
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
