/**
 * The judge of an exported ledger, fed one line at a time by ledger-export.ts: order, chain, signatures, and in the
 * end each epoch's root against the checkpoint that the log signed. What is said of a line begins with its position.
 */
import { TAIL_MAX } from '../feed/cursor.ts';
import type { EpochEntry, FeedLine, SealedEntry } from '../feed/entry.ts';
import type { EntryKind } from '../feed/entry.ts';
import {
  CHAIN_START,
  isLogSigned,
  isPermitting,
  isSignedBy,
  leafText,
  nextChain,
  parseLine,
} from '../feed/entry.ts';
import type { Position } from '../feed/position.ts';
import { renderPosition } from '../feed/position.ts';
import type { Certificate } from './certificate.ts';
import { certificateOf } from './certificate.ts';
import type { VerifiedCheckpoint } from './checkpoint.ts';
import { verifyCheckpoint } from './checkpoint.ts';
import { readCosignature, verifyCosignature } from './cosignature.ts';
import { demand, demandReadable } from './demand.ts';
import type { Keyring } from './keyring.ts';
import { CompactRange, leafHash } from './merkle.ts';
import type { NoteKey } from './note.ts';

export interface LedgerFacts {
  readonly entries: number;
  readonly first: string;
  readonly head: string;
  readonly epochs: number;
  /** The last epoch's tree. */
  readonly origin: string;
  readonly size: number;
  readonly kinds: Readonly<Partial<Record<EntryKind, number>>>;
  /** Entries whose signer's certificate is not in the export: the tree vouches for them, no signature was checked. */
  readonly uncertified: number;
  /** Entries that nobody who may has signed: they have a place in the tree, and no effect in any replica. */
  readonly unsigned: number;
  /** Where the first of them are. */
  readonly unsignedAt: readonly string[];
  /**
   * Entries after the place from which the next epoch goes on: the store had lost them, so they are under no root that was
   * signed, and anybody may have put them there. In none of the other numbers but `unsigned`.
   */
  readonly putAside: number;
  /** Where the first of them are. */
  readonly putAsideAt: readonly string[];
  /** Up to which entry of the last epoch each replica has cosigned this very ledger. */
  readonly cosigned: Readonly<Record<string, number>>;
}

/** What stands in the last line of an export. */
export interface ExportClosing {
  /** The signed note. */
  readonly checkpoint: string;
  /** Notes: what replicas have cosigned of this epoch's tree. */
  readonly cosigned: readonly string[];
  readonly frontier: ExportFrontier | undefined;
}

/** What stands before the first line of an export that does not begin with its epoch. */
export interface ExportFrontier {
  /** How many entries of the epoch are left out. */
  readonly size: number;
  /** Roots of the perfect subtrees over them, left to right; as many as `frontierLength` says. */
  readonly hashes: readonly Uint8Array[];
  /** The chain value after the last of them. */
  readonly chain: string;
}

interface Place {
  range: CompactRange;
  head: Position;
  chain: string;
}

/** One epoch, as far as it has gone by. */
interface EpochTrack extends Place {
  /** Undefined where the export begins later than the epoch. */
  readonly epochId: string | undefined;
  /** The newest places in it, and what stands there. */
  readonly recent: (Place & { readonly kind: EntryKind })[];
  /** What the log signed over all of it. Of an earlier epoch: as the first entry of the next one names it. */
  checkpoint: VerifiedCheckpoint | undefined;
}

/** Entries that nobody has signed, or that were put aside, which are named; all are counted. */
const NAMED_MAX = 100;

export class LedgerAudit {
  readonly #keyring: Keyring;
  readonly #epochs: EpochTrack[] = [];
  readonly #members = new Map<string, Certificate>();
  readonly #kinds = new Map<EntryKind, number>();
  #first: FeedLine | undefined;
  #log: NoteKey | undefined;
  #entries = 0;
  #uncertified = 0;
  #unsigned = 0;
  readonly #unsignedAt: string[] = [];
  #putAside = 0;
  readonly #putAsideAt: string[] = [];
  /** What is wrong with the first of them: where the tree is not the signed one either, that is what was altered. */
  #suspicion: string | undefined;

  constructor(keyring: Keyring) {
    this.#keyring = keyring;
  }

  /** The position that the next line has, unless it begins an epoch. */
  get due(): string {
    const head = this.#epochs.at(-1)?.head;
    return head === undefined ? 'line 1' : after(head);
  }

  /** Takes the next entry line. */
  take(text: string): void {
    const line = demandReadable(() => parseLine(text), `${this.due}: line is not canonical`);
    const { sealed, position } = line;
    const at = renderPosition(position);
    const epoch = this.#epochs.at(-1);
    if (epoch !== undefined) checkOrder(epoch.head, position);
    const begins = sealed.entry.kind === 'epoch';
    demand(begins === (position.sequence === 1), `${at}: an epoch begins with its own entry`);
    checkChain(line, begins ? undefined : epoch);
    this.#first ??= line;
    this.#checkSignature(sealed, at);
    this.#append(line, begins ? undefined : epoch);
  }

  /** Judges the whole, by the export's last line. */
  close({ checkpoint, cosigned, frontier }: ExportClosing): LedgerFacts {
    const epoch = this.#epochs.at(-1);
    demand(this.#first !== undefined && epoch !== undefined, 'export holds no entry');
    checkFrontier(this.#first, frontier);
    epoch.checkpoint = this.#verifyCheckpoint(checkpoint, this.due);
    const { origin, size, log } = epoch.checkpoint;
    demand(origin === `${log.name}/${epoch.head.epoch}`, `${this.due}: checkpoint is of another epoch`);
    demand(size <= epoch.range.end, `${this.due}: entry is missing`);
    demand(
      size === epoch.range.end,
      `${after({ ...epoch.head, sequence: size })}: checkpoint does not reach the entry`,
    );
    for (const one of this.#epochs) checkRoot(one, frontier?.hashes ?? [], this.#suspicion);
    return {
      entries: this.#entries,
      first: renderPosition(this.#first.position),
      head: renderPosition(epoch.head),
      epochs: this.#epochs.length,
      origin,
      size,
      kinds: Object.fromEntries([...this.#kinds].filter(([, count]) => count > 0)),
      uncertified: this.#uncertified,
      unsigned: this.#unsigned,
      unsignedAt: this.#unsignedAt,
      putAside: this.#putAside,
      putAsideAt: this.#putAsideAt,
      cosigned: Object.fromEntries(
        cosigned.flatMap((note) => this.#judgeCosignature(note, origin, frontier?.hashes ?? [])),
      ),
    };
  }

  #append(line: FeedLine, current: EpochTrack | undefined): void {
    const { sealed, position, chain } = line;
    const { kind } = sealed.entry;
    const epoch = current ?? this.#begin(line);
    epoch.range.append(leafHash(leafText(line)));
    epoch.head = position;
    epoch.chain = chain;
    epoch.recent.push({ head: position, chain, range: epoch.range.copy(), kind });
    if (epoch.recent.length > TAIL_MAX) epoch.recent.shift();
    this.#count(kind, 1);
  }

  #count(kind: EntryKind, by: 1 | -1): void {
    this.#entries += by;
    this.#kinds.set(kind, (this.#kinds.get(kind) ?? 0) + by);
  }

  #begin({ sealed: { entry }, position, chain }: FeedLine): EpochTrack {
    if (entry.kind === 'epoch') this.#checkBase(entry.base, renderPosition(position));
    const epoch: EpochTrack = {
      epochId: entry.kind === 'epoch' ? entry.epochId : undefined,
      range: new CompactRange(position.sequence - 1),
      head: position,
      chain,
      recent: [],
      checkpoint: undefined,
    };
    this.#epochs.push(epoch);
    return epoch;
  }

  /** What an epoch continues must be what stands before it here, if anything does. */
  #checkBase(base: EpochEntry['base'], at: string): void {
    const before = this.#epochs.at(-1);
    if (base === undefined) {
      demand(before === undefined, `${at}: nothing proves where the epoch before it ended`);
      return;
    }
    // Not every epoch ends with a checkpoint; its chain is named all the same, and the log signed that.
    const signed = base.checkpoint === '' ? undefined : this.#verifyCheckpoint(base.checkpoint, at);
    const signedHead = signed === undefined ? undefined : `${signed.origin}-${signed.size}`;
    demand(
      signed === undefined || signedHead === `${signed.log.name}/${base.head}`,
      `${at}: checkpoint is not of the head of the epoch before it`,
    );
    if (before === undefined) return;
    const isSame = before.epochId === undefined || before.epochId === base.epochId;
    demand(isSame, `${at}: epoch continues another one`);
    // What comes after it was put aside by whoever exports this: the store had lost it, and the fleet went on without.
    const last = before.recent.findIndex(({ head }) => renderPosition(head) === base.head);
    const end = before.recent[last];
    demand(end?.chain === base.chain, `${this.due}: the epoch did not end here`);
    for (const { head, kind } of before.recent.splice(last + 1)) {
      this.#count(kind, -1);
      this.#putAside += 1;
      if (this.#putAsideAt.length < NAMED_MAX) this.#putAsideAt.push(renderPosition(head));
    }
    Object.assign(before, { head: end.head, chain: end.chain, range: end.range });
    before.checkpoint = signed;
  }

  #checkSignature(sealed: SealedEntry, at: string): void {
    const { entry } = sealed;
    if (isLogSigned(entry)) {
      const log = this.#findLog((one) => isSignedBy(sealed, one.key));
      // Nobody follows an epoch that nobody has signed, so an honest ledger has none.
      demand(log !== undefined || entry.kind !== 'epoch', `${at}: entry is not signed by the log key`);
      if (log === undefined) {
        this.#suspect(at, 'entry is not signed by the log key');
        return;
      }
      const epochId = this.#epochs.at(-1)?.epochId;
      if (isPermitting(entry) && epochId !== undefined && entry.epochId !== epochId)
        this.#suspect(at, 'entry is of another epoch');
      this.#log = log;
      if (entry.kind === 'replica' && entry.event === 'joined') {
        const certificate = demandReadable(() => certificateOf(entry), `${at}: entry admits nobody`);
        this.#members.set(entry.incarnation, certificate);
      }
      return;
    }
    const key = this.#members.get(entry.by)?.key;
    if (key !== undefined) {
      if (!isSignedBy(sealed, key)) this.#suspect(at, 'entry has a bad signature');
    } else if (this.#isWhole()) this.#suspect(at, 'entry is signed by nobody who was admitted');
    else this.#uncertified += 1;
  }

  /** Whoever may write to the store may append it; replicas ignore it. That the ledger has it at this place is for the tree to say. */
  #suspect(at: string, why: string): void {
    this.#unsigned += 1;
    if (this.#unsignedAt.length < NAMED_MAX) this.#unsignedAt.push(at);
    this.#suspicion ??= `${at}: ${why}`;
  }

  /** Who has cosigned how much; nobody where that place, or who is admitted, was left out. */
  #judgeCosignature(note: string, of: string, before: readonly Uint8Array[]): [string, number][] {
    const { name, origin, size, root } = demandReadable(
      () => readCosignature(note),
      `${this.due}: cosignature is none`,
    );
    const members = [...this.#members.values()];
    const isKnown = members.some(({ replica, key }) => verifyCosignature(note, replica, key) !== undefined);
    demand(isKnown || !this.#isWhole(), `${this.due}: cosignature is of nobody who was admitted`);
    demand(origin === of, `${this.due}: cosignature is of another epoch`);
    const place = this.#epochs.at(-1)?.recent.find(({ head }) => head.sequence === size);
    if (!isKnown || place === undefined) return [];
    demand(
      Buffer.compare(place.range.root(before), root) === 0,
      `${renderPosition(place.head)}: the ledger is forked: ${name} has cosigned another one up to here`,
    );
    return [[name, size]];
  }

  #verifyCheckpoint(note: string, at: string): VerifiedCheckpoint {
    const checkpoint = demandReadable(
      () => verifyCheckpoint(note, this.#keyring),
      `${at}: checkpoint does not verify`,
    );
    demand(
      this.#findLog((log) => log === checkpoint.log) !== undefined,
      `${at}: checkpoint is of another log`,
    );
    return checkpoint;
  }

  /** A ledger has one log key: the one that signed the first entry that it had to sign. */
  #findLog(isIt: (log: NoteKey) => boolean): NoteKey | undefined {
    return (this.#log === undefined ? this.#keyring : [this.#log]).find(isIt);
  }

  /** True when the export begins with everything: then every signer's certificate is in it. */
  #isWhole(): boolean {
    const entry = this.#first?.sealed.entry;
    return entry?.kind === 'epoch' && entry.base === undefined;
  }
}

function after({ epoch, sequence }: Position): string {
  return renderPosition({ epoch, sequence: sequence + 1 });
}

/** No gap inside an epoch; a later epoch begins at 1. */
function checkOrder(head: Position, found: Position): void {
  const isNext = found.epoch === head.epoch && found.sequence === head.sequence + 1;
  const isLater = found.epoch > head.epoch;
  const due = isLater ? `${after(head)} or ${found.epoch}-1` : after(head);
  demand(
    isNext || (isLater && found.sequence === 1),
    `${due}: entry is missing or out of order, ${renderPosition(found)} stands here`,
  );
}

/**
 * A wrong chain may be the fault of this line or of the one before it, so both are named: what came before the first
 * line of a later start is only known at the end.
 */
function checkChain({ position, sealed, chain }: FeedLine, before: EpochTrack | undefined): void {
  const at = renderPosition(position);
  if (before !== undefined) {
    const follows = nextChain(before.chain, sealed.text) === chain;
    demand(follows, `${at}: chain does not follow that of ${renderPosition(before.head)}`);
  } else if (position.sequence === 1) {
    demand(nextChain(CHAIN_START, sealed.text) === chain, `${at}: chain does not begin here`);
  }
}

function checkFrontier({ position, sealed, chain }: FeedLine, frontier: ExportFrontier | undefined): void {
  const { epoch, sequence } = position;
  if (frontier === undefined) {
    demand(sequence === 1, `${epoch}-1: entry is missing, and no frontier stands for it`);
    return;
  }
  demand(
    frontier.size === sequence - 1,
    `${after({ epoch, sequence: frontier.size })}: export does not begin where its frontier ends`,
  );
  const follows = nextChain(frontier.chain, sealed.text) === chain;
  demand(follows, `${renderPosition(position)}: chain does not follow that of the frontier`);
}

/** `before` is the frontier of what was left out of the first epoch; a range from 0 has no use for it. */
function checkRoot(
  { range, checkpoint, head }: EpochTrack,
  before: readonly Uint8Array[],
  suspicion: string | undefined,
): void {
  demand(
    checkpoint === undefined || Buffer.compare(range.root(before), checkpoint.root) === 0,
    suspicion ?? `${renderPosition(head)}: the tree up to here is not the one that was signed`,
  );
}
