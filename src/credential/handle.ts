/**
 * Handles: the canonical names by which a credential can be revoked (DESIGN section 4), and their fingerprints.
 * A fingerprint is 64 bits of HMAC-SHA256 under a fleet key over length-prefixed parts, so nobody can aim a
 * collision; it is computed once, when a credential is verified.
 */
import type { Target } from '../feed/entry.ts';
import { hmacSha256, lengthPrefixed } from '../kernel/digest.ts';
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
  readonly #key: Uint8Array;

  /** `key`: deriveKey(fleetKey, 'writ fingerprint'). */
  constructor(key: Uint8Array) {
    this.#key = key;
  }

  /** Orders `handles` (plain kinds first), drops repeats, and fingerprints each. */
  print(handles: readonly Handle[]): HandleSet {
    const plain = handles.filter((handle) => !hasCutoff(handle));
    const ordered = uniqueHandles([...plain, ...handles.filter(hasCutoff)]);
    const prints = new Uint32Array(ordered.length * 2);
    ordered.forEach((handle, i) => {
      const mac = hmacSha256(this.#key, lengthPrefixed([handle.kind, ...handle.parts]));
      const view = new DataView(mac.buffer, mac.byteOffset, 8);
      prints[2 * i] = view.getUint32(0);
      prints[2 * i + 1] = view.getUint32(4);
    });
    return {
      handles: ordered,
      prints,
      cutoffFrom: ordered.findIndex(hasCutoff) < 0 ? ordered.length : ordered.findIndex(hasCutoff),
    };
  }
}

function uniqueHandles(handles: readonly Handle[]): Handle[] {
  const seen = new Set<string>();
  return handles.filter((handle) => {
    const key = lengthPrefixed([handle.kind, ...handle.parts]);
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
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
