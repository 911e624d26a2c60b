/**
 * What the feed carries: facts, as canonical JSON (RFC 8785), each signed by the replica that appended it (the
 * `replica` and `epoch` entries by the log key). A sealed entry keeps the exact text that was signed and hashed.
 */
import * as z from 'zod';
import { parseBase64Url, sha1Hex, toBase64Url } from '../kernel/digest.ts';
import { WritError } from '../kernel/error.ts';
import type { Json } from '../kernel/json.ts';
import { canonicalJson, isCanonical, isJsonObject, joinMembers, memberTexts } from '../kernel/json.ts';
import type { PublicKey, SigningKey } from '../kernel/key.ts';
import { LIMITS } from '../kernel/limits.ts';
import type { Steps } from '../kernel/pace.ts';
import { runAtOnce } from '../kernel/pace.ts';
import type { Position } from './position.ts';
import { parsePosition, renderPosition } from './position.ts';

/** The kinds of selectors, as API.md names them; each resolves to one handle (credential/handle.ts). */
export const SELECTOR_KINDS = [
  'token',
  'jti',
  'session',
  'key',
  'jkt',
  'certificate',
  'apikey',
  'subject',
  'client',
  'actor',
  'issuer',
  'spiffe',
  'claim',
  'all',
] as const;

/**
 * One handle that is dead. `value` is absent for `all`, the issuer for `issuer`; for `token` it is the handle's digest, never
 * the token. `cutoffS` (epoch seconds, inclusive) is there exactly for the kinds that take one. `untilS` is when
 * the entry may leave the active set; absent means never.
 */
export interface Target {
  readonly kind: (typeof SELECTOR_KINDS)[number];
  readonly issuer?: string | undefined;
  readonly name?: string | undefined;
  readonly value?: string | undefined;
  readonly cutoffS?: number | undefined;
  readonly untilS?: number | undefined;
}

/** A lock ignores `iat` and ends as a whole: its targets have neither cutoff nor end. */
export type LockTarget = Omit<Target, 'cutoffS' | 'untilS'>;

const KINDS: ReadonlySet<unknown> = new Set(SELECTOR_KINDS);
const END_MAX_S = 0xffff_fffe;

/** Up to a thousand in one entry, on the loop of every replica: by hand it takes a twentieth of what a schema takes. */
function areTargets(value: unknown, mayEnd: boolean): boolean {
  if (!Array.isArray(value) || value.length < 1 || value.length > 1000) return false;
  return value.every((one) => isTarget(one, mayEnd));
}

function isTarget(value: unknown, mayEnd: boolean): boolean {
  if (!isJsonObject(value) || !KINDS.has(value['kind'])) return false;
  // What was parsed inherits no member.
  for (const name in value) {
    if (!isTargetMember(name, value[name], mayEnd)) return false;
  }
  return true;
}

function isTargetMember(name: string, value: unknown, mayEnd: boolean): boolean {
  switch (name) {
    case 'kind':
      return true;
    case 'issuer':
    case 'name':
    case 'value':
      return typeof value === 'string';
    case 'cutoffS':
    case 'untilS':
      return mayEnd && isEndS(value);
    default:
      return false;
  }
}

function isEndS(value: unknown): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= END_MAX_S;
}

const head = {
  v: z.literal(1),
  id: z.string().min(1).max(64),
  /** RFC 3339 by the appender's wall clock; for people, never compared between machines. */
  at: z.iso.datetime({ precision: 3 }),
  /** The incarnation that appended it. */
  by: z.string().min(1).max(64),
  sig: z.string(),
};

const revocation = z.strictObject({
  ...head,
  kind: z.literal('revocation'),
  targets: z.custom<readonly Target[]>((value) => areTargets(value, true)),
  reason: z.string().optional(),
  ticket: z.string().optional(),
  /** Who asked: `admin`, or `iss|sub` of the caller. */
  caller: z.string(),
  /** SHA-256 of the canonical request, so that an Idempotency-Key under another body is noticed. */
  body: z.string(),
});

/** As renderPosition writes it. */
const PLACE = /^(?:0|[1-9]\d{0,14})-(?:0|[1-9]\d{0,14})$/;

const endS = z.int().min(0).max(END_MAX_S);

/** A revocation that ends by itself and can be lifted. */
const lock = z.strictObject({
  ...head,
  kind: z.literal('lock'),
  targets: z.custom<readonly LockTarget[]>((value) => areTargets(value, false)),
  /** Epoch seconds: from that second on it is over. */
  expiresAtS: endS,
  reason: z.string().optional(),
  caller: z.string(),
  body: z.string(),
});

/** Of what permits: the epoch that it is said in. In any other it has no effect, so it is not to be said again (D-195). */
const bound = { epochId: z.string().min(1).max(64) };

/** A tombstone: the lock it names is over for good, whichever of the two arrives first. */
const lift = z.strictObject({
  ...head,
  ...bound,
  kind: z.literal('lift'),
  lock: z.string().min(1).max(64),
  /** When the lock would have ended by itself: so long the tombstone is kept. */
  untilS: endS,
  caller: z.string(),
});

/** A positive entitlement that policy reads. Without `issuer` whoever has the id, at any issuer, holds it. */
const grant = z.strictObject({
  ...head,
  ...bound,
  kind: z.literal('grant'),
  subject: z.strictObject({ type: z.string().min(1).optional(), id: z.string().min(1) }),
  issuer: z.string().min(1).optional(),
  action: z.string().min(1),
  resource: z.strictObject({ type: z.string().min(1), id: z.string().min(1).optional() }),
  /** Epoch seconds: from that second on it is over. Absent: never. */
  untilS: endS.optional(),
  caller: z.string(),
  body: z.string(),
});

/** A tombstone of a grant, as `lift` is of a lock. Without `untilS` the grant had no end, and the tombstone has none. */
const ungrant = z.strictObject({
  ...head,
  kind: z.literal('ungrant'),
  grant: z.string().min(1).max(64),
  untilS: endS.optional(),
  caller: z.string(),
});

const replica = z.strictObject({
  ...head,
  kind: z.literal('replica'),
  event: z.enum(['joined', 'left', 'forgotten']),
  replica: z.string(),
  incarnation: z.string(),
  /** The replica's public key, base64url: who may sign entries and acknowledgements as `incarnation`. */
  key: z.string(),
  /** The incarnation whose data directory this one continues. */
  succeeds: z.string().optional(),
  /** Of `joined`: for how long, by its own configuration, its leases are good and its store may split (D-145). */
  term: z.strictObject({ leaseMs: z.int().min(0), splitMs: z.int().min(0) }).optional(),
  /** Of `forgotten`: why, and who asked for it where somebody did (`admin`, or `iss|sub`). */
  reason: z.string().optional(),
  caller: z.string().optional(),
});

const epoch = z.strictObject({
  ...head,
  kind: z.literal('epoch'),
  epochId: z.string(),
  /** The lifetime of the store this epoch is bound to; `replId` where the store has one. */
  runId: z.string(),
  replId: z.string().optional(),
  /** The public key of whose disk it was opened on: it may die before anybody knows its incarnation (D-128). */
  key: z.string().optional(),
  /** For credentials that live for so long revocations are kept, and for no longer ones (D-146). */
  credentialLifeMaxMs: z.int().min(0).optional(),
  rule: z.enum(['bootstrap', 'new-fleet', 'witness', 'roster', 'accept-amnesia']),
  reason: z.string().optional(),
  /** Of `new-fleet` and `accept-amnesia`: whoever said so. */
  caller: z.string().optional(),
  base: z
    .strictObject({
      epochId: z.string(),
      head: z.string().regex(PLACE),
      chain: z.string(),
      checkpoint: z.string(),
    })
    .optional(),
});

const outcome = z.strictObject({
  ...head,
  kind: z.literal('outcome'),
  revocation: z.string(),
  state: z.enum(['enforced', 'partial']),
  /** Of the order that it is about: it says nothing about one that was appended again. */
  position: z.string().regex(PLACE).optional(),
  matched: z.int().min(0),
  killed: z.int().min(0),
  unconfirmed: z.int().min(0),
  /** Of `partial`: the incarnations whose sessions are not proven to have ended. Enforced is for who has heard of them since. */
  owing: z.array(z.string()).min(1).optional(),
  /** SHA-256 (hex) of the receipt's text. */
  receipt: z.string(),
});

/**
 * The place at which every replica takes the digest of its fold, and lets go what ended before `endedBeforeS`: from here
 * on all folds are the same again. Between two marks nothing that has ended leaves (DESIGN 3.6).
 */
const mark = z.strictObject({ ...head, kind: z.literal('mark'), endedBeforeS: endS });

/** What the fold at a mark is, by the replica that wrote it down. */
const snapshot = z.strictObject({
  ...head,
  kind: z.literal('snapshot'),
  /** The position of the mark. */
  mark: z.string().regex(PLACE),
  digest: z.string().regex(/^[0-9a-f]{64}$/),
  sizeBytes: z.int().min(1),
});

const schema = z.discriminatedUnion('kind', [
  revocation,
  lock,
  lift,
  grant,
  ungrant,
  replica,
  epoch,
  outcome,
  mark,
  snapshot,
]);

/** What a fold goes on to hold of an entry, without the signature: the items of a snapshot. */
const unsigned = { v: true, by: true, sig: true } as const;
const unbound = { ...unsigned, epochId: true } as const;
export const FOLDED = {
  lock: lock.omit(unsigned),
  lift: lift.omit(unbound),
  grant: grant.omit(unbound),
  ungrant: ungrant.omit(unsigned),
  outcome: outcome.omit(unsigned),
};

export type Entry = z.infer<typeof schema>;
export type EntryKind = Entry['kind'];
export type RevocationEntry = z.infer<typeof revocation>;
export type LockEntry = z.infer<typeof lock>;
export type LiftEntry = z.infer<typeof lift>;
export type GrantEntry = z.infer<typeof grant>;
export type UngrantEntry = z.infer<typeof ungrant>;
export type ReplicaEntry = z.infer<typeof replica>;
export type EpochEntry = z.infer<typeof epoch>;
export type OutcomeEntry = z.infer<typeof outcome>;
export type MarkEntry = z.infer<typeof mark>;
export type SnapshotEntry = z.infer<typeof snapshot>;
/** An entry as a fold keeps it. */
export type Folded<E> = Omit<E, 'v' | 'by' | 'sig' | 'epochId'>;

type WithoutSignature<T> = T extends unknown ? Omit<T, 'sig'> : never;
export type UnsignedEntry = WithoutSignature<Entry>;

/** An entry and the exact canonical text of it, signature included. */
export interface SealedEntry {
  readonly text: string;
  readonly entry: Entry;
}

/** Of so many targets that whatever is done with each of them takes the better part of a millisecond. */
export function isBulk({ entry }: SealedEntry): boolean {
  return 'targets' in entry && entry.targets.length > LIMITS.piecesMax;
}

/** One line of the feed, the journal and an export. `chain` is the running SHA-1 up to and with this entry. */
export interface FeedLine {
  readonly position: Position;
  readonly chain: string;
  readonly sealed: SealedEntry;
  /** What the thread of this process that has read it found out; absent where none has. Never what a store says. */
  readonly reading?: LineReading;
}

/** Which line it is: no other one has the same history before it. */
export type LinePlace = Pick<FeedLine, 'position' | 'chain'>;

/** What costs most of a line, done by whoever reads it, so that who applies it need not. */
export interface LineReading {
  /** The public key (base64url) that has signed the entry; undefined where the reader does not know whose it must be. */
  readonly signedBy: string | undefined;
  /** Of a revocation of many targets. */
  readonly bulk?: BulkReading;
}

export interface BulkReading {
  /** `chain` of the line is the running SHA-1 after this one. */
  readonly after: string;
  /** SHA-256 of its leaf in the ledger's tree. */
  readonly leaf: Uint8Array;
  readonly targetsCount: number;
  /** The handles that it makes dead (revocation/ending.ts). */
  readonly ending: Uint32Array;
}

/**
 * Signs `entry` over its canonical text. A thousand targets are rendered in pieces, and once. INTERNAL for what nobody could
 * read, and every replica would stand before for ever; targets were judged when they were ordered.
 */
export function* sealing(entry: UnsignedEntry, key: SigningKey): Steps<SealedEntry> {
  const members = yield* memberTexts(entry);
  const sig = toBase64Url(key.sign(joinMembers(members)));
  const sealed = { text: joinMembers([...members, ['sig', `"${sig}"`]]), entry: { ...entry, sig } };
  if (!('targets' in entry) && !schema.safeParse(sealed.entry).success)
    throw new WritError('INTERNAL', `an entry of the kind ${entry.kind} is of no known shape`);
  return sealed;
}

export function sealEntry(entry: UnsignedEntry, key: SigningKey): SealedEntry {
  return runAtOnce(sealing(entry, key));
}

/** Of an entry's text. Every store refuses what is larger (functions.lua too), and nobody takes it from one: no ledger could be read with it. */
export const ENTRY_BYTES_MAX = 16 * 1024 * 1024 - 256;

/** Parses one entry's text; PROOF_INVALID when it is too large, not canonical, or not of a kind known here. Verifies nothing. */
export function parseEntry(text: string): SealedEntry {
  if (Buffer.byteLength(text) > ENTRY_BYTES_MAX) throw new WritError('PROOF_INVALID', 'entry is too large');
  let value: Json;
  try {
    value = JSON.parse(text) as Json;
  } catch (cause) {
    throw new WritError('PROOF_INVALID', 'entry is not JSON', { cause });
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw new WritError('PROOF_INVALID', 'entry is of no known shape');
  if (!isCanonical(value, text)) throw new WritError('PROOF_INVALID', 'entry is not canonical');
  return { text, entry: parsed.data };
}

/** Undefined for what is no entry. */
export function lookupEntry(text: string): SealedEntry | undefined {
  try {
    return parseEntry(text);
  } catch {
    return undefined;
  }
}

/** True when `key` signed the entry. */
export function isSignedBy(sealed: SealedEntry, key: PublicKey): boolean {
  const signature = parseBase64Url(sealed.entry.sig);
  return signature !== undefined && key.verify(unsignedText(sealed), signature);
}

/**
 * The canonical text without its signature. Cut out of the text: a comma before a quote is only ever between members,
 * so what is found is a member, and where it is the only one of that name it is the entry's own.
 */
function unsignedText({ text, entry }: SealedEntry): string {
  const member = `,"sig":"${entry.sig}"`;
  const at = text.indexOf(',"sig":');
  const isOnly = at >= 0 && text.startsWith(member, at) && !text.includes('"sig":', at + member.length);
  if (isOnly) return text.slice(0, at) + text.slice(at + member.length);
  const { sig: _sig, ...unsigned } = entry;
  return canonicalJson(unsigned);
}

/** True for the kinds that only the log key may sign: a replica's own key, which may be on a disk long out of service, only takes away. */
export function isLogSigned({ kind }: Pick<Entry, 'kind'>): boolean {
  return LOG_SIGNED.has(kind);
}

/** By which somebody is admitted, may accept more, or waits for less. */
const LOG_SIGNED: ReadonlySet<EntryKind> = new Set([
  'replica',
  'epoch',
  'snapshot',
  'outcome',
  'lift',
  'grant',
] as const);

/** Whether it permits, or ends what denies: of that everyone has what the shared history says, and nobody more. */
export function isPermitting<E extends Pick<Entry, 'kind'>>(
  entry: E,
): entry is Extract<E, { readonly kind: PermittingKind }> {
  return entry.kind === 'grant' || entry.kind === 'lift';
}

export type PermittingKind = 'grant' | 'lift';

/** Whom the entry says is forgotten; INTERNAL for one that says nothing of the kind. */
export function forgottenIn({ entry }: SealedEntry): string {
  if (entry.kind === 'replica' && entry.event === 'forgotten') return entry.incarnation;
  throw new WritError('INTERNAL', 'that entry forgets nobody');
}

/** The chain value before the first entry of an epoch. */
export const CHAIN_START = '0'.repeat(40);

/** The running SHA-1 after `text`. For noticing divergence; the evidence is the Merkle tree. */
export function nextChain(chain: string, text: string): string {
  return sha1Hex(chain + text);
}

/** What the Merkle tree hashes for a line: canonical `{entry, position}` (evidence/merkle.ts adds the prefix). */
export function leafText(line: Pick<FeedLine, 'position' | 'sealed'>): string {
  return `{"entry":${line.sealed.text},"position":"${renderPosition(line.position)}"}`;
}

/** One line of a journal or an export, without the newline. Canonical. */
export function renderLine(line: FeedLine): string {
  return `{"chain":"${line.chain}","entry":${line.sealed.text},"position":"${renderPosition(line.position)}"}`;
}

// Flag s: canonical JSON leaves U+2028 and U+2029 as they are, and without it a dot matches neither.
const LINE =
  /^\{"chain":"([0-9a-f]{40})","entry":(\{.*\}),"position":"((?:0|[1-9]\d{0,14})-(?:0|[1-9]\d{0,14}))"\}$/s;

/** The three parts of a line, the entry as its text. */
export interface LineParts {
  readonly chain: string;
  readonly text: string;
  readonly position: Position;
}

export function partsOf({ position, chain, sealed }: FeedLine): LineParts {
  return { position, chain, text: sealed.text };
}

/** Takes a line apart without looking into the entry; PROOF_INVALID when it is not of renderLine's shape. */
export function splitLine(line: string): LineParts {
  const match = LINE.exec(line);
  if (match === null) throw new WritError('PROOF_INVALID', 'line is of no known shape');
  const [, chain, text, position] = match as unknown as [string, string, string, string];
  return { chain, text, position: parsePosition(position) };
}

/** Parses one line; PROOF_INVALID unless it is byte for byte what renderLine makes. Checks no chain, no signature. */
export function parseLine(line: string): FeedLine {
  const { chain, text, position } = splitLine(line);
  return { chain, sealed: parseEntry(text), position };
}
