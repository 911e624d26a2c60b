/**
 * One incarnation's signed word: applied up to here, caches purged, and what each revocation reached. Made by
 * flows/renew.ts, believed by the barrier and by receipts only after `verifyAcknowledgement` has returned it.
 */
import * as z from 'zod';
import { WritError, isWritError } from '../kernel/error.ts';
import { parsePosition } from '../feed/position.ts';
import type { SigningKey } from '../kernel/key.ts';
import { RecentMap } from '../kernel/recent-map.ts';
import { ancestorsOf } from './certificate.ts';
import type { Cosignature } from './cosignature.ts';
import { readCosignature, verifyCosignature } from './cosignature.ts';
import { demand } from './demand.ts';
import { count, id, instant, name, position, sha1, sha256 } from './field.ts';
import type { KeyLookup } from './statement.ts';
import { readStatement, signStatement } from './statement.ts';

const TYP = 'writ-acknowledgement+jws';

/** What one revocation has reached here. An outcome that is omitted means that nothing matched or was ever seen. */
const outcome = z
  .strictObject({
    revocation: id,
    /** Sessions: each is killed (confirmed dead), pending or unconfirmed. */
    matched: count,
    killed: count,
    pending: count,
    /** Of the pending ones, those that are over when this replica's lease is: their holders have promised it. */
    selfEnding: count.optional(),
    unconfirmed: count,
    /** Accepts after the revocation was applied here: 0, and said even when it is not. */
    lateAccepts: count,
    lastAcceptAt: instant.optional(),
    /** The first of the unconfirmed, named by the digest of their id. */
    silent: z
      .array(z.strictObject({ session: name, kind: name }))
      .max(100)
      .optional(),
  })
  .refine(({ matched, killed, pending, unconfirmed }) => matched === killed + pending + unconfirmed)
  .refine(({ pending, selfEnding = 0 }) => selfEnding <= pending)
  .refine(({ unconfirmed, silent = [] }) => silent.length <= unconfirmed);

const acknowledgement = z.strictObject({
  v: z.literal(1),
  replica: name,
  incarnation: id,
  epochId: id,
  /** Applied and durable up to here. */
  position,
  chain: sha1,
  /** Leaf hash of the entry at `position`. */
  leaf: sha256,
  at: instant,
  /** The digest of its fold at the newest mark (DESIGN 3.6); not there while it has none. */
  snapshot: z.strictObject({ mark: position, digest: sha256 }).optional(),
  cachesPurged: z.literal(true),
  /** It held a lease of this epoch when it said so: whoever joined up to `position` may be let in on its word. */
  leased: z.literal(true).optional(),
  /** Its newest cosignature of this epoch's tree, a signed note; of no place after `position`. */
  cosigned: z.string().max(1_024).optional(),
  outcomes: z
    .array(outcome)
    .refine((outcomes) => new Set(outcomes.map(({ revocation }) => revocation)).size === outcomes.length),
});

export type AcknowledgedOutcome = z.infer<typeof outcome>;
export type Acknowledgement = z.infer<typeof acknowledgement>;

/** Whether a session that it matched is not proven to have ended. */
export function isOpen({ pending, unconfirmed }: AcknowledgedOutcome): boolean {
  return pending + unconfirmed > 0;
}

/** What is true once the lease of whoever said so is surely over, and nothing more can come from there. */
export function onceOver({ pending, selfEnding = 0, ...said }: AcknowledgedOutcome): AcknowledgedOutcome {
  const unconfirmed = said.unconfirmed + pending - selfEnding;
  return { ...said, killed: said.killed + selfEnding, pending: 0, unconfirmed };
}

export interface CountedOnce {
  readonly outcomes: readonly AcknowledgedOutcome[];
  /** Whose certificates show who goes on with whom, where that makes a difference. */
  readonly links: readonly string[];
}

/**
 * What each incarnation has said of one order, with every session counted once: whoever goes on with another's data says again
 * what had ended there. `succeeds`: with whose data an incarnation goes on.
 */
export function countOnce(
  said: ReadonlyMap<string, AcknowledgedOutcome>,
  succeeds: (incarnation: string) => string | undefined,
): CountedOnce {
  const again = new Set<string>();
  const links = [...said].flatMap(([later, { matched }]) => {
    const chain = ancestorsOf(later, succeeds);
    const isAgain = (one: string): boolean => {
      const earlier = said.get(one);
      return earlier !== undefined && !isOpen(earlier) && earlier.matched > 0 && matched >= earlier.matched;
    };
    for (const one of chain.filter(isAgain)) again.add(one);
    return chain.slice(0, chain.findLastIndex(isAgain) + 1);
  });
  const outcomes = [...said].map(([one, outcome]) =>
    again.has(one) ? { ...outcome, matched: 0, killed: 0 } : outcome,
  );
  return { outcomes, links };
}

/** Signs as `said.incarnation`. INTERNAL for one that contradicts itself: a false word is worse than none. */
export function signAcknowledgement(said: Acknowledgement, key: SigningKey): string {
  if (!acknowledgement.safeParse(said).success)
    throw new WritError('INTERNAL', 'acknowledgement contradicts itself');
  return signStatement(TYP, said.incarnation, said, key);
}

/**
 * The acknowledgement in `text`, or undefined: what does not verify is none. `keyOf` names who was admitted, `before` what
 * this incarnation said last: most of its acknowledgements carry the same cosignature.
 */
export function verifyAcknowledgement(
  text: string,
  keyOf: KeyLookup,
  before?: Acknowledgement,
): Acknowledgement | undefined {
  const known = VERIFIED.get(text);
  if (known !== undefined && keyOf(known.said.incarnation)?.x === known.x) return known.said;
  const verified = verify(text, keyOf, before);
  if (verified !== undefined) VERIFIED.set(text, verified);
  return verified?.said;
}

interface Verified {
  readonly said: Acknowledgement;
  /** The key that signed it. */
  readonly x: string;
}

/** One acknowledgement covers many revocations, and is looked at for the barrier and for the receipt of each of them. */
const VERIFIED = new RecentMap<Verified>(128);

function verify(text: string, keyOf: KeyLookup, before: Acknowledgement | undefined): Verified | undefined {
  try {
    const { kid, key, payload } = readStatement(text, TYP, keyOf);
    const { success, data } = acknowledgement.safeParse(payload);
    demand(success && data.incarnation === kid, 'acknowledgement is of no known shape');
    const verified = { said: data, x: key.x };
    const { cosigned, position: at } = data;
    if (cosigned === undefined) return verified;
    const isKnown = cosigned === before?.cosigned;
    const read = isKnown ? readCosignature(cosigned) : verifyCosignature(cosigned, data.replica, key);
    const { epoch, sequence } = parsePosition(at);
    const isItsOwn = read?.origin.endsWith(`/${epoch}`) === true && read.size <= sequence;
    demand(isItsOwn, 'cosignature does not verify, or is of another place');
    return verified;
  } catch (error) {
    if (isWritError(error, 'PROOF_INVALID')) return undefined;
    throw error;
  }
}

/** What it has cosigned, if anything; of one that was verified. */
export function cosignedIn({ cosigned }: Acknowledgement): Cosignature | undefined {
  return cosigned === undefined ? undefined : readCosignature(cosigned);
}
