/**
 * Handles: the canonical names by which a credential can be revoked (DESIGN section 4), and their fingerprints.
 * A fingerprint is 64 bits of HMAC-SHA256 under a fleet key over length-prefixed parts, so nobody can aim a
 * collision; it is computed once, when a credential is verified.
 */
import type { Target } from '../feed/entry.ts';
import { lengthPrefixed } from '../kernel/digest.ts';
import { Mac } from '../kernel/mac.ts';
import { unreachable } from '../kernel/unreachable.ts';

/** `sub-any`: that id at every issuer. `sub-bare`: the asserted subject that came without a credential. */
export type HandleKind =
  | 'tok'
  | 'jti'
  | 'sid'
  | 'kid'
  | 'jkt'
  | 'x5t'
  | 'apikey'
  | 'sub'
  | 'sub-any'
  | 'sub-bare'
  | 'cli'
  | 'act'
  | 'act-any'
  | 'iss'
  | 'spiffe'
  | 'claim'
  | 'all';

/** Kinds whose revocation kills what was issued at or before a cutoff; the others are dead whatever their `iat`. */
const CUTOFF_KINDS: ReadonlySet<HandleKind> = new Set([
  'sub',
  'sub-any',
  'sub-bare',
  'cli',
  'act',
  'act-any',
  'iss',
  'spiffe',
  'claim',
  'all',
]);

export interface Handle {
  readonly kind: HandleKind;
  /** `[issuer, value]`, `[value]`, `[name, issuer, value]` for claims, `[]` for `all`. */
  readonly parts: readonly string[];
}

export function hasCutoff(handle: Handle): boolean {
  return CUTOFF_KINDS.has(handle.kind);
}

/** For people: `jti:<iss>|<jti>`. Never a key of anything. */
export function renderHandle(handle: Handle): string {
  return `${handle.kind}:${handle.parts.join('|')}`;
}

/** The handles of one credential, with fingerprints: `prints[2i]` high, `prints[2i+1]` low word of handle i. */
export interface HandleSet {
  readonly handles: readonly Handle[];
  readonly prints: Uint32Array;
  /** Handles from this index on are of cutoff kinds. */
  readonly cutoffFrom: number;
}

export class Fingerprinter {
  readonly #mac: Mac;

  /** `key`: deriveKey(fleetKey, 'writ fingerprint'). */
  constructor(key: Uint8Array) {
    this.#mac = new Mac(key);
  }

  /** Orders `handles` (plain kinds first), drops repeats, and fingerprints each. */
  print(handles: readonly Handle[]): HandleSet {
    // Nearly every target of a bulk revocation is one handle: nothing to order, nothing to repeat.
    const [only] = handles;
    if (only !== undefined && handles.length === 1) {
      const prints = this.#print([lengthPrefixed([only.kind, ...only.parts])]);
      return { handles, prints, cutoffFrom: hasCutoff(only) ? 0 : 1 };
    }
    const plain = handles.filter((handle) => !hasCutoff(handle));
    const all = plain.length === handles.length ? plain : [...plain, ...handles.filter(hasCutoff)];
    const unique = new Map(all.map((handle) => [lengthPrefixed([handle.kind, ...handle.parts]), handle]));
    const ordered = [...unique.values()];
    const first = ordered.findIndex(hasCutoff);
    return {
      handles: ordered,
      prints: this.#print(unique.keys()),
      cutoffFrom: first < 0 ? ordered.length : first,
    };
  }

  #print(texts: Iterable<string>): Uint32Array {
    const words: number[] = [];
    for (const text of texts) {
      const mac = this.#mac.sign(text);
      words.push(wordOf(mac, 0), wordOf(mac, 4));
    }
    return Uint32Array.from(words);
  }
}

/** Four bytes of a MAC, big-endian. */
function wordOf(mac: string, at: number): number {
  const [b0, b1, b2, b3] = [
    mac.charCodeAt(at),
    mac.charCodeAt(at + 1),
    mac.charCodeAt(at + 2),
    mac.charCodeAt(at + 3),
  ];
  return ((b0 << 24) | (b1 << 16) | (b2 << 8) | b3) >>> 0;
}

/** The handles that a feed target writes into the index: one, and for a subject also the bare one. */
export function handlesOfTarget(target: Target): readonly Handle[] {
  const { issuer, value = '' } = target;
  const scoped = issuer === undefined ? [value] : [issuer, value];
  switch (target.kind) {
    case 'token':
      return [{ kind: 'tok', parts: [value] }];
    case 'jti':
      return [{ kind: 'jti', parts: scoped }];
    case 'session':
      return [{ kind: 'sid', parts: scoped }];
    case 'key':
      return [{ kind: 'kid', parts: scoped }];
    case 'jkt':
      return [{ kind: 'jkt', parts: [value] }];
    case 'certificate':
      return [{ kind: 'x5t', parts: [value] }];
    case 'apikey':
      return [{ kind: 'apikey', parts: [value] }];
    case 'subject':
      // An asserted subject does not say its issuer, so a dead subject of any issuer makes the bare one dead too.
      return [
        { kind: issuer === undefined ? 'sub-any' : 'sub', parts: scoped },
        { kind: 'sub-bare', parts: [value] },
      ];
    case 'client':
      return [{ kind: 'cli', parts: scoped }];
    case 'actor':
      return [{ kind: issuer === undefined ? 'act-any' : 'act', parts: scoped }];
    case 'issuer':
      return [{ kind: 'iss', parts: [value] }];
    case 'spiffe':
      return [{ kind: 'spiffe', parts: [value] }];
    case 'claim':
      return [{ kind: 'claim', parts: [target.name ?? '', ...scoped] }];
    case 'all':
      return [{ kind: 'all', parts: [] }];
    /* v8 ignore next 2 */
    default:
      return unreachable(target.kind);
  }
}
