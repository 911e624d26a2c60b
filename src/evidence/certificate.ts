/**
 * Who may sign as an incarnation: the `joined` entry that the log key signed is its certificate. Receipts and
 * exports carry it, so that a stranger needs no key but the log's.
 */
import type { ReplicaEntry } from '../feed/entry.ts';
import { isSignedBy, parseEntry } from '../feed/entry.ts';
import type { PublicKey } from '../kernel/key.ts';
import { parsePublicKey } from '../kernel/key.ts';
import { demand, demandReadable } from './demand.ts';

export interface Certificate {
  readonly replica: string;
  readonly incarnation: string;
  readonly key: PublicKey;
  /** RFC 3339, by its own wall clock. */
  readonly joinedAt: string;
  /** The incarnation whose data directory it goes on with. */
  readonly succeeds?: string;
  /** Of its leases, as Member has it. */
  readonly term: ReplicaEntry['term'];
}

/** Parses and verifies the canonical text of a `joined` entry; PROOF_INVALID unless `log` signed it. */
export function verifyCertificate(text: string, log: PublicKey): Certificate {
  const sealed = demandReadable(() => parseEntry(text), 'certificate is no canonical entry');
  const { entry } = sealed;
  demand(entry.kind === 'replica' && entry.event === 'joined', 'certificate admits nobody');
  demand(isSignedBy(sealed, log), 'certificate is not signed by the log key');
  return certificateOf(entry);
}

/** What a `joined` entry certifies, once the log key's signature has been checked. PROOF_INVALID without a key in it. */
export function certificateOf(entry: ReplicaEntry): Certificate {
  const { replica, incarnation, key: x, at: joinedAt, succeeds, term } = entry;
  const key = parsePublicKey(x);
  demand(key !== undefined, 'certificate names no Ed25519 key');
  return { replica, incarnation, key, joinedAt, ...(succeeds === undefined ? {} : { succeeds }), term };
}

/** More runs than can follow one upon the other while what one of them said is in a receipt. */
const ANCESTORS_MAX = 64;

/** With whose data `later` goes on, the nearest first, as far as `succeeds` knows. */
export function ancestorsOf(later: string, succeeds: (one: string) => string | undefined): readonly string[] {
  const chain = new Set([later]);
  for (const one of chain) {
    const before = succeeds(one);
    if (before !== undefined && chain.size <= ANCESTORS_MAX) chain.add(before);
  }
  return [...chain].slice(1);
}
